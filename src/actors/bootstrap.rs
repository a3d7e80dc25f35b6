//! Coordinates a bootstrap: everything that could go wrong later is checked before anything is recorded.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use thiserror::Error;

use super::{
    intake::{Arrived, MAX_EXPIRATION_DAYS},
    publisher::{Publisher, Wake},
    reporter::{Report, Reporter, Waiting},
    supervisor::{Lifeline, Post},
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        keys::KeyStore,
        ledger::{Ledger, NewRepository, RepositorySettings, Request, Work},
        results::Results,
        settings::{
            BOOTSTRAP, Settings,
            bootstrap::{BOOTSTRAP_DEADLINE, Claim, Deadline, Holder},
        },
    },
    task::{BinsRole, Bootstrap, Job, Outcome, Progress, TaskId},
    tuf::{
        bins::{Bins, suggest},
        limits::{self, Estimate, Length},
        name::{KeyId, RoleName, Version},
        root::Root,
        verify::tally,
        wire::{Metadata, RoleType},
    },
};

/// Why a bootstrap is refused: the error of its task.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refusal(String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(reason.into()))
}

/// Checks a bootstrap and makes the repository that it asks for.
///
/// # Errors
/// [`Refusal`] with a sentence that names what is wrong.
pub async fn prepare(bootstrap: &Bootstrap, keys: &KeyStore, now: Timestamp) -> Result<NewRepository, Refusal> {
    let Some(root) = bootstrap.metadata.get("root") else {
        return refuse("No 'metadata' in the payload: it has no 'root'");
    };
    let metadata = Metadata::from_value(root.clone()).map_err(|error| Refusal(format!("metadata.root: {error}")))?;
    let root = Root::view(&metadata.signed).map_err(|error| Refusal(format!("metadata.root: {error}")))?;
    check_root(&metadata, &root, now)?;

    let roles = &bootstrap.settings.roles;
    let Some(bins) = roles.bins else {
        return refuse("custom delegations are not supported at the bootstrap yet: set 'bins'");
    };
    let keys = online_keys(&root, keys).await?;
    let BinsRole { expiration, number_of_delegated_bins, layout } = bins;
    let bins = Bins::new(number_of_delegated_bins, layout).map_err(|error| Refusal(error.to_string()))?;
    if let Some((role, bytes, clients)) = Estimate::of(bins, 0).too_large().first() {
        let clients = clients.join(", ");
        return refuse(format!("with {} bins {role} would have {bytes} bytes, too large for {clients}", bins.count()));
    }
    let expirations = BTreeMap::from([
        ("root".to_owned(), roles.root.expiration),
        ("targets".to_owned(), roles.targets.expiration),
        ("snapshot".to_owned(), roles.snapshot.expiration),
        ("timestamp".to_owned(), roles.timestamp.expiration),
        ("bins".to_owned(), expiration),
    ]);
    // Another program than our API may have made this: a role that is never valid would stop every round.
    if let Some((role, days)) = expirations.iter().find(|(_, days)| !(1..=MAX_EXPIRATION_DAYS).contains(*days)) {
        return refuse(format!("{role} can't be valid for {days} days: 1 to {MAX_EXPIRATION_DAYS} are possible"));
    }
    let root_num_keys = u32::try_from(metadata.signatures.len()).unwrap_or(u32::MAX);
    let top_level = [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
    Ok(NewRepository {
        settings: RepositorySettings {
            expirations,
            number_of_delegated_bins: Some(number_of_delegated_bins),
            layout,
            root_num_keys,
        },
        delegations: bins.delegations(&keys, 1),
        notes: notes(bins),
        root: metadata,
        custom: BTreeMap::new(),
        roles: bins.names().chain(top_level).collect(),
    })
}

/// What a client asks of a first root (TUF §5.3): its own threshold, and that it has not expired.
fn check_root(metadata: &Metadata, root: &Root, now: Timestamp) -> Result<(), Refusal> {
    if root.version != Version::FIRST {
        return refuse(format!("metadata.root: the first root has version 1, not {}", root.version));
    }
    if !root.consistent_snapshot {
        return refuse("metadata.root: consistent_snapshot must be true, this service writes no other files");
    }
    if metadata.signatures.is_empty() {
        return refuse("Metadata requires at least one valid signature");
    }
    let role = root.role(RoleType::Root);
    let tally = tally(&root.keys, role, metadata).map_err(|error| Refusal(format!("metadata.root: {error}")))?;
    if let Some((id, fault)) = tally.faults.first() {
        return refuse(format!("Bootstrap has invalid signature(s): key {id}: {fault}"));
    }
    if tally.valid.len() < role.threshold as usize {
        let (valid, threshold) = (tally.valid.len(), role.threshold);
        return refuse(format!(
            "Root v1 has {valid} of {threshold} signatures: all must be there, adding some later is not supported yet"
        ));
    }
    if root.expires <= now {
        return refuse(format!("metadata.root: it expired at {}, clients would refuse it", root.expires));
    }
    let clients = limits::too_large(&RoleName::root(), metadata.to_bytes().len() as u64, Length::Unsigned);
    if !clients.is_empty() {
        return refuse(format!("metadata.root: it is too large for {}", clients.join(", ")));
    }
    Ok(())
}

/// Loads the online keys of every role that this service signs, and returns the one that signs the bins: that of `timestamp`.
async fn online_keys(root: &Root, store: &KeyStore) -> Result<Vec<(KeyId, Value)>, Refusal> {
    for type_ in [RoleType::Timestamp, RoleType::Snapshot, RoleType::Targets] {
        let role = root.role(type_);
        let (mut usable, mut causes) = (0, Vec::new());
        for id in &role.keyids {
            match root.keys.get(id) {
                None => causes.push(format!("key {id} is not in 'keys'")),
                Some(key) if key.online_uri().is_none() => {
                    causes.push(format!("key {id} has no x-rstuf-online-key-uri"))
                }
                Some(key) => match store.load(&key.raw).await {
                    Ok(_) => usable += 1,
                    Err(error) => causes.push(format!("key {id}: {error}")),
                },
            }
        }
        if usable < role.threshold {
            let (role, threshold, causes) = (type_.as_str(), role.threshold, causes.join("; "));
            return refuse(format!("{role} needs {threshold} online key(s), {usable} can be used: {causes}"));
        }
    }
    let role = root.role(RoleType::Timestamp);
    let first =
        role.keyids.iter().filter_map(|id| root.keys.get_key_value(id)).find(|(_, key)| key.online_uri().is_some());
    Ok(first.map(|(id, key)| (id.clone(), key.raw.clone())).into_iter().collect())
}

/// What the operator should know of these bins: who can read them, and for how many artifacts they are made.
fn notes(bins: Bins) -> Vec<String> {
    let mut notes = Vec::new();
    let unreadable = limits::unreadable(bins.layout());
    if !unreadable.is_empty() {
        let clients = unreadable.join(", ");
        notes.push(format!("{clients} can't read this layout; with the layout 'path_hash_prefixes' it could"));
    }
    let sizes = Estimate::of(bins, 0);
    let mut most = 1u64;
    while suggest(most * 2, bins.layout()) <= bins.count() && most < 1 << 40 {
        most *= 2;
    }
    notes.push(format!(
        "{} bins suit up to about {most} artifacts; a client reads about {} KB of snapshot and {} KB of targets",
        bins.count(),
        sizes.snapshot.div_ceil(1000),
        sizes.targets.div_ceil(1000),
    ));
    notes
}

/// Begin this bootstrap.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Begin(pub Arrived);

/// The bootstrap coordinator. Restarting it loses nothing: what was not recorded is delivered again.
pub struct Coordinator {
    /// Where the repository is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where the lock of the bootstrap is.
    pub settings: Arc<dyn Settings>,
    /// Where it is told which bootstraps were revoked.
    pub results: Arc<dyn Results>,
    /// Where online keys are.
    pub keys: Arc<KeyStore>,
    /// The time.
    pub clock: Clock,
    /// Publishes the repository.
    pub publisher: Post<Publisher>,
    /// Tells how the task goes.
    pub reporter: Post<Reporter>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Coordinator {
    type Context = Context<Self>;
}

impl Handler<Begin> for Coordinator {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Begin(arrived): Begin, _: &mut Self::Context) -> Self::Result {
        let (ledger, settings, keys, now) =
            (self.ledger.clone(), self.settings.clone(), self.keys.clone(), self.clock.now());
        let results = self.results.clone();
        let (publisher, reporter) = (self.publisher.clone(), self.reporter.clone());
        let work = async move {
            let shared = Shared { settings: settings.as_ref(), results: results.as_ref() };
            let (task, progress) = begin(ledger.as_ref(), shared, &keys, arrived, now).await?;
            if let Progress::Running { .. } = progress {
                reporter.tell(Waiting(vec![(task, progress)]));
                publisher.tell(Wake);
                return Ok(());
            }
            // Refused or revoked: the next bootstrap may come. A repository that is there keeps its lock, because
            // then the lock is not the one of this task.
            settings.swap(BOOTSTRAP, &Holder::waiting(&task), Value::Null).await?;
            reporter.tell(Report);
            Ok(())
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// What is shared with the API.
#[derive(Clone, Copy)]
struct Shared<'a> {
    settings: &'a dyn Settings,
    results: &'a dyn Results,
}

/// Whether a bootstrap that was delivered is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    /// It is: no API revokes it from here on.
    Ours,
    /// It was revoked, or another one came instead.
    Revoked,
}

/// Claims the bootstrap `task`, which may wait until `deadline` if nobody else knows for how long. Every step may have been done
/// by an earlier delivery.
async fn claim(shared: Shared<'_>, task: &TaskId, deadline: Timestamp, now: Timestamp) -> Result<Claimed, StoreError> {
    let Shared { settings, results } = shared;
    loop {
        // In this order: the lock of a task is there before its deadline.
        let there = settings.get(BOOTSTRAP_DEADLINE).await?;
        let lock = settings.get(BOOTSTRAP).await?;
        match Deadline::read(&there).claim(&Holder::read(&lock), task) {
            Claim::Held => return Ok(Claimed::Ours),
            Claim::Revoked => return Ok(Claimed::Revoked),
            Claim::Swap => {
                let claimed = Deadline::Claimed(task.clone()).to_value();
                if settings.swap(BOOTSTRAP_DEADLINE, &there, claimed).await? {
                    return Ok(Claimed::Ours);
                }
            }
            Claim::Retake => {
                if now > deadline || results.get(task).await? == Some(Progress::Revoked) {
                    return Ok(Claimed::Revoked);
                }
                settings.swap(BOOTSTRAP, &lock, Holder::waiting(task)).await?;
            }
        }
    }
}

/// Records the bootstrap, or why it is none.
async fn begin(
    ledger: &dyn Ledger,
    shared: Shared<'_>,
    keys: &KeyStore,
    arrived: Arrived,
    now: Timestamp,
) -> Result<(TaskId, Progress), StoreError> {
    let Arrived { task, accepted_at, job } = arrived;
    let Job::Bootstrap(bootstrap) = job else {
        return Err(StoreError::Broken(format!("{} was sent to the bootstrap coordinator", job.action())));
    };
    let nothing = |progress| Work::Nothing { action: "bootstrap", progress };
    let deadline = accepted_at.saturating_add(SignedDuration::from_secs(bootstrap.timeout)).unwrap_or(Timestamp::MAX);
    let work = match claim(shared, &task, deadline, now).await? {
        Claimed::Revoked => nothing(Progress::Revoked),
        Claimed::Ours => match prepare(&bootstrap, keys, now).await {
            Ok(new) => Work::Create(Box::new(new)),
            Err(refusal) => nothing(Progress::Finished(Outcome::refused("bootstrap", refusal.0, now))),
        },
    };
    let recorded = ledger.stage(vec![Request { task: task.clone(), accepted_at, work }], now).await?;
    recorded.into_iter().next().ok_or_else(|| StoreError::Broken("the ledger recorded nothing".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{
        results::{DEFAULT_EXPIRY, sqlite::SqliteResults},
        settings::sqlite::SqliteSettings,
        shared::SharedDatabase,
    };

    /// What a worker makes of the task `a` whose time is over at `deadline`, and what it leaves.
    async fn claimed(lock: Value, there: Value, known: Option<Progress>, deadline: i64) -> (Claimed, Value, Value) {
        let home = tempfile::tempdir().expect("a directory");
        let shared = SharedDatabase::open(home.path().join("shared.db")).expect("a database");
        let settings = SqliteSettings::new(&shared);
        let results = SqliteResults::new(&shared, Clock::fixed(Timestamp::UNIX_EPOCH), DEFAULT_EXPIRY);
        let fields = [(BOOTSTRAP.to_owned(), lock), (BOOTSTRAP_DEADLINE.to_owned(), there)];
        settings.put(fields.into()).await.expect("put");
        let task = TaskId::from_text("a");
        results.put(known.map(|known| (task.clone(), known)).into_iter().collect()).await.expect("put");
        let deadline = Timestamp::from_second(deadline).expect("a time");
        let shared = Shared { settings: &settings, results: &results };
        let claimed = claim(shared, &task, deadline, Timestamp::UNIX_EPOCH).await.expect("answered");
        let left = async |name| settings.get(name).await.expect("read");
        (claimed, left(BOOTSTRAP).await, left(BOOTSTRAP_DEADLINE).await)
    }

    #[tokio::test]
    async fn a_bootstrap_that_waits_is_claimed_however_late_it_is() {
        let ours = (Claimed::Ours, json!("pre-a"), json!("claimed a"));
        for there in [json!("a 60"), json!("claimed a"), Value::Null, json!("b 60"), json!("revoked b")] {
            assert_eq!(claimed(json!("pre-a"), there, None, -1).await, ours);
        }
        assert_eq!(claimed(json!("a"), Value::Null, None, -1).await, (Claimed::Ours, json!("a"), Value::Null));
    }

    #[tokio::test]
    async fn a_bootstrap_of_which_nothing_is_known_takes_its_lock_again_in_time() {
        let free = Value::Null;
        let ours = (Claimed::Ours, json!("pre-a"), json!("claimed a"));
        assert_eq!(claimed(free.clone(), free.clone(), None, 0).await, ours);
        assert_eq!(claimed(free.clone(), json!("a 60"), None, 0).await, ours);
        let revoked = (Claimed::Revoked, free.clone(), free.clone());
        assert_eq!(claimed(free.clone(), free.clone(), None, -1).await, revoked);
        assert_eq!(claimed(free.clone(), free, Some(Progress::Revoked), 0).await, revoked);
    }

    #[tokio::test]
    async fn a_bootstrap_that_was_revoked_or_replaced_is_left() {
        for (lock, there) in [
            (json!("pre-a"), json!("revoked a")),
            (json!("pre-b"), json!("b 60")),
            (json!("pre-b"), Value::Null),
            (json!("b"), Value::Null),
        ] {
            let left = (Claimed::Revoked, lock.clone(), there.clone());
            assert_eq!(claimed(lock, there, None, 60).await, left);
        }
    }
}
