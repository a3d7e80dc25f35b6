//! What a publisher remembers from one round to the next. It saves reading; nothing depends on it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::RoundError;
use crate::{
    actors::signer::SigningKeys,
    store::{StoreError, ledger::Ledger},
    tuf::{
        delegation::{DelegatedRoles, Delegations},
        key::Key,
        name::{KeyId, RoleName},
        root::{RoleKeys, Root},
        snapshot::MetaFile,
        verify::Trusted,
        wire::{Metadata, MetadataError, RoleType},
    },
};

/// What is known of the head with a certain sequence, if anything. A round takes it, and gives it back when it succeeded.
#[derive(Debug, Default)]
pub struct Memory(Option<(i64, Known)>);

impl Memory {
    /// What is known of the head `base`: as remembered, or read from the ledger.
    pub(super) async fn take(&mut self, ledger: &dyn Ledger, base: i64) -> Result<Known, RoundError> {
        match self.0.take() {
            Some((sequence, known)) if sequence == base => Ok(known),
            _ => Known::read(ledger).await,
        }
    }

    pub(super) fn keep(&mut self, known: Known, sequence: i64) {
        self.0 = Some((sequence, known));
    }
}

/// The repository as it is published, and who signs what.
#[derive(Debug)]
pub(super) struct Known {
    /// How every role is listed by those that refer to it.
    pub published: BTreeMap<RoleName, MetaFile>,
    /// The file of root.
    pub root: Vec<u8>,
    /// Who checks the delegated roles.
    pub delegations: Arc<Delegations>,
    /// The keys of the delegated roles.
    pub delegated_keys: Arc<SigningKeys>,
    top_level_keys: BTreeMap<&'static str, Arc<SigningKeys>>,
}

impl Known {
    async fn read(ledger: &dyn Ledger) -> Result<Self, RoundError> {
        let Some(repository) = ledger.repository().await? else {
            return Err(StoreError::Broken("a plan without a repository".into()).into());
        };
        let published = ledger.published().await?;
        let root =
            Metadata::parse(&repository.root).and_then(|metadata| Root::view(&metadata.signed)).map_err(stored)?;
        let delegations = Delegations::view(&repository.delegations).map_err(stored)?;
        let delegated = match &delegations.roles {
            DelegatedRoles::Succinct(succinct) => Some(&succinct.keys),
            DelegatedRoles::Roles(roles) => roles.first().map(|role| &role.keys),
        };
        let delegated_keys = delegated.map(|role| online(&delegations.keys, role));
        let top_level_keys = [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp]
            .map(|role| (role.as_str(), Arc::new(online(&root.keys, root.role(role)))));
        Ok(Self {
            published,
            root: repository.root,
            delegated_keys: Arc::new(delegated_keys.unwrap_or_else(|| SigningKeys { keys: Vec::new(), threshold: 1 })),
            delegations: Arc::new(delegations),
            top_level_keys: top_level_keys.into(),
        })
    }

    /// The keys of a top-level role.
    pub(super) fn keys(&self, role: RoleType) -> Arc<SigningKeys> {
        self.top_level_keys[role.as_str()].clone()
    }

    /// Checks new files as a client does that has this root and nothing else (TUF §5.4, §5.5, §5.6).
    pub(super) fn check(&self, files: [Option<&[u8]>; 3], now: Timestamp) -> Result<(), RoundError> {
        let [timestamp, snapshot, targets] = files;
        let mut trusted = Trusted::from_root(&self.root)?;
        trusted.check_root_expiry(now)?;
        if let Some(bytes) = timestamp {
            trusted.update_timestamp(bytes, now)?;
        }
        if let Some(bytes) = snapshot {
            trusted.update_snapshot(bytes, now)?;
        }
        if let Some(bytes) = targets {
            trusted.update_targets(bytes, now)?;
        }
        Ok(())
    }
}

/// Those keys of a role whose private half this service can reach.
fn online(keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> SigningKeys {
    let reachable =
        role.keyids.iter().filter_map(|id| keys.get_key_value(id)).filter(|(_, key)| key.online_uri().is_some());
    SigningKeys { keys: reachable.map(|(id, key)| (id.clone(), key.raw.clone())).collect(), threshold: role.threshold }
}

fn stored(error: MetadataError) -> StoreError {
    StoreError::Broken(format!("the ledger holds metadata that can't be read: {error}"))
}
