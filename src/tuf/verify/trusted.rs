//! The files that a client trusts, and how they are replaced.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{VerifyError, check_expiry, check_listed, check_size, malformed, open, snapshot, targets, threshold_met};
use crate::tuf::{
    key::Key,
    name::{KeyId, RoleName, Version},
    root::{RoleKeys, Root},
    snapshot::{MetaFile, Snapshot},
    targets::Targets,
    timestamp::TimestampRole,
    wire::{Metadata, RoleType},
};

/// What a client trusts: one file of each role, all verified (TUF §5.3 to §5.6).
///
/// A refresh is: [`update_root`](Self::update_root) as long as there is a next one, then timestamp, snapshot and targets, then the delegated
/// roles that a search asks for. It may be kept from refresh to refresh: it is then the memory that tells a rollback.
/// An update that is refused changes nothing.
#[derive(Debug, Clone)]
pub struct Trusted {
    root: Root,
    timestamp: Option<TimestampRole>,
    snapshot: Option<Snapshot>,
    targets: BTreeMap<RoleName, BTreeMap<RoleName, Verified>>,
}

/// A targets role as one of its delegators delegates it.
#[derive(Debug, Clone)]
struct Verified {
    targets: Targets,
    /// The version of the delegator whose keys were asked. In a newer one they may be others.
    delegator_version: Version,
}

impl Trusted {
    /// Starts with a root that the client was given, and that nothing but itself can verify (TUF §5.2).
    ///
    /// # Errors
    /// [`VerifyError`] when it can't be read, is too large or is not signed by its own keys. It may be expired.
    pub fn from_root(bytes: &[u8]) -> Result<Self, VerifyError> {
        let (root, metadata) = open_root(bytes)?;
        threshold_met(&RoleName::root(), &root.keys, root.role(RoleType::Root), &metadata)?;
        Ok(Self { root, timestamp: None, snapshot: None, targets: BTreeMap::new() })
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The timestamp.
    pub fn timestamp(&self) -> Option<&TimestampRole> {
        self.timestamp.as_ref()
    }

    /// The snapshot.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// A targets role in the version in which it was verified last.
    pub fn targets(&self, role: &RoleName) -> Option<&Targets> {
        let versions = self.targets.get(role)?.values().map(|verified| &verified.targets);
        versions.max_by_key(|targets| targets.version)
    }

    /// Takes the next root (TUF §5.3.4 to §5.3.7): signed by the keys of the trusted one and its own, with the next version. It
    /// may be expired. When a key of timestamp or snapshot changed, both are forgotten, so that a version that an
    /// attacker made too high does no harm any more (TUF §5.3.11). Targets roles have to be verified again.
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let name = RoleName::root();
        let (root, metadata) = open_root(bytes)?;
        threshold_met(&name, &self.root.keys, self.root.role(RoleType::Root), &metadata)?;
        threshold_met(&name, &root.keys, root.role(RoleType::Root), &metadata)?;
        if root.version != self.root.version.next() {
            return Err(VerifyError::RootVersion { trusted: self.root.version, found: root.version });
        }
        let changed = |role| self.root.role(role) != root.role(role);
        if changed(RoleType::Timestamp) || changed(RoleType::Snapshot) {
            self.timestamp = None;
            self.snapshot = None;
        }
        self.targets.clear();
        self.root = root;
        Ok(())
    }

    /// Takes a timestamp that was trusted in an earlier run, as the memory that tells a rollback: its time may be over.
    ///
    /// # Errors
    /// [`VerifyError`] when it is not signed as the trusted root wants it.
    pub fn remember_timestamp(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.timestamp = Some(self.read_timestamp(bytes)?);
        Ok(())
    }

