//! A private key in memory: read from its file's bytes, signs, and tells its public half.
//!
//! The bytes that it is read from are wiped when they are dropped, and so is the key itself, by the cryptographic library.
//! Nothing here can be printed but the scheme.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use pem::{EncodeConfig, LineEnding, Pem};
use serde_json::{Value, json};
use thiserror::Error;
use tough::{schema::key::Key as ToughKey, sign::Sign};
use zeroize::Zeroizing;

/// Why bytes are not the private key that was asked for. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrivateKeyError {
    /// The scheme is none that this program signs with.
    #[error(
        "scheme {0:?} can't be signed with: use ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, \
         rsassa-pss-sha256, rsassa-pss-sha384 or rsassa-pss-sha512"
    )]
    Scheme(String),
    /// The key is protected by a password.
    #[error("the key is encrypted: decrypt it, for example with openssl pkey")]
    Encrypted,
    /// There is no private key at all.
    #[error("no private key was found: PEM (PKCS#8, PKCS#1 or SEC1) or DER (PKCS#8) is read")]
    Missing,
    /// There is one, of another kind or damaged.
    #[error("the private key is damaged or not one for {0}")]
    Kind(&'static str),
}

/// A signature scheme that private keys in files can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// RSA-PSS with SHA-256.
    RsaPssSha256,
    /// RSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSA-PSS with SHA-512.
    RsaPssSha512,
}

impl Scheme {
    const ALL: [Self; 6] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::RsaPssSha256, Self::RsaPssSha384, Self::RsaPssSha512];

    /// The scheme that metadata calls `name`.
    ///
    /// # Errors
    /// [`PrivateKeyError::Scheme`] for all others.
    pub fn parse(name: &str) -> Result<Self, PrivateKeyError> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.name() == name);
        found.ok_or_else(|| PrivateKeyError::Scheme(name.to_owned()))
    }

    /// Its name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::RsaPssSha256 => "rsassa-pss-sha256",
            Self::RsaPssSha384 => "rsassa-pss-sha384",
            Self::RsaPssSha512 => "rsassa-pss-sha512",
        }
    }
}

/// A private key that signs in one scheme.
pub struct PrivateKey {
    scheme: Scheme,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    /// With the padding and digest of the scheme; the salt is as long as the digest.
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl PrivateKey {
    /// Reads an unencrypted key: PEM with PKCS#8, PKCS#1 or SEC1, or PKCS#8 as DER.
    ///
    /// # Errors
    /// [`PrivateKeyError`] says what `bytes` are instead.
    pub fn parse(bytes: &[u8], scheme: Scheme) -> Result<Self, PrivateKeyError> {
        let der = der(bytes)?;
        let pair = match scheme {
            Scheme::Ed25519 => Ed25519KeyPair::from_pkcs8(&der).map(Pair::Ed25519),
            Scheme::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, &der),
            Scheme::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, &der),
            Scheme::RsaPssSha256 => rsa(&RSA_PSS_SHA256, &der),
            Scheme::RsaPssSha384 => rsa(&RSA_PSS_SHA384, &der),
            Scheme::RsaPssSha512 => rsa(&RSA_PSS_SHA512, &der),
        };
        pair.map(|pair| Self { scheme, pair }).map_err(|_| PrivateKeyError::Kind(scheme.name()))
    }

    /// The public half as a TUF key object: `keytype`, `scheme` and `keyval.public` (TUF §4.2.3).
    ///
    /// # Errors
    /// When the cryptographic library can't write it.
    pub fn public(&self) -> Result<Value, Unspecified> {
        let (keytype, public) = match &self.pair {
            Pair::Ed25519(pair) => ("ed25519", hex::encode(pair.public_key())),
            Pair::Ecdsa(pair) => ("ecdsa", public_pem(pair.public_key().as_der()?.as_ref())),
            Pair::Rsa(pair, _) => ("rsa", public_pem(pair.public_key().as_der()?.as_ref())),
        };
        Ok(json!({ "keytype": keytype, "scheme": self.scheme.name(), "keyval": { "public": public } }))
    }

    /// The private half as DER with PKCS#8.
    ///
    /// # Errors
    /// When the cryptographic library can't write it.
    pub fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Rsa(pair, _) => {
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                der.as_ref().to_vec()
            }
        }))
    }

    /// Signs a message: 64 bytes for ed25519, DER for ECDSA, as many bytes as the key has for RSA.
    ///
    /// # Errors
    /// When the cryptographic library fails, for example for lack of memory.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ecdsa(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

#[async_trait]
impl Sign for PrivateKey {
    /// The public half in tough's schema, which knows neither P-384 nor RSA-PSS with SHA-384 and SHA-512 and calls these
    /// by the schemes that it has: take [`PrivateKey::public`] for everything but tough.
    fn tuf_key(&self) -> ToughKey {
        match &self.pair {
            Pair::Ed25519(pair) => pair.tuf_key(),
            Pair::Ecdsa(pair) => pair.tuf_key(),
            Pair::Rsa(pair, _) => pair.tuf_key(),
        }
    }

    async fn sign(
        &self,
        message: &[u8],
        _: &(dyn SecureRandom + Sync),
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(PrivateKey::sign(self, message)?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.scheme.name())
    }
}

