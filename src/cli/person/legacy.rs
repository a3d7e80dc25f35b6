//! Key files of older Python tools (securesystemslib before 1.0): JSON objects, the private ones most often encrypted as
//! `salt@@@@iterations@@@@digest@@@@iv@@@@ciphertext`.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    encoding::{AsDer, Pkcs8V1Der},
    hmac, pbkdf2,
    signature::Ed25519KeyPair,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::pem::{Body, blocks};

const DELIMITER: &str = "@@@@";
/// More is not what such a tool wrote: it would only keep us busy.
const MAX_ITERATIONS: u32 = 10_000_000;

/// An encrypted key file.
pub(super) struct Locked {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    digest: Vec<u8>,
    iv: [u8; 16],
    ciphertext: Vec<u8>,
}

impl Locked {
    /// Reads a file, if it is of this form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.trim().split(DELIMITER).collect();
        let [salt, iterations, digest, iv, ciphertext] = parts[..] else { return None };
        let iterations = iterations.parse().ok().filter(|&count: &NonZeroU32| count.get() <= MAX_ITERATIONS)?;
        Some(Self {
            salt: hex::decode(salt).ok()?,
            iterations,
            digest: hex::decode(digest).ok()?,
            iv: hex::decode(iv).ok()?.try_into().ok()?,
            ciphertext: hex::decode(ciphertext).ok()?,
        })
    }

    /// The DER of the private key; `None` when the password is wrong.
    pub(super) fn open(&self, password: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new([0; 32]);
        let secret = password.expose_secret().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, self.iterations, &self.salt, secret, &mut *key);
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &*key), &self.ciphertext, &self.digest).ok()?;
        let mut text = Zeroizing::new(self.ciphertext.clone());
        let cipher = DecryptingKey::ctr(UnboundCipherKey::new(&AES_256, &*key).ok()?).ok()?;
        cipher.decrypt(&mut text, DecryptionContext::Iv128((&self.iv).into())).ok()?;
        private(std::str::from_utf8(&text).ok()?)
    }
}

/// The DER of the private key in the text of a JSON object, if there is one.
pub(super) fn private(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Deserialize)]
    struct Object<'a> {
        keytype: &'a str,
        #[serde(borrow)]
        keyval: Halves<'a>,
    }
    #[derive(Deserialize)]
    struct Halves<'a> {
        #[serde(borrow)]
        private: &'a RawValue,
    }
    let object: Object<'_> = serde_json::from_str(text).ok()?;
    let written = object.keyval.private.get().trim_matches('"');
    if object.keytype == "ed25519" {
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(written, &mut *seed).ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
        let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
        return Some(Zeroizing::new(der.as_ref().to_vec()));
    }
    let pem = Zeroizing::new(written.replace("\\n", "\n"));
    blocks(&pem)?.into_iter().find_map(|block| match block.body {
        Body::Bytes(bytes) if block.label.ends_with("PRIVATE KEY") => Some(bytes),
        _ => None,
    })
}