    /// Takes a snapshot that was trusted in an earlier run, as the memory that tells a rollback. It need not be the one that
    /// timestamp names, so [`update_snapshot`](Self::update_snapshot) has to come before it is asked for a role.
    ///
    /// # Errors
    /// [`VerifyError`] when it is not signed as the trusted root wants it.
    pub fn remember_snapshot(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.snapshot = Some(snapshot(&self.root.keys, self.root.role(RoleType::Snapshot), bytes)?);
        Ok(())
    }

    /// The name of the file of a role: with its version, unless the root says that there are no consistent snapshots (TUF §6.2).
    pub fn file_name(&self, role: &RoleName, version: Version) -> String {
        match self.root.consistent_snapshot || role.as_str() == "root" {
            true => role.file_name(version),
            false => role.meta_name(),
        }
    }

    fn read_timestamp(&self, bytes: &[u8]) -> Result<TimestampRole, VerifyError> {
        let role = RoleName::timestamp();
        check_size(&role, bytes)?;
        let metadata = open(&role, RoleType::Timestamp, bytes)?;
        threshold_met(&role, &self.root.keys, self.root.role(RoleType::Timestamp), &metadata)?;
        TimestampRole::view(&metadata.signed).map_err(malformed(&role))
    }

    /// Makes sure that the root is valid at `now`, after the last one was taken (TUF §5.3.10).
    ///
    /// # Errors
    /// [`VerifyError::Expired`].
    pub fn check_root_expiry(&self, now: Timestamp) -> Result<(), VerifyError> {
        check_expiry(&RoleName::root(), self.root.expires, now)
    }

    /// Takes a timestamp (TUF §5.4). The same one again is accepted.
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails.
    pub fn update_timestamp(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), VerifyError> {
        self.check_root_expiry(now)?;
        let role = RoleName::timestamp();
        let new = self.read_timestamp(bytes)?;
        if let Some(old) = &self.timestamp {
            check_rollback(&role, old.version, new.version)?;
            if old.version == new.version && *old != new {
                return Err(VerifyError::Changed { role, version: new.version });
            }
            check_rollback(&RoleName::snapshot(), old.snapshot.version, new.snapshot.version)?;
        }
        check_expiry(&role, new.expires, now)?;
        self.timestamp = Some(new);
        Ok(())
    }

