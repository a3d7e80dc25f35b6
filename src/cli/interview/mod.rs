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
use record::{Asked, Given, Record};

pub mod answers;
mod list;
mod record;
mod saved;
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

/// A conversation.
#[derive(Debug)]
pub struct Interview {
    answers: Option<Answers>,
    output: Output,
    record: Record,
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
        Ok(Self { answers, output, record: Record::default() })
    }

    /// A conversation with a file of answers that was read already.
    #[cfg(test)]
    pub(in crate::cli) fn answered(answers: Answers, output: Output) -> Self {
        Self { answers: Some(answers), output, record: Record::default() }
    }

    /// Runs a script to its end; when an answer is taken back, again with the answers before it.
    ///
    /// # Errors
    /// What the script fails with, and when whoever answers stops. Then a person can keep many answers in a file.
    pub async fn hold<T>(&mut self, mut script: impl AsyncFnMut(&mut Self) -> Result<T, Stop>) -> Result<T, Failure> {
        self.record.begin();
        loop {
            let asked = self.answers.as_ref().map(Answers::asked);
            let stop = match Box::pin(script(self)).await {
                Ok(result) => {
                    self.record.end();
                    return Ok(result);
                }
                Err(stop) => stop,
            };
            let failure = match stop {
                Stop::Undo => {
                    if !self.record.take_back() {
                        self.output.note("there is no answer to take back");
                    }
                    if let (Some(answers), Some(asked)) = (&self.answers, asked) {
                        answers.forget_but(asked);
                    }
                    continue;
                }
                Stop::Quit => Failure::new("stopped, nothing was signed or sent"),
                Stop::Failed(failure) => failure,
            };
            return Err(saved::offer(failure, &self.record, self.answers.as_ref()));
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
        self.answers.as_ref()?.count(id).ok().flatten()
    }

    /// Refuses the last answer, that to the question `id`, which has no default, for a reason that shows only now. A person is told, and
    /// asked again; for a file it is the end.
    pub fn refuse(&self, id: &str, failure: Failure) -> Stop {
        let written = self.answers.as_ref().is_some_and(|answers| answers.get(id).is_some());
        match written || !self.record.has_person() || !terminal::is_attended() {
            true => Stop::Failed(Failure { cause: format!("answer {id}: {}", failure.cause), ..failure }),
            false => {
                self.output.note(failure);
                Stop::Undo
            }
        }
    }

    /// A line for whoever answers; not repeated when the script is run again.
    pub fn tell(&self, line: impl std::fmt::Display) {
        if self.record.is_at_end() {
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
        let default = self.record.former(question.id).and_then(Value::as_str).map(str::to_owned);
        let default = default.as_deref().or(question.default);
        let answer = self.answer(
            Asked { id: question.id, message: question.message, default: question.default.map(Value::from) },
            |value| scalar(value).and_then(|text| check(&text).map(|_| Value::from(text))),
            || {
                let check = read.clone();
                let check: terminal::Check = Rc::new(move |input| check(input).map(drop));
                terminal::text(question.message, question.help, default, check).map(Value::from)
            },
        )?;
        read(answer.as_str().unwrap_or_default()).map_err(|why| Failure::new(why).into())
    }

    /// Asks for yes or no.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn confirm(&mut self, id: &str, message: &str, default: bool) -> Result<bool, Stop> {
        let preset = self.record.former(id).and_then(Value::as_bool).unwrap_or(default);
        let asked = Asked { id, message, default: Some(default.into()) };
        let answer = self.answer(asked, truth, || terminal::confirm(message, preset).map(Value::from))?;
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
        let former = self.record.former(id).and_then(|former| keys.iter().position(|key| *former == *key));
        let ask = || terminal::choose(message, labels, former.unwrap_or(0)).map(|index| Value::from(keys[index]));
        let asked = Asked { id, message, default: keys.first().map(|&key| key.into()) };
        let answer = self.answer(asked, read, ask)?;
        let chosen = choices.into_iter().find(|choice| answer == choice.key);
        chosen.map(|choice| choice.value).ok_or_else(|| nothing(message).into())
    }

    /// Asks for one of several that have names of their own; there is no default.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn pick(&mut self, id: &str, message: &str, names: &[String]) -> Result<usize, Stop> {
        let read = |value: &Value| place(value, names).map(|index| named(index, names));
        let former = self.record.former(id).and_then(index_of).filter(|index| *index < names.len());
        let labels = names.iter().map(String::as_str).collect();
        let ask = || terminal::choose(message, labels, former.unwrap_or(0)).map(|index| named(index, names));
        let answer = self.answer(Asked { id, message, default: None }, read, ask)?;
        index_of(&answer).filter(|index| *index < names.len()).ok_or_else(|| nothing(message).into())
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
        let read = |value: &Value| {
            let items = value.as_array().filter(|items| items.len() >= at_least).ok_or("must be a list of names")?;
            let mut chosen = items.iter().map(|item| place(item, names)).collect::<Result<Vec<_>, _>>()?;
            chosen.sort_unstable();
            chosen.dedup();
            Ok(chosen.into_iter().map(|index| named(index, names)).collect())
        };
        let labels = names.iter().map(String::as_str).collect();
        let former: Vec<_> =
            self.record.former(id).and_then(Value::as_array).into_iter().flatten().filter_map(index_of).collect();
        let ask = || {
            let chosen = terminal::choose_many(message, labels, &former, at_least)?;
            Ok(chosen.into_iter().map(|index| named(index, names)).collect())
        };
        let answer = self.answer(Asked { id, message, default: (at_least == 0).then(|| json!([])) }, read, ask)?;
        Ok(answer.as_array().into_iter().flatten().filter_map(index_of).collect())
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
        let written = self.answers.as_ref().and_then(|answers| answers.get(id));
        if let Some(Given::Secret(secret)) = self.record.again() {
            return Ok(secret);
        }
        let secret = match written {
            Some(value) => secret::read(value).map_err(|why| wrong(id, why))?,
            None if terminal::is_attended() => {
                let secret = ask()?;
                self.record.keep_asked(id, Given::Secret(secret.clone()));
                return Ok(secret);
            }
            None => return Err(nobody(id).into()),
        };
        self.record.keep_found(id, Given::Secret(secret.clone()));
        Ok(secret)
    }

    /// The answer of the last run, of the file, the default where a file left it open, or that of the person.
    fn answer(
        &mut self,
        asked: Asked<'_>,
        read: impl Fn(&Value) -> Result<Value, String>,
        ask: impl FnOnce() -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        let Asked { id, message, default } = asked;
        let written = self.answers.as_ref().and_then(|answers| answers.get(id));
        if let Some(Given::Open(value)) = self.record.again() {
            return Ok(value);
        }
        let value = match (written, default) {
            (Some(written), _) => {
                let value = read(written).map_err(|why| wrong(id, why))?;
                self.output.say(format_args!("✓ {message} {}", shown(written)));
                value
            }
            (None, Some(default)) if !self.leaves_open() => read(&default).map_err(|why| wrong(id, why))?,
            (None, _) if terminal::is_attended() => {
                let value = ask()?;
                self.record.keep_asked(id, Given::Open(value.clone()));
                return Ok(value);
            }
            (None, _) => return Err(nobody(id).into()),
        };
        self.record.keep_found(id, Given::Open(value.clone()));
        Ok(value)
    }

    /// Whether a question that no file answers is for a person: there is no file, or it says so.
    fn leaves_open(&self) -> bool {
        self.answers.as_ref().is_none_or(Answers::leaves_open)
    }
}

