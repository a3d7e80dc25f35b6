//! Tells how tasks went, after clients see what they did.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::{drafting, round::Visible, supervisor::Lifeline};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        ledger::{Ended, Ledger},
        results::Results,
    },
    task::{Progress, TaskId},
    telemetry::metrics::{End, Metrics},
};

mod unfinished;

use self::unfinished::Unfinished;

/// Tasks that are reported together.
const BATCH: usize = 1000;
/// A task that waits for so long is shown as running. Most have ended by then, and that alone is told.
const PATIENCE: Duration = Duration::from_millis(100);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// What ended so long ago was reported before, unless reports failed since: it is not counted twice.
const RECENT: SignedDuration = SignedDuration::from_mins(1);

/// Reports every task that finished, that clients can see the change of, and that was not reported; shows each part to `told`.
///
/// # Errors
/// Those of the two stores; what was not reported is reported by the next call.
pub async fn report(
    ledger: &dyn Ledger,
    results: &dyn Results,
    visible: &Visible,
    mut told: impl FnMut(&[Ended]),
) -> Result<(), StoreError> {
    loop {
        let finished = ledger.unreported(visible.through(), BATCH).await?;
        let are_all = finished.len() < BATCH;
        if !finished.is_empty() {
            told(&finished);
            let tasks = finished.iter().map(|ended| ended.task.clone()).collect();
            results.put(finished.into_iter().map(|ended| (ended.task, ended.progress)).collect()).await?;
            ledger.reported(tasks).await?;
        }
        // Who finishes more from now on asks for another report.
        if are_all {
            return Ok(());
        }
    }
}

/// Counts tasks that ended after `fresh`: older ones are reported once more.
fn count(metrics: &Metrics, ended: &[Ended], fresh: Timestamp, now: Timestamp) {
    for Ended { action, accepted_at, progress, .. } in ended {
        let end = match progress {
            Progress::Finished(outcome) if outcome.last_update < fresh => continue,
            Progress::Finished(outcome) if outcome.status => {
                let after = now.duration_since(*accepted_at).max(SignedDuration::ZERO);
                metrics.task_visible(action, after.unsigned_abs());
                End::Success
            }
            Progress::Finished(_) => End::Errored,
            Progress::Failed { .. } => End::Failure,
            Progress::Revoked => End::Revoked,
            Progress::Running { .. } | Progress::Foreign(_) => continue,
        };
        metrics.task_ended(action, end);
    }
}

/// Some tasks may have finished. To lose it costs time and nothing else.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Report;

/// Reports, and answers when that is done or has failed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// These tasks are recorded and wait for a round.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Waiting(pub Vec<(TaskId, Progress)>);

/// Tasks wait for people, and who is missing may be others now: after a signature, or when an event was opened.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Refresh;

/// Results were lost: report again what ended in the time for which results are kept, and what is known to run.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Again;

/// The reporter. Restarting it loses nothing: the ledger knows what was not reported.
pub struct Reporter {
    ledger: Arc<dyn Ledger>,
    results: Arc<dyn Results>,
    visible: Visible,
    clock: Clock,
    metrics: Metrics,
    /// For how long the end of a task can be read.
    expiry: Duration,
    unfinished: Unfinished,
    state: State,
    /// Since when on the ends of tasks are to be reported again.
    again: Option<Timestamp>,
    /// What ended before was reported by an earlier process, or is reported again.
    fresh: Timestamp,
    /// Since when on reports fail.
    behind: Option<Timestamp>,
    /// Whether a timer will try again.
    retries: bool,
    /// Who waits for the end of the report.
    flushing: Vec<oneshot::Sender<()>>,
    _lifeline: Lifeline,
}

/// What a reporter needs.
#[derive(Clone)]
pub struct Sources {
    /// Knows what finished.
    pub ledger: Arc<dyn Ledger>,
    /// Where clients read it.
    pub results: Arc<dyn Results>,
    /// What clients see.
    pub visible: Visible,
    /// The time.
    pub clock: Clock,
    /// Where tasks are counted.
    pub metrics: Metrics,
    /// For how long the end of a task can be read.
    pub expiry: Duration,
}

/// What the reporter is doing.
#[derive(Debug)]
enum State {
    Idle,
    /// A report is on its way; `asked` for another one since.
    Reporting {
        asked: bool,
    },
}

impl Reporter {
    /// A reporter of tasks that end from `fresh` on.
    pub fn new(sources: Sources, fresh: Timestamp, lifeline: Lifeline) -> Self {
        let Sources { ledger, results, visible, clock, metrics, expiry } = sources;
        Self {
            ledger,
            results,
            visible,
            clock,
            metrics,
            expiry,
            unfinished: Unfinished::default(),
            state: State::Idle,
            again: None,
            fresh,
            behind: None,
            retries: false,
            flushing: Vec::new(),
            _lifeline: lifeline,
        }
    }

