//! Puts aside what can never be done: first the task is shown as failed, then the delivery is rejected.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{Verdicts, recorder::later};
use crate::{
    queue::{Tag, Verdict},
    store::results::Results,
    task::{Progress, TaskId},
};

/// How long the results may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A delivery that can never be done.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) tag: Tag,
    /// The task, where that is known.
    pub(super) task: Option<TaskId>,
    pub(super) attempts: u32,
    pub(super) reason: String,
}

/// Puts lots aside until none come any more. One whose failure can't be shown now is delivered again.
pub(super) async fn run(
    results: Arc<dyn Results>,
    mut unusable: mpsc::Receiver<Vec<Unusable>>,
    settled: mpsc::Sender<Verdicts>,
) {
    while let Some(lot) = unusable.recv().await {
        let failed =
            |unusable: &Unusable| Some((unusable.task.clone()?, Progress::Failed { message: unusable.reason.clone() }));
        let failures: Vec<_> = lot.iter().filter_map(failed).collect();
        let shown = failures.is_empty() || is_shown(results.as_ref(), failures).await;
        let verdict = |Unusable { tag, task, attempts, reason }: Unusable| match (task, shown) {
            (Some(_), false) => (tag, later(attempts)),
            _ => (tag, Verdict::Reject(reason)),
        };
        if settled.send(lot.into_iter().map(verdict).collect()).await.is_err() {
            return;
        }
    }
}

async fn is_shown(results: &dyn Results, failures: Vec<(TaskId, Progress)>) -> bool {
    match timeout(LIMIT, results.put(failures)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%error, "failures can't be shown; their deliveries come again"),
        Err(_) => tracing::warn!("failures could not be shown in time; their deliveries come again"),
    }
    false
}
