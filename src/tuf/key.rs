//! Public keys and their signatures.
//!
//! A key is kept whole, with the members and key types that this program doesn't know; such a key never verifies
//! anything. Key ids are opaque; [`key_id`] is only how our own ceremony makes them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsDer,
    rsa::PublicEncryptingKey,
    signature::{self, ParsedPublicKey, RsaParameters, RsaPssSaltLength, VerificationAlgorithm},
};
use serde_json::{Value, json};
use thiserror::Error;

use crate::tuf::{
    canonical::{CanonicalError, to_canonical},
    member::{Members, MetadataError, object},
    name::KeyId,
};

/// The member of a key object that tells the workers where the private half of an online key is.
pub const ONLINE_KEY_URI: &str = "x-rstuf-online-key-uri";

/// The member of a key object of root that tells which delegated roles an online key is for, where no role of root names it: `bins`.
pub const ONLINE_KEY_ROLE: &str = "x-rstuf-online-key-role";

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Keys of this type and scheme are kept but never verify.
    #[error("no signature can be verified for key type {keytype} with scheme {scheme}")]
    Unsupported {
        /// The `keytype` of the key.
        keytype: String,
        /// The `scheme` of the key.
        scheme: String,
    },
    /// The public key is not what its type and scheme say.
    #[error("the public key is not of the form that its key type and scheme ask for")]
    Public,
    /// An RSA key outside 2048 to 4096 bits.
    #[error("rsa keys have 2048 to 4096 bits")]
    RsaSize,
    /// The signature is not hexadecimal.
    #[error("the signature is not hexadecimal")]
    Form,
    /// The signature is wrong.
    #[error("the signature is not by this key over this content")]
    Mismatch,
}

/// A public key (TUF §4.2.3).
#[derive(Debug, Clone)]
pub struct Key {
    /// The type of key: `ed25519`, `ecdsa`, `rsa`, or one that this program doesn't know.
    pub keytype: String,
    /// How it signs: `ed25519`, `ecdsa-sha2-nistp256`, `rsassa-pss-sha256`…
    pub scheme: String,
    /// The whole key object, as it was received.
    pub raw: Value,
    verifiers: Result<Vec<ParsedPublicKey>, KeyError>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Key {
    /// Reads a key object. Key types, schemes and public keys that can't be used are accepted, and never verify.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when `keytype`, `scheme` or `keyval` is missing or of the wrong type.
    pub fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let (keytype, scheme) = (members.text("keytype")?.to_owned(), members.text("scheme")?.to_owned());
        let public = members.object("keyval")?.get("public").and_then(Value::as_str);
        let verifiers = verifiers(&keytype, &scheme, public);
        Ok(Self { keytype, scheme, raw: value.clone(), verifiers })
    }

    /// Where the private half of an online key is: `fn:online.pem`.
    pub fn online_uri(&self) -> Option<&str> {
        self.raw.get(ONLINE_KEY_URI)?.as_str()
    }

    /// The public key as it is written: PEM, or hexadecimal digits for ed25519.
    pub fn public(&self) -> Option<&str> {
        self.raw.get("keyval")?.get("public")?.as_str()
    }

    /// Whether signatures of this key can be verified, and why not.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`], [`KeyError::Public`] or [`KeyError::RsaSize`].
    pub fn usable(&self) -> Result<(), KeyError> {
        self.verifiers.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Verifies a signature.
    ///
    /// Of RSA-PSS signatures the salt may be as long as the digest, as securesystemslib and tough make it, or as
    /// long as the key allows, as older signers made it. Other salt lengths, which python-tuf accepts when it
    /// verifies, are refused: the library verifies a given length only, and no known signer makes them.
    ///
    /// # Errors
    /// [`KeyError`] says why the signature does not count.
    pub fn verify(&self, message: &[u8], sig_hex: &str) -> Result<(), KeyError> {
        let verifiers = self.verifiers.as_ref().map_err(Clone::clone)?;
        let signature = hex::decode(sig_hex).map_err(|_| KeyError::Form)?;
        match verifiers.iter().any(|v| v.verify_sig(message, &signature).is_ok()) {
            true => Ok(()),
            false => Err(KeyError::Mismatch),
        }
    }

    /// What makes two keys the same one, whatever their ids, schemes and other members are. `None` for a key that
    /// never verifies.
    pub fn identity(&self) -> Option<Vec<u8>> {
        let verifier = self.verifiers.as_ref().ok()?.first()?;
        Some(verifier.as_der().ok()?.as_ref().to_vec())
    }
}

/// The ways to verify for a key: one, and for RSA-PSS one per length of the salt.
fn verifiers(keytype: &str, scheme: &str, public: Option<&str>) -> Result<Vec<ParsedPublicKey>, KeyError> {
    let unsupported = || KeyError::Unsupported { keytype: keytype.to_owned(), scheme: scheme.to_owned() };
    let algorithms = algorithms(keytype, scheme).ok_or_else(unsupported)?;
    let public = public.ok_or(KeyError::Public)?;
    let bytes = match keytype {
        "ed25519" => hex::decode(public).ok().filter(|raw| raw.len() == 32),
        _ => pem::parse(public).ok().filter(|p| p.tag() == "PUBLIC KEY").map(pem::Pem::into_contents),
    };
    let bytes = bytes.ok_or(KeyError::Public)?;
    let parse = |&algorithm| ParsedPublicKey::new(algorithm, &bytes).map_err(|_| KeyError::Public);
    let verifiers = algorithms.iter().map(parse).collect::<Result<_, _>>()?;
    if keytype == "rsa" {
        // The parser of signature keys takes any size, this one none below 2048 bits.
        let bits = PublicEncryptingKey::from_der(&bytes).map_err(|_| KeyError::RsaSize)?.key_size_bits();
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaSize);
        }
    }
    Ok(verifiers)
}

