//! Signing events: metadata that waits until enough people have signed it (TUF §6.1).
//!
//! An event is a state machine. What is legal:
//!
//! ```text
//!   open ──► Collecting ──sign──► Collecting | Complete      a signature that counts; enough of them
//!            Collecting ──stop──► ∅                          people give it up
//!            Collecting ──replace──► Collecting | Complete   its content is not what is wanted any more
//!            Complete ──publish──► ∅                         its round is committed
//! ```
//!
//! All else is refused: what is complete takes no more signatures, is not stopped and is not replaced; its round is about to publish it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::tuf::{
    delegation::Delegations,
    key::Key,
    name::{KeyId, RoleName, Version},
    root::{RoleKeys, Root},
    verify::{SignatureFault, VerifyError, tally},
    wire::{Metadata, MetadataError, RoleType, Signature},
};

/// Metadata that waits for signatures, or for its round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What is signed, with the signatures that were given so far.
    pub document: Metadata,
    /// Its version.
    pub version: Version,
    /// Where it stands.
    pub state: State,
    /// The last staged change that the document has, 0 for none.
    #[serde(default)]
    pub through: i64,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Signatures are missing.
    Collecting,
    /// Enough have signed; the next round publishes it.
    Complete,
}

/// Keys of which so many must sign. A root has two of these: the trusted root and itself (TUF §5.3.4).
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// Who wants it: `root v1`, or the role that delegates.
    pub name: String,
    /// All keys that it knows.
    pub keys: BTreeMap<KeyId, Key>,
    /// Those that may sign, and how many must.
    pub role: RoleKeys,
}

/// What an authority lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The authority.
    pub authority: String,
    /// So many more signatures.
    pub signatures: u32,
    /// Of any of these keys: the name that people gave each, or else its id.
    pub of: Vec<String>,
}

/// Why an event did not move.
#[derive(Debug, Error)]
pub enum EventError {
    /// The event is complete.
    #[error("{0} is fully signed already and is about to be published")]
    Complete(RoleName),
    /// The signature counts for nobody.
    #[error("key {keyid}: {fault}")]
    Signature {
        /// Its key.
        keyid: KeyId,
        /// Why.
        fault: SignatureFault,
    },
    /// The document can't be read or signed.
    #[error(transparent)]
    Document(#[from] VerifyError),
}

impl Authority {
    /// What a root wants of a root: the trusted one of the next, and the next of itself.
    pub fn root(root: &Root) -> Self {
        let role = root.role(RoleType::Root).clone();
        Self { name: format!("root v{}", root.version), keys: root.keys.clone(), role }
    }

    /// What `targets` wants of a delegated role, `None` when it does not delegate to it.
    pub fn delegation(delegations: &Delegations, role: &RoleName) -> Option<Self> {
        let of_role = delegations.role(role)?.clone();
        Some(Self { name: "targets".to_owned(), keys: delegations.keys.clone(), role: of_role })
    }

    /// The same for a role object and keys that are not part of any delegations yet.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn announced(role: &Value, keys: &Map<String, Value>) -> Result<Self, MetadataError> {
        let delegations = Delegations::view(&json!({ "keys": keys, "roles": [role] }))?;
        let name = RoleName::parse(role["name"].as_str().unwrap_or_default());
        let authority = name.ok().and_then(|name| Self::delegation(&delegations, &name));
        authority.ok_or_else(|| MetadataError::field("name", "must be that of a role"))
    }
}

impl Event {
    /// Opens an event for a document, which may have signatures already. Those that don't count are not taken.
    ///
    /// # Errors
    /// [`EventError::Document`] when it can't be read or signed.
    pub fn open(document: Metadata, authorities: &[Authority], through: i64) -> Result<Self, EventError> {
        let version = document.header().map_err(|source| unreadable(source, &document))?.version;
        let mut counted = BTreeMap::new();
        for authority in authorities {
            let tally = tally(&authority.keys, &authority.role, &document);
            let valid = tally.map_err(|source| VerifyError::Canonical { role: RoleName::root(), source })?.valid;
            counted.extend(
                document.signatures.iter().filter(|s| valid.contains(&s.keyid)).map(|s| (s.keyid.clone(), s.clone())),
            );
        }
        let document = Metadata { signatures: counted.into_values().collect(), ..document };
        let mut event = Self { document, version, state: State::Collecting, through };
        event.settle(authorities)?;
        Ok(event)
    }

