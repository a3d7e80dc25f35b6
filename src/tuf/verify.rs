//! What a strict client checks of metadata before it trusts it (TUF §5), as functions of bytes and a time.
//!
//! [`Trusted`] is the whole client workflow. [`verify_delegated`] is the part of it that a round needs for each of
//! thousands of bins, [`threshold_met`] the part that counts signatures.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use thiserror::Error;

use crate::tuf::{
    canonical::CanonicalError,
    content::ContentError,
    delegation::Delegations,
    key::{Key, KeyError},
    limits,
    name::{KeyId, RoleName, Version},
    root::RoleKeys,
    snapshot::Snapshot,
    targets::{Targets, header_as_rendered},
    wire::{Metadata, MetadataError, RoleType, Signature, SignedText, format_expires},
};

mod search;
mod trusted;

pub use search::{MAX_VISITED, Next};
pub use trusted::Trusted;

/// Why a client does not trust a file. Each variant is one check of the client workflow.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The file can't be read as metadata.
    #[error("{role} can't be read: {source}")]
    Malformed {
        /// The role.
        role: RoleName,
        /// What is wrong.
        source: MetadataError,
    },
    /// The file holds a number that can't be signed.
    #[error("{role} can't be signed: {source}")]
    Canonical {
        /// The role.
        role: RoleName,
        /// The number.
        source: CanonicalError,
    },
    /// The file is metadata of another type.
    #[error("{role} is metadata of the type {}", found.as_str())]
    WrongType {
        /// The role.
        role: RoleName,
        /// Its `_type`.
        found: RoleType,
    },
    /// The file is larger than clients accept.
    #[error("{role} has {bytes} bytes, clients accept {limit_bytes}")]
    TooLarge {
        /// The role.
        role: RoleName,
        /// Bytes.
        bytes: u64,
        /// The most that every client accepts.
        limit_bytes: u64,
    },
    /// Length or hash differ from what is signed about the file.
    #[error("{role} is not the file that is signed: {source}")]
    Content {
        /// The role.
        role: RoleName,
        /// The difference.
        source: ContentError,
    },
    /// Too few keys signed.
    #[error("{role} has valid signatures of {valid} keys and needs {threshold}")]
    Threshold {
        /// The role.
        role: RoleName,
        /// Different keys with a valid signature.
        valid: usize,
        /// The keys that are needed.
        threshold: u32,
    },
    /// A root that does not follow the trusted one.
    #[error("root {found} can't follow version {trusted}")]
    RootVersion {
        /// The version that is trusted.
        trusted: Version,
        /// The version of the file.
        found: Version,
    },
    /// The file is older than one that was seen.
    #[error("{role} {found} is older than version {trusted}, which was seen before")]
    Rollback {
        /// The role.
        role: RoleName,
        /// The version that was seen.
        trusted: Version,
        /// The version that is offered now.
        found: Version,
    },
    /// Snapshot lists an older version of a role than it did before.
    #[error("snapshot lists {file} {found}, older than version {trusted}, which it listed before")]
    ListedBack {
        /// The name of the role's file.
        file: String,
        /// The version that was listed.
        trusted: Version,
        /// The version that is listed now.
        found: Version,
    },
    /// The version was seen before, with other content.
    #[error("{role} {version} was seen before with other content")]
    Changed {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
    },
    /// The file has another version than the one that is listed.
    #[error("{role} {found} was found where version {listed} is listed")]
    Unlisted {
        /// The role.
        role: RoleName,
        /// The version in snapshot, or of snapshot in timestamp.
        listed: Version,
        /// The version of the file.
        found: Version,
    },
    /// Snapshot does not list the role.
    #[error("snapshot does not list {role}")]
    NotInSnapshot {
        /// The role.
        role: RoleName,
    },
    /// Snapshot lost a role that it listed before.
    #[error("snapshot lists {file} no more")]
    Unlisting {
        /// The name of the role's file.
        file: String,
    },
    /// The file's time is over.
    #[error("{role} expired at {}", format_expires(*expires))]
    Expired {
        /// The role.
        role: RoleName,
        /// When.
        expires: Timestamp,
    },
    /// Nobody delegates to the role.
    #[error("{delegator} does not delegate to {role}")]
    NotDelegated {
        /// The role.
        role: RoleName,
        /// Who was said to delegate to it.
        delegator: RoleName,
    },
    /// The search for an artifact has asked [`MAX_VISITED`] roles, and there are more.
    #[error("delegations lead on after {MAX_VISITED} roles")]
    TooManyRoles,
    /// A file that has to be trusted first is not, or not in its current version.
    #[error("{needs} has to be updated first")]
    Order {
        /// The role of that file.
        needs: RoleName,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureFault {
    /// The key is none of the role's.
    #[error("the key is none of this role")]
    NotOfRole,
    /// The role names the key, but the key itself is nowhere.
    #[error("the key is missing")]
    NoKey,
    /// The key does not verify it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The same key, under another id, has signed already.
    #[error("the key is the same as that of {}", .0)]
    SameKey(KeyId),
}

/// The signatures of a file, one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// The keys whose signature counts.
    pub valid: BTreeSet<KeyId>,
    /// The signatures that don't count, and why.
    pub faults: Vec<(KeyId, SignatureFault)>,
}

