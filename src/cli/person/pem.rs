//! The blocks of a PEM file, decoded into memory that is wiped.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// What stands between `BEGIN` and `END`.
pub(super) struct Block<'a> {
    /// What it is called: `PRIVATE KEY`.
    pub(super) label: &'a str,
    /// What it holds.
    pub(super) body: Body,
}

/// What a block holds.
pub(super) enum Body {
    /// What was encoded.
    Bytes(Zeroizing<Vec<u8>>),
    /// Something encrypted in the manner of old: with lines before it that say how.
    LegacyEncrypted,
}

/// Whether there is any block in it.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

/// All blocks; the text around them means nothing. `None` for a block that does not end, or is not base64.
pub(super) fn blocks(mut text: &str) -> Option<Vec<Block<'_>>> {
    let mut blocks = Vec::new();
    while let Some((_, rest)) = text.split_once(BEGIN) {
        let (label, rest) = rest.split_once(DASHES)?;
        let (inside, rest) = rest.split_once(&format!("{DASHES}END {label}{DASHES}"))?;
        text = rest;
        let body = match inside.contains("Proc-Type:") {
            true => Body::LegacyEncrypted,
            false => Body::Bytes(decode(inside)?),
        };
        blocks.push(Block { label, body });
    }
    Some(blocks)
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Neither of these grows, so that no copy stays behind unwiped.
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.bytes().filter(|b| !b.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(digits.len())]);
    let length = STANDARD.decode_slice(&*digits, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text =
            "Bag\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\nmore\n-----BEGIN B C-----\n AA\nEC\n-----END B C-----";
        let blocks = blocks(text).expect("blocks");
        let read: Vec<_> = blocks
            .iter()
            .map(|block| match &block.body {
                Body::Bytes(bytes) => (block.label, bytes.to_vec()),
                Body::LegacyEncrypted => (block.label, Vec::new()),
            })
            .collect();
        assert_eq!(read, [("A", vec![1, 2, 3]), ("B C", vec![0, 1, 2])]);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for text in ["-----BEGIN A-----\nAQID", "-----BEGIN A-----\n?\n-----END A-----", "-----BEGIN A"] {
            assert!(blocks(text).is_none(), "{text}");
        }
        assert!(blocks("nothing").expect("none").is_empty());
    }
}
