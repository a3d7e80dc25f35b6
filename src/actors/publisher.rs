//! Runs rounds, one at a time, as long as there is something to publish.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    bins::{Bins, Order, Update, UpdateError, Updated},
    drafting::{self, DraftError, Drafted},
    reporter::{Refresh, Report, Reporter},
    round::{Done, Hands, Memory, Parts, RoundError, round},
    settings::{Project, Settings},
    signer::{Sign, Signer, SigningKeys},
    supervisor::{Lifeline, Post},
};
use crate::{
    store::StoreError,
    telemetry::metrics::RoundResult,
    tuf::{name::RoleName, wire::Unsigned},
};

/// How long one signature, or one batch of bins, may take.
const WORK_LIMIT: Duration = Duration::from_secs(300);
/// How long a round's settings may take; the settings actor tries on by itself.
const PROJECT_LIMIT: Duration = Duration::from_secs(10);
/// Drafts before a round: the last one finds nothing, unless others draft too.
const MOST_DRAFTS: u32 = 8;
/// The pause after the first failing round; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Short enough that publishing goes on soon after a store is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long to leave another worker alone that publishes.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(400);
/// After a race: two workers that started over at once would race again.
const AFTER_RACE_MS: std::ops::Range<u64> = 5..50;

/// There may be something to publish. It says nothing more, so that to lose it costs time and nothing else.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// Answers when the round that is under way has ended; no other follows.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Finish;

/// The publisher. When it fails the process ends: a new one starts from the ledger, as after a crash.
pub struct Publisher {
    parts: Parts,
    settings: Post<Settings>,
    reporter: Post<Reporter>,
    /// Kept between the rounds, and forgotten with every round that fails.
    memory: Arc<Mutex<Memory>>,
    state: State,
    /// Rounds that failed one after the other.
    failures: u32,
    lifeline: Arc<Lifeline>,
}

/// What the publisher is doing.
#[derive(Debug)]
enum State {
    Idle,
    /// A round is running; `woken` since it began.
    Running {
        woken: bool,
    },
    /// The next round begins when this timer ends, woken or not.
    Pausing(SpawnHandle),
    /// No round begins any more; who waits for the last one to end.
    Finishing(Vec<oneshot::Sender<()>>),
    Finished,
}

impl Publisher {
    /// A publisher that has not been woken.
    pub fn new(parts: Parts, settings: Post<Settings>, reporter: Post<Reporter>, lifeline: Lifeline) -> Self {
        let lifeline = Arc::new(lifeline);
        Self { parts, settings, reporter, memory: Arc::default(), state: State::Idle, failures: 0, lifeline }
    }

    /// One round and what follows from it, then the next.
    fn run(&mut self, context: &mut Context<Self>) {
        self.state = State::Running { woken: false };
        let (parts, memory) = (self.parts.clone(), self.memory.clone());
        let (settings, reporter, lifeline) = (self.settings.clone(), self.reporter.clone(), self.lifeline.clone());
        let failures = self.failures;
        let work = async move {
            let mut taken = std::mem::take(&mut *memory.lock().unwrap_or_else(PoisonError::into_inner));
            let result = match draft(&parts, &settings, &reporter).await {
                Ok(()) => round(&parts, &mut taken).await,
                Err(error) => Err(error.into()),
            };
            *memory.lock().unwrap_or_else(PoisonError::into_inner) = taken;
            parts.metrics.round(counted_as(&result));
            next(result, failures, &settings, &reporter, &lifeline).await
        };
        context.spawn(work.into_actor(self).map(|next, publisher, context| publisher.ended(next, context)));
    }

    fn ended(&mut self, next: Next, context: &mut Context<Self>) {
        self.failures = if let Next::AfterFailure(_) = next { self.failures.saturating_add(1) } else { 0 };
        match (&mut self.state, next) {
            (State::Finishing(waiting), _) => {
                for waiter in waiting.drain(..) {
                    // Who does not wait any more needs no answer.
                    let _ = waiter.send(());
                }
                self.state = State::Finished;
            }
            (_, Next::Again) | (State::Running { woken: true }, Next::Rest) => self.run(context),
            (_, Next::After(pause) | Next::AfterFailure(pause)) => {
                let timer = context.run_later(pause, |publisher, context| publisher.run(context));
                self.state = State::Pausing(timer);
            }
            (_, Next::Rest) => self.state = State::Idle,
            (_, Next::Stop) => self.state = State::Finished,
        }
    }
}

/// What follows a round.
enum Next {
    Again,
    After(Duration),
    AfterFailure(Duration),
    Rest,
    Stop,
}

