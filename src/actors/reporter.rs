//! Tells how tasks went, after clients see what they did.

use std::sync::Arc;

use actix::prelude::*;

use super::{round::Visible, supervisor::Lifeline};
use crate::{
    store::{StoreError, ledger::Ledger, results::Results},
    task::{Progress, TaskId},
};

/// Tasks that are reported together.
const BATCH: usize = 1000;

/// Reports every task that finished, that clients can see the change of, and that was not reported.
///
/// # Errors
/// Those of the two stores; what was not reported is reported by the next call.
pub async fn report(ledger: &dyn Ledger, results: &dyn Results, visible: &Visible) -> Result<(), StoreError> {
    loop {
        let finished = ledger.unreported(visible.through(), BATCH).await?;
        if finished.is_empty() {
            return Ok(());
        }
        let tasks = finished.iter().map(|ended| ended.task.clone()).collect();
        results.put(finished.into_iter().map(|ended| (ended.task, ended.progress)).collect()).await?;
        ledger.reported(tasks).await?;
    }
}

/// Some tasks may have finished. To lose it costs time and nothing else.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Report;

/// These tasks are recorded and wait for a round.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Waiting(pub Vec<(TaskId, Progress)>);

/// The reporter. It does one thing after the other, so that `RUNNING` never replaces the end of a task. Restarting it loses
/// nothing: the ledger knows what was not reported.
pub struct Reporter {
    /// Knows what finished.
    pub ledger: Arc<dyn Ledger>,
    /// Where clients read it.
    pub results: Arc<dyn Results>,
    /// What clients see.
    pub visible: Visible,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<Report> for Reporter {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let (ledger, results, visible) = (self.ledger.clone(), self.results.clone(), self.visible.clone());
        let work = async move {
            if let Err(error) = report(ledger.as_ref(), results.as_ref(), &visible).await {
                tracing::warn!(%error, "tasks will be reported later");
            }
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

impl Handler<Waiting> for Reporter {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Waiting(tasks): Waiting, _: &mut Self::Context) -> Self::Result {
        let results = self.results.clone();
        let work = async move {
            if let Err(error) = results.put(tasks).await {
                tracing::warn!(%error, "the progress of tasks is not shown");
            }
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}
