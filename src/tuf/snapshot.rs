//! The view of snapshot: the version of every targets role (TUF §4.4).

use std::{borrow::Cow, collections::BTreeMap};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::tuf::{
    content::{ContentError, check_hashes, check_length},
    member::{Members, MetadataError, object},
    name::{RoleName, Version},
    targets::hashes,
    wire::{Header, RoleType, SPEC_VERSION, Unsigned, format_expires, parse_expires},
};

/// What snapshot says of a targets role, and timestamp of snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// Hexadecimal digests by the name of their algorithm, when signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
    /// Bytes, when signed. Clients then take this as the limit of their download instead of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The version.
    pub version: Version,
}

impl MetaFile {
    /// A file of which only the version is signed.
    pub fn version_only(version: Version) -> Self {
        Self { version, length: None, hashes: None }
    }

    /// A file of which length and SHA-256 are signed too.
    pub fn of(version: Version, bytes: &[u8]) -> Self {
        let sha256 = hex::encode(digest(&SHA256, bytes));
        Self { version, length: Some(bytes.len() as u64), hashes: Some([("sha256".to_owned(), sha256)].into()) }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let hashes = members.contains_key("hashes").then(|| hashes(members)).transpose()?;
        Ok(Self { version: members.version("version")?, length: members.optional_number("length")?, hashes })
    }

    /// Compares downloaded bytes with what is signed (TUF §5.5.2, §5.6.2).
    ///
    /// # Errors
    /// [`ContentError`] when they are others.
    pub fn check(&self, bytes: &[u8]) -> Result<(), ContentError> {
        if let Some(length) = self.length {
            check_length(bytes, length)?;
        }
        self.hashes.as_ref().map_or(Ok(()), |hashes| check_hashes(bytes, hashes))
    }
}

/// A typed view of snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The version.
    pub version: Version,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// The roles by the names of their files: `targets.json`, `bins-0f.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

impl Snapshot {
    /// Reads what snapshot signs.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn view(signed: &Value) -> Result<Self, MetadataError> {
        let header = Header::of_type(signed, RoleType::Snapshot)?;
        Ok(Self { version: header.version, expires: header.expires, meta: view_meta(object(signed)?)? })
    }

    /// Reads text that is exactly what [`render`] writes, so that it is its own canonical form. `None` for any other, which
    /// [`view`](Self::view) may still read; but with thousands of entries that takes four times as long.
    pub(super) fn as_rendered(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Read {
            expires: String,
            meta: BTreeMap<String, MetaFile>,
            version: Version,
        }
        let read: Read = serde_json::from_str(text).ok()?;
        let Read { expires, meta, version } = read;
        let snapshot = Self { version, expires: parse_expires(&expires).ok()?, meta };
        let entries = snapshot.meta.iter().map(|(name, file)| (Cow::from(name), file)).collect();
        let again = rendered(version, snapshot.expires, entries).unsigned();
        let has_digests = |file: &MetaFile| file.hashes.as_ref().is_none_or(|hashes| !hashes.is_empty());
        let is_rendered = again.canonical() == text.as_bytes()
            // JSON escapes more than the canonical form does.
            && !text.contains('\\')
            && snapshot.meta.values().all(has_digests);
        is_rendered.then_some(snapshot)
    }

    /// What is said of a role.
    pub fn get(&self, role: &RoleName) -> Option<&MetaFile> {
        self.meta.get(&role.meta_name())
    }
}

/// Reads a `meta` member.
pub(super) fn view_meta(members: &Map<String, Value>) -> Result<BTreeMap<String, MetaFile>, MetadataError> {
    let read = |(name, value): (&String, &Value)| {
        let file = MetaFile::view(value).map_err(|e| e.within(name).within("meta"))?;
        Ok((name.clone(), file))
    };
    members.object("meta")?.iter().map(read).collect()
}

/// What snapshot signs, as it is written: thousands of entries without a JSON value for each.
#[derive(Debug, Serialize)]
pub struct Rendered<'a> {
    _type: &'static str,
    expires: String,
    #[serde(serialize_with = "entries")]
    meta: Vec<(Cow<'a, str>, &'a MetaFile)>,
    spec_version: &'static str,
    version: Version,
}

impl Rendered<'_> {
    /// For a signature. Names of roles and hexadecimal digits need no escape.
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::canonical_as_written(self)
    }
}

