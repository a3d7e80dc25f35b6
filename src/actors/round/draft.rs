//! Builds and signs what a plan says, and checks it as a client does.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio::try_join;

use super::{Parts, RoundError, memory::Known};
use crate::{
    actors::{
        bins::{Order, UpdateError, Updated, within_limits},
        signer::SigningKeys,
    },
    store::{
        StoreError,
        bucket::File,
        ledger::{Plan, PublishedRole, RepositorySettings},
    },
    tuf::{
        expiry,
        limits::Length,
        name::{RoleName, Version},
        root::RoleKeys,
        snapshot::{self, MetaFile},
        targets, timestamp,
        verify::{VerifyError, verify_delegated},
        wire::{RoleType, Unsigned},
    },
};

/// Delegated roles that are built, signed and written together.
const CHUNK: usize = 32;
/// Chunks that are worked on at once: one is signed while another is written.
const CHUNKS_AT_ONCE: usize = 3;

/// The new files of a round.
pub(super) struct Draft<'a> {
    parts: &'a Parts,
    settings: RepositorySettings,
    now: Timestamp,
    /// What will be known when this is published.
    pub known: Known,
    /// The roles that were built.
    pub roles: Vec<PublishedRole>,
    /// The new `targets`, when it changed.
    pub targets: Option<Vec<u8>>,
    /// The new timestamp.
    pub timestamp: Vec<u8>,
    /// The versioned files that are not written yet.
    pub files: Vec<File>,
}

impl<'a> Draft<'a> {
    /// Builds all that `plan` says. Of many delegated roles most are written already when this returns.
    pub(super) async fn build(parts: &'a Parts, plan: &Plan, known: Known, now: Timestamp) -> Result<Self, RoundError> {
        let mut draft = Self {
            parts,
            settings: plan.settings.clone(),
            now,
            known,
            roles: Vec::with_capacity(plan.roles.len()),
            targets: None,
            timestamp: Vec::new(),
            files: Vec::new(),
        };
        draft.signed(plan)?;
        let orders = draft.orders(plan)?;
        // Snapshot has the versions of delegated roles and nothing of their content, so it need not wait for them.
        for (role, version) in delegated(plan) {
            let expires = draft.expires(role);
            draft.note(role.clone(), *version, expires);
        }
        let (updated, ()) = try_join!(update(parts, orders), draft.top_levels(plan))?;
        for Updated { role, version, file, listing } in updated {
            if let Some(listing) = listing {
                draft.known.listings.put(role, version, listing);
            }
            draft.files.extend(file);
        }
        if plan.base == 0 {
            let name = RoleName::root().file_name(Version::FIRST);
            draft.files.push(File { name, bytes: draft.known.root.clone() });
        }
        Ok(draft)
    }

    /// Builds and signs the top-level roles, and checks them.
    async fn top_levels(&mut self, plan: &Plan) -> Result<(), RoundError> {
        if let Some(version) = plan.version_of(&RoleName::targets()) {
            self.targets = Some(self.targets(plan, version).await?);
        }
        let mut snapshot = None;
        if let Some(version) = plan.version_of(&RoleName::snapshot()) {
            snapshot = Some(self.snapshot(version).await?);
        }
        let version = plan.version_of(&RoleName::timestamp());
        let version = version.ok_or_else(|| StoreError::Broken("a plan without a timestamp".into()))?;
        self.timestamp = self.timestamp(version).await?;
        let mut targets = self.targets.clone();
        if plan.root.is_some() {
            // With a new root clients verify everything anew, also what this round does not touch.
            snapshot = Some(self.as_published(&RoleName::snapshot(), snapshot).await?);
            targets = Some(self.as_published(&RoleName::targets(), targets).await?);
        }
        self.known.check([Some(&self.timestamp), snapshot.as_deref(), targets.as_deref()], self.now)
    }

    /// Takes what people signed, byte for byte, if clients would.
    fn signed(&mut self, plan: &Plan) -> Result<(), RoundError> {
        for (role, version) in &plan.roles {
            let Some(document) = plan.signed.get(role) else { continue };
            let bytes = document.to_bytes();
            let targets = verify_delegated(&self.known.delegations, role, &bytes, *version, self.now)
                .map_err(|error| RoundError::Document(role.clone(), error))?;
            self.files.push(File { name: role.file_name(*version), bytes });
            self.note(role.clone(), *version, targets.expires);
        }
        Ok(())
    }

    /// Roles that are signed by the same keys for the same time, together.
    fn orders(&mut self, plan: &Plan) -> Result<Vec<Order>, RoundError> {
        let Known { delegations, listings, published, .. } = &mut self.known;
        let mut groups = BTreeMap::<_, Vec<&(RoleName, Version)>>::new();
        for role in delegated(plan) {
            let keys = delegations.role(&role.0).ok_or_else(|| {
                let error = VerifyError::NotDelegated { role: role.0.clone(), delegator: RoleName::targets() };
                UpdateError::Refused(role.0.clone(), error)
            })?;
            groups.entry((&keys.keyids, keys.threshold, self.settings.days(&role.0))).or_default().push(role);
        }
        let mut orders = Vec::new();
        for ((keyids, threshold, days), roles) in groups {
            let of_role = RoleKeys { keyids: keyids.clone(), threshold };
            let keys = Arc::new(SigningKeys::online(&delegations.keys, &of_role));
            for chunk in roles.chunks(CHUNK) {
                let changes = |(role, _): &&(RoleName, Version)| Some((role.clone(), plan.changes.get(role)?.clone()));
                let listed = |(role, _): &&(RoleName, Version)| {
                    let version = published.get(role)?.version;
                    Some((role.clone(), listings.take(role, version)?))
                };
                orders.push(Order {
                    listed: chunk.iter().filter_map(listed).collect(),
                    roles: chunk.iter().map(|role| (*role).clone()).collect(),
                    changes: chunk.iter().filter_map(changes).collect(),
                    now: self.now,
                    days,
                    delegations: delegations.clone(),
                    keys: keys.clone(),
                });
            }
        }
        Ok(orders)
    }

