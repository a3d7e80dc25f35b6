//! People sign a document, one after the other.

use std::collections::BTreeMap;

use crate::{
    cli::{failure::Failure, interview::Interview, output::Output},
    tuf::{
        key::Key,
        name::KeyId,
        root::RoleKeys,
        wire::{Metadata, Signature},
    },
};

/// Who has to sign: a document is signed when every one of these is met. The next root needs the keys of the root before it too (TUF §5.3.4).
#[derive(Debug, Clone)]
pub struct Needed {
    /// What people read: `the new root`, `the root before it`, the name of a role.
    pub by: String,
    /// Its keys by their ids.
    pub keys: BTreeMap<KeyId, Key>,
    /// Which of them sign, and how many have to.
    pub role: RoleKeys,
}

/// Asks people to sign what `metadata` signs: who, and where the private half is (`ID[n].key`, `ID[n].private`, `ID[n].password`).
/// Ends when all that is needed is there, or when whoever answers leaves the rest to others; at least one signature is given. The answer has the new signatures alone.
///
/// # Errors
/// [`Failure`].
pub async fn collect(
    _interview: &mut Interview,
    _output: Output,
    _id: &str,
    _metadata: &Metadata,
    _needed: &[Needed],
) -> Result<Vec<Signature>, Failure> {
    Err(Failure::new("not built yet"))
}
