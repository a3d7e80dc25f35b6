//! Conversations: questions that a person answers at a terminal, or that a file has answered already.
//!
//! A script is a function that asks its questions in order. Taking an answer back runs the script again with all answers
//! but the last one, so a script has no effects beside its result: whatever is signed, written or sent comes after it.
//! Each question has an id in the shape of the answers file, such as `root.keys[0].name`.

use std::{path::Path, rc::Rc};

use secrecy::SecretString;
use serde_json::{Value, json};

use super::{failure::Failure, output::Output};
use answers::Answers;

pub mod answers;
pub(super) mod secret;
mod terminal;

/// Why a script did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// The last answer is taken back.
    Undo,
    /// Whoever answers has had enough.
    Quit,
    /// It can't go on.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A question that is answered by a text.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Where the answer stands in an answers file.
    pub id: &'a str,
    /// The question, short enough for one line of 80 columns.
    pub message: &'a str,
    /// A line that explains it.
    pub help: Option<&'a str>,
    /// The answer of who says nothing.
    pub default: Option<&'a str>,
}

/// One of several answers.
#[derive(Debug, Clone)]
pub struct Choice<T> {
    /// As an answers file writes it.
    pub key: &'static str,
    /// As a menu shows it.
    pub label: String,
    /// What it means.
    pub value: T,
}

/// A list of things that are asked for one by one.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Where it stands in an answers file.
    pub id: &'a str,
    /// What one of them is called: `key`, `path`.
    pub one: &'a str,
    /// The fewest that are allowed.
    pub at_least: usize,
}

/// An answer, kept to be given again when a script is run again.
#[derive(Debug, Clone)]
enum Given {
    Open(Value),
    Secret(SecretString),
}

/// A conversation.
#[derive(Debug)]
pub struct Interview {
    answers: Option<Answers>,
    output: Output,
    given: Vec<Given>,
    next: usize,
}

