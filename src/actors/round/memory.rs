//! What a publisher remembers from one round to the next. It saves reading; nothing depends on it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{RoundError, TIMESTAMP, listings::Listings};
use crate::{
    actors::signer::SigningKeys,
    store::{
        StoreError,
        bucket::Bucket,
        ledger::{Head, Ledger, Plan, charter::Charter},
    },
    task::Rotation,
    tuf::{
        delegation::Delegations,
        name::RoleName,
        root::Root,
        snapshot::MetaFile,
        verify::{Trusted, VerifyError},
        wire::{Metadata, MetadataError, RoleType},
    },
};

/// What is known of a head under a certain revision of the charter, if anything. A round takes it, and gives it back when it
/// succeeded.
#[derive(Debug, Default)]
pub struct Memory(Option<Remembered>);

#[derive(Debug)]
struct Remembered {
    head: Head,
    revision: i64,
    known: Known,
}

impl Memory {
    /// The sequence of the remembered head, if it is the one that clients see.
    pub(super) async fn seen(&self, bucket: &dyn Bucket) -> Result<Option<i64>, StoreError> {
        let Some(Remembered { head, .. }) = &self.0 else { return Ok(None) };
        let there = bucket.read(TIMESTAMP).await?;
        Ok((there.as_ref() == Some(&head.timestamp)).then_some(head.sequence))
    }

    /// What is known of the head and the charter that `plan` was made on: as remembered, or read from the ledger.
    pub(super) async fn take(&mut self, ledger: &dyn Ledger, plan: &Plan) -> Result<Known, RoundError> {
        let mut known = match self.0.take() {
            Some(Remembered { head, revision, known }) if revision == plan.revision => match head.sequence == plan.base
            {
                true => known,
                // Others have published since. What a version of a role lists stays as long as people decide nothing.
                false => Known { listings: known.listings, ..Known::read(ledger, revision).await? },
            },
            _ => Known::read(ledger, plan.revision).await?,
        };
        if let Some(delegations) = &plan.delegations {
            known.delegations = Arc::new(Delegations::view(delegations).map_err(stored)?);
        }
        Ok(known)
    }

    pub(super) fn keep(&mut self, known: Known, head: Head, revision: i64) {
        self.0 = Some(Remembered { head, revision, known });
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
    /// What some of them list.
    pub listings: Listings,
    current: Root,
    next: Option<Next>,
    retired: Vec<(Root, Timestamp)>,
}

/// The root that is on its way to clients.
#[derive(Debug)]
struct Next {
    root: Root,
    file: Vec<u8>,
    rotation: Rotation,
}

impl Known {
    async fn read(ledger: &dyn Ledger, revision: i64) -> Result<Self, RoundError> {
        let Some(repository) = ledger.repository().await? else {
            return Err(StoreError::Broken("a plan without a repository".into()).into());
        };
        let published = ledger.published().await?;
        // The last, so that if it is that of the plan all else is too.
        let chartered = ledger.charter().await?;
        if chartered.revision != revision {
            return Err(StoreError::Lost("the charter changed after the plan".into()).into());
        }
        let Charter { next_root, retired_roots, .. } = chartered.charter;
        let next = next_root.map(|next| {
            let (root, file) = (Root::view(&next.root.signed)?, next.root.to_bytes());
            Ok(Next { root, file, rotation: next.rotation })
        });
        let retired = retired_roots.iter().map(|retired| Ok((Root::view(&retired.root.signed)?, retired.until)));
        let current = Metadata::parse(&repository.root).and_then(|metadata| Root::view(&metadata.signed));
        Ok(Self {
            published,
            listings: Listings::default(),
            delegations: Arc::new(Delegations::view(&repository.delegations).map_err(stored)?),
            current: current.map_err(stored)?,
            next: next.transpose().map_err(stored)?,
            retired: retired.collect::<Result<_, _>>().map_err(stored)?,
            root: repository.root,
        })
    }

    /// The keys that sign a top-level role: of every root that a client may hold, so that none ever meets a file that its root does not
    /// trust. Those of a retired root are left out if they can't be had any more. A root that replaces keys at once is alone.
    pub(super) fn keys(&self, role: RoleType, now: Timestamp) -> SigningKeys {
        let of = |root: &Root| SigningKeys::online(&root.keys, root.role(role));
        let keys = match &self.next {
            Some(Next { root, rotation: Rotation::Immediate, .. }) => return of(root),
            Some(next) => of(&self.current).and(of(&next.root)),
            None => of(&self.current),
        };
        let retired = self.retired.iter().filter(|(_, until)| *until > now);
        retired.fold(keys, |keys, (root, _)| keys.and_perhaps(of(root)))
    }

    /// Makes sure that clients will take the next root, if there is one.
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails. Nothing that a round does can mend that.
    pub(super) fn check_next(&self, now: Timestamp) -> Result<(), VerifyError> {
        match &self.next {
            Some(next) => self.after(next)?.check_root_expiry(now),
            None => Ok(()),
        }
    }

    /// Checks new files as clients do that have nothing else than a root, for each root that they may hold (TUF §5.3 to §5.6).
    pub(super) fn check(&self, files: [Option<&[u8]>; 3], now: Timestamp) -> Result<(), RoundError> {
        let current = Trusted::from_root(&self.root)?;
        match &self.next {
            None => read(current, files, now)?,
            Some(next) => {
                // Who has a root that is over can go on with the next one alone.
                let is_over = current.check_root_expiry(now).is_err();
                if next.rotation == Rotation::Seamless && !is_over {
                    read(current, files, now)?;
                }
                read(self.after(next)?, files, now)?;
            }
        }
        Ok(())
    }

    fn after(&self, next: &Next) -> Result<Trusted, VerifyError> {
        let mut trusted = Trusted::from_root(&self.root)?;
        trusted.update_root(&next.file)?;
        Ok(trusted)
    }
}

fn read(mut trusted: Trusted, files: [Option<&[u8]>; 3], now: Timestamp) -> Result<(), VerifyError> {
    let [timestamp, snapshot, targets] = files;
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

fn stored(error: MetadataError) -> StoreError {
    StoreError::Broken(format!("the ledger holds metadata that can't be read: {error}"))
}
