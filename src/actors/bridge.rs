//! Carries jobs from the queue to the actors, and settles them when they are recorded.
//!
//! Receiving, recording and settling go on at the same time, each in the order in which deliveries came: while a batch is
//! recorded the next one gathers, so that batches are small where time counts and large where work does. Bootstraps, what people
//! decide, and what is put aside take ways of their own, because they may last.
//!
//! Nothing that comes over the queue may end or stop a worker. What is no job, and what alone of its batch the ledger can't record,
//! is put aside, after its task was shown as failed.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot, watch};

use self::recorder::{Arrival, Recorder, later};
use super::{
    bootstrap::Coordinator,
    intake::Intake,
    signing::Clerk,
    supervisor::{Lifeline, Post},
};
use crate::{
    queue::{Broker, Delivery, Tag, Verdict},
    store::results::Results,
    task::{Job, TaskId},
    telemetry::metrics::Metrics,
};

mod aside;
mod recorder;
mod weight;

/// Deliveries that are recorded together, in one transaction; and those that gather meanwhile.
const BATCH: usize = 256;
/// About as many bytes of jobs are recorded together at most, but for one job.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Bootstraps that wait for the one that is prepared, decisions that wait for the one before, and lots of what is put aside.
const WAITING: usize = 16;
/// The pause after the queue failed, or the ledger.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest identifier of a task, in bytes.
const MAX_TASK_ID_BYTES: usize = 255;

type Verdicts = Vec<(Tag, Verdict)>;

/// What the bridge works with.
#[derive(Clone)]
pub struct Ways {
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// Where the failure of a task is shown that is no job.
    pub results: Arc<dyn Results>,
    /// Records most jobs.
    pub intake: Post<Intake>,
    /// Records bootstraps.
    pub coordinator: Post<Coordinator>,
    /// Records what people decide.
    pub clerk: Post<Clerk>,
    /// Where deliveries are counted.
    pub metrics: Metrics,
}

/// The bridge. When it fails the process ends: what it had not settled is delivered to the next one.
pub struct Bridge {
    ways: Ways,
    lifeline: Arc<Lifeline>,
    closing: watch::Sender<bool>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Bridge {
    /// A bridge that carries from its start on.
    pub fn new(ways: Ways, lifeline: Lifeline) -> Self {
        Self { ways, lifeline: Arc::new(lifeline), closing: watch::Sender::new(false), waiting: Vec::new() }
    }
}

/// Take no more deliveries. The answer comes when what was received is recorded and settled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

impl Actor for Bridge {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let carry = carry(self.ways.clone(), self.lifeline.clone(), self.closing.subscribe());
        context.spawn(carry.into_actor(self).map(|(), bridge, context| {
            for waiter in bridge.waiting.drain(..) {
                // Who does not wait any more needs no answer.
                let _ = waiter.send(());
            }
            context.stop();
        }));
    }
}

impl Handler<Close> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        let (ended, wait) = oneshot::channel();
        self.waiting.push(ended);
        self.closing.send_replace(true);
        // A bridge that is gone carries nothing.
        Box::pin(async move { wait.await.unwrap_or(()) })
    }
}

/// Carries until it is to close, and what was received to its end: each part ends when those before it have ended.
async fn carry(ways: Ways, lifeline: Arc<Lifeline>, closing: watch::Receiver<bool>) {
    let Ways { broker, results, intake, coordinator, clerk, metrics } = ways;
    let (received, deliveries) = mpsc::channel(BATCH);
    let (settled, verdicts) = mpsc::channel(WAITING);
    let (put_aside, unusable) = mpsc::channel(WAITING);
    let (begin, bootstraps) = mpsc::channel(WAITING);
    let (decide, decisions) = mpsc::channel(WAITING);
    let recorder = Recorder { intake, coordinator, clerk, lifeline, settled: settled.clone(), put_aside };
    tokio::join!(
        receive(broker.as_ref(), &metrics, received, closing.clone()),
        gather(deliveries, recorder.clone(), OneByOne { begin, decide }, closing),
        recorder.clone().bootstraps(bootstraps),
        recorder.decisions(decisions),
        aside::run(results, unusable, settled),
        settle(broker.as_ref(), &metrics, verdicts),
    );
}

