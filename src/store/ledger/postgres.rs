//! The ledger in PostgreSQL, for any number of processes.
//!
//! Each transaction is two round trips: one that takes the lock of the writers and reads all that must be known, one that
//! writes and commits. What must be decided in between is decided in memory, so that no number of artifacts, roles or tasks
//! makes more statements. Between the two the lock is held: a process that is paused there loses its session, and with it the
//! lock, after some seconds.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use uuid::Uuid;

use self::charter::Memory;
use super::{
    Ended, Expiry, Head, Ledger, Plan, Planned, Publication, Repository, RepositorySettings, Request,
    charter::{Amended, Amendment, Chartered, Wanted},
};
use crate::{
    store::{
        StoreError,
        postgres::{Options, Pool},
    },
    task::{Progress, TaskId},
    tuf::{
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

mod amend;
mod charter;
mod moves;
mod read;
mod requests;
mod rounds;
mod vain;
mod wanted;

/// The ledger in a PostgreSQL database. Clones share their connections, and are one instance.
#[derive(Debug, Clone)]
pub struct PostgresLedger {
    pool: Pool,
    /// Whose plans these are.
    instance: String,
    memory: Memory,
}

impl PostgresLedger {
    /// A ledger without connections: the server and the schema may come later. Until then everything is
    /// [`StoreError::Unavailable`].
    pub fn new(options: &Options) -> Self {
        Self { pool: Pool::new(options), instance: Uuid::new_v4().simple().to_string(), memory: Memory::default() }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn stage(&self, requests: Vec<Request>, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError> {
        requests::stage(&self.pool, &self.memory, requests, now).await
    }

    async fn settings(&self) -> Result<Option<RepositorySettings>, StoreError> {
        read::settings(&self.pool).await
    }

    async fn repository(&self) -> Result<Option<Repository>, StoreError> {
        read::repository(&self.pool).await
    }

    async fn head(&self) -> Result<Option<Head>, StoreError> {
        read::head(&self.pool).await
    }

    async fn plan(&self, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
        rounds::plan::plan(&self.pool, &self.memory, &self.instance, now, limit).await
    }

    async fn charter(&self) -> Result<Chartered, StoreError> {
        charter::charter(&self.pool, &self.memory).await
    }

    async fn amend(&self, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError> {
        amend::amend(&self.pool, &self.memory, amendment, now).await
    }

    async fn wanted(&self, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
        wanted::wanted(&self.pool, &self.memory, now).await
    }

    async fn waiting(&self, role: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        read::waiting(&self.pool, role, limit).await
    }

    async fn covering(&self, scopes: Vec<(RoleName, Scope)>) -> Result<BTreeSet<RoleName>, StoreError> {
        read::covering(&self.pool, scopes).await
    }

    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Info)>>, StoreError> {
        read::artifacts(&self.pool, &roles).await
    }

    async fn published(&self) -> Result<BTreeMap<RoleName, MetaFile>, StoreError> {
        read::published(&self.pool).await
    }

    async fn commit(&self, plan: &Plan, publication: Publication, now: Timestamp) -> Result<Head, StoreError> {
        rounds::commit::commit(&self.pool, &self.memory, &self.instance, plan, publication, now).await
    }

    async fn refuse(
        &self,
        role: &RoleName,
        through: i64,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<TaskId>, StoreError> {
        rounds::refuse(&self.pool, &self.memory, role, through, reason, now).await
    }

    async fn unreported(&self, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
        read::unreported(&self.pool, through, limit).await
    }

    async fn reported(&self, tasks: Vec<TaskId>) -> Result<(), StoreError> {
        requests::reported(&self.pool, &tasks).await
    }

    async fn report_again(&self, since: Timestamp) -> Result<(), StoreError> {
        requests::report_again(&self.pool, since).await
    }

    async fn expiries(&self) -> Result<BTreeMap<String, Expiry>, StoreError> {
        read::expiries(&self.pool).await
    }
}

/// What stands for a path in keys.
fn key(path: &ArtifactPath) -> Vec<u8> {
    digest(&SHA256, path.as_str().as_bytes()).as_ref().to_vec()
}

/// A number of rows as PostgreSQL takes it.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
