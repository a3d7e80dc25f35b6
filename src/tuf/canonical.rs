//! Canonical JSON: the bytes that signatures and key ids are computed over.
//!
//! It is the form that securesystemslib made the field's practice: no white space, members sorted by their unescaped
//! names in code point order, only `\` and `"` escaped, text otherwise as it is (so control characters stay raw and the
//! result need not be JSON), integers in decimal, no floats. Text is never normalised.

use serde_json::{Map, Number, Value};
use thiserror::Error;

/// A number that has no canonical form: a fraction, an exponent, or an integer beyond 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {number} has no canonical form, only whole numbers of at most 64 bits have")]
pub struct CanonicalError {
    /// Where it stands: the names of members and the indices of items, each after a `/`.
    pub path: String,
    /// The number.
    pub number: String,
}

impl CanonicalError {
    fn under(mut self, step: impl std::fmt::Display) -> Self {
        self.path = format!("/{step}{}", self.path);
        self
    }
}

/// The canonical form of `value`.
///
/// # Errors
/// [`CanonicalError`] for the first number that is not an integer.
pub fn to_canonical(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::with_capacity(1024);
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out).map_err(|e| e.under(i))?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            write_members(members, out)?;
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_members(members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    // UTF-8 sorts as code points do. What we render is sorted already.
    if members.keys().is_sorted() {
        return write_sorted(members.iter(), out);
    }
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|&(name, _)| name);
    write_sorted(sorted.into_iter(), out)
}

fn write_sorted<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    for (i, (name, value)) in members.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write(value, out).map_err(|e| e.under(name))?;
    }
    Ok(())
}

fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if number.is_f64() {
        return Err(CanonicalError { path: String::new(), number: number.to_string() });
    }
    out.extend_from_slice(number.to_string().as_bytes());
    Ok(())
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn canonical(value: &Value) -> String {
        String::from_utf8(to_canonical(value).expect("canonical")).expect("utf-8")
    }

    #[test]
    fn members_are_sorted_by_their_unescaped_names() {
        let value = json!({"b": 1, "a b": 2, "a": 3, "a\"": 4, "\u{1F600}": 5, "\u{FFFD}": 6, "Z": []});
        assert_eq!(canonical(&value), r#"{"Z":[],"a":3,"a b":2,"a\"":4,"b":1,"�":6,"😀":5}"#);
    }

    #[test]
    fn only_quote_and_backslash_are_escaped() {
        assert_eq!(canonical(&json!("a\\b\"c\n\u{0}\u{7f}/é")), "\"a\\\\b\\\"c\n\u{0}\u{7f}/é\"");
        assert_eq!(canonical(&json!("e\u{301}")), "\"e\u{301}\"", "not normalised");
    }

    #[test]
    fn integers_keep_their_64_bits() {
        let value = json!([u64::MAX, i64::MIN, 0, -1, true, false, null]);
        assert_eq!(canonical(&value), "[18446744073709551615,-9223372036854775808,0,-1,true,false,null]");
    }

    #[test]
    fn a_float_is_refused_by_its_place() {
        let value = json!({"targets": {"a/b": {"custom": [0, 1.5]}}});
        let refused = to_canonical(&value).expect_err("a float");
        assert_eq!(refused, CanonicalError { path: "/targets/a/b/custom/1".into(), number: "1.5".into() });
        let big: Value = serde_json::from_str("18446744073709551616").expect("json");
        assert!(to_canonical(&big).is_err());
    }
}
