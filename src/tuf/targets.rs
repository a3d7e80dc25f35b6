//! The view of targets, bins and other delegated roles: artifacts and delegations (TUF §4.5).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::tuf::{
    canonical::write_text,
    content::{ContentError, check_hashes, check_length},
    delegation::Delegations,
    info::{self, Info, scan_number, scan_text},
    member::{Members, MetadataError, object},
    name::{ArtifactPath, Version},
    wire::{Header, RoleType, SPEC_VERSION, Unsigned, format_expires, parse_expires},
};

/// What is written of an artifact beside path and information, if nothing is escaped.
const ENTRY_BYTES: usize = 4;
/// More than is written beside the artifacts.
const HEADER_BYTES: usize = 128;

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

    /// Reads text that is exactly what [`unsigned`] writes of artifacts without `custom`, so that it is its own canonical
    /// form. `None` for any other, which [`view`](Self::view) may still read; but with thousands of artifacts that takes
    /// several times as long.
    pub(super) fn as_rendered(text: &str) -> Option<Self> {
        let mut targets = HashMap::new();
        let (version, expires) = scan(text, |path, info| {
            let mut hashes = BTreeMap::new();
            let (length, rest) = info::scan(info, |name, hex| drop(hashes.insert(name.to_owned(), hex.to_owned())))?;
            targets.insert(path.to_owned(), TargetFile { length, hashes, custom: None });
            Some(rest)
        })?;
        Some(Self { version, expires, targets, delegations: None })
    }

    /// What is known of an artifact.
    pub fn get(&self, path: &ArtifactPath) -> Option<&TargetFile> {
        self.targets.get(path.as_str())
    }
}

/// Reads version and expiry of text that is what [`Targets::as_rendered`] reads.
pub(super) fn header_as_rendered(text: &str) -> Option<(Version, Timestamp)> {
    scan(text, |_, info| Some(info::scan(info, |_, _| {})?.1))
}

