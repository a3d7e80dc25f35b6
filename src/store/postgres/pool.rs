//! The connections: made when they are needed, replaced when they are lost.

use std::{fmt, future::Future, time::Duration};

use deadpool::{
    Runtime,
    managed::{self, Metrics, PoolError, RecycleError, RecycleResult, TimeoutType},
};
use deadpool_postgres::ClientWrapper;
use futures_util::future::{BoxFuture, try_join_all};
use tokio::time::timeout;
use tokio_postgres::{Client, Error, Row, Statement, types::ToSql};

use super::{
    Options,
    errors::{failed, unavailable},
    schema,
};
use crate::store::StoreError;

/// How many connections a process has at most.
const CONNECTIONS: usize = 8;
/// How long to wait for one of them.
const WAIT: Duration = Duration::from_secs(15);
/// How long the making of one may take, from the first packet to a checked schema.
const CREATE: Duration = Duration::from_secs(10);
/// How long a connection may have been idle to be taken for alive without asking. Asking costs a round trip.
const FRESH: Duration = Duration::from_secs(5);
/// How long the answer to that may take.
const ALIVE: Duration = Duration::from_secs(2);
/// How long one call may take before the connection is given up; more than the server allows a statement, so that it
/// ends here only when the server does not answer.
const CALL: Duration = Duration::from_secs(90);

/// Each session runs with these. Whoever is paused within a transaction must not hold up the others for long. Costs must
/// follow what is asked for, not what is stored, whatever the statistics say of tables that grow and empty within a
/// second: so every join goes through an index, with one plan for all parameters, and nobody waits for helpers to start.
const SESSION: &str = "set search_path = rstuf; set idle_in_transaction_session_timeout = '10s'; \
    set lock_timeout = '20s'; set statement_timeout = '60s'; set default_transaction_isolation = 'read committed'; \
    set jit = off; set max_parallel_workers_per_gather = 0; set plan_cache_mode = force_generic_plan; \
    set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

/// The connections to one server.
#[derive(Clone)]
pub(crate) struct Pool(managed::Pool<Manager>);

impl Pool {
    /// A pool without connections: they are made when they are needed.
    pub(crate) fn new(options: &Options) -> Self {
        let pool = managed::Pool::builder(Manager(options.clone()))
            .max_size(CONNECTIONS)
            .queue_mode(managed::QueueMode::Lifo)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CREATE))
            .recycle_timeout(Some(ALIVE))
            .runtime(Runtime::Tokio1)
            .build();
        Self(pool.expect("a pool with time-outs fails only without a runtime, and it has one"))
    }

    /// Begins a transaction that writes, and asks in it: the rows of each question. A connection that turns out to be lost
    /// is replaced.
    pub(crate) async fn begin(&self, questions: &[Call<'_>]) -> Result<(Session, Vec<Vec<Row>>), StoreError> {
        let mut session = self.session().await?;
        let mut answers = session.limited(session.begin(questions)).await?;
        if answers.as_ref().is_err_and(|error| session.is_lost(error)) {
            session = self.session().await?;
            answers = session.limited(session.begin(questions)).await?;
        }
        session.outcome(answers).await.map(|answers| (session, answers))
    }

    /// Asks one question.
    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let mut session = self.session().await?;
        let mut rows = session.limited(session.rows(sql, params)).await?;
        if rows.as_ref().is_err_and(|error| session.is_lost(error)) {
            session = self.session().await?;
            rows = session.limited(session.rows(sql, params)).await?;
        }
        session.settled = true;
        rows.map_err(failed)
    }

    async fn session(&self) -> Result<Session, StoreError> {
        let object = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => unavailable("all connections are in use"),
            PoolError::Timeout(_) => unavailable(format!("no answer within {CREATE:?}")),
            other => unavailable(other),
        })?;
        Ok(Session { object: Some(object), settled: false })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.manager().0).finish()
    }
}

/// A connection that is in use. Unless it was [finished](Session::finish) it may be within a transaction, and is closed
/// when it is dropped: the server then takes back what was not committed.
pub(crate) struct Session {
    /// `Some` until dropped.
    object: Option<managed::Object<Manager>>,
    settled: bool,
}

/// The begin of a transaction that writes. One is under way at a time, in the whole fleet: what each reads was
/// committed before it, and sequences are in the order of the commits. The lock ends with the transaction.
const BEGIN: &str = "begin; select pg_advisory_xact_lock(7310577365299852646)";

impl Session {
    fn wrapper(&self) -> &ClientWrapper {
        self.object.as_ref().expect("it is only taken when the session is dropped")
    }

    /// Makes the statements known to the server, as far as they aren't: after that what uses them can be sent at once.
    async fn prepare(&self, statements: &[&str]) -> Result<Vec<Statement>, Error> {
        try_join_all(statements.iter().map(|sql| self.wrapper().prepare_cached(sql))).await
    }

