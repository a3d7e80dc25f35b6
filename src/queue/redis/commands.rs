//! Commands to Redis over one shared connection, which is made anew when it is lost.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::time::timeout;

use crate::queue::{QueueError, link::Link};

/// How often a command is sent that is safe to repeat: once more after the connection was lost.
const MOST_SENDINGS: u32 = 2;

/// A connection that is shared by many.
pub(super) struct Commands {
    client: Client,
    limit: Duration,
    link: Link<MultiplexedConnection>,
}

impl Commands {
    /// `limit` is that of a command with all that has to be done anew for it.
    pub(super) fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit, link: Link::default() }
    }

    /// Sends a command, and waits for the answer; within the limit also for a server that comes back. It may be sent twice.
    pub(super) async fn run<T, F: Future<Output = RedisResult<T>>>(
        &self,
        command: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, QueueError> {
        self.send(MOST_SENDINGS, command).await
    }

    /// Sends a command that must not be repeated before it is known what it did.
    pub(super) async fn once<T, F: Future<Output = RedisResult<T>>>(
        &self,
        command: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, QueueError> {
        self.send(1, command).await
    }

    async fn send<T, F: Future<Output = RedisResult<T>>>(
        &self,
        most_sendings: u32,
        command: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, QueueError> {
        let mut cause = None;
        let answered = timeout(self.limit, async {
            let mut sendings = 0;
            loop {
                let connect = async || connect(&self.client, self.limit).await;
                let connection = match self.link.connection(|_| true, connect).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        cause = Some(error);
                        continue;
                    }
                };
                sendings += 1;
                let error = match command(MultiplexedConnection::clone(&connection)).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let lost = error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error();
                if lost {
                    self.link.forget(&connection).await;
                }
                if !lost || sendings >= most_sendings {
                    return Err(unavailable(error));
                }
                cause = Some(unavailable(error));
            }
        });
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(QueueError(match cause {
                Some(QueueError(cause)) => format!("no answer within {:?}: {cause}", self.limit),
                None => format!("no answer within {:?}", self.limit),
            })),
        }
    }
}

/// A connection whose answers may take as long as `limit`.
pub(super) async fn connect(client: &Client, limit: Duration) -> Result<MultiplexedConnection, QueueError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(unavailable)
}

pub(super) fn unavailable(error: RedisError) -> QueueError {
    QueueError(error.to_string())
}
