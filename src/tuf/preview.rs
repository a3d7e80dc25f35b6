//! What a request of people would change, without changing it: for dry runs. Made of what is published and of settings alone, so that a
//! worker may still find more that is wrong.
//!
//! Each has `changes`; what can't be is in `failed`, role by role, or in `problems`, when it stops the whole request. Keys are told by
//! id and name, never with the place where they are kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::tuf::{
    bins::{Bins, Layout, NAME_PREFIX},
    delegation::{
        DelegatedRole, DelegatedRoles, Delegations, Scope, change,
        proposal::{self, Failed, Known, Names, Proposal},
    },
    event::{Authority, Event, State},
    expiry::MAX_DAYS,
    key::Key,
    limits::{self, Length},
    member::MetadataError,
    name::{KeyId, RoleName},
    root::{RoleKeys, Root},
    verify::tally,
    wire::{Metadata, RoleType, format_expires},
};

/// What is published of a repository, and its settings.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The current root, a whole file.
    pub root: &'a Value,
    /// The current `targets`, a whole file.
    pub targets: &'a Value,
    /// Days of validity by role, deleted ones too as far as they are known.
    pub expirations: &'a BTreeMap<String, u32>,
}

/// What another root would change. `missing` are the signatures that it waits for, `signed_again` the roles that are published anew.
pub fn root(published: Published<'_>, next: &Value, now: Timestamp) -> Value {
    let read = read_root(published.root).and_then(|(_, old)| Ok((old, read_root(next)?, delegations(published)?)));
    let (old, (document, new), delegations) = match read {
        Ok(read) => read,
        Err(error) => return problem(format!("metadata.root: {error}")),
    };
    let differs = |role: RoleType, member: &str, from: Value, to: Value| {
        (from != to).then(|| json!({"role": role.as_str(), "change": member, "from": from, "to": to}))
    };
    let [expired, expires] = [&old, &new].map(|root| json!(format_expires(root.expires)));
    let mut changes = Vec::new();
    changes.extend(differs(RoleType::Root, "version", json!(old.version), json!(new.version)));
    changes.extend(differs(RoleType::Root, "expires", expired, expires));
    for role in [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp] {
        let (from, to) = (old.role(role), new.role(role));
        changes.extend(differs(role, "threshold", json!(from.threshold), json!(to.threshold)));
        let added = to.keyids.iter().filter(|id| !from.keyids.contains(id)).map(|id| named(id, &new.keys));
        let removed = from.keyids.iter().filter(|id| !to.keyids.contains(id)).map(|id| named(id, &old.keys));
        let (added, removed): (Vec<_>, Vec<_>) = (added.collect(), removed.collect());
        if !added.is_empty() || !removed.is_empty() {
            changes.push(json!({"role": role.as_str(), "change": "keys", "added": added, "removed": removed}));
        }
    }
    let authorities = [Authority::root(&old), Authority::root(&new)];
    let event = Event { document: document.clone(), version: new.version, state: State::Collecting, through: 0 };
    let missing = event.missing(&authorities).unwrap_or_default();
    json!({
        "changes": changes,
        "signed_again": signed_again(&old, &new, &delegations),
        "missing": missing,
        "problems": wrong_with_root(&old, &new, &document, now),
    })
}

fn read_root(file: &Value) -> Result<(Metadata, Root), MetadataError> {
    let metadata = Metadata::from_value(file.clone())?;
    let root = Root::view(&metadata.signed)?;
    Ok((metadata, root))
}

fn delegations(published: Published<'_>) -> Result<Delegations, MetadataError> {
    Delegations::view(published.targets["signed"].get("delegations").unwrap_or(&change::none()))
}

const ONLINE: [RoleType; 3] = [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];

