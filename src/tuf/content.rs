//! The content of a file beside what is signed about it (TUF §5.5.2, §5.6.2, §5.7).

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest;
use blake2::{Blake2b256, Digest};

/// How the content of a file differs from what was signed about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Another length.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// Bytes that were signed.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Another digest.
    #[error("its {algorithm} is another")]
    Hash {
        /// The algorithm.
        algorithm: String,
    },
    /// Digests are signed, but all of algorithms that can't be computed here.
    #[error("none of its digests is of a known algorithm")]
    UnknownHashes,
}

/// Computes the digests of content piece by piece.
#[derive(Debug)]
pub struct Digests(Vec<(&'static str, String, Hasher)>);

enum Hasher {
    Sha2(digest::Context),
    Blake2b256(Box<Blake2b256>),
}

impl Hasher {
    fn of(algorithm: &str) -> Option<(&'static str, Self)> {
        let sha2 = |name, algorithm| (name, Self::Sha2(digest::Context::new(algorithm)));
        Some(match algorithm {
            "sha256" => sha2("sha256", &digest::SHA256),
            "sha384" => sha2("sha384", &digest::SHA384),
            "sha512" => sha2("sha512", &digest::SHA512),
            "blake2b-256" => ("blake2b-256", Self::Blake2b256(Box::default())),
            _ => return None,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha2(context) => context.update(bytes),
            Self::Blake2b256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha2(context) => hex::encode(context.finish()),
            Self::Blake2b256(hasher) => hex::encode(hasher.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Digests {
    /// For content with these digests: SHA-256, SHA-384, SHA-512 and BLAKE2b-256 are computed, others are passed over.
    ///
    /// # Errors
    /// [`ContentError::UnknownHashes`] when nothing would be computed.
    pub fn expecting(hashes: &BTreeMap<String, String>) -> Result<Self, ContentError> {
        let known = |(algorithm, expected): (&String, &String)| {
            let (name, hasher) = Hasher::of(algorithm)?;
            Some((name, expected.clone(), hasher))
        };
        let known: Vec<_> = hashes.iter().filter_map(known).collect();
        if known.is_empty() { Err(ContentError::UnknownHashes) } else { Ok(Self(known)) }
    }

    /// The next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|(_, _, hasher)| hasher.update(bytes));
    }

    /// Compares, after the last piece.
    ///
    /// # Errors
    /// [`ContentError::Hash`] for the first digest that is another one.
    pub fn check(self) -> Result<(), ContentError> {
        for (name, expected, hasher) in self.0 {
            if !hasher.finish().eq_ignore_ascii_case(&expected) {
                return Err(ContentError::Hash { algorithm: name.to_owned() });
            }
        }
        Ok(())
    }
}

/// Compares content with digests, of which at least one must be known.
pub(super) fn check_hashes(bytes: &[u8], hashes: &BTreeMap<String, String>) -> Result<(), ContentError> {
    let mut digests = Digests::expecting(hashes)?;
    digests.update(bytes);
    digests.check()
}

/// Compares the length of content.
pub(super) fn check_length(bytes: &[u8], expected: u64) -> Result<(), ContentError> {
    let found = bytes.len() as u64;
    if found == expected { Ok(()) } else { Err(ContentError::Length { expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the text `abc`, as FIPS 180-4 and `b2sum -l 256` have them.
    const OF_ABC: [(&str, &str); 3] = [
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "sha512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        ("blake2b-256", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
    ];

    fn hashes(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, digits)| ((*name).to_owned(), (*digits).to_owned())).collect()
    }

    #[test]
    fn every_known_digest_counts() {
        assert_eq!(check_hashes(b"abc", &hashes(&OF_ABC)), Ok(()));
        for (index, (name, digits)) in OF_ABC.iter().enumerate() {
            let upper = digits.to_uppercase();
            assert_eq!(check_hashes(b"abc", &hashes(&[(name, &upper), ("md5", "00")])), Ok(()));
            let mut wrong = OF_ABC;
            wrong[index].1 = "00";
            let refused = ContentError::Hash { algorithm: (*name).to_owned() };
            assert_eq!(check_hashes(b"abc", &hashes(&wrong)), Err(refused));
        }
    }

    #[test]
    fn digests_that_nobody_knows_prove_nothing() {
        assert_eq!(check_hashes(b"abc", &hashes(&[("md5", "00")])), Err(ContentError::UnknownHashes));
        assert_eq!(check_hashes(b"abc", &BTreeMap::new()), Err(ContentError::UnknownHashes));
    }

    #[test]
    fn pieces_are_the_whole() {
        let mut digests = Digests::expecting(&hashes(&OF_ABC)).expect("known");
        for piece in [b"a".as_slice(), b"", b"bc"] {
            digests.update(piece);
        }
        assert_eq!(digests.check(), Ok(()));
    }
}
