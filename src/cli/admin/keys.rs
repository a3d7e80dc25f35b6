//! Public keys as people give them in a ceremony: where one is, and what it is called.

use serde_json::Value;

use crate::{
    cli::interview::{Interview, Stop},
    tuf::name::KeyId,
};

/// A key that a document is to name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedKey {
    /// Its id, over the whole object.
    pub id: KeyId,
    /// The key object, with `x-rstuf-key-name` and, for an online key, `x-rstuf-online-key-uri`.
    pub object: Value,
    /// What people call it.
    pub name: String,
}

/// Asks for the public key of a person: `ID.public` (a place of [`crate::cli::person::Place`]) and `ID.name`. Keys and names that are `taken` are refused.
///
/// # Errors
/// [`Stop`].
pub async fn ask_person(_interview: &mut Interview, _id: &str, _taken: &[NamedKey]) -> Result<NamedKey, Stop> {
    Err(crate::cli::failure::Failure::new("not built yet").into())
}

/// Asks for an online key: `ID.public`, `ID.name` and `ID.uri`, where the workers find its private half (`fn:FILE`, the default, or `awskms:…`).
///
/// # Errors
/// [`Stop`].
pub async fn ask_online(_interview: &mut Interview, _id: &str, _taken: &[NamedKey]) -> Result<NamedKey, Stop> {
    Err(crate::cli::failure::Failure::new("not built yet").into())
}
