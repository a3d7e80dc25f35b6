//! The ledger in a SQLite file, for a single process.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Ended, Head, Ledger, Plan, Planned, Publication, Repository, RepositorySettings, Request};
use crate::{
    store::{
        StoreError,
        sqlite::{Database, Durability},
    },
    task::{Outcome, Progress, TaskId},
    tuf::{
        name::{ArtifactPath, NameError, RoleName, Version},
        snapshot::MetaFile,
    },
};

mod read;
mod requests;
mod rounds;

mod embedded {
    refinery::embed_migrations!("migrations/ledger");
}

/// The ledger in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    database: Database,
}

impl SqliteLedger {
    /// Opens the file, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the file is no ledger, or one of a newer program; else [`StoreError::Unavailable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Database::open(path, Durability::Full, embedded::migrations::runner()).map(|database| Self { database })
    }

    /// Runs `work` in a transaction: all of it is committed, or nothing.
    async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database
            .try_call(move |connection: &mut Connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            })
            .await
    }

    /// Reads with `work`, without the lock of a writer.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database.try_call(move |connection| work(connection)).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn stage(&self, requests: Vec<Request>, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError> {
        self.transaction(move |tx| requests.into_iter().map(|request| requests::stage(tx, request, now)).collect())
            .await
    }

    async fn settings(&self) -> Result<Option<RepositorySettings>, StoreError> {
        self.read(read::settings).await
    }

    async fn repository(&self) -> Result<Option<Repository>, StoreError> {
        self.read(read::repository).await
    }

    async fn head(&self) -> Result<Option<Head>, StoreError> {
        self.read(read::head).await
    }

    async fn plan(&self, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
        self.transaction(move |tx| rounds::plan(tx, now, limit)).await
    }

    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Value)>>, StoreError> {
        self.read(move |connection| roles.iter().map(|role| read::artifacts(connection, role)).collect()).await
    }

    async fn published(&self) -> Result<BTreeMap<RoleName, MetaFile>, StoreError> {
        self.read(read::published).await
    }

    async fn commit(&self, plan: &Plan, publication: Publication, now: Timestamp) -> Result<Head, StoreError> {
        let plan = plan.clone();
        self.transaction(move |tx| rounds::commit(tx, plan, publication, now)).await
    }

    async fn refuse(
        &self,
        role: &RoleName,
        through: i64,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<TaskId>, StoreError> {
        let role = role.clone();
        self.transaction(move |tx| rounds::refuse(tx, &role, through, reason, now)).await
    }

    async fn unreported(&self, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
        self.read(move |connection| read::unreported(connection, through, limit)).await
    }

    async fn reported(&self, tasks: Vec<TaskId>) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let mut update = tx.prepare_cached("update tasks set reported = 1 where id = ?1")?;
            for task in tasks {
                update.execute([task.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn report_again(&self, since: Timestamp) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            tx.execute("update tasks set reported = 0 where finished_at >= ?1", [since.as_microsecond()])?;
            Ok(())
        })
        .await
    }

    async fn expiries(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        self.read(read::expiries).await
    }
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a value has no JSON: {error}")))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Broken(format!("the ledger holds JSON of another form: {error}")))
}

/// A value that was checked when it was stored.
fn checked<T>(parsed: Result<T, NameError>) -> Result<T, StoreError> {
    parsed.map_err(|error| StoreError::Broken(format!("the ledger holds what is not allowed: {error}")))
}

fn role(text: &str) -> Result<RoleName, StoreError> {
    checked(RoleName::parse(text))
}

fn path(text: &str) -> Result<ArtifactPath, StoreError> {
    checked(ArtifactPath::parse(text))
}

fn version(number: i64) -> Result<Version, StoreError> {
    checked(u64::try_from(number).map_err(|_| NameError::Version).and_then(Version::new))
}

/// A version as SQLite takes it.
fn number(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}

fn time(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|error| StoreError::Broken(format!("the ledger holds no time: {error}")))
}

/// How a task ended, with the time at which clients saw it.
fn ended(progress: &str, finished_at: i64) -> Result<Progress, StoreError> {
    let last_update = time(finished_at)?;
    Ok(match from_json(progress)? {
        Progress::Finished(outcome) => Progress::Finished(Outcome { last_update, ..outcome }),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn keeps_the_promises_of_a_ledger() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut count = 0;
        super::super::contract::all(|| {
            count += 1;
            SqliteLedger::open(&directory.path().join(format!("{count}.db"))).expect("a ledger")
        })
        .await;
    }
}
