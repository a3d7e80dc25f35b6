//! The envelope of every metadata file, kept as it was received.
//!
//! `signed` stays a JSON value: what this program doesn't know survives, and signatures stay valid. The typed views
//! ([`Root`](super::root::Root), [`Targets`](super::targets::Targets), …) read it and never write it back.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use crate::tuf::{
    canonical::{CanonicalError, to_canonical},
    member::{Members, object},
    name::{KeyId, Version},
    unique::Unique,
};

pub use crate::tuf::member::MetadataError;

/// The version of the specification that our metadata says it follows. What is signed by others keeps its own.
pub const SPEC_VERSION: &str = "1.0.31";

/// A metadata file: something signed, and its signatures (TUF §4.2.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Metadata {
    /// The signatures over the canonical form of `signed`. No key id occurs twice.
    pub signatures: Vec<Signature>,
    /// What is signed, as it was received.
    pub signed: Value,
    /// All other members.
    pub extra: Map<String, Value>,
}

/// A metadata file of which `signed` is kept as text: megabytes that were written here need no JSON value.
#[derive(Debug)]
pub(super) struct SignedText<'a> {
    pub(super) signatures: Vec<Signature>,
    pub(super) signed: &'a str,
}

impl<'a> SignedText<'a> {
    /// `None` for what [`Metadata::parse`] would refuse, and perhaps for other files.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct File<'a> {
            signatures: Unique,
            #[serde(borrow)]
            signed: &'a RawValue,
        }
        let file: File<'a> = serde_json::from_slice(bytes).ok()?;
        Some(Self { signatures: signatures(file.signatures.0.as_array()?).ok()?, signed: file.signed.get() })
    }
}

/// Something that will be signed, as text: the canonical form, and the compact JSON where that is another text.
#[derive(Debug)]
pub struct Unsigned {
    canonical: Vec<u8>,
    json: Option<Vec<u8>>,
}

impl Unsigned {
    /// Any value.
    ///
    /// # Errors
    /// [`CanonicalError`] when it holds a number that can't be signed.
    pub fn of(signed: &Value) -> Result<Self, CanonicalError> {
        let canonical = to_canonical(signed)?;
        let json = serde_json::to_vec(signed).expect("json values always have a text");
        Ok(Self { json: (json != canonical).then_some(json), canonical })
    }

    /// What is written in canonical form as it is: all members in their order, and no text that JSON escapes.
    /// Megabytes need no JSON value then.
    pub(super) fn canonical_as_written(signed: &impl Serialize) -> Self {
        Self { canonical: serde_json::to_vec(signed).expect("names and numbers always have a text"), json: None }
    }

    /// What is written in both forms already; the JSON where it is another text.
    pub(super) fn written(canonical: Vec<u8>, json: Option<Vec<u8>>) -> Self {
        Self { canonical, json }
    }

    /// The bytes that are signed.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The file with these signatures, as compact JSON.
    pub fn file(&self, signatures: &[Signature]) -> Vec<u8> {
        let signatures: Value = signatures.iter().map(Signature::to_value).collect();
        let signed = self.json.as_ref().unwrap_or(&self.canonical);
        let mut file = format!("{{\"signatures\":{signatures},\"signed\":").into_bytes();
        file.reserve_exact(signed.len() + 1);
        file.extend_from_slice(signed);
        file.push(b'}');
        file
    }
}

/// A signature by one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The key.
    pub keyid: KeyId,
    /// The signature in hexadecimal digits. Empty where the key's scheme puts it elsewhere, as Sigstore does.
    pub sig: String,
    /// All other members.
    pub extra: Map<String, Value>,
}

/// The type of a metadata file: its `_type`. Delegated roles are of the type [`RoleType::Targets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoleType {
    /// The keys of all top-level roles.
    Root,
    /// The version of snapshot.
    Timestamp,
    /// The versions of all targets roles.
    Snapshot,
    /// Artifacts and delegations.
    Targets,
}

impl RoleType {
    /// The type as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleType::Root => "root",
            RoleType::Timestamp => "timestamp",
            RoleType::Snapshot => "snapshot",
            RoleType::Targets => "targets",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets].into_iter().find(|t| t.as_str() == text)
    }
}

/// What all types of metadata have in common (TUF §4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The type.
    pub type_: RoleType,
    /// The version.
    pub version: Version,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// The version of the specification that it follows: 1.x or 1.x.y.
    pub spec_version: String,
}

