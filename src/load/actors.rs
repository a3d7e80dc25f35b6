//! Drives the intake and the publisher of a worker in this process directly through their mailboxes: no HTTP, no queue.
//!
//! The driver stands where the bridge stands in a worker: it hands over up to 64 tasks at once, one batch after the other, and
//! keeps as many tasks under way as there are clients.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    artifacts::{Artifact, Digest, Kind},
    machine::cpu_seconds,
    report::{Output, Report, Watcher},
    times::Times,
};
use crate::{
    actors::{Resources, Worker, intake::Arrived, intake::Stage, publisher::Wake},
    clock::Clock,
    demo::ceremony,
    queue::{
        Broker,
        local::{Capacity, LocalBroker},
    },
    store::{
        StoreError,
        bucket::{Bucket, File, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{Ledger, sqlite::SqliteLedger},
        results::{DEFAULT_EXPIRY, Results, sqlite::SqliteResults},
        settings::sqlite::SqliteSettings,
        shared::SharedDatabase,
    },
    task::{AddArtifacts, ArtifactInfo, Job, Progress, TaskId},
    telemetry::metrics::Metrics,
    tuf::{bins::Layout, name::Version},
};

/// Tasks that are handed over together, as the bridge does.
const BATCH: usize = 64;
/// Changes that one round takes: the default of a server.
const ROUND: usize = 200_000;
const STAGE_LIMIT: Duration = Duration::from_secs(60);
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60);
/// Artifacts of a request that fills the repository.
const FILL: usize = 10_000;

/// How much is done, and where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A directory on the disk that is to be measured; what is written into it is removed at the end [default: that of temporary files]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<std::path::PathBuf>,
    /// Hash bins of the repository
    #[arg(long, default_value_t = 256)]
    pub bins: u32,
    /// Tasks that are under way at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// Artifacts of each task
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub artifacts_per_request: u32,
    /// Tasks altogether
    #[arg(long, value_name = "M", default_value_t = 1000)]
    pub requests: u64,
    /// How long a task may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub limit: u64,
    /// First add so many artifacts, of which nothing is measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fill: u64,
    /// The report.
    #[command(flatten)]
    pub output: Output,
}

/// Measures it, publishes the report, and says whether all tasks ended well.
///
/// # Errors
/// When the worker can't be started, or does not go on.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("rstuf-load-");
    let home = match &options.data_dir {
        None => builder.tempdir()?,
        Some(directory) => {
            std::fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
            builder.tempdir_in(directory)?
        }
    };
    let observer = options.output.observe()?;
    let mut driver = Driver::start(home.path(), options.bins, Duration::from_secs(options.limit)).await?;
    driver.fill(options.fill, options.output.watcher()).await?;
    let (first, cpu) = (driver.rounds().await?, cpu_seconds("self"));
    let (requests, artifacts) = (usize::try_from(options.requests)?, options.artifacts_per_request as usize);
    let (clients, watcher) = (usize::from(options.clients), options.output.watcher());
    let driven = driver.drive(requests, artifacts, clients, watcher).await?;
    let cpu = cpu_seconds("self").zip(cpu).map_or(0.0, |(end, begin)| end - begin);
    let rounds = driver.rounds().await? - first;
    let usages = observer.finish();
    driver.worker.shut_down().await;

    let bins = options.bins;
    let what = format!("actors: {clients} tasks under way, {artifacts} artifacts each, SQLite");
    let settings = json!({
        "bins": bins, "clients": clients, "artifacts_per_request": artifacts, "requests": requests,
        "filled": options.fill, "database": "SQLite",
    });
    let mut report = Report::new(what, settings);
    let published = driven.success * artifacts as u64;
    report.count("tasks staged", driven.staged);
    report.count("tasks with SUCCESS", driven.success);
    report.count("tasks that ended otherwise", driven.failed);
    report.count("rounds", rounds.unsigned_abs());
    report.rate("artifacts staged", driven.staged * artifacts as u64, driven.staging.as_secs_f64());
    report.rate("artifacts published", published, driven.seconds);
    report.times("stage to recorded", driven.to_recorded);
    report.times("stage to visible", driven.to_visible);
    report.times("stage to reported", driven.to_reported);
    report.processor("all", cpu);
    report.usages(usages);
    options.output.publish(&report)?;
    Ok(driven.failed == 0)
}

/// A worker and what it says.
pub(super) struct Driver {
    pub(super) worker: Worker,
    pub(super) broker: Arc<LocalBroker>,
    /// Who hold the root keys.
    pub(super) table: ceremony::Table,
    ledger: Arc<SqliteLedger>,
    pointed: Arc<Pointed>,
    reports: mpsc::UnboundedReceiver<Told>,
    kind: Kind,
    limit: Duration,
}

