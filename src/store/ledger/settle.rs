//! What becomes of the charter when something is recorded, as values: shared by all backends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    NewRepository, Plan, Repository, awaited,
    charter::{Change, Charter, CustomRole, Decided, Due, RetiredRoot, RootStage},
};
use crate::{
    store::StoreError,
    task::{Rotation, TaskId},
    tuf::{
        event::{Event, State},
        expiry,
        key::ONLINE_KEY_URI,
        name::{ArtifactPath, RoleName, Version},
        wire::{Metadata, parse_expires},
    },
};

/// The charter after a commit, and what follows from it.
#[derive(Debug, PartialEq)]
pub(super) struct Settled {
    /// The charter. When it is another one the revision grows, as it does with new delegations and a new root.
    pub charter: Charter,
    /// Roles of which people are to sign another version than they were asked for: they are due.
    pub outrun: Vec<RoleName>,
    /// The root that is published: it replaces that of the repository and is part of the head.
    pub root: Option<(Version, Vec<u8>)>,
    /// When `targets`, `snapshot` and `timestamp` are due at the latest.
    pub renew_at: Option<Timestamp>,
}

/// The charter after the commit of `plan`. `root` is the root of the repository as it was published.
///
/// # Errors
/// [`StoreError::Broken`] when that root can't be read.
pub(super) fn settle(
    mut charter: Charter,
    plan: &Plan,
    root: &[u8],
    root_grace_ends: Timestamp,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    for role in plan.signed.keys() {
        charter.events.remove(role);
        charter.awaited.remove(role);
        charter.kept.remove(role);
        if let Some(custom) = charter.roles.get_mut(role) {
            custom.announced = None;
        }
    }
    let mut outrun = Vec::new();
    for (role, version) in plan.roles.iter().filter(|(role, _)| !plan.signed.contains_key(role)) {
        if let Some(kept) = charter.kept.get_mut(role) {
            kept.due = false;
        }
        // What people are signing would be older than what clients have.
        if charter.events.get(role).is_some_and(|event| event.state == State::Collecting && event.version < *version) {
            charter.events.remove(role);
            outrun.push(role.clone());
        }
    }
    charter.retired_roots.retain(|retired| retired.until > now);
    let Some(next) = &plan.root else {
        if let Some(next) = &mut charter.next_root {
            next.stage = RootStage::Ready;
        }
        return Ok(Settled { charter, outrun, root: None, renew_at: None });
    };
    let old = Metadata::parse(root).map_err(|error| StoreError::Broken(format!("the ledger's root: {error}")))?;
    let mut renew_at = None;
    match next.rotation {
        // Keys that were dropped at once are not to sign by way of an older root either.
        Rotation::Immediate => charter.retired_roots.clear(),
        Rotation::Seamless if online_keys(&old) != online_keys(&next.root) => {
            charter.retired_roots.push(RetiredRoot { root: old, until: root_grace_ends });
            renew_at = Some(root_grace_ends);
        }
        Rotation::Seamless => {}
    }
    charter.next_root = None;
    charter.awaited.remove(&RoleName::root());
    Ok(Settled { charter, outrun, root: Some((next.version, next.root.to_bytes())), renew_at })
}

/// The online keys of `timestamp`, `snapshot` and `targets` in a root, each with what makes it that key.
fn online_keys(root: &Metadata) -> BTreeMap<&'static str, BTreeSet<(&str, String)>> {
    let of_role = |role: &'static str| {
        let ids = root.signed["roles"][role]["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let key = |id| {
            let key = &root.signed["keys"][id];
            key.get(ONLINE_KEY_URI).map(|_| (id, key["keyval"].to_string()))
        };
        (role, ids.filter_map(key).collect())
    };
    ["timestamp", "snapshot", "targets"].into_iter().map(of_role).collect()
}

