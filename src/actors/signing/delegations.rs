//! Adds, changes and deletes delegated roles, each by itself: one that can't be is told, and the others are done.
//!
//! A change is effective at once if no client can meet a role without valid metadata by it. Else it is announced, and becomes
//! effective with the first version of the role that people have signed for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::{Decision, State};
use crate::{
    store::{
        StoreError,
        ledger::{
            Repository,
            charter::{Announced, Change, Charter, CustomRole, Due, End, Signing},
        },
    },
    task::{DelegationAction, MetadataDelegation, Outcome},
    tuf::{
        bins::Bins,
        delegation::{
            DelegatedRole, DelegatedRoles, Delegations, Scope,
            change::Draft,
            proposal::{self, Failed, Known, Named, Names, Proposal, Reason, Unreadable},
        },
        key::Key,
        name::{KeyId, RoleName, Version},
        placement::Placement,
        root::Root,
        wire::{Metadata, MetadataError},
    },
};

const ACTION: &str = "metadata_delegation";

/// Why nothing of a request is done.
#[derive(Debug, Error)]
enum Refusal {
    #[error("Delegations require a completed bootstrap")]
    NoRepository,
    #[error(transparent)]
    Request(#[from] Unreadable),
    #[error("the repository can't be read: {0}")]
    Repository(String),
}

impl From<MetadataError> for Refusal {
    fn from(error: MetadataError) -> Self {
        Refusal::Repository(error.to_string())
    }
}

/// The scopes of the roles that a request adds or changes: see [`State::covering`].
pub fn scopes(job: &MetadataDelegation) -> Vec<(RoleName, Scope)> {
    if job.action == DelegationAction::Delete {
        return Vec::new();
    }
    let roles = proposal::named(&job.delegations).unwrap_or_default();
    let scope = |(name, role): Named<'_>| {
        let mut role = role.clone();
        role.retain(|_, value| !value.is_null());
        Some((RoleName::parse(name).ok()?, Scope::of(&role).ok()?))
    };
    roles.into_iter().filter_map(scope).collect()
}

/// The scopes of roles that are delegated to and were never published, but for those of the request: see [`State::covering`].
///
/// # Errors
/// [`StoreError::Broken`] when the repository can't be read.
pub(super) fn unsigned_scopes(
    job: &MetadataDelegation,
    repository: Option<&Repository>,
    published: &BTreeMap<RoleName, Version>,
) -> Result<Vec<(RoleName, Scope)>, StoreError> {
    let view = repository.map(|repository| Delegations::view(&repository.delegations)).transpose();
    let view = view.map_err(|error| StoreError::Broken(format!("the ledger's delegations: {error}")))?;
    let Some(Delegations { roles: DelegatedRoles::Roles(roles), .. }) = view else { return Ok(Vec::new()) };
    let named: Vec<_> =
        proposal::named(&job.delegations).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let unsigned = roles.into_iter().filter(|role| {
        let is_custom = !matches!(role.scope, Scope::PathHashPrefixes(_));
        is_custom && !published.contains_key(&role.name) && !named.contains(&role.name.as_str())
    });
    Ok(unsigned.map(|role| (role.name, role.scope)).collect())
}

/// The online keys of a request: see [`State::unreachable`].
pub fn online_keys(job: &MetadataDelegation) -> Vec<(KeyId, Key)> {
    let keys = job.delegations.get("keys").and_then(Value::as_object).into_iter().flatten();
    let keys = keys.filter_map(|(id, key)| Some((KeyId(id.clone()), Key::view(key).ok()?)));
    keys.filter(|(_, key)| key.online_uri().is_some()).collect()
}

/// Decides a change of delegations.
pub fn decide(state: &State, job: &MetadataDelegation, now: Timestamp) -> Decision {
    match attempt(state, job, now) {
        Ok(decision) => decision,
        Err(refusal) => Decision::refused(ACTION, refusal.to_string(), now),
    }
}

