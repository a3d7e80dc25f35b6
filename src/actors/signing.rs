//! Carries out what people decide: signatures, roots, delegations. Each decision is a pure function of what the ledger says.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    store::ledger::{
        Repository,
        charter::{Change, Chartered, End},
    },
    task::{Job, Outcome, TaskId},
    tuf::name::RoleName,
};

/// What a decision sees.
#[derive(Debug, Clone)]
pub struct State {
    /// The charter.
    pub chartered: Chartered,
    /// The repository, if there is one.
    pub repository: Option<Repository>,
    /// Roles of the job whose scope has an artifact that is listed now, by whatever role.
    pub covering: BTreeSet<RoleName>,
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
pub fn decide(_state: &State, _task: &TaskId, job: &Job, now: Timestamp) -> Decision {
    Decision::refused(job.action(), "it is not decided by people", now)
}
