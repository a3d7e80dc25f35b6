//! The next root: the trusted one with what people change. All that they don't change stays as it is, unknown members too.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{admin::keys::NamedKey, failure::Failure},
    tuf::{
        name::KeyId,
        root::Root,
        rules,
        wire::{Metadata, format_expires},
    },
};

/// The roles that are signed online.
pub(super) const ONLINE: [&str; 3] = ["timestamp", "snapshot", "targets"];

/// What changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Change {
    /// The new expiry, with its days.
    pub(super) expiry: Option<(u32, Timestamp)>,
    /// Root keys that go.
    pub(super) removed: Vec<KeyId>,
    /// Root keys that come.
    pub(super) added: Vec<NamedKey>,
    /// How many must sign from now on.
    pub(super) threshold: Option<u32>,
    /// Roles that get another online key.
    pub(super) online: Vec<(&'static str, NamedKey)>,
}

impl Change {
    /// Whether it changes nothing but the version.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The next root, unsigned.
    pub(super) fn apply(&self, trusted: &Metadata, root: &Root) -> Metadata {
        let mut signed = trusted.signed.clone();
        signed["version"] = json!(root.version.next());
        if let Some((_, expires)) = self.expiry {
            signed["expires"] = json!(format_expires(expires));
        }
        let mut gone: BTreeSet<KeyId> = self.removed.iter().cloned().collect();
        let own = &root.roles["root"];
        let kept = own.keyids.iter().filter(|id| !self.removed.contains(id));
        let keyids: Vec<_> = kept.chain(self.added.iter().map(|key| &key.id)).collect();
        signed["roles"]["root"]["keyids"] = json!(keyids);
        if let Some(threshold) = self.threshold {
            signed["roles"]["root"]["threshold"] = json!(threshold);
        }
        for (role, key) in &self.online {
            gone.extend(root.roles[*role].keyids.iter().cloned());
            signed["roles"][*role]["keyids"] = json!([key.id]);
            signed["roles"][*role]["threshold"] = json!(1);
        }
        for key in self.added.iter().chain(self.online.iter().map(|(_, key)| key)) {
            signed["keys"][key.id.as_str()] = key.object.clone();
        }
        let used: BTreeSet<String> = signed["roles"]
            .as_object()
            .into_iter()
            .flat_map(|roles| roles.values())
            .flat_map(|role| role["keyids"].as_array().into_iter().flatten())
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        if let Some(keys) = signed["keys"].as_object_mut() {
            keys.retain(|id, _| used.contains(id) || !gone.contains(id.as_str()));
        }
        Metadata::unsigned(signed)
    }
}

/// Refuses a root that clients would refuse, however many sign it.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check(trusted: &Root, next: &Metadata, now: Timestamp) -> Result<Root, Failure> {
    let root = rules::root(next, trusted.version.next(), now)
        .map_err(|error| Failure::new(format_args!("clients would refuse this root: {error}")))?;
    let role = &trusted.roles["root"];
    let able = role.keyids.iter().filter_map(|id| trusted.keys.get(id)).filter(|key| key.usable().is_ok());
    let able = able.filter_map(|key| key.public()).collect::<BTreeSet<_>>().len();
    match able < role.threshold as usize {
        true => Err(Failure::new(format_args!(
            "the trusted root needs signatures of {} keys, and {able} of its own can make any",
            role.threshold
        ))
        .remedy("clients can't follow any root after this one: they need a new one by hand")),
        false => Ok(root),
    }
}

/// The keys of a role as people call them.
pub(super) fn names_of(root: &Root, role: &str) -> Vec<String> {
    keys_of(root, role).into_iter().map(|key| key.name).collect()
}

/// The keys of a role.
pub(super) fn keys_of(root: &Root, role: &str) -> Vec<NamedKey> {
    let keys = root.roles[role].keyids.iter().filter_map(|id| root.keys.get_key_value(id));
    keys.map(|(id, key)| NamedKey::of(id, key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::admin::ceremony::plan_tests::{first_root, named},
        tuf::sample::at,
    };

    fn trusted() -> (Metadata, Root) {
        let mut first = first_root();
        first.signed["x-vendor-note"] = json!("kept");
        first.signed["roles"]["root"]["x-note"] = json!(1);
        let root = Root::view(&first.signed).expect("a root");
        (first, root)
    }

    #[test]
    fn what_is_not_changed_stays() {
        let (trusted, root) = trusted();
        let next = Change { threshold: Some(3), ..Change::default() }.apply(&trusted, &root);
        let mut expected = trusted.signed.clone();
        expected["version"] = json!(2);
        expected["roles"]["root"]["threshold"] = json!(3);
        assert_eq!(next.signed.to_string(), expected.to_string());
    }

    #[test]
    fn keys_come_and_go_with_the_roles_that_name_them() {
        let (trusted, root) = trusted();
        let (new, online) = (named("Joan"), named("other"));
        let first = root.roles["root"].keyids[0].clone();
        let change = Change {
            removed: vec![first.clone()],
            added: vec![new.clone()],
            online: vec![("snapshot", online.clone())],
            ..Change::default()
        };
        let next = check(&root, &change.apply(&trusted, &root), at(0)).expect("a good root");
        assert!(!next.keys.contains_key(&first) && next.keys.contains_key(&new.id));
        assert_eq!(next.roles["snapshot"].keyids, [online.id]);
        assert!(next.keys.contains_key(&root.roles["snapshot"].keyids[0]), "timestamp has it still");
        assert_eq!(names_of(&next, "root"), ["Grace", "Linus", "Joan"]);
        assert_eq!(next.version, root.version.next());
    }

    #[test]
    fn what_clients_could_not_follow_is_refused() {
        let (trusted, root) = trusted();
        let wrong = |change: Change| check(&root, &change.apply(&trusted, &root), at(1)).expect_err("refused").cause;
        let too_many = wrong(Change { threshold: Some(4), ..Change::default() });
        assert_eq!(
            too_many,
            "clients would refuse this root: root needs signatures of 4 keys, and 3 of its own can make any"
        );
        let expired = wrong(Change { expiry: Some((1, at(1))), ..Change::default() });
        assert!(expired.contains("it expired at"), "{expired}");
        let mut twice = named("Joan");
        twice.object = keys_of(&root, "root")[1].object.clone();
        let removed = root.roles["root"].keyids[..2].to_vec();
        let same = wrong(Change {
            removed: removed[..1].to_vec(),
            added: vec![twice],
            threshold: Some(3),
            ..Change::default()
        });
        assert_eq!(
            same,
            "clients would refuse this root: root needs signatures of 3 keys, and 2 of its own can make any"
        );
    }
}