/// Verifies every signature of a file with the keys of its role.
///
/// Each key counts once: whichever id it has, and however often it signs.
///
/// # Errors
/// [`CanonicalError`] when the file holds a number that can't be signed.
pub fn tally(keys: &BTreeMap<KeyId, Key>, role: &RoleKeys, metadata: &Metadata) -> Result<Tally, CanonicalError> {
    Ok(count(keys, role, &metadata.canonical()?, &metadata.signatures))
}

fn count(keys: &BTreeMap<KeyId, Key>, role: &RoleKeys, message: &[u8], signatures: &[Signature]) -> Tally {
    let mut tally = Tally::default();
    let mut counted: BTreeMap<Vec<u8>, KeyId> = BTreeMap::new();
    for signature in signatures {
        let id = &signature.keyid;
        let checked =
            check(keys, role, id, message, &signature.sig).and_then(|identity| match counted.get(&identity) {
                Some(other) => Err(SignatureFault::SameKey(other.clone())),
                None => Ok(identity),
            });
        match checked {
            Ok(identity) => {
                counted.insert(identity, id.clone());
                tally.valid.insert(id.clone());
            }
            Err(fault) => tally.faults.push((id.clone(), fault)),
        }
    }
    tally
}

fn check(
    keys: &BTreeMap<KeyId, Key>,
    role: &RoleKeys,
    id: &KeyId,
    message: &[u8],
    sig: &str,
) -> Result<Vec<u8>, SignatureFault> {
    if !role.keyids.contains(id) {
        return Err(SignatureFault::NotOfRole);
    }
    let key = keys.get(id).ok_or(SignatureFault::NoKey)?;
    key.verify(message, sig)?;
    Ok(key.identity().ok_or(KeyError::Public)?)
}

/// Makes sure that enough keys of a role signed, and says how many did.
///
/// # Errors
/// [`VerifyError::Threshold`] or [`VerifyError::Canonical`], with `name` as the role.
pub fn threshold_met(
    name: &RoleName,
    keys: &BTreeMap<KeyId, Key>,
    role: &RoleKeys,
    metadata: &Metadata,
) -> Result<usize, VerifyError> {
    let tally = tally(keys, role, metadata);
    enough(name, role, &tally.map_err(|source| VerifyError::Canonical { role: name.clone(), source })?)
}

fn enough(name: &RoleName, role: &RoleKeys, tally: &Tally) -> Result<usize, VerifyError> {
    let valid = tally.valid.len();
    if valid < role.threshold as usize {
        return Err(VerifyError::Threshold { role: name.clone(), valid, threshold: role.threshold });
    }
    Ok(valid)
}

/// Verifies the file of a delegated role: its size, signatures, type, `version` and expiry, and that its content can
/// be read (TUF §5.6.3 to §5.6.5). This is all that [`Trusted`] would check of it, since snapshot lists such roles by version only.
///
/// # Errors
/// [`VerifyError`] for the first check that fails.
pub fn verify_delegated(
    delegations: &Delegations,
    role: &RoleName,
    bytes: &[u8],
    version: Version,
    now: Timestamp,
) -> Result<Targets, VerifyError> {
    let keys = delegations
        .role(role)
        .ok_or_else(|| VerifyError::NotDelegated { role: role.clone(), delegator: RoleName::targets() })?;
    check_size(role, bytes)?;
    targets(role, &delegations.keys, keys, bytes, version, now)
}