fn attempt(state: &State, job: &MetadataDelegation, now: Timestamp) -> Result<Decision, Refusal> {
    let repository = state.repository.as_ref().ok_or(Refusal::NoRepository)?;
    let bins = repository.settings.bins().map_err(|error| Refusal::Repository(error.to_string()))?;
    proposal::takes_roles(bins)?;
    let mut work = Work::new(state, repository)?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    if job.action == DelegationAction::Delete {
        for name in to_delete(&job.delegations)? {
            match work.delete(name) {
                Ok(role) => done.push(role),
                Err(reason) => failed.push((name.to_owned(), Value::from(reason))),
            }
        }
    } else {
        let charter = &state.chartered.charter;
        let names = match job.action {
            DelegationAction::Update => {
                let there = charter.roles.iter().filter(|(_, role)| !role.retired);
                Names::Existing(there.map(|(name, _)| name.clone()).collect())
            }
            _ => Names::Unused(charter.roles.keys().cloned().collect()),
        };
        let online = online_key(charter, repository)?;
        let online = online.as_ref().map(|(id, key)| (id, key));
        let known = Known { delegations: &repository.delegations, online, bins, names };
        for read in proposal::read(&job.delegations, &known)? {
            let put = match read {
                Ok(proposal) => {
                    let role = proposal.name.clone();
                    work.put(proposal).map(|()| role.clone()).map_err(|reason| (role.to_string(), Value::from(reason)))
                }
                Err(failed) => Err(told(failed)),
            };
            match put {
                Ok(role) => done.push(role),
                Err(reason) => failed.push(reason),
            }
        }
    }
    let pending = work.pending.clone();
    let change = work.finish(bins)?;
    let outcome = Outcome::delegated(job.action, &done, &failed, &pending, now);
    // What is only announced is seen when people have signed it, which may be never.
    let end = if change.delegations.is_some() { End::Visible } else { End::Now };
    Ok(Decision { outcome, end, change })
}

/// The reason as the contract has it: that of a name that is taken is a list.
fn told(failed: Failed) -> (String, Value) {
    let reason = failed.reason.to_string();
    let reason = if matches!(failed.reason, Reason::Used) { Value::from(vec![reason]) } else { Value::from(reason) };
    (failed.role, reason)
}

fn to_delete(payload: &Value) -> Result<Vec<&str>, Unreadable> {
    let roles = payload.get("roles").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Option<Vec<_>> = roles.iter().map(|role| role["name"].as_str()).collect();
    names.filter(|names| !names.is_empty()).ok_or(Unreadable::Names)
}

/// The key that signs roles without keys of their own: that of the root that clients will have next, or else of theirs.
fn online_key(charter: &Charter, repository: &Repository) -> Result<Option<(KeyId, Key)>, MetadataError> {
    let root = match &charter.next_root {
        Some(next) => Root::view(&next.root.signed)?,
        None => Root::view(&Metadata::parse(&repository.root)?.signed)?,
    };
    Ok(root.key_of_roles().map(|(id, key)| (id.clone(), key.clone())))
}

/// The charter and the delegations while a request is carried out.
struct Work<'a> {
    state: &'a State,
    repository: &'a Repository,
    view: Delegations,
    draft: Draft,
    charter: Charter,
    expirations: BTreeMap<String, u32>,
    new_roles: Vec<RoleName>,
    due: BTreeSet<RoleName>,
    pending: Vec<RoleName>,
    amended: bool,
}

impl<'a> Work<'a> {
    fn new(state: &'a State, repository: &'a Repository) -> Result<Self, MetadataError> {
        Ok(Self {
            state,
            repository,
            view: Delegations::view(&repository.delegations)?,
            draft: Draft::of(&repository.delegations)?,
            charter: state.chartered.charter.clone(),
            expirations: BTreeMap::new(),
            new_roles: Vec::new(),
            due: BTreeSet::new(),
            pending: Vec::new(),
            amended: false,
        })
    }

    fn delegated(&self, role: &RoleName) -> Option<&DelegatedRole> {
        match &self.view.roles {
            DelegatedRoles::Roles(roles) => roles.iter().find(|there| there.name == *role),
            DelegatedRoles::Succinct(_) => None,
        }
    }

