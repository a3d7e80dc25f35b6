//! Carries jobs from the queue to the actors, and settles them when they are recorded.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::{
    bootstrap::{Begin, Coordinator},
    intake::{Arrived, Intake, Stage},
    supervisor::{Lifeline, Post, Unreachable},
};
use crate::{
    queue::{Broker, Delivery, Tag, Verdict},
    store::StoreError,
    task::Job,
};

/// Deliveries that are recorded together, in one transaction.
const BATCH: usize = 64;
/// How long recording may take before the deliveries are tried again.
const RECORD_LIMIT: Duration = Duration::from_secs(60);
/// The pause after the queue failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The bridge. When it fails the process ends: what it had not settled is delivered to the next one.
pub struct Bridge {
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// Records most jobs.
    pub intake: Post<Intake>,
    /// Records bootstraps.
    pub coordinator: Post<Coordinator>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Arc<Lifeline>,
}

/// Take no more deliveries. What is being recorded is recorded to the end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

impl Actor for Bridge {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (broker, intake, coordinator) = (self.broker.clone(), self.intake.clone(), self.coordinator.clone());
        let lifeline = self.lifeline.clone();
        let carry = async move {
            loop {
                let verdicts = match broker.receive(BATCH).await {
                    Ok(deliveries) => record(deliveries, &intake, &coordinator, &lifeline).await,
                    Err(error) => {
                        tracing::error!(%error, "no deliveries");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                if let Err(error) = broker.settle(verdicts).await {
                    // They are delivered again, and recognised by their ids.
                    tracing::warn!(%error, "deliveries could not be settled");
                }
            }
        };
        context.spawn(carry.into_actor(self));
    }
}

impl Handler<Close> for Bridge {
    type Result = ();

    fn handle(&mut self, _: Close, context: &mut Self::Context) {
        context.stop();
    }
}

/// Has deliveries recorded, and says what becomes of each.
async fn record(
    deliveries: Vec<Delivery>,
    intake: &Post<Intake>,
    coordinator: &Post<Coordinator>,
    lifeline: &Lifeline,
) -> Vec<(Tag, Verdict)> {
    let mut verdicts = Vec::with_capacity(deliveries.len());
    let mut together = Vec::new();
    let mut waiting = Vec::new();
    for Delivery { tag, id, job, accepted_at, attempts } in deliveries {
        match job {
            Err(reason) => {
                tracing::warn!(task = %id, reason, "a delivery is not a job; it is put aside");
                verdicts.push((tag, Verdict::Reject(reason)));
            }
            Ok(job @ Job::Bootstrap(_)) => {
                let arrived = Arrived { task: id, accepted_at, job };
                let recorded = coordinator.ask(Begin(arrived), RECORD_LIMIT).await;
                verdicts.push((tag, verdict(&recorded, attempts, lifeline)));
            }
            Ok(job) => {
                together.push(Arrived { task: id, accepted_at, job });
                waiting.push((tag, attempts));
            }
        }
    }
    if !together.is_empty() {
        let recorded = intake.ask(Stage(together), RECORD_LIMIT).await;
        verdicts.extend(waiting.into_iter().map(|(tag, attempts)| (tag, verdict(&recorded, attempts, lifeline))));
    }
    verdicts
}

fn verdict(recorded: &Result<Result<(), StoreError>, Unreachable>, attempts: u32, lifeline: &Lifeline) -> Verdict {
    let cause = match recorded {
        Ok(Ok(())) => return Verdict::Ack,
        Ok(Err(StoreError::Broken(cause))) => {
            lifeline.end_process(cause);
            cause.clone()
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(cause, attempts, "a task could not be recorded; it is delivered again");
    Verdict::retry(attempts)
}