/// The charter after an amendment that this task asked for, as far as its change says it. `before` is the charter as it was.
pub(super) fn amended(before: &Charter, change: &Change, asked: Option<&Decided>) -> Charter {
    let mut charter = change.charter.clone().unwrap_or_else(|| before.clone());
    if let Some(new) = &change.create {
        found(&mut charter, new);
    }
    let is_announced = |role: &RoleName| charter.roles.get(role).is_some_and(|custom| custom.announced.is_some());
    let over: Vec<_> = charter.kept.keys().filter(|role| !is_announced(role)).cloned().collect();
    charter.kept.retain(|role, _| !over.contains(role));
    awaited::note(before, &mut charter, asked);
    charter
}

/// Notes in the charter that the repository is there.
pub(super) fn found(charter: &mut Charter, new: &NewRepository) {
    charter.founding = None;
    for (role, signing) in &new.custom {
        let custom = CustomRole { signing: *signing, retired: false, announced: None };
        charter.roles.entry(role.clone()).or_insert(custom);
    }
}

/// The task that creates a repository: the bootstrap that waited for signatures, or else the one that asks now.
///
/// # Errors
/// [`StoreError::Broken`] when there is none, or a repository is there already.
pub(super) fn creator(
    before: &Charter,
    asks: Option<&TaskId>,
    repository: Option<&Repository>,
) -> Result<TaskId, StoreError> {
    if let Some(there) = repository {
        return Err(StoreError::Broken(format!("the repository was created by {}, not once more", there.task)));
    }
    let waited = before.founding.as_ref().map(|founding| &founding.task);
    waited.or(asks).cloned().ok_or_else(|| StoreError::Broken("a repository that no task asked for".into()))
}

/// Whether an amendment changes anything, so that the revision grows. `after` is the charter that comes of it.
pub(super) fn changes(before: &Charter, after: &Charter, change: &Change) -> bool {
    let Change { charter: _, create, expirations, delegations, new_roles, due, placement, withdrawal: _ } = change;
    let rest_is_empty = create.is_none()
        && expirations.is_empty()
        && delegations.is_none()
        && new_roles.is_empty()
        && *due == Due::None
        && placement.is_none();
    before != after || !rest_is_empty
}

/// The custom roles whose rows are to say something else: new ones, and those that are signed by others or retired.
pub(super) fn changed_roles<'a>(
    before: &'a Charter,
    after: &'a Charter,
) -> impl Iterator<Item = (&'a RoleName, &'a CustomRole)> {
    let same = |custom: &CustomRole, old: &CustomRole| (custom.signing, custom.retired) == (old.signing, old.retired);
    after.roles.iter().filter(move |(role, custom)| !before.roles.get(*role).is_some_and(|old| same(custom, old)))
}

/// The roles that an amendment deletes.
pub(super) fn deleted<'a>(before: &'a Charter, after: &'a Charter) -> impl Iterator<Item = &'a RoleName> {
    let was = |role: &RoleName| before.roles.get(role).is_some_and(|custom| custom.retired);
    after.roles.iter().filter(move |(role, custom)| custom.retired && !was(role)).map(|(role, _)| role)
}

/// What the rows of roles are to say of the events that an amendment leaves.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Drafted {
    /// New events: the version that must not be given out again, and when the role is due once more.
    pub opened: Vec<(RoleName, Version, Timestamp)>,
    /// Roles whose event is gone without a successor: they are due, so that nothing that it was for is forgotten.
    pub dropped: Vec<RoleName>,
}

/// What an amendment does to the events of delegated roles.
pub(super) fn drafted(before: &Charter, after: &Charter, now: Timestamp) -> Drafted {
    let delegated = |role: &RoleName| !role.is_top_level();
    let is_new =
        |role: &RoleName, event: &Event| before.events.get(role).is_none_or(|old| old.version != event.version);
    let opened = after.events.iter().filter(|(role, event)| delegated(role) && is_new(role, event));
    let retired = |role: &RoleName| after.roles.get(role).is_none_or(|custom| custom.retired);
    let dropped = before.events.keys().filter(|role| delegated(role) && !after.events.contains_key(*role));
    Drafted {
        opened: opened.map(|(role, event)| (role.clone(), event.version, renew_at(role, event, now))).collect(),
        dropped: dropped.filter(|role| !retired(role)).cloned().collect(),
    }
}

