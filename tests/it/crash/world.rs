//! A process on a directory, without its network: the embedded stores behind a fuse, and the functions of the actors.

use std::{
    collections::{BTreeMap, BTreeSet},
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
        bootstrap,
        drafting::{self, DraftError, Drafted},
        reporter,
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
            Ended, Expiry, Head, Ledger, NewRepository, Plan, Planned, Publication, Repository, RepositorySettings,
            Request, Work,
            charter::{Amended, Amendment, Chartered, Wanted},
            postgres::PostgresLedger,
            sqlite::SqliteLedger,
        },
        postgres,
        results::{Results, sqlite::SqliteResults},
        settings::{BOOTSTRAP, Settings, sqlite::SqliteSettings},
        shared::SharedDatabase,
    },
    task::{Progress, TaskId},
    telemetry::metrics::Metrics,
    tuf::{
        bins::Bins,
        delegation::Scope,
        info::Info,
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
use crate::harness::{ceremony::Ceremony, checker::Checker, services};

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
        let repository = bootstrap::prepare(&payload, Timestamp::now()).expect("a good bootstrap");
        Self { ceremony, repository, keys, _held: held }
    }
}

impl Scenario {
    /// One that people have prepared.
    pub(super) fn of(ceremony: Ceremony, repository: NewRepository, held: TempDir) -> Self {
        let keys = Arc::new(KeyStore::new(held.path().join("keys")));
        Self { ceremony, repository, keys, _held: held }
    }

    /// The repository that is founded.
    pub(super) fn repository(&self) -> &NewRepository {
        &self.repository
    }
}

/// Where a ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Backend {
    /// In a file of each run.
    Sqlite,
    /// In this database, which each run empties.
    Postgres(String),
}

impl Backend {
    /// A new database on the server of the tests.
    pub(super) async fn postgres() -> Self {
        let url = services::shared_database().await;
        // The server goes on running whatever ends here, so nobody needs to wait for its disk.
        services::execute(
            &url,
            "do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$",
        )
        .await;
        Self::Postgres(url)
    }
}

/// What all processes of a run have in common: their stores, and a client who reads everything after every write.
pub(super) struct Place<'a> {
    scenario: &'a Scenario,
    backend: Backend,
    home: TempDir,
    checker: Arc<Mutex<Checker>>,
}

impl<'a> Place<'a> {
    pub(super) async fn new(scenario: &'a Scenario, backend: &Backend) -> Self {
        if let Backend::Postgres(url) = backend {
            services::execute(url, "drop schema if exists rstuf cascade").await;
            postgres::migrate(&options(url)).await.expect("the schema can be made");
        }
        // Nothing here depends on the disk; where there is memory to write to, it is quicker.
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a directory");
        let checker = Checker::of(home.path().join("metadata"), &scenario.ceremony);
        Self { scenario, backend: backend.clone(), home, checker: Arc::new(Mutex::new(checker)) }
    }

    /// A new process on what others left.
    pub(super) fn start(&self, fuse: &Arc<Fuse>, clock: Clock) -> Process {
        let bucket = self.home.path().join("metadata");
        let shared = SharedDatabase::open(self.home.path().join("shared.db")).expect("the shared database opens");
        let results = SqliteResults::new(&shared, clock.clone(), Duration::from_secs(3600));
        let ledger = self.ledger();
        let bucket = Arc::new(FusedBucket {
            bucket: DirectoryBucket::open(bucket.clone()).expect("the bucket opens"),
            fuse: fuse.clone(),
            directory: bucket,
            checker: self.checker.clone(),
            reads: AtomicUsize::new(0),
        });
        let hands = OwnHands { keys: self.scenario.keys.clone(), ledger: ledger.clone() };
        Process {
            bucket: bucket.clone(),
            keys: self.scenario.keys.clone(),
            parts: Parts {
                ledger: Arc::new(FusedLedger { ledger, fuse: fuse.clone() }),
                bucket,
                hands: Arc::new(hands),
                clock,
                batch: 1000,
                rotation_grace: Duration::from_secs(600),
                visible: Visible::default(),
                metrics: Metrics::default(),
            },
            memory: Memory::default(),
            settings: Arc::new(FusedSettings { settings: SqliteSettings::new(&shared), fuse: fuse.clone() }),
            results: Arc::new(FusedResults { results, fuse: fuse.clone() }),
        }
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        match &self.backend {
            Backend::Sqlite => {
                Arc::new(SqliteLedger::open(&self.home.path().join("ledger.db")).expect("the ledger opens"))
            }
            Backend::Postgres(url) => Arc::new(PostgresLedger::new(&options(url))),
        }
    }

    /// Lets nobody wait any longer for the plan of another worker.
    pub(super) async fn forget_plans(&self) {
        if let Backend::Postgres(url) = &self.backend {
            services::execute(url, "update rstuf.publisher set until = now()").await;
        }
    }

    /// The bins of the scenario.
    pub(super) fn bins(&self) -> Bins {
        self.scenario.repository.settings.bins().expect("bins").expect("it has bins")
    }

    /// The bootstrap of the scenario.
    pub(super) fn bootstrap(&self) -> Work {
        Work::Create(Box::new(self.scenario.repository.clone()))
    }

    /// Reads the bucket as a client does.
    pub(super) fn check(&self) {
        check(&self.home.path().join("metadata"), &self.checker);
    }

