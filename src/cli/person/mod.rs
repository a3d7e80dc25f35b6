//! The keys of people: where the two halves of one are, and signing with it.
//!
//! Private halves are held in memory that is wiped, or stay where they are: in a token, in a key management service.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde_json::Value;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::store::keys::private::{PrivateKey, Scheme};
use file::{KeyFile, Private};

pub(super) mod file;
#[cfg(feature = "aws-kms")]
mod kms;
mod legacy;
pub(super) mod locked;
pub(super) mod opening;
mod pem;
pub(super) mod public;
pub mod token;

pub use public::Public;

/// A line that explains to people which places there are.
pub const PLACES: &str = "a file, pkcs11:token=… (a token such as a YubiKey), awskms:alias/… (AWS KMS)";

/// Where a key of a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file: PEM, DER, or one of an older tool.
    File(PathBuf),
    /// A token: a `pkcs11:` URI (RFC 7512).
    Token(String),
    /// A key of AWS KMS: `awskms:alias/root`, an id or an ARN.
    Kms(String),
}

impl Place {
    /// Reads a place as people write it: a path, `pkcs11:…` or `awskms:…`.
    ///
    /// # Errors
    /// Says what it has to be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text.is_empty() => Err("must be a file, pkcs11:… or awskms:…".to_owned()),
            Some(("pkcs11", _)) => token::check(text).map(|()| Self::Token(text.to_owned())),
            Some(("awskms", "")) => Err("must be awskms:alias/…, awskms: with an id, or with an ARN".to_owned()),
            Some(("awskms", id)) => Ok(Self::Kms(id.to_owned())),
            _ => Ok(Self::File(in_home(text))),
        }
    }

    /// As [`parse`](Self::parse), and a file has to be there.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn find(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            Self::File(path) if !path.exists() => Err(format!("there is no file {text}")),
            place => Ok(place),
        }
    }

    /// What to call a key that is here, if a person says nothing else.
    pub fn suggestion(&self, public: &Public) -> Option<String> {
        let of_file = || match self {
            Self::File(path) => Some(stem(path.file_name()?.to_str()?).to_owned()),
            Self::Token(_) => None,
            Self::Kms(id) => Some(id.rsplit(['/', ':']).next().unwrap_or(id).to_owned()),
        };
        public.label.clone().or_else(of_file).filter(|name| !name.is_empty())
    }

    /// The public half, and what it is called there. The private half of a file tells it too; of an encrypted one it is read from
    /// the file beside it, with `.pub` after its name.
    ///
    /// # Errors
    /// When it can't be had, or is of a kind that clients don't verify.
    pub async fn public(&self) -> Result<Public, Failure> {
        match self {
            Self::File(path) => public_in_file(path),
            Self::Token(uri) => token::public(uri),
            #[cfg(feature = "aws-kms")]
            Self::Kms(id) => Ok(Public { object: kms::KmsKey::new(id).await.public().await?, label: None }),
            #[cfg(not(feature = "aws-kms"))]
            Self::Kms(_) => Err(without_kms()),
        }
    }

    /// Whether it is an encrypted file.
    pub(super) fn is_locked(&self) -> bool {
        match self {
            Self::File(path) => matches!(KeyFile::read(path), Ok(KeyFile { private: Some(Private::Locked(_)), .. })),
            Self::Token(_) | Self::Kms(_) => false,
        }
    }

    /// The private half. `password` is asked only when it is needed: for an encrypted file, for the PIN of a token.
    ///
    /// # Errors
    /// When it can't be had, or the password is wrong.
    pub async fn open(
        &self,
        password: &mut dyn FnMut(&str) -> Result<SecretString, Failure>,
    ) -> Result<Signer, Failure> {
        match self {
            Self::File(path) => {
                let der = private_in_file(path, password)?;
                let public = file::public_half(&der).map_err(|failure| in_file(path, failure))?;
                Ok(Signer { public, half: Half::Memory(der) })
            }
            Self::Token(uri) => {
                let (public, key) = token::open(uri, password)?;
                Ok(Signer { public, half: Half::Token(key) })
            }
            #[cfg(feature = "aws-kms")]
            Self::Kms(id) => {
                let key = kms::KmsKey::new(id).await;
                Ok(Signer { public: key.public().await?, half: Half::Kms(key) })
            }
            #[cfg(not(feature = "aws-kms"))]
            Self::Kms(_) => Err(without_kms()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
            Self::Kms(id) => write!(f, "awskms:{id}"),
        }
    }
}

/// A private half that signs.
pub struct Signer {
    /// The public half, as a key object.
    pub public: Value,
    half: Half,
}

