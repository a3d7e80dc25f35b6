//! The next root.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Decision, State, rules};
use crate::{
    store::ledger::{
        Repository,
        charter::{Announced, Change, Charter, Due, End, NextRoot, RootStage, Signing},
    },
    task::{MetadataUpdate, Outcome, Rotation},
    tuf::{
        delegation::{
            Delegations,
            change::{Draft, with_keys_swapped},
        },
        event::{Event, State as Stands, faults},
        key::Key,
        name::{KeyId, RoleName},
        root::Root,
        wire::{Metadata, MetadataError, RoleType},
    },
};

const ACTION: &str = "metadata_update";

/// Takes a root that follows the trusted one. It is on its way when both have signed it, and waits for signatures before. Either way
/// it takes the place of one that waits.
pub(super) fn decide(state: &State, update: &MetadataUpdate, now: Timestamp) -> Decision {
    updated(state, update, now).unwrap_or_else(|error| Decision::refused(ACTION, error, now))
}

fn updated(state: &State, update: &MetadataUpdate, now: Timestamp) -> Result<Decision, String> {
    let mut charter = state.chartered.charter.clone();
    let Some(repository) = &state.repository else {
        return Err("Metadata Update requires a completed bootstrap".to_owned());
    };
    let Some(given) = update.metadata.get("root").filter(|_| update.metadata.len() == 1) else {
        return Err("Unsupported Metadata type".to_owned());
    };
    if let Some(next) = &charter.next_root {
        return Err(format!("root v{} is on its way to clients: try again in a moment", next.version));
    }
    let untrusted = |error: String| format!("Failed to verify the trust: {error}");
    let mut document = Metadata::from_value(given.clone()).map_err(|error| untrusted(error.to_string()))?;
    let trusted = repository.trusted_root().map_err(|error| format!("the trusted root: {error}"))?;
    let root = rules::root(&document, trusted.version.next(), now).map_err(untrusted)?;
    if document.signatures.is_empty() {
        return Err(untrusted("Metadata requires at least one valid signature".to_owned()));
    }
    let role = RoleName::root();
    let authorities = state.authorities(&role, &document).map_err(|error| untrusted(error.to_string()))?;
    let faults = faults(&document, &authorities).map_err(|error| untrusted(error.to_string()))?;
    if let Some((id, fault)) = faults.first() {
        return Err(untrusted(format!("key {id}: {fault}")));
    }
    if let Some(waiting) = charter.events.remove(&role)
        && waiting.document.signed == document.signed
    {
        // Who signed the same has signed this too.
        let there: Vec<_> = document.signatures.iter().map(|signature| signature.keyid.clone()).collect();
        let more = waiting.document.signatures.into_iter().filter(|signature| !there.contains(&signature.keyid));
        document.signatures.extend(more);
    }
    let event = Event::open(document, &authorities, 0).map_err(|error| untrusted(error.to_string()))?;
    match event.state {
        Stands::Complete => {
            let change = succeed(repository, charter, event.document, update.rotation);
            let change = change.map_err(|error| untrusted(error.to_string()))?;
            Ok(Decision { outcome: Outcome::root_updated(now), end: End::Root(root.version), change })
        }
        Stands::Collecting => {
            let missing = event.missing(&authorities).map_err(|error| untrusted(error.to_string()))?;
            charter.events.insert(role, event);
            charter.rotation = update.rotation;
            let outcome = Outcome::root_updated_in_part(root.version, &missing, now);
            let change = Change { charter: Some(charter), ..Change::default() };
            Ok(Decision { outcome, end: End::Now, change })
        }
    }
}