fn entries<S: Serializer>(meta: &[(Cow<'_, str>, &MetaFile)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(meta.iter().map(|(name, file)| (name, file)))
}

/// Writes what snapshot signs. A role that was ever listed must stay listed: clients refuse a snapshot that lost one.
pub fn render<'a>(
    version: Version,
    expires: Timestamp,
    meta: impl IntoIterator<Item = (&'a RoleName, &'a MetaFile)>,
) -> Rendered<'a> {
    let mut meta: Vec<_> = meta.into_iter().map(|(role, file)| (Cow::from(role.meta_name()), file)).collect();
    meta.sort_by(|a, b| a.0.cmp(&b.0));
    rendered(version, expires, meta)
}

fn rendered<'a>(version: Version, expires: Timestamp, meta: Vec<(Cow<'a, str>, &'a MetaFile)>) -> Rendered<'a> {
    Rendered { _type: "snapshot", expires: format_expires(expires), meta, spec_version: SPEC_VERSION, version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::tuf::sample::{at, role, version};

    #[test]
    fn what_is_rendered_is_read_back() {
        let (targets, bin) = (RoleName::targets(), role("bins-0"));
        let listed = [(&targets, MetaFile::of(version(4), b"bytes")), (&bin, MetaFile::version_only(version(7)))];
        let signed = json!(render(version(9), at(0), listed.iter().map(|(role, file)| (*role, file))));
        assert_eq!(signed["meta"]["bins-0.json"], json!({"version": 7}));
        let names: Vec<_> = signed["meta"].as_object().expect("an object").keys().collect();
        assert_eq!(names, ["bins-0.json", "targets.json"]);
        let view = Snapshot::view(&signed).expect("a snapshot");
        for (role, file) in listed {
            assert_eq!(view.get(role), Some(&file));
        }
        assert_eq!(view.get(&role("bins-1")), None);
    }

    #[test]
    fn it_is_written_in_canonical_form() {
        let roles = ["b", "a-b", "a", "targets"].map(role);
        let file = MetaFile::of(version(4), b"bytes");
        let rendered = render(version(9), at(0), roles.iter().map(|role| (role, &file)));
        let canonical = Unsigned::of(&json!(rendered)).expect("canonical");
        assert_eq!(rendered.unsigned().canonical(), canonical.canonical());
        assert_eq!(rendered.unsigned().file(&[]), canonical.file(&[]));
    }

    #[test]
    fn only_what_is_rendered_is_read_as_such() {
        let listed = [
            (role("bins-0"), MetaFile::of(version(4), b"bytes")),
            (RoleName::targets(), MetaFile::version_only(version(1))),
        ];
        let rendered = render(version(9), at(0), listed.iter().map(|(role, file)| (role, file)));
        let text = serde_json::to_string(&rendered).expect("a text");
        assert_eq!(Snapshot::as_rendered(&text), Snapshot::view(&json!(rendered)).ok());
        let sha256 = &listed[0].1.hashes.as_ref().expect("digests")["sha256"];
        for (from, to) in [
            (r#""version":1}"#, r#""version":0}"#),
            (r#""version":1}"#, r#""version": 1}"#),
            (r#""version":1}"#, r#""version":1,"x":2}"#),
            (r#""version":1}"#, r#""version":1,"version":1}"#),
            (r#""version":1}"#, r#""length":null,"version":1}"#),
            ("targets.json", "a.json"),
            ("targets.json", r#"targets\".json"#),
            ("targets.json", r"targets\n.json"),
            ("targets.json", r"\u0074argets.json"),
            (&format!(r#"{{"sha256":"{sha256}"}}"#), "{}"),
            ("1.0.31", "1.0.30"),
            (":00Z", ":00.0Z"),
            (r#""_type":"snapshot""#, r#""_type":"targets""#),
            (r#","version":9}"#, "}"),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text, "{from}");
            assert_eq!(Snapshot::as_rendered(&other), None, "{other}");
        }
    }

    #[test]
    fn signed_length_and_hash_are_checked() {
        let file = MetaFile::of(version(1), b"bytes");
        assert_eq!(file.check(b"bytes"), Ok(()));
        assert_eq!(file.check(b"byte"), Err(ContentError::Length { expected: 5, found: 4 }));
        assert_eq!(file.check(b"BYTES"), Err(ContentError::Hash { algorithm: "sha256".into() }));
        assert_eq!(MetaFile::version_only(version(1)).check(b"anything"), Ok(()));
    }

    #[test]
    fn refusals_name_the_member() {
        let mut signed = json!(render(version(1), at(0), []));
        signed["meta"]["a.json"] = json!({"version": 0});
        let refused = Snapshot::view(&signed).expect_err("refused").to_string();
        assert_eq!(refused, "meta.a.json.version: must be a whole number from 1");
    }
}
