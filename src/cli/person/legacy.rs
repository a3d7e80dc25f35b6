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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::private::{PrivateKey, Scheme};

    // Written by securesystemslib 0.25.0.
    const ENCRYPTED: &str = "a264b068db40be6412f51a876715abf5@@@@100000@@@@5d01adba70cff8d06130021f62d426b4d6fa7fec6cc2b46cd6b114\
        38cac5bdbc@@@@c170eb49b00096f4d3eccd42aba1cd64@@@@181e42eccd7334149bf40ccb33877a816757e0aafc782b6947\
        afc829716dc388dfe4c91cabf02622af4e6458bc3e2b0f3cae5e838527503171d503ab86bfc50c986c53149d3d5b81c1d474\
        93d88c29f91cc4d9a626f3fcc81cdf3da41a38dbe41219bdbbfb6e72a5ee5bb1f97ba39882f6f9e0c1f475fa1acb597d35a4\
        8fe8a9c5e88808937dec6aefa28140835e35d328ff8fda5bd3105d600fa8ed0cdb17dab9e22c858f4fb5d29e90d1d05dcf62\
        5ed34ca09d88200fcf02004126f5a5492f77a1ad721a290414f51f9ee0071992efb70c2678e663f32f6bf5838c3d0d15d8f0\
        35d3c008dafad565329b53d13e495293983273727d36bdb245850ba1e4373cc122913329595b4b9508ba3ccfe0afb0727374\
        19f8677b8f8132689075dbb60e5466a579b2d7b9e3f8dac0e754e446742fa66b32129a345de098e454ce0ff8db1947783db8\
        b8fbb30ab2889bb4ef85ee";
    const PUBLIC: &str = "78e666dc1b721faee70ce1113ab76b8cc9acaaad9fde134df38136345a7c215f";

    #[test]
    fn an_encrypted_file_is_opened_with_its_password_alone() {
        let locked = Locked::parse(ENCRYPTED).expect("a key file");
        assert!(locked.open(&SecretString::from("other")).is_none());
        let der = locked.open(&SecretString::from("old secret")).expect("opened");
        let key = PrivateKey::parse(&der, Scheme::Ed25519).expect("a private key");
        assert_eq!(key.public().expect("written")["keyval"]["public"], PUBLIC);
    }

    #[test]
    fn an_object_with_a_pem_is_read() {
        let made =
            crate::store::keys::generate::generate(crate::store::keys::generate::KeyKind::EcdsaP256).expect("made");
        let object = serde_json::json!({"keytype": "ecdsa", "keyval": {"private": made.private_pem(), "public": ""}});
        let der = private(&object.to_string()).expect("a private key");
        assert_eq!(PrivateKey::parse(&der, Scheme::EcdsaP256).expect("a key").public().expect("written"), made.public);
    }

    #[test]
    fn other_texts_are_none() {
        for text in
            ["", "a@@@@1@@@@b", "00@@@@0@@@@00@@@@00@@@@00", "{}", r#"{"keytype":"ed25519","keyval":{"private":""}}"#]
        {
            assert!(Locked::parse(text).is_none() && private(text).is_none(), "{text}");
        }
    }
}
