//! The floor: the same signatures, files, fsyncs and rows, and no service around them.
//!
//! A round takes one request of each client. It does what no service that keeps its promises can leave out, one step after the
//! other: the three transactions, the bins, snapshot, and the timestamp between whose writing and the next round there is nothing.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use self::{
    directory::Directory,
    files::Listed,
    rows::{Request, Row, Rows, Versions},
};
use super::{
    artifacts::{Artifact, Digest, Kind},
    machine::cpu_seconds,
    report::{Output, Report},
    times::Times,
};
use crate::tuf::bins::{Bins, Layout};

pub mod directory;
pub mod files;
pub mod rows;

/// Artifacts of a request that fills the repository.
const FILL: usize = 10_000;

/// How much is done, and where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A directory on the disk that is to be measured; what is written into it is removed at the end
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Put the rows into this PostgreSQL, in a schema that is removed at the end [default: SQLite in the directory]
    #[arg(long, value_name = "postgres://…")]
    pub db: Option<String>,
    /// Hash bins of the repository
    #[arg(long, default_value_t = 256)]
    pub bins: u32,
    /// Requests that share a round
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// Artifacts of each request
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub artifacts_per_request: u32,
    /// Requests altogether
    #[arg(long, value_name = "M", default_value_t = 1000)]
    pub requests: u64,
    /// First store so many artifacts, of which nothing is measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fill: u64,
    /// The report.
    #[command(flatten)]
    pub output: Output,
}

/// Measures it and publishes the report.
///
/// # Errors
/// Those of the disk and of the database.
pub async fn run(options: Options) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.data_dir).with_context(|| format!("can't make {}", options.data_dir.display()))?;
    let home = tempfile::Builder::new().prefix("rstuf-floor-").tempdir_in(&options.data_dir)?;
    let rows = match &options.db {
        Some(url) => Rows::postgres(url).await?,
        None => Rows::sqlite(home.path())?,
    };
    let bins = Bins::new(options.bins, Layout::Succinct)?;
    let directory = Directory::new(&home.path().join("metadata"))?;
    let kind = Kind::new("load", Digest::Sha256)?;
    let mut floor = Floor { bins, directory, rows, kind, listed: Listed::new(bins), sequence: 1 };
    let report = floor.measure(&options).await;
    floor.rows.drop_tables().await?;
    options.output.publish(&report?)
}

struct Floor {
    bins: Bins,
    directory: Directory,
    rows: Rows,
    kind: Kind,
    listed: Listed,
    /// Of the next staged row.
    sequence: i64,
}

impl Floor {
    async fn measure(&mut self, options: &Options) -> anyhow::Result<Report> {
        let &Options { clients, artifacts_per_request, requests, .. } = options;
        let observer = options.output.observe()?;
        let mut left = usize::try_from(options.fill).context("--fill")?;
        while left > 0 {
            let count = left.min(FILL);
            self.round(1, count).await?;
            left -= count;
        }

        let (mut times, mut watcher) = (Times::new()?, options.output.watcher());
        let (mut left, mut rounds) = (requests, 0);
        let (begin, cpu) = (Instant::now(), cpu_seconds("self"));
        while left > 0 {
            let together = left.min(u64::from(clients));
            let round = Instant::now();
            self.round(usize::try_from(together)?, artifacts_per_request as usize).await?;
            (0..together).for_each(|_| times.record(round.elapsed()));
            left -= together;
            rounds += 1;
            watcher.tell(|| format!("{rounds} rounds, {left} requests left"));
        }
        let seconds = begin.elapsed().as_secs_f64();
        let cpu = cpu_seconds("self").zip(cpu).map_or(0.0, |(end, begin)| end - begin);

        let database = if options.db.is_some() { "PostgreSQL" } else { "SQLite" };
        let what = format!("floor: {clients} requests a round, {artifacts_per_request} artifacts each, {database}");
        let settings = json!({
            "bins": self.bins.count(), "clients": clients, "artifacts_per_request": artifacts_per_request,
            "requests": requests, "filled": options.fill, "database": database,
        });
        let mut report = Report::new(what, settings);
        report.count("requests", requests);
        report.count("rounds", rounds);
        report.count("artifacts stored at the end", self.rows.stored().await?.unsigned_abs());
        report.rate("requests", requests, seconds);
        report.rate("artifacts", requests * u64::from(artifacts_per_request), seconds);
        report.times("request to visible", times);
        report.processor("the floor", cpu);
        report.usages(observer.finish());
        Ok(report)
    }

    /// All that so many requests with so many artifacts each need until clients see them.
    async fn round(&mut self, requests: usize, artifacts: usize) -> anyhow::Result<()> {
        let requests = (0..requests).map(|_| self.request(artifacts)).collect::<anyhow::Result<Vec<_>>>()?;
        let count = requests.iter().map(|request| request.artifacts.len()).sum::<usize>();
        self.rows.stage(self.sequence, &requests).await?;
        self.sequence += i64::try_from(count)?;

        let mut changed: Vec<_> = requests.iter().flat_map(|r| r.artifacts.iter().map(|row| row.bin)).collect();
        changed.sort_unstable();
        changed.dedup();
        self.listed.advance(&changed);
        let version = |bin: &usize| Ok((i64::try_from(*bin)?, i64::try_from(self.listed.version_of(*bin))?));
        let bins = changed.iter().map(version).collect::<anyhow::Result<_>>()?;
        let versions = Versions { bins, version: i64::try_from(self.listed.version())? };
        self.rows.plan(&versions).await?;

        for row in requests.iter().flat_map(|request| &request.artifacts) {
            self.listed.add(row.bin, &row.path, &row.info);
        }
        let (files, timestamp) = self.listed.render(&changed);
        self.directory.write_all(&files)?;
        self.rows.commit(&versions, &requests, self.sequence - 1, &timestamp).await?;
        self.directory.point("timestamp.json", timestamp.as_bytes())
    }

    fn request(&self, artifacts: usize) -> anyhow::Result<Request> {
        let row = |_| {
            let artifact = Artifact::fresh();
            let path = self.kind.path(artifact)?;
            let bin = self.bins.index_of(&path) as usize;
            Ok(Row { bin, path: path.into(), info: self.kind.info(artifact) })
        };
        let task = format!("{:032x}", fastrand::u128(..));
        Ok(Request { task, artifacts: (0..artifacts).map(row).collect::<anyhow::Result<_>>()? })
    }
}
