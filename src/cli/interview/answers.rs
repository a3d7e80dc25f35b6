//! Answers that were written down beforehand: a YAML file in the shape of the questions.
//!
//! The question `root.keys[0].name` is answered by `root: {keys: [{name: Ada}]}`. An entry that no question asks for is a
//! mistake of the writer, and is named before anything is sent.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::cli::failure::Failure;

/// The entries of a file, and which of them were asked for.
#[derive(Debug, Default)]
pub struct Answers {
    root: Value,
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
        let root: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        match root {
            Value::Object(_) => Ok(Self { root, asked: RefCell::default() }),
            _ => Err("it is not a mapping".to_owned()),
        }
    }

    /// The entry at `id`, such as `root.keys[0].name`.
    pub fn get(&self, id: &str) -> Option<&Value> {
        let found = self.root.pointer(&pointer(id))?;
        self.asked.borrow_mut().insert(id.to_owned());
        Some(found)
    }

    /// The number of entries of the list at `id`.
    pub fn count(&self, id: &str) -> Option<usize> {
        self.root.pointer(&pointer(id))?.as_array().map(Vec::len)
    }

    /// The entries that nobody asked for, as questions name them.
    pub fn unasked(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        collect(&self.root, String::new(), &self.asked.borrow(), &mut leaves);
        leaves
    }
}

fn pointer(id: &str) -> String {
    format!("/{}", id.replace('[', "/").replace(']', "").replace('.', "/"))
}

fn collect(value: &Value, id: String, asked: &BTreeSet<String>, leaves: &mut Vec<String>) {
    if asked.contains(&id) {
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let id = if id.is_empty() { name.clone() } else { format!("{id}.{name}") };
                collect(value, id, asked, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                collect(value, format!("{id}[{index}]"), asked, leaves);
            }
        }
        _ if id.is_empty() => {}
        _ => leaves.push(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_the_ids_of_questions() {
        let answers = Answers::parse("root:\n  threshold: 2\n  keys:\n  - name: Ada\n  - name: Grace\n").expect("yaml");
        assert_eq!(answers.get("root.keys[1].name"), Some(&Value::from("Grace")));
        assert_eq!(answers.count("root.keys"), Some(2));
        assert_eq!(answers.get("root.keys[2].name"), None);
        assert_eq!(answers.unasked(), ["root.threshold", "root.keys[0].name"]);
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        assert!(Answers::parse("- 1").is_err());
        assert!(Answers::parse("a: [").is_err());
    }
}