impl Interview {
    /// A conversation with whoever is at the terminal, or with a file of answers: what the file leaves open gets its default, and
    /// what has none is asked at the terminal.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn new(answers: Option<&Path>, output: Output) -> Result<Self, Failure> {
        let answers = answers.map(Answers::read).transpose()?;
        terminal::prepare();
        Ok(Self { answers, output, given: Vec::new(), next: 0 })
    }

    /// A conversation with a file of answers that was read already.
    #[cfg(test)]
    pub(in crate::cli) fn answered(answers: Answers, output: Output) -> Self {
        Self { answers: Some(answers), output, given: Vec::new(), next: 0 }
    }

    /// Runs a script to its end; when an answer is taken back, again with the answers before it.
    ///
    /// # Errors
    /// What the script fails with, and when whoever answers stops.
    pub async fn hold<T>(&mut self, mut script: impl AsyncFnMut(&mut Self) -> Result<T, Stop>) -> Result<T, Failure> {
        self.given.clear();
        loop {
            self.next = 0;
            match script(self).await {
                Ok(result) => return Ok(result),
                Err(Stop::Undo) => {
                    self.given.pop();
                }
                Err(Stop::Quit) => return Err(Failure::new("stopped, nothing was signed or sent")),
                Err(Stop::Failed(failure)) => return Err(failure),
            }
        }
    }

    /// Makes sure that every entry of the answers file was asked for. To be called before anything is written or sent.
    ///
    /// # Errors
    /// Names the entries that were not.
    pub fn finish(&self) -> Result<(), Failure> {
        let unasked = self.answers.as_ref().map(Answers::unasked).unwrap_or_default();
        match unasked.is_empty() {
            true => Ok(()),
            false => {
                Err(Failure::new(format_args!("the answers have what no question asks for: {}", unasked.join(", ")))
                    .remedy("correct or remove these entries"))
            }
        }
    }

    /// The number of entries that an answers file has in the list `id`; `None` where it has no such list.
    pub fn count(&self, id: &str) -> Option<usize> {
        self.answers.as_ref()?.count(id)
    }

    /// Refuses the last answer, that to the question `id`, which has no default, for a reason that shows only now. A person is told, and
    /// asked again; for a file it is the end.
    pub fn refuse(&self, id: &str, failure: Failure) -> Stop {
        let written = self.answers.as_ref().is_some_and(|answers| answers.get(id).is_some());
        match written || self.given.is_empty() || !terminal::is_attended() {
            true => Stop::Failed(Failure { cause: format!("answer {id}: {}", failure.cause), ..failure }),
            false => {
                self.output.note(failure);
                Stop::Undo
            }
        }
    }

    /// A line for whoever answers; not repeated when the script is run again.
    pub fn tell(&self, line: impl std::fmt::Display) {
        if self.next == self.given.len() {
            self.output.say(line);
        }
    }

    /// Asks for a text, read by `read`, whose error says what it has to be.
    ///
    /// # Errors
    /// [`Stop`]; a file whose answer `read` refuses.
    pub fn text<T>(
        &mut self,
        question: Text<'_>,
        read: impl Fn(&str) -> Result<T, String> + 'static,
    ) -> Result<T, Stop> {
        let read = Rc::new(read);
        let check = read.clone();
        let answer = self.answer(
            question.id,
            question.message,
            question.default.map(Value::from),
            |value| scalar(value).and_then(|text| check(&text).map(|_| Value::from(text))),
            || {
                let check = read.clone();
                let check: terminal::Check = Rc::new(move |input| check(input).map(drop));
                terminal::text(question.message, question.help, question.default, check).map(Value::from)
            },
        )?;
        read(answer.as_str().unwrap_or_default()).map_err(|why| Failure::new(why).into())
    }

    /// Asks for yes or no.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn confirm(&mut self, id: &str, message: &str, default: bool) -> Result<bool, Stop> {
        let read = |value: &Value| value.as_bool().map(Value::from).ok_or("must be true or false".to_owned());
        let ask = || terminal::confirm(message, default).map(Value::from);
        let answer = self.answer(id, message, Some(default.into()), read, ask)?;
        Ok(answer.as_bool().unwrap_or(default))
    }

    /// Asks for one of several; the first is the default.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn choose<T>(&mut self, id: &str, message: &str, choices: Vec<Choice<T>>) -> Result<T, Stop> {
        let keys: Vec<_> = choices.iter().map(|choice| choice.key).collect();
        let labels = choices.iter().map(|choice| choice.label.as_str()).collect();
        let read = |value: &Value| {
            let found = scalar(value).ok().filter(|key| keys.contains(&key.as_str()));
            found.map(Value::from).ok_or_else(|| format!("must be one of {}", keys.join(", ")))
        };
        let ask = || terminal::choose(message, labels, 0).map(|index| Value::from(keys[index]));
        let answer = self.answer(id, message, keys.first().map(|&key| key.into()), read, ask)?;
        let chosen = choices.into_iter().find(|choice| answer == choice.key);
        chosen.map(|choice| choice.value).ok_or_else(|| Failure::new("there is nothing to choose from").into())
    }

    /// Asks for one of several that have names of their own; there is no default.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn pick(&mut self, id: &str, message: &str, names: &[String]) -> Result<usize, Stop> {
        let read = |value: &Value| {
            let name = scalar(value)?;
            let at = names.iter().position(|known| *known == name);
            at.map(Value::from).ok_or_else(|| format!("must be one of {}", names.join(", ")))
        };
        let ask = || terminal::choose(message, names.iter().map(String::as_str).collect(), 0).map(Value::from);
        let answer = self.answer(id, message, None, read, ask)?;
        Ok(answer.as_u64().unwrap_or_default() as usize)
    }

    /// Asks for any of several that have names of their own, none by default; a file answers with a list.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn pick_any(&mut self, id: &str, message: &str, names: &[String]) -> Result<Vec<usize>, Stop> {
        self.ticked(id, message, names, 0)
    }

    /// Asks for some of several that have names of their own, at least one; a file answers with a list.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn pick_many(&mut self, id: &str, message: &str, names: &[String]) -> Result<Vec<usize>, Stop> {
        self.ticked(id, message, names, 1)
    }

    fn ticked(&mut self, id: &str, message: &str, names: &[String], at_least: usize) -> Result<Vec<usize>, Stop> {
        let place = |value: &Value| {
            let name = scalar(value)?;
            let at = names.iter().position(|known| *known == name);
            at.ok_or_else(|| format!("{name:?} is none of {}", names.join(", ")))
        };
        let read = |value: &Value| {
            let items = value.as_array().filter(|items| items.len() >= at_least);
            let items = items.ok_or("must be a list of names")?;
            items.iter().map(place).collect::<Result<Vec<_>, _>>().map(|chosen| json!(chosen))
        };
        let labels = names.iter().map(String::as_str).collect();
        let ask = || terminal::choose_many(message, labels, at_least).map(|chosen| json!(chosen));
        let answer = self.answer(id, message, (at_least == 0).then(|| json!([])), read, ask)?;
        Ok(answer.as_array().into_iter().flatten().filter_map(Value::as_u64).map(|index| index as usize).collect())
    }

    /// Asks for a secret. A file answers with the secret itself, or says where it is: `{file: PATH}` or `{fd: NUMBER}`.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn secret(&mut self, id: &str, message: &str) -> Result<SecretString, Stop> {
        self.ask_secret(id, || terminal::secret(message))
    }

    /// Asks for a secret that does not exist yet: twice at a terminal, so that no slip gets into it. A file answers as for
    /// [`secret`](Self::secret).
    ///
    /// # Errors
    /// [`Stop`].
    pub fn new_secret(&mut self, id: &str, message: &str) -> Result<SecretString, Stop> {
        self.ask_secret(id, || terminal::new_secret(message))
    }

    fn ask_secret(&mut self, id: &str, ask: impl FnOnce() -> Result<SecretString, Stop>) -> Result<SecretString, Stop> {
        if let Some(Given::Secret(secret)) = self.again() {
            return Ok(secret);
        }
        let secret = match self.answers.as_ref().and_then(|answers| answers.get(id)) {
            Some(value) => secret::read(value).map_err(|why| wrong(id, why))?,
            None if terminal::is_attended() => ask()?,
            None => return Err(nobody(id).into()),
        };
        self.keep(Given::Secret(secret.clone()));
        Ok(secret)
    }

    /// Asks for a list, one item after the other: `item` gets the id of its place and what there is already. At a terminal a
    /// menu follows each: go on, add another, remove one.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn list<T>(
        &mut self,
        list: List<'_>,
        name: impl Fn(&T) -> String,
        mut item: impl AsyncFnMut(&mut Self, String, &[T]) -> Result<T, Stop>,
    ) -> Result<Vec<T>, Stop> {
        let mut items = Vec::new();
        if let Some(count) = self.answers.as_ref().and_then(|answers| answers.count(list.id)) {
            for index in 0..count {
                items.push(item(self, format!("{}[{index}]", list.id), &items).await?);
            }
            return match items.len() >= list.at_least {
                true => Ok(items),
                false => Err(wrong(list.id, format!("must have at least {} entries", list.at_least)).into()),
            };
        }
        // While items are removed and added, no place is used twice.
        let mut place = 0;
        loop {
            while items.len() < list.at_least {
                items.push(item(self, format!("{}[{place}]", list.id), &items).await?);
                place += 1;
            }
            match self.list_step(&list, &items, &name)? {
                Step::Done => return Ok(items),
                Step::Add => {
                    items.push(item(self, format!("{}[{place}]", list.id), &items).await?);
                    place += 1;
                }
                Step::Remove(index) => drop(items.remove(index)),
            }
        }
    }

    fn list_step<T>(&mut self, list: &List<'_>, items: &[T], name: &impl Fn(&T) -> String) -> Result<Step, Stop> {
        if self.answers.is_some() && !terminal::is_attended() {
            return Ok(Step::Done);
        }
        let mut labels = vec!["continue".to_owned(), format!("add another {}", list.one)];
        labels.extend(items.iter().map(|item| format!("remove {}", name(item))));
        let message = format!("What about the {}s?", list.one);
        let id = format!("{}.next", list.id);
        let ask = || terminal::choose(&message, labels.iter().map(String::as_str).collect(), 0).map(Value::from);
        // An answers file says nothing of this: its lists are as long as they are.
        let answer = self.answer(&id, &message, None, |_| Err("can't be answered".to_owned()), ask)?;
        Ok(match answer.as_u64().unwrap_or_default() as usize {
            0 => Step::Done,
            1 => Step::Add,
            index => Step::Remove(index - 2),
        })
    }

    /// The answer of the last run, of the file, the default where a file left it open, or that of the person.
    fn answer(
        &mut self,
        id: &str,
        message: &str,
        default: Option<Value>,
        read: impl Fn(&Value) -> Result<Value, String>,
        ask: impl FnOnce() -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        if let Some(Given::Open(value)) = self.again() {
            return Ok(value);
        }
        let written = self.answers.as_ref().and_then(|answers| answers.get(id));
        let value = match (written, default) {
            (Some(written), _) => {
                let value = read(written).map_err(|why| wrong(id, why))?;
                self.output
                    .say(format_args!("> {message} {}", scalar(written).unwrap_or_else(|_| written.to_string())));
                value
            }
            (None, Some(default)) if self.answers.is_some() => read(&default).map_err(|why| wrong(id, why))?,
            (None, _) if terminal::is_attended() => ask()?,
            (None, _) => return Err(nobody(id).into()),
        };
        self.keep(Given::Open(value.clone()));
        Ok(value)
    }

    fn again(&mut self) -> Option<Given> {
        let given = self.given.get(self.next).cloned()?;
        self.next += 1;
        Some(given)
    }

    fn keep(&mut self, given: Given) {
        self.given.push(given);
        self.next = self.given.len();
    }
}

enum Step {
    Done,
    Add,
    Remove(usize),
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("must be a text or a number".to_owned()),
    }
}

fn wrong(id: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("answer {id}: {why}")).remedy("correct this entry of the answers file")
}

fn nobody(id: &str) -> Failure {
    Failure::new(format_args!("there is no terminal to ask at, and no answer to {id}"))
        .remedy(format_args!("write {id} into a YAML file, and give it with --answers FILE"))
}
