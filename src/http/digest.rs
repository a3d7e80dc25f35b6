//! Digests of artifacts: a name of an algorithm and hexadecimal digits.

use thiserror::Error;

/// The longest name of an algorithm, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The longest digest of an algorithm that isn't known here, in hexadecimal digits.
const MAX_DIGITS: usize = 256;

/// Why a digest is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum DigestError {
    #[error("the name of a hash algorithm has 1 to {MAX_NAME_BYTES} of the characters a-z, A-Z, 0-9, -, _ and /")]
    Name,
    #[error("a digest is an even number of hexadecimal digits, at most {MAX_DIGITS}")]
    Digits,
    #[error("a {0} digest has {1} hexadecimal digits")]
    Length(String, usize),
}

/// Checks a digest, and gives it in lower case, because clients compare it as text with what they computed.
///
/// Algorithms that aren't known here are let through: which of them count is decided by the clients.
pub(super) fn parse(name: &str, digits: &str) -> Result<String, DigestError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
        return Err(DigestError::Name);
    }
    if let Some(length) = digits_of(name).filter(|length| *length != digits.len()) {
        return Err(DigestError::Length(name.to_owned(), length));
    }
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > MAX_DIGITS || !hexadecimal {
        return Err(DigestError::Digits);
    }
    Ok(digits.to_ascii_lowercase())
}

/// How many hexadecimal digits a known algorithm gives. Python's names have `_` where others have `-`.
fn digits_of(name: &str) -> Option<usize> {
    Some(match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "md5" => 32,
        "sha1" | "sha-1" => 40,
        "sha224" | "sha-224" | "sha3-224" => 56,
        "sha256" | "sha-256" | "sha3-256" | "blake2s" | "blake2s-256" | "blake2b-256" => 64,
        "sha384" | "sha-384" | "sha3-384" | "blake2b-384" => 96,
        "sha512" | "sha-512" | "sha3-512" | "blake2b" | "blake2b-512" => 128,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_algorithms_have_their_length() {
        let known = [("md5", 16), ("sha1", 20), ("sha224", 28), ("sha256", 32), ("sha384", 48), ("sha512", 64)];
        let others = [("sha3_256", 32), ("sha3-512", 64), ("blake2b", 64), ("blake2b-256", 32), ("blake2s", 32)];
        for (name, bytes) in known.into_iter().chain(others) {
            assert_eq!(parse(name, &"0a".repeat(bytes)), Ok("0a".repeat(bytes)), "{name}");
            let length = DigestError::Length(name.to_owned(), bytes * 2);
            assert_eq!(parse(name, &"0a".repeat(bytes - 1)), Err(length), "{name}");
        }
    }

    #[test]
    fn unknown_algorithms_pass_with_any_bytes() {
        assert_eq!(parse("k12", "00ff"), Ok("00ff".to_owned()));
        for bad in ["", "0", "0g", "0a ", "é0", &"0".repeat(MAX_DIGITS + 2)] {
            assert_eq!(parse("k12", bad), Err(DigestError::Digits), "{bad:?}");
        }
        for bad in ["", "a b", "sha256\0", "é", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(parse(bad, "00"), Err(DigestError::Name), "{bad:?}");
        }
    }

    #[test]
    fn digits_become_lower_case() {
        assert_eq!(parse("sha256", &"AB".repeat(32)), Ok("ab".repeat(32)));
        assert_eq!(parse("SHA256", &"AB".repeat(31)), Err(DigestError::Length("SHA256".to_owned(), 64)));
    }
}
