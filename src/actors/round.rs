//! The round: the one place where metadata changes.
//!
//! One function, from top to bottom: plan, build and sign, write, commit, point. What is true between the steps:
//!
//! - After the *plan* the versions of this round are given out. If the process ends from here on, they are never used again.
//! - After each *write* there are files to which nothing refers. They stay, and do no harm.
//! - After the *commit* the round has happened. If the process ends here, clients do not see it yet; the next round, or the
//!   start of the next process, points to it with the bytes that the commit stored.
//! - After the *point* clients see it. Only now tasks may be reported as done.
//!
//! Of two publishers that work at once, the commit of one is lost, and its files are among those that do no harm.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use self::draft::Draft;
pub use self::memory::Memory;
use super::{
    bins::{Order, UpdateError, Updated},
    signer::SigningKeys,
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        bucket::{Bucket, File},
        ledger::{
            Head, Ledger, Planned, Publication, Stale,
            charter::{Amended, Amendment, Change, Chartered, Due},
        },
    },
    task::TaskId,
    telemetry::metrics::{Metrics, Phase},
    tuf::{
        name::{RoleName, Version},
        verify::VerifyError,
        wire::{Metadata, Unsigned},
    },
};

mod draft;
mod listings;
mod memory;

const TIMESTAMP: &str = "timestamp.json";

/// What a round works on.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// The published files.
    pub bucket: Arc<dyn Bucket>,
    /// Who signs.
    pub hands: Arc<dyn Hands>,
    /// The time.
    pub clock: Clock,
    /// About how many staged changes one round takes.
    pub batch: usize,
    /// For how long the online keys of a root that was replaced go on to sign.
    pub rotation_grace: Duration,
    /// Where it is noted what clients see.
    pub visible: Visible,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// The sequence of the head that clients were seen to be pointed to, 0 for none: what finished with a later one is not reported yet.
#[derive(Debug, Clone, Default)]
pub struct Visible(Arc<AtomicI64>);

impl Visible {
    /// The sequence.
    pub fn through(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    fn note(&self, head: &Head) {
        self.0.fetch_max(head.sequence, Ordering::AcqRel);
    }
}

/// The work that a round gives to others.
#[async_trait]
pub trait Hands: Send + Sync {
    /// Signs one top-level role and returns its file.
    async fn sign(&self, role: &RoleName, keys: Arc<SigningKeys>, draft: Unsigned) -> Result<Vec<u8>, UpdateError>;

    /// Brings delegated roles to a new version.
    async fn update(&self, order: Order) -> Result<Vec<Updated>, UpdateError>;
}

/// What a round did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// There was nothing to do.
    Nothing,
    /// Another worker is at it. If it does not come to its end, this one may go on after this time.
    Elsewhere(Duration),
    /// Clients see a new state.
    Published {
        /// The head that they see.
        head: Head,
        /// The roles that were published.
        roles: usize,
        /// Whether the API is told other things of the repository now: delegations, a root, what people have signed.
        told: bool,
    },
    /// A task asked for what no client would read; it was finished as refused and the rest waits for the next round.
    Refused(TaskId),
    /// What people had signed for this role must not be published any more; it was dropped, and the rest waits for the next round.
    Dropped(RoleName, String),
}

/// Why a round failed. Whatever it was, nothing was half done, and another round may follow.
#[derive(Debug, Error)]
pub enum RoundError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Roles could not be built or signed.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// What was built would be refused by clients.
    #[error("the new metadata would be refused by clients: {0}")]
    Refused(#[from] VerifyError),
    /// Clients would refuse a document that people have signed: perhaps its time is over.
    #[error("what was signed for {0} would be refused by clients: {1}")]
    Document(RoleName, VerifyError),
}

