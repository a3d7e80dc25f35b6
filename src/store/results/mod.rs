//! The progress of tasks, for `GET /task`.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    store::StoreError,
    task::{Progress, TaskId},
};

mod celery;
#[cfg(test)]
pub(crate) mod contract;
pub mod redis;
pub mod sqlite;

pub use celery::python_list;

/// For how long a finished task is remembered unless it is configured otherwise.
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// The progress of tasks, kept for a while after they finished.
///
/// What a backend promises: a `put` replaces what is known of the task, but for the end of a task, which only another end replaces:
/// a worker that is slow to tell that a task waits never hides how it ended. What was put is read by the next `get` of any
/// instance. It may forget: finished tasks after their time (24 h unless configured), and everything when it is lost; the ledger
/// still knows every task that was recorded.
#[async_trait]
pub trait Results: Send + Sync {
    /// Records how far these tasks have come.
    async fn put(&self, reports: Vec<(TaskId, Progress)>) -> Result<(), StoreError>;

    /// How far a task has come, `None` when nothing is known of it.
    async fn get(&self, id: &TaskId) -> Result<Option<Progress>, StoreError>;
}
