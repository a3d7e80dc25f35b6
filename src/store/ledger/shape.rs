//! From the charter to the shape of a plan, as values: shared by all backends, so that they publish the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    RepositorySettings, Stale,
    charter::{Announced, Charter, CustomRole, NextRoot, Reason, RootStage, Signing},
};
use crate::tuf::{
    event::{Event, State},
    expiry,
    name::{ArtifactPath, RoleName, Version},
    plan::cascade,
    wire::Metadata,
};

/// What a plan publishes, before versions are given out.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    /// The roles in the order in which they are written, with the versions of those that have one already.
    pub roles: Vec<(RoleName, Option<Version>)>,
    /// See [`Plan::signed`](super::Plan::signed).
    pub signed: BTreeMap<RoleName, Metadata>,
    /// See [`Plan::delegations`](super::Plan::delegations).
    pub delegations: Option<Value>,
    /// See [`Plan::root`](super::Plan::root).
    pub root: Option<NextRoot>,
}

impl Shape {
    /// The shape of a plan that publishes the `touched` roles and what the charter has ready. `delegations` are those of the
    /// repository, and needed when the charter [`announces`] something.
    pub(super) fn of(charter: &Charter, mut touched: BTreeSet<RoleName>, delegations: Option<&Value>) -> Self {
        let signed: BTreeMap<_, _> = complete(charter).collect();
        touched.extend(signed.keys().map(|role| (*role).clone()));
        let announced: Vec<_> = announced(charter).collect();
        let delegations = delegations.filter(|_| !announced.is_empty());
        let delegations = delegations.map(|before| announced.into_iter().fold(before.clone(), effective));
        if delegations.is_some() {
            touched.insert(RoleName::targets());
        }
        if charter.next_root.is_some() {
            // Whatever it waits for, the next commit brings it one step further.
            touched.insert(RoleName::timestamp());
        }
        let own = |role: &RoleName| signed.get(role).map(|event| event.version);
        Self {
            roles: cascade(&touched).into_iter().map(|role| (role.clone(), own(&role))).collect(),
            delegations,
            root: charter.next_root.clone().filter(|next| next.stage == RootStage::Ready),
            signed: signed.into_iter().map(|(role, event)| (role.clone(), event.document.clone())).collect(),
        }
    }
}

/// The events of delegated roles that the next plan publishes. Staged changes of such a role that wait for nobody are for the plan after it.
pub(super) fn complete(charter: &Charter) -> impl Iterator<Item = (&RoleName, &Event)> {
    let is_there = |role: &RoleName| charter.roles.get(role).is_some_and(|custom| !custom.retired);
    charter.events.iter().filter(move |(role, event)| event.state == State::Complete && is_there(role))
}

/// The first of the complete events that lists what was removed elsewhere since it was drafted: `removed` are such paths by the role that they were to
/// move to.
pub(super) fn stale(
    charter: &Charter,
    revision: i64,
    removed: impl IntoIterator<Item = (RoleName, ArtifactPath)>,
) -> Option<Stale> {
    let lists = |(role, path): &(RoleName, ArtifactPath)| {
        let listed = charter.events.get(role).and_then(|event| event.document.signed["targets"].as_object());
        listed.is_some_and(|listed| listed.contains_key(path.as_str()))
    };
    removed.into_iter().find(lists).map(|(role, path)| Stale { role, path, revision })
}

/// What becomes effective with the next plan.
fn announced(charter: &Charter) -> impl Iterator<Item = &Announced> {
    complete(charter).filter_map(|(role, _)| charter.roles.get(role)?.announced.as_ref())
}

/// Whether the next plan changes delegations.
pub(super) fn announces(charter: &Charter) -> bool {
    announced(charter).next().is_some()
}

