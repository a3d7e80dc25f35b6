//! Answers that were written down beforehand: a YAML file in the shape of the questions.
//!
//! The question `root.keys[0].name` is answered by `root: {keys: [{name: Ada}]}`. An entry that no question asks for is a
//! mistake of the writer, and is named before anything is sent. An entry without a value is the same as none. What the file
//! leaves open gets its default; with `open: ask` it is asked.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::cli::failure::Failure;

/// The entry that says what becomes of questions without one.
pub(super) const OPEN: &str = "open";

/// The entries of a file, and which of them were asked for.
#[derive(Debug, Default)]
pub struct Answers {
    root: Value,
    leaves_open: bool,
    asked: RefCell<BTreeSet<String>>,
}

impl Answers {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is not a YAML mapping.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format_args!("can't read the answers {name}: {error}")))?;
        let root = Self::parse(&text).map_err(|why| {
            Failure::new(format_args!("the answers {name} can't be understood: {why}"))
                .remedy("it is a YAML mapping from questions to answers, see the documentation of the command line")
        })?;
        Ok(root)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Why it is not a YAML mapping.
    pub fn parse(text: &str) -> Result<Self, String> {
        let root: Value = serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?;
        let Value::Object(mut members) = root else { return Err("it is not a mapping".to_owned()) };
        let leaves_open = match members.shift_remove(OPEN) {
            None => false,
            Some(Value::String(word)) if word == "ask" => true,
            Some(_) => return Err(format!("{OPEN} can only be ask")),
        };
        Ok(Self { root: Value::Object(members), leaves_open, asked: RefCell::default() })
    }

    /// Whether what the file leaves open is asked, and does not get its default.
    pub fn leaves_open(&self) -> bool {
        self.leaves_open
    }

    /// The entry at `id`, such as `root.keys[0].name`.
    pub fn get(&self, id: &str) -> Option<&Value> {
        let found = self.root.pointer(&pointer(id))?;
        self.asked.borrow_mut().insert(id.to_owned());
        Some(found).filter(|value| !value.is_null())
    }

    /// The number of entries of the list at `id`, if there is one.
    ///
    /// # Errors
    /// When it is no list.
    pub fn count(&self, id: &str) -> Result<Option<usize>, String> {
        match self.root.pointer(&pointer(id)) {
            None => Ok(None),
            Some(Value::Array(items)) if !items.is_empty() => Ok(Some(items.len())),
            Some(Value::Array(_)) => {
                self.asked.borrow_mut().insert(id.to_owned());
                Ok(Some(0))
            }
            Some(Value::Null) => {
                self.asked.borrow_mut().insert(id.to_owned());
                Ok(None)
            }
            Some(_) => Err("must be a list".to_owned()),
        }
    }

    /// What was asked for until now.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// A script is run again: what it asked for the last time does not count.
    pub(super) fn forget_but(&self, asked: BTreeSet<String>) {
        *self.asked.borrow_mut() = asked;
    }

    /// All entries with their ids.
    pub(super) fn leaves(&self) -> Vec<(String, Value)> {
        let mut leaves = Vec::new();
        collect(&self.root, String::new(), &BTreeSet::new(), &mut |id, value| leaves.push((id, value.clone())));
        leaves
    }

    /// The entries that nobody asked for, as questions name them.
    pub fn unasked(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        collect(&self.root, String::new(), &self.asked.borrow(), &mut |id, _| leaves.push(id));
        leaves
    }
}

fn pointer(id: &str) -> String {
    format!("/{}", id.replace('[', "/").replace(']', "").replace('.', "/"))
}

/// The messages of the parser have a line for each thing that they say.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn collect(value: &Value, id: String, asked: &BTreeSet<String>, found: &mut impl FnMut(String, &Value)) {
    if asked.contains(&id) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let id = if id.is_empty() { name.clone() } else { format!("{id}.{name}") };
                collect(value, id, asked, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                collect(value, format!("{id}[{index}]"), asked, found);
            }
        }
        Value::Null => {}
        _ => found(id, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_the_ids_of_questions() {
        let answers = Answers::parse("root:\n  threshold: 2\n  keys:\n  - name: Ada\n  - name: Grace\n").expect("yaml");
        assert_eq!(answers.get("root.keys[1].name"), Some(&Value::from("Grace")));
        assert_eq!(answers.count("root.keys"), Ok(Some(2)));
        assert_eq!(answers.get("root.keys[2].name"), None);
        assert_eq!(answers.unasked(), ["root.threshold", "root.keys[0].name"]);
    }

    #[test]
    fn entries_without_a_value_are_left_open() {
        let answers = Answers::parse("a:\nb: []\nc: {}\nd: [{}]\ne: text").expect("yaml");
        assert_eq!((answers.get("a"), answers.count("a")), (None, Ok(None)));
        assert_eq!(
            (answers.count("b"), answers.count("d"), answers.get("d[0].name")),
            (Ok(Some(0)), Ok(Some(1)), None)
        );
        assert_eq!(answers.count("e"), Err("must be a list".to_owned()));
        assert_eq!(answers.unasked(), ["e"]);
        assert!(!answers.leaves_open());
    }

    #[test]
    fn what_is_open_can_be_asked() {
        let answers = Answers::parse("open: ask").expect("yaml");
        assert!(answers.leaves_open() && answers.unasked().is_empty());
        assert!(Answers::parse("open: default").is_err());
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        assert!(Answers::parse("- 1").is_err());
        assert!(Answers::parse("a: [").is_err());
    }
}