fn algorithms(keytype: &str, scheme: &str) -> Option<Vec<&'static dyn VerificationAlgorithm>> {
    const PSS_SHA256_MAX: RsaParameters = longest_salt(signature::RSA_PSS_2048_8192_SHA256);
    const PSS_SHA384_MAX: RsaParameters = longest_salt(signature::RSA_PSS_2048_8192_SHA384);
    const PSS_SHA512_MAX: RsaParameters = longest_salt(signature::RSA_PSS_2048_8192_SHA512);
    let ecdsa = keytype == "ecdsa" || (keytype == scheme && keytype.starts_with("ecdsa-"));
    Some(match (keytype, scheme) {
        ("ed25519", "ed25519") => vec![&signature::ED25519],
        (_, "ecdsa-sha2-nistp256") if ecdsa => vec![&signature::ECDSA_P256_SHA256_ASN1],
        (_, "ecdsa-sha2-nistp384") if ecdsa => vec![&signature::ECDSA_P384_SHA384_ASN1],
        (_, "ecdsa-sha2-nistp521") if ecdsa => vec![&signature::ECDSA_P521_SHA512_ASN1],
        ("rsa", "rsassa-pss-sha256") => vec![&signature::RSA_PSS_2048_8192_SHA256, &PSS_SHA256_MAX],
        ("rsa", "rsassa-pss-sha384") => vec![&signature::RSA_PSS_2048_8192_SHA384, &PSS_SHA384_MAX],
        ("rsa", "rsassa-pss-sha512") => vec![&signature::RSA_PSS_2048_8192_SHA512, &PSS_SHA512_MAX],
        ("rsa", "rsa-pkcs1v15-sha256") => vec![&signature::RSA_PKCS1_2048_8192_SHA256],
        ("rsa", "rsa-pkcs1v15-sha384") => vec![&signature::RSA_PKCS1_2048_8192_SHA384],
        ("rsa", "rsa-pkcs1v15-sha512") => vec![&signature::RSA_PKCS1_2048_8192_SHA512],
        _ => return None,
    })
}

const fn longest_salt(parameters: RsaParameters) -> RsaParameters {
    parameters.with_pss_salt_length(RsaPssSaltLength::Max)
}

/// The id of a key, over the whole key object: what our own ceremony uses, since tough asks for it.
///
/// # Errors
/// [`CanonicalError`] when the object holds a number that can't be signed.
pub fn key_id(key: &Value) -> Result<KeyId, CanonicalError> {
    Ok(KeyId(hex::encode(digest(&SHA256, &to_canonical(key)?))))
}

/// The id of a key as the Python tools compute it: over key type, scheme and value alone.
///
/// # Errors
/// As [`key_id`].
pub fn legacy_key_id(key: &Value) -> Result<KeyId, CanonicalError> {
    key_id(&json!({"keytype": key["keytype"], "scheme": key["scheme"], "keyval": key["keyval"]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &str = include_str!("../../tests/fixtures/schemes.json");

    fn cases() -> Vec<Value> {
        serde_json::from_str(SCHEMES).expect("json")
    }

    fn key(case: &Value) -> Key {
        Key::view(&case["key"]).expect("a key")
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("a string")
    }

    #[test]
    fn signatures_of_other_implementations_verify() {
        for case in cases() {
            let (key, message, sig) = (key(&case), text(&case["message"]).as_bytes(), text(&case["sig"]));
            let expected = match text(&case["verifies"]) {
                "yes" => Ok(()),
                "salt" => Err(KeyError::Mismatch),
                "size" => Err(KeyError::RsaSize),
                "public" => Err(KeyError::Public),
                _ => Err(KeyError::Unsupported { keytype: key.keytype.clone(), scheme: key.scheme.clone() }),
            };
            assert_eq!(key.verify(message, sig), expected, "{}", case["name"]);
            if expected.is_ok() {
                assert_eq!(key.verify(b"another message", sig), Err(KeyError::Mismatch), "{}", case["name"]);
                assert_eq!(key.verify(message, "zz"), Err(KeyError::Form), "{}", case["name"]);
                assert_eq!(key.verify(message, ""), Err(KeyError::Mismatch), "{}", case["name"]);
            }
        }
    }

    #[test]
    fn key_ids_are_those_of_the_python_tools() {
        for case in cases() {
            assert_eq!(legacy_key_id(&case["key"]).expect("an id").as_str(), text(&case["keyid"]));
        }
    }

    #[test]
    fn the_id_of_a_whole_key_depends_on_all_members() {
        let plain = cases().swap_remove(0)["key"].clone();
        let mut online = plain.clone();
        online[ONLINE_KEY_URI] = json!("fn:online.pem");
        assert_eq!(key_id(&plain).expect("an id"), legacy_key_id(&plain).expect("an id"));
        assert_ne!(key_id(&online).expect("an id"), key_id(&plain).expect("an id"));
        assert_eq!(Key::view(&online).expect("a key").online_uri(), Some("fn:online.pem"));
    }

    #[test]
    fn a_public_key_of_another_type_never_verifies() {
        let cases = cases();
        let by_name = |name: &str| cases.iter().find(|c| c["name"] == name).expect("recorded")["key"].clone();
        for (name, other) in [("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"), ("rsassa-pss-sha256", "ed25519")] {
            let mut mixed = by_name(name);
            mixed["keyval"] = by_name(other)["keyval"].clone();
            assert_eq!(Key::view(&mixed).expect("a key").usable(), Err(KeyError::Public), "{name} with {other}");
        }
    }
}
