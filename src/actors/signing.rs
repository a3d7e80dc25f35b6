//! Carries out what people decide: signatures, roots, delegations. Each decision is a pure function of what the ledger says.
//!
//! The ledger records a decision only if nothing else was decided since what it was made on: see `record`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use jiff::Timestamp;
use thiserror::Error;

use super::{
    intake::Arrived,
    publisher::{Publisher, Wake},
    reporter::{Report, Reporter, Waiting},
    settings::{Project, Settings},
    supervisor::{Lifeline, Post},
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        keys::KeyStore,
        ledger::{
            Ledger, Repository,
            charter::{Amended, Amendment, Change, Chartered, Decided, Due, End},
        },
        results::Results,
    },
    task::{Job, Outcome, Progress, TaskId},
    tuf::{
        delegation::Delegations,
        event::Authority,
        name::{KeyId, RoleName, Version},
        root::Root,
        wire::{Metadata, MetadataError},
    },
};

pub mod delegations;
pub mod online;
pub mod root;
#[cfg(test)]
pub(super) mod sample;
pub mod sign;
pub mod stop;
pub mod upload;
mod usable;

/// How often a decision is made anew because another one was quicker, before its delivery is tried again later.
const TRIES: u32 = 16;
/// The pause before another try. A part is random, since who else decides tries again too.
const PAUSE_MS: Range<u64> = 5..50;
/// How long the settings may take; the settings actor tries on by itself.
const PROJECT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod delegating;

/// What a decision sees.
#[derive(Debug, Clone)]
pub struct State {
    /// The charter.
    pub chartered: Chartered,
    /// The repository, if there is one.
    pub repository: Option<Repository>,
    /// Roles of the job, and roles that are delegated to and were never published, whose scope has an artifact that is listed now, by whatever
    /// role.
    pub covering: BTreeSet<RoleName>,
    /// The published versions of delegated roles with names, of those at least that the job names.
    pub published: BTreeMap<RoleName, Version>,
    /// Online keys of the job that this service can't sign with, and why.
    pub unreachable: BTreeMap<KeyId, String>,
}

/// Why it can't be said who has to sign a role.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// What says so can't be read.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Nobody delegates to it.
    #[error("nobody delegates to {0}")]
    NotDelegated(RoleName),
}

impl State {
    /// Reads what a decision about this job has to see.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn read(ledger: &dyn Ledger, keys: &KeyStore, job: &Job) -> Result<Self, StoreError> {
        // The charter first: if anything changes in between, what is decided on it is not recorded.
        let chartered = ledger.charter().await?;
        let repository = ledger.repository().await?;
        let (mut covering, mut published, mut unreachable) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        if let Job::MetadataDelegation(_) | Job::PublishDelegatedMetadata(_) = job {
            let custom = |role: &RoleName| chartered.charter.roles.contains_key(role);
            let all = ledger.published().await?.into_iter().filter(|(role, _)| custom(role));
            published = all.map(|(role, file)| (role, file.version)).collect();
        }
        if let Job::MetadataDelegation(change) = job {
            let mut scopes = delegations::scopes(change);
            scopes.extend(delegations::unsigned_scopes(change, repository.as_ref(), &published)?);
            if !scopes.is_empty() {
                covering = ledger.covering(scopes).await?;
            }
            unreachable = usable::unreachable(delegations::online_keys(change), keys).await;
        }
        Ok(Self { chartered, repository, covering, published, unreachable })
    }

    /// Who has to sign this document of a role: what clients trust, and of a root the root itself (TUF §5.3.4).
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn authorities(&self, role: &RoleName, document: &Metadata) -> Result<Vec<Authority>, AuthorityError> {
        if *role == RoleName::root() {
            let own = Authority::root(&Root::view(&document.signed)?);
            let trusted = self.repository.as_ref().map(Repository::trusted_root).transpose()?;
            return Ok(trusted.iter().map(Authority::root).chain([own]).collect());
        }
        let custom = self.chartered.charter.roles.get(role);
        if let Some(announced) = custom.and_then(|custom| custom.announced.as_ref()) {
            return Ok(vec![Authority::announced(&announced.role, &announced.keys)?]);
        }
        let delegations = self.repository.as_ref().map(|repository| Delegations::view(&repository.delegations));
        let authority = delegations.transpose()?.and_then(|delegations| Authority::delegation(&delegations, role));
        Ok(vec![authority.ok_or_else(|| AuthorityError::NotDelegated(role.clone()))?])
    }
}

impl Repository {
    /// The root that clients trust.
    pub(crate) fn trusted_root(&self) -> Result<Root, MetadataError> {
        Root::view(&Metadata::parse(&self.root)?.signed)
    }
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
        Self::unchanged(Outcome::refused(action, error, now))
    }

    /// Nothing is changed.
    pub fn unchanged(outcome: Outcome) -> Self {
        Self { outcome, end: End::Now, change: Change::default() }
    }
}