/// What came of some tasks.
pub(super) struct Driven {
    staged: u64,
    success: u64,
    pub(super) failed: u64,
    /// In which tasks were being recorded.
    staging: Duration,
    /// From the first task to the last report.
    seconds: f64,
    to_recorded: Times,
    to_visible: Times,
    to_reported: Times,
}

impl Driver {
    /// A worker with a repository, on embedded stores in `home`.
    pub(super) async fn start(home: &Path, bins: u32, limit: Duration) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let key_dir = home.join("keys");
        std::fs::create_dir_all(&key_dir)?;
        let ledger = Arc::new(SqliteLedger::open(&home.join("ledger.db"))?);
        let pointed = Arc::new(Pointed::new(DirectoryBucket::open(home.join("metadata"))?));
        let shared = SharedDatabase::open(home.join("shared.db"))?;
        let results = SqliteResults::new(&shared, clock.clone(), DEFAULT_EXPIRY);
        let (told, reports) = mpsc::unbounded_channel();
        let broker = Arc::new(LocalBroker::open(home.join("queue.db"), clock.clone(), Capacity::default()).await?);
        let worker = Worker::start(Resources {
            broker: broker.clone(),
            ledger: ledger.clone(),
            bucket: pointed.clone(),
            settings: Arc::new(SqliteSettings::new(&shared)),
            results: Arc::new(Heard { results, told }),
            keys: Arc::new(KeyStore::new(key_dir.clone())),
            clock: clock.clone(),
            batch: ROUND,
            rotation_grace: Duration::from_secs(600),
            renewal_interval: RENEWAL_INTERVAL,
            result_expiry: DEFAULT_EXPIRY,
            metrics: Metrics::new(clock.now()),
        });
        let table = ceremony::Table::sit_down()?;
        let root = table.root(Version::FIRST, ceremony::online_key(&key_dir, "online")?, clock.now())?;
        let body = ceremony::bootstrap(&root, bins, Layout::Succinct);
        let bootstrap = serde_json::from_value(json!({
            "settings": body["settings"], "metadata": body["metadata"], "timeout": 300,
        }))?;
        broker.publish(&TaskId::random(), &Job::Bootstrap(Box::new(bootstrap))).await?;
        let kind = Kind::new("load", Digest::Sha256)?;
        let mut driver = Self { worker, broker, table, ledger, pointed, reports, kind, limit };
        loop {
            match driver.next_report().await?.progress {
                Progress::Finished(outcome) if outcome.status => return Ok(driver),
                Progress::Running { .. } => {}
                other => bail!("the bootstrap ended with {other:?}"),
            }
        }
    }

    /// Publications until now.
    async fn rounds(&self) -> anyhow::Result<i64> {
        Ok(self.ledger.head().await?.map_or(0, |head| head.sequence))
    }

    pub(super) async fn next_report(&mut self) -> anyhow::Result<Told> {
        let report = tokio::time::timeout(self.limit, self.reports.recv()).await;
        report.context("nothing was reported in time")?.context("the worker is gone")
    }

    /// Stores artifacts, of which nothing is measured.
    pub(super) async fn fill(&mut self, artifacts: u64, watcher: Watcher) -> anyhow::Result<()> {
        let all = usize::try_from(artifacts).context("--fill")?;
        if all > 0 {
            let of_each = all.min(FILL);
            let filled = self.drive(all.div_ceil(of_each), of_each, 1, watcher).await?;
            anyhow::ensure!(filled.failed == 0, "the repository can't be filled");
        }
        Ok(())
    }

    /// Adds `requests` times so many artifacts, with at most `clients` tasks under way.
    pub(super) async fn drive(
        &mut self,
        requests: usize,
        artifacts: usize,
        clients: usize,
        mut watcher: Watcher,
    ) -> anyhow::Result<Driven> {
        let (intake, publisher) = (self.worker.intake(), self.worker.publisher());
        let mut under_way: HashMap<TaskId, Instant> = HashMap::new();
        let mut driven = Driven {
            staged: 0,
            success: 0,
            failed: 0,
            staging: Duration::ZERO,
            seconds: 0.0,
            to_recorded: Times::new()?,
            to_visible: Times::new()?,
            to_reported: Times::new()?,
        };
        let begin = Instant::now();
        let mut left = requests;
        while left > 0 || !under_way.is_empty() {
            let count = (clients - under_way.len()).min(BATCH).min(left);
            if count > 0 {
                let arrived = (0..count).map(|_| self.arrived(artifacts)).collect::<anyhow::Result<Vec<_>>>()?;
                let staged = Instant::now();
                under_way.extend(arrived.iter().map(|arrived| (arrived.task.clone(), staged)));
                intake.ask(Stage(arrived.into_iter().map(Arc::new).collect()), STAGE_LIMIT).await??;
                // The intake has said the same already; to say it twice must cost nothing.
                publisher.tell(Wake);
                driven.staging += staged.elapsed();
                (0..count).for_each(|_| driven.to_recorded.record(staged.elapsed()));
                driven.staged += count as u64;
                left -= count;
            }
            // What is there is taken; only who has no room for another task waits.
            let mut report = match left > 0 && under_way.len() < clients {
                true => self.reports.try_recv().ok(),
                false => Some(self.next_report().await?),
            };
            while let Some(Told { task, progress, at }) = report {
                self.note(&mut driven, &mut under_way, &task, &progress, at);
                report = self.reports.try_recv().ok();
            }
            watcher.tell(|| format!("{} tasks staged, {} with SUCCESS", driven.staged, driven.success));
        }
        driven.seconds = begin.elapsed().as_secs_f64();
        Ok(driven)
    }

    fn note(
        &self,
        driven: &mut Driven,
        under_way: &mut HashMap<TaskId, Instant>,
        task: &TaskId,
        progress: &Progress,
        at: Instant,
    ) {
        if matches!(progress, Progress::Running { .. }) {
            return;
        }
        // A task may be reported twice, and says the same.
        let Some(staged) = under_way.remove(task) else { return };
        driven.to_reported.record(at - staged);
        match progress {
            Progress::Finished(outcome) if outcome.status => {
                driven.success += 1;
                let visible = self.pointed.after(outcome.last_update).unwrap_or(at);
                driven.to_visible.record(visible.saturating_duration_since(staged));
            }
            _ => driven.failed += 1,
        }
    }

    fn arrived(&self, artifacts: usize) -> anyhow::Result<Arrived> {
        let artifact = |_| {
            let artifact = Artifact::fresh();
            let info: ArtifactInfo = serde_json::from_str(&self.kind.info(artifact))?;
            Ok(crate::task::Artifact { info, path: self.kind.path(artifact)? })
        };
        let artifacts = (0..artifacts).map(artifact).collect::<anyhow::Result<_>>()?;
        let add = AddArtifacts { artifacts, add_task_id_to_custom: false, publish_artifacts: true };
        Ok(Arrived { task: TaskId::random(), accepted_at: Timestamp::now(), job: Job::AddArtifacts(add) })
    }
}

