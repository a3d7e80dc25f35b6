//! Has deliveries recorded, and finds the one that spoils a batch.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{Verdicts, aside::Unusable, is_identifier, pause};
use crate::{
    actors::{
        bootstrap::{Begin, Coordinator},
        intake::{Arrived, Intake, Stage},
        signing::{Clerk, Decide},
        supervisor::{Lifeline, Post, Unreachable},
    },
    queue::{Delivery, Tag, Verdict},
    store::StoreError,
};

/// How long recording a batch may take before its deliveries are tried again.
const RECORD_LIMIT: Duration = Duration::from_secs(30);
/// How long a bootstrap or a decision may take: keys are loaded for it, and paths are read.
const DECIDE_LIMIT: Duration = Duration::from_secs(60);
/// The longest wait of a delivery for another try: work goes on soon after the ledger is back.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// When a delivery is tried again.
pub(super) fn later(attempts: u32) -> Verdict {
    match Verdict::retry(attempts) {
        Verdict::Retry(wait) => Verdict::Retry(wait.min(LONGEST_WAIT)),
        other => other,
    }
}

/// A delivery that is a job.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) tag: Tag,
    pub(super) attempts: u32,
    pub(super) arrived: Arc<Arrived>,
}

impl Arrival {
    pub(super) fn of(delivery: Delivery) -> Result<Self, Unusable> {
        let Delivery { tag, id, job, accepted_at, attempts } = delivery;
        let unusable = |task, reason| Err(Unusable { tag, task, attempts, reason });
        match job {
            _ if !is_identifier(&id) => unusable(None, "no task has such an identifier".to_owned()),
            Err(reason) => {
                tracing::warn!(task = %id, reason, "a delivery is not a job; it is put aside");
                unusable(Some(id), reason)
            }
            Ok(job) => Ok(Self { tag, attempts, arrived: Arc::new(Arrived { task: id, accepted_at, job }) }),
        }
    }

    fn unusable(&self, reason: String) -> Unusable {
        tracing::error!(task = %self.arrived.task, reason, "a task can't be recorded; it is put aside");
        Unusable { tag: self.tag, task: Some(self.arrived.task.clone()), attempts: self.attempts, reason }
    }
}

/// How recording went.
enum Recorded {
    Done,
    /// Not now.
    Later(String),
    /// Not this, or not with this ledger.
    Suspect(String),
}

impl From<Result<Result<(), StoreError>, Unreachable>> for Recorded {
    fn from(answer: Result<Result<(), StoreError>, Unreachable>) -> Self {
        match answer {
            Ok(Ok(())) => Self::Done,
            Ok(Err(StoreError::Broken(cause))) => Self::Suspect(cause),
            Ok(Err(error)) => Self::Later(error.to_string()),
            // It may have broken off because of what it was asked.
            Err(error) if error.stopped() => Self::Suspect(error.to_string()),
            Err(error) => Self::Later(error.to_string()),
        }
    }
}

/// Records, and says what becomes of each delivery.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) intake: Post<Intake>,
    pub(super) coordinator: Post<Coordinator>,
    pub(super) clerk: Post<Clerk>,
    pub(super) lifeline: Arc<Lifeline>,
    pub(super) settled: mpsc::Sender<Verdicts>,
    pub(super) put_aside: mpsc::Sender<Vec<Unusable>>,
}

impl Recorder {
    /// Records a batch. When that can't be done now the next one waits a while.
    pub(super) async fn record(&self, batch: Vec<Arrival>, closing: &mut watch::Receiver<bool>) {
        match self.stage(&batch).await {
            Recorded::Done => self.settle(batch.iter().map(|arrival| (arrival.tag, Verdict::Ack)).collect()).await,
            Recorded::Later(cause) => {
                self.put_back(&batch, &cause).await;
                pause(closing).await;
            }
            Recorded::Suspect(cause) => {
                if !self.is_ledger_sound(&cause).await {
                    self.put_back(&batch, &cause).await;
                    pause(closing).await;
                } else if let [only] = batch.as_slice() {
                    self.put_aside(vec![only.unusable(cause)]).await;
                } else {
                    tracing::warn!(cause, "a batch could not be recorded; its tasks are recorded one by one");
                    for arrival in batch {
                        Box::pin(self.record(vec![arrival], closing)).await;
                    }
                }
            }
        }
    }

    /// Has bootstraps recorded, one after the other, until none come any more.
    pub(super) async fn bootstraps(self, mut bootstraps: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = bootstraps.recv().await {
            let begin = Begin(Arrived::clone(&arrival.arrived));
            self.ended(arrival, self.coordinator.ask(begin, DECIDE_LIMIT).await.into()).await;
        }
    }

    /// Has recorded what people decide, one after the other, until nothing comes any more.
    pub(super) async fn decisions(self, mut decisions: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = decisions.recv().await {
            let decide = Decide(Arrived::clone(&arrival.arrived));
            self.ended(arrival, self.clerk.ask(decide, DECIDE_LIMIT).await.into()).await;
        }
    }

    async fn ended(&self, arrival: Arrival, recorded: Recorded) {
        match recorded {
            Recorded::Done => self.settle(vec![(arrival.tag, Verdict::Ack)]).await,
            Recorded::Suspect(cause) if self.is_ledger_sound(&cause).await => {
                self.put_aside(vec![arrival.unusable(cause)]).await;
            }
            Recorded::Later(cause) | Recorded::Suspect(cause) => self.put_back(&[arrival], &cause).await,
        }
    }

    async fn stage(&self, batch: &[Arrival]) -> Recorded {
        let jobs = batch.iter().map(|arrival| arrival.arrived.clone()).collect();
        self.intake.ask(Stage(jobs), RECORD_LIMIT).await.into()
    }

    /// Whether the ledger works when it is asked to record nothing. One that does not ends the process.
    async fn is_ledger_sound(&self, cause: &str) -> bool {
        match self.intake.ask(Stage(Vec::new()), RECORD_LIMIT).await {
            Ok(Ok(())) => true,
            Ok(Err(StoreError::Broken(_))) => {
                self.lifeline.end_process(&cause);
                false
            }
            _ => false,
        }
    }

    async fn put_back(&self, batch: &[Arrival], cause: &str) {
        tracing::warn!(cause, tasks = batch.len(), "tasks could not be recorded; they are delivered again");
        self.settle(batch.iter().map(|arrival| (arrival.tag, later(arrival.attempts))).collect()).await;
    }

    pub(super) async fn put_aside(&self, unusable: Vec<Unusable>) {
        if unusable.is_empty() {
            return;
        }
        // Where the results are slow, what can be done must not wait for what can't.
        if let Err(error) = self.put_aside.try_send(unusable) {
            let back = error.into_inner().into_iter().map(|unusable| (unusable.tag, later(unusable.attempts)));
            self.settle(back.collect()).await;
        }
    }

    pub(super) async fn settle(&self, verdicts: Verdicts) {
        // Whoever settles lives as long as this.
        let _ = self.settled.send(verdicts).await;
    }
}
