//! A SQLite database behind an async door: one connection, owned by one thread.
//!
//! Calls run one after the other in the order in which they came, so a database needs no lock of its own. A call that
//! was handed over runs to its end even if nobody waits for it any more: its outcome is then unknown to the
//! caller, never half. A call that panics is rolled back and harms no later call.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use refinery::{Runner, error::Kind};
use rusqlite::{Connection, ErrorCode, config::DbConfig};
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// Calls that may wait; more wait outside, in their callers.
const WAITING_CALLS: usize = 64;
/// How long SQLite waits for another process (a backup, a shell) to release the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Page cache, in KiB; SQLite wants it negative to mean KiB.
const CACHE_KIB: i64 = -8 * 1024;
/// The size in bytes to which the write-ahead log shrinks after a checkpoint.
const WAL_LIMIT_BYTES: i64 = 64 * 1024 * 1024;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power cut: each commit waits for the disk.
    Full,
    /// The end of the process, but a power cut may undo the last commits (never half of one).
    Normal,
}

impl Durability {
    /// The value of `pragma synchronous` for it, in a database with a write-ahead log.
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// A handle on an open database. Clones share the connection; the last one to go closes it.
#[derive(Debug, Clone)]
pub(crate) struct Database(Arc<Door>);

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug)]
struct Door {
    /// `None` only while closing.
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Database {
    /// Opens or creates the database in the file `path` and brings its schema up to date. Blocks; for start-up.
    ///
    /// Migrations are not locked against each other: the caller holds the lock of the data directory.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the file is no database or its schema is of another or a newer program.
    pub(crate) fn open(path: &Path, durability: Durability, migrations: Runner) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let (calls, mut waiting) = mpsc::channel::<Call>(WAITING_CALLS);
        let (opened, outcome) = std::sync::mpsc::sync_channel(1);
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let thread = thread::Builder::new()
            .name(format!("sqlite-{name}"))
            .spawn(move || {
                let mut connection = match connect(&path, durability, &migrations) {
                    Ok(connection) => connection,
                    Err(error) => {
                        // The opener waits for this; it can't be gone.
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                let _ = opened.send(Ok(()));
                while let Some(call) = waiting.blocking_recv() {
                    run(call, &mut connection);
                }
            })
            .map_err(|e| StoreError::unavailable("sqlite", e))?;
        let door = Door { calls: Some(calls), thread: Some(thread) };
        outcome
            .recv()
            .map_err(|_| StoreError::Broken("a database could not be opened: its thread panicked".into()))??;
        Ok(Self(Arc::new(door)))
    }

    /// Runs `f` on the connection, after all calls that came before.
    ///
    /// # Errors
    /// What SQLite said, by what can be done about it: see [`StoreError`].
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.try_call(|connection| f(connection).map_err(StoreError::from)).await
    }

    /// Like [`call`](Self::call), for what has errors of its own; those of SQLite become [`StoreError`] with `?`.
    ///
    /// # Errors
    /// Those of `f`, and [`StoreError::Broken`] when it panicked.
    pub(crate) async fn try_call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            let result = f(connection);
            // Nobody may be waiting any more; the work is done all the same.
            let _ = answer.send(result);
        });
        let calls = self.0.calls.as_ref().expect("calls is only taken when the last handle is dropped");
        calls.send(call).await.map_err(|_| StoreError::Broken("the thread of a database has ended".into()))?;
        outcome.await.map_err(|_| StoreError::Broken("a database call panicked".into()))?
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.calls.take());
        let Some(thread) = self.thread.take() else { return };
        // A call may own the last handle; its thread can't wait for itself.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

fn run(call: Call, connection: &mut Connection) {
    if catch_unwind(AssertUnwindSafe(|| call(connection))).is_err() {
        tracing::error!("a database call panicked");
    }
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("rollback")
    {
        tracing::error!(%error, "a database call left a transaction that can't be rolled back");
    }
}

