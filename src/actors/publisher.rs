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
    reporter::{Report, Reporter},
    round::{Done, Hands, Memory, Parts, RoundError, round},
    settings::{Project, Settings},
    signer::{Sign, Signer, SigningKeys},
    supervisor::{Lifeline, Post},
};
use crate::{
    store::StoreError,
    tuf::{name::RoleName, wire::Unsigned},
};

/// How long one signature, or one batch of bins, may take.
const WORK_LIMIT: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long at most to leave another worker alone that publishes.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

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
    lifeline: Arc<Lifeline>,
}

/// What the publisher is doing.
#[derive(Debug)]
enum State {
    Idle,
    /// Rounds are running; `woken` since the last one began.
    Running {
        woken: bool,
    },
    /// No round begins any more; who waits for the last one to end.
    Finishing(Vec<oneshot::Sender<()>>),
    Finished,
}

impl Publisher {
    /// A publisher that has not been woken.
    pub fn new(parts: Parts, settings: Post<Settings>, reporter: Post<Reporter>, lifeline: Lifeline) -> Self {
        Self { parts, settings, reporter, memory: Arc::default(), state: State::Idle, lifeline: Arc::new(lifeline) }
    }

    /// One round and what follows from it, then the next.
    fn run(&mut self, context: &mut Context<Self>, pause: Duration) {
        self.state = State::Running { woken: false };
        let (parts, memory) = (self.parts.clone(), self.memory.clone());
        let (settings, reporter, lifeline) = (self.settings.clone(), self.reporter.clone(), self.lifeline.clone());
        let work = async move {
            if !pause.is_zero() {
                // A sleep of no time waits for the next tick of the timer: a millisecond.
                tokio::time::sleep(pause).await;
            }
            let mut taken = std::mem::take(&mut *memory.lock().unwrap_or_else(PoisonError::into_inner));
            let result = round(&parts, &mut taken).await;
            *memory.lock().unwrap_or_else(PoisonError::into_inner) = taken;
            next(result, pause, &settings, &reporter, &lifeline).await
        };
        context.spawn(work.into_actor(self).map(|next, publisher, context| publisher.ended(next, context)));
    }

    fn ended(&mut self, next: Next, context: &mut Context<Self>) {
        match (&mut self.state, next) {
            (State::Finishing(waiting), _) => {
                for waiter in waiting.drain(..) {
                    // Who does not wait any more needs no answer.
                    let _ = waiter.send(());
                }
                self.state = State::Finished;
            }
            (_, Next::Again(pause)) => self.run(context, pause),
            (State::Running { woken: true }, Next::Rest) => self.run(context, Duration::ZERO),
            (_, Next::Rest) => self.state = State::Idle,
            (_, Next::Stop) => self.state = State::Finished,
        }
    }
}

/// What follows a round.
enum Next {
    Again(Duration),
    Rest,
    Stop,
}

async fn next(
    result: Result<Done, RoundError>,
    pause: Duration,
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
        Ok(Done::Elsewhere(wait)) => {
            // The other worker takes what was staged here too, and reports it.
            Next::Again(wait.min(LONGEST_LOOK))
        }
        Ok(Done::Refused(task)) => {
            tracing::warn!(%task, "a task asked for what no client would read");
            reporter.tell(Report);
            Next::Again(Duration::ZERO)
        }
        Ok(Done::Published { head, roles, targets }) => {
            tracing::info!(sequence = head.sequence, timestamp_version = %head.version, roles, "published");
            if targets {
                // Before the report: who reads that the bootstrap is done may add artifacts at once.
                if let Err(error) = settings.ask(Project, WORK_LIMIT).await {
                    tracing::warn!(%error, "the settings will be projected later");
                }
            }
            reporter.tell(Report);
            Next::Again(Duration::ZERO)
        }
        Err(RoundError::Store(StoreError::Broken(cause))) => {
            lifeline.end_process(&cause);
            Next::Stop
        }
        Err(RoundError::Store(StoreError::Lost(cause))) => {
            tracing::info!(%cause, "another worker published first");
            Next::Again(Duration::ZERO)
        }
        Err(error) => {
            let pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            tracing::error!(%error, pause_ms = pause.as_millis(), "a round failed; it is tried again");
            Next::Again(pause)
        }
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // What an earlier process left: a head that was not pointed to, staged changes, roles that are due.
        self.run(context, Duration::ZERO);
    }
}

impl Handler<Wake> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        match &mut self.state {
            State::Idle => self.run(context, Duration::ZERO),
            State::Running { woken } => *woken = true,
            State::Finishing(_) | State::Finished => {}
        }
    }
}

impl Handler<Finish> for Publisher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Finish, _: &mut Self::Context) -> Self::Result {
        let (done, wait) = oneshot::channel();
        match &mut self.state {
            State::Running { .. } => self.state = State::Finishing(vec![done]),
            State::Finishing(waiting) => waiting.push(done),
            State::Idle | State::Finished => {
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