/// Decides a job of people. A job that they don't decide is refused.
pub fn decide(state: &State, _task: &TaskId, job: &Job, now: Timestamp) -> Decision {
    match job {
        Job::SignMetadata(given) => sign::decide(state, given, now),
        Job::DeleteSignMetadata(stopped) => stop::decide(state, stopped, now),
        Job::MetadataUpdate(update) => root::decide(state, update, now),
        Job::MetadataDelegation(change) => delegations::decide(state, change, now),
        Job::ForceOnlineMetadataUpdate(force) => online::decide(state, force, now),
        Job::PublishDelegatedMetadata(upload) => upload::decide(state, upload, now),
        _ => Decision::refused(job.action(), "it is not decided by people", now),
    }
}

/// Decides, makes sure that the online keys that it brings can be used, and records it; anew, as long as others are quicker. Returns
/// what was recorded, or would have been if the task were not known already.
///
/// # Errors
/// Those of the ledger; [`StoreError::Unavailable`] too when others were quicker each time.
pub(super) async fn record(
    ledger: &dyn Ledger,
    keys: &KeyStore,
    Arrived { task, accepted_at, job }: &Arrived,
    now: Timestamp,
    decide: impl Fn(&State) -> Decision,
) -> Result<Decision, StoreError> {
    for _ in 0..TRIES {
        let state = State::read(ledger, keys, job).await?;
        let mut decision = decide(&state);
        if let Err(reason) = usable::brought(&state, &decision.change, keys).await {
            decision = Decision::refused(job.action(), reason, now);
        }
        let Decision { outcome, end, change } = decision.clone();
        let decided = Decided { task: task.clone(), accepted_at: *accepted_at, outcome, end };
        let amendment = Amendment { base: state.chartered.revision, task: Some(decided), change };
        if ledger.amend(amendment, now).await? == Amended::Recorded {
            return Ok(decision);
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
    }
    Err(StoreError::unavailable("ledger", "other decisions were quicker each time"))
}

/// Tells how the task of a decision goes that was just recorded, and that there is something to publish.
pub(super) async fn tell(
    decision: &Decision,
    task: &TaskId,
    results: &dyn Results,
    settings: &Post<Settings>,
    reporter: &Post<Reporter>,
    publisher: &Post<Publisher>,
) {
    publisher.tell(Wake);
    // Before the report: who reads that a task is done may sign at once what waits by then, or begin a bootstrap again.
    if let Err(error) = settings.ask(Project, PROJECT_LIMIT).await {
        tracing::warn!(%error, "the settings will be projected later");
    }
    if decision.end == End::Now {
        return reporter.tell(Report);
    }
    // A task that was recorded earlier may have ended: then it must not be shown as running. If that can't be read, it is not shown,
    // which is a courtesy.
    if let Ok(known) = results.get(task).await
        && !known.is_some_and(|progress| progress.ended())
    {
        let last_update = decision.outcome.last_update;
        let roles_to_publish = roles_to_publish(&decision.change);
        let running = Progress::Running { roles_to_publish, missing: [].into(), last_update };
        reporter.tell(Waiting(vec![(task.clone(), running)]));
    }
}

/// The roles that will be published for a change, as far as it names them.
fn roles_to_publish(change: &Change) -> Vec<String> {
    let mut roles = Vec::new();
    if change.charter.as_ref().is_some_and(|charter| charter.next_root.is_some()) {
        roles.push(RoleName::root());
    }
    roles.extend(change.new_roles.iter().cloned());
    if let Due::Roles(due) = &change.due {
        roles.extend(due.iter().filter(|role| !role.is_top_level()).cloned());
    }
    roles.extend([RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()]);
    roles.into_iter().map(String::from).collect()
}

/// Decide this job.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Decide(pub Arrived);

/// The clerk: it records what people decide. Restarting it loses nothing: what was not recorded is delivered again.
pub struct Clerk {
    /// Where decisions are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where it is told which tasks ended.
    pub results: Arc<dyn Results>,
    /// Where online keys are.
    pub keys: Arc<KeyStore>,
    /// The time.
    pub clock: Clock,
    /// Shows what waits for signatures.
    pub settings: Post<Settings>,
    /// Publishes what is decided.
    pub publisher: Post<Publisher>,
    /// Tells how tasks go.
    pub reporter: Post<Reporter>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<Decide> for Clerk {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Decide(arrived): Decide, _: &mut Self::Context) -> Self::Result {
        let (ledger, results) = (self.ledger.clone(), self.results.clone());
        let (keys, now) = (self.keys.clone(), self.clock.now());
        let (settings, publisher, reporter) = (self.settings.clone(), self.publisher.clone(), self.reporter.clone());
        let work = async move {
            let Arrived { task, job, .. } = &arrived;
            let decision = record(ledger.as_ref(), &keys, &arrived, now, |state| decide(state, task, job, now)).await?;
            tell(&decision, task, results.as_ref(), &settings, &reporter, &publisher).await;
            Ok(())
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

#[cfg(test)]
mod tests;
