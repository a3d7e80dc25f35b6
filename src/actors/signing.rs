//! Carries out what people decide: signatures, roots, delegations. Each decision is a pure function of what the ledger says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    store::ledger::{
        Repository,
        charter::{Change, Chartered, End},
    },
    task::{Job, Outcome, TaskId},
    tuf::name::{KeyId, RoleName, Version},
};

pub mod delegations;
pub mod online;
pub mod upload;

/// What a decision sees.
#[derive(Debug, Clone)]
pub struct State {
    /// The charter.
    pub chartered: Chartered,
    /// The repository, if there is one.
    pub repository: Option<Repository>,
    /// Roles of the job whose scope has an artifact that is listed now, by whatever role.
    pub covering: BTreeSet<RoleName>,
    /// The published versions of delegated roles with names, of those at least that the job names.
    pub published: BTreeMap<RoleName, Version>,
    /// Online keys of the job that this service can't sign with, and why.
    pub unreachable: BTreeMap<KeyId, String>,
}

/// What becomes of a job.
#[derive(Debug, Clone)]
pub struct Decision {
    /// How its task ends.
    pub outcome: Outcome,
    /// When.
    pub end: End,
    /// What it changes.
    pub change: Change,
}

impl Decision {
    /// Nothing is changed, for this reason.
    pub fn refused(action: &str, error: impl Into<String>, now: Timestamp) -> Self {
        Self { outcome: Outcome::refused(action, error, now), end: End::Now, change: Change::default() }
    }
}

/// Decides a job of people. A job that they don't decide is refused.
pub fn decide(state: &State, _task: &TaskId, job: &Job, now: Timestamp) -> Decision {
    match job {
        Job::MetadataDelegation(change) => delegations::decide(state, change, now),
        Job::ForceOnlineMetadataUpdate(force) => online::decide(state, force, now),
        Job::PublishDelegatedMetadata(upload) => upload::decide(state, upload, now),
        _ => Decision::refused(job.action(), "it is not decided by people", now),
    }
}
