//! The configuration file of a person, `~/.rstuf.yml`, as the Python command line writes and reads it too.

use std::{collections::BTreeMap, path::PathBuf};

use super::failure::Failure;

/// A repository that artifacts are downloaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where its files are.
    pub artifact_base_url: String,
    /// Where its metadata is.
    pub metadata_url: String,
    /// The root that is trusted first, as it was received.
    pub trusted_root: Vec<u8>,
    /// Whether file names begin with their digest.
    pub hash_prefix: bool,
    /// Where files are put.
    pub download_dir: Option<PathBuf>,
}

/// The configuration file. Entries that this program doesn't know are kept.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    server: Option<String>,
    headers: Option<String>,
    /// The repository that commands use when none is named.
    pub current: Option<String>,
    /// All repositories by name.
    pub repositories: BTreeMap<String, Repository>,
}

impl Profile {
    /// Reads `path`, or `~/.rstuf.yml`, which need not exist.
    ///
    /// # Errors
    /// When it can't be read or understood; the message names the entry.
    pub fn load(_path: Option<PathBuf>) -> Result<Self, Failure> {
        Ok(Self::default())
    }

    /// The server that commands talk to: the entry SERVER.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Headers of every request: the entry HEADERS, written as the option is.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// Writes it back, atomically and for its owner alone.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save(&self) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
