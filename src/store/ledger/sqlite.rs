//! The ledger in a SQLite file, for a single process.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    Ended, Expiry, Head, Ledger, Plan, Planned, Publication, Repository, RepositorySettings, Request,
    charter::{Amended, Amendment, Chartered, Wanted},
};
use crate::{
    store::{
        StoreError,
        sqlite::{Database, Durability},
    },
    task::{Progress, TaskId},
    tuf::{
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

mod charter;
mod moves;
mod read;
mod requests;
mod rounds;
mod signed;

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

    async fn charter(&self) -> Result<Chartered, StoreError> {
        self.read(read::charter).await
    }

    async fn amend(&self, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError> {
        self.transaction(move |tx| charter::amend(tx, amendment, now)).await
    }

    async fn wanted(&self, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
        self.transaction(move |tx| charter::wanted(tx, now)).await
    }

    async fn waiting(&self, role: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        let role = role.clone();
        self.read(move |connection| read::waiting(connection, &role, limit)).await
    }

    async fn covering(&self, scopes: Vec<(RoleName, Scope)>) -> Result<BTreeSet<RoleName>, StoreError> {
        self.read(move |connection| read::covering(connection, scopes)).await
    }

    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Info)>>, StoreError> {
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

    async fn expiries(&self) -> Result<BTreeMap<String, Expiry>, StoreError> {
        self.read(read::expiries).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn keeps_the_promises_of_a_ledger() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut count = 0;
        super::super::contract::all(async || {
            count += 1;
            SqliteLedger::open(&directory.path().join(format!("{count}.db"))).expect("a ledger")
        })
        .await;
    }
}
