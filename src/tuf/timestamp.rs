//! The view of timestamp: which snapshot is the current one (TUF §4.6).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::tuf::{
    member::{Members, MetadataError, object},
    name::Version,
    snapshot::MetaFile,
    wire::{Header, RoleType, SPEC_VERSION, format_expires},
};

/// A typed view of timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRole {
    /// The version.
    pub version: Version,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// The current snapshot.
    pub snapshot: MetaFile,
}

impl TimestampRole {
    /// Reads what timestamp signs.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn view(signed: &Value) -> Result<Self, MetadataError> {
        let header = Header::of_type(signed, RoleType::Timestamp)?;
        let listed = object(signed)?.object("meta")?.required("snapshot.json");
        let snapshot = listed.and_then(|value| MetaFile::view(value).map_err(|e| e.within("snapshot.json")));
        let snapshot = snapshot.map_err(|e| e.within("meta"))?;
        Ok(Self { version: header.version, expires: header.expires, snapshot })
    }
}

/// Writes what timestamp signs.
pub fn render(version: Version, expires: Timestamp, snapshot: &MetaFile) -> Value {
    json!({
        "_type": "timestamp",
        "expires": format_expires(expires),
        "meta": { "snapshot.json": snapshot },
        "spec_version": SPEC_VERSION,
        "version": version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::sample::{at, version};

    #[test]
    fn what_is_rendered_is_read_back() {
        let snapshot = MetaFile::of(version(4), b"bytes");
        let view = TimestampRole::view(&render(version(5), at(1), &snapshot)).expect("a timestamp");
        assert_eq!(view, TimestampRole { version: version(5), expires: at(1), snapshot });
    }

    #[test]
    fn refusals_name_the_member() {
        let mut signed = render(version(1), at(0), &MetaFile::version_only(version(1)));
        signed["meta"]["snapshot.json"]["length"] = json!(-1);
        let refused = TimestampRole::view(&signed).expect_err("refused").to_string();
        assert_eq!(refused, "meta.snapshot.json.length: must be a whole number from 0");
        signed["meta"] = json!({});
        assert_eq!(TimestampRole::view(&signed).expect_err("refused").to_string(), "meta.snapshot.json: is missing");
    }
}
