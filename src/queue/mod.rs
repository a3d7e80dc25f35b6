//! The delivery promise between the API and the workers.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::task::{Job, TaskId};

pub mod amqp;
pub mod celery;
#[cfg(test)]
pub(crate) mod contract;
mod here;
mod link;
pub mod local;
pub mod redis;
pub mod routing;
#[cfg(test)]
pub(crate) mod server;

/// One receive stops at so many bytes of jobs though there are more: they are all in memory at once.
const RECEIVED_BYTES: u64 = 32 * 1024 * 1024;

/// What a program does with a broker between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It only publishes, as the API does.
    Publisher,
    /// It consumes, as a worker does; it may publish too.
    Consumer,
}

/// The broker could not take or give a job. Nothing is known to have happened; to publish again under the same id is safe.
#[derive(Debug, Error)]
#[error("the queue is unavailable: {0}")]
pub struct QueueError(pub String);

/// Carries jobs from the API to the workers.
///
/// What a backend promises:
///
/// - When [`publish`](Broker::publish) has returned `Ok` the job survives the end of every process and a power cut, and is
///   delivered at least once until it is settled with [`Verdict::Ack`] or [`Verdict::Reject`].
/// - A delivery that is not settled when its worker ends is delivered again, to any worker.
/// - Deliveries come in about the order of their publishing; a worker must be right in any order and with repeats.
/// - What can't be read as a job is delivered too, as [`Delivery::job`] `Err`: only the worker rejects it.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Takes a job, durably.
    async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), QueueError>;

    /// Waits until there is a delivery, and returns 1 to `max` of them. Each is handed out once until it is settled or
    /// its worker ends. Dropping the future loses nothing.
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError>;

    /// Settles deliveries of this instance.
    async fn settle(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), QueueError>;

    /// The jobs that wait and are not handed out; that it answers shows that the broker is reached.
    async fn depth(&self) -> Result<u64, QueueError>;
}

/// Names a delivery towards the broker that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub i64);

/// A job on its way to a worker.
#[derive(Debug)]
pub struct Delivery {
    /// How to settle it.
    pub tag: Tag,
    /// The task, as far as it could be read.
    pub id: TaskId,
    /// The job, or why it can't be read as one.
    pub job: Result<Job, String>,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// How often it was handed out before.
    pub attempts: u32,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded elsewhere: forget it.
    Ack,
    /// Not now: deliver it again after this time.
    Retry(Duration),
    /// It can never be done: put it aside with the reason.
    Reject(String),
}

impl Verdict {
    /// A retry whose wait grows with the attempts: 100 ms, doubled each time, at most 30 s.
    pub fn retry(attempts: u32) -> Self {
        let wait = Duration::from_millis(100) * 2u32.saturating_pow(attempts.min(16));
        Verdict::Retry(wait.min(Duration::from_secs(30)))
    }
}