    async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let statement = self.wrapper().prepare_cached(sql).await?;
        self.wrapper().query(&statement, params).await
    }

    /// Begins a transaction and asks in it, in one round trip; the rows of each question.
    async fn begin(&self, questions: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let statements = self.prepare(&questions.iter().map(|(sql, _)| *sql).collect::<Vec<_>>()).await?;
        // They are polled, and so sent, in this order.
        let questions =
            statements.into_iter().zip(questions).map(|(statement, (_, params))| self.ask(statement, params));
        let mut rows = try_join_all(std::iter::once(self.say(BEGIN)).chain(questions)).await?;
        rows.remove(0);
        Ok(rows)
    }

    /// A statement that is prepared already.
    fn ask<'a>(&'a self, statement: Statement, params: &'a [&'a (dyn ToSql + Sync)]) -> Answer<'a> {
        Box::pin(async move { self.wrapper().query(&statement, params).await })
    }

    /// What has no parameters and no rows.
    fn say(&self, sql: &'static str) -> Answer<'_> {
        Box::pin(async move { self.wrapper().batch_execute(sql).await.map(|()| Vec::new()) })
    }

    /// Writes and commits, in one round trip; the rows of each statement.
    pub(crate) async fn finish(mut self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let result = self.limited(self.write_and_commit(calls)).await?;
        self.outcome(result).await.inspect(|_| self.settled = true)
    }

    async fn write_and_commit(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let statements = self.prepare(&calls.iter().map(|(sql, _)| *sql).collect::<Vec<_>>()).await?;
        let writes = statements.into_iter().zip(calls).map(|(statement, (_, params))| self.ask(statement, params));
        // The commit of a transaction in which something failed takes it back.
        let mut rows = try_join_all(writes.chain(std::iter::once(self.say("commit")))).await?;
        rows.pop();
        Ok(rows)
    }

    /// Asks and writes more within the transaction, in one round trip; the rows of each statement.
    pub(crate) async fn go_on(&mut self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let result = self.limited(self.answers(calls)).await?;
        self.outcome(result).await
    }

    async fn answers(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let statements = self.prepare(&calls.iter().map(|(sql, _)| *sql).collect::<Vec<_>>()).await?;
        try_join_all(statements.into_iter().zip(calls).map(|(statement, (_, params))| self.ask(statement, params)))
            .await
    }

    /// Ends the transaction without a change.
    pub(crate) async fn leave(mut self) -> Result<(), StoreError> {
        let result = self.limited(self.wrapper().batch_execute("rollback")).await?;
        self.settled = result.is_ok();
        result.map_err(failed)
    }

    /// After an error the transaction is taken back, so that the connection can be used again.
    async fn outcome<T>(&mut self, result: Result<T, Error>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                if error.as_db_error().is_some() {
                    self.settled =
                        self.limited(self.wrapper().batch_execute("rollback")).await.is_ok_and(|r| r.is_ok());
                }
                Err(failed(error))
            }
        }
    }

    async fn limited<T>(&self, call: impl Future<Output = T>) -> Result<T, StoreError> {
        timeout(CALL, call).await.map_err(|_| unavailable(format!("no answer within {CALL:?}")))
    }

    /// Whether the connection was lost before the server could do anything. When it ends sessions it says so first.
    fn is_lost(&self, error: &Error) -> bool {
        error.is_closed() || error.as_db_error().is_some_and(|said| said.code().code().starts_with("57P")) || {
            error.as_db_error().is_none() && self.wrapper().is_closed()
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.settled
            && let Some(object) = self.object.take()
        {
            drop(managed::Object::take(object));
        }
    }
}

/// The rows of a statement that is on its way.
type Answer<'a> = BoxFuture<'a, Result<Vec<Row>, Error>>;

/// A statement with its parameters.
pub(crate) type Call<'a> = (&'a str, Vec<&'a (dyn ToSql + Sync)>);

/// Makes connections, and looks at them before they are used again.
struct Manager(Options);

impl managed::Manager for Manager {
    type Type = ClientWrapper;
    type Error = StoreError;

    async fn create(&self) -> Result<ClientWrapper, StoreError> {
        let client = connect(&self.0).await?;
        client.batch_execute(SESSION).await.map_err(failed)?;
        schema::check(&client).await?;
        Ok(client)
    }

    async fn recycle(&self, client: &mut ClientWrapper, metrics: &Metrics) -> RecycleResult<StoreError> {
        if client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        if metrics.last_used() > FRESH {
            client.simple_query("").await.map_err(failed)?;
        }
        Ok(())
    }
}

/// A new connection, without any setting.
pub(super) async fn connect(options: &Options) -> Result<ClientWrapper, StoreError> {
    let connecting = options.config.connect(options.tls.clone());
    let (client, connection): (Client, _) = timeout(CREATE, connecting)
        .await
        .map_err(|_| unavailable(format!("{options} does not answer within {CREATE:?}")))?
        .map_err(|error| match failed(error) {
            StoreError::Unavailable { store, cause } => {
                StoreError::Unavailable { store, cause: format!("{options}: {cause}") }
            }
            other => other,
        })?;
    let task = tokio::spawn(async move {
        // Whoever uses the connection gets the error too.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the database ended");
        }
    });
    Ok(ClientWrapper::new(client, task))
}