enum Half {
    /// Its DER; wiped when it is dropped.
    Memory(Zeroizing<Vec<u8>>),
    /// It stays in its token.
    Token(token::TokenKey),
    /// It stays with Amazon.
    #[cfg(feature = "aws-kms")]
    Kms(kms::KmsKey),
}

impl Signer {
    /// Signs a message in a scheme of its kind.
    ///
    /// # Errors
    /// When it does not sign in this scheme, or not now.
    pub async fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match &self.half {
            Half::Memory(der) => {
                let key = PrivateKey::parse(der, scheme).map_err(Failure::new)?;
                key.sign(message).map_err(|_| Failure::new("the cryptographic library failed to sign"))
            }
            Half::Token(key) => key.sign(scheme, message),
            #[cfg(feature = "aws-kms")]
            Half::Kms(key) => key.sign(scheme, message).await,
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(not(feature = "aws-kms"))]
fn without_kms() -> Failure {
    Failure::new("this rstuf was built without AWS KMS").remedy("build it with cargo build --features aws-kms")
}

/// The path, with `~` for the home directory: at a question no shell does this.
fn in_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => text.into(),
    }
}

/// The name of a key file without what says that it is one.
fn stem(name: &str) -> &str {
    const ENDINGS: [&str; 7] = [".pub", ".pem", ".key", ".der", ".crt", ".cer", ".json"];
    match ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)) {
        Some(shorter) if !shorter.is_empty() => stem(shorter),
        _ => name,
    }
}

fn public_in_file(path: &Path) -> Result<Public, Failure> {
    match KeyFile::read(path)? {
        KeyFile { public: Some(public), .. } => Ok(public),
        KeyFile { private: Some(Private::Open(der)), .. } => {
            let object = file::public_half(&der).map_err(|failure| in_file(path, failure))?;
            Ok(Public { object, label: None })
        }
        _ => {
            let beside = file::beside(path);
            match KeyFile::read(&beside) {
                Ok(KeyFile { public: Some(public), .. }) => Ok(public),
                _ => Err(Failure::new(format_args!(
                    "{} is encrypted, so it does not tell its public half",
                    path.display()
                ))
                .remedy(format_args!(
                    "give the file of the public half; rstuf key convert {} --public --out {} writes it",
                    path.display(),
                    beside.display()
                ))),
            }
        }
    }
}

/// The DER of the private half.
pub(super) fn private_in_file(
    path: &Path,
    password: &mut dyn FnMut(&str) -> Result<SecretString, Failure>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match KeyFile::read(path)?.private {
        Some(Private::Open(der)) => Ok(der),
        Some(Private::Locked(locked)) => {
            let password = password(&format!("Password of {}:", path.display()))?;
            locked.open(&password).map_err(|failure| in_file(path, failure))
        }
        None => Err(Failure::new(format_args!("{} has a public key alone", path.display()))
            .remedy("give the file of the private half")),
    }
}

fn in_file(path: &Path, failure: Failure) -> Failure {
    Failure { cause: format!("{}: {}", path.display(), failure.cause), ..failure }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_a_file_a_token_or_a_service() {
        let parse = |text| Place::parse(text).expect("a place");
        assert_eq!(parse("keys/ada.pem"), Place::File("keys/ada.pem".into()));
        assert_eq!(parse("c:ada"), Place::File("c:ada".into()));
        assert_eq!(parse("pkcs11:token=a"), Place::Token("pkcs11:token=a".into()));
        assert_eq!(parse("awskms:alias/a").to_string(), "awskms:alias/a");
        for wrong in ["", "awskms:", "pkcs11:tokn=a"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Place::find("no/such/file").expect_err("refused").contains("no/such/file"));
    }

    #[test]
    fn a_key_is_called_as_its_place_calls_it() {
        let public = |label: Option<&str>| Public { object: json!({}), label: label.map(str::to_owned) };
        let name = |place: &str, label| Place::parse(place).expect("a place").suggestion(&public(label));
        assert_eq!(name("keys/ada.pem.pub", None).as_deref(), Some("ada"));
        assert_eq!(name("keys/ada.l.crt", None).as_deref(), Some("ada.l"));
        assert_eq!(name(".pub", None).as_deref(), Some(".pub"));
        assert_eq!(name("a.crt", Some("Ada")).as_deref(), Some("Ada"));
        assert_eq!(name("pkcs11:token=a", None), None);
        assert_eq!(name("awskms:arn:aws:kms:eu-north-1:1:alias/ada", None).as_deref(), Some("ada"));
    }
}
