//! The progress of tasks in Redis, under the keys and in the words of Celery, each with its time to live.

use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::{Pipeline, Script};
use serde_json::Value;

use super::celery;
use crate::{
    clock::Clock,
    store::{
        StoreError,
        redis::{Connection, python::dumps},
        results::Results,
    },
    task::{Progress, TaskId},
};

/// The beginning of the keys that the contract has.
pub const PREFIX: &str = "celery-task-meta-";

/// For how long at least a task is remembered that is not finished: longer than any wait from which a service recovers.
const UNFINISHED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// About how many bytes are sent together.
const BYTES_AT_ONCE: usize = 4 << 20;

/// Sets a key to `ARGV[1]` for `ARGV[2]` milliseconds, unless it has a document whose status is among the other arguments.
const UNLESS_ENDED: &str = "local there = redis.call('get', KEYS[1])
if there then
  local read, document = pcall(cjson.decode, there)
  if read and type(document) == 'table' then
    for n = 3, #ARGV do if document['status'] == ARGV[n] then return 0 end end
  end
end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

static UNLESS_ENDED_HASH: LazyLock<String> = LazyLock::new(|| Script::new(UNLESS_ENDED).get_hash().to_owned());

/// [`Results`] for any number of processes.
#[derive(Debug, Clone)]
pub struct RedisResults {
    connection: Connection,
    prefix: String,
    clock: Clock,
    expiry: Duration,
}

impl RedisResults {
    /// The results under keys that begin with `prefix`, which is [`PREFIX`] outside of tests; a task is forgotten when it
    /// has been finished for `expiry`.
    pub fn new(connection: Connection, prefix: impl Into<String>, clock: Clock, expiry: Duration) -> Self {
        Self { connection, prefix: prefix.into(), clock, expiry }
    }

    fn key(&self, id: &TaskId) -> String {
        format!("{}{id}", self.prefix)
    }
}

fn batch() -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("script").arg("load").arg(UNLESS_ENDED).ignore();
    commands
}

#[async_trait]
impl Results for RedisResults {
    async fn put(&self, reports: Vec<(TaskId, Progress)>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1);
        let (mut commands, mut bytes) = (batch(), 0);
        for (id, progress) in reports {
            let (key, document) = (self.key(&id), dumps(&celery::encode(&id, &progress, now)));
            bytes += document.len();
            if progress.ended() {
                commands.cmd("set").arg(&key).arg(&document).arg("PX").arg(millis(self.expiry)).ignore();
                // Who waits in Celery listens on the channel of this name, and does not look again.
                commands.publish(key, document).ignore();
            } else {
                let lives = millis(self.expiry.max(UNFINISHED));
                commands.cmd("evalsha").arg(&*UNLESS_ENDED_HASH).arg(1).arg(key);
                commands.arg(document).arg(lives).arg(&celery::ENDS).ignore();
            }
            if bytes >= BYTES_AT_ONCE {
                let () = self.connection.run(&std::mem::replace(&mut commands, batch())).await?;
                bytes = 0;
            }
        }
        if bytes == 0 { Ok(()) } else { self.connection.run(&commands).await }
    }

    async fn get(&self, id: &TaskId) -> Result<Option<Progress>, StoreError> {
        let (bytes,): (Option<Vec<u8>>,) = self.connection.run(redis::pipe().get(self.key(id))).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        let document = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
        let progress = celery::decode(&document);
        if progress.is_none() {
            tracing::warn!(task = %id, status = %document["status"], "a result of another program is not understood");
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{
            redis::tests::server,
            results::{DEFAULT_EXPIRY, contract},
        },
        task::{Foreign, ForeignState},
    };

    fn open(prefix: &str, expiry: Duration) -> RedisResults {
        RedisResults::new(server().connection(None).expect("lazy"), prefix, Clock::system(), expiry)
    }

    fn prefix() -> String {
        format!("test-{}-", TaskId::random())
    }

    async fn lives_millis(results: &RedisResults, id: &TaskId) -> i64 {
        let (millis,): (i64,) = results.connection.run(redis::pipe().pttl(results.key(id))).await.expect("read");
        millis
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(|| {
            let prefix = prefix();
            async move || open(&prefix, DEFAULT_EXPIRY)
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_stays_for_ever() {
        let results = open(&prefix(), Duration::from_secs(60));
        let [ended, running] = [TaskId::random(), TaskId::random()];
        let still =
            Progress::Running { roles_to_publish: vec![], missing: [].into(), last_update: results.clock.now() };
        results.put(vec![(ended.clone(), Progress::Revoked), (running.clone(), still)]).await.expect("put");
        assert!((1..=60_000).contains(&lives_millis(&results, &ended).await));
        assert!(lives_millis(&results, &running).await > 60_000);
    }

    #[tokio::test]
    async fn more_than_fits_at_once_is_put_too() {
        let results = open(&prefix(), DEFAULT_EXPIRY);
        let report = |message: &str| Progress::Failed { message: message.repeat(BYTES_AT_ONCE / 2) };
        let reports: Vec<_> = ["a", "b", "c"].map(|text| (TaskId::random(), report(text))).into();
        results.put(reports.clone()).await.expect("put");
        for (id, progress) in reports {
            assert_eq!(results.get(&id).await.expect("read"), Some(progress));
        }
    }

    #[tokio::test]
    async fn what_others_left_under_a_key_breaks_nothing() {
        let results = open(&prefix(), DEFAULT_EXPIRY);
        let still = Progress::Running {
            roles_to_publish: vec![],
            missing: [].into(),
            last_update: "2026-11-22T12:00:00Z".parse().expect("a time"),
        };
        let pre_run = Progress::Foreign(Foreign { state: ForeignState::PreRun, told: None });
        for (left, read) in [
            (&br#"{"status": "PRE_RUN", "task_id": "x", "result": null}"#[..], Some(pre_run)),
            (br#"{"status": "NEW", "result": 5}"#, None),
            (b"\xff{", None),
            (b"", None),
        ] {
            let id = TaskId::random();
            let () = results.connection.run(redis::pipe().set(results.key(&id), left).ignore()).await.expect("set");
            assert_eq!(results.get(&id).await.expect("read"), read);
            results.put(vec![(id.clone(), still.clone())]).await.expect("put");
            assert_eq!(results.get(&id).await.expect("read"), Some(still.clone()));
        }
    }
}