impl Header {
    /// Reads the header of what is signed.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn view(signed: &Value) -> Result<Self, MetadataError> {
        let members = object(signed)?;
        let type_ = RoleType::parse(members.text("_type")?)
            .ok_or_else(|| MetadataError::field("_type", "must be root, timestamp, snapshot or targets"))?;
        let spec_version = members.text("spec_version")?;
        if !is_supported(spec_version) {
            return Err(MetadataError::field("spec_version", "must be 1.x or 1.x.y"));
        }
        let expires = parse_expires(members.text("expires")?)?;
        Ok(Self { type_, version: members.version("version")?, expires, spec_version: spec_version.to_owned() })
    }

    /// Reads the header and makes sure that it is of this type.
    pub(super) fn of_type(signed: &Value, type_: RoleType) -> Result<Self, MetadataError> {
        let header = Self::view(signed)?;
        if header.type_ != type_ {
            return Err(MetadataError::field("_type", "must be the type of this role"));
        }
        Ok(header)
    }

    /// Whether it is not valid any more at `now` (TUF §5.3.10 and others: valid while its expiry is later than now).
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

fn is_supported(spec_version: &str) -> bool {
    let parts: Vec<_> = spec_version.split('.').collect();
    let numbers = parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    numbers && matches!(parts.len(), 2 | 3) && parts[0] == "1"
}

/// Writes an expiry as metadata has it: `2026-11-22T09:48:58Z`. Fractions of a second are cut off.
pub fn format_expires(expires: Timestamp) -> String {
    expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an expiry, in exactly the form `YYYY-MM-DDTHH:MM:SSZ`.
///
/// # Errors
/// [`MetadataError::Field`] for any other form.
pub fn parse_expires(text: &str) -> Result<Timestamp, MetadataError> {
    let parsed = text.parse::<Timestamp>().ok().filter(|&t| format_expires(t) == text);
    parsed.ok_or_else(|| MetadataError::field("expires", "must be a time as 2026-01-31T12:00:00Z"))
}

impl TryFrom<Value> for Metadata {
    type Error = MetadataError;

    fn try_from(value: Value) -> Result<Self, MetadataError> {
        Self::from_value(value)
    }
}

impl From<Metadata> for Value {
    fn from(metadata: Metadata) -> Self {
        metadata.to_value()
    }
}

impl Metadata {
    /// Reads a file.
    ///
    /// # Errors
    /// [`MetadataError`]: it is not JSON, an object has a member twice, `signed` or `signatures` is missing or
    /// of the wrong form, or a key signs twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let Unique(value) = serde_json::from_slice(bytes)?;
        Self::from_value(value)
    }

    /// Reads a file that is JSON already.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_value(value: Value) -> Result<Self, MetadataError> {
        let Value::Object(mut members) = value else {
            return Err(MetadataError::field("metadata", "must be an object"));
        };
        let signatures = signatures(members.list("signatures")?)?;
        members.object("signed")?;
        members.shift_remove("signatures");
        let signed = members.shift_remove("signed").unwrap_or_default();
        Ok(Self { signatures, signed, extra: members })
    }

    /// Something that nobody has signed yet.
    pub fn unsigned(signed: Value) -> Self {
        Self { signatures: Vec::new(), signed, extra: Map::new() }
    }

    /// The file as JSON.
    pub fn to_value(&self) -> Value {
        let signatures = self.signatures.iter().map(Signature::to_value).collect();
        let mut members = Map::new();
        members.insert("signatures".to_owned(), signatures);
        members.insert("signed".to_owned(), self.signed.clone());
        members.extend(self.extra.clone());
        Value::Object(members)
    }

    /// The file as compact JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct File<'a> {
            signatures: Vec<Value>,
            signed: &'a Value,
            #[serde(flatten)]
            extra: &'a Map<String, Value>,
        }
        let signatures = self.signatures.iter().map(Signature::to_value).collect();
        serde_json::to_vec(&File { signatures, signed: &self.signed, extra: &self.extra })
            .expect("json values always have a text")
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// [`CanonicalError`] when it holds a number that can't be signed.
    pub fn canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(&self.signed)
    }

    /// Reads what all types of metadata have in common.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn header(&self) -> Result<Header, MetadataError> {
        Header::view(&self.signed)
    }
}

impl Signature {
    /// A signature without further members.
    pub fn new(keyid: KeyId, sig: impl Into<String>) -> Self {
        Self { keyid, sig: sig.into(), extra: Map::new() }
    }

