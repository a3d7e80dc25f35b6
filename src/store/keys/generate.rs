//! New keys, for demonstrations, tests and ceremonies.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    },
};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroizing;

use super::private::{PrivateKey, Scheme};

/// The cryptographic library could not make a key, for lack of memory or randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the cryptographic library failed to make or use a key")]
pub struct GenerateError;

impl From<Unspecified> for GenerateError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// What kind of key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519: small and quick, the one to take unless something asks for another.
    Ed25519,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA of 3072 bits, which signs by RSA-PSS with SHA-256.
    Rsa3072,
}

/// A new key pair.
#[derive(Debug)]
pub struct Generated {
    /// The public half as a TUF key object: `keytype`, `scheme` and `keyval.public`.
    pub public: Value,
    key: PrivateKey,
    private_pem: SecretString,
}

impl Generated {
    /// Signs a message in the scheme of the key.
    ///
    /// # Errors
    /// [`GenerateError`] when the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, GenerateError> {
        Ok(self.key.sign(message)?)
    }

    /// The private half as unencrypted DER with PKCS#8.
    ///
    /// # Errors
    /// [`GenerateError`] when the cryptographic library fails.
    pub fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, GenerateError> {
        Ok(self.key.pkcs8()?)
    }

    /// The private half as an unencrypted PEM with PKCS#8: to be written where only its owner reads it.
    pub fn private_pem(&self) -> &str {
        self.private_pem.expose_secret()
    }
}

/// Makes a key pair.
///
/// # Errors
/// [`GenerateError`] when the cryptographic library fails.
pub fn generate(kind: KeyKind) -> Result<Generated, GenerateError> {
    let (scheme, pem) = match kind {
        KeyKind::Ed25519 => (Scheme::Ed25519, private_pem(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref())),
        KeyKind::EcdsaP256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
            (Scheme::EcdsaP256, private_pem(pair.to_pkcs8v1()?.as_ref()))
        }
        KeyKind::EcdsaP384 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?;
            (Scheme::EcdsaP384, private_pem(pair.to_pkcs8v1()?.as_ref()))
        }
        KeyKind::Rsa3072 => {
            let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa3072)?.as_der()?;
            (Scheme::RsaPssSha256, private_pem(der.as_ref()))
        }
    };
    let key = PrivateKey::parse(pem.expose_secret().as_bytes(), scheme).map_err(|_| GenerateError)?;
    Ok(Generated { public: key.public()?, key, private_pem: pem })
}

fn private_pem(der: &[u8]) -> SecretString {
    let block = Pem::new("PRIVATE KEY", der);
    let text = pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF));
    drop(Zeroizing::new(block.into_contents()));
    SecretString::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::key::Key;

    #[test]
    fn every_kind_signs_what_its_public_half_verifies() {
        for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa3072] {
            let generated = generate(kind).expect("made");
            let public = Key::view(&generated.public).expect("a key");
            let signature = hex::encode(generated.sign(b"message").expect("signed"));
            assert_eq!(public.verify(b"message", &signature), Ok(()), "{kind:?}");
            assert!(public.verify(b"other", &signature).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn the_private_half_cannot_be_printed() {
        let generated = generate(KeyKind::Ed25519).expect("made");
        let secret = generated.private_pem().lines().nth(1).expect("a line of base64");
        let printed = format!("{generated:?}");
        assert!(printed.contains("ed25519") && !printed.contains(secret), "{printed}");
    }

    #[test]
    fn public_halves_are_written_as_metadata_has_them() {
        let public = |kind| generate(kind).expect("made").public["keyval"]["public"].as_str().expect("text").to_owned();
        let ed25519 = public(KeyKind::Ed25519);
        assert!(ed25519.len() == 64 && ed25519.bytes().all(|b| b.is_ascii_hexdigit()), "{ed25519}");
        let ecdsa = public(KeyKind::EcdsaP256);
        assert!(ecdsa.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{ecdsa}");
        assert!(ecdsa.ends_with("\n-----END PUBLIC KEY-----\n"), "{ecdsa}");
    }
}
