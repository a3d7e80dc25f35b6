//! The keys of people: where the two halves of one are, and signing with it.
//!
//! Private halves are held in memory that is wiped, or stay where they are: in a token, in a key management service.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::Value;
use tough::sign::Sign;

use super::failure::Failure;

/// Where a key of a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A PEM file.
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
            Some(("pkcs11", _)) => Ok(Self::Token(text.to_owned())),
            Some(("awskms", id)) => Ok(Self::Kms(id.to_owned())),
            _ => Ok(Self::File(text.into())),
        }
    }

    /// The public half, as the key object of TUF without any other members (TUF §4.2.3).
    ///
    /// # Errors
    /// When it can't be had, or is of a kind that clients don't verify.
    pub async fn public(&self) -> Result<Value, Failure> {
        Err(Failure::new("not built yet"))
    }

    /// The private half. `password` is asked only when it is needed: for an encrypted file, for the PIN of a token.
    ///
    /// # Errors
    /// When it can't be had, or the password is wrong.
    pub async fn open(
        &self,
        _password: &mut dyn FnMut(&str) -> Result<SecretString, Failure>,
    ) -> Result<Box<dyn Sign>, Failure> {
        Err(Failure::new("not built yet"))
    }
}