    /// Takes the snapshot that timestamp names (TUF §5.5).
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), VerifyError> {
        let role = RoleName::snapshot();
        let timestamp = self.timestamp.as_ref().ok_or_else(|| VerifyError::Order { needs: RoleName::timestamp() })?;
        check_expiry(&RoleName::timestamp(), timestamp.expires, now)?;
        check_file(&role, &timestamp.snapshot, bytes)?;
        let new = snapshot(&self.root.keys, self.root.role(RoleType::Snapshot), bytes)?;
        check_listed(&role, timestamp.snapshot.version, new.version)?;
        if let Some(old) = &self.snapshot {
            check_rollback(&role, old.version, new.version)?;
            check_nothing_lost(old, &new)?;
        }
        check_expiry(&role, new.expires, now)?;
        self.snapshot = Some(new);
        Ok(())
    }

    /// Takes the `targets` that snapshot lists (TUF §5.6).
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails.
    pub fn update_targets(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), VerifyError> {
        self.update_delegated(&RoleName::targets(), &RoleName::root(), bytes, now)
    }

    /// Takes a targets role that snapshot lists and `delegator` delegates to; the delegator of `targets` is `root`.
    ///
    /// # Errors
    /// [`VerifyError`] for the first check that fails.
    pub fn update_delegated(
        &mut self,
        role: &RoleName,
        delegator: &RoleName,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let snapshot = self.current_snapshot()?;
        check_expiry(&RoleName::snapshot(), snapshot.expires, now)?;
        let listed = snapshot.get(role).ok_or_else(|| VerifyError::NotInSnapshot { role: role.clone() })?;
        let (keys, of_role, delegator_version) = self.delegation(role, delegator)?;
        check_file(role, listed, bytes)?;
        let targets = targets(role, keys, of_role, bytes, listed.version, now)?;
        let verified = Verified { targets, delegator_version };
        self.targets.entry(role.clone()).or_default().insert(delegator.clone(), verified);
        Ok(())
    }

    /// The snapshot, if it is the one that timestamp names.
    pub(super) fn current_snapshot(&self) -> Result<&Snapshot, VerifyError> {
        let order = |needs| move || VerifyError::Order { needs };
        let timestamp = self.timestamp.as_ref().ok_or_else(order(RoleName::timestamp()))?;
        let snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.version == timestamp.snapshot.version);
        snapshot.ok_or_else(order(RoleName::snapshot()))
    }

    /// A targets role in the version that snapshot lists, verified with the keys that `delegator` has for it now.
    pub(super) fn current_targets(&self, role: &RoleName, delegator: &RoleName) -> Option<&Targets> {
        let verified = self.targets.get(role)?.get(delegator)?;
        let listed = self.current_snapshot().ok()?.get(role)?;
        let current = verified.targets.version == listed.version
            && Some(verified.delegator_version) == self.delegator_version(delegator);
        current.then_some(&verified.targets)
    }

    fn delegator_version(&self, delegator: &RoleName) -> Option<Version> {
        match delegator.as_str() {
            "root" => Some(self.root.version),
            _ => Some(self.targets(delegator)?.version),
        }
    }

    /// The keys that a delegator has, those that it wants for a role, and its version.
    fn delegation(
        &self,
        role: &RoleName,
        delegator: &RoleName,
    ) -> Result<(&BTreeMap<KeyId, Key>, &RoleKeys, Version), VerifyError> {
        let none = || VerifyError::NotDelegated { role: role.clone(), delegator: delegator.clone() };
        if delegator.as_str() == "root" {
            let of_role = (role.as_str() == "targets").then(|| self.root.role(RoleType::Targets)).ok_or_else(none)?;
            return Ok((&self.root.keys, of_role, self.root.version));
        }
        let order = || VerifyError::Order { needs: delegator.clone() };
        let mut chains = self.targets.get(delegator).into_iter().flat_map(BTreeMap::keys);
        let trusted = chains.find_map(|above| self.current_targets(delegator, above)).ok_or_else(order)?;
        let delegations = trusted.delegations.as_ref().ok_or_else(none)?;
        let of_role = delegations.role(role).ok_or_else(none)?;
        Ok((&delegations.keys, of_role, trusted.version))
    }
}

fn open_root(bytes: &[u8]) -> Result<(Root, Metadata), VerifyError> {
    let role = RoleName::root();
    check_size(&role, bytes)?;
    let metadata = open(&role, RoleType::Root, bytes)?;
    let root = Root::view(&metadata.signed).map_err(malformed(&role))?;
    Ok((root, metadata))
}

/// Compares a file with what is signed about it, or with the limits of clients where its length is not.
fn check_file(role: &RoleName, listed: &MetaFile, bytes: &[u8]) -> Result<(), VerifyError> {
    if listed.length.is_none() {
        check_size(role, bytes)?;
    }
    listed.check(bytes).map_err(|source| VerifyError::Content { role: role.clone(), source })
}

fn check_rollback(role: &RoleName, trusted: Version, found: Version) -> Result<(), VerifyError> {
    if found < trusted {
        return Err(VerifyError::Rollback { role: role.clone(), trusted, found });
    }
    Ok(())
}

/// No role may disappear from snapshot or go back to an older version (TUF §5.5.5).
fn check_nothing_lost(old: &Snapshot, new: &Snapshot) -> Result<(), VerifyError> {
    for (file, was) in &old.meta {
        let is = new.meta.get(file).ok_or_else(|| VerifyError::Unlisting { file: file.clone() })?;
        if is.version < was.version {
            return Err(VerifyError::ListedBack { file: file.clone(), trusted: was.version, found: is.version });
        }
    }
    Ok(())
}
