//! Lines that were refused: told by file and line, counted by reason.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use super::line::Place;
use crate::cli::{failure::Failure, output::Output};

/// Without a file for them, so many are told.
const MOST_TOLD: u64 = 20;
/// The most reasons that are told apart.
const MOST_REASONS: usize = 50;
const OTHER_REASONS: &str = "other reasons";

/// A line that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) place: Place,
    pub(super) why: String,
}

/// Where refused lines are told.
pub(super) struct Book {
    file: Option<File>,
    told: u64,
    output: Output,
    names: Vec<String>,
}

impl Book {
    /// Writes into `path`, if there is one, after the first `bytes`; what is behind them was written by a run that was interrupted.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn open(path: Option<&Path>, bytes: u64, names: Vec<String>, output: Output) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            if file.metadata()?.len() > bytes {
                file.set_len(bytes)?;
            }
            file.flush().map(|()| file)
        };
        let opened = path.map(|path| open(path).map_err(|error| unwritable(path, &error))).transpose()?;
        Ok(Self { file: opened, told: 0, output, names })
    }

    /// Tells of lines.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn write(&mut self, lines: &[Refused]) -> Result<(), Failure> {
        let mut text = String::new();
        for Refused { place, why } in lines {
            let name = &self.names[usize::from(place.file)];
            text += &format!("{}\n", json!({"file": name, "line": place.line, "why": why}));
            if self.file.is_none() && self.told < MOST_TOLD {
                self.output.note(format_args!("{name}:{}: {why}", place.line));
                self.told += 1;
                if self.told == MOST_TOLD {
                    self.output.note("more refused lines are only counted; --rejects FILE has all");
                }
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes()).map_err(|error| {
            Failure::new(format_args!("can't write the refused lines: {error}"))
                .remedy("make room, then run the same command again: it goes on")
        })
    }

    /// The bytes that the file has now.
    pub(super) fn bytes(&self) -> u64 {
        self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len())
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!("can't write {}: {error}", path.display())).remedy("name another file with --rejects")
}

/// Counts by reason. Where there are too many, the later ones are not told apart.
pub(super) fn count(reasons: &mut BTreeMap<String, u64>, refused: &[Refused]) {
    for Refused { why, .. } in refused {
        let is_new = !reasons.contains_key(why);
        let reason = if is_new && reasons.len() >= MOST_REASONS { OTHER_REASONS } else { why };
        *reasons.entry(reason.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: u64, why: &str) -> Refused {
        Refused { place: Place { file: 0, line }, why: why.to_owned() }
    }

    #[test]
    fn what_an_interrupted_run_wrote_is_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rejects");
        let open = |bytes| Book::open(Some(&path), bytes, vec!["a.csv".to_owned()], Output::Text).expect("open");
        let mut book = open(0);
        book.write(&[refused(1, "one")]).expect("written");
        let first = book.bytes();
        book.write(&[refused(2, "two")]).expect("written");
        let mut book = open(first);
        book.write(&[refused(3, "three")]).expect("written");
        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(
            text,
            "{\"file\":\"a.csv\",\"line\":1,\"why\":\"one\"}\n{\"file\":\"a.csv\",\"line\":3,\"why\":\"three\"}\n"
        );
    }

    #[test]
    fn there_are_not_too_many_reasons() {
        let mut reasons = BTreeMap::new();
        for number in 0..100 {
            count(&mut reasons, &[refused(1, &number.to_string())]);
        }
        assert_eq!(reasons.len(), MOST_REASONS + 1);
        assert_eq!(reasons.values().sum::<u64>(), 100);
    }
}
