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
    store::ledger::{
        Repository,
        charter::{Announced, Change, Charter, CustomRole, Due, End, Signing},
    },
    task::{DelegationAction, MetadataDelegation, Outcome},
    tuf::{
        bins::{Bins, Layout},
        delegation::{
            DelegatedRole, DelegatedRoles, Delegations, Scope,
            change::Draft,
            proposal::{self, Failed, Known, Names, Proposal, Reason, Unreadable},
        },
        key::Key,
        name::{KeyId, RoleName},
        placement::Placement,
        root::Root,
        wire::MetadataError,
        wire::{Metadata, RoleType},
    },
};

const ACTION: &str = "metadata_delegation";

/// Why nothing of a request is done.
#[derive(Debug, Error)]
enum Refusal {
    #[error("Delegations require a completed bootstrap")]
    NoRepository,
    #[error(
        "Delegations already using hash-bins, cannot add custom roles: they are written as succinct_roles, beside which TUF \
         allows no roles with names; a repository with bins of the layout path_hash_prefixes can have both"
    )]
    Succinct,
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
    let scope = |(name, role): (&str, _)| Some((RoleName::parse(name).ok()?, Scope::of(role).ok()?));
    roles.into_iter().filter_map(scope).collect()
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
    if bins.is_some_and(|bins| bins.layout() == Layout::Succinct) {
        return Err(Refusal::Succinct);
    }
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
    let keys = root.role(RoleType::Timestamp).keyids.iter();
    let mut keys = keys.filter_map(|id| Some((id.clone(), root.keys.get(id)?.clone())));
    Ok(keys.find(|(_, key)| key.online_uri().is_some()))
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
        let signing = Signing::of(&proposal.key_views, &proposal.view.keys);
        // Clients would ask a role for artifacts that they see now, and get nothing valid of it.
        let is_met = self.state.covering.contains(&name) || self.state.published.contains_key(&name);
        let waits = signing == Signing::Offline && is_met && !same;
        self.expire(&proposal, before.as_ref());
        let announced = if waits {
            Some(Announced { role: proposal.role, keys: proposal.keys })
        } else {
            self.draft.put(&proposal.role, &proposal.keys).map_err(|error| error.to_string())?;
            self.due.insert(RoleName::targets());
            None
        };
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
        let role = self.charter.roles.get_mut(&name).filter(|role| !role.retired).ok_or_else(unknown)?;
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
        })
    }
}