    /// The signature as JSON.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"keyid": self.keyid, "sig": self.sig});
        if let Value::Object(members) = &mut value {
            members.extend(self.extra.clone());
        }
        value
    }

    /// Reads a signature.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when `keyid` or `sig` is missing or no string.
    pub fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let (keyid, sig) = (members.text("keyid")?.to_owned(), members.text("sig")?.to_owned());
        let mut extra = members.clone();
        extra.retain(|name, _| name != "keyid" && name != "sig");
        Ok(Self { keyid: KeyId(keyid), sig, extra })
    }
}

fn signatures(list: &[Value]) -> Result<Vec<Signature>, MetadataError> {
    let mut keyids = BTreeSet::new();
    let read = |(i, value)| {
        let at = |e: MetadataError| e.within(&format!("signatures[{i}]"));
        let signature = Signature::view(value).map_err(at)?;
        if !keyids.insert(signature.keyid.clone()) {
            return Err(at(MetadataError::field("keyid", "signs twice")));
        }
        Ok(signature)
    };
    list.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(value: Value) -> String {
        Metadata::from_value(value).expect_err("refused").to_string()
    }

    #[test]
    fn unknown_members_survive() {
        let text =
            r#"{"signatures":[{"keyid":"k","sig":"00","bundle":{"a":[1]}}],"signed":{"z":{},"a":1},"x-more":[null]}"#;
        let metadata = Metadata::parse(text.as_bytes()).expect("metadata");
        assert_eq!(metadata.to_bytes(), text.as_bytes());
        assert_eq!(metadata.to_value().to_string(), text);
        assert_eq!(metadata.canonical().expect("canonical"), br#"{"a":1,"z":{}}"#);
    }

    #[test]
    fn what_is_signed_is_written_as_json() {
        for signed in [json!({"b": "\n", "a": [1, {}]}), json!({"a": 1})] {
            let unsigned = Unsigned::of(&signed).expect("canonical");
            let mut metadata = Metadata::unsigned(signed);
            assert_eq!(unsigned.canonical(), metadata.canonical().expect("canonical"));
            metadata.signatures.push(Signature::new(KeyId("k".into()), "00"));
            assert_eq!(unsigned.file(&metadata.signatures), metadata.to_bytes());
        }
    }

    #[test]
    fn refusals_name_the_member() {
        assert_eq!(refused(json!([])), "metadata: must be an object");
        assert_eq!(refused(json!({"signed": {}})), "signatures: is missing");
        assert_eq!(refused(json!({"signatures": [], "signed": 1})), "signed: must be an object");
        assert_eq!(refused(json!({"signatures": [1], "signed": {}})), "signatures[0]: must be an object");
        let s = json!({"keyid": "k", "sig": ""});
        assert_eq!(refused(json!({"signatures": [s, s], "signed": {}})), "signatures[1].keyid: signs twice");
        let twice = Metadata::parse(br#"{"signatures":[],"signed":{"a":{"b":1,"b":1}}}"#).expect_err("refused");
        assert!(twice.to_string().contains("the member \"b\" is there twice"), "{twice}");
        assert!(Metadata::parse(b"{").expect_err("refused").to_string().starts_with("not json: "));
    }

    #[test]
    fn a_header_is_strict() {
        let good = json!({"_type": "targets", "version": 3, "expires": "2030-01-31T12:00:00Z", "spec_version": "1.0"});
        let header = Header::view(&good).expect("a header");
        assert_eq!((header.type_, header.version.get()), (RoleType::Targets, 3));
        assert!(header.is_expired(header.expires));
        assert!(!header.is_expired(header.expires - jiff::SignedDuration::from_secs(1)));
        let wrong = [
            ("_type", json!("bins")),
            ("version", json!(0)),
            ("version", json!(1.0)),
            ("version", json!("1")),
            ("expires", json!("2030-01-31T12:00:00+00:00")),
            ("expires", json!("2030-01-31T12:00:00.5Z")),
            ("expires", json!("2030-01-31 12:00:00Z")),
            ("expires", json!("2030-02-30T12:00:00Z")),
            ("expires", json!("2030-01-31T12:00:60Z")),
            ("spec_version", json!("2.0.0")),
            ("spec_version", json!("1")),
            ("spec_version", json!("1.0.")),
        ];
        for (name, value) in wrong {
            let mut signed = good.clone();
            signed[name] = value.clone();
            let refused = Header::view(&signed).expect_err(&format!("{name} {value}")).to_string();
            assert!(refused.starts_with(name), "{refused}");
        }
    }

    #[test]
    fn expires_loses_its_fraction() {
        let time = "2026-11-22T09:48:58.999Z".parse().expect("a time");
        assert_eq!(format_expires(time), "2026-11-22T09:48:58Z");
    }
}
