//! An interview that was left: its answers go into a file that `--answers` takes.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    answers::{Answers, OPEN},
    record::Record,
    terminal,
};
use crate::cli::failure::Failure;

const NAME: &str = "rstuf-answers";
/// Fewer answers are typed again sooner than found in a file.
const WORTH_KEEPING: usize = 3;

/// Offers to keep what was answered, and says in the remedy how to go on with it.
pub(super) fn offer(failure: Failure, record: &Record, answers: Option<&Answers>) -> Failure {
    if record.len_of_people() < WORTH_KEEPING || !terminal::is_attended() {
        return failure;
    }
    if !terminal::confirm("Keep your answers in a file, to go on later? Passwords are not in it", true).unwrap_or(false)
    {
        return failure;
    }
    let mut leaves: Vec<_> = answers.map(Answers::leaves).unwrap_or_default();
    leaves.retain(|(id, _)| !record.is_dropped(id));
    leaves.extend(record.open_answers());
    let how = match write(Path::new("."), &tree(leaves)) {
        Ok(file) => format!("give your answers again with --answers {}", file.display()),
        Err(error) => format!("the answers could not be kept: {error}"),
    };
    let remedy = failure.remedy.iter().map(String::as_str).chain([how.as_str()]).collect::<Vec<_>>().join("; ");
    Failure { cause: failure.cause, remedy: Some(remedy) }
}

/// Writes a file of a name that there is not yet.
fn write(directory: &Path, answers: &Value) -> io::Result<PathBuf> {
    let text = serde_saphyr::to_string(answers).map_err(io::Error::other)?;
    let names = std::iter::once(format!("{NAME}.yml")).chain((2..).map(|number| format!("{NAME}-{number}.yml")));
    for name in names {
        match File::create_new(directory.join(&name)) {
            Ok(mut file) => {
                writeln!(file, "# Answers for --answers. What is not here is asked.\n{OPEN}: ask\n{text}")?;
                return Ok(PathBuf::from(name));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// The answers in the shape of the questions. Places of lists that are left out are closed up.
fn tree(leaves: Vec<(String, Value)>) -> Value {
    let mut root = Map::new();
    for (id, value) in leaves {
        let id = id.replace('[', ".[");
        let mut place = &mut root;
        let mut parts = id.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), value);
                break;
            }
            let below = place.entry(part).or_insert_with(|| Value::Object(Map::new()));
            match below {
                Value::Object(members) => place = members,
                _ => break,
            }
        }
    }
    closed_up(Value::Object(root))
}

fn closed_up(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let place = |name: &String| name.strip_prefix('[')?.strip_suffix(']')?.parse::<u64>().ok();
    if !members.is_empty() && members.keys().all(|name| place(name).is_some()) {
        let mut items: Vec<_> = members.into_iter().collect();
        items.sort_by_key(|(name, _)| place(name));
        return items.into_iter().map(|(_, item)| closed_up(item)).collect();
    }
    members.into_iter().map(|(name, value)| (name, closed_up(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_get_the_shape_of_the_questions() {
        let leaves = [
            ("root.threshold", json!("2")),
            ("root.keys[0].name", json!("Ada")),
            ("root.keys[2].name", json!("Grace")),
            ("root.threshold", json!("3")),
            ("roles", json!(["a", "b"])),
        ];
        let leaves = leaves.map(|(id, value)| (id.to_owned(), value)).into();
        let expected =
            json!({"root": {"threshold": "3", "keys": [{"name": "Ada"}, {"name": "Grace"}]}, "roles": ["a", "b"]});
        assert_eq!(tree(leaves), expected);
    }

    #[test]
    fn what_is_written_is_read_again_and_asks_for_the_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        let answers = json!({"root": {"keys": [{"name": "no: \"1\""}], "path": "*"}});
        assert_eq!(write(directory.path(), &answers).expect("written"), Path::new("rstuf-answers.yml"));
        let file = write(directory.path(), &answers).expect("written");
        assert_eq!(file, Path::new("rstuf-answers-2.yml"));
        let read = Answers::read(&directory.path().join(file)).expect("it can be read");
        assert!(read.leaves_open() && read.count("root.keys") == Ok(Some(1)));
        assert_eq!(read.get("root.keys[0].name"), Some(&json!("no: \"1\"")));
        assert_eq!(read.unasked(), ["root.path"]);
    }
}
