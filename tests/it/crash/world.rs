//! A process on a directory, without its network: the embedded stores behind a fuse, and the functions of the actors.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rstuf::{
    actors::{
        bins::{self, Order, UpdateError, Updated},
        bootstrap, reporter,
        round::{Done, Hands, Memory, Parts, RoundError, Visible, round},
        settings,
        signer::{self, SigningKeys},
    },
    clock::Clock,
    store::{
        StoreError,
        bucket::{Bucket, File, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{
            Ended, Head, Ledger, NewRepository, Plan, Planned, Publication, Repository, RepositorySettings, Request,
            Work, sqlite::SqliteLedger,
        },
        results::{Results, sqlite::SqliteResults},
        settings::{BOOTSTRAP, Settings, sqlite::SqliteSettings},
        shared::SharedDatabase,
    },
    task::{Progress, TaskId},
    telemetry::metrics::Metrics,
    tuf::{
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
        wire::Unsigned,
    },
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Next,
    fuse::{Fault, Fuse},
    scenario,
};
use crate::harness::{ceremony::Ceremony, checker::Checker};

/// What all runs have in common.
pub(super) struct Scenario {
    ceremony: Ceremony,
    repository: NewRepository,
    keys: Arc<KeyStore>,
    /// Where the files of the ceremony and the keys are.
    _held: TempDir,
}

impl Scenario {
    pub(super) async fn new(ceremony: Ceremony, held: TempDir) -> Self {
        let mut payload = ceremony.payload.clone();
        payload["timeout"] = 300.into();
        let payload = serde_json::from_value(payload).expect("a bootstrap");
        let keys = Arc::new(KeyStore::new(held.path().join("keys")));
        let repository = bootstrap::prepare(&payload, &keys, Timestamp::now()).await.expect("a good bootstrap");
        Self { ceremony, repository, keys, _held: held }
    }
}

/// A process, and the same one again after it ended.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    home: TempDir,
    fuse: Arc<Fuse>,
    checker: Arc<Mutex<Checker>>,
    process: Process,
}

/// What a process has.
struct Process {
    parts: Parts,
    bucket: Arc<FusedBucket>,
    memory: Memory,
    settings: Arc<dyn Settings>,
    results: Arc<dyn Results>,
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, fault: Option<(usize, Fault)>) -> Self {
        // Nothing here depends on the disk; where there is memory to write to, it is quicker.
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a directory");
        let fuse = Arc::new(Fuse::new(fault));
        let checker = Checker::of(home.path().join("metadata"), &scenario.ceremony);
        let checker = Arc::new(Mutex::new(checker));
        let process = start(scenario, &home, &fuse, &checker);
        Self { scenario, home, fuse, checker, process }
    }

    /// Does everything, however often it takes.
    pub(super) async fn run(&mut self, next: Next) {
        let bins = self.scenario.repository.settings.bins().expect("bins");
        let create = Work::Create(Box::new(self.scenario.repository.clone()));
        let first = std::iter::once(("bootstrap", create));
        let tasks = first.chain(scenario::tasks(bins)).chain(std::iter::once(scenario::other(bins)));
        let mut other = next == Next::OtherWork;
        for (id, work) in tasks {
            while let Err(error) = self.attempt(id, work.clone()).await {
                assert!(matches!(error, RoundError::Store(StoreError::Unavailable { .. })), "{error}");
                self.check();
                if self.fuse.restart() {
                    self.process = start(self.scenario, &self.home, &self.fuse, &self.checker);
                }
                // Before the bootstrap is recorded no other work is accepted.
                let ledger = &self.process.parts.ledger;
                if other && ledger.settings().await.expect("the ledger is read").is_some() {
                    let (id, work) = scenario::other(bins);
                    self.attempt(id, work).await.expect("the fault happens once");
                    other = false;
                }
            }
        }
        self.check();
    }

    /// What follows a delivery: it is recorded, rounds run until nothing is left, settings and results are told.
    async fn attempt(&mut self, id: &str, work: Work) -> Result<(), RoundError> {
        let Process { parts, memory, settings, results, .. } = &mut self.process;
        let now = parts.clock.now();
        let task = TaskId::from_text(id);
        let request = Request { task: task.clone(), accepted_at: now, work };
        parts.ledger.stage(vec![request], now).await?;
        while round(parts, memory).await? != Done::Nothing {}
        settings::project(parts.ledger.as_ref(), settings.as_ref()).await?;
        reporter::report(parts.ledger.as_ref(), results.as_ref(), &parts.visible, |_| {}).await?;
        let progress = results.get(&task).await?;
        assert!(matches!(&progress, Some(Progress::Finished(outcome)) if outcome.status), "{id}: {progress:?}");
        assert_eq!(settings.get(BOOTSTRAP).await?, "bootstrap");
        Ok(())
    }

    fn check(&self) {
        check(&self.home.path().join("metadata"), &self.checker);
    }

    /// How often the bucket was read whole after a write to it.
    pub(super) fn reads(&self) -> usize {
        self.process.bucket.reads.load(Ordering::Relaxed)
    }

    pub(super) fn writes(&self) -> Vec<String> {
        self.fuse.writes()
    }

    pub(super) fn is_burnt(&self) -> bool {
        self.fuse.is_burnt()
    }

    pub(super) fn artifacts(&self) -> BTreeMap<String, Value> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).artifacts()
    }
}

