//! Artifacts with content, so that clients can download what they found.

use std::{fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

/// A path with the content that it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) path: String,
    pub(crate) content: String,
}

impl Artifact {
    /// An artifact.
    pub(crate) fn new(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), content: content.into() }
    }

    /// SHA-256 of the content, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        hex::encode(digest(&SHA256, self.content.as_bytes()))
    }

    /// What a client is to find under the path.
    pub(crate) fn info(&self) -> Value {
        json!({ "length": self.content.len(), "hashes": { "sha256": self.sha256() } })
    }

    /// How the REST API is told of it.
    pub(crate) fn entry(&self) -> Value {
        json!({ "path": self.path, "info": self.info() })
    }

    /// Puts the content where clients look for it below `directory`: beside its path, under its hash.
    pub(crate) fn store(&self, directory: &Path) {
        let path = Path::new(&self.path);
        let name = path.file_name().expect("an artifact has a name").to_string_lossy();
        let parent = directory.join(path.parent().unwrap_or(Path::new("")));
        fs::create_dir_all(&parent).expect("a directory can be made");
        fs::write(parent.join(format!("{}.{name}", self.sha256())), &self.content).expect("a file can be written");
    }
}