    /// Makes sure that no role which nobody has signed yet comes to be asked for artifacts that clients see, because `name`, which is asked
    /// before it, answers for no more than `scope`.
    fn uncovers_nothing(&self, name: &RoleName, scope: Option<&Scope>) -> Result<(), String> {
        let DelegatedRoles::Roles(roles) = &self.view.roles else { return Ok(()) };
        let keeps = |role: &&DelegatedRole| match (scope, &role.scope) {
            (Some(Scope::Paths(kept)), Scope::Paths(paths)) => paths.iter().all(|path| kept.contains(path)),
            _ => false,
        };
        let is_unsigned = |role: &&DelegatedRole| {
            let custom = self.charter.roles.get(&role.name).filter(|custom| !custom.retired);
            custom.is_some_and(|custom| custom.signing == Signing::Offline)
                && self.state.covering.contains(&role.name)
                && !self.state.published.contains_key(&role.name)
        };
        let mut after = roles.iter().skip_while(|role| role.name != *name).skip(1);
        match after.find(|role| is_unsigned(role) && !keeps(role)) {
            None => Ok(()),
            Some(DelegatedRole { name, .. }) => Err(format!(
                "{name} would be asked for artifacts that clients see, and nobody has signed it yet: sign it first"
            )),
        }
    }

    /// Adds a role, or changes the one of its name.
    fn put(&mut self, proposal: Proposal) -> Result<(), String> {
        let unreachable = |id: &&KeyId| self.state.unreachable.contains_key(*id);
        if let Some(id) = proposal.view.keys.keyids.iter().find(unreachable) {
            return Err(format!("key {id}: this service can't sign with it: {}", self.state.unreachable[id]));
        }
        let name = proposal.name.clone();
        let before = self.charter.roles.get(&name).cloned();
        let same = self.stays_valid(&proposal, before.as_ref());
        if !same && let Some(event) = self.charter.events.get(&name).cloned() {
            event.end(&name).map_err(|error| format!("{error}: try again in a moment"))?;
        }
        self.uncovers_nothing(&name, Some(&proposal.view.scope))?;
        let signing = Signing::of(&proposal.key_views, &proposal.view.keys);
        // Clients would ask a role for artifacts that they see now, and get nothing valid of it.
        let is_met = self.state.covering.contains(&name) || self.state.published.contains_key(&name);
        let waits = signing == Signing::Offline && is_met && !same;
        if !waits {
            self.draft.put(&proposal.role, &proposal.keys).map_err(|error| error.to_string())?;
            self.due.insert(RoleName::targets());
        }
        self.expire(&proposal, before.as_ref());
        let announced = waits.then_some(Announced { role: proposal.role, keys: proposal.keys });
        if !same {
            self.charter.events.remove(&name);
            self.due.insert(name.clone());
        }
        if before.is_none() {
            self.new_roles.push(name.clone());
        }
        if waits {
            self.pending.push(name.clone());
        }
        // Until people have signed it, it is valid as it is delegated now.
        let is_kept = self.charter.kept.contains_key(&name)
            || before.is_some_and(|before| before.signing == Signing::Online && before.announced.is_none());
        if waits && is_kept && self.delegated(&name).is_some() {
            self.charter.kept.entry(name.clone()).or_default();
        }
        self.charter.roles.insert(name, CustomRole { signing, retired: false, announced });
        self.amended = true;
        Ok(())
    }

    /// Whether what is published of a role and what people sign of it now is as valid after the change as before.
    fn stays_valid(&self, proposal: &Proposal, before: Option<&CustomRole>) -> bool {
        let is_settled = before.is_some_and(|role| role.announced.is_none());
        let there = self.delegated(&proposal.name);
        is_settled && there.is_some_and(|role| role.keys == proposal.view.keys && role.scope == proposal.view.scope)
    }

    /// Where nothing is said of it, a role is valid as long as before, and a new one as long as `targets`.
    fn expire(&mut self, proposal: &Proposal, before: Option<&CustomRole>) {
        let settings = &self.repository.settings;
        let name = proposal.name.as_str();
        let kept = before.and_then(|_| settings.expirations.get(name)).copied();
        let days = proposal.days.or(kept).unwrap_or_else(|| settings.days(&RoleName::targets()));
        if settings.expirations.get(name) != Some(&days) {
            self.expirations.insert(name.to_owned(), days);
        }
    }

    /// Deletes a role. An event of it ends with it, however far it is.
    fn delete(&mut self, text: &str) -> Result<RoleName, String> {
        let unknown = || format!("Role '{text}' does not exists");
        let name = RoleName::parse(text).map_err(|_| unknown())?;
        self.charter.roles.get(&name).filter(|role| !role.retired).ok_or_else(unknown)?;
        self.uncovers_nothing(&name, None)?;
        let role = self.charter.roles.get_mut(&name).ok_or_else(unknown)?;
        role.retired = true;
        role.announced = None;
        self.charter.events.remove(&name);
        self.draft.remove(&name).map_err(|error| error.to_string())?;
        if self.delegated(&name).is_some() {
            self.due.insert(RoleName::targets());
        }
        self.amended = true;
        Ok(name)
    }