    fn note(&mut self, role: RoleName, version: Version, expires: Timestamp) {
        let meta = MetaFile::version_only(version);
        self.known.published.insert(role.clone(), meta.clone());
        self.roles.push(published(role, version, meta, self.now, expires));
    }

    /// The new file of a role, or else the one that clients see now.
    async fn as_published(&self, role: &RoleName, new: Option<Vec<u8>>) -> Result<Vec<u8>, RoundError> {
        if let Some(bytes) = new {
            return Ok(bytes);
        }
        let version = self.known.published.get(role).map(|meta| meta.version);
        let name = version.map(|version| role.file_name(version)).unwrap_or_default();
        let bytes = self.parts.bucket.read(&name).await?;
        Ok(bytes.ok_or_else(|| StoreError::Broken(format!("the bucket has no {role} that was published")))?)
    }

    async fn targets(&mut self, plan: &Plan, version: Version) -> Result<Vec<u8>, RoundError> {
        let delegations = match &plan.delegations {
            Some(delegations) => delegations.clone(),
            None => match self.parts.ledger.repository().await? {
                Some(repository) => repository.delegations,
                None => return Err(StoreError::Broken("a plan without a repository".into()).into()),
            },
        };
        let expires = self.expires(&RoleName::targets());
        let signed = targets::render(version, expires, &[], Some(&delegations));
        self.top_level(RoleType::Targets, version, expires, unsigned(&signed)?).await
    }

    async fn snapshot(&mut self, version: Version) -> Result<Vec<u8>, RoundError> {
        let expires = self.expires(&RoleName::snapshot());
        let listed = self.known.published.iter().filter(|(role, _)| !matches!(role.as_str(), "snapshot" | "timestamp"));
        let draft = snapshot::render(version, expires, listed).unsigned();
        self.top_level(RoleType::Snapshot, version, expires, draft).await
    }

    async fn timestamp(&mut self, version: Version) -> Result<Vec<u8>, RoundError> {
        let snapshot = self.known.published.get("snapshot");
        let snapshot = snapshot.ok_or_else(|| StoreError::Broken("a head without a snapshot".into()))?;
        let expires = self.expires(&RoleName::timestamp());
        let draft = unsigned(&timestamp::render(version, expires, snapshot))?;
        self.top_level(RoleType::Timestamp, version, expires, draft).await
    }

    /// Signs a top-level role, and notes it.
    async fn top_level(
        &mut self,
        type_: RoleType,
        version: Version,
        expires: Timestamp,
        draft: Unsigned,
    ) -> Result<Vec<u8>, RoundError> {
        let (role, length) = match type_ {
            RoleType::Timestamp => (RoleName::timestamp(), Length::Unsigned),
            RoleType::Snapshot => (RoleName::snapshot(), Length::Signed),
            RoleType::Targets => (RoleName::targets(), Length::Signed),
            RoleType::Root => (RoleName::root(), Length::Unsigned),
        };
        let bytes = self.parts.hands.sign(&role, Arc::new(self.known.keys(type_, self.now)), draft).await?;
        within_limits(&role, &bytes, length).map_err(UpdateError::from)?;
        let meta = MetaFile::of(version, &bytes);
        self.known.published.insert(role.clone(), meta.clone());
        if type_ != RoleType::Timestamp {
            self.files.push(File { name: role.file_name(version), bytes: bytes.clone() });
        }
        self.roles.push(published(role, version, meta, self.now, expires));
        Ok(bytes)
    }

    fn expires(&self, role: &RoleName) -> Timestamp {
        expiry::expires(self.now, self.settings.days(role))
    }
}

/// The delegated roles that this service signs.
fn delegated(plan: &Plan) -> impl Iterator<Item = &(RoleName, Version)> {
    plan.roles.iter().filter(|(role, _)| !role.is_top_level() && !plan.signed.contains_key(role))
}

/// Builds and signs delegated roles. The files of many are written already when this returns.
async fn update(parts: &Parts, orders: Vec<Order>) -> Result<Vec<Updated>, RoundError> {
    let is_one_batch = orders.iter().map(|order| order.roles.len()).sum::<usize>() <= CHUNK;
    let mut updates = stream::iter(orders)
        .map(|order| async move {
            let mut updated = parts.hands.update(order).await?;
            if !is_one_batch {
                parts.bucket.create(updated.iter_mut().filter_map(|role| role.file.take()).collect()).await?;
            }
            Ok::<_, RoundError>(updated)
        })
        .buffer_unordered(CHUNKS_AT_ONCE);
    let mut all = Vec::new();
    while let Some(updated) = updates.try_next().await? {
        all.extend(updated);
    }
    Ok(all)
}

fn unsigned(signed: &Value) -> Result<Unsigned, UpdateError> {
    Ok(Unsigned::of(signed)?)
}

fn published(name: RoleName, version: Version, meta: MetaFile, now: Timestamp, expires: Timestamp) -> PublishedRole {
    let renew_at = expiry::renew_at(&name, version, now, expires);
    PublishedRole { name, meta, renew_at, expires }
}
