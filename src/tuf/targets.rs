//! The view of targets, bins and other delegated roles: artifacts and delegations (TUF §4.5).

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::tuf::{
    delegation::Delegations,
    member::{Members, MetadataError, object},
    name::{ArtifactPath, Version},
    wire::{Header, RoleType, SPEC_VERSION, format_expires},
};

/// What a client checks of an artifact that it has downloaded.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetFile {
    /// Bytes.
    pub length: u64,
    /// Hexadecimal digests by the name of their algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What its publisher wants clients to know.
    pub custom: Option<Value>,
}

/// How the content of a file differs from what was signed about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Another length.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// Bytes that were signed.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Another digest.
    #[error("its {algorithm} is another")]
    Hash {
        /// The algorithm.
        algorithm: String,
    },
    /// Digests are signed, but all of algorithms that can't be computed here.
    #[error("none of its digests is of a known algorithm")]
    UnknownHashes,
}

/// Compares content with digests, of which at least one must be SHA-256, SHA-384 or SHA-512.
pub(super) fn check_hashes(bytes: &[u8], hashes: &BTreeMap<String, String>) -> Result<(), ContentError> {
    let known: [(&str, &'static digest::Algorithm); 3] =
        [("sha256", &digest::SHA256), ("sha384", &digest::SHA384), ("sha512", &digest::SHA512)];
    let mut checked = 0;
    for (name, algorithm) in known {
        let Some(expected) = hashes.get(name) else { continue };
        if !hex::encode(digest::digest(algorithm, bytes)).eq_ignore_ascii_case(expected) {
            return Err(ContentError::Hash { algorithm: name.to_owned() });
        }
        checked += 1;
    }
    if checked == 0 { Err(ContentError::UnknownHashes) } else { Ok(()) }
}

/// Compares the length of content.
pub(super) fn check_length(bytes: &[u8], expected: u64) -> Result<(), ContentError> {
    let found = bytes.len() as u64;
    if found == expected { Ok(()) } else { Err(ContentError::Length { expected, found }) }
}

/// Reads a `hashes` member: digests by algorithm, at least one.
pub(super) fn hashes(members: &Map<String, Value>) -> Result<BTreeMap<String, String>, MetadataError> {
    let read = |(name, digest): (&String, &Value)| Some((name.clone(), digest.as_str()?.to_owned()));
    let hashes: Option<BTreeMap<_, _>> = members.object("hashes")?.iter().map(read).collect();
    let wrong = || MetadataError::field("hashes", "must be digests by the names of their algorithms");
    hashes.filter(|hashes| !hashes.is_empty()).ok_or_else(wrong)
}

impl TargetFile {
    /// Reads the value of a path.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when `length` or `hashes` is missing or wrong.
    pub fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        Ok(Self { length: members.number("length")?, hashes: hashes(members)?, custom: members.get("custom").cloned() })
    }

    /// Checks downloaded content (TUF §5.7).
    ///
    /// # Errors
    /// [`ContentError`] when it is not what was signed.
    pub fn check(&self, bytes: &[u8]) -> Result<(), ContentError> {
        check_length(bytes, self.length)?;
        check_hashes(bytes, &self.hashes)
    }
}

/// A typed view of a targets role.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// The version.
    pub version: Version,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// The artifacts by their paths.
    pub targets: HashMap<String, TargetFile>,
    /// To whom it delegates.
    pub delegations: Option<Delegations>,
}

impl Targets {
    /// Reads what a targets role signs.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn view(signed: &Value) -> Result<Self, MetadataError> {
        let header = Header::of_type(signed, RoleType::Targets)?;
        let members = object(signed)?;
        let read = |(path, value): (&String, &Value)| {
            let file = TargetFile::view(value).map_err(|e| e.within(path).within("targets"))?;
            Ok((path.clone(), file))
        };
        let targets = members.object("targets")?.iter().map(read).collect::<Result<_, MetadataError>>()?;
        let delegations = members.get("delegations").map(Delegations::view).transpose();
        let delegations = delegations.map_err(|e| e.within("delegations"))?;
        Ok(Self { version: header.version, expires: header.expires, targets, delegations })
    }

    /// What is known of an artifact.
    pub fn get(&self, path: &ArtifactPath) -> Option<&TargetFile> {
        self.targets.get(path.as_str())
    }
}

/// Writes what a targets role signs: the same artifacts in any order make the same file.
///
/// `artifacts` are the paths with their information as it is stored; `delegations` is the whole member, as
/// [`Bins::delegations`](super::bins::Bins::delegations) makes it.
pub fn render(
    version: Version,
    expires: Timestamp,
    artifacts: &[(ArtifactPath, Value)],
    delegations: Option<&Value>,
) -> Value {
    let mut sorted: Vec<_> = artifacts.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut targets = Map::with_capacity(sorted.len());
    targets.extend(sorted.into_iter().map(|(path, info)| (path.as_str().to_owned(), info.clone())));
    let mut signed = Map::new();
    signed.insert("_type".to_owned(), json!("targets"));
    if let Some(delegations) = delegations {
        signed.insert("delegations".to_owned(), delegations.clone());
    }
    signed.insert("expires".to_owned(), json!(format_expires(expires)));
    signed.insert("spec_version".to_owned(), json!(SPEC_VERSION));
    signed.insert("targets".to_owned(), Value::Object(targets));
    signed.insert("version".to_owned(), json!(version));
    Value::Object(signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::sample::{at, path, version};

    fn info(content: &[u8]) -> Value {
        let sha256 = hex::encode(digest::digest(&digest::SHA256, content));
        json!({"length": content.len(), "hashes": {"sha256": sha256, "blake2b-256": "00"}, "custom": {"a": [1]}})
    }

    #[test]
    fn the_order_of_artifacts_does_not_matter() {
        let (a, b) = ((path("a"), info(b"a")), (path("b"), info(b"b")));
        let one = render(version(2), at(0), &[a.clone(), b.clone()], None);
        let other = render(version(2), at(0), &[b, a], None);
        assert_eq!(one.to_string(), other.to_string());
        assert!(one.as_object().expect("an object").keys().is_sorted());
        let view = Targets::view(&one).expect("targets");
        assert_eq!(view.get(&path("a")).expect("listed").custom, Some(json!({"a": [1]})));
        assert_eq!(view.get(&path("c")), None);
    }

    #[test]
    fn content_is_checked() {
        let file = TargetFile::view(&info(b"content")).expect("a file");
        assert_eq!(file.check(b"content"), Ok(()));
        assert_eq!(file.check(b"contend"), Err(ContentError::Hash { algorithm: "sha256".into() }));
        assert_eq!(file.check(b"conten"), Err(ContentError::Length { expected: 7, found: 6 }));
        let only_unknown = TargetFile { hashes: [("blake2b-256".into(), "00".into())].into(), ..file };
        assert_eq!(only_unknown.check(b"content"), Err(ContentError::UnknownHashes));
    }

    #[test]
    fn refusals_name_the_member() {
        let mut signed = render(version(1), at(0), &[(path("a/b"), info(b""))], None);
        signed["targets"]["a/b"]["hashes"] = json!({"sha256": 1});
        let refused = Targets::view(&signed).expect_err("refused").to_string();
        assert_eq!(refused, "targets.a/b.hashes: must be digests by the names of their algorithms");
    }
}
