//! Requests without a pause to all APIs of a fleet, and what became of each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::{runtime, time::sleep};

use super::{api::Api, artifact::Artifact};

/// Writers of one artifact a request, and their pause.
const SINGLES: usize = 3;
const PAUSE_OF_SINGLES: Duration = Duration::from_millis(150);
/// One writer of many artifacts a request, and its pause.
const BATCH: usize = 20;
const PAUSE_OF_BATCHES: Duration = Duration::from_millis(500);
const PAUSE_OF_FOLLOWER: Duration = Duration::from_millis(50);
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// Tasks that are asked for at once.
const ASKED_AT_ONCE: usize = 16;
/// Open tasks that a failure tells of.
const TOLD_AT_LENGTH: usize = 10;

/// A request that was answered with 202.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) task: String,
    pub(crate) artifacts: Vec<Artifact>,
    at: Instant,
    /// What was told of it last, null for nothing; with the status of the answer.
    told: (u16, Value),
    end: Option<End>,
}

#[derive(Debug, Clone)]
enum End {
    /// After this time.
    Success(Duration),
    Other(Value),
    /// Its result was lost with what held it; whether it is visible was looked at.
    Lost,
}

impl Accepted {
    /// From the 202 to the first sight of SUCCESS.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.end {
            Some(End::Success(wait)) => Some(wait),
            _ => None,
        }
    }

    /// What is known of it, for who reads why a test failed.
    fn story(&self) -> String {
        let Self { task, artifacts, at, told: (status, data), .. } = self;
        let first = artifacts.first().map(|artifact| artifact.path.as_str()).unwrap_or_default();
        let age = at.elapsed().as_secs_f64();
        format!(
            "{task}: accepted {age:.1} s ago, {} artifacts from {first} on, told last: {status} {data}",
            artifacts.len()
        )
    }

    /// The end that no task should have.
    pub(crate) fn failure(&self) -> Option<&Value> {
        match &self.end {
            Some(End::Other(task)) => Some(task),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    accepted: Vec<Accepted>,
    /// Requests that were not accepted, by the status of the answer; 0 for none.
    refused: BTreeMap<u16, u64>,
    /// When an API told of a task last.
    answered: Option<Instant>,
}

/// The load. It ends when it is stopped.
pub(crate) struct Load {
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts to send requests to these APIs in turns.
    pub(crate) fn start(apis: &[Api]) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let over = Arc::new(AtomicBool::new(false));
        let run = Run { apis: apis.to_vec(), log: log.clone(), over: over.clone() };
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(run.go());
        });
        Self { log, over, thread: Some(thread) }
    }

    /// How many requests were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        lock(&self.log).accepted.len()
    }

    /// How many requests were not accepted since this was asked before, by the status of the answer; 0 for none.
    pub(crate) fn refused(&self) -> BTreeMap<u16, u64> {
        std::mem::take(&mut lock(&self.log).refused)
    }

    /// Those that were accepted from number `first` to before number `end`.
    pub(crate) fn between(&self, first: usize, end: usize) -> Vec<Accepted> {
        lock(&self.log).accepted[first..end].to_vec()
    }

    /// How many of those are not known to have ended.
    pub(crate) fn open(&self, first: usize, end: usize) -> usize {
        lock(&self.log).accepted[first..end].iter().filter(|accepted| accepted.end.is_none()).count()
    }

    /// What is known of those that are not known to have ended, of the oldest at length; and when an API answered last.
    pub(crate) fn story(&self) -> String {
        let log = lock(&self.log);
        let open: Vec<_> = log.accepted.iter().filter(|accepted| accepted.end.is_none()).collect();
        let oldest: String =
            open.iter().take(TOLD_AT_LENGTH).map(|accepted| format!("\n  {}", accepted.story())).collect();
        let answered = log.answered.map_or("never".to_owned(), |at| format!("{:.1} s ago", at.elapsed().as_secs_f64()));
        format!(
            "{} of {} accepted tasks are open, the last answer came {answered}:{oldest}",
            open.len(),
            log.accepted.len()
        )
    }

    /// Does not ask any more how these ended, if it is not known: what held their results is lost.
    pub(crate) fn give_up(&self, first: usize, end: usize) {
        for accepted in &mut lock(&self.log).accepted[first..end] {
            accepted.end.get_or_insert(End::Lost);
        }
    }

    /// Ends the load.
    pub(crate) fn stop(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is stopped once").join().expect("the writers end well");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Run {
    apis: Vec<Api>,
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
}

impl Run {
    async fn go(self) {
        let singles = (0..SINGLES).map(|writer| self.write(writer, 1, PAUSE_OF_SINGLES));
        let batches = std::iter::once(self.write(SINGLES, BATCH, PAUSE_OF_BATCHES));
        join(join_all(singles.chain(batches)), self.follow()).await;
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Adds artifacts with paths that nobody else adds; each request again until it is accepted.
    async fn write(&self, writer: usize, count: usize, pause: Duration) {
        let mut apis = self.apis.iter().cycle().skip(writer);
        let mut number = 0;
        while !self.is_over() {
            let artifacts: Vec<_> = (0..count)
                .map(|n| Artifact::new(format!("{writer}/{number}/{n}.txt"), format!("{number} by {writer}")))
                .collect();
            while !self.is_over() {
                let api = apis.next().expect("they come in turns for ever");
                let status = match api.add(&artifacts).await {
                    Ok(reply) if reply.status == StatusCode::ACCEPTED => {
                        let accepted = Accepted {
                            task: reply.task(),
                            artifacts,
                            at: Instant::now(),
                            told: (0, Value::Null),
                            end: None,
                        };
                        lock(&self.log).accepted.push(accepted);
                        break;
                    }
                    Ok(reply) => reply.status.as_u16(),
                    Err(_) => 0,
                };
                *lock(&self.log).refused.entry(status).or_default() += 1;
                sleep(PAUSE_AFTER_REFUSAL).await;
            }
            number += 1;
            sleep(pause).await;
        }
    }

    /// Asks for the tasks that have not ended, the oldest first.
    async fn follow(&self) {
        let mut apis = self.apis.iter().cycle();
        while !self.is_over() {
            let open: BTreeMap<usize, String> = {
                let log = lock(&self.log);
                let open = log.accepted.iter().enumerate().filter(|(_, accepted)| accepted.end.is_none());
                open.map(|(number, accepted)| (number, accepted.task.clone())).collect()
            };
            let open: Vec<_> = open.into_iter().collect();
            for some in open.chunks(ASKED_AT_ONCE) {
                let api = apis.next().expect("they come in turns for ever");
                join_all(some.iter().map(|(number, task)| self.ask(api, *number, task))).await;
            }
            sleep(PAUSE_OF_FOLLOWER).await;
        }
    }

    async fn ask(&self, api: &Api, number: usize, task: &str) {
        let Ok(reply) = api.get(&format!("/task/?task_id={task}")).await else { return };
        let data = &reply.body["data"];
        let mut log = lock(&self.log);
        log.answered = Some(Instant::now());
        let accepted = &mut log.accepted[number];
        accepted.told = (reply.status.as_u16(), data.clone());
        match data["state"].as_str() {
            Some("SUCCESS") => accepted.end = Some(End::Success(accepted.at.elapsed())),
            Some("ERRORED" | "FAILURE" | "REVOKED") => accepted.end = Some(End::Other(data.clone())),
            _ => {}
        }
    }
}
