//! A line of a file as an artifact, held to the rules that the API has.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    http::{self, Limits},
    task::Artifact,
};

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `path;size;hash-type;hash`.
    Csv,
    /// `{"path", "length", "hashes", "custom"}`.
    Jsonl,
}

/// Where a line is: the file by its place in the command, and the line from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u16,
    pub(super) line: u64,
}

/// A line that the API would take.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) path: Box<str>,
    /// As a request has it.
    pub(super) json: Box<str>,
}

/// Equal for equal paths, and hardly ever for others.
pub(super) fn fingerprint(path: &str) -> u64 {
    let digest = digest(&SHA256, path.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Reads a line.
///
/// # Errors
/// Why it is no artifact.
pub(super) fn read(format: Format, text: &[u8], place: Place, limits: &Limits) -> Result<Entry, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let value = match format {
        Format::Csv => csv(text)?,
        Format::Jsonl => jsonl(text)?,
    };
    let artifact = http::check_artifact(&value, limits).map_err(|faults| in_columns(&faults))?;
    let json = json(&artifact)?;
    Ok(Entry { place, path: String::from(artifact.path).into(), json: json.into() })
}

fn json(artifact: &Artifact) -> Result<String, String> {
    serde_json::to_string(artifact).map_err(|error| error.to_string())
}

/// The faults of an artifact by the names that lines have.
fn in_columns(faults: &[String]) -> String {
    let faults: Vec<_> = faults.iter().map(|fault| fault.strip_prefix("info.").unwrap_or(fault)).collect();
    faults.join("; ")
}

fn csv(text: &str) -> Result<Value, String> {
    if !text.contains('"') {
        return artifact(&text.split(';').collect::<Vec<_>>());
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b';')
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(text.len() + 1)
        .from_reader(text.as_bytes());
    let record = reader.records().next().transpose().map_err(|error| error.to_string())?.unwrap_or_default();
    artifact(&record.iter().collect::<Vec<_>>())
}

fn artifact(columns: &[&str]) -> Result<Value, String> {
    let [path, size, algorithm, digits] = columns else {
        return Err("it must have four columns: path;size;hash-type;hash".to_owned());
    };
    // The API reads more as a number than is meant here.
    let size: u64 = size.trim().parse().map_err(|_| "size: it must be a whole number".to_owned())?;
    Ok(json!({"path": path, "info": {"length": size, "hashes": {algorithm.trim(): digits.trim()}}}))
}

fn jsonl(text: &str) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Line {
        path: String,
        length: u64,
        hashes: BTreeMap<String, String>,
        #[serde(default)]
        custom: Option<Map<String, Value>>,
    }
    let Line { path, length, hashes, custom } = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => without_place(&error),
        _ => "it is not JSON".to_owned(),
    })?;
    Ok(json!({"path": path, "info": {"length": length, "hashes": hashes, "custom": custom}}))
}

/// The line is known; what is told of many lines should be the same text.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { file: 0, line: 1 };

    fn of(format: Format, text: &str) -> Result<Entry, String> {
        read(format, text.as_bytes(), PLACE, &Limits::default())
    }

    #[test]
    fn both_formats_say_the_same() {
        let digits = "Ab".repeat(32);
        let csv = of(Format::Csv, &format!("a/b;12;sha256;{digits}")).expect("good");
        let line = json!({"path": "a/b", "length": 12, "hashes": {"sha256": digits}});
        assert_eq!(of(Format::Jsonl, &line.to_string()), Ok(csv.clone()));
        let sent: Value = serde_json::from_str(&csv.json).expect("JSON");
        assert_eq!(sent["info"]["hashes"]["sha256"], digits.to_lowercase());
        assert_eq!((sent["path"].as_str(), sent["info"]["length"].as_u64()), (Some("a/b"), Some(12)));
        let quoted = of(Format::Csv, &format!("\"a;\"\"b\";12;sha256;{digits}")).expect("good");
        assert_eq!(&*quoted.path, "a;\"b");
        let custom = json!({"path": "a", "length": 1, "hashes": {"sha256": digits}, "custom": {"x": [1]}});
        assert!(of(Format::Jsonl, &custom.to_string()).expect("good").json.contains("\"custom\":{\"x\":[1]}"));
    }

    #[test]
    fn wrong_lines_are_told_by_column() {
        let digits = "ab".repeat(32);
        let cases = [
            ("path;size;hash-type;hash".to_owned(), "size: it must be a whole number"),
            (format!("a;-1;sha256;{digits}"), "size: it must be a whole number"),
            (format!("a;1.0;sha256;{digits}"), "size: it must be a whole number"),
            (format!("a;1;sha256;{digits};"), "it must have four columns"),
            ("a;1;sha256;ab".to_owned(), "hashes.sha256: a sha256 digest has 64 hexadecimal digits"),
            (format!("../a;1;sha256;{digits}"), "path: a path must not have empty, . or .. segments"),
            (format!("a;{};sha256;{digits}", u64::MAX), "length: "),
            (format!("\"a;1;sha256;{digits}"), "it must have four columns"),
        ];
        for (line, why) in cases {
            let told = of(Format::Csv, &line).expect_err(&line);
            assert!(told.starts_with(why), "{line}: {told}");
        }
        assert_eq!(of(Format::Jsonl, "{").expect_err("refused"), "it is not JSON");
        assert_eq!(of(Format::Jsonl, "{\"path\": \"a\"}").expect_err("refused"), "missing field `length`");
        assert_eq!(read(Format::Csv, b"\xff", PLACE, &Limits::default()).expect_err("refused"), "it is not UTF-8");
    }
}