/// Reads the bucket as a client does, once there is something to read, and says whether there was.
fn check(bucket: &std::path::Path, checker: &Mutex<Checker>) -> bool {
    let is_published = bucket.join("timestamp.json").exists();
    if is_published {
        checker.lock().unwrap_or_else(PoisonError::into_inner).check();
    }
    is_published
}

/// A new process on what the last one left.
fn start(scenario: &Scenario, home: &TempDir, fuse: &Arc<Fuse>, checker: &Arc<Mutex<Checker>>) -> Process {
    let clock = Clock::system();
    let ledger = SqliteLedger::open(&home.path().join("ledger.db")).expect("the ledger opens");
    let bucket = DirectoryBucket::open(home.path().join("metadata")).expect("the bucket opens");
    let shared = SharedDatabase::open(home.path().join("shared.db")).expect("the shared database opens");
    let results = SqliteResults::new(&shared, clock.clone(), Duration::from_secs(3600));
    let fused = |fuse: &Arc<Fuse>| fuse.clone();
    let bucket = Arc::new(FusedBucket {
        bucket,
        fuse: fused(fuse),
        directory: home.path().join("metadata"),
        checker: checker.clone(),
        reads: AtomicUsize::new(0),
    });
    Process {
        bucket: bucket.clone(),
        parts: Parts {
            ledger: Arc::new(FusedLedger { ledger, fuse: fused(fuse) }),
            bucket,
            hands: Arc::new(OwnHands {
                keys: scenario.keys.clone(),
                ledger: SqliteLedger::open(&home.path().join("ledger.db")).expect("the ledger opens"),
            }),
            clock,
            batch: 1000,
            visible: Visible::default(),
            metrics: Metrics::default(),
        },
        memory: Memory::default(),
        settings: Arc::new(FusedSettings { settings: SqliteSettings::new(&shared), fuse: fused(fuse) }),
        results: Arc::new(FusedResults { results, fuse: fused(fuse) }),
    }
}

/// Signs without actors.
struct OwnHands {
    keys: Arc<KeyStore>,
    ledger: SqliteLedger,
}

#[async_trait]
impl Hands for OwnHands {
    async fn sign(&self, _: &RoleName, keys: Arc<SigningKeys>, draft: Unsigned) -> Result<Vec<u8>, UpdateError> {
        Ok(signer::sign(&self.keys, &keys, vec![draft]).await?.remove(0))
    }

