//! Values as the ledgers store them, and back: what a ledger holds was checked when it was stored, so what can't be read is
//! [`StoreError::Broken`].

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{Expiry, charter::Signing};
use crate::{
    store::StoreError,
    task::{Outcome, Progress},
    tuf::{
        bins::NAME_PREFIX,
        change::Change,
        info::Info,
        name::{ArtifactPath, NameError, RoleName, Version},
    },
};

/// The bytes of target information that one plan takes at most, but for one artifact: they are all in memory at once.
pub(super) const PLAN_BYTES: usize = 64 * 1024 * 1024;

/// A change as its target information says it: none is a removal.
pub(super) fn change(info: Option<&str>) -> Result<Change, StoreError> {
    Ok(match info {
        Some(info) => Change::Add(self::info(info)?),
        None => Change::Remove,
    })
}

/// Target information as it was stored.
pub(super) fn info(text: &str) -> Result<Info, StoreError> {
    Info::parse(text).map_err(|error| StoreError::Broken(format!("the ledger holds JSON of another form: {error}")))
}

/// How a role is signed, as databases take it.
pub(super) fn signing(signing: Signing) -> &'static str {
    match signing {
        Signing::Online => "online",
        Signing::Offline => "offline",
    }
}

/// The last version that was given out, 0 for none.
pub(super) fn optional_version(number: i64) -> Result<Option<Version>, StoreError> {
    if number == 0 { Ok(None) } else { version(number).map(Some) }
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a value has no JSON: {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Broken(format!("the ledger holds JSON of another form: {error}")))
}

/// A value that was checked when it was stored.
fn checked<T>(parsed: Result<T, NameError>) -> Result<T, StoreError> {
    parsed.map_err(|error| StoreError::Broken(format!("the ledger holds what is not allowed: {error}")))
}

pub(super) fn role(text: &str) -> Result<RoleName, StoreError> {
    checked(RoleName::parse(text))
}

pub(super) fn path(text: &str) -> Result<ArtifactPath, StoreError> {
    checked(ArtifactPath::parse(text))
}

pub(super) fn version(number: i64) -> Result<Version, StoreError> {
    checked(u64::try_from(number).map_err(|_| NameError::Version).and_then(Version::new))
}

/// A version as databases take it.
pub(super) fn number(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}

pub(super) fn time(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|error| StoreError::Broken(format!("the ledger holds no time: {error}")))
}

/// When the role of this name expires, in seconds since 1970. `bins` are many, so they have no version.
pub(super) fn expiry(name: &str, number: i64, expires: i64) -> Result<Expiry, StoreError> {
    let expires = Timestamp::from_second(expires)
        .map_err(|error| StoreError::Broken(format!("the ledger holds no time: {error}")))?;
    let version = if name == NAME_PREFIX { None } else { Some(version(number)?) };
    Ok(Expiry { version, expires })
}

/// How a task ended, with the time at which clients saw it.
pub(super) fn ended(progress: &str, finished_at: i64) -> Result<Progress, StoreError> {
    let last_update = time(finished_at)?;
    Ok(match from_json(progress)? {
        Progress::Finished(outcome) => Progress::Finished(Outcome { last_update, ..outcome }),
        other => other,
    })
}
