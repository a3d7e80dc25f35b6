//! A connection to RabbitMQ on which the queues are known to have been declared, with a channel.

use lapin::{
    Channel, Connection, ConnectionProperties, Error, ErrorKind,
    options::QueueDeclareOptions,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use super::options::{AmqpOptions, QueueKind};
use crate::queue::QueueError;

/// The reply code of an orderly close.
const GOODBYE: u16 = 200;

/// A connection and a channel of it. The connection is closed when this is dropped.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
}

impl Session {
    /// Connects, and declares the queues.
    pub(super) async fn open(options: &AmqpOptions, purpose: &str) -> Result<Self, QueueError> {
        let properties = ConnectionProperties::default().with_connection_name(format!("rstuf {purpose}").into());
        let runtime = lapin::runtime::default_runtime().map_err(unavailable)?;
        let connection = Connection::connect_uri_with_config(options.uri(), properties, options.tls(), runtime);
        let connection = connection.await.map_err(unavailable)?;
        declare(&connection, options).await?;
        let channel = connection.create_channel().await.map_err(unavailable)?;
        Ok(Self { connection, channel })
    }

    /// Whether nothing is known to be wrong with it.
    pub(super) fn is_alive(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// The messages that wait in the queues. Asked on a channel of its own, for an error closes it.
    pub(super) async fn count(&self, queues: [&str; 2]) -> Result<u64, QueueError> {
        let channel = self.connection.create_channel().await.map_err(unavailable)?;
        let mut ready = 0;
        for queue in queues {
            ready += u64::from(look(&channel, queue).await?.message_count());
        }
        channel.close(GOODBYE, "done".into()).await.map_err(unavailable)?;
        Ok(ready)
    }
}

/// Declares all queues as Celery does. A queue that exists with other arguments is used as it is.
pub(super) async fn declare(connection: &Connection, options: &AmqpOptions) -> Result<(), QueueError> {
    let [tasks, internals] = options.queues.consumed();
    let mut channel = connection.create_channel().await.map_err(unavailable)?;
    for queue in [tasks, internals, options.queues.dead_letters()] {
        let mut arguments = FieldTable::default();
        if options.kind == QueueKind::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        match channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await {
            Ok(_) => {}
            Err(error) if exists_otherwise(&error) => {
                tracing::warn!(queue, %error, "the queue exists with other arguments; it is used as it is");
                channel = connection.create_channel().await.map_err(unavailable)?;
            }
            Err(error) => return Err(unavailable(error)),
        }
    }
    channel.close(GOODBYE, "done".into()).await.map_err(unavailable)
}

/// Asks for a queue without making it.
pub(super) async fn look(channel: &Channel, queue: &str) -> Result<lapin::Queue, QueueError> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.map_err(unavailable)
}

fn exists_otherwise(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}

pub(super) fn unavailable(error: Error) -> QueueError {
    QueueError(error.to_string())
}