/// The change that sends a fully signed root on its way.
///
/// # Errors
/// [`MetadataError`] when it, or what it follows, can't be read, or a delegated role would not have enough keys.
pub(super) fn succeed(
    repository: &Repository,
    mut charter: Charter,
    document: Metadata,
    rotation: Rotation,
) -> Result<Change, MetadataError> {
    let (trusted, next) = (repository.trusted_root()?, Root::view(&document.signed)?);
    let is_same = top_level_keys(&trusted) == top_level_keys(&next);
    let swap = Swap::of(&trusted, &next);
    let delegations = swap.as_ref().map(|swap| swap.apply(repository, &mut charter)).transpose()?;
    let top_level = || Due::Roles(vec![RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()]);
    let due = match &delegations {
        Some((_, true)) => Due::All,
        Some((_, false)) => top_level(),
        None if is_same => Due::None,
        None => top_level(),
    };
    let stage = match rotation {
        Rotation::Seamless if !is_same => RootStage::Announced,
        Rotation::Seamless | Rotation::Immediate => RootStage::Ready,
    };
    charter.rotation = Rotation::default();
    charter.next_root = Some(NextRoot { version: next.version, root: document, rotation, stage });
    let delegations = delegations.map(|(delegations, _)| delegations);
    Ok(Change { charter: Some(charter), delegations, due, ..Change::default() })
}

/// What decides whose signatures count for the roles that this service signs.
fn top_level_keys(root: &Root) -> Vec<(u32, BTreeMap<&KeyId, Option<Value>>)> {
    let of_role = |type_| {
        let role = root.role(type_);
        (role.threshold, role.keyids.iter().map(|id| (id, root.keys.get(id).map(essence))).collect())
    };
    [RoleType::Timestamp, RoleType::Snapshot, RoleType::Targets].map(of_role).into()
}

/// What of a key decides whether its signatures count.
fn essence(key: &Key) -> Value {
    json!([key.raw["keytype"], key.raw["scheme"], key.raw["keyval"]])
}

/// Another online key of the bins, and of the roles that have the one of `timestamp`.
struct Swap {
    keys: BTreeMap<KeyId, (KeyId, Value)>,
    /// Whether signatures of the old key don't count for the new one.
    signs_otherwise: bool,
}

impl Swap {
    fn of(trusted: &Root, next: &Root) -> Option<Self> {
        let (old, new) = (rules::online_key(trusted)?, rules::online_key(next)?);
        let signs_otherwise = old.0 != new.0 || essence(old.1) != essence(new.1);
        let keys = [(old.0.clone(), (new.0.clone(), new.1.raw.clone()))].into();
        (old != new).then_some(Self { keys, signs_otherwise })
    }

    /// The delegations with the new key, and whether any role has to be signed by it that this service signs alone. Where people sign
    /// too, the new key is announced: what is published of the role is signed by the old one.
    fn apply(&self, repository: &Repository, charter: &mut Charter) -> Result<(Value, bool), MetadataError> {
        let old = &repository.delegations;
        let (swapped, concerned) = with_keys_swapped(old, &self.keys)?;
        let is_offline = |name: &RoleName| charter.roles.get(name).is_some_and(|role| role.signing == Signing::Offline);
        let (offline, online): (Vec<_>, Vec<_>) = concerned.custom.into_iter().partition(is_offline);
        let mut draft = Draft::of(&swapped)?;
        for name in offline {
            let there = announcement(old, &name)?;
            draft.put(&there.role, &there.keys)?;
            if let Some(role) = charter.roles.get_mut(&name) {
                role.announced.get_or_insert(there);
            }
        }
        for (name, role) in &mut charter.roles {
            let Some(announced) = &mut role.announced else { continue };
            let alone = json!({ "keys": announced.keys, "roles": [announced.role] });
            let (swapped, concerned) = with_keys_swapped(&alone, &self.keys)?;
            if !concerned.is_empty() {
                *announced = announcement(&swapped, name)?;
                // What waits was signed by the old key.
                charter.events.remove(name);
            }
        }
        Ok((draft.finish()?, self.signs_otherwise && (concerned.bins || !online.is_empty())))
    }
}

/// What delegations say of a role.
fn announcement(delegations: &Value, name: &RoleName) -> Result<Announced, MetadataError> {
    let keyids = Delegations::view(delegations)?.role(name).map(|role| role.keyids.clone()).unwrap_or_default();
    let role = delegations["roles"].as_array().into_iter().flatten().find(|role| role["name"] == name.as_str());
    let role =
        role.ok_or_else(|| MetadataError::Field { field: format!("roles.{name}"), expected: "must be there" })?.clone();
    let all = delegations["keys"].as_object();
    let named = |id: KeyId| Some((id.0.clone(), all?.get(&id.0)?.clone()));
    Ok(Announced { role, keys: keyids.into_iter().filter_map(named).collect() })
}