/// Verifies the file of a delegated role as [`verify_delegated`] does, for who does not ask what it says.
///
/// # Errors
/// [`VerifyError`] for the first check that fails.
pub fn check_delegated(
    delegations: &Delegations,
    role: &RoleName,
    bytes: &[u8],
    version: Version,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let text = SignedText::parse(bytes);
    let read = text.and_then(|text| header_as_rendered(text.signed).map(|header| (text, header)));
    let (Some((text, (found, expires))), Some(keys)) = (read, delegations.role(role)) else {
        return verify_delegated(delegations, role, bytes, version, now).map(drop);
    };
    check_size(role, bytes)?;
    enough(role, keys, &count(&delegations.keys, keys, text.signed.as_bytes(), &text.signatures))?;
    check_listed(role, version, found)?;
    check_expiry(role, expires, now)
}

/// Reads and verifies a targets role that is listed with `version`.
fn targets(
    role: &RoleName,
    keys: &BTreeMap<KeyId, Key>,
    of_role: &RoleKeys,
    bytes: &[u8],
    version: Version,
    now: Timestamp,
) -> Result<Targets, VerifyError> {
    let targets = read_targets(role, keys, of_role, bytes)?;
    check_listed(role, version, targets.version)?;
    check_expiry(role, targets.expires, now)?;
    Ok(targets)
}

/// Reads a targets role and verifies its signatures.
fn read_targets(
    role: &RoleName,
    keys: &BTreeMap<KeyId, Key>,
    of_role: &RoleKeys,
    bytes: &[u8],
) -> Result<Targets, VerifyError> {
    let text = SignedText::parse(bytes);
    if let Some((text, targets)) = text.and_then(|text| Targets::as_rendered(text.signed).map(|read| (text, read))) {
        enough(role, of_role, &count(keys, of_role, text.signed.as_bytes(), &text.signatures))?;
        return Ok(targets);
    }
    let metadata = open(role, RoleType::Targets, bytes)?;
    threshold_met(role, keys, of_role, &metadata)?;
    Targets::view(&metadata.signed).map_err(malformed(role))
}

/// Reads a snapshot and verifies its signatures.
fn snapshot(keys: &BTreeMap<KeyId, Key>, of_role: &RoleKeys, bytes: &[u8]) -> Result<Snapshot, VerifyError> {
    let role = RoleName::snapshot();
    let text = SignedText::parse(bytes);
    if let Some((text, snapshot)) = text.and_then(|text| Snapshot::as_rendered(text.signed).map(|read| (text, read))) {
        enough(&role, of_role, &count(keys, of_role, text.signed.as_bytes(), &text.signatures))?;
        return Ok(snapshot);
    }
    let metadata = open(&role, RoleType::Snapshot, bytes)?;
    threshold_met(&role, keys, of_role, &metadata)?;
    Snapshot::view(&metadata.signed).map_err(malformed(&role))
}

/// Reads a file as metadata of a type. Nothing of it is trusted yet.
fn open(role: &RoleName, type_: RoleType, bytes: &[u8]) -> Result<Metadata, VerifyError> {
    let metadata = Metadata::parse(bytes).map_err(malformed(role))?;
    let found = metadata.header().map_err(malformed(role))?.type_;
    if found != type_ {
        return Err(VerifyError::WrongType { role: role.clone(), found });
    }
    Ok(metadata)
}

fn malformed(role: &RoleName) -> impl Fn(MetadataError) -> VerifyError {
    move |source| VerifyError::Malformed { role: role.clone(), source }
}

fn check_size(role: &RoleName, bytes: &[u8]) -> Result<(), VerifyError> {
    let (bytes, limit_bytes) = (bytes.len() as u64, limits::strictest(role));
    if bytes > limit_bytes {
        return Err(VerifyError::TooLarge { role: role.clone(), bytes, limit_bytes });
    }
    Ok(())
}

fn check_listed(role: &RoleName, listed: Version, found: Version) -> Result<(), VerifyError> {
    if listed != found {
        return Err(VerifyError::Unlisted { role: role.clone(), listed, found });
    }
    Ok(())
}

fn check_expiry(role: &RoleName, expires: Timestamp, now: Timestamp) -> Result<(), VerifyError> {
    if expires <= now {
        return Err(VerifyError::Expired { role: role.clone(), expires });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
