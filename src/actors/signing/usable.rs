//! Whether the online keys of a decision can be used. What this service could not sign would stop every round.

use std::collections::BTreeMap;

use serde_json::Value;

use super::State;
use crate::{
    store::{
        keys::KeyStore,
        ledger::charter::{Change, Charter},
    },
    tuf::{
        key::{Key, ONLINE_KEY_URI},
        name::{KeyId, RoleName},
        root::Root,
        wire::{Metadata, RoleType},
    },
};

/// Makes sure that the online keys can be used which this change brings: those of a root that is new, and those of delegations that
/// were not there before. The error says what is wrong.
pub(super) async fn brought(state: &State, change: &Change, store: &KeyStore) -> Result<(), String> {
    for metadata in roots(&state.chartered.charter, change) {
        let view = Root::view(&metadata.signed).map_err(|error| format!("metadata.root: {error}"))?;
        root(&view, store).await?;
    }
    let before = state.repository.as_ref().map(|repository| &repository.delegations);
    let known = delegated_keys(before, Some(&state.chartered.charter));
    let created = change.create.as_ref().map(|new| &new.delegations);
    for (id, key) in delegated_keys(change.delegations.as_ref().or(created), change.charter.as_ref()) {
        if known.get(id) != Some(&key) && key.get(ONLINE_KEY_URI).is_some() {
            store.load(key).await.map_err(|error| format!("key {id}: {error}"))?;
        }
    }
    Ok(())
}

/// The roots that are on their way after this change and were not before.
fn roots<'a>(before: &Charter, change: &'a Change) -> Vec<&'a Metadata> {
    let created = change.create.as_ref().map(|new| &new.root);
    let charter = change.charter.as_ref();
    let next = charter.filter(|charter| charter.next_root != before.next_root);
    let next = next.and_then(|charter| Some(&charter.next_root.as_ref()?.root));
    let role = RoleName::root();
    let asked = before.events.get(&role).map(|event| &event.document.signed);
    let event = charter.and_then(|charter| charter.events.get(&role)).map(|event| &event.document);
    let event = event.filter(|document| Some(&document.signed) != asked);
    created.into_iter().chain(next).chain(event).collect()
}

/// The keys of delegations, of those that are announced too.
fn delegated_keys<'a>(delegations: Option<&'a Value>, charter: Option<&'a Charter>) -> BTreeMap<&'a str, &'a Value> {
    let effective = delegations.and_then(|delegations| delegations.get("keys")?.as_object());
    let roles = charter.into_iter().flat_map(|charter| charter.roles.values());
    let announced = roles.filter_map(|role| role.announced.as_ref()).map(|announced| &announced.keys);
    effective.into_iter().chain(announced).flatten().map(|(id, key)| (id.as_str(), key)).collect()
}

/// Those of these online keys that can't be used, and why.
pub(super) async fn unreachable(keys: Vec<(KeyId, Key)>, store: &KeyStore) -> BTreeMap<KeyId, String> {
    let mut unreachable = BTreeMap::new();
    for (id, key) in keys {
        if let Err(error) = store.load(&key.raw).await {
            unreachable.insert(id, error.to_string());
        }
    }
    unreachable
}

/// Makes sure that enough online keys can be used of every role that this service signs.
async fn root(root: &Root, store: &KeyStore) -> Result<(), String> {
    for type_ in [RoleType::Timestamp, RoleType::Snapshot, RoleType::Targets] {
        let role = root.role(type_);
        let (mut usable, mut causes) = (0, Vec::new());
        for id in &role.keyids {
            match root.keys.get(id) {
                None => causes.push(format!("key {id} is not in 'keys'")),
                Some(key) if key.online_uri().is_none() => causes.push(format!("key {id} has no {ONLINE_KEY_URI}")),
                Some(key) => match store.load(&key.raw).await {
                    Ok(_) => usable += 1,
                    Err(error) => causes.push(format!("key {id}: {error}")),
                },
            }
        }
        if usable < role.threshold {
            let (role, threshold, causes) = (type_.as_str(), role.threshold, causes.join("; "));
            return Err(format!("{role} needs {threshold} online key(s), {usable} can be used: {causes}"));
        }
    }
    if let Some((id, key)) = root.key_of_bins().filter(|key| Some(*key) != root.key_of_roles()) {
        store.load(&key.raw).await.map_err(|error| format!("key {id} of the bins: {error}"))?;
    }
    Ok(())
}