async fn receive(
    broker: &dyn Broker,
    metrics: &Metrics,
    received: mpsc::Sender<Delivery>,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        let deliveries = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return,
            deliveries = broker.receive(BATCH) => deliveries,
        };
        match deliveries {
            Ok(deliveries) => {
                metrics.received(deliveries.len());
                metrics.redelivered(deliveries.iter().filter(|delivery| delivery.attempts > 0).count());
                for delivery in deliveries {
                    if received.send(delivery).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "no deliveries");
                pause(&mut closing).await;
            }
        }
    }
}

/// Where deliveries go that are not recorded in batches.
struct OneByOne {
    begin: mpsc::Sender<Arrival>,
    decide: mpsc::Sender<Arrival>,
}

impl OneByOne {
    fn way(&self, job: &Job) -> Option<&mpsc::Sender<Arrival>> {
        match job {
            Job::Bootstrap(_) => Some(&self.begin),
            Job::SignMetadata(_)
            | Job::DeleteSignMetadata(_)
            | Job::MetadataUpdate(_)
            | Job::MetadataDelegation(_)
            | Job::ForceOnlineMetadataUpdate(_)
            | Job::PublishDelegatedMetadata(_) => Some(&self.decide),
            Job::AddArtifacts(_) | Job::RemoveArtifacts(_) | Job::PublishArtifacts | Job::UpdateSettings(_) => None,
        }
    }
}

/// Makes batches of what was received, and has them recorded one after the other.
async fn gather(
    mut deliveries: mpsc::Receiver<Delivery>,
    recorder: Recorder,
    one_by_one: OneByOne,
    mut closing: watch::Receiver<bool>,
) {
    let mut received = Vec::with_capacity(BATCH);
    while deliveries.recv_many(&mut received, BATCH).await > 0 {
        let mut unusable = Vec::new();
        let mut batch = Vec::with_capacity(received.len());
        let mut bytes = 0;
        for delivery in received.drain(..) {
            match Arrival::of(delivery) {
                Err(useless) => unusable.push(useless),
                Ok(arrival) => {
                    if let Some(way) = one_by_one.way(&arrival.arrived.job) {
                        if let Err(error) = way.try_send(arrival) {
                            let Arrival { tag, attempts, .. } = error.into_inner();
                            recorder.settle(vec![(tag, later(attempts))]).await;
                        }
                        continue;
                    }
                    let more = weight::bytes(&arrival.arrived.job);
                    if bytes + more > BATCH_BYTES && !batch.is_empty() {
                        recorder.record(std::mem::take(&mut batch), &mut closing).await;
                        bytes = 0;
                    }
                    bytes += more;
                    batch.push(arrival);
                }
            }
        }
        recorder.put_aside(unusable).await;
        if !batch.is_empty() {
            recorder.record(batch, &mut closing).await;
        }
    }
}

async fn settle(broker: &dyn Broker, metrics: &Metrics, mut verdicts: mpsc::Receiver<Verdicts>) {
    let mut lots = Vec::new();
    while verdicts.recv_many(&mut lots, WAITING).await > 0 {
        let verdicts = lots.drain(..).flatten().collect::<Verdicts>();
        let count = |counted: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| counted(verdict)).count();
        let retried = count(|verdict| matches!(verdict, Verdict::Retry(_)));
        let all = verdicts.len();
        metrics.retried(retried);
        metrics.rejected(count(|verdict| matches!(verdict, Verdict::Reject(_))));
        match broker.settle(verdicts).await {
            Ok(()) => metrics.settled(all - retried, retried),
            Err(error) => {
                // They are delivered again, and recognised by their ids.
                tracing::warn!(%error, "deliveries could not be settled");
                metrics.settled(0, all);
            }
        }
    }
}

/// Waits a while, and not at all when the bridge is closing.
async fn pause(closing: &mut watch::Receiver<bool>) {
    // A time-out is what is expected.
    let _ = tokio::time::timeout(PAUSE, closing.wait_for(|closing| *closing)).await;
}

/// Whether a task may have this identifier: it is a key in every store.
fn is_identifier(id: &TaskId) -> bool {
    let id = id.as_str();
    !id.is_empty() && id.len() <= MAX_TASK_ID_BYTES && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
