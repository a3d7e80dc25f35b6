//! The queue in one process: accepted jobs wait in a SQLite file, and who has which is kept in memory.
//!
//! A publish waits for the disk, and shares that wait with all that came during the last one. Handing out and settling
//! don't: what a power cut undoes of them is delivered again, which is allowed. A restart forgets who had what and how
//! long a retry was to wait, so everything that is unsettled is delivered again at once.

use std::{
    mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use crate::{
    clock::Clock,
    queue::{Broker, Delivery, QueueError, RECEIVED_BYTES, Tag, Verdict},
    store::{
        StoreError,
        sqlite::{Database, Durability},
    },
    task::{Job, TaskId},
};

mod rows;
mod waiting;

use waiting::Waiting;

mod schema {
    refinery::embed_migrations!("migrations/queue");
}

/// How long a receiver sleeps at most while a retry waits: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What may wait before [`publish`](Broker::publish) refuses more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Jobs, with those that are handed out and not settled.
    pub jobs: usize,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { jobs: 100_000, bytes: 4 * 1024 * 1024 * 1024 }
    }
}

/// A [`Broker`] inside the process. Clones share one queue.
#[derive(Debug, Clone)]
pub struct LocalBroker(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    database: Database,
    clock: Clock,
    capacity: Capacity,
    state: Mutex<State>,
    /// Told whenever a job may have become ready, or a retry has a time.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    /// Published and not yet taken by a writer.
    unwritten: Vec<Unwritten>,
    /// Jobs and bytes of what is unwritten or being written.
    on_their_way: (usize, u64),
}

/// A job that waits for the next commit.
#[derive(Debug)]
struct Unwritten {
    id: TaskId,
    body: String,
    accepted_at: Timestamp,
    written: oneshot::Sender<Result<(), QueueError>>,
}

impl Unwritten {
    fn bytes(&self) -> u64 {
        self.body.len() as u64
    }
}

