//! Artifacts as a registry has them: a path of some fifty characters, a length, a digest.

use std::fmt::Write;

use clap::ValueEnum;

use crate::tuf::{
    name::{ArtifactPath, NameError},
    targets::TargetFile,
};

/// Which digest stands for the content of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Digest {
    /// SHA-256, which every client knows.
    Sha256,
    /// BLAKE2b with 256 bits, which the Python command line sends.
    #[value(name = "blake2b-256")]
    Blake2b256,
}

impl Digest {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake2b256 => "blake2b-256",
        }
    }
}

/// An artifact, all of which follows from a random number: millions of them are remembered for their check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Artifact(u64);

impl Artifact {
    /// An artifact that nobody has added yet.
    pub fn fresh() -> Self {
        Self(fastrand::u64(..))
    }

    fn content(self) -> ([u8; 32], u32) {
        let mut generator = fastrand::Rng::with_seed(self.0);
        (std::array::from_fn(|_| generator.u8(..)), generator.u32(..))
    }
}

/// How artifacts are called and described.
#[derive(Debug, Clone)]
pub struct Kind {
    prefix: String,
    digest: Digest,
}

impl Kind {
    /// Artifacts below the directory `prefix`.
    ///
    /// # Errors
    /// [`NameError`] when the paths would be none.
    pub fn new(prefix: &str, digest: Digest) -> Result<Self, NameError> {
        let kind = Self { prefix: prefix.trim_end_matches('/').to_owned(), digest };
        kind.path(Artifact(0))?;
        // What needs an escape in JSON is not for a tool that writes its bodies by hand.
        let plain = prefix.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        plain.then_some(kind).ok_or(NameError::PathControl)
    }

    fn path_text(&self, Artifact(unique): Artifact) -> String {
        format!("{}/{:02x}/package-{unique:016x}/package-1.0.tar.gz", self.prefix, unique % 256)
    }

    /// Where an artifact is.
    ///
    /// # Errors
    /// None that [`new`](Kind::new) would not have told.
    pub fn path(&self, artifact: Artifact) -> Result<ArtifactPath, NameError> {
        ArtifactPath::parse(&self.path_text(artifact))
    }

    /// The target information of an artifact, in the canonical form.
    pub fn info(&self, artifact: Artifact) -> String {
        let (digest, length) = artifact.content();
        format!(r#"{{"hashes":{{"{}":"{}"}},"length":{length}}}"#, self.digest.name(), hex::encode(digest))
    }

    /// Whether this is what is to be known of an artifact.
    pub fn describes(&self, artifact: Artifact, file: &TargetFile) -> bool {
        let (digest, length) = artifact.content();
        file.length == u64::from(length) && file.hashes.get(self.digest.name()) == Some(&hex::encode(digest))
    }

    /// The body of the request that adds artifacts.
    pub fn addition(&self, artifacts: &[Artifact]) -> String {
        let entry = |body: &mut String, artifact| {
            let (path, info) = (self.path_text(artifact), self.info(artifact));
            // A text takes all that is written to it.
            let _ = write!(body, r#"{{"path":"{path}","info":{info}}}"#);
        };
        listed(artifacts, entry)
    }

    /// The body of the request that removes artifacts.
    pub fn removal(&self, artifacts: &[Artifact]) -> String {
        listed(artifacts, |body, artifact| {
            let _ = write!(body, r#""{}""#, self.path_text(artifact));
        })
    }
}

fn listed(artifacts: &[Artifact], entry: impl Fn(&mut String, Artifact)) -> String {
    let mut body = String::with_capacity(32 + artifacts.len() * 200);
    body.push_str(r#"{"artifacts":["#);
    for (i, artifact) in artifacts.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        entry(&mut body, *artifact);
    }
    body.push_str("]}");
    body
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bodies_say_what_the_check_expects() {
        let kind = Kind::new("load/", Digest::Blake2b256).expect("a prefix");
        let artifacts = [Artifact(7), Artifact::fresh()];
        let body: Value = serde_json::from_str(&kind.addition(&artifacts)).expect("JSON");
        let first = &body["artifacts"][0];
        assert_eq!(first["path"], "load/07/package-0000000000000007/package-1.0.tar.gz");
        let file = TargetFile::view(&first["info"]).expect("target information");
        assert!(kind.describes(artifacts[0], &file) && !kind.describes(artifacts[1], &file));
        let removal: Value = serde_json::from_str(&kind.removal(&artifacts[..1])).expect("JSON");
        assert_eq!(removal, json!({ "artifacts": [first["path"]] }));
    }

    #[test]
    fn a_prefix_that_makes_no_path_is_refused() {
        for prefix in ["", "/a", "a/../b", "a\"b", "a\nb"] {
            assert!(Kind::new(prefix, Digest::Sha256).is_err(), "{prefix:?}");
        }
    }
}