/// Drops the open events that have staged changes which their role lost, and says of which roles they were: these are due. `losers` have the
/// first such change of each role.
pub(super) fn drop_stale(charter: &mut Charter, losers: &BTreeMap<RoleName, i64>) -> Vec<RoleName> {
    let is_stale = |role: &RoleName, event: &Event| {
        event.state == State::Collecting && losers.get(role).is_some_and(|first| *first <= event.through)
    };
    charter.events.extract_if(.., |role, event| is_stale(role, event)).map(|(role, _)| role).collect()
}

/// When the document of an event is so old that people should sign a newer one instead.
fn renew_at(role: &RoleName, event: &Event, now: Timestamp) -> Timestamp {
    let expires = event.document.signed["expires"].as_str().and_then(|text| parse_expires(text).ok());
    expires.map_or(now, |expires| expiry::renew_at(role, event.version, now, expires))
}

/// What a signed document lists, in the order of the paths. What can't be a path nobody can ask for; it is left out.
pub(super) fn listing(document: &Metadata) -> Vec<(ArtifactPath, Value)> {
    let listed = document.signed["targets"].as_object().into_iter().flatten();
    let readable = listed.filter_map(|(path, info)| Some((ArtifactPath::parse(path).ok()?, info.clone())));
    readable.collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        store::ledger::{
            RepositorySettings,
            charter::{Announced, NextRoot, Signing},
        },
        tuf::{
            bins::Layout,
            change::Changes,
            sample::{at, path, role, version},
        },
    };

    fn root(key: &str) -> Metadata {
        let mut root = json!({ "_type": "root", "keys": {}, "roles": {} });
        root["keys"][key] = json!({ ONLINE_KEY_URI: "fn:a", "keyval": { "public": key } });
        for role in ["timestamp", "snapshot", "targets"] {
            root["roles"][role] = json!({ "keyids": [key] });
        }
        Metadata::unsigned(root)
    }

    fn next(key: &str, rotation: Rotation, stage: RootStage) -> NextRoot {
        NextRoot { root: root(key), version: version(2), rotation, stage }
    }

    fn plan(root: Option<NextRoot>) -> Plan {
        Plan {
            id: 1,
            base: 1,
            revision: 1,
            settings: RepositorySettings {
                expirations: BTreeMap::new(),
                number_of_delegated_bins: None,
                layout: Layout::Succinct,
                root_num_keys: 1,
            },
            through: 0,
            changes: Changes::new(),
            roles: Vec::new(),
            signed: BTreeMap::new(),
            delegations: None,
            root,
        }
    }

    fn event(number: u64, document: Value) -> Event {
        let document = Metadata::unsigned(document);
        Event { document, version: version(number), state: State::Collecting, through: 0 }
    }

    fn settled(charter: Charter, plan: &Plan) -> Settled {
        settle(charter, plan, &root("a").to_bytes(), at(10), at(1)).expect("settled")
    }

    #[test]
    fn an_announced_root_is_ready_and_a_ready_one_is_published() {
        let announced = next("b", Rotation::Seamless, RootStage::Announced);
        let charter = Charter { next_root: Some(announced), ..Charter::default() };
        let ready = settled(charter, &plan(None));
        assert_eq!(ready.root, None);
        let published = settled(ready.charter.clone(), &plan(ready.charter.next_root));
        assert_eq!(published.root, Some((version(2), root("b").to_bytes())));
        assert_eq!(published.renew_at, Some(at(10)));
        assert_eq!(published.charter.retired_roots, [RetiredRoot { root: root("a"), until: at(10) }]);
        assert_eq!(published.charter.next_root, None);
    }

    #[test]
    fn the_grace_of_old_keys_ends() {
        let retired = |until| RetiredRoot { root: root("0"), until };
        let charter = Charter { retired_roots: vec![retired(at(1)), retired(at(2))], ..Charter::default() };
        assert_eq!(settled(charter.clone(), &plan(None)).charter.retired_roots, [retired(at(2))]);
        // Nothing signs any more that an immediate rotation drops; the same keys need no grace.
        let immediate = settled(charter.clone(), &plan(Some(next("b", Rotation::Immediate, RootStage::Ready))));
        assert_eq!((immediate.charter.retired_roots, immediate.renew_at), (vec![], None));
        let same = settled(charter, &plan(Some(next("a", Rotation::Seamless, RootStage::Ready))));
        assert_eq!((same.charter.retired_roots, same.renew_at), (vec![retired(at(2))], None));
    }

    #[test]
    fn a_published_event_is_gone_and_its_delegation_effective() {
        let announced = Some(Announced { role: json!({}), keys: Default::default() });
        let custom = CustomRole { signing: Signing::Offline, retired: false, announced };
        let mut charter = Charter::default();
        charter.roles.insert(role("docs"), custom.clone());
        charter.roles.insert(role("other"), custom);
        for name in ["docs", "other"] {
            charter.events.insert(role(name), event(1, json!({})));
        }
        let mut plan = plan(None);
        plan.signed.insert(role("docs"), Metadata::unsigned(json!({})));
        let settled = settled(charter, &plan).charter;
        assert_eq!(settled.events.keys().collect::<Vec<_>>(), [&role("other")]);
        assert_eq!(settled.roles[&role("docs")].announced, None);
        assert_eq!(settled.roles[&role("docs")].signing, Signing::Offline);
        assert!(settled.roles[&role("other")].announced.is_some());
    }

    #[test]
    fn rows_follow_events() {
        let expires = |hours| json!({ "expires": crate::tuf::wire::format_expires(at(hours)) });
        let (mut before, mut after) = (Charter::default(), Charter::default());
        for name in ["gone", "kept", "new", "retired"] {
            let custom = CustomRole { signing: Signing::Offline, retired: name == "retired", announced: None };
            after.roles.insert(role(name), custom);
        }
        for (name, number) in [("gone", 1), ("kept", 1), ("retired", 1), ("root", 1)] {
            before.events.insert(role(name), event(number, expires(90)));
        }
        for (name, number) in [("kept", 1), ("new", 4), ("root", 2)] {
            after.events.insert(role(name), event(number, expires(90)));
        }
        let Drafted { opened, dropped } = drafted(&before, &after, at(0));
        assert_eq!(dropped, [role("gone")]);
        let [(name, number, renew)] = opened.try_into().expect("one");
        assert_eq!((name, number), (role("new"), version(4)));
        assert!((at(54)..=at(60)).contains(&renew), "{renew}");
        assert_eq!(changed_roles(&before, &after).count(), 4);
        assert_eq!(changed_roles(&after, &after).count(), 0);
    }

    #[test]
    fn a_document_lists_what_can_be_asked_for() {
        let info = json!({ "length": 1, "x": { "b": 1, "a": 2 } });
        let document = Metadata::unsigned(json!({ "targets": { "b": info, "../x": info, "a": info } }));
        assert_eq!(listing(&document), [(path("a"), info.clone()), (path("b"), info)]);
        assert!(listing(&Metadata::unsigned(json!({}))).is_empty());
    }

    #[test]
    fn a_change_is_told_from_none() {
        let before = Charter::default();
        let same = Change { charter: Some(before.clone()), ..Change::default() };
        assert!(!changes(&before, &amended(&before, &same, None), &same));
        let due = Change { due: Due::All, ..Change::default() };
        assert!(changes(&before, &amended(&before, &due, None), &due));
    }
}
