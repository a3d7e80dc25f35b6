//! The next root.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Decision, State};
use crate::{
    store::ledger::{
        Repository,
        charter::{Announced, Change, Charter, Due, End, NextRoot, RootStage, Signing},
    },
    task::{MetadataUpdate, Outcome, Rotation},
    tuf::{
        delegation::{
            Delegations,
            change::{Draft, KeySwap, KeySwaps, with_keys_swapped},
        },
        event::{Event, State as Stands, faults},
        key::Key,
        name::{KeyId, RoleName},
        root::Root,
        rules,
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

/// Other online keys of the bins, and of the roles that have the one of `timestamp`.
struct Swap {
    keys: KeySwaps,
    /// The old keys whose signatures don't count for the new ones.
    signs_otherwise: BTreeSet<KeyId>,
}

impl Swap {
    fn of(trusted: &Root, next: &Root) -> Option<Self> {
        let mut swap = Self { keys: KeySwaps::default(), signs_otherwise: BTreeSet::new() };
        let of_bins = swap.pair(trusted.key_of_bins(), next.key_of_bins());
        swap.keys.bins.extend(of_bins.clone());
        // A role may have that of the bins, if it asked for it. That of the roles without keys counts if both are one.
        swap.keys.custom.extend(of_bins);
        let of_roles = swap.pair(trusted.key_of_roles(), next.key_of_roles());
        if let Some((old, _)) = trusted.key_of_roles() {
            swap.keys.custom.remove(old);
        }
        swap.keys.custom.extend(of_roles);
        (swap.keys != KeySwaps::default()).then_some(swap)
    }

    /// The new key in the place of the old one, unless they are the same.
    fn pair(&mut self, old: Option<(&KeyId, &Key)>, new: Option<(&KeyId, &Key)>) -> Option<(KeyId, (KeyId, Value))> {
        let (old, new) = (old?, new?);
        if old == new {
            return None;
        }
        if old.0 != new.0 || essence(old.1) != essence(new.1) {
            self.signs_otherwise.insert(old.0.clone());
        }
        Some((old.0.clone(), (new.0.clone(), new.1.raw.clone())))
    }

    /// The delegations with the new key, and whether any role has to be signed by it that this service signs alone. Where people sign
    /// too, the new key is announced: what is published of the role is signed by the old one.
    fn apply(&self, repository: &Repository, charter: &mut Charter) -> Result<(Value, bool), MetadataError> {
        let old = &repository.delegations;
        let (swapped, concerned) = with_keys_swapped(old, &self.keys)?;
        for name in &concerned.custom {
            if let Some(kept) = charter.kept.get_mut(name) {
                kept.due = true;
            }
        }
        let is_offline = |name: &RoleName| {
            charter.roles.get(name).is_some_and(|role| role.signing == Signing::Offline)
                && !charter.kept.contains_key(name)
        };
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
        let counts_no_more = |keys: &KeySwap| keys.keys().any(|old| self.signs_otherwise.contains(old));
        let bins = concerned.bins && counts_no_more(&self.keys.bins);
        Ok((draft.finish()?, bins || (!online.is_empty() && counts_no_more(&self.keys.custom))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actors::signing::sample::{after, before, bins, delegations, details, online_key, refusal, root, state},
        store::ledger::charter::CustomRole,
        tuf::{
            key::ONLINE_KEY_ROLE,
            name::Version,
            sample::{Signer, at, role, sign, version},
        },
    };

    /// A repository whose root `a` and `b` have signed.
    struct Case {
        a: Signer,
        b: Signer,
        online: Signer,
        state: State,
    }

    impl Case {
        fn new() -> Self {
            let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
            let trusted = sign(root(1, &[&a, &b], 2, &online), &[&a, &b]);
            let state = state(&trusted, bins(&online), Charter::default());
            Self { a, b, online, state }
        }

        /// Version 2 with the same keys.
        fn next(&self) -> Value {
            root(2, &[&self.a, &self.b], 2, &self.online)
        }

        fn update(&self, document: &Metadata) -> Decision {
            post(&self.state, document, Rotation::Seamless)
        }
    }

    fn post(state: &State, document: &Metadata, rotation: Rotation) -> Decision {
        let metadata = [("root".to_owned(), document.to_value())].into_iter().collect();
        decide(state, &MetadataUpdate { metadata, rotation }, at(0))
    }

    fn on_its_way(decision: &Decision) -> &NextRoot {
        decision.change.charter.as_ref().and_then(|charter| charter.next_root.as_ref()).expect("a root on its way")
    }

    /// B27: it is passed on byte for byte, with what this program does not know.
    #[test]
    fn b27_a_root_that_all_have_signed_is_on_its_way_as_it_came() {
        let case = Case::new();
        let mut signed = case.next();
        signed["keys"][case.a.id().as_str()]["keyid_hash_algorithms"] = json!(["sha256"]);
        signed["x-more"] = json!({"b": 1, "a": [null]});
        let mut document = sign(signed, &[&case.b, &case.a]);
        document.extra.insert("x-outside".into(), json!(1));
        let decision = case.update(&document);
        assert_eq!((details(&decision), decision.end), (json!({"role": "root"}), End::Root(version(2))));
        assert_eq!(decision.outcome.message, "Metadata Update Processed");
        let next = on_its_way(&decision);
        assert_eq!(next.root.to_bytes(), document.to_bytes());
        assert_eq!((next.stage, &decision.change.due), (RootStage::Ready, &Due::None));
        assert!(decision.change.delegations.is_none());
        let later = refusal(&post(&after(&case.state, &decision), &document, Rotation::Seamless));
        assert_eq!(later, "root v2 is on its way to clients: try again in a moment");
    }

    #[test]
    fn a_root_that_lacks_signatures_waits_for_them() {
        let case = Case::new();
        let c = Signer::new();
        let document = sign(root(2, &[&case.a, &c], 2, &case.online), &[&case.a]);
        let decision = post(&case.state, &document, Rotation::Immediate);
        assert_eq!((details(&decision)["role"].as_str(), decision.end), (Some("root"), End::Now));
        assert_eq!(details(&decision)["update"], "Root v2 is pending signatures");
        let missing = json!([
            {"authority": "root v1", "signatures": 1, "of": [case.b.id()]},
            {"authority": "root v2", "signatures": 1, "of": [c.id()]},
        ]);
        assert_eq!(details(&decision)["missing"], missing);
        let charter = decision.change.charter.expect("changed");
        assert_eq!((&charter.next_root, charter.rotation), (&None, Rotation::Immediate));
        assert_eq!(charter.events[&RoleName::root()].document, document);
    }

    #[test]
    fn b12_one_that_waits_is_replaced_and_cleared() {
        let case = Case::new();
        let waiting = after(&case.state, &case.update(&sign(case.next(), &[&case.a])));
        let other = sign(root(2, &[&case.a, &case.b], 1, &case.online), &[&case.b]);
        let replaced = post(&waiting, &other, Rotation::Seamless).change.charter.expect("changed");
        assert_eq!(replaced.events[&RoleName::root()].document, other);
        let full = sign(other.signed, &[&case.a, &case.b]);
        let decision = post(&waiting, &full, Rotation::Seamless);
        assert_eq!(on_its_way(&decision).root, full);
        assert!(decision.change.charter.expect("changed").events.is_empty());
    }

    #[test]
    fn the_same_root_by_another_person_keeps_the_first_signature() {
        let case = Case::new();
        let waiting = after(&case.state, &case.update(&sign(case.next(), &[&case.a])));
        let decision = post(&waiting, &sign(case.next(), &[&case.b]), Rotation::Seamless);
        assert_eq!(on_its_way(&decision).root.signatures.len(), 2);
    }

    #[test]
    fn what_clients_would_refuse_is_refused() {
        let case = Case::new();
        let Case { a, b, online, .. } = &case;
        let with = |pointer: &str, value: Value| {
            let mut signed = case.next();
            *signed.pointer_mut(pointer).expect("a member") = value;
            refusal(&case.update(&sign(signed, &[a, b])))
        };
        let trust = |why: &str| format!("Failed to verify the trust: {why}");
        assert_eq!(with("/version", json!(3)), trust("Expected root version 2 instead got version 3"));
        assert_eq!(with("/version", json!(1)), trust("Expected root version 2 instead got version 1"));
        assert_eq!(with("/_type", json!("targets")), trust("Expected 'root', got 'targets'"));
        // B32
        let expired = with("/expires", json!("2026-11-22T00:00:00Z"));
        assert_eq!(expired, trust("it expired at 2026-11-22T00:00:00Z, clients would refuse it"));
        let inconsistent = with("/consistent_snapshot", json!(false));
        assert_eq!(inconsistent, trust("consistent_snapshot must be true, this service writes no other files"));
        let impossible = with("/roles/root/threshold", json!(3));
        assert_eq!(impossible, trust("root needs signatures of 3 keys, and 2 of its own can make any"));

        let next = Metadata::unsigned(case.next());
        assert_eq!(refusal(&case.update(&next)), trust("Metadata requires at least one valid signature"));
        let mut wrong = sign(case.next(), &[a, b]);
        wrong.signatures[1].sig = a.sign(&next).sig;
        let fault = format!("key {}: the signature is not by this key over this content", b.id());
        assert_eq!(refusal(&case.update(&wrong)), trust(&fault));
        let strange = sign(case.next(), &[a, online]);
        let fault = format!("key {}: the key is none of this role", online.id());
        assert_eq!(refusal(&case.update(&strange)), trust(&fault));
    }

    #[test]
    fn what_is_no_update_of_a_root_is_refused() {
        let case = Case::new();
        let decide = |state: &State, metadata: Value| {
            let metadata = metadata.as_object().expect("an object").clone();
            refusal(&decide(state, &MetadataUpdate { metadata, rotation: Rotation::Seamless }, at(0)))
        };
        let root = sign(case.next(), &[&case.a]).to_value();
        for other in [json!({}), json!({"targets": root}), json!({"root": root, "targets": root})] {
            assert_eq!(decide(&case.state, other), "Unsupported Metadata type");
        }
        let unready = before(Charter::default());
        assert_eq!(decide(&unready, json!({"root": root})), "Metadata Update requires a completed bootstrap");
        assert!(decide(&case.state, json!({"root": 1})).starts_with("Failed to verify the trust: metadata: "));
    }

    #[test]
    fn another_online_key_is_announced_before_the_root_or_comes_with_it() {
        let case = Case::new();
        let online = Signer::new();
        let document = sign(root(2, &[&case.a, &case.b], 2, &online), &[&case.a, &case.b]);
        for (rotation, stage) in [(Rotation::Seamless, RootStage::Announced), (Rotation::Immediate, RootStage::Ready)] {
            let decision = post(&case.state, &document, rotation);
            assert_eq!((on_its_way(&decision).stage, on_its_way(&decision).rotation), (stage, rotation));
            assert_eq!(decision.change.due, Due::All);
            assert_eq!(decision.change.delegations, Some(bins(&online)));
        }
    }

    /// A root in which the bins have a key of their own.
    fn with_key_of_bins(mut signed: Value, own: &Signer) -> Value {
        let (id, mut key) = online_key(own);
        key[ONLINE_KEY_ROLE] = json!("bins");
        signed["keys"][id.as_str()] = key;
        signed
    }

    #[test]
    fn bins_get_a_key_of_their_own_change_it_and_lose_it() {
        let case = Case::new();
        let (first, second) = (Signer::new(), Signer::new());
        let all = [&case.a, &case.b];
        let key_of = |decision: &Decision| {
            let delegations = decision.change.delegations.clone().expect("delegations");
            assert_eq!(delegations["keys"].as_object().map(serde_json::Map::len), Some(1));
            delegations["succinct_roles"]["keyids"].clone()
        };
        let seen = |decision: &Decision, signed: &Value| {
            let trusted = sign(signed.clone(), &all);
            state(&trusted, decision.change.delegations.clone().expect("delegations"), Charter::default())
        };
        let own = with_key_of_bins(case.next(), &first);
        let decision = case.update(&sign(own.clone(), &all));
        assert_eq!((key_of(&decision), &decision.change.due), (json!([first.id()]), &Due::All));
        // Clients that hold either root read what the keys of both have signed: they are the same.
        assert_eq!(on_its_way(&decision).stage, RootStage::Ready);

        let there = seen(&decision, &own);
        let other = with_key_of_bins(root(3, &all, 2, &case.online), &second);
        let decision = post(&there, &sign(other, &all), Rotation::Seamless);
        assert_eq!((key_of(&decision), &decision.change.due), (json!([second.id()]), &Due::All));
        let none = root(3, &all, 2, &case.online);
        let decision = post(&there, &sign(none, &all), Rotation::Seamless);
        assert_eq!(key_of(&decision), json!([case.online.id()]));
        // Another key of timestamp is none of theirs.
        let online = Signer::new();
        let timestamp = with_key_of_bins(root(3, &all, 2, &online), &first);
        let decision = post(&there, &sign(timestamp, &all), Rotation::Seamless);
        assert_eq!(decision.change.delegations, there.repository.map(|repository| repository.delegations));
        assert!(matches!(&decision.change.due, Due::Roles(roles) if roles.len() == 3));
    }

    #[test]
    fn another_key_of_snapshot_alone_touches_no_bins() {
        let case = Case::new();
        let other = Signer::new();
        let mut signed = case.next();
        let (id, key) = online_key(&other);
        signed["keys"][id.as_str()] = key;
        signed["roles"]["snapshot"]["keyids"] = json!([id]);
        let decision = case.update(&sign(signed, &[&case.a, &case.b]));
        assert_eq!(on_its_way(&decision).stage, RootStage::Announced);
        assert!(matches!(&decision.change.due, Due::Roles(roles) if roles.len() == 3));
        assert!(decision.change.delegations.is_none());
    }

    #[test]
    fn a_role_that_people_sign_too_gets_the_new_online_key_when_they_have() {
        let mut case = Case::new();
        let (person, online) = (Signer::new(), Signer::new());
        let mixed = delegations(&[("dev", 2)], &[person.entry(), online_key(&case.online)]);
        let own = CustomRole { signing: Signing::Offline, retired: false, announced: None };
        case.state.repository.as_mut().expect("there").delegations = mixed.clone();
        let charter = &mut case.state.chartered.charter;
        charter.roles.insert(role("dev"), own);
        let waiting = Metadata::unsigned(json!({}));
        let state = Stands::Collecting;
        let event = Event { document: waiting, version: Version::FIRST, state, through: 0 };
        charter.events.insert(role("dev"), event);
        let document = sign(root(2, &[&case.a, &case.b], 2, &online), &[&case.a, &case.b]);
        let decision = case.update(&document);
        assert_eq!(decision.change.delegations, Some(mixed));
        let charter = decision.change.charter.expect("changed");
        let announced = charter.roles[&role("dev")].announced.clone().expect("announced");
        assert_eq!(announced.role["keyids"], json!([person.id(), online.id()]));
        assert_eq!(announced.keys.len(), 2);
        // What waits has a signature of the old key: it is drafted anew.
        assert!(charter.events.is_empty());
    }
}