impl LocalBroker {
    /// Opens or creates the queue in the file `path`; all that is unsettled in it will be delivered. Blocks for a
    /// moment; for start-up. The caller holds the [lock](crate::store::lock::DirectoryLock) of its directory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file can't be opened, [`StoreError::Broken`] when it isn't ours.
    pub async fn open(path: impl AsRef<Path>, clock: Clock, capacity: Capacity) -> Result<Self, StoreError> {
        let database = Database::open(path.as_ref(), Durability::Full, schema::migrations::runner())?;
        let waiting = database
            .call(|c| {
                let mut query = c.prepare("select tag, octet_length(body) from jobs")?;
                let jobs = query.query_map([], |row| Ok((Tag(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs())))?;
                jobs.collect()
            })
            .await?;
        let state = Mutex::new(State { waiting, ..State::default() });
        Ok(Self(Arc::new(Queue { database, clock, capacity, state, changed: Notify::new() })))
    }

    /// Whether the job of a task waits here, or is handed out and not settled.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file can't be read.
    pub async fn holds(&self, id: &TaskId) -> Result<bool, StoreError> {
        let id = id.to_string();
        let sql = "select exists (select 1 from jobs where task_id = ?1)";
        self.0.database.call(move |c| c.query_row(sql, [id], |row| row.get(0))).await
    }
}

#[async_trait]
impl Broker for LocalBroker {
    async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), QueueError> {
        let body = serde_json::to_string(job).map_err(|e| QueueError(e.to_string()))?;
        let (written, outcome) = oneshot::channel();
        self.0.enlist(Unwritten { id: id.clone(), body, accepted_at: self.0.clock.now(), written })?;
        // Whichever of these calls runs first writes all that wait by then; the others find nothing to do.
        let queue = Arc::clone(&self.0);
        self.0
            .database
            .call(move |c| {
                queue.write(c);
                Ok(())
            })
            .await
            .map_err(unavailable)?;
        outcome.await.map_err(|_| QueueError("the outcome of a write is unknown".into()))?
    }

    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        loop {
            // Made before the look at the state, so that no change after it is missed.
            let changed = self.0.changed.notified();
            let now = self.0.clock.now();
            if let Some(taken) = Taken::take(&self.0, now, max) {
                return taken.deliver().await;
            }
            let next_due = self.0.state().waiting.next_due();
            match next_due {
                None => changed.await,
                Some(due) => {
                    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default().min(LONGEST_SLEEP);
                    tokio::select! { () = changed => {}, () = sleep(wait) => {} }
                }
            }
        }
    }

    async fn settle(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), QueueError> {
        let queue = Arc::clone(&self.0);
        self.0.database.call(move |c| queue.settle(c, verdicts)).await.map_err(unavailable)
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        Ok(self.0.state().waiting.not_handed_out() as u64)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enlist(&self, job: Unwritten) -> Result<(), QueueError> {
        let mut state = self.state();
        let (jobs, bytes) = state.on_their_way;
        let (jobs, bytes) = (jobs + 1, bytes + job.bytes());
        let Capacity { jobs: max_jobs, bytes: max_bytes } = self.capacity;
        if state.waiting.jobs() + jobs > max_jobs || state.waiting.bytes() + bytes > max_bytes {
            return Err(QueueError(format!("the queue is full: {max_jobs} jobs or {max_bytes} bytes wait already")));
        }
        state.on_their_way = (jobs, bytes);
        state.unwritten.push(job);
        Ok(())
    }

    /// Commits everything that was published until now, and tells the publishers.
    fn write(&self, connection: &mut Connection) {
        let jobs = mem::take(&mut self.state().unwritten);
        if jobs.is_empty() {
            return;
        }
        let outcome = rows::insert(connection, &jobs);
        let mut state = self.state();
        state.on_their_way.0 -= jobs.len();
        state.on_their_way.1 -= jobs.iter().map(Unwritten::bytes).sum::<u64>();
        if let Ok(added) = &outcome {
            for (tag, bytes) in added {
                state.waiting.add(*tag, *bytes);
            }
        }
        drop(state);
        let answer = outcome.map(|_| ()).map_err(|e| e.to_string());
        for job in jobs {
            // A publisher that went away doesn't know the outcome, as the promise says.
            let _ = job.written.send(answer.clone().map_err(QueueError));
        }
        self.changed.notify_waiters();
    }

    fn settle(&self, connection: &mut Connection, mut verdicts: Vec<(Tag, Verdict)>) -> rusqlite::Result<()> {
        let now = self.clock.now();
        let state = self.state();
        verdicts.retain(|(tag, _)| state.waiting.is_handed_out(*tag));
        drop(state);
        let transaction = rows::begin(connection, Durability::Normal)?;
        for (tag, verdict) in &verdicts {
            match verdict {
                Verdict::Ack => rows::delete(&transaction, *tag)?,
                Verdict::Retry(_) => {}
                Verdict::Reject(reason) => {
                    rows::put_aside(&transaction, *tag, now, reason)?;
                    rows::delete(&transaction, *tag)?;
                }
            }
        }
        transaction.commit()?;
        let mut state = self.state();
        for (tag, verdict) in verdicts {
            match verdict {
                Verdict::Ack | Verdict::Reject(_) => state.waiting.remove(tag),
                Verdict::Retry(wait) => {
                    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
                    state.waiting.delay(tag, now.checked_add(wait).unwrap_or(Timestamp::MAX));
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }
}

/// Jobs on their way to a receiver. If it goes away before it has them, they are ready again.
struct Taken<'a> {
    queue: &'a Queue,
    tags: Vec<Tag>,
}

impl<'a> Taken<'a> {
    fn take(queue: &'a Queue, now: Timestamp, max: usize) -> Option<Self> {
        let tags = queue.state().waiting.take(now, max.max(1), RECEIVED_BYTES);
        (!tags.is_empty()).then_some(Self { queue, tags })
    }

    async fn deliver(mut self) -> Result<Vec<Delivery>, QueueError> {
        let tags = self.tags.clone();
        let deliveries = self.queue.database.call(move |c| rows::hand_out(c, &tags)).await.map_err(unavailable)?;
        self.tags.clear();
        Ok(deliveries)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.tags.is_empty() {
            self.queue.state().waiting.give_back(&self.tags);
            self.queue.changed.notify_waiters();
        }
    }
}

fn unavailable(error: StoreError) -> QueueError {
    QueueError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::contract::{self, Place};
    use futures_util::future::join_all;

    struct Home {
        directory: tempfile::TempDir,
        clock: Clock,
    }

    impl Home {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            Self { directory, clock: Clock::fixed(Timestamp::UNIX_EPOCH) }
        }

        async fn open_with(&self, capacity: Capacity) -> LocalBroker {
            let path = self.directory.path().join("queue.db");
            LocalBroker::open(path, self.clock.clone(), capacity).await.expect("opened")
        }
    }

    impl Place for Home {
        type Broker = LocalBroker;

        async fn open(&self) -> LocalBroker {
            self.open_with(Capacity::default()).await
        }

        async fn pass(&self, time: Duration) {
            self.clock.advance(SignedDuration::try_from(time).expect("a short time"));
        }

        async fn put_raw(&self, id: &TaskId, body: &str) {
            drop(self.open().await);
            let connection = Connection::open(self.directory.path().join("queue.db")).expect("opened");
            let sql = "insert into jobs (task_id, body, accepted_at) values (?1, ?2, '2026-11-22T00:00:00Z')";
            connection.execute(sql, (id.as_str(), body)).expect("written");
        }
    }

    async fn refused(broker: &LocalBroker) -> String {
        broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect_err("refused").to_string()
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(Home::new).await;
    }

    #[tokio::test]
    async fn the_same_task_waits_once() {
        let home = Home::new();
        let broker = home.open().await;
        let id = TaskId::random();
        let outcomes = join_all((0..5).map(|_| broker.publish(&id, &Job::PublishArtifacts))).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        drop(broker);
        let broker = home.open().await;
        broker.publish(&id, &Job::PublishArtifacts).await.expect("published");
        assert_eq!(broker.receive(10).await.expect("received").len(), 1);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_something_is_settled() {
        let home = Home::new();
        let broker = home.open_with(Capacity { jobs: 2, ..Capacity::default() }).await;
        for _ in 0..2 {
            broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect("published");
        }
        assert!(refused(&broker).await.contains("full"));
        let taken = broker.receive(1).await.expect("received");
        assert!(refused(&broker).await.contains("full"), "what is handed out counts until it is settled");
        broker.settle(vec![(taken[0].tag, Verdict::Ack)]).await.expect("settled");
        broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect("published");
        drop(broker);
        let broker = home.open_with(Capacity { jobs: 2, ..Capacity::default() }).await;
        assert!(refused(&broker).await.contains("full"), "a restart counts what waits");
        drop(broker);
        let broker = home.open_with(Capacity { bytes: 80, ..Capacity::default() }).await;
        assert!(refused(&broker).await.contains("80 bytes"));
    }

    #[tokio::test]
    async fn what_is_rejected_is_kept_with_its_reason() {
        let home = Home::new();
        home.put_raw(&TaskId::from_text("odd"), "[1]").await;
        let broker = home.open().await;
        let tag = broker.receive(1).await.expect("received")[0].tag;
        broker.settle(vec![(tag, Verdict::Reject("no such thing".into()))]).await.expect("settled");
        let sql = "select task_id, body, attempts, rejected_at, reason from dead_letters";
        let letter: (String, String, u32, String, String) =
            broker.0.database.call(|c| c.query_one(sql, [], |row| row.try_into())).await.expect("one letter");
        let expected = ("odd", "[1]", 1, "1970-01-01T00:00:00Z", "no such thing");
        assert_eq!((&*letter.0, &*letter.1, letter.2, &*letter.3, &*letter.4), expected);
    }

    #[tokio::test]
    async fn a_write_that_fails_is_told_to_all_who_shared_it_and_leaves_room() {
        let home = Home::new();
        let broker = home.open_with(Capacity { jobs: 5, ..Capacity::default() }).await;
        broker.0.database.call(|c| c.execute_batch("pragma query_only = on")).await.expect("read only");
        let publish = async || broker.publish(&TaskId::random(), &Job::PublishArtifacts).await;
        let outcomes = join_all((0..5).map(|_| publish())).await;
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        broker.0.database.call(|c| c.execute_batch("pragma query_only = off")).await.expect("writable");
        let outcomes = join_all((0..5).map(|_| publish())).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
}