async fn next(
    result: Result<Done, RoundError>,
    failures: u32,
    settings: &Post<Settings>,
    reporter: &Post<Reporter>,
    lifeline: &Lifeline,
) -> Next {
    match result {
        Ok(Done::Nothing) => {
            // An earlier process may have ended between its point and its report.
            reporter.tell(Report);
            Next::Rest
        }
        // The other worker takes what was staged here too, and reports it.
        Ok(Done::Elsewhere(wait)) => Next::After(look_after(wait)),
        Ok(Done::Refused(task)) => {
            tracing::warn!(%task, "a task asked for what no client would read");
            reporter.tell(Report);
            Next::Again
        }
        Ok(Done::Dropped(role, cause)) => {
            tracing::error!(%role, %cause, "what was signed is not published; it has to be signed anew");
            project(settings).await;
            reporter.tell(Report);
            Next::Again
        }
        Ok(Done::Published { head, roles, told }) => {
            tracing::info!(sequence = head.sequence, timestamp_version = %head.version, roles, "published");
            if told {
                // Before the report: who reads that the bootstrap is done may add artifacts at once.
                project(settings).await;
            }
            reporter.tell(Report);
            Next::Again
        }
        Err(RoundError::Store(StoreError::Broken(cause))) => {
            lifeline.end_process(&cause);
            Next::Stop
        }
        Err(RoundError::Store(StoreError::Lost(cause))) => {
            tracing::info!(%cause, "another worker published first");
            Next::After(Duration::from_millis(fastrand::u64(AFTER_RACE_MS)))
        }
        Err(error) => {
            let pause = (FIRST_PAUSE * 2u32.saturating_pow(failures)).min(LONGEST_PAUSE);
            tracing::error!(%error, pause_ms = pause.as_millis(), "a round failed; it is tried again");
            Next::AfterFailure(pause)
        }
    }
}

/// Has people asked for the signatures that are wanted of them. Whatever becomes of it, the round does not wait for that.
async fn draft(parts: &Parts, settings: &Post<Settings>, reporter: &Post<Reporter>) -> Result<(), StoreError> {
    for _ in 0..MOST_DRAFTS {
        match drafting::draft(parts).await {
            Ok(Drafted::Nothing) => break,
            Ok(Drafted::Moved) => {}
            Ok(Drafted::Opened(_)) => {
                project(settings).await;
                reporter.tell(Refresh);
            }
            Ok(Drafted::Refused(task)) => {
                tracing::warn!(%task, "a task asked for what no client would read");
                reporter.tell(Report);
            }
            Err(DraftError::Store(error @ StoreError::Broken(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "what people are to sign will be drafted later");
                break;
            }
        }
    }
    Ok(())
}

async fn project(settings: &Post<Settings>) {
    if let Err(error) = settings.ask(Project, PROJECT_LIMIT).await {
        tracing::warn!(%error, "the settings will be projected later");
    }
}

/// When to look again after another worker was at it. A part is random, so that not all look at once.
fn look_after(wait: Duration) -> Duration {
    let wait = wait.clamp(SHORTEST_LOOK, LONGEST_LOOK);
    wait + wait.mul_f64(fastrand::f64() / 4.0)
}

fn counted_as(result: &Result<Done, RoundError>) -> RoundResult {
    match result {
        Ok(Done::Published { .. }) => RoundResult::Published,
        Ok(Done::Nothing) => RoundResult::Nothing,
        Ok(Done::Elsewhere(_)) => RoundResult::Elsewhere,
        Ok(Done::Refused(_) | Done::Dropped(..)) => RoundResult::Refused,
        Err(RoundError::Store(StoreError::Lost(_))) => RoundResult::Lost,
        Err(RoundError::Store(StoreError::Broken(_))) => RoundResult::Broken,
        Err(_) => RoundResult::Failed,
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // What an earlier process left: a head that was not pointed to, staged changes, roles that are due.
        self.run(context);
    }
}

impl Handler<Wake> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        match &mut self.state {
            State::Idle => self.run(context),
            State::Running { woken } => *woken = true,
            // Waking does not shorten a pause: it is short, or there is a reason for it.
            State::Pausing(_) | State::Finishing(_) | State::Finished => {}
        }
    }
}

impl Handler<Finish> for Publisher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Finish, context: &mut Self::Context) -> Self::Result {
        let (done, wait) = oneshot::channel();
        match &mut self.state {
            State::Running { .. } => self.state = State::Finishing(vec![done]),
            State::Finishing(waiting) => waiting.push(done),
            state => {
                if let State::Pausing(timer) = state {
                    context.cancel_future(*timer);
                }
                self.state = State::Finished;
                let _ = done.send(());
            }
        }
        // A publisher that is gone has no round under way either.
        Box::pin(async move { wait.await.unwrap_or(()) })
    }
}

/// The actors that work for a round.
pub struct Crew {
    /// Signs `targets`.
    pub targets: Post<Signer>,
    /// Signs `snapshot`.
    pub snapshot: Post<Signer>,
    /// Signs `timestamp`.
    pub timestamp: Post<Signer>,
    /// Updates delegated roles.
    pub bins: Post<Bins>,
}

#[async_trait]
impl Hands for Crew {
    async fn sign(&self, role: &RoleName, keys: Arc<SigningKeys>, draft: Unsigned) -> Result<Vec<u8>, UpdateError> {
        let signer = match role.as_str() {
            "timestamp" => &self.timestamp,
            "snapshot" => &self.snapshot,
            _ => &self.targets,
        };
        let mut files = signer.ask(Sign { keys, drafts: vec![draft] }, WORK_LIMIT).await??;
        Ok(files.pop().unwrap_or_default())
    }

    async fn update(&self, order: Order) -> Result<Vec<Updated>, UpdateError> {
        self.bins.ask(Update(order), WORK_LIMIT).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_look_comes_soon_whatever_the_wait() {
        for wait in [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(3600)] {
            let look = look_after(wait);
            assert!((SHORTEST_LOOK..=Duration::from_millis(500)).contains(&look), "{look:?}");
        }
    }
}
