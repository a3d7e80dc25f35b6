//! Key files that are written.

use std::path::{Path, PathBuf};

use pkcs8::der::{SecretDocument, pem::LineEnding};
use secrecy::SecretString;

use crate::cli::{
    failure::Failure,
    person::{file, locked},
};

/// What a private key file is.
pub(super) enum Protection<'a> {
    /// Encrypted with a password.
    Password(&'a SecretString),
    /// For whoever reads the file.
    None,
}

/// Makes sure that a pair can be written: neither file is there.
///
/// # Errors
/// Names the file that is.
pub(super) fn is_free(private: &Path) -> Result<PathBuf, Failure> {
    let public = file::beside(private);
    let there = [private, &public].into_iter().find(|path| path.symlink_metadata().is_ok());
    match there {
        Some(there) => Err(Failure::new(format_args!("{} is there already", there.display()))
            .remedy("choose another file with --out: keys are never replaced")),
        None => Ok(public),
    }
}

/// Writes a private key, for its owner alone.
///
/// # Errors
/// When it can't be encrypted or written, or the file is there already.
pub(super) fn private(path: &Path, pkcs8: &[u8], protection: &Protection<'_>) -> Result<(), Failure> {
    let (label, der) = match protection {
        Protection::Password(password) => ("ENCRYPTED PRIVATE KEY", locked::lock(pkcs8, password)?),
        Protection::None => ("PRIVATE KEY", pkcs8.to_vec().into()),
    };
    let failed = |_| Failure::new("the private key can't be written as PEM");
    let pem = SecretDocument::try_from(der.as_slice()).and_then(|der| der.to_pem(label, LineEnding::LF));
    file::write_new(path, 0o600, pem.map_err(failed)?.as_bytes())
}

/// Writes a public key.
///
/// # Errors
/// When it can't be written, or the file is there already.
pub(super) fn public(path: &Path, pem: &str) -> Result<(), Failure> {
    file::write_new(path, 0o644, pem.as_bytes())
}