    /// Takes a signature. One of the same key that is there is replaced.
    ///
    /// # Errors
    /// [`EventError::Signature`] when it counts for none of the authorities, [`EventError::Complete`] when no more are taken.
    pub fn sign(
        mut self,
        role: &RoleName,
        signature: Signature,
        authorities: &[Authority],
    ) -> Result<Self, EventError> {
        if self.state == State::Complete {
            return Err(EventError::Complete(role.clone()));
        }
        let keyid = signature.keyid.clone();
        let alone = Metadata { signatures: vec![signature.clone()], ..self.document.clone() };
        let mut fault = SignatureFault::NotOfRole;
        let mut counts = false;
        for authority in authorities {
            let tally = tally(&authority.keys, &authority.role, &alone);
            let tally = tally.map_err(|source| VerifyError::Canonical { role: role.clone(), source })?;
            counts |= tally.valid.contains(&keyid);
            // Of several reasons the one of an authority that knows the key says most.
            if let Some((_, why)) = tally.faults.into_iter().next()
                && why != SignatureFault::NotOfRole
            {
                fault = why;
            }
        }
        if !counts {
            return Err(EventError::Signature { keyid, fault });
        }
        self.document.signatures.retain(|there| there.keyid != keyid);
        self.document.signatures.push(signature);
        self.settle(authorities)?;
        Ok(self)
    }

    /// Makes sure that people may give it up, or that another document may take its place.
    ///
    /// # Errors
    /// [`EventError::Complete`].
    pub fn end(self, role: &RoleName) -> Result<(), EventError> {
        match self.state {
            State::Collecting => Ok(()),
            State::Complete => Err(EventError::Complete(role.clone())),
        }
    }

    /// What each authority lacks, those that lack something.
    ///
    /// # Errors
    /// [`EventError::Document`] when the document can't be signed.
    pub fn missing(&self, authorities: &[Authority]) -> Result<Vec<Missing>, EventError> {
        let mut missing = Vec::new();
        for authority in authorities {
            let tally = tally(&authority.keys, &authority.role, &self.document);
            let valid = tally.map_err(|source| VerifyError::Canonical { role: RoleName::root(), source })?.valid;
            let there = u32::try_from(valid.len()).unwrap_or(u32::MAX);
            let lacks = authority.role.threshold.saturating_sub(there);
            if lacks > 0 {
                let open = authority.role.keyids.iter().filter(|id| !valid.contains(*id));
                let of = open.map(|id| name_of(id, authority.keys.get(id))).collect();
                missing.push(Missing { authority: authority.name.clone(), signatures: lacks, of });
            }
        }
        Ok(missing)
    }

    fn settle(&mut self, authorities: &[Authority]) -> Result<(), EventError> {
        self.state = if self.missing(authorities)?.is_empty() { State::Complete } else { State::Collecting };
        Ok(())
    }
}

/// The name that people gave a key, or else its id.
fn name_of(id: &KeyId, key: Option<&Key>) -> String {
    let names = ["x-rstuf-key-name", "name"];
    let named = key.and_then(|key| names.iter().find_map(|name| key.raw[*name].as_str()));
    named.unwrap_or(id.as_str()).to_owned()
}

fn unreadable(source: MetadataError, document: &Metadata) -> VerifyError {
    let role = document.signed["_type"].as_str().and_then(|text| RoleName::parse(text).ok());
    VerifyError::Malformed { role: role.unwrap_or_else(RoleName::targets), source }
}
