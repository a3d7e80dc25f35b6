//! The floor: the same signatures, files, fsyncs and rows as a publication of the service, and nothing else.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use aws_lc_rs::signature::Ed25519KeyPair;
use rstuf::tuf::name::RoleName;
use rusqlite::{Connection, params};

use crate::{
    artifacts::Artifact,
    published::{Publication, Versioned},
};

/// Waiting for the disk overlaps.
const WRITERS: usize = 8;

pub(crate) struct Floor {
    directory: Directory,
    database: Connection,
    roles: HashMap<RoleName, i64>,
}

/// Where signed files are written, and the key that signs them.
struct Directory {
    path: PathBuf,
    key: Ed25519KeyPair,
}

impl Floor {
    /// A floor with the tables of the ledger in the new directory `home`.
    pub(crate) fn new(home: &Path) -> anyhow::Result<Self> {
        let directory = Directory { path: home.join("metadata"), key: Ed25519KeyPair::generate()? };
        fs::create_dir_all(directory.path.join(".tmp"))?;
        let database = Connection::open(home.join("ledger.db"))?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.execute_batch(include_str!("../../migrations/ledger/V1__ledger.sql"))?;
        Ok(Self { directory, database, roles: HashMap::new() })
    }

    /// Publishes once more what the service has published. All rows are written in one transaction, before the timestamp.
    pub(crate) fn publish(&mut self, publication: &Publication, artifacts: &[Artifact]) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.directory.write_all(&publication.files)?;
        self.record(publication, artifacts)?;
        self.directory.write("timestamp.json", &publication.timestamp)?;
        self.directory.sync()?;
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

impl Directory {
    fn write_all(&self, files: &[Versioned]) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let write = || -> anyhow::Result<()> {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.write(&file.name, &file.bytes)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS.min(files.len())).map(|_| scope.spawn(write)).collect();
            writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
        })?;
        self.sync()
    }

    /// Signs and writes one file.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        std::hint::black_box(self.key.sign(bytes));
        let unfinished = self.path.join(".tmp").join(name);
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(fs::rename(&unfinished, self.path.join(name))?)
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(File::open(&self.path)?.sync_all()?)
    }
}