/// The roles that are published with another root: timestamp always; with other online keys all that they sign.
fn signed_again(old: &Root, new: &Root, delegations: &Delegations) -> Vec<String> {
    let bins_change = old.key_of_bins().zip(new.key_of_bins()).is_some_and(|((old, _), (new, _))| old != new);
    if ONLINE.iter().all(|role| old.role(*role) == new.role(*role)) && !bins_change {
        return vec!["timestamp".to_owned()];
    }
    let mut again: Vec<_> = ONLINE.iter().map(|role| role.as_str().to_owned()).collect();
    let kept = &new.role(RoleType::Timestamp).keyids;
    let gone = |keys: &RoleKeys| {
        keys.keyids.iter().any(|id| old.role(RoleType::Timestamp).keyids.contains(id) && !kept.contains(id))
    };
    let has_bins = match &delegations.roles {
        DelegatedRoles::Succinct(_) => true,
        DelegatedRoles::Roles(roles) => {
            let custom = roles.iter().filter(|role| !is_bin(role) && gone(&role.keys));
            again.extend(custom.map(|role| role.name.to_string()));
            roles.iter().any(is_bin)
        }
    };
    again.extend((has_bins && bins_change).then(|| NAME_PREFIX.to_owned()));
    again
}

fn wrong_with_root(old: &Root, new: &Root, document: &Metadata, now: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let next = old.version.next();
    if new.version != next {
        wrong.push(format!("Expected root version {next} instead got version {}", new.version));
    }
    if new.expires <= now {
        wrong.push(format!("it expired at {}", format_expires(new.expires)));
    }
    if !new.consistent_snapshot {
        wrong.push("consistent_snapshot must be true".to_owned());
    }
    for role in ONLINE.iter().filter(|role| !new.role(**role).is_reachable(&new.keys)) {
        wrong.push(format!("{}: too few of its keys have x-rstuf-online-key-uri", role.as_str()));
    }
    let own = new.role(RoleType::Root);
    if own.threshold as usize > own.keyids.len() {
        wrong.push(format!("root: threshold {} is more than its {} keys", own.threshold, own.keyids.len()));
    }
    let clients = limits::too_large(&RoleName::root(), document.to_bytes().len() as u64, Length::Unsigned);
    if !clients.is_empty() {
        wrong.push(format!("it is too large for {}", clients.join(", ")));
    }
    match [old, new].map(|root| tally(&root.keys, root.role(RoleType::Root), document)) {
        [Ok(by_old), Ok(by_new)] => {
            let counts = |id: &KeyId| by_old.valid.contains(id) || by_new.valid.contains(id);
            if !document.signatures.iter().any(|signature| counts(&signature.keyid)) {
                wrong.push("it needs a valid signature at least".to_owned());
            }
            let invalid = document.signatures.iter().filter(|signature| !counts(&signature.keyid));
            wrong.extend(invalid.map(|signature| format!("the signature of key {} is not valid", signature.keyid)));
        }
        [Err(error), _] | [_, Err(error)] => wrong.push(format!("it can't be signed: {error}")),
    }
    wrong
}

/// What new roles would change.
pub fn added(published: Published<'_>, payload: &Value) -> Value {
    proposed(published, payload, |there| {
        let ever = published.expirations.keys().filter_map(|name| RoleName::parse(name).ok());
        Names::Unused(there.into_iter().chain(ever).collect())
    })
}

/// What changes of roles would change.
pub fn updated(published: Published<'_>, payload: &Value) -> Value {
    proposed(published, payload, Names::Existing)
}