    /// What clients saw when the bucket was read last.
    pub(super) fn artifacts(&self) -> BTreeMap<String, Value> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).artifacts()
    }
}

/// What a process has.
pub(super) struct Process {
    pub(super) parts: Parts,
    pub(super) keys: Arc<KeyStore>,
    bucket: Arc<FusedBucket>,
    memory: Memory,
    settings: Arc<dyn Settings>,
    results: Arc<dyn Results>,
}

impl Process {
    /// What follows a delivery: it is recorded, rounds run until nothing is left, settings and results are told.
    pub(super) async fn attempt(&mut self, id: &str, work: Work) -> Result<(), RoundError> {
        let Self { parts, memory, settings, results, .. } = self;
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
}

impl Process {
    /// People are asked and rounds run until nothing is left, settings and results are told.
    pub(super) async fn settle(&mut self) -> Result<(), RoundError> {
        let Self { parts, memory, settings, results, .. } = self;
        loop {
            match drafting::draft(parts).await {
                Ok(Drafted::Nothing) => {}
                Ok(_) => continue,
                Err(DraftError::Store(error)) => return Err(error.into()),
                Err(error) => panic!("{error}"),
            }
            if round(parts, memory).await? == Done::Nothing {
                break;
            }
        }
        settings::project(parts.ledger.as_ref(), settings.as_ref()).await?;
        reporter::report(parts.ledger.as_ref(), results.as_ref(), &parts.visible, |_| {}).await?;
        Ok(())
    }

    /// Says what is wrong if the task is not done.
    pub(super) async fn is_done(&self, task: &TaskId) -> Result<(), String> {
        match self.results.get(task).await {
            Ok(Some(Progress::Finished(outcome))) if outcome.status => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// A process, and the same one again after it ended.
pub(super) struct World<'a> {
    place: Place<'a>,
    fuse: Arc<Fuse>,
    process: Process,
}

impl<'a> World<'a> {
    pub(super) async fn new(scenario: &'a Scenario, backend: &Backend, fault: Option<(usize, Fault)>) -> Self {
        let place = Place::new(scenario, backend).await;
        let fuse = Arc::new(Fuse::new(fault));
        let process = place.start(&fuse, Clock::system());
        Self { place, fuse, process }
    }

    /// Does everything, however often it takes.
    pub(super) async fn run(&mut self, next: Next) {
        let bins = self.place.bins();
        let first = std::iter::once(("bootstrap", self.place.bootstrap()));
        let tasks = first.chain(scenario::tasks(bins)).chain(std::iter::once(scenario::other(bins)));
        let mut other = next == Next::OtherWork;
        for (id, work) in tasks {
            while let Err(error) = self.process.attempt(id, work.clone()).await {
                assert!(matches!(error, RoundError::Store(StoreError::Unavailable { .. })), "{error}");
                self.place.check();
                if self.fuse.restart() {
                    self.place.forget_plans().await;
                    self.process = self.place.start(&self.fuse, Clock::system());
                }
                // Before the bootstrap is recorded no other work is accepted.
                let ledger = &self.process.parts.ledger;
                if other && ledger.settings().await.expect("the ledger is read").is_some() {
                    let (id, work) = scenario::other(bins);
                    self.process.attempt(id, work).await.expect("the fault happens once");
                    other = false;
                }
            }
        }
        self.place.check();
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
        self.place.artifacts()
    }
}

fn options(url: &str) -> postgres::Options {
    postgres::Options::parse(url, None, None, None).expect("the address is good")
}

/// Reads the bucket as a client does, once there is something to read, and says whether there was.
fn check(bucket: &std::path::Path, checker: &Mutex<Checker>) -> bool {
    let is_published = bucket.join("timestamp.json").exists();
    if is_published {
        checker.lock().unwrap_or_else(PoisonError::into_inner).check();
    }
    is_published
}

/// Signs without actors.
struct OwnHands {
    keys: Arc<KeyStore>,
    ledger: Arc<dyn Ledger>,
}

#[async_trait]
impl Hands for OwnHands {
    async fn sign(&self, _: &RoleName, keys: Arc<SigningKeys>, draft: Unsigned) -> Result<Vec<u8>, UpdateError> {
        Ok(signer::sign(&self.keys, &keys, vec![draft]).await?.remove(0))
    }

    async fn update(&self, order: Order) -> Result<Vec<Updated>, UpdateError> {
        let keys = order.keys.clone();
        let sign = |drafts| async move { Ok(signer::sign(&self.keys, &keys, drafts).await?) };
        bins::update(self.ledger.as_ref(), sign, order).await
    }
}

struct FusedLedger {
    ledger: Arc<dyn Ledger>,
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

    async fn charter(&self) -> Result<Chartered, StoreError> {
        self.ledger.charter().await
    }

    async fn amend(&self, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError> {
        self.fuse.write("amend", self.ledger.amend(amendment, now)).await
    }

    async fn wanted(&self, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
        self.fuse.write("wanted", self.ledger.wanted(now)).await
    }

    async fn waiting(&self, role: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        self.ledger.waiting(role, limit).await
    }

    async fn covering(&self, scopes: Vec<(RoleName, Scope)>) -> Result<BTreeSet<RoleName>, StoreError> {
        self.ledger.covering(scopes).await
    }

    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Info)>>, StoreError> {
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

    async fn expiries(&self) -> Result<BTreeMap<String, Expiry>, StoreError> {
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