/// Publishes what is staged and what is due.
///
/// # Errors
/// [`RoundError`]. After [`StoreError::Unavailable`] and [`StoreError::Lost`] a new round is in order, after
/// [`StoreError::Broken`] the process must end.
pub async fn round(parts: &Parts, memory: &mut Memory) -> Result<Done, RoundError> {
    // An earlier round may have ended between its commit and its point; not that of this publisher whose head clients see.
    let seen = memory.seen(parts.bucket.as_ref()).await?;
    let pointed = match seen {
        Some(sequence) => sequence,
        None => finished(parts).await?,
    };

    // Plan: the versions are given out.
    let mut watch = Watch::start(&parts.metrics);
    let now = parts.clock.now();
    let plan = match parts.ledger.plan(now, parts.batch).await? {
        Planned::Round(plan) => plan,
        Planned::Stale(Stale { role, path, revision }) => {
            let cause = format!("{path} was removed since people were asked to sign it");
            withdraw(parts.ledger.as_ref(), revision, &role, &cause, now).await?;
            return Ok(Done::Dropped(role, cause));
        }
        other => {
            if seen.is_some() {
                // But another worker's may have.
                finished(parts).await?;
            }
            return Ok(if let Planned::Elsewhere(wait) = other { Done::Elsewhere(wait) } else { Done::Nothing });
        }
    };
    watch.ended(Phase::Plan);
    if pointed < plan.base {
        // Another worker has committed since. It may have ended before its point, and the root that it published is in its head alone.
        finished(parts).await?;
    }
    let known = memory.take(parts.ledger.as_ref(), &plan).await?;
    if let Err(error) = known.check_next(now) {
        let cause = refused(&error);
        withdraw(parts.ledger.as_ref(), plan.revision, &RoleName::root(), &cause, now).await?;
        return Ok(Done::Dropped(RoleName::root(), cause));
    }

    // Build, sign, write: nothing refers to these files yet.
    let draft = match Draft::build(parts, &plan, known, now).await {
        Err(RoundError::Update(UpdateError::TooLarge(too_large))) => {
            let reason = too_large.to_string();
            return match parts.ledger.refuse(&too_large.role, plan.through, reason, now).await? {
                Some(task) => Ok(Done::Refused(task)),
                None => Err(UpdateError::TooLarge(too_large).into()),
            };
        }
        Err(RoundError::Document(role, error)) => {
            let cause = refused(&error);
            withdraw(parts.ledger.as_ref(), plan.revision, &role, &cause, now).await?;
            return Ok(Done::Dropped(role, cause));
        }
        built => built?,
    };
    let Draft { known, roles, targets, timestamp, files, .. } = draft;
    watch.ended(Phase::BuildAndSign);
    parts.bucket.create(files).await?;
    watch.ended(Phase::Write);

    // Commit: the round has happened.
    let count = roles.len();
    let told = targets.is_some() || plan.root.is_some() || !plan.signed.is_empty();
    let root_grace_ends = grace_ends(now, parts.rotation_grace);
    let publication = Publication { roles, targets, timestamp, root_grace_ends };
    let head = parts.ledger.commit(&plan, publication, parts.clock.now()).await?;
    watch.ended(Phase::Commit);

    // Point: clients see it.
    point(parts.ledger.as_ref(), parts.bucket.as_ref(), &head).await?;
    parts.visible.note(&head);
    watch.ended(Phase::Point);
    parts.metrics.round_size(plan.changes.values().map(BTreeMap::len).sum(), count);
    // If the commit has changed the charter, the next plan is of another revision, and everything is read again.
    memory.keep(known, head.clone(), plan.revision);
    Ok(Done::Published { head, roles: count, told })
}

/// Does what [`finish`] does, notes what clients see now, and returns its sequence, 0 for nothing.
async fn finished(parts: &Parts) -> Result<i64, StoreError> {
    let Some(head) = finish(parts.ledger.as_ref(), parts.bucket.as_ref()).await? else { return Ok(0) };
    parts.visible.note(&head);
    Ok(head.sequence)
}

/// Until when the online keys of a root sign that is replaced now. In whole seconds, as the ledger keeps when roles are due: a round that takes them
/// then signs without these keys.
fn grace_ends(now: Timestamp, grace: Duration) -> Timestamp {
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    let ends = now.saturating_add(grace).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(ends.as_second().saturating_add(1)).unwrap_or(Timestamp::MAX)
}