fn proposed(published: Published<'_>, payload: &Value, names: impl FnOnce(BTreeSet<RoleName>) -> Names) -> Value {
    let read = delegations(published).and_then(|there| Ok((there, read_root(published.root)?.1)));
    let (there, root) = match read {
        Ok(read) => read,
        Err(error) => return problem(format!("the repository can't be read: {error}")),
    };
    let custom = custom(&there);
    let none = change::none();
    let known = Known {
        delegations: published.targets["signed"].get("delegations").unwrap_or(&none),
        online: root.key_of_roles(),
        bins: bins(&there),
        names: names(custom.iter().map(|role| role.name.clone()).collect()),
    };
    let roles = match proposal::read(payload, &known) {
        Ok(roles) => roles,
        Err(error) => return problem(error.to_string()),
    };
    let (mut changes, mut failed) = (Vec::new(), Vec::new());
    for role in roles {
        match role {
            Ok(role) => {
                let before = custom.iter().find(|before| before.name == role.name);
                changes.push(change_of(published, &role, before.copied(), &there.keys));
            }
            Err(Failed { role, reason }) => failed.push(json!({"role": role, "reason": reason.to_string()})),
        }
    }
    json!({"changes": changes, "failed": failed, "problems": []})
}

fn change_of(
    published: Published<'_>,
    role: &Proposal,
    before: Option<&DelegatedRole>,
    keys: &BTreeMap<KeyId, Key>,
) -> Value {
    let there = published.expirations.get(role.name.as_str()).filter(|_| before.is_some()).copied();
    let days = role.days.or(there).or_else(|| published.expirations.get("targets").copied());
    let mut told = json!({"role": role.name, "change": if before.is_some() { "changed" } else { "new" }});
    if let Value::Object(told) = &mut told {
        told.extend(described(&role.view, &role.key_views, days));
        told.extend(before.map(|before| ("before".to_owned(), described(before, keys, there).into())));
    }
    told
}

/// What deletions would change.
pub fn deleted(published: Published<'_>, payload: &Value) -> Value {
    let there = match delegations(published) {
        Ok(there) => there,
        Err(error) => return problem(format!("the repository can't be read: {error}")),
    };
    if let Err(error) = proposal::takes_roles(bins(&there)) {
        return problem(error.to_string());
    }
    let mut custom = custom(&there);
    let (mut changes, mut failed) = (Vec::new(), Vec::new());
    for role in payload.get("roles").and_then(Value::as_array).into_iter().flatten() {
        let name = role["name"].as_str().unwrap_or_default();
        match custom.iter().position(|role| role.name.as_str() == name) {
            Some(found) => {
                let days = published.expirations.get(name).copied();
                let before = described(custom.remove(found), &there.keys, days);
                changes.push(json!({"role": name, "change": "deleted", "before": before}));
            }
            None => failed.push(json!({"role": name, "reason": format!("Role '{name}' does not exists")})),
        }
    }
    json!({"changes": changes, "failed": failed, "problems": []})
}