/// The roles that this service keeps valid until people have signed what was announced of them, with the version that is published, when
/// it expires, and for how many days it is valid: those of `published` that are due.
pub(super) fn kept_due(
    charter: &Charter,
    settings: &RepositorySettings,
    published: Vec<(RoleName, Version, Timestamp)>,
    now: Timestamp,
) -> Vec<RoleName> {
    let is_due = |(role, version, expires): &(RoleName, Version, Timestamp)| {
        let life = SignedDuration::from_hours(24) * i32::try_from(settings.days(role)).unwrap_or(i32::MAX);
        let issued = expires.saturating_sub(life).unwrap_or(Timestamp::MIN);
        let asked = charter.kept.get(role).is_some_and(|kept| kept.due);
        asked || expiry::renew_at(role, *version, issued, *expires) <= now
    };
    published.into_iter().filter(is_due).map(|(role, ..)| role).collect()
}

/// The roles of which people may be asked to sign a new version.
pub(super) fn people_sign(charter: &Charter) -> impl Iterator<Item = &RoleName> {
    let by_people = |custom: &CustomRole| custom.signing == Signing::Offline && !custom.retired;
    let open = |role: &RoleName| charter.events.get(role).is_none_or(|event| event.state == State::Collecting);
    charter.roles.iter().filter(move |(role, custom)| by_people(custom) && open(role)).map(|(role, _)| role)
}

/// Why people are to sign a role with this event, of which the last staged change is `through`; `None` when they need not.
pub(super) fn reason(event: Option<&Event>, through: i64, renew_at: Timestamp, now: Timestamp) -> Option<Reason> {
    let seen = event.map_or(0, |event| event.through);
    match renew_at <= now {
        true => Some(Reason::Due),
        false => (through > seen).then_some(Reason::Content),
    }
}

/// `delegations` in which what was announced of a role is so: its role object takes the place of the one it had, or comes before all that
/// have hash prefixes; its keys are there, and those that no role names are not.
pub fn effective(mut delegations: Value, announced: &Announced) -> Value {
    let Some(members) = delegations.as_object_mut() else {
        return effective(json!({}), announced);
    };
    let roles = members.entry("roles").or_insert_with(|| json!([]));
    if let Some(roles) = roles.as_array_mut() {
        match roles.iter_mut().find(|role| role["name"] == announced.role["name"]) {
            Some(role) => *role = announced.role.clone(),
            None => {
                let end = roles.iter().position(|role| role.get("path_hash_prefixes").is_some());
                roles.insert(end.unwrap_or(roles.len()), announced.role.clone());
            }
        }
    }
    let keys = members.entry("keys").or_insert_with(|| json!({}));
    if let Some(keys) = keys.as_object_mut() {
        keys.extend(announced.keys.clone());
    }
    drop_unused_keys(&mut delegations);
    delegations
}