fn connect(path: &Path, durability: Durability, migrations: &Runner) -> Result<Connection, StoreError> {
    let named = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    let prepare = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", durability.pragma())?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    let mut connection = prepare().map_err(|error| match StoreError::from(error) {
        StoreError::Unavailable { store, cause } => StoreError::Unavailable { store, cause: named(&cause) },
        other => StoreError::Broken(named(&other)),
    })?;
    migrations.run(&mut connection).map_err(|error| match error.kind() {
        Kind::MissingVersion(migration) => StoreError::Broken(named(&format!(
            "written by a newer version of this program (its schema has {migration}): run that version, or restore a backup"
        ))),
        Kind::DivergentVersion(applied, _) => StoreError::Broken(named(&format!(
            "its schema has another {applied} than this program: it belongs to a different build"
        ))),
        other => StoreError::Broken(named(&format!("can't bring the schema up to date: {other}"))),
    })?;
    Ok(connection)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OperationInterrupted,
            ) => StoreError::unavailable("sqlite", error),
            _ => StoreError::Broken(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use refinery::Migration;

    const TABLE: &str = "create table t (n integer not null) strict;";

    fn migrations(all: &[(&str, &str)]) -> Runner {
        let all: Vec<_> = all.iter().map(|(name, sql)| Migration::unapplied(name, sql).expect("a migration")).collect();
        Runner::new(&all)
    }

    fn open(path: &Path) -> Database {
        Database::open(path, Durability::Full, migrations(&[("V1__t", TABLE)])).expect("opened")
    }

    async fn numbers(database: &Database) -> Vec<i64> {
        database
            .call(|c| c.prepare("select n from t order by n")?.query_map([], |row| row.get(0))?.collect())
            .await
            .expect("read")
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_reopening() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("t.db");
        let database = open(&path);
        database.call(|c| c.execute("insert into t (n) values (1)", [])).await.expect("written");
        drop(database);
        assert!(!dir.path().join("t.db-wal").exists(), "the last handle closes the file");
        assert_eq!(numbers(&open(&path)).await, [1]);
    }

    #[tokio::test]
    async fn a_panic_is_rolled_back_and_harms_no_later_call() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = open(&dir.path().join("t.db"));
        let outcome = database
            .call(|c| -> rusqlite::Result<()> {
                c.execute_batch("begin; insert into t (n) values (1)")?;
                panic!("on purpose")
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Broken(_))), "{outcome:?}");
        assert_eq!(numbers(&database).await, [] as [i64; 0]);
    }

    #[tokio::test]
    async fn an_error_rolls_back_what_the_call_left_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = open(&dir.path().join("t.db"));
        let outcome = database
            .try_call(|c| {
                c.execute_batch("begin; insert into t (n) values (1)")?;
                Err::<(), _>(StoreError::Lost("on purpose".into()))
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Lost(_))), "{outcome:?}");
        assert_eq!(numbers(&database).await, [] as [i64; 0]);
    }

    #[tokio::test]
    async fn a_call_runs_to_its_end_though_nobody_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = open(&dir.path().join("t.db"));
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let insert = database.call(move |c| {
            gate.recv().expect("told to go");
            c.execute("insert into t (n) values (1)", [])
        });
        let waited = tokio::time::timeout(Duration::from_millis(1), insert).await;
        assert!(waited.is_err(), "the call is still held at the gate");
        go.send(()).expect("the call waits");
        assert_eq!(numbers(&database).await, [1]);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("t.db");
        let newer = migrations(&[("V1__t", TABLE), ("V2__u", "create table u (n integer);")]);
        drop(Database::open(&path, Durability::Full, newer).expect("opened"));
        let error = Database::open(&path, Durability::Full, migrations(&[("V1__t", TABLE)])).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("newer version") && text.contains("t.db"), "{text}");
    }

    #[test]
    fn what_is_no_database_is_broken_and_what_is_missing_is_unavailable() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("t.db");
        std::fs::write(&path, "certainly not a database, and long enough to be taken for one".repeat(20))
            .expect("written");
        let outcome = Database::open(&path, Durability::Full, migrations(&[("V1__t", TABLE)]));
        assert!(matches!(outcome, Err(StoreError::Broken(_))), "{outcome:?}");
        let missing = dir.path().join("none").join("t.db");
        let outcome = Database::open(&missing, Durability::Full, migrations(&[("V1__t", TABLE)]));
        assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    }
}
