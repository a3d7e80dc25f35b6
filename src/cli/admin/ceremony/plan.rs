//! What a ceremony decides, and the documents that it makes of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::admin::{
        keys::NamedKey,
        roles::{self, AskedRole},
    },
    tuf::{
        bins::{Bins, Layout},
        expiry::expires,
        name::{KeyId, Version},
        root::{RoleKeys, Root},
        wire::Metadata,
    },
};

/// Everything that a first root and its settings say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// For how many days the top-level roles are valid.
    pub(super) days: Days,
    /// The hash bins.
    pub(super) bins: Option<PlannedBins>,
    /// The delegated roles.
    pub(super) roles: Vec<AskedRole>,
    /// About how many artifacts there will be.
    pub(super) artifacts: u64,
    /// The people who sign root.
    pub(super) root: Vec<NamedKey>,
    /// How many of them must.
    pub(super) threshold: u32,
    /// What the repository signs with.
    pub(super) online: OnlineKeys,
}

/// For how many days the top-level roles are valid from each signature on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    /// Root.
    pub(super) root: u32,
    /// Timestamp.
    pub(super) timestamp: u32,
    /// Snapshot.
    pub(super) snapshot: u32,
    /// Targets.
    pub(super) targets: u32,
}

impl Days {
    /// Those of a role by its name; 0 for one that is none of these.
    pub(super) fn of(&self, role: &str) -> u32 {
        match role {
            "root" => self.root,
            "timestamp" => self.timestamp,
            "snapshot" => self.snapshot,
            "targets" => self.targets,
            _ => 0,
        }
    }
}

/// Hash bins that are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedBins {
    /// For how many days each is valid.
    pub(super) days: u32,
    /// How many there are, and how they are written.
    pub(super) bins: Bins,
}

/// The keys that the repository signs with by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OnlineKeys {
    /// That of timestamp, and of bins and delegated roles that name no key.
    pub(super) timestamp: NamedKey,
    /// That of snapshot.
    pub(super) snapshot: NamedKey,
    /// That of targets.
    pub(super) targets: NamedKey,
}

impl OnlineKeys {
    /// One key for everything.
    pub(super) fn one(key: NamedKey) -> Self {
        Self { timestamp: key.clone(), snapshot: key.clone(), targets: key }
    }

    /// The keys with the roles that they sign, each key once.
    pub(super) fn by_key(&self) -> Vec<(&NamedKey, Vec<&'static str>)> {
        let mut keys: Vec<(&NamedKey, Vec<&'static str>)> = Vec::new();
        for (role, key) in [("timestamp", &self.timestamp), ("snapshot", &self.snapshot), ("targets", &self.targets)] {
            match keys.iter_mut().find(|(there, _)| there.id == key.id) {
                Some((_, roles)) => roles.push(role),
                None => keys.push((key, vec![role])),
            }
        }
        keys
    }
}

impl Plan {
    /// The root that is to be signed.
    pub(super) fn first_root(&self, now: Timestamp) -> Metadata {
        let online = self.online.by_key().into_iter().map(|(key, _)| key);
        let keys: Vec<(KeyId, Value)> =
            self.root.iter().chain(online).map(|key| (key.id.clone(), key.object.clone())).collect();
        let one = |key: &NamedKey| RoleKeys { keyids: vec![key.id.clone()], threshold: 1 };
        let people = self.root.iter().map(|key| key.id.clone()).collect();
        let roles = [
            ("root", RoleKeys { keyids: people, threshold: self.threshold }),
            ("timestamp", one(&self.online.timestamp)),
            ("snapshot", one(&self.online.snapshot)),
            ("targets", one(&self.online.targets)),
        ];
        Metadata::unsigned(Root::render(Version::FIRST, expires(now, self.days.root), &keys, &roles))
    }

    /// The body of the bootstrap, in the form of the contract; the layout is said where it is not the one that every server has.
    pub(super) fn payload(&self, root: &Metadata, timeout_seconds: u64) -> Value {
        let bins = self.bins.map(|PlannedBins { days, bins }| {
            let mut role = json!({"expiration": days, "number_of_delegated_bins": bins.count()});
            if !bins.layout().is_default() {
                role["layout"] = json!(bins.layout());
            }
            role
        });
        let delegations = (!self.roles.is_empty()).then(|| roles::payload(&self.roles));
        json!({
            "settings": {"roles": {
                "root": {"expiration": self.days.root},
                "timestamp": {"expiration": self.days.timestamp},
                "snapshot": {"expiration": self.days.snapshot},
                "targets": {"expiration": self.days.targets},
                "bins": bins,
                "delegations": delegations,
            }},
            "metadata": {"root": root.to_value()},
            "timeout": timeout_seconds,
        })
    }

    /// The layout of the delegations of `targets`.
    pub(super) fn layout(&self) -> Option<Layout> {
        self.bins.map(|planned| planned.bins.layout())
    }
}

#[cfg(test)]
pub(in crate::cli::admin) mod tests {
    use super::*;
    use crate::tuf::{
        key::key_id,
        sample::{Signer, at},
    };

    pub(in crate::cli::admin) fn named(name: &str) -> NamedKey {
        let mut object = Signer::new().key();
        object["x-rstuf-key-name"] = json!(name);
        NamedKey { id: key_id(&object).expect("an id"), object, name: name.to_owned() }
    }

    pub(in crate::cli::admin) fn first_root() -> Metadata {
        plan().first_root(at(0))
    }

    pub(in crate::cli::admin::ceremony) fn plan() -> Plan {
        Plan {
            days: Days { root: 365, timestamp: 1, snapshot: 1, targets: 365 },
            bins: Some(PlannedBins { days: 1, bins: Bins::new(256, Layout::Succinct).expect("bins") }),
            roles: Vec::new(),
            artifacts: 10_000,
            root: ["Ada", "Grace", "Linus"].map(named).into(),
            threshold: 2,
            online: OnlineKeys::one(named("online")),
        }
    }

    #[test]
    fn a_payload_is_that_of_the_contract() {
        let plan = plan();
        let root = plan.first_root(at(0));
        let mut payload = plan.payload(&root, 300);
        payload["metadata"]["root"] = Value::Null;
        let recorded = json!({
            "settings": {"roles": {
                "root": {"expiration": 365}, "timestamp": {"expiration": 1}, "snapshot": {"expiration": 1},
                "targets": {"expiration": 365}, "bins": {"expiration": 1, "number_of_delegated_bins": 256},
                "delegations": null}},
            "metadata": {"root": null},
            "timeout": 300});
        assert_eq!(payload.to_string(), recorded.to_string());
    }

    #[test]
    fn a_root_has_every_key_under_the_id_of_the_whole_object() {
        let plan = plan();
        let root = plan.first_root(at(0));
        let view = Root::view(&root.signed).expect("a root");
        assert_eq!(view.keys.len(), 4);
        for (id, key) in &view.keys {
            assert_eq!(key_id(&key.raw).expect("an id"), *id);
        }
        assert_eq!(view.roles["root"].threshold, 2);
        assert_eq!(view.roles["snapshot"].keyids, std::slice::from_ref(&plan.online.snapshot.id));
    }

    #[test]
    fn roles_of_one_key_are_told_together() {
        let one = OnlineKeys::one(named("online"));
        assert_eq!(one.by_key()[0].1, ["timestamp", "snapshot", "targets"]);
        let two = OnlineKeys { targets: named("other"), ..one };
        assert_eq!(two.by_key().into_iter().map(|(_, roles)| roles.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