/// Drops the keys of `delegations` that no role names, and puts the others in the order of their ids.
pub fn drop_unused_keys(delegations: &mut Value) {
    let roles = delegations["roles"].as_array().into_iter().flatten().chain(delegations.get("succinct_roles"));
    let ids = roles.flat_map(|role| role["keyids"].as_array().into_iter().flatten());
    let named: BTreeSet<String> = ids.filter_map(Value::as_str).map(str::to_owned).collect();
    if let Some(keys) = delegations.get_mut("keys").and_then(Value::as_object_mut) {
        let sorted: BTreeMap<_, _> =
            std::mem::take(keys).into_iter().filter(|(id, _)| named.contains(id.as_str())).collect();
        *keys = sorted.into_iter().collect::<Map<_, _>>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        name::Version,
        sample::{at, role, version},
    };

    fn event(state: State, through: i64) -> Event {
        Event { document: Metadata::unsigned(json!({ "n": through })), version: version(7), state, through }
    }

    fn custom(signing: Signing) -> CustomRole {
        CustomRole { signing, retired: false, announced: None }
    }

    fn announcement(name: &str, key: &str) -> Announced {
        let keys = [(key.to_owned(), json!({ "id": key }))].into_iter().collect();
        Announced { role: json!({ "name": name, "keyids": [key], "paths": ["*"] }), keys }
    }

    fn names(shape: &Shape) -> Vec<(&str, Option<u64>)> {
        shape.roles.iter().map(|(role, version)| (role.as_str(), version.map(Version::get))).collect()
    }

    #[test]
    fn a_complete_event_is_published_at_its_own_version() {
        let mut charter = Charter::default();
        charter.roles.insert(role("docs"), custom(Signing::Offline));
        charter.events.insert(role("docs"), event(State::Collecting, 3));
        assert!(Shape::of(&charter, BTreeSet::new(), None).roles.is_empty());
        charter.events.insert(role("docs"), event(State::Complete, 3));
        let shape = Shape::of(&charter, BTreeSet::new(), None);
        assert_eq!(names(&shape), [("docs", Some(7)), ("snapshot", None), ("timestamp", None)]);
        assert_eq!(shape.signed[&role("docs")], event(State::Complete, 3).document);
        assert_eq!(shape.delegations, None);
    }

    #[test]
    fn what_was_announced_brings_targets() {
        let mut charter = Charter::default();
        let announced = Some(announcement("docs", "k"));
        charter.roles.insert(role("docs"), CustomRole { announced, ..custom(Signing::Offline) });
        assert!(!announces(&charter));
        charter.events.insert(role("docs"), event(State::Complete, 0));
        assert!(announces(&charter));
        let shape = Shape::of(&charter, BTreeSet::new(), Some(&json!({ "keys": {}, "roles": [] })));
        assert_eq!(
            names(&shape).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["docs", "targets", "snapshot", "timestamp"]
        );
        assert_eq!(shape.delegations.expect("delegations")["roles"][0]["name"], json!("docs"));
    }

    #[test]
    fn nothing_is_published_of_a_retired_role_nor_of_a_root_event() {
        let mut charter = Charter::default();
        charter.roles.insert(role("docs"), CustomRole { retired: true, ..custom(Signing::Offline) });
        charter.events.insert(role("docs"), event(State::Complete, 0));
        charter.events.insert(role("root"), event(State::Complete, 0));
        assert!(Shape::of(&charter, BTreeSet::new(), None).roles.is_empty());
        assert_eq!(people_sign(&charter).count(), 0);
    }

    #[test]
    fn a_next_root_always_comes_further() {
        for (stage, published) in [(RootStage::Announced, false), (RootStage::Ready, true)] {
            let root = Metadata::unsigned(json!({}));
            let next = NextRoot { root, version: version(2), rotation: Default::default(), stage };
            let charter = Charter { next_root: Some(next), ..Charter::default() };
            let shape = Shape::of(&charter, BTreeSet::new(), None);
            assert_eq!(names(&shape), [("timestamp", None)]);
            assert_eq!(shape.root.is_some(), published);
        }
    }

    #[test]
    fn people_are_asked_for_what_no_event_has_and_what_is_due() {
        let (later, now) = (at(2), at(1));
        let open = event(State::Collecting, 5);
        assert_eq!(reason(None, 0, later, now), None);
        assert_eq!(reason(None, 1, later, now), Some(Reason::Content));
        assert_eq!(reason(Some(&open), 5, later, now), None);
        assert_eq!(reason(Some(&open), 6, later, now), Some(Reason::Content));
        assert_eq!(reason(Some(&open), 5, now, now), Some(Reason::Due));
    }

    #[test]
    fn an_announced_role_takes_its_place_and_unused_keys_go() {
        let bin = json!({ "name": "bins-0", "keyids": ["online"], "path_hash_prefixes": ["0"] });
        let before = json!({
            "keys": { "old": {}, "online": {} },
            "roles": [{ "name": "docs", "keyids": ["old"], "paths": ["a"] }, bin],
        });
        let after = effective(before.clone(), &announcement("docs", "new"));
        assert_eq!(after["keys"], json!({ "new": { "id": "new" }, "online": {} }));
        assert_eq!(after["roles"], json!([announcement("docs", "new").role, bin]));
        let after = effective(before, &announcement("more", "new"));
        let names: Vec<_> = after["roles"].as_array().expect("roles").iter().map(|role| role["name"].clone()).collect();
        assert_eq!(names, ["docs", "more", "bins-0"]);
        assert_eq!(after["keys"].as_object().expect("keys").keys().collect::<Vec<_>>(), ["new", "old", "online"]);
        assert_eq!(effective(Value::Null, &announcement("one", "k"))["roles"][0]["name"], json!("one"));
    }
}
