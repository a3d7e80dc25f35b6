//! The queue in RabbitMQ (AMQP 0-9-1).
//!
//! The queues are those of the Python programs, declared as they declare them, with one more for what is put aside. Both sides
//! connect when they are first used, in any order of start, and again whenever the connection is lost; what a publish or a
//! settle has not seen done by then is done again, for tasks have ids.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    clock::Clock,
    queue::{Broker, Delivery, QueueError, Role, Tag, Verdict, celery::Sender},
    task::{Job, TaskId},
};

mod consuming;
mod options;
mod publishing;
mod session;
mod wire;

pub use options::{AmqpOptions, QueueKind};

use consuming::Consuming;
use publishing::Publishing;

/// A [`Broker`] in RabbitMQ.
pub struct AmqpBroker {
    options: Arc<AmqpOptions>,
    clock: Clock,
    sender: Sender,
    publishing: Publishing,
    consuming: Option<Consuming>,
}

impl AmqpBroker {
    /// A broker that connects when it is first used, on the tokio runtime that uses it.
    pub fn new(options: AmqpOptions, role: Role, clock: Clock) -> Self {
        let options = Arc::new(options);
        let consuming = match role {
            Role::Publisher => None,
            Role::Consumer => Some(Consuming::new(Arc::clone(&options))),
        };
        let publishing = Publishing::new(Arc::clone(&options));
        Self { options, clock, sender: Sender::default(), publishing, consuming }
    }

    fn consuming(&self) -> Result<&Consuming, QueueError> {
        self.consuming.as_ref().ok_or_else(|| QueueError("this instance only publishes".into()))
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), QueueError> {
        let message = self.sender.message(id, job, self.clock.now()).map_err(|e| QueueError(e.to_string()))?;
        let properties = wire::properties(&message);
        self.publishing.publish(self.options.queues.of(job), message.body.as_bytes(), properties).await
    }

    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.consuming()?.receive(max, || self.clock.now()).await
    }

    async fn settle(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), QueueError> {
        self.consuming()?.settle(verdicts, &self.publishing).await
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        self.publishing.depth().await
    }
}

#[cfg(test)]
mod tests;
