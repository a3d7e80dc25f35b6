//! The target information of an artifact (TUF §4.5), as the text in which it is kept.
//!
//! A bin lists thousands of artifacts and is written anew for each that changes: the text of the others goes from the ledger
//! into the file as it is.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::canonical::{CanonicalError, to_canonical};

/// The target information of an artifact: JSON that can be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    json: Box<str>,
    /// Where it is another text.
    canonical: Option<Box<[u8]>>,
}

/// Why something is no target information.
#[derive(Debug, Error)]
pub enum InfoError {
    /// It has no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It can't be signed.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Info {
    /// What a value says.
    ///
    /// # Errors
    /// [`InfoError`] when it holds a number that can't be signed, or has no JSON.
    pub fn of(value: &impl Serialize) -> Result<Self, InfoError> {
        Self::parse(&serde_json::to_string(value)?)
    }

    /// What a text says. The order of its members stays.
    ///
    /// # Errors
    /// [`InfoError`] when it is not JSON or holds a number that can't be signed.
    pub fn parse(text: &str) -> Result<Self, InfoError> {
        if scan(text, |_, _| {}).is_some_and(|(_, rest)| rest.is_empty()) {
            return Ok(Self { json: text.into(), canonical: None });
        }
        let value: Value = serde_json::from_str(text)?;
        let (json, canonical) = (value.to_string().into_boxed_str(), to_canonical(&value)?);
        let canonical = (json.as_bytes() != canonical).then(|| canonical.into_boxed_slice());
        Ok(Self { json, canonical })
    }

    /// The compact JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The canonical form.
    pub fn canonical(&self) -> &[u8] {
        self.canonical.as_deref().unwrap_or(self.json.as_bytes())
    }

    /// The information as a value.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.json).expect("it was read from JSON")
    }

    /// Whether its JSON is its canonical form.
    pub(super) fn is_canonical(&self) -> bool {
        self.canonical.is_none()
    }
}

/// Reads the most usual information from the start of a text: digests, each told to `digest` with the name of its algorithm, and
/// length, written in their canonical form. The length and the rest of the text, `None` for any other information.
pub(super) fn scan<'a>(text: &'a str, mut digest: impl FnMut(&'a str, &'a str)) -> Option<(u64, &'a str)> {
    let mut rest = text.strip_prefix(r#"{"hashes":{"#)?;
    let mut last = None;
    loop {
        let (name, after) = scan_text(rest)?;
        let (hex, after) = scan_text(after.strip_prefix(':')?)?;
        if last.is_some_and(|last| last >= name) {
            return None;
        }
        last = Some(name);
        digest(name, hex);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => break rest = after,
        }
    }
    let (length, rest) = scan_number(rest.strip_prefix(r#"},"length":"#)?)?;
    Some((length, rest.strip_prefix('}')?))
}

/// Reads a string that JSON and the canonical form write alike, and returns it with what follows.
pub(super) fn scan_text(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = text.bytes().position(|byte| matches!(byte, b'"' | b'\\') || byte < b' ')?;
    let (content, rest) = text.split_at(end);
    Some((content, rest.strip_prefix('"')?))
}

/// Reads a whole number, and returns it with what follows.
pub(super) fn scan_number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let is_canonical = digits == "0" || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| is_canonical)?, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_stays_and_has_the_canonical_form_of_its_value() {
        let values = [
            json!({"hashes": {"blake2b-256": "00", "sha256": "11"}, "length": 7}),
            json!({"hashes": {"sha256": "11"}, "length": u64::MAX}),
            json!({"hashes": {"sha256": "11"}, "length": 0}),
            json!({"hashes": {"sha256": "\u{e9}\u{7f}"}, "length": 1}),
            json!({"hashes": {"sha256": "11", "blake2b-256": "00"}, "length": 7}),
            json!({"hashes": {"sha256": "a\nb"}, "length": 7}),
            json!({"hashes": {"sha256": "a\\b\"c"}, "length": 7}),
            json!({"hashes": {"sha256": 1}, "length": 7}),
            json!({"hashes": {"sha256": "1"}, "length": -7}),
            json!({"hashes": {}, "length": 7}),
            json!({"length": 7, "hashes": {"sha256": "11"}}),
            json!({"hashes": {"sha256": "11"}, "length": 7, "custom": {"z": "\u{0}", "a": [1, null]}}),
            json!({}),
            json!(7),
        ];
        for value in values {
            let info = Info::of(&value).expect("information");
            assert_eq!(info.json(), value.to_string());
            assert_eq!(info.canonical(), to_canonical(&value).expect("canonical"), "{value}");
            assert_eq!(Info::parse(info.json()).expect("information"), info);
            assert_eq!(info.is_canonical(), info.json().as_bytes() == info.canonical());
        }
        let spaced = Info::parse(r#"{"hashes": {"sha256":"11"}, "length":7}"#).expect("information");
        assert_eq!(spaced.json(), r#"{"hashes":{"sha256":"11"},"length":7}"#);
    }

    #[test]
    fn only_the_most_usual_is_scanned() {
        let usual = r#"{"hashes":{"a":"0","b":"1"},"length":70}"#;
        let mut digests = Vec::new();
        assert_eq!(scan(&format!("{usual},"), |name, hex| digests.push(format!("{name}={hex}"))), Some((70, ",")));
        assert_eq!(digests, ["a=0", "b=1"]);
        let others = [
            usual.replace("70", "07"),
            usual.replace("70", "70.5"),
            usual.replace("70", "7e1"),
            usual.replace("70", "-70"),
            usual.replace("70", "99999999999999999999"),
            usual.replace("70", ""),
            usual.replace("\"a\"", "\"b\""),
            usual.replace("\"a\"", "\"c\""),
            usual.replace("\"a\"", "\"\\u0061\""),
            usual.replace("\"0\"", "\"\n\""),
            usual.replace(r#""a":"0","b":"1""#, ""),
            usual.replace('}', ""),
            usual.replace(',', ", "),
        ];
        for other in others {
            assert_eq!(scan(&other, |_, _| {}), None, "{other}");
        }
    }

    #[test]
    fn what_can_not_be_signed_is_refused() {
        assert!(
            matches!(Info::of(&json!({"length": 1.5})), Err(InfoError::Canonical(error)) if error.path == "/length")
        );
        assert!(matches!(Info::parse("{"), Err(InfoError::Json(_))));
    }
}
