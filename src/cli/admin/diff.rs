//! What changes from the trusted version of a document to the one that waits: as data, and in words.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::tuf::{
    delegation::change,
    event::name_of,
    key::{Key, ONLINE_KEY_URI},
    name::KeyId,
};

mod words;

pub use words::{Length, bounded, lines, root_lines};

/// One thing that changes. What was not there before has no `from`, what is gone no `to`.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A member of the document: its expiry, or one that this program knows nothing of.
    Member {
        /// Its name.
        name: String,
        /// What it was.
        from: Option<Value>,
        /// What it will be.
        to: Option<Value>,
    },
    /// How many have to sign a role.
    Threshold {
        /// The role.
        role: String,
        /// So many.
        from: Option<u64>,
        /// So many.
        to: Option<u64>,
    },
    /// A role has a key more, or one less.
    Key {
        /// The role.
        role: String,
        /// Which.
        key: KeyTold,
        /// More or less.
        step: Step,
    },
    /// A key is described in other words under the same id.
    Described {
        /// The key, as it will be.
        key: KeyTold,
        /// The object before.
        from: Value,
        /// The object after.
        to: Value,
    },
    /// An artifact: its length and hashes.
    Artifact {
        /// Its path.
        path: String,
        /// What is signed of it.
        from: Option<Value>,
        /// What will be signed of it.
        to: Option<Value>,
    },
    /// A role that is delegated to: its paths, and whether others are asked after it.
    Delegation {
        /// The role.
        role: String,
        /// Without its keys and threshold.
        from: Option<Value>,
        /// Without its keys and threshold.
        to: Option<Value>,
    },
}

/// Whether something is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is there now.
    Added,
    /// It is gone now.
    Removed,
}

/// A key as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTold {
    /// Its id.
    pub keyid: KeyId,
    /// What people call it, or its id.
    pub name: String,
    /// Where the service finds the private half, if it does.
    pub uri: Option<String>,
}

impl KeyTold {
    fn of(id: &str, keys: &Value) -> Self {
        let keyid = KeyId(id.to_owned());
        let key = Key::view(&keys[id]).ok();
        let name = key.as_ref().map_or_else(|| id.to_owned(), |key| name_of(&keyid, key));
        Self { keyid, name, uri: keys[id][ONLINE_KEY_URI].as_str().map(str::to_owned) }
    }
}

/// What changes from one `signed` to another one of the same role. Versions are not among it.
pub fn between(before: Option<&Value>, after: &Value) -> Vec<Change> {
    let none = json!({});
    let before = before.unwrap_or(&none);
    let mut changes = Vec::new();
    for name in names(before, after) {
        let (from, to) = (before.get(name), after.get(name));
        match name {
            "version" | "_type" => {}
            _ if from == to => {}
            "keys" => {
                let named = [before, after].into_iter().filter_map(|root| root["roles"].as_object());
                described("keys", [from, to], named.flat_map(Map::values), &mut changes);
            }
            "roles" => roles([before, after], &mut changes),
            "targets" => each(from, to, |path, from, to| changes.push(Change::Artifact { path, from, to })),
            "delegations" => delegations([from, to], &mut changes),
            name => changes.push(Change::Member { name: name.to_owned(), from: from.cloned(), to: to.cloned() }),
        }
    }
    changes
}

/// The members of both objects, in the order of the second one.
fn names<'a>(before: &'a Value, after: &'a Value) -> Vec<&'a str> {
    let members = [after, before].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    let mut seen = BTreeSet::new();
    members.map(String::as_str).filter(|name| seen.insert(*name)).collect()
}

/// The members of two objects that differ, sorted.
fn each(from: Option<&Value>, to: Option<&Value>, mut found: impl FnMut(String, Option<Value>, Option<Value>)) {
    let members = [from, to].map(|value| value.and_then(Value::as_object));
    let names: BTreeSet<_> = members.iter().flatten().flat_map(|members| members.keys()).collect();
    for name in names {
        let [from, to] = members.map(|members| members.and_then(|members| members.get(name)));
        if from != to {
            found(name.clone(), from.cloned(), to.cloned());
        }
    }
}

/// Keys that are in both and differ, and those that no role names. All others come and go with the roles.
fn described<'a>(
    member: &str,
    [from, to]: [Option<&Value>; 2],
    roles: impl Iterator<Item = &'a Value>,
    changes: &mut Vec<Change>,
) {
    let named: BTreeSet<_> = roles.flat_map(ids).collect();
    let keys = to.cloned().unwrap_or_default();
    each(from, to, |id, from, to| match (from, to) {
        (Some(from), Some(to)) => changes.push(Change::Described { key: KeyTold::of(&id, &keys), from, to }),
        (from, to) if !named.contains(id.as_str()) => {
            changes.push(Change::Member { name: format!("{member}.{id}, which no role names"), from, to });
        }
        _ => {}
    });
}