/// Where an answer of a file is among several names.
fn place(value: &Value, names: &[String]) -> Result<usize, String> {
    let name = scalar(value)?;
    let at = names.iter().position(|known| *known == name);
    at.ok_or_else(|| format!("{name:?} is none of {}", names.join(", ")))
}

/// The place of one of several names, with the name: a file has the name, a menu the place.
fn named(index: usize, names: &[String]) -> Value {
    json!({"index": index, "name": names.get(index)})
}

fn index_of(value: &Value) -> Option<usize> {
    value["index"].as_u64().and_then(|index| index.try_into().ok())
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("must be a text or a number".to_owned()),
    }
}

fn truth(value: &Value) -> Result<Value, String> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if text == "yes" => Ok(true.into()),
        Value::String(text) if text == "no" => Ok(false.into()),
        _ => Err("must be true or false".to_owned()),
    }
}

/// An answer of a file as it is shown.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(truth) => if *truth { "Yes" } else { "No" }.to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        _ => scalar(value).unwrap_or_else(|_| value.to_string()),
    }
}

fn nothing(message: &str) -> Failure {
    Failure::new(format_args!("there is nothing to choose from: {message}"))
}

fn wrong(id: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("answer {id}: {why}")).remedy("correct this entry of the answers file")
}

fn nobody(id: &str) -> Failure {
    Failure::new(format_args!("there is no terminal to ask at, and no answer to {id}"))
        .remedy(format_args!("write {id} into a YAML file, and give it with --answers FILE"))
}
