//! Private keys behind a password: PKCS#8 with PBES2 (RFC 5958, RFC 8018).

use aws_lc_rs::rand;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, pkcs5::pbes2};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::legacy;
use crate::cli::failure::Failure;

/// So often a password is hashed (OWASP 2025 for PBKDF2 with SHA-256): what every tool can read, unlike scrypt at a strength that is worth it.
const ITERATIONS: u32 = 600_000;

/// A private key that needs a password.
pub(super) enum Locked {
    /// A PKCS#8 `EncryptedPrivateKeyInfo`, as DER.
    Pkcs8(Vec<u8>),
    /// A file of older tools.
    Legacy(legacy::Locked),
}

impl Locked {
    /// Takes the DER of an encrypted key.
    ///
    /// # Errors
    /// When it is encrypted in another way than PBES2.
    pub(super) fn pkcs8(der: &[u8]) -> Result<Self, Failure> {
        let known = EncryptedPrivateKeyInfoRef::try_from(der);
        known.map(|_| Self::Pkcs8(der.to_vec())).map_err(|_| {
            Failure::new("the private key is encrypted in a way that is too old, or damaged")
                .remedy("encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW")
        })
    }

    /// The DER of the private key.
    ///
    /// # Errors
    /// When the password is wrong.
    pub(super) fn open(&self, password: &SecretString) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let opened = match self {
            Self::Pkcs8(der) => EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                .and_then(|info| info.decrypt(password.expose_secret()))
                .ok()
                .map(|document| document.to_bytes()),
            Self::Legacy(locked) => locked.open(password),
        };
        opened.ok_or_else(|| Failure::new("the password is wrong"))
    }
}

/// Encrypts the DER of an unencrypted PKCS#8.
///
/// # Errors
/// When it is none, or the cryptographic library fails.
pub(in crate::cli) fn lock(pkcs8: &[u8], password: &SecretString) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = || Failure::new("the private key can't be encrypted");
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rand::fill(&mut salt).and_then(|()| rand::fill(&mut iv)).map_err(|_| failed())?;
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv);
    let info = PrivateKeyInfoRef::try_from(pkcs8).map_err(|_| failed())?;
    let locked = info.encrypt_with_params(parameters.map_err(|_| failed())?, password.expose_secret());
    Ok(locked.map_err(|_| failed())?.to_bytes())
}
