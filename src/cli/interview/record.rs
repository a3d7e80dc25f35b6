//! What was answered so far, in the order of the questions.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

/// A question, as far as all kinds of them have it in common.
pub(super) struct Asked<'a> {
    /// Where the answer stands in an answers file.
    pub(super) id: &'a str,
    pub(super) message: &'a str,
    /// The answer where a file leaves it open.
    pub(super) default: Option<Value>,
}

/// An answer, kept to be given again when a script is run again.
#[derive(Debug, Clone)]
pub(super) enum Given {
    /// As the interview uses it; of names also their places.
    Open(Value),
    Secret(SecretString),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A person, who can take it back.
    Person,
    /// A file, or a default.
    Found,
}

#[derive(Debug)]
struct Entry {
    id: String,
    given: Given,
    source: Source,
}

/// The answers of this script and of those before it.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Those of scripts that ended.
    past: Vec<(String, Value)>,
    entries: Vec<Entry>,
    next: usize,
    /// What was removed from lists: ids that begin so.
    dropped: Vec<String>,
    /// What was taken back, to be offered again.
    former: BTreeMap<String, Value>,
}

impl Record {
    /// A script begins.
    pub(super) fn begin(&mut self) {
        self.entries.clear();
        self.former.clear();
        self.rewind();
    }

    /// A script ended well: its answers can't be taken back any more.
    pub(super) fn end(&mut self) {
        let kept = self.open_answers();
        self.past = kept;
        self.begin();
    }

    fn rewind(&mut self) {
        self.next = 0;
        self.dropped.clear();
    }

    /// Whether a person gave an answer that can be taken back.
    pub(super) fn has_person(&self) -> bool {
        self.entries.iter().any(|entry| entry.source == Source::Person)
    }

    /// Takes back the last answer that a person gave, and what was found after it, and starts from the first question again.
    /// `false` when no person has answered.
    pub(super) fn take_back(&mut self) -> bool {
        self.rewind();
        let Some(last) = self.entries.iter().rposition(|entry| entry.source == Source::Person) else { return false };
        for entry in self.entries.drain(last..) {
            if let (Given::Open(value), Source::Person) = (entry.given, entry.source) {
                self.former.insert(entry.id, value);
            }
        }
        true
    }

    /// Whether the next question is asked, not answered as in the run before.
    pub(super) fn is_at_end(&self) -> bool {
        self.next == self.entries.len()
    }

    /// The answer to the next question in the run before.
    pub(super) fn again(&mut self) -> Option<Given> {
        let entry = self.entries.get(self.next)?;
        self.next += 1;
        Some(entry.given.clone())
    }

    /// Keeps what a person answered.
    pub(super) fn keep_asked(&mut self, id: &str, given: Given) {
        self.keep(id, given, Source::Person);
    }

    /// Keeps what a file answered, or a default.
    pub(super) fn keep_found(&mut self, id: &str, given: Given) {
        self.keep(id, given, Source::Found);
    }

    fn keep(&mut self, id: &str, given: Given, source: Source) {
        self.entries.push(Entry { id: id.to_owned(), given, source });
        self.next = self.entries.len();
    }

    /// What was answered before it was taken back.
    pub(super) fn former(&self, id: &str) -> Option<&Value> {
        self.former.get(id)
    }

    /// An item of a list was removed.
    pub(super) fn drop_below(&mut self, id: String) {
        self.dropped.push(id);
    }

    /// Whether an id is of something that was removed from a list.
    pub(super) fn is_dropped(&self, id: &str) -> bool {
        self.dropped
            .iter()
            .any(|dropped| id.strip_prefix(dropped).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
    }

    /// How many questions people answered that are not secrets.
    pub(super) fn len_of_people(&self) -> usize {
        let is_open = |entry: &&Entry| entry.source == Source::Person && matches!(entry.given, Given::Open(_));
        self.past.len() + self.entries.iter().filter(is_open).count()
    }

    /// What was answered, without secrets, as an answers file has it.
    pub(super) fn open_answers(&self) -> Vec<(String, Value)> {
        let written = |entry: &Entry| match &entry.given {
            Given::Open(value) if entry.source == Source::Person && !self.is_dropped(&entry.id) => {
                written(value).map(|value| (entry.id.clone(), value))
            }
            _ => None,
        };
        self.past.iter().cloned().chain(self.entries.iter().filter_map(written)).collect()
    }
}

/// An answer as a file has it: of names the names alone, and nothing of the menus of lists, which answer with numbers.
fn written(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => None,
        Value::Object(members) => members.get("name").cloned(),
        Value::Array(items) => Some(items.iter().filter_map(written).collect()),
        _ => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(answers: &[(&str, Value)]) -> Record {
        let mut record = Record::default();
        record.begin();
        for (id, value) in answers {
            record.keep_asked(id, Given::Open(value.clone()));
        }
        record
    }

    #[test]
    fn the_last_answer_of_a_person_is_taken_back_with_what_was_found_after_it() {
        let mut record = record(&[("a", json!("1")), ("b", json!("2"))]);
        record.keep_found("c", Given::Open(json!("3")));
        assert!(record.take_back());
        assert!(matches!(record.again(), Some(Given::Open(value)) if value == "1"));
        assert!(record.again().is_none() && record.is_at_end());
        assert_eq!((record.former("b"), record.former("c")), (Some(&json!("2")), None));
        assert!(record.take_back() && !record.take_back());
    }

    #[test]
    fn secrets_menus_and_removed_items_are_not_written() {
        let mut record = record(&[
            ("keys[1].name", json!("Ada")),
            ("keys[10].name", json!("Grace")),
            ("keys.next", json!(2)),
            ("role", json!({"index": 0, "name": "root"})),
        ]);
        record.keep_asked("password", Given::Secret("secret".into()));
        record.drop_below("keys[1]".to_owned());
        let expected = [("keys[10].name".to_owned(), json!("Grace")), ("role".to_owned(), json!("root"))];
        assert_eq!(record.open_answers(), expected);
        record.end();
        assert_eq!(record.open_answers(), expected);
    }
}
