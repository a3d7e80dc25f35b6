//! Checked names: a value of one of these types has passed its `parse`, wherever it came from.

use std::{borrow::Borrow, fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest role name that is accepted, in bytes: with a version and `.json` it must stay a file name.
pub const MAX_ROLE_NAME_BYTES: usize = 128;

/// The longest artifact path, in bytes, that any configuration may allow.
pub const MAX_ARTIFACT_PATH_BYTES: usize = 4096;

/// Why a name was refused. The text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// A role name outside `[A-Za-z0-9_-]+`.
    #[error("a role name has 1 to {MAX_ROLE_NAME_BYTES} of the characters a-z, A-Z, 0-9, - and _")]
    Role,
    /// The artifact path is empty.
    #[error("a path must not be empty")]
    EmptyPath,
    /// The artifact path starts with a slash.
    #[error("a path must not start with /")]
    AbsolutePath,
    /// A segment of the artifact path is empty, `.` or `..`.
    #[error("a path must not have empty, . or .. segments")]
    PathSegment,
    /// The artifact path holds NUL or another control character.
    #[error("a path must not contain control characters")]
    PathControl,
    /// The artifact path is too long.
    #[error("a path must have at most {0} bytes")]
    PathLength(usize),
    /// A version of zero, or not a number.
    #[error("a version is a whole number greater than 0")]
    Version,
}

/// The name of a role, as it appears in file names and in snapshot: `timestamp`, `bins-0f`, `release`.
///
/// Only `[A-Za-z0-9_-]`, so that it can never leave a directory or need escaping in an URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

impl RoleName {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`NameError::Role`] when it is empty, too long or has another character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > MAX_ROLE_NAME_BYTES || !text.bytes().all(allowed) {
            return Err(NameError::Role);
        }
        Ok(Self(text.to_owned()))
    }

    /// The role `root`.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The role `timestamp`.
    pub fn timestamp() -> Self {
        Self("timestamp".to_owned())
    }

    /// The role `snapshot`.
    pub fn snapshot() -> Self {
        Self("snapshot".to_owned())
    }

    /// The role `targets`.
    pub fn targets() -> Self {
        Self("targets".to_owned())
    }

    /// Whether this is one of the four roles that every repository has (TUF §2.1).
    pub fn is_top_level(&self) -> bool {
        matches!(self.0.as_str(), "root" | "timestamp" | "snapshot" | "targets")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the file that holds this role in `version`: `timestamp.json` is the only one without
    /// a version (TUF §3.1, consistent snapshots §6).
    pub fn file_name(&self, version: Version) -> String {
        match self.0.as_str() {
            "timestamp" => "timestamp.json".to_owned(),
            name => format!("{version}.{name}.json"),
        }
    }

    /// The name under which a snapshot or a timestamp lists this role: `targets.json`.
    pub fn meta_name(&self) -> String {
        format!("{}.json", self.0)
    }
}

/// The path of an artifact, relative to the base of the artifacts: `dir/file-1.0.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Checks `text` and makes it a path.
    ///
    /// # Errors
    /// The first rule of [`NameError`] that it breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::EmptyPath);
        }
        if text.len() > MAX_ARTIFACT_PATH_BYTES {
            return Err(NameError::PathLength(MAX_ARTIFACT_PATH_BYTES));
        }
        if text.starts_with('/') {
            return Err(NameError::AbsolutePath);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::PathControl);
        }
        if text.split('/').any(|s| matches!(s, "" | "." | "..")) {
            return Err(NameError::PathSegment);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identifier of a key, as the metadata says it. Opaque: never computed or checked on the server, because
/// implementations disagree on what is hashed (TUF §4.2 leaves it to the repository).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl KeyId {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The version of a metadata file: 1 and up (TUF §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(NonZeroU64);

impl Version {
    /// The first version.
    pub const FIRST: Version = Version(NonZeroU64::MIN);

    /// Makes a version of a number.
    ///
    /// # Errors
    /// [`NameError::Version`] for zero.
    pub fn new(number: u64) -> Result<Self, NameError> {
        NonZeroU64::new(number).map(Self).ok_or(NameError::Version)
    }

    /// The version as a number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The version after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}
text!(RoleName, ArtifactPath, KeyId);

impl TryFrom<String> for RoleName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for ArtifactPath {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self).map_err(|_| NameError::Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_stay_file_names() {
        for good in ["root", "bins-0f", "Dev_Team", "2fa"] {
            assert_eq!(RoleName::parse(good).expect("accepted").as_str(), good);
        }
        let long = "a".repeat(MAX_ROLE_NAME_BYTES + 1);
        for bad in ["", "a/b", "..", "a.b", "a b", "é", "a\0", long.as_str()] {
            assert_eq!(RoleName::parse(bad), Err(NameError::Role), "{bad:?}");
        }
    }

    #[test]
    fn only_timestamp_has_no_version_in_its_file_name() {
        let v = Version::new(7).expect("a version");
        assert_eq!(RoleName::timestamp().file_name(v), "timestamp.json");
        assert_eq!(RoleName::snapshot().file_name(v), "7.snapshot.json");
        assert_eq!(RoleName::parse("2fa").expect("a name").file_name(v), "7.2fa.json");
    }

    #[test]
    fn artifact_paths_cannot_leave_their_directory() {
        for good in ["a", "a/b", "a b/ü.txt", "a..b", ".hidden/x", "%2e%2e/x"] {
            assert!(ArtifactPath::parse(good).is_ok(), "{good:?}");
        }
        let refused = [
            ("", NameError::EmptyPath),
            ("/a", NameError::AbsolutePath),
            ("a//b", NameError::PathSegment),
            ("a/", NameError::PathSegment),
            ("a/../b", NameError::PathSegment),
            ("./a", NameError::PathSegment),
            ("a\0b", NameError::PathControl),
            ("a\nb", NameError::PathControl),
            ("a\u{85}b", NameError::PathControl),
        ];
        for (bad, why) in refused {
            assert_eq!(ArtifactPath::parse(bad), Err(why), "{bad:?}");
        }
    }
}