/// What other expirations would change.
pub fn expirations(now: &BTreeMap<String, u32>, asked: &BTreeMap<String, u32>) -> Value {
    let (mut changes, mut failed, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (role, days) in asked {
        if !(1..=MAX_DAYS).contains(days) {
            problems.push(format!("{role}: an expiration is 1 to {MAX_DAYS} days"));
        }
        match now.get(role).filter(|_| role != "root") {
            Some(from) => changes.push(json!({"role": role, "change": "expiration", "from": from, "to": days})),
            None => failed.push(json!({"role": role, "reason": "it is no role that this service signs or asks for"})),
        }
    }
    json!({"changes": changes, "failed": failed, "problems": problems})
}

fn problem(text: String) -> Value {
    json!({"changes": [], "failed": [], "problems": [text]})
}

fn described(role: &DelegatedRole, keys: &BTreeMap<KeyId, Key>, days: Option<u32>) -> Map<String, Value> {
    let paths: Vec<_> = match &role.scope {
        Scope::Paths(paths) => paths.iter().map(|path| path.as_str()).collect(),
        Scope::PathHashPrefixes(prefixes) => prefixes.iter().map(String::as_str).collect(),
    };
    let signed_by = if role.keys.is_reachable(keys) { "online keys" } else { "people" };
    let ids: Vec<_> = role.keys.keyids.iter().map(|id| named(id, keys)).collect();
    let members = [
        ("paths", json!(paths)),
        ("terminating", json!(role.terminating)),
        ("keys", json!(ids)),
        ("threshold", json!(role.keys.threshold)),
        ("expiration", json!(days)),
        ("signed_by", json!(signed_by)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A key by id and name.
fn named(id: &KeyId, keys: &BTreeMap<KeyId, Key>) -> Value {
    let name =
        keys.get(id).and_then(|key| ["x-rstuf-key-name", "name"].iter().find_map(|name| key.raw[*name].as_str()));
    match name {
        Some(name) => json!({"keyid": id, "name": name}),
        None => json!({"keyid": id}),
    }
}

fn is_bin(role: &DelegatedRole) -> bool {
    matches!(role.scope, Scope::PathHashPrefixes(_))
}

fn custom(delegations: &Delegations) -> Vec<&DelegatedRole> {
    match &delegations.roles {
        DelegatedRoles::Roles(roles) => roles.iter().filter(|role| !is_bin(role)).collect(),
        DelegatedRoles::Succinct(_) => Vec::new(),
    }
}

fn bins(delegations: &Delegations) -> Option<Bins> {
    match &delegations.roles {
        DelegatedRoles::Succinct(bins) => Bins::new(1u32.checked_shl(bins.bit_length)?, Layout::Succinct).ok(),
        DelegatedRoles::Roles(roles) => {
            let count = u32::try_from(roles.iter().filter(|role| is_bin(role)).count());
            Bins::new(count.ok()?, Layout::PathHashPrefixes).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        key::ONLINE_KEY_URI,
        sample::{self, Signer, at, sign, version},
        targets,
    };

    /// A root of a 2 of 2, and `targets` with one role `r` and two bins.
    struct Case {
        people: [Signer; 3],
        online: Signer,
        root: Value,
        targets: Value,
        expirations: BTreeMap<String, u32>,
    }

    impl Case {
        fn new() -> Self {
            let people = [Signer::new(), Signer::new(), Signer::new()];
            let online = Signer::new();
            let [a, b, _] = &people;
            let root = reachable(sample::root(1, &[a, b], 2, &online), &online);
            let root = sign(root, &[a, b]).to_value();
            let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins").delegations(&[online.entry()], 1);
            let role = json!({"name": "r", "keyids": [a.id()], "threshold": 1, "terminating": false, "paths": ["a/*"]});
            let keys = [(a.id().to_string(), a.key())].into_iter().collect();
            let delegations = change::with_role(&bins, &role, &keys).expect("delegations");
            let targets = sign(targets::render(version(1), at(9), &[], Some(&delegations)), &[&online]).to_value();
            let expirations = [("targets".to_owned(), 9), ("r".to_owned(), 7), ("gone".to_owned(), 1)].into();
            Self { people, online, root, targets, expirations }
        }

        fn published(&self) -> Published<'_> {
            Published { root: &self.root, targets: &self.targets, expirations: &self.expirations }
        }
    }

    fn reachable(mut root: Value, online: &Signer) -> Value {
        root["keys"][online.id().as_str()][ONLINE_KEY_URI] = json!("fn:secret-place");
        root
    }

    #[test]
    fn a_root_is_told_with_what_it_lacks() {
        let case = Case::new();
        let [a, b, c] = &case.people;
        let next = Signer::new();
        let root = sign(reachable(sample::root(2, &[a, c], 1, &next), &next), &[a]).to_value();
        let told = super::root(case.published(), &root, at(0));
        assert_eq!(told["problems"], json!([]));
        assert_eq!(told["missing"], json!([{"authority": "root v1", "signatures": 1, "of": [b.id()]}]));
        assert_eq!(told["signed_again"], json!(["targets", "snapshot", "timestamp", "bins"]));
        let changes = told["changes"].as_array().expect("changes");
        assert!(changes.contains(&json!({"role": "root", "change": "version", "from": 1, "to": 2})));
        assert!(changes.contains(&json!({"role": "root", "change": "threshold", "from": 2, "to": 1})));
        let keys =
            json!({"role": "root", "change": "keys", "added": [{"keyid": c.id()}], "removed": [{"keyid": b.id()}]});
        assert!(changes.contains(&keys), "{told:#}");
        let online = json!({"role": "snapshot", "change": "keys", "added": [{"keyid": next.id()}], "removed": [{"keyid": case.online.id()}]});
        assert!(changes.contains(&online), "{told:#}");
        assert!(!told.to_string().contains("secret-place"));
    }

    #[test]
    fn what_is_wrong_with_a_root_is_told() {
        let case = Case::new();
        let [a, _, c] = &case.people;
        let root = sample::root(3, &[a], 1, &case.online);
        let told = super::root(case.published(), &sign(root, &[c]).to_value(), at(2000));
        let problems: Vec<_> =
            told["problems"].as_array().expect("problems").iter().filter_map(Value::as_str).collect();
        assert_eq!(problems[0], "Expected root version 2 instead got version 3");
        for part in ["it expired at", "targets: too few", "it needs a valid signature", "is not valid"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
        }
        assert_eq!(told["signed_again"], json!(["timestamp"]));
        assert_eq!(super::root(case.published(), &json!({}), at(0))["changes"], json!([]));
    }

    #[test]
    fn delegations_are_told_role_by_role() {
        let case = Case::new();
        let [a, b, _] = &case.people;
        let mut key = b.key();
        key["x-rstuf-key-name"] = json!("Bea");
        let keys = json!({a.id().as_str(): a.key(), b.id().as_str(): key});
        let role = |name: &str, ids: Value| json!({"name": name, "keyids": ids, "threshold": 1, "terminating": true, "paths": ["b"]});
        let payload =
            json!({"keys": keys, "roles": [role("n", json!([])), role("R", json!([])), role("gone", json!([]))]});
        let told = added(case.published(), &payload);
        assert_eq!(
            told["changes"],
            json!([{"role": "n", "change": "new", "paths": ["b"], "terminating": true,
            "keys": [{"keyid": case.online.id()}], "threshold": 1, "expiration": 9, "signed_by": "online keys"}])
        );
        assert_eq!(told["failed"].as_array().map(Vec::len), Some(2));
        let told = updated(case.published(), &json!({"keys": keys, "roles": [role("r", json!([b.id()]))]}));
        assert_eq!(
            told["changes"],
            json!([{"role": "r", "change": "changed", "paths": ["b"], "terminating": true,
            "keys": [{"keyid": b.id(), "name": "Bea"}], "threshold": 1, "expiration": 7, "signed_by": "people",
            "before": {"paths": ["a/*"], "terminating": false, "keys": [{"keyid": a.id()}], "threshold": 1,
                "expiration": 7, "signed_by": "people"}}])
        );
        let told = deleted(case.published(), &json!({"roles": [{"name": "r"}, {"name": "r"}, {"name": "bins-0"}]}));
        assert_eq!((&told["changes"][0]["change"], &told["changes"][1]), (&json!("deleted"), &Value::Null));
        assert_eq!(told["failed"][1], json!({"role": "bins-0", "reason": "Role 'bins-0' does not exists"}));
        let told = added(case.published(), &json!({"keys": {}, "roles": [role("root", json!([]))]}));
        assert_eq!(told["problems"], json!(["Delegated roles cannot be empty or use top-level role names"]));
        assert!(!told.to_string().contains("secret-place"));
    }

    #[test]
    fn expirations_are_told() {
        let case = Case::new();
        let asked = [("targets".to_owned(), 3), ("root".to_owned(), 3), ("x".to_owned(), 0)].into();
        let told = expirations(&case.expirations, &asked);
        assert_eq!(told["changes"], json!([{"role": "targets", "change": "expiration", "from": 9, "to": 3}]));
        assert_eq!(told["failed"].as_array().map(Vec::len), Some(2));
        assert_eq!(told["problems"], json!(["x: an expiration is 1 to 36500 days"]));
    }
}
