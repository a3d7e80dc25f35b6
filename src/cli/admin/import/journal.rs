//! How far an import has come, so that it goes on after whatever ended it.
//!
//! The document says up to which position all lines are settled: the repository holds them back, or refused them. What comes after
//! is sent again. That does no harm, and is counted once, because all counts are those of settled lines. The document is replaced
//! atomically and reaches the disk before the next request is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::source::{Identity, Position};
use crate::cli::failure::Failure;

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The repository, by the task that created it.
    pub(super) repository: String,
    /// The files.
    pub(super) inputs: Vec<Identity>,
    /// All before it is settled.
    pub(super) settled: Position,
    /// Tasks that were accepted and are not known to have ended.
    pub(super) in_flight: BTreeSet<String>,
    /// Settled lines.
    pub(super) lines: u64,
    /// Those of them that the repository has.
    pub(super) accepted: u64,
    /// The others, by reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Bytes of the file of refused lines that are about settled ones.
    pub(super) rejects_bytes: u64,
    /// All is done.
    pub(super) finished: bool,
}

impl Progress {
    /// The number of lines that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Keeps the document.
#[derive(Debug)]
pub(super) struct Journal {
    path: Option<PathBuf>,
    pub(super) progress: Progress,
}

impl Journal {
    /// The journal at `path`, or none on disk.
    ///
    /// # Errors
    /// When there is one that can't be read.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Option<Progress>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| unreadable(&path, &error))
    }

    /// A journal that goes on from `progress`.
    pub(super) fn of(path: Option<PathBuf>, progress: Progress) -> Self {
        Self { path, progress }
    }

    /// Puts the document on the disk.
    ///
    /// # Errors
    /// When it can't be written: then nothing more may be sent.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        write(path, &self.progress).map_err(|error| {
            Failure::new(format_args!("can't write the journal {}: {error}", path.display())).remedy(
                "make room, or name a writable place with --journal; then run the same command again: it goes on",
            )
        })
    }
}

fn write(path: &Path, progress: &Progress) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, progress)?;
    file.write_all(b"\n")?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format_args!("can't read the journal {}: {error}", path.display()))
        .remedy("remove it to import from the beginning; what is there already does no harm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_saved() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        assert_eq!(Journal::open(Some(path.clone())).expect("none"), None);
        let mut progress = Progress { lines: 7, accepted: 5, ..Progress::default() };
        progress.refused.insert("why".to_owned(), 2);
        progress.settled = Position { file: 1, offset: 99, line: 3 };
        progress.in_flight.insert("a".to_owned());
        Journal::of(Some(path.clone()), progress.clone()).save().expect("saved");
        assert_eq!(Journal::open(Some(path.clone())).expect("readable"), Some(progress));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        fs::write(&path, "{").expect("written");
        assert!(Journal::open(Some(path)).is_err());
    }
}