    fn report(&mut self, context: &mut Context<Self>) {
        if let State::Reporting { asked } = &mut self.state {
            *asked = true;
            return;
        }
        self.state = State::Reporting { asked: false };
        let (ledger, results, visible) = (self.ledger.clone(), self.results.clone(), self.visible.clone());
        let (metrics, clock, again) = (self.metrics.clone(), self.clock.clone(), self.again.take());
        let fresh = self.fresh.max(self.behind.unwrap_or(clock.now()) - RECENT);
        let address = context.address();
        let work = async move {
            if let Some(since) = again {
                ledger.report_again(since).await.map_err(|error| (error, again))?;
            }
            let told = |ended: &[Ended]| {
                count(&metrics, ended, fresh, clock.now());
                // Before they are put: what ended must not be shown as running afterwards.
                address.do_send(Forget(ended.iter().map(|ended| ended.task.clone()).collect()));
            };
            report(ledger.as_ref(), results.as_ref(), &visible, told).await.map_err(|error| (error, None))
        };
        context.spawn(work.into_actor(self).map(|result, reporter, context| reporter.ended(result, context)));
    }

    fn ended(&mut self, result: Result<(), (StoreError, Option<Timestamp>)>, context: &mut Context<Self>) {
        let asked = matches!(self.state, State::Reporting { asked: true });
        self.state = State::Idle;
        match result {
            Ok(()) => {
                self.behind = None;
                if asked || self.again.is_some() {
                    return self.report(context);
                }
            }
            Err((error, again)) => {
                tracing::warn!(%error, "tasks will be reported later");
                self.behind.get_or_insert(self.clock.now());
                self.again = self.again.or(again);
                if !std::mem::replace(&mut self.retries, true) {
                    context.run_later(PAUSE, |reporter, context| {
                        reporter.retries = false;
                        reporter.report(context);
                    });
                }
            }
        }
        for waiter in self.flushing.drain(..) {
            // Who does not wait any more needs no answer.
            let _ = waiter.send(());
        }
    }

    /// Shows the tasks as running that wait for so long.
    fn show(&mut self, context: &mut Context<Self>) {
        let due = self.unfinished.due(PATIENCE);
        if let Some(wait) = self.unfinished.next(PATIENCE) {
            context.run_later(wait, |reporter, context| reporter.show(context));
        }
        if !due.is_empty() {
            self.put_running(due.into(), context);
        }
    }

    /// Shows whom the tasks wait for.
    fn refresh(&self, context: &mut Context<Self>) {
        let (ledger, now) = (self.ledger.clone(), self.clock.now());
        let work = async move { drafting::waiting(ledger.as_ref(), now).await };
        context.spawn(work.into_actor(self).map(|waiting, reporter, context| match waiting {
            Ok(tasks) if tasks.is_empty() => {}
            Ok(tasks) => {
                reporter.unfinished.show(tasks.clone());
                reporter.put_running(tasks.into(), context);
            }
            Err(error) => tracing::warn!(%error, "whom tasks wait for is not shown"),
        }));
    }

    fn put_running(&self, mut due: VecDeque<(TaskId, Progress)>, context: &mut Context<Self>) {
        let results = self.results.clone();
        let work = async move {
            while !due.is_empty() {
                let part = due.drain(..due.len().min(BATCH)).collect();
                if let Err(error) = results.put(part).await {
                    tracing::warn!(%error, "the progress of tasks is not shown");
                    return;
                }
            }
        };
        context.spawn(work.into_actor(self));
    }
}

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<Report> for Reporter {
    type Result = ();

    fn handle(&mut self, _: Report, context: &mut Self::Context) {
        self.report(context);
    }
}

impl Handler<Flush> for Reporter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, context: &mut Self::Context) -> Self::Result {
        let (done, wait) = oneshot::channel();
        self.flushing.push(done);
        self.report(context);
        // A reporter that is gone reports nothing more.
        Box::pin(async move { wait.await.unwrap_or(()) })
    }
}

impl Handler<Waiting> for Reporter {
    type Result = ();

    fn handle(&mut self, Waiting(tasks): Waiting, context: &mut Self::Context) {
        let idle = self.unfinished.next(PATIENCE).is_none();
        self.unfinished.add(tasks);
        if idle {
            context.run_later(PATIENCE, |reporter, context| reporter.show(context));
        }
    }
}

impl Handler<Again> for Reporter {
    type Result = ();

    fn handle(&mut self, _: Again, context: &mut Self::Context) {
        let now = self.clock.now();
        let since = now.saturating_sub(SignedDuration::try_from(self.expiry).unwrap_or(SignedDuration::MAX));
        self.again = Some(since.unwrap_or(Timestamp::MIN));
        self.fresh = now;
        // What ended longer ago than its end can be read would stay running.
        let known = self.unfinished.shown(self.expiry);
        self.put_running(known.into(), context);
        self.refresh(context);
        self.report(context);
    }
}

impl Handler<Refresh> for Reporter {
    type Result = ();

    fn handle(&mut self, _: Refresh, context: &mut Self::Context) {
        self.refresh(context);
    }
}

/// These tasks ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Forget(Vec<TaskId>);

impl Handler<Forget> for Reporter {
    type Result = ();

    fn handle(&mut self, Forget(tasks): Forget, _: &mut Self::Context) {
        self.unfinished.remove(&tasks);
    }
}