/// What the reporter said of a task, and when that was written.
pub(super) struct Told {
    pub(super) task: TaskId,
    pub(super) progress: Progress,
    pub(super) at: Instant,
}

/// The results of tasks, of which the driver hears too.
struct Heard {
    results: SqliteResults,
    told: mpsc::UnboundedSender<Told>,
}

#[async_trait]
impl Results for Heard {
    async fn put(&self, reports: Vec<(TaskId, Progress)>) -> Result<(), StoreError> {
        self.results.put(reports.clone()).await?;
        let at = Instant::now();
        for (task, progress) in reports {
            // At the end nobody listens any more.
            let _ = self.told.send(Told { task, progress, at });
        }
        Ok(())
    }

    async fn get(&self, id: &TaskId) -> Result<Option<Progress>, StoreError> {
        self.results.get(id).await
    }
}

/// The bucket, which notes when clients began to see something new.
struct Pointed {
    bucket: DirectoryBucket,
    times: Mutex<Vec<(Timestamp, Instant)>>,
}

impl Pointed {
    fn new(bucket: DirectoryBucket) -> Self {
        Self { bucket, times: Mutex::default() }
    }

    /// When clients saw what was committed at `commit`: from the first point after it, since a round does one after the other.
    fn after(&self, commit: Timestamp) -> Option<Instant> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let first = times.partition_point(|(time, _)| *time < commit);
        times.get(first).map(|(_, instant)| *instant)
    }
}

#[async_trait]
impl Bucket for Pointed {
    async fn create(&self, files: Vec<File>) -> Result<(), StoreError> {
        self.bucket.create(files).await
    }

    async fn point(&self, seen: Option<Vec<u8>>, timestamp: Vec<u8>) -> Result<bool, StoreError> {
        let done = self.bucket.point(seen, timestamp).await?;
        if done {
            let now = (Timestamp::now(), Instant::now());
            self.times.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        }
        Ok(done)
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bucket.read(name).await
    }
}