/// Why what people signed is withdrawn that clients would not take.
fn refused(error: &VerifyError) -> String {
    format!("clients would refuse it by now: {error}")
}

/// Takes back what people signed for `role` and must not be published now, so that it does not keep all else from being published. A
/// delegated role is due then, and a new version is drafted for them to sign.
async fn withdraw(
    ledger: &dyn Ledger,
    seen: i64,
    role: &RoleName,
    cause: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Chartered { revision, mut charter, .. } = ledger.charter().await?;
    if revision != seen {
        return Err(StoreError::Lost("the charter changed after the plan".into()));
    }
    let due = if *role == RoleName::root() {
        charter.next_root = None;
        Due::None
    } else {
        charter.events.remove(role);
        Due::Roles(vec![role.clone()])
    };
    let withdrawal = Some(cause.to_owned());
    let change = Change { charter: Some(charter), due, withdrawal, ..Change::default() };
    match ledger.amend(Amendment { base: revision, task: None, change }, now).await? {
        Amended::Recorded => Ok(()),
        Amended::Moved => Err(StoreError::Lost("the charter changed after the plan".into())),
    }
}

/// Tells how long each part of a round took.
struct Watch<'a> {
    metrics: &'a Metrics,
    since: Instant,
}

impl<'a> Watch<'a> {
    fn start(metrics: &'a Metrics) -> Self {
        Self { metrics, since: Instant::now() }
    }

    fn ended(&mut self, phase: Phase) {
        let now = Instant::now();
        self.metrics.phase(phase, now - self.since);
        self.since = now;
    }
}

/// Does the last step of the last round once more, if it did not come through, and returns what clients see now.
///
/// # Errors
/// [`StoreError::Broken`] when the bucket is ahead of the ledger: it belongs to another one.
pub async fn finish(ledger: &dyn Ledger, bucket: &dyn Bucket) -> Result<Option<Head>, StoreError> {
    match ledger.head().await? {
        Some(head) => point(ledger, bucket, &head).await.map(|()| Some(head)),
        None => match bucket.read(TIMESTAMP).await? {
            Some(bytes) if ledger.head().await?.is_none() => Err(ahead(version_of(&bytes), None)),
            _ => Ok(None),
        },
    }
}

/// Puts the timestamp of `head` into the bucket, unless it or a newer one is there. A worker that was paused between its look
/// and its write finds that what it saw is gone, and looks again.
async fn point(ledger: &dyn Ledger, bucket: &dyn Bucket, head: &Head) -> Result<(), StoreError> {
    loop {
        let there = bucket.read(TIMESTAMP).await?;
        if there.as_ref() == Some(&head.timestamp) {
            return Ok(());
        }
        if let Some(version) = there.as_deref().and_then(version_of)
            && version >= head.version
        {
            // Another worker may have been quicker; then the ledger knows that version by now.
            return match ledger.head().await? {
                Some(known) if known.version >= version && known.version > head.version => Ok(()),
                _ => Err(ahead(Some(version), Some(head.version))),
            };
        }
        // A client that sees the new timestamp may need the new root, and one with the old root must never miss it.
        if let Some((version, bytes)) = &head.root {
            let name = RoleName::root().file_name(*version);
            bucket.create(vec![File { name, bytes: bytes.clone() }]).await?;
        }
        if bucket.point(there, head.timestamp.clone()).await? {
            return Ok(());
        }
    }
}

fn version_of(timestamp: &[u8]) -> Option<Version> {
    Some(Metadata::parse(timestamp).ok()?.header().ok()?.version)
}

fn ahead(bucket: Option<Version>, ledger: Option<Version>) -> StoreError {
    let text = |version: Option<Version>| version.map_or("none".to_owned(), |version| version.to_string());
    StoreError::Broken(format!(
        "the bucket has timestamp version {}, the ledger {}: they do not belong together, nothing is published",
        text(bucket),
        text(ledger),
    ))
}

#[cfg(test)]
mod tests;