fn ids(role: &Value) -> Vec<&str> {
    role["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The roles of a root.
fn roles([before, after]: [&Value; 2], changes: &mut Vec<Change>) {
    let none = json!({});
    let [from, to] = [before, after].map(|root| root.get("roles").unwrap_or(&none));
    for role in names(from, to) {
        signers(role, [&from[role], &to[role]], [&before["keys"], &after["keys"]], changes);
        let [from, to] = [from, to].map(|roles| roles.get(role).map(terms));
        if from != to && [&from, &to].into_iter().flatten().any(|terms| *terms != json!({})) {
            changes.push(Change::Member { name: format!("roles.{role}"), from, to });
        }
    }
}

/// The threshold and the keys of a role.
fn signers(role: &str, [from, to]: [&Value; 2], keys: [&Value; 2], changes: &mut Vec<Change>) {
    let thresholds = [from, to].map(|role| role["threshold"].as_u64());
    if thresholds[0] != thresholds[1] {
        changes.push(Change::Threshold { role: role.to_owned(), from: thresholds[0], to: thresholds[1] });
    }
    let (old, new) = (ids(from), ids(to));
    let mut key = |id: &str, keys: &Value, step| {
        changes.push(Change::Key { role: role.to_owned(), key: KeyTold::of(id, keys), step });
    };
    new.iter().filter(|id| !old.contains(id)).for_each(|id| key(id, keys[1], Step::Added));
    old.iter().filter(|id| !new.contains(id)).for_each(|id| key(id, keys[0], Step::Removed));
}

fn delegations(members: [Option<&Value>; 2], changes: &mut Vec<Change>) {
    let none = change::none();
    let [from, to] = members.map(|member| member.unwrap_or(&none));
    let lists = [from, to].map(|member| member["roles"].as_array().map_or(&[][..], Vec::as_slice));
    described(
        "delegations.keys",
        [from.get("keys"), to.get("keys")],
        lists.iter().flat_map(|list| list.iter()),
        changes,
    );
    let nothing = Value::Null;
    let mut seen = BTreeSet::new();
    for name in lists.iter().rev().flat_map(|list| list.iter()).filter_map(|role| role["name"].as_str()) {
        if !seen.insert(name) {
            continue;
        }
        let found = lists.map(|list| list.iter().find(|role| role["name"] == name));
        if found[0] == found[1] {
            continue;
        }
        let [old, new] = found.map(|role| role.map(terms));
        if old != new {
            changes.push(Change::Delegation { role: name.to_owned(), from: old, to: new });
        }
        let roles = found.map(|role| role.unwrap_or(&nothing));
        signers(name, roles, [&from["keys"], &to["keys"]], changes);
    }
    let rest = [from, to].map(|member| {
        let mut rest = member.as_object().cloned().unwrap_or_default();
        rest.retain(|name, _| name != "keys" && name != "roles");
        Value::Object(rest)
    });
    each(Some(&rest[0]), Some(&rest[1]), |name, from, to| {
        changes.push(Change::Member { name: format!("delegations.{name}"), from, to });
    });
    let order = lists.map(|list| list.iter().filter_map(|role| role["name"].as_str()).collect::<Vec<_>>());
    let common = |at: usize| order[at].iter().filter(|name| order[1 - at].contains(name)).collect::<Vec<_>>();
    if common(0) != common(1) {
        let [from, to] = order.map(|order| Some(json!(order)));
        changes.push(Change::Member { name: "the order in which roles are asked".to_owned(), from, to });
    }
}

/// A role object without what is told of its signers.
fn terms(role: &Value) -> Value {
    let mut terms = role.as_object().cloned().unwrap_or_default();
    terms.retain(|name, _| !matches!(name.as_str(), "name" | "keyids" | "threshold"));
    Value::Object(terms)
}

impl Change {
    /// As programs read it.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Member { name, from, to } => json!({"change": "member", "name": name, "from": from, "to": to}),
            Self::Threshold { role, from, to } => json!({"change": "threshold", "role": role, "from": from, "to": to}),
            Self::Key { role, key, step } => {
                let change = if *step == Step::Added { "key added" } else { "key removed" };
                json!({"change": change, "role": role, "keyid": key.keyid, "name": key.name})
            }
            Self::Described { key, from, to } => {
                json!({"change": "key described", "keyid": key.keyid, "name": key.name, "from": from, "to": to})
            }
            Self::Artifact { path, from, to } => json!({"change": "artifact", "path": path, "from": from, "to": to}),
            Self::Delegation { role, from, to } => {
                json!({"change": "delegation", "role": role, "from": from, "to": to})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        bins::{Bins, Layout},
        sample::{Signer, at, path, root, version},
        targets,
    };

    fn told(before: Option<&Value>, after: &Value) -> Vec<Value> {
        between(before, after).iter().map(Change::to_value).collect()
    }

    #[test]
    fn a_root_is_compared_role_by_role() {
        let (a, b, c, online) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
        let before = root(1, &[&a, &b], 2, &online);
        let mut after = root(2, &[&a, &c], 1, &online);
        after["keys"][c.id().as_str()]["x-rstuf-key-name"] = json!("Cleo");
        after["keys"][online.id().as_str()][ONLINE_KEY_URI] = json!("fn:online");
        after["x-note"] = json!([1]);
        after["roles"]["targets"]["x-own"] = json!(true);
        assert_eq!(
            told(Some(&before), &after),
            [
                json!({"change": "key described", "keyid": online.id(), "name": online.id(),
                    "from": before["keys"][online.id().as_str()], "to": after["keys"][online.id().as_str()]}),
                json!({"change": "threshold", "role": "root", "from": 2, "to": 1}),
                json!({"change": "key added", "role": "root", "keyid": c.id(), "name": "Cleo"}),
                json!({"change": "key removed", "role": "root", "keyid": b.id(), "name": b.id()}),
                json!({"change": "member", "name": "roles.targets", "from": {}, "to": {"x-own": true}}),
                json!({"change": "member", "name": "x-note", "from": null, "to": [1]}),
            ]
        );
        assert_eq!(between(Some(&before), &before), []);
    }

    #[test]
    fn all_that_is_signed_is_told() {
        let (a, online, other) = (Signer::new(), Signer::new(), Signer::new());
        let before = root(1, &[&a], 1, &online);
        for (pointer, value) in [
            ("/keys", json!({ a.id().as_str(): a.key(), online.id().as_str(): online.key(), "k": other.key() })),
            ("/expires", json!("2031-01-01T00:00:00Z")),
            ("/consistent_snapshot", json!(false)),
            ("/spec_version", json!("1.0.35")),
            ("/roles/root/threshold", json!(2)),
            ("/roles/root", Value::Null),
        ] {
            let mut after = before.clone();
            *after.pointer_mut(pointer).expect(pointer) = value;
            assert_ne!(between(Some(&before), &after), [], "{pointer}");
        }
    }

    #[test]
    fn artifacts_and_delegations_are_compared() {
        let (a, b) = (Signer::new(), Signer::new());
        let info = |length: u64| json!({"length": length, "hashes": {"sha256": "00"}});
        let before = targets::render(version(1), at(9), &[(path("a"), info(1)), (path("b"), info(2))], None);
        let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins").delegations(&[a.entry()], 1);
        let role = json!({"name": "r", "keyids": [b.id()], "threshold": 1, "terminating": false, "paths": ["a/*"]});
        let keys = [(b.id().to_string(), b.key())].into_iter().collect();
        let delegations = change::with_role(&bins, &role, &keys).expect("delegations");
        let artifacts = [(path("b"), info(3)), (path("c"), info(4))];
        let after = targets::render(version(2), at(9), &artifacts, Some(&delegations));
        let told = told(Some(&before), &after);
        for expected in [
            json!({"change": "artifact", "path": "a", "from": info(1), "to": null}),
            json!({"change": "artifact", "path": "b", "from": info(2), "to": info(3)}),
            json!({"change": "artifact", "path": "c", "from": null, "to": info(4)}),
            json!({"change": "delegation", "role": "r", "from": null, "to": {"terminating": false, "paths": ["a/*"]}}),
            json!({"change": "threshold", "role": "r", "from": null, "to": 1}),
            json!({"change": "key added", "role": "r", "keyid": b.id(), "name": b.id()}),
        ] {
            assert!(told.contains(&expected), "{expected} {told:#?}");
        }
        let mut turned = delegations.clone();
        turned["roles"].as_array_mut().expect("a list").reverse();
        let other = targets::render(version(3), at(9), &artifacts, Some(&turned));
        assert_eq!(between(Some(&after), &other).len(), 1);
    }
}