    fn finish(self, bins: Option<Bins>) -> Result<Change, MetadataError> {
        if !self.amended {
            return Ok(Change::default());
        }
        let delegations = self.draft.finish()?;
        let (old, new) = (Placement::of(&self.view, bins), Placement::of(&Delegations::view(&delegations)?, bins));
        Ok(Change {
            charter: Some(self.charter),
            create: None,
            expirations: self.expirations,
            // Also when it is the same: that is published once more then, and the task ends.
            delegations: self.due.contains(&RoleName::targets()).then_some(delegations),
            new_roles: self.new_roles,
            due: if self.due.is_empty() { Due::None } else { Due::Roles(self.due.into_iter().collect()) },
            placement: (old != new).then_some(new),
            withdrawal: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        actors::signing::delegating::{Scene, object},
        tuf::{
            bins::Layout,
            event::{self, Event},
            key::ONLINE_KEY_URI,
            sample::{Signer, at, path, role, sign, version},
            targets,
        },
    };

    fn run(scene: &Scene, action: DelegationAction, roles: &[Value]) -> Decision {
        decide(&scene.state, &scene.job(action, roles), at(0))
    }

    fn details(decision: &Decision) -> Value {
        assert!(decision.outcome.status, "{:?}", decision.outcome);
        assert_eq!(decision.outcome.message, "Metadata Delegation Processed");
        decision.outcome.details.clone().expect("details")
    }

    fn charter(decision: &Decision) -> &Charter {
        decision.change.charter.as_ref().expect("a charter")
    }

    fn due(names: &[&str]) -> Due {
        Due::Roles(names.iter().map(|name| role(name)).collect())
    }

    fn open(scene: &mut Scene, name: &str, state: event::State) {
        let signed = targets::render(version(2), at(500), &[], None);
        let event = Event { document: sign(signed, &[&scene.ann]), version: version(2), state, through: 0 };
        scene.state.chartered.charter.events.insert(role(name), event);
    }

    #[test]
    fn new_online_roles_are_effective_at_once() {
        let scene = Scene::new(Some(Layout::PathHashPrefixes));
        let done = run(&scene, DelegationAction::Add, &[object("a", &[], 1, &["a/*"])]);
        assert_eq!(details(&done), json!({"delegated_roles": ["a"], "failed_roles": []}));
        assert_eq!((done.end, &done.change.due), (End::Visible, &due(&["a", "targets"])));
        assert_eq!(charter(&done).roles[&role("a")].signing, Signing::Online);
        assert_eq!(done.change.new_roles, [role("a")]);
        assert_eq!(done.change.expirations, [("a".to_owned(), 9)].into());
        let delegations = done.change.delegations.expect("delegations");
        assert_eq!(
            (&delegations["roles"][0]["name"], &delegations["roles"][1]["name"]),
            (&json!("a"), &json!("bins-0"))
        );
        assert_eq!(delegations["keys"][scene.online.id().as_str()][ONLINE_KEY_URI], "fn:online");
        let placement = done.change.placement.expect("a placement");
        assert_eq!(placement.role_for(&path("a/b")), Some(role("a")));
        assert!(placement.role_for(&path("b")).is_some_and(|bin| bin.as_str().starts_with("bins-")));
    }

    #[test]
    fn new_offline_roles_wait_only_if_clients_would_miss_something() {
        let mut scene = Scene::new(None);
        let new = || [object("a", &[&Signer::new(), &Signer::new()], 2, &["a/*"])];
        let unknown = run(&scene, DelegationAction::Add, &new());
        assert_eq!(details(&unknown)["delegated_roles"], json!({}));
        let roles = [object("a", &[&scene.ann, &scene.bob], 2, &["a/*"])];
        let free = run(&scene, DelegationAction::Add, &roles);
        assert_eq!((free.end, &free.change.due), (End::Visible, &due(&["a", "targets"])));
        assert!(charter(&free).roles[&role("a")].announced.is_none());
        assert!(free.change.delegations.is_some() && free.change.placement.is_some());
        scene.state.covering.insert(role("a"));
        let waits = run(&scene, DelegationAction::Add, &roles);
        assert_eq!((waits.end, &waits.change.due), (End::Now, &due(&["a"])));
        assert_eq!((&waits.change.delegations, &waits.change.placement), (&None, &None));
        let announced = charter(&waits).roles[&role("a")].announced.clone().expect("announced");
        assert_eq!((&announced.role, announced.keys.len()), (&roles[0], 2));
        assert_eq!(details(&waits)["pending_roles"], json!(["a"]));
    }

    #[test]
    fn mixed_roles_are_signed_by_people_too() {
        let scene = Scene::new(None);
        let done = run(&scene, DelegationAction::Add, &[object("a", &[&scene.ann, &scene.online], 2, &["*"])]);
        assert_eq!(charter(&done).roles[&role("a")].signing, Signing::Offline);
        let done = run(&scene, DelegationAction::Add, &[object("a", &[&scene.ann, &scene.online], 1, &["*"])]);
        assert_eq!(charter(&done).roles[&role("a")].signing, Signing::Online);
    }

    #[test]
    fn b20_a_role_that_could_never_be_valid_is_not_there() {
        let scene = Scene::new(None);
        let done = run(&scene, DelegationAction::Add, &[object("a", &[], 2, &["*"]), object("b", &[], 1, &["*"])]);
        let reason = "If no keys assigned threshold must be 1";
        let expected = json!({"delegated_roles": ["b"], "failed_roles": [{"role": "a", "reason": reason}]});
        assert_eq!(details(&done), expected);
        assert_eq!(done.change.new_roles, [role("b")]);
        assert_eq!(done.change.delegations.as_ref().and_then(|d| d["roles"].as_array()).map(Vec::len), Some(1));
    }

    #[test]
    fn b14_names_are_never_used_again() {
        let mut scene = Scene::new(None).with("a", Signing::Online, 1, &["*"]);
        scene.state.chartered.charter.roles.get_mut(&role("a")).expect("there").retired = true;
        let done = run(&scene, DelegationAction::Add, &[object("A", &[], 1, &["*"]), object("a/b", &[], 1, &["*"])]);
        let failed = details(&done)["failed_roles"].clone();
        assert_eq!(failed[0], json!({"role": "A", "reason": ["role already exists or name used in the past"]}));
        assert_eq!(failed[1]["role"], "a/b");
        assert_eq!((details(&done)["delegated_roles"].clone(), done.end), (json!({}), End::Now));
        assert!(done.change.charter.is_none());
        let top = run(&scene, DelegationAction::Add, &[object("b", &[], 1, &["*"]), object("Root", &[], 1, &["*"])]);
        assert_eq!(top.outcome.error.as_deref(), Some("Delegated roles cannot be empty or use top-level role names"));
    }

    #[test]
    fn b19_an_update_tells_of_its_own_roles_alone() {
        let scene = Scene::new(None).with("a", Signing::Online, 1, &["a"]).with("b", Signing::Online, 1, &["b"]);
        let done = run(&scene, DelegationAction::Update, &[object("a", &[], 1, &["c"]), object("x", &[], 1, &["c"])]);
        let expected = json!([{"role": "x", "reason": "Role 'x' doesn't exist."}]);
        assert_eq!((&details(&done)["delegated_roles"], &details(&done)["failed_roles"]), (&json!(["a"]), &expected));
        let delegations = done.change.delegations.expect("delegations");
        assert_eq!((&delegations["roles"][0]["paths"], &delegations["roles"][1]["name"]), (&json!(["c"]), &json!("b")));
        assert!(done.change.expirations.is_empty() && done.change.new_roles.is_empty());
        let none = run(&scene, DelegationAction::Update, &[object("x", &[], 1, &["c"])]);
        assert_eq!(details(&none)["delegated_roles"], json!({}));
    }

    #[test]
    fn b21_deleted_roles_take_their_keys_along() {
        let mut scene = Scene::new(None).with("a", Signing::Offline, 2, &["a"]).with("b", Signing::Online, 1, &["b"]);
        open(&mut scene, "a", event::State::Complete);
        let done = run(&scene, DelegationAction::Delete, &[json!({"name": "a"}), json!({"name": "x"})]);
        let failed = json!([{"role": "x", "reason": "Role 'x' does not exists"}]);
        assert_eq!(details(&done), json!({"delegated_roles": ["a"], "failed_roles": failed}));
        assert!(charter(&done).roles[&role("a")].retired && charter(&done).events.is_empty());
        assert_eq!((done.end, &done.change.due), (End::Visible, &due(&["targets"])));
        let delegations = done.change.delegations.expect("delegations");
        let ids: Vec<_> = delegations["keys"].as_object().expect("keys").keys().collect();
        assert_eq!(ids, [scene.online.id().as_str()]);
        let none = run(&scene, DelegationAction::Delete, &[json!({"name": "root"})]);
        assert_eq!(details(&none)["delegated_roles"], json!([]));
    }

    #[test]
    fn b22_the_order_of_roles_decides_where_artifacts_are() {
        let scene = Scene::new(None).with("a", Signing::Online, 1, &["*"]).with("b", Signing::Online, 1, &["*"]);
        let done = run(&scene, DelegationAction::Update, &[object("a", &[], 1, &["x"])]);
        assert_eq!(done.change.placement.expect("a placement").role_for(&path("y")), Some(role("b")));
        let same = run(&scene, DelegationAction::Update, &[object("b", &[], 1, &["*"])]);
        assert_eq!((same.change.placement, same.end), (None, End::Visible));
    }

    #[test]
    fn what_clients_have_seen_changes_when_people_have_signed() {
        let mut scene = Scene::new(None).with("a", Signing::Online, 1, &["a"]);
        let roles = [object("a", &[&scene.ann, &scene.bob], 2, &["a"])];
        let unseen = run(&scene, DelegationAction::Update, &roles);
        assert!(charter(&unseen).roles[&role("a")].announced.is_none());
        scene.state.published.insert(role("a"), version(1));
        let seen = run(&scene, DelegationAction::Update, &roles);
        let custom = &charter(&seen).roles[&role("a")];
        assert!(custom.announced.is_some() && custom.signing == Signing::Offline);
        assert_eq!((&seen.change.delegations, &seen.change.due), (&None, &due(&["a"])));
        scene.state.chartered.charter = charter(&seen).clone();
        open(&mut scene, "a", event::State::Collecting);
        let back = run(&scene, DelegationAction::Update, &[object("a", &[], 1, &["a"])]);
        let custom = &charter(&back).roles[&role("a")];
        assert!(custom.announced.is_none() && custom.signing == Signing::Online && charter(&back).events.is_empty());
        assert_eq!(
            (&back.change.due, back.change.delegations.as_ref()),
            (&due(&["a", "targets"]), Some(scene.delegations()))
        );
    }

    #[test]
    fn signatures_stay_when_keys_and_paths_do() {
        let mut scene = Scene::new(None).with("a", Signing::Offline, 2, &["a"]);
        scene.state.published.insert(role("a"), version(1));
        open(&mut scene, "a", event::State::Complete);
        let mut same = object("a", &[&scene.ann, &scene.bob], 2, &["a"]);
        same["x-rstuf-expire-policy"] = json!(33);
        let done = run(&scene, DelegationAction::Update, &[same]);
        assert!(charter(&done).events.contains_key(&role("a")));
        assert_eq!((&done.change.due, &done.change.expirations), (&due(&["targets"]), &[("a".to_owned(), 33)].into()));
        let other = run(&scene, DelegationAction::Update, &[object("a", &[&scene.ann], 1, &["a"])]);
        let reason = details(&other)["failed_roles"][0]["reason"].to_string();
        assert!(reason.contains("is about to be published: try again"), "{reason}");
    }

    #[test]
    fn succinct_bins_allow_no_roles() {
        let scene = Scene::new(Some(Layout::Succinct));
        let refused = run(&scene, DelegationAction::Add, &[object("a", &[], 1, &["*"])]);
        let error = refused.outcome.error.expect("an error");
        assert!(error.starts_with("Delegations already using hash-bins, cannot add custom roles"), "{error}");
        assert!(!refused.outcome.status && refused.change.charter.is_none());
    }

    #[test]
    fn keys_that_can_not_sign_are_refused() {
        let mut scene = Scene::new(None);
        let mut job = scene.job(DelegationAction::Add, &[object("a", &[&scene.ann], 1, &["*"])]);
        job.delegations["keys"][scene.ann.id().as_str()][ONLINE_KEY_URI] = json!("fn:lost");
        assert_eq!(online_keys(&job).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [scene.ann.id()]);
        scene.state.unreachable.insert(scene.ann.id(), "there is no such file".to_owned());
        let done = decide(&scene.state, &job, at(0));
        let reason = details(&done)["failed_roles"][0]["reason"].to_string();
        assert!(reason.contains("there is no such file") && !reason.contains("fn:lost"), "{reason}");
    }

    #[test]
    fn scopes_are_those_of_the_request() {
        let scene = Scene::new(None);
        let mut one = object("a", &[], 1, &["a/*"]);
        one["path_hash_prefixes"] = Value::Null;
        let read = scopes(&scene.job(DelegationAction::Add, &[one, json!({"name": "b"})]));
        assert_eq!(read.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [role("a")]);
        assert!(scopes(&scene.job(DelegationAction::Delete, &[object("a", &[], 1, &["*"])])).is_empty());
    }

    #[derive(Debug, Clone)]
    struct Step {
        action: DelegationAction,
        roles: Vec<(&'static str, usize, u32, &'static str)>,
        covering: bool,
        publish: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let action =
            prop::sample::select(vec![DelegationAction::Add, DelegationAction::Update, DelegationAction::Delete]);
        let name = prop::sample::select(vec!["a", "b", "c", "D", "d"]);
        let role = (name, 0..4usize, 1..3u32, prop::sample::select(vec!["*", "x/*", "y"]));
        let roles = prop::collection::vec(role, 1..4);
        (action, roles, any::<bool>(), any::<bool>()).prop_map(|(action, roles, covering, publish)| Step {
            action,
            roles,
            covering,
            publish,
        })
    }

    proptest! {
        #[test]
        fn any_sequence_leaves_one_truth(steps in prop::collection::vec(step(), 1..15)) {
            let mut scene = Scene::new(Some(Layout::PathHashPrefixes));
            let bins = Bins::new(4, Layout::PathHashPrefixes).ok();
            let mut placement = Placement::of(&Delegations::view(scene.delegations()).expect("delegations"), bins);
            let mut retired = BTreeSet::new();
            for Step { action, roles, covering, publish } in steps {
                let signers = [vec![], vec![&scene.online], vec![&scene.ann, &scene.bob], vec![&scene.ann, &scene.online]];
                let objects: Vec<_> = roles.iter().map(|(name, by, t, path)| object(name, &signers[*by], *t, &[path])).collect();
                let job = scene.job(action, &objects);
                let names = roles.iter().map(|(name, ..)| role(name));
                scene.state.covering = names.filter(|_| covering).collect();
                let decision = decide(&scene.state, &job, at(0));
                prop_assert!(decision.outcome.status);
                let Change { charter, delegations, placement: places, due, expirations, .. } = decision.change;
                let touched = match &due { Due::Roles(due) => due.clone(), _ => vec![] };
                prop_assert_eq!(delegations.is_some(), touched.contains(&RoleName::targets()));
                placement = places.unwrap_or(placement);
                scene.state.chartered.charter = charter.unwrap_or(scene.state.chartered.charter);
                let repository = scene.state.repository.as_mut().expect("a repository");
                repository.delegations = delegations.unwrap_or(repository.delegations.clone());
                repository.settings.expirations.extend(expirations);
                let view = Delegations::view(&repository.delegations).expect("readable");
                prop_assert_eq!(&placement, &Placement::of(&view, bins));
                for (name, custom) in &scene.state.chartered.charter.roles {
                    let delegated = view.role(name);
                    prop_assert!(repository.settings.expirations.contains_key(name.as_str()));
                    prop_assert!(!retired.contains(name) || custom.retired);
                    if custom.retired {
                        retired.insert(name.clone());
                        prop_assert!(delegated.is_none() && custom.announced.is_none());
                    } else if custom.announced.is_none() {
                        let signing = delegated.map(|keys| Signing::of(&view.keys, keys));
                        prop_assert_eq!(signing, Some(custom.signing));
                    } else {
                        prop_assert_eq!(custom.signing, Signing::Offline);
                    }
                    if publish && !custom.retired {
                        scene.state.published.insert(name.clone(), version(1));
                    }
                }
                let DelegatedRoles::Roles(delegated) = &view.roles else { panic!("roles") };
                let custom = delegated.iter().filter(|role| matches!(role.scope, Scope::Paths(_)));
                for role in custom {
                    prop_assert!(scene.state.chartered.charter.roles.contains_key(&role.name));
                }
            }
        }
    }
}
