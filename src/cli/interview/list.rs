//! Lists that are asked for item by item.

use serde_json::Value;

use super::{Interview, List, Stop, answers::Answers, nobody, record::Asked, terminal, wrong};

enum Step {
    Done,
    Add,
    Remove(usize),
}

impl Interview {
    /// Asks for a list, one item after the other: `item` gets the id of its place and what there is already. At a terminal a
    /// menu follows each: go on, add another, remove one.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn list<T>(
        &mut self,
        list: List<'_>,
        name: impl Fn(&T) -> String,
        item: impl AsyncFnMut(&mut Self, String, &[T]) -> Result<T, Stop>,
    ) -> Result<Vec<T>, Stop> {
        Box::pin(self.list_from(list, Vec::new(), name, item)).await
    }

    /// The same of a list that has items already. A file that says nothing of the list leaves it as it is; one that does begins it anew,
    /// or adds to it if it leaves open what it does not say: so are the answers that a person kept.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn list_from<T>(
        &mut self,
        list: List<'_>,
        mut items: Vec<T>,
        name: impl Fn(&T) -> String,
        mut item: impl AsyncFnMut(&mut Self, String, &[T]) -> Result<T, Stop>,
    ) -> Result<Vec<T>, Stop> {
        let written = self.answers.as_ref().map(|answers| answers.count(list.id)).transpose();
        let written = written.map_err(|why| wrong(list.id, why))?.flatten();
        let is_open = self.answers.as_ref().is_none_or(Answers::leaves_open);
        if written.is_some() && !is_open {
            items.clear();
        }
        // Items may be lists of lists: in boxes, what waits for them does not grow with each.
        // While items are removed and added, no place is used twice. What was there before has none: it was not asked for.
        let mut places = 0..;
        let mut placed = vec![None; items.len()];
        for place in places.by_ref().take(written.unwrap_or(0)) {
            items.push(Box::pin(item(self, format!("{}[{place}]", list.id), &items)).await?);
            placed.push(Some(place));
        }
        if written.is_some() && !is_open {
            return match items.len() >= list.at_least {
                true => Ok(items),
                false => Err(wrong(list.id, format_args!("must have at least {} entries", list.at_least)).into()),
            };
        }
        let mut adds = items.len() < list.at_least;
        loop {
            if adds && let Some(place) = places.next() {
                items.push(Box::pin(item(self, format!("{}[{place}]", list.id), &items)).await?);
                placed.push(Some(place));
            }
            adds = items.len() < list.at_least;
            if adds {
                continue;
            }
            match self.list_step(&list, &items, &name)? {
                Step::Done => return Ok(items),
                Step::Add => adds = true,
                Step::Remove(index) => {
                    items.remove(index);
                    if let Some(place) = placed.remove(index) {
                        self.record.drop_below(format!("{}[{place}]", list.id));
                    }
                    adds = items.len() < list.at_least;
                }
            }
        }
    }

    fn list_step<T>(&mut self, list: &List<'_>, items: &[T], name: &impl Fn(&T) -> String) -> Result<Step, Stop> {
        if !terminal::is_attended() {
            return if self.answers.is_some() { Ok(Step::Done) } else { Err(nobody(list.id).into()) };
        }
        let other = if items.is_empty() { "a" } else { "another" };
        let mut labels = vec!["continue".to_owned(), format!("add {other} {}", list.one)];
        labels.extend(items.iter().map(|item| format!("remove {}", name(item))));
        let message = format!("What about the {}s?", list.one);
        let ask = || terminal::choose(&message, labels.iter().map(String::as_str).collect(), 0).map(Value::from);
        // An answers file says nothing of this: its lists are as long as they are.
        let id = format!("{}.next", list.id);
        let asked = Asked { id: &id, message: &message, default: None };
        let answer = self.answer(asked, |_| Err("can't be answered".to_owned()), ask)?;
        Ok(match answer.as_u64().unwrap_or_default() as usize {
            0 => Step::Done,
            1 => Step::Add,
            index => Step::Remove(index - 2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{interview::Text, output::Output};

    async fn asked(answers: &str, there: &[&str]) -> Vec<String> {
        let mut interview = Interview::answered(Answers::parse(answers).expect("yaml"), Output::Json);
        let there = there.iter().map(|&text| text.to_owned()).collect();
        let item = async |interview: &mut Interview, id: String, _: &[String]| {
            let question = Text { id: &id, message: "Which?", help: None, default: None };
            interview.text(question, |text| Ok(text.to_owned()))
        };
        let list = List { id: "paths", one: "path", at_least: 1 };
        let items = interview.list_from(list, there, String::clone, item).await.expect("a list");
        interview.finish().expect("all was asked for");
        items
    }

    #[tokio::test]
    async fn a_file_replaces_a_list_and_kept_answers_add_to_it() {
        let there = ["a", "b"];
        assert_eq!(asked("other: {}", &there).await, there);
        assert_eq!(asked("paths: [c]", &there).await, ["c"]);
        assert_eq!(asked("open: ask\npaths: [c, d]", &there).await, ["a", "b", "c", "d"]);
    }
}
