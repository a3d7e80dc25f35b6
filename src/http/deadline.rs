//! Keeps the time of bootstraps that wait for a worker, for all APIs: any of them revokes what waited too long, whichever accepted
//! it, and goes on where another one ended half way. See [`Deadline`] for the states.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Api;
use crate::{
    store::{
        StoreError,
        settings::{
            BOOTSTRAP,
            bootstrap::{BOOTSTRAP_DEADLINE, Deadline, Duty, Holder},
        },
    },
    task::{Progress, TaskId},
};

/// How long a bootstrap may wait that came without a deadline: from another program, or from an API that ended too early.
const GRACE: SignedDuration = SignedDuration::from_secs(300);
/// Between two looks while there may be something to do.
const SOON: Duration = Duration::from_secs(1);
/// Between two looks when there is a repository.
const LATER: Duration = Duration::from_secs(10);

/// What became of a bootstrap that an API wanted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// No worker takes it any more.
    Done,
    /// A worker was quicker: the queue did take it.
    TooLate,
}

/// Revokes bootstraps that waited too long, for ever. Each process with an API runs this beside it.
pub async fn watch(api: Api) {
    let mut failing = false;
    loop {
        let looked = api.look_after_bootstrap().await;
        if let Err(error) = &looked
            && !failing
        {
            tracing::warn!(%error, "the time of bootstraps is not kept");
        }
        failing = looked.is_err();
        tokio::time::sleep(looked.unwrap_or(SOON)).await;
    }
}

impl Api {
    /// Lets the bootstrap `task`, which has the lock, wait until then.
    pub(super) async fn let_wait(&self, task: &TaskId, until: Timestamp) -> Result<(), StoreError> {
        let waiting = Deadline::Waiting(task.clone(), until);
        loop {
            let there = self.settings.get(BOOTSTRAP_DEADLINE).await?;
            if self.settings.swap(BOOTSTRAP_DEADLINE, &there, waiting.to_value()).await? {
                return Ok(());
            }
        }
    }

    /// Takes back the bootstrap `task`, of which the queue did not say that it has it.
    pub(super) async fn withdraw(&self, task: &TaskId) -> Result<Withdrawal, StoreError> {
        loop {
            let there = self.settings.get(BOOTSTRAP_DEADLINE).await?;
            let lock = Holder::read(&self.settings.get(BOOTSTRAP).await?);
            match (Deadline::read(&there), lock) {
                (_, Holder::Taken(holder)) if holder == *task => return Ok(Withdrawal::TooLate),
                (Deadline::Claimed(claimed), _) if claimed == *task => return Ok(Withdrawal::TooLate),
                (Deadline::Revoked(revoked), _) if revoked == *task => {
                    self.release(task).await?;
                    return Ok(Withdrawal::Done);
                }
                (_, Holder::Waiting(holder)) if holder == *task => self.revoke(task, &there).await?,
                // The lock has moved on: a worker refused it, or another API revoked it.
                _ => return Ok(Withdrawal::Done),
            }
        }
    }

    /// Does what is to be done now, and says when to look again.
    async fn look_after_bootstrap(&self) -> Result<Duration, StoreError> {
        // In this order: see `Deadline::duty`.
        let there = self.settings.get(BOOTSTRAP_DEADLINE).await?;
        let lock = Holder::read(&self.settings.get(BOOTSTRAP).await?);
        let now = self.clock.now();
        match Deadline::read(&there).duty(&lock, now) {
            Duty::Rest => {}
            Duty::Await(task) => self.release_if_ended(&task).await?,
            Duty::Give(task) => {
                let until = now.saturating_add(GRACE).unwrap_or(Timestamp::MAX);
                let waiting = Deadline::Waiting(task, until).to_value();
                self.settings.swap(BOOTSTRAP_DEADLINE, &there, waiting).await?;
            }
            Duty::Revoke(task) => {
                tracing::warn!(task_id = %task, "no worker took the bootstrap in time; it is revoked");
                self.revoke(&task, &there).await?;
                return Ok(Duration::ZERO);
            }
            Duty::Release(task) => self.release(&task).await?,
            Duty::Clear => {
                self.settings.swap(BOOTSTRAP_DEADLINE, &there, Value::Null).await?;
            }
        }
        Ok(if matches!(lock, Holder::Taken(_)) { LATER } else { SOON })
    }