    async fn update(&self, order: Order) -> Result<Vec<Updated>, UpdateError> {
        let keys = order.keys.clone();
        let sign = |drafts| async move { Ok(signer::sign(&self.keys, &keys, drafts).await?) };
        bins::update(&self.ledger, sign, order).await
    }
}

struct FusedLedger {
    ledger: SqliteLedger,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Ledger for FusedLedger {
    async fn stage(&self, requests: Vec<Request>, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError> {
        self.fuse.write("stage", self.ledger.stage(requests, now)).await
    }

    async fn settings(&self) -> Result<Option<RepositorySettings>, StoreError> {
        self.ledger.settings().await
    }

    async fn repository(&self) -> Result<Option<Repository>, StoreError> {
        self.ledger.repository().await
    }

    async fn head(&self) -> Result<Option<Head>, StoreError> {
        self.ledger.head().await
    }

    async fn plan(&self, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
        self.fuse.write("plan", self.ledger.plan(now, limit)).await
    }

    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Value)>>, StoreError> {
        self.ledger.artifacts(roles).await
    }

    async fn published(&self) -> Result<BTreeMap<RoleName, MetaFile>, StoreError> {
        self.ledger.published().await
    }

    async fn commit(&self, plan: &Plan, publication: Publication, now: Timestamp) -> Result<Head, StoreError> {
        self.fuse.write("commit", self.ledger.commit(plan, publication, now)).await
    }

    async fn refuse(
        &self,
        role: &RoleName,
        through: i64,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<TaskId>, StoreError> {
        self.fuse.write("refuse", self.ledger.refuse(role, through, reason, now)).await
    }

    async fn unreported(&self, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
        self.ledger.unreported(through, limit).await
    }

    async fn reported(&self, tasks: Vec<TaskId>) -> Result<(), StoreError> {
        self.fuse.write("reported", self.ledger.reported(tasks)).await
    }

    async fn report_again(&self, since: Timestamp) -> Result<(), StoreError> {
        self.ledger.report_again(since).await
    }

    async fn expiries(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        self.ledger.expiries().await
    }
}

/// Writes one file after the other, and has a client read everything after each.
struct FusedBucket {
    bucket: DirectoryBucket,
    fuse: Arc<Fuse>,
    directory: PathBuf,
    checker: Arc<Mutex<Checker>>,
    reads: AtomicUsize,
}

impl FusedBucket {
    fn read_whole(&self) {
        if check(&self.directory, &self.checker) {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Bucket for FusedBucket {
    async fn create(&self, files: Vec<File>) -> Result<(), StoreError> {
        for file in files {
            self.fuse.write("create", self.bucket.create(vec![file])).await?;
            self.read_whole();
        }
        Ok(())
    }

    async fn point(&self, seen: Option<Vec<u8>>, timestamp: Vec<u8>) -> Result<bool, StoreError> {
        let pointed = self.fuse.write("point", self.bucket.point(seen, timestamp)).await?;
        self.read_whole();
        Ok(pointed)
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bucket.read(name).await
    }
}

struct FusedSettings {
    settings: SqliteSettings,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Settings for FusedSettings {
    async fn all(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        self.settings.all().await
    }

    async fn get(&self, name: &str) -> Result<Value, StoreError> {
        self.settings.get(name).await
    }

    async fn put(&self, fields: BTreeMap<String, Value>) -> Result<(), StoreError> {
        self.fuse.write("project", self.settings.put(fields)).await
    }

    async fn swap(&self, name: &str, expected: &Value, new: Value) -> Result<bool, StoreError> {
        self.settings.swap(name, expected, new).await
    }
}

struct FusedResults {
    results: SqliteResults,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Results for FusedResults {
    async fn put(&self, reports: Vec<(TaskId, Progress)>) -> Result<(), StoreError> {
        self.fuse.write("put results", self.results.put(reports)).await
    }

    async fn get(&self, id: &TaskId) -> Result<Option<Progress>, StoreError> {
        self.results.get(id).await
    }
}