/// Goes through text as [`unsigned`] writes it. Each path comes with the text from its information on; `info` returns the text
/// that follows this.
fn scan<'a>(text: &'a str, mut info: impl FnMut(&'a str, &'a str) -> Option<&'a str>) -> Option<(Version, Timestamp)> {
    let (expires, rest) = scan_text(text.strip_prefix(r#"{"_type":"targets","expires":"#)?)?;
    let (spec_version, rest) = scan_text(rest.strip_prefix(r#","spec_version":"#)?)?;
    let mut rest = rest.strip_prefix(r#","targets":{"#).filter(|_| spec_version == SPEC_VERSION)?;
    let mut last = None;
    while !rest.starts_with('}') {
        if last.is_some() {
            rest = rest.strip_prefix(',')?;
        }
        let (path, after) = scan_text(rest)?;
        if last.is_some_and(|last| last >= path) {
            return None;
        }
        last = Some(path);
        rest = info(path, after.strip_prefix(':')?)?;
    }
    let (version, rest) = scan_number(rest.strip_prefix(r#"},"version":"#)?)?;
    let header = (Version::new(version).ok()?, parse_expires(expires).ok()?);
    (rest == "}").then_some(header)
}

/// For a signature: a role that delegates to nobody. The same artifacts in any order make the same file.
pub fn unsigned(version: Version, expires: Timestamp, artifacts: &[(ArtifactPath, Info)]) -> Unsigned {
    let mut sorted: Vec<_> = artifacts.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let canonical = written(version, expires, &sorted, Info::canonical);
    let is_json = sorted.iter().all(|(_, info)| info.is_canonical());
    let json = (!is_json).then(|| written(version, expires, &sorted, |info| info.json().as_bytes()));
    Unsigned::written(canonical, json)
}

/// What a role without delegations signs, with the information in one of its forms. All else has one form: paths have no
/// control characters.
fn written(
    version: Version,
    expires: Timestamp,
    sorted: &[&(ArtifactPath, Info)],
    form: impl Fn(&Info) -> &[u8],
) -> Vec<u8> {
    let length = |(path, info): &&(ArtifactPath, Info)| path.as_str().len() + form(info).len() + ENTRY_BYTES;
    let bytes = sorted.iter().map(length).sum();
    around(version, expires, bytes, |out| {
        for (index, (path, info)) in sorted.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_text(path.as_str(), out);
            out.push(b':');
            out.extend_from_slice(form(info));
        }
    })
}

/// The role whose artifacts are these entries, which are in canonical form and JSON.
pub(super) fn of_entries(version: Version, expires: Timestamp, entries: &str) -> Unsigned {
    let text = around(version, expires, entries.len(), |out| out.extend_from_slice(entries.as_bytes()));
    Unsigned::written(text, None)
}

/// The text around the artifacts, which take about so many bytes.
fn around(version: Version, expires: Timestamp, bytes: usize, artifacts: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + HEADER_BYTES);
    let (expires, version) = (format_expires(expires), version.get());
    out.extend_from_slice(
        format!(r#"{{"_type":"targets","expires":"{expires}","spec_version":"{SPEC_VERSION}""#).as_bytes(),
    );
    out.extend_from_slice(br#","targets":{"#);
    artifacts(&mut out);
    out.extend_from_slice(format!(r#"}},"version":{version}}}"#).as_bytes());
    out
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
    use aws_lc_rs::digest;

    use super::*;
    use crate::tuf::sample::{at, path, version};

    fn info(content: &[u8]) -> Value {
        let sha256 = hex::encode(digest::digest(&digest::SHA256, content));
        json!({"length": content.len(), "hashes": {"sha256": sha256, "md5": "00"}, "custom": {"a": [1]}})
    }

    fn infos(list: &[(ArtifactPath, Value)]) -> Vec<(ArtifactPath, Info)> {
        list.iter().map(|(path, value)| (path.clone(), Info::of(value).expect("information"))).collect()
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
    fn every_way_to_write_it_is_the_same() {
        let plain = json!({"hashes": {"blake2b-256": "00", "sha256": "11"}, "length": 7});
        let turned = json!({"length": 7, "hashes": {"sha256": "11", "blake2b-256": "00"}});
        let lists = [
            vec![],
            vec![(path("b"), plain.clone()), (path("a ü"), plain.clone())],
            vec![(path("c"), turned), (path("b"), plain.clone())],
            vec![(path("a\\b\"c"), plain.clone())],
            vec![(path("b"), info(b"")), (path("c"), plain)],
            vec![(path("b"), json!({"hashes": {"sha256": "a\nb"}, "length": 7}))],
            vec![(path("b"), json!({"hashes": {"sha256": "1"}, "length": -7}))],
        ];
        for list in lists {
            let written = unsigned(version(2), at(0), &infos(&list));
            let value = render(version(2), at(0), &list, None);
            let expected = Unsigned::of(&value).expect("written");
            assert_eq!(written.canonical(), expected.canonical(), "{list:?}");
            assert_eq!(serde_json::from_slice::<Value>(&written.file(&[])).expect("JSON")["signed"], value);
        }
    }

    #[test]
    fn only_what_is_rendered_is_read_as_such() {
        let plain = json!({"hashes": {"blake2b-256": "00", "sha256": "11"}, "length": 7});
        let list = [(path("b"), plain.clone()), (path("a/ü"), plain)];
        let written = unsigned(version(2), at(0), &infos(&list));
        let text = std::str::from_utf8(written.canonical()).expect("text");
        let value = render(version(2), at(0), &list, None);
        assert_eq!(Targets::as_rendered(text), Targets::view(&value).ok());
        assert_eq!(header_as_rendered(text), Some((version(2), at(0))));
        let empty = unsigned(version(3), at(1), &[]);
        let text_of_none = std::str::from_utf8(empty.canonical()).expect("text");
        assert_eq!(header_as_rendered(text_of_none), Some((version(3), at(1))));
        let others = [
            text.replace("\"length\":7", "\"length\": 7"),
            text.replace("\"length\":7", "\"length\":7,\"custom\":{}"),
            text.replace("\"length\":7", "\"length\":07"),
            text.replace("\"a/ü\"", "\"c\""),
            text.replace("\"a/ü\"", "\"b\""),
            text.replace("\"a/ü\"", "\"a\\u002f\""),
            text.replace("{\"blake2b-256\":\"00\",\"sha256\":\"11\"}", "{}"),
            text.replace("\"_type\":\"targets\"", "\"_type\":\"snapshot\""),
            text.replace("\"version\":2", "\"version\":2,\"x\":1"),
            text.replace("\"version\":2", "\"version\":0"),
            text.replace("\"targets\":{", "\"targets\":{,"),
            text.replace("},\"b\"", "},,\"b\""),
            text.replace("},\"version\"", ",},\"version\""),
            text.replace("00:", "00 "),
            format!("{text} "),
            text.replace("\"spec_version\"", "\"delegations\":{},\"spec_version\""),
        ];
        for other in others {
            assert_ne!(other, text);
            assert_eq!(Targets::as_rendered(&other), None, "{other}");
            assert_eq!(header_as_rendered(&other), None, "{other}");
        }
    }

    #[test]
    fn content_is_checked() {
        let file = TargetFile::view(&info(b"content")).expect("a file");
        assert_eq!(file.check(b"content"), Ok(()));
        assert_eq!(file.check(b"contend"), Err(ContentError::Hash { algorithm: "sha256".into() }));
        assert_eq!(file.check(b"conten"), Err(ContentError::Length { expected: 7, found: 6 }));
        let only_unknown = TargetFile { hashes: [("md5".into(), "00".into())].into(), ..file };
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