    async fn revoke(&self, task: &TaskId, there: &Value) -> Result<(), StoreError> {
        let revoked = Deadline::Revoked(task.clone()).to_value();
        self.settings.swap(BOOTSTRAP_DEADLINE, there, revoked).await.map(drop)
    }

    /// Each step may have been done before. While a worker looks at a lock that is free, the result is there already.
    async fn release(&self, task: &TaskId) -> Result<(), StoreError> {
        if !self.results.get(task).await?.is_some_and(|progress| progress.ended()) {
            self.results.put(vec![(task.clone(), Progress::Revoked)]).await?;
        }
        self.settings.swap(BOOTSTRAP, &Holder::waiting(task), Value::Null).await?;
        let revoked = Deadline::Revoked(task.clone()).to_value();
        self.settings.swap(BOOTSTRAP_DEADLINE, &revoked, Value::Null).await.map(drop)
    }

    /// The worker in Python leaves the lock when it breaks.
    async fn release_if_ended(&self, task: &TaskId) -> Result<(), StoreError> {
        if self.results.get(task).await?.is_some_and(|progress| progress.ended()) {
            self.settings.swap(BOOTSTRAP, &Holder::waiting(task), Value::Null).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{
        clock::Clock,
        http::Limits,
        queue::local::{Capacity, LocalBroker},
        store::{
            results::{DEFAULT_EXPIRY, sqlite::SqliteResults},
            settings::sqlite::SqliteSettings,
            shared::SharedDatabase,
        },
    };

    struct World {
        api: Api,
        clock: Clock,
        _home: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let home = tempfile::tempdir().expect("a directory");
            let clock = Clock::fixed(Timestamp::from_second(1000).expect("a time"));
            let shared = SharedDatabase::open(home.path().join("shared.db")).expect("a database");
            let queue = home.path().join("queue.db");
            let broker = LocalBroker::open(queue, clock.clone(), Capacity::default()).await.expect("a queue");
            let settings = Arc::new(SqliteSettings::new(&shared));
            let results = Arc::new(SqliteResults::new(&shared, clock.clone(), DEFAULT_EXPIRY));
            let api = Api::new(Arc::new(broker), settings, results, clock.clone(), Limits::default());
            Self { api, clock, _home: home }
        }

        async fn set(&self, lock: Value, deadline: Value) {
            let fields = [(BOOTSTRAP.to_owned(), lock), (BOOTSTRAP_DEADLINE.to_owned(), deadline)];
            self.api.settings.put(BTreeMap::from(fields)).await.expect("put");
        }

        async fn state(&self) -> (Value, Value, Option<Progress>) {
            let setting = async |name| self.api.settings.get(name).await.expect("read");
            let result = self.api.results.get(&TaskId::from_text("a")).await.expect("read");
            (setting(BOOTSTRAP).await, setting(BOOTSTRAP_DEADLINE).await, result)
        }

        async fn look(&self) {
            self.api.look_after_bootstrap().await.expect("looked");
        }

        async fn withdraw(&self) -> Withdrawal {
            self.api.withdraw(&TaskId::from_text("a")).await.expect("withdrawn")
        }
    }

    const FREE: (Value, Value, Option<Progress>) = (Value::Null, Value::Null, Some(Progress::Revoked));

    #[tokio::test]
    async fn what_waited_too_long_is_revoked_and_not_before() {
        let world = World::new().await;
        world.set(json!("pre-a"), json!("a 1010")).await;
        world.clock.advance(SignedDuration::from_secs(10));
        world.look().await;
        assert_eq!(world.state().await, (json!("pre-a"), json!("a 1010"), None));
        world.clock.advance(SignedDuration::from_millis(1));
        world.look().await;
        assert_eq!(world.state().await, (json!("pre-a"), json!("revoked a"), None));
        world.look().await;
        assert_eq!(world.state().await, FREE);
        world.look().await;
        assert_eq!(world.state().await, FREE);
    }

    #[tokio::test]
    async fn a_lock_of_which_nothing_is_known_is_freed_after_a_while() {
        for stale in [Value::Null, json!("b 5"), json!("claimed b"), json!("what is this")] {
            let world = World::new().await;
            world.set(json!("pre-a"), stale).await;
            world.look().await;
            assert_eq!(world.state().await, (json!("pre-a"), json!("a 1300"), None));
            world.clock.advance(GRACE + SignedDuration::from_secs(1));
            world.look().await;
            world.look().await;
            assert_eq!(world.state().await, FREE);
        }
    }

    #[tokio::test]
    async fn a_release_that_stopped_anywhere_is_brought_to_its_end() {
        for (lock, told) in [(json!("pre-a"), false), (json!("pre-a"), true), (Value::Null, true)] {
            let world = World::new().await;
            world.set(lock, json!("revoked a")).await;
            if told {
                let report = vec![(TaskId::from_text("a"), Progress::Revoked)];
                world.api.results.put(report).await.expect("put");
            }
            world.look().await;
            assert_eq!(world.state().await, FREE);
        }
        let world = World::new().await;
        world.set(json!("pre-b"), json!("revoked a")).await;
        world.look().await;
        assert_eq!(world.state().await, (json!("pre-b"), Value::Null, Some(Progress::Revoked)));
    }

    #[tokio::test]
    async fn what_a_worker_has_is_left_alone() {
        let world = World::new().await;
        world.clock.advance(SignedDuration::from_hours(1));
        world.set(json!("pre-a"), json!("claimed a")).await;
        world.look().await;
        assert_eq!(world.state().await, (json!("pre-a"), json!("claimed a"), None));
        world.set(json!("a"), json!("claimed a")).await;
        world.look().await;
        assert_eq!(world.state().await, (json!("a"), Value::Null, None));
    }

    #[tokio::test]
    async fn a_worker_that_broke_does_not_keep_the_lock() {
        let world = World::new().await;
        world.set(json!("pre-a"), json!("a 1010")).await;
        let failed = Progress::Failed { message: "oh".into() };
        world.api.results.put(vec![(TaskId::from_text("a"), failed.clone())]).await.expect("put");
        world.look().await;
        world.look().await;
        assert_eq!(world.state().await, (Value::Null, Value::Null, Some(failed)));
    }

    #[tokio::test]
    async fn what_the_queue_did_not_take_is_withdrawn_unless_a_worker_has_it() {
        for deadline in [json!("a 1010"), json!("revoked a"), Value::Null] {
            let world = World::new().await;
            world.set(json!("pre-a"), deadline).await;
            assert_eq!(world.withdraw().await, Withdrawal::Done);
            assert_eq!(world.state().await, FREE);
            assert_eq!(world.withdraw().await, Withdrawal::Done);
        }
        for lock in [json!("pre-a"), json!("a"), json!("signing-a")] {
            let world = World::new().await;
            world.set(lock.clone(), json!("claimed a")).await;
            assert_eq!(world.withdraw().await, Withdrawal::TooLate);
            assert_eq!(world.state().await, (lock, json!("claimed a"), None));
        }
        let world = World::new().await;
        world.set(json!("pre-b"), json!("b 1010")).await;
        assert_eq!(world.withdraw().await, Withdrawal::Done);
        assert_eq!(world.state().await, (json!("pre-b"), json!("b 1010"), None));
    }
}
