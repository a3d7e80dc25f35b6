//! Payloads in files: what is made here, and sent from here or elsewhere.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::cli::{failure::Failure, output::Output};

/// Makes sure, before anybody answers thirty questions, that a file can be written.
///
/// # Errors
/// When its directory is not there.
pub(super) fn can_save(file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match directory.is_dir() && !file.is_dir() {
        true => Ok(()),
        false => Err(Failure::new(format_args!("can't write {}: no such directory, or it is one", file.display()))
            .remedy("give --out a file in a directory that is there")),
    }
}

/// Writes a payload.
///
/// # Errors
/// When it can't be written.
pub(super) fn save(output: Output, file: &Path, payload: &Value) -> Result<(), Failure> {
    fs::write(file, format!("{payload:#}\n"))
        .map_err(|error| Failure::new(format_args!("can't write {}: {error}", file.display())))?;
    output.say(format_args!("Saved result to '{}'", file.display()));
    Ok(())
}

/// What was signed is not lost when it can't be sent: it is in the file of `--out`, or else in one of the name `file`. The remedy says how it is sent
/// later, as `kind`.
pub(super) fn rescue(failure: Failure, out: Option<&Path>, file: &str, kind: &str, payload: &Value) -> Failure {
    let kept = out.map(Path::to_owned).or_else(|| keep(file, payload));
    match kept {
        Some(kept) => {
            let before = failure.remedy.as_deref().map(|remedy| format!("{remedy}; ")).unwrap_or_default();
            let remedy = format!(
                "{before}what was signed is in {}, send it with: rstuf admin send {kind} {}",
                kept.display(),
                kept.display()
            );
            failure.remedy(remedy)
        }
        None => failure,
    }
}

/// Writes a new file, of this name or of one with a number before it.
fn keep(file: &str, payload: &Value) -> Option<PathBuf> {
    use std::io::Write;
    let names = std::iter::once(file.to_owned()).chain((2..100).map(|n| format!("{n}-{file}")));
    for name in names {
        match fs::File::create_new(&name) {
            Ok(mut kept) => return writeln!(kept, "{payload:#}").is_ok().then(|| name.into()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_needs_its_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(can_save(None).is_ok());
        assert!(can_save(Some(&directory.path().join("a.json"))).is_ok());
        assert!(can_save(Some(Path::new("a.json"))).is_ok());
        assert!(can_save(Some(&directory.path().join("b/a.json"))).is_err());
        assert!(can_save(Some(directory.path())).is_err());
    }

    #[test]
    fn payloads_are_indented_by_two() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.json");
        save(Output::Json, &file, &json!({"a": [1]})).expect("saved");
        assert_eq!(fs::read_to_string(file).expect("read"), "{\n  \"a\": [\n    1\n  ]\n}\n");
    }

    #[test]
    fn a_failure_to_send_says_where_the_payload_is() {
        let failure = Failure::new("can't reach it").remedy("is it running?");
        let failure = rescue(failure, Some(Path::new("p.json")), "x.json", "bootstrap", &json!({}));
        let remedy = "is it running?; what was signed is in p.json, send it with: rstuf admin send bootstrap p.json";
        assert_eq!(failure.remedy.as_deref(), Some(remedy));
    }
}