/// The DER of the private key among `bytes`, which are PEM or DER already.
fn der(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    const BEGIN: &[u8] = b"-----BEGIN";
    if !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    // Beside the key there may be other blocks: openssl writes the parameters of a curve first.
    for block in pem::parse_many(bytes).map_err(|_| PrivateKeyError::Missing)? {
        match block.tag() {
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" if block.headers().get("Proc-Type").is_some() => {
                return Err(PrivateKeyError::Encrypted);
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => return Ok(Zeroizing::new(block.into_contents())),
            "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyError::Encrypted),
            _ => {}
        }
    }
    Err(PrivateKeyError::Missing)
}

fn ecdsa(curve: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Result<Pair, aws_lc_rs::error::KeyRejected> {
    EcdsaKeyPair::from_private_key_der(curve, der).map(Pair::Ecdsa)
}

fn rsa(encoding: &'static dyn RsaEncoding, der: &[u8]) -> Result<Pair, aws_lc_rs::error::KeyRejected> {
    RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).map(|pair| Pair::Rsa(pair, encoding))
}

/// Writes a `SubjectPublicKeyInfo` as metadata has it.
pub(crate) fn public_pem(der: &[u8]) -> String {
    pem::encode_config(&Pem::new("PUBLIC KEY", der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::keys::generate::{KeyKind, generate},
        tuf::key::Key,
    };

    fn encode(tag: &str, der: &[u8]) -> Vec<u8> {
        pem::encode(&Pem::new(tag, der)).into_bytes()
    }

    fn new(kind: KeyKind) -> (Vec<u8>, Vec<u8>) {
        let generated = generate(kind).expect("made");
        let pkcs8 = pem::parse(generated.private_pem()).expect("pem").into_contents();
        (generated.private_pem().as_bytes().to_vec(), pkcs8)
    }

    fn signs(bytes: &[u8], scheme: Scheme) {
        let key = PrivateKey::parse(bytes, scheme).expect("a private key");
        let public = Key::view(&key.public().expect("written")).expect("a key");
        let signature = hex::encode(key.sign(b"message").expect("signed"));
        assert_eq!(public.verify(b"message", &signature), Ok(()), "{}", scheme.name());
    }

    #[test]
    fn all_usual_forms_are_read() {
        let (pem, pkcs8) = new(KeyKind::Ed25519);
        signs(&pem, Scheme::Ed25519);
        signs(&pkcs8, Scheme::Ed25519);
        let windows = String::from_utf8(pem).expect("text").replace('\n', "\r\n");
        signs(windows.as_bytes(), Scheme::Ed25519);

        let (pem, pkcs8) = new(KeyKind::EcdsaP384);
        signs(&pem, Scheme::EcdsaP384);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &pkcs8).expect("a pair");
        let sec1 = encode("EC PRIVATE KEY", pair.private_key().as_der().expect("written").as_ref());
        signs(&[encode("EC PARAMETERS", b"\x06\x05\x2b\x81\x04\x00\x22"), sec1].concat(), Scheme::EcdsaP384);

        let (pem, pkcs8) = new(KeyKind::Rsa3072);
        for scheme in [Scheme::RsaPssSha256, Scheme::RsaPssSha384, Scheme::RsaPssSha512] {
            signs(&pem, scheme);
        }
        // PKCS#8 wraps PKCS#1 in 26 bytes at these sizes.
        signs(&encode("RSA PRIVATE KEY", &pkcs8[26..]), Scheme::RsaPssSha256);
    }

    #[test]
    fn what_is_no_such_key_is_refused_with_the_reason() {
        let parse = |bytes: &[u8], scheme| PrivateKey::parse(bytes, scheme).expect_err("refused");
        let (ed25519, pkcs8) = new(KeyKind::Ed25519);
        let (p256, _) = new(KeyKind::EcdsaP256);
        assert_eq!(parse(&p256, Scheme::EcdsaP384), PrivateKeyError::Kind("ecdsa-sha2-nistp384"));
        assert_eq!(parse(&p256, Scheme::Ed25519), PrivateKeyError::Kind("ed25519"));
        assert_eq!(parse(&ed25519, Scheme::RsaPssSha256), PrivateKeyError::Kind("rsassa-pss-sha256"));
        assert_eq!(parse(b"", Scheme::Ed25519), PrivateKeyError::Kind("ed25519"));
        assert_eq!(parse(&pkcs8[..40], Scheme::Ed25519), PrivateKeyError::Kind("ed25519"));
        assert_eq!(parse(&encode("PUBLIC KEY", b"1"), Scheme::Ed25519), PrivateKeyError::Missing);
        assert_eq!(parse(b"-----BEGIN PRIVATE KEY-----\n", Scheme::Ed25519), PrivateKeyError::Missing);
        assert_eq!(parse(&encode("ENCRYPTED PRIVATE KEY", b"1"), Scheme::Ed25519), PrivateKeyError::Encrypted);
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                      -----END RSA PRIVATE KEY-----\n";
        assert_eq!(parse(legacy.as_bytes(), Scheme::RsaPssSha256), PrivateKeyError::Encrypted);
    }

    #[test]
    fn names_of_schemes_are_those_of_metadata() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::parse(scheme.name()), Ok(scheme));
        }
        for other in ["", "ED25519", "rsa-pkcs1v15-sha256", "ecdsa-sha2-nistp521"] {
            assert_eq!(Scheme::parse(other), Err(PrivateKeyError::Scheme(other.to_owned())));
        }
    }
}
