//! The floor: the same signatures, files, fsyncs and rows as a publication of the service, and nothing else.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use rstuf::{load::floor::directory::Directory, tuf::name::RoleName};
use rusqlite::{Connection, params};

use crate::{artifacts::Artifact, published::Publication};

pub(crate) struct Floor {
    directory: Directory,
    database: Connection,
    roles: HashMap<RoleName, i64>,
}

impl Floor {
    /// A floor with the tables of the ledger in the new directory `home`.
    pub(crate) fn new(home: &Path) -> anyhow::Result<Self> {
        let directory = Directory::new(&home.join("metadata"))?;
        let database = Connection::open(home.join("ledger.db"))?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.execute_batch(include_str!("../../migrations/ledger/V1__ledger.sql"))?;
        Ok(Self { directory, database, roles: HashMap::new() })
    }

    /// Publishes once more what the service has published. All rows are written in one transaction, before the timestamp.
    pub(crate) fn publish(&mut self, publication: &Publication, artifacts: &[Artifact]) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let files = publication.files.iter().map(|file| (file.name.as_str(), &file.bytes));
        self.directory.write_all(&files.collect::<Vec<_>>())?;
        self.record(publication, artifacts)?;
        self.directory.write_all(&[("timestamp.json", &publication.timestamp)])?;
        Ok(begin.elapsed())
    }

    fn record(&mut self, publication: &Publication, artifacts: &[Artifact]) -> anyhow::Result<()> {
        let transaction = self.database.transaction()?;
        {
            let sql = "insert into roles (name, given_out, version, renew_at) values (?1, ?2, ?2, ?3)
                on conflict (name) do update set given_out = ?2, version = ?2, renew_at = ?3 returning id";
            let mut role = transaction.prepare_cached(sql)?;
            for file in &publication.files {
                let row = params![file.role.as_str(), file.version, 1_800_000_000 + file.version];
                let id = role.query_row(row, |row| row.get(0))?;
                self.roles.insert(file.role.clone(), id);
            }
            let sql = "insert into artifacts (role, path, info) values (?1, ?2, ?3)";
            let mut artifact = transaction.prepare_cached(sql)?;
            for Artifact { role, path, info } in artifacts {
                let role = self.roles.get(role).context("an artifact of a role that was not published")?;
                artifact.execute(params![role, path.as_str(), info.to_string()])?;
            }
            let sql = "insert into tasks (id, action, accepted_at, progress) values (?1, 'task', 0, '{}')";
            transaction.prepare_cached(sql)?.execute([format!("{:032x}", fastrand::u128(..))])?;
            let sql = "insert or replace into head (id, sequence, timestamp_version, timestamp) values (1, 1, 1, ?1)";
            transaction.prepare_cached(sql)?.execute([&publication.timestamp])?;
        }
        Ok(transaction.commit()?)
    }
}
