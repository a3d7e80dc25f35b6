//! What a job may ask for, whoever made it. The API checks the same and more; another program may not.
//!
//! What gets past here is published, or refused by a round for its size alone. Whatever would make a client, or our own
//! check of a round, refuse the metadata has to be found here: a round can't tell whose fault it is.

use serde_json::Value;

use crate::task::{Artifact, UpdateSettings};

pub(crate) use crate::tuf::expiry::MAX_DAYS as MAX_EXPIRATION_DAYS;

/// Up to here every JSON implementation has exact integers.
const MAX_LENGTH: u64 = 1 << 53;
const MAX_HASHES: usize = 16;
const MAX_ALGORITHM_BYTES: usize = 64;
const MAX_DIGITS: usize = 256;
/// The levels of a `custom`. Parsers stop at 128 levels, of which the metadata around it has five.
const MAX_LEVELS: usize = 100;

/// Says what is wrong with an artifact.
pub(crate) fn artifact(artifact: &Artifact) -> Result<(), &'static str> {
    let info = &artifact.info;
    if info.length > MAX_LENGTH {
        return Err("the length is no exact number everywhere");
    }
    if info.hashes.is_empty() || info.hashes.len() > MAX_HASHES {
        return Err("it must have 1 to 16 digests");
    }
    if !info.hashes.iter().all(|(name, digits)| is_digest(name, digits)) {
        return Err("a digest is the name of an algorithm and an even number of hexadecimal digits");
    }
    if info.custom.iter().flatten().any(|(_, member)| !has_levels(member, MAX_LEVELS)) {
        return Err("custom has too many levels");
    }
    Ok(())
}

fn is_digest(name: &str, digits: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    let is_name = (1..=MAX_ALGORITHM_BYTES).contains(&name.len()) && name.bytes().all(allowed);
    let is_even = (2..=MAX_DIGITS).contains(&digits.len()) && digits.len().is_multiple_of(2);
    is_name && is_even && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a value has at most so many levels.
fn has_levels(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(items) => most > 0 && items.iter().all(|item| has_levels(item, most - 1)),
        Value::Object(members) => most > 0 && members.values().all(|member| has_levels(member, most - 1)),
        _ => true,
    }
}

/// Says what is wrong with new expirations.
pub(super) fn expirations(update: &UpdateSettings) -> Result<(), &'static str> {
    match update.settings.expiration.values().all(|days| (1..=MAX_EXPIRATION_DAYS).contains(days)) {
        true => Ok(()),
        false => Err("an expiration is 1 to 36500 days"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_allowed(info: Value) -> bool {
        let given = serde_json::from_value(json!({ "path": "a", "info": info })).expect("an artifact");
        artifact(&given).is_ok()
    }

    #[test]
    fn what_stops_no_round_is_allowed() {
        let digest = "aa".repeat(32);
        assert!(is_allowed(json!({ "length": 0, "hashes": { "sha256": digest } })));
        assert!(is_allowed(
            json!({ "length": 1u64 << 53, "hashes": { "blake2b-256": digest }, "custom": { "x": [{}] } })
        ));
    }

    #[test]
    fn what_a_client_would_refuse_is_not() {
        let hashes = json!({ "sha256": "aa" });
        assert!(!is_allowed(json!({ "length": 1, "hashes": {} })));
        assert!(!is_allowed(json!({ "length": (1u64 << 53) + 1, "hashes": hashes })));
        for (name, digits) in
            [("sha256", ""), ("sha256", "a"), ("sha256", "xy"), ("", "aa"), ("sha 256", "aa"), ("a\0", "aa")]
        {
            assert!(!is_allowed(json!({ "length": 1, "hashes": { name: digits } })), "{name:?} {digits:?}");
        }
        let deep = (0..=MAX_LEVELS).fold(json!(1), |inner, _| json!([inner]));
        assert!(!is_allowed(json!({ "length": 1, "hashes": hashes, "custom": { "x": deep } })));
    }

    #[test]
    fn a_role_that_is_never_valid_is_not_allowed() {
        let update = |days: u32| {
            serde_json::from_value(json!({ "settings": { "expiration": { "bins": days } } })).expect("an update")
        };
        for (days, is_allowed) in [(0, false), (1, true), (MAX_EXPIRATION_DAYS, true), (MAX_EXPIRATION_DAYS + 1, false)]
        {
            assert_eq!(expirations(&update(days)).is_ok(), is_allowed, "{days}");
        }
    }
}
