//! One connection that many share, made anew when it was lost.
//!
//! Our own, because the library's keeps the error for ever when the server refused the first words of a connection, as one does
//! that is still loading its data.

use std::{fmt, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use super::{STORE, unavailable};
use crate::store::StoreError;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long everything may take, waiting for others included.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection to one database. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// How many there were.
    serial: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, current: Mutex::default() }))
    }

    /// Does these commands, which must be harmless when they are done twice: when the connection was found to be lost they
    /// are sent once more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; they may have been done.
    pub async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        match timeout(LIMIT, self.try_twice(commands)).await {
            Ok(answer) => answer.map_err(unavailable),
            Err(_) => Err(StoreError::unavailable(STORE, format_args!("no answer for {} s", LIMIT.as_secs()))),
        }
    }

    async fn try_twice<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        match self.try_once(commands).await {
            Err(error) if error.is_connection_dropped() => self.try_once(commands).await,
            answer => answer,
        }
    }

    async fn try_once<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        let (mut connection, serial) = self.current().await?;
        let answer = commands.query_async(&mut connection).await;
        if let Err(error) = &answer
            && (error.is_io_error() || error.is_unrecoverable_error())
        {
            self.discard(serial).await;
        }
        answer
    }

    async fn current(&self) -> Result<(MultiplexedConnection, u64), RedisError> {
        let mut current = self.0.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.serial));
        }
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        let connection = self.0.client.get_multiplexed_async_connection_with_config(&limits).await?;
        current.connection = Some(connection.clone());
        current.serial += 1;
        Ok((connection, current.serial))
    }

    /// Forgets the connection, unless another one has replaced it.
    async fn discard(&self, serial: u64) {
        let mut current = self.0.current.lock().await;
        if current.serial == serial {
            current.connection = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::server, *};

    async fn client_id(connection: &Connection) -> u64 {
        let (id,): (u64,) = connection.run(redis::pipe().cmd("client").arg("id")).await.expect("an id");
        id
    }

    #[tokio::test]
    async fn a_lost_connection_is_replaced_unnoticed() {
        let (connection, other) = (server().connection(None).expect("lazy"), server().connection(None).expect("lazy"));
        let before = client_id(&connection).await;
        let kill = || redis::pipe().cmd("client").arg("kill").arg("id").arg(before).to_owned();
        let (killed,): (u64,) = other.run(&kill()).await.expect("killed");
        assert_eq!(killed, 1);
        assert_ne!(client_id(&connection.clone()).await, before);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_stops_no_start() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let connection = super::super::Server::parse("127.0.0.1", Some(port), None).expect("a server").connection(None);
        let refused: Result<(String,), _> = connection.expect("lazy").run(redis::pipe().cmd("ping")).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    }
}
