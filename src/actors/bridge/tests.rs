//! The bridge between a queue and a worker on embedded parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::{
    actors::{Resources, Worker},
    clock::Clock,
    queue::{
        QueueError,
        local::{Capacity, LocalBroker},
    },
    store::{
        StoreError,
        bucket::directory::DirectoryBucket,
        keys::KeyStore,
        ledger::{
            Ended, Expiry, Head, Ledger, Plan, Planned, Publication, Repository, RepositorySettings, Request,
            charter::{Amended, Amendment, Chartered, Wanted},
            sqlite::SqliteLedger,
        },
        results::sqlite::SqliteResults,
        settings::sqlite::SqliteSettings,
        shared::SharedDatabase,
    },
    task::{Progress, RemoveArtifacts},
    tuf::{
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

const BAD: &str = "bad";

/// A ledger that can't record the task [`BAD`], and nothing for a while.
struct Picky {
    ledger: SqliteLedger,
    is_away: AtomicBool,
}

#[async_trait]
impl Ledger for Picky {
    async fn stage(&self, requests: Vec<Request>, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::unavailable("ledger", "away"));
        }
        if requests.iter().any(|request| request.task.as_str() == BAD) {
            return Err(StoreError::Broken("it has no form for this".into()));
        }
        self.ledger.stage(requests, now).await
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
        self.ledger.plan(now, limit).await
    }
    async fn charter(&self) -> Result<Chartered, StoreError> {
        self.ledger.charter().await
    }
    async fn amend(&self, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError> {
        self.ledger.amend(amendment, now).await
    }
    async fn wanted(&self, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
        self.ledger.wanted(now).await
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
        self.ledger.commit(plan, publication, now).await
    }
    async fn refuse(
        &self,
        role: &RoleName,
        through: i64,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<TaskId>, StoreError> {
        self.ledger.refuse(role, through, reason, now).await
    }
    async fn unreported(&self, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
        self.ledger.unreported(through, limit).await
    }
    async fn reported(&self, tasks: Vec<TaskId>) -> Result<(), StoreError> {
        self.ledger.reported(tasks).await
    }
    async fn report_again(&self, since: Timestamp) -> Result<(), StoreError> {
        self.ledger.report_again(since).await
    }
    async fn expiries(&self) -> Result<BTreeMap<String, Expiry>, StoreError> {
        self.ledger.expiries().await
    }
}

/// A queue whose deliveries named `garbage…` are no jobs.
struct Tainted(LocalBroker);

#[async_trait]
impl Broker for Tainted {
    async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), QueueError> {
        self.0.publish(id, job).await
    }
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut deliveries = self.0.receive(max).await?;
        for delivery in deliveries.iter_mut().filter(|delivery| delivery.id.as_str().starts_with("garbage")) {
            delivery.job = Err("unknown action 'explode'".into());
        }
        Ok(deliveries)
    }
    async fn settle(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), QueueError> {
        self.0.settle(verdicts).await
    }
    async fn depth(&self) -> Result<u64, QueueError> {
        self.0.depth().await
    }
}

struct Site {
    broker: LocalBroker,
    ledger: Arc<Picky>,
    results: SqliteResults,
    metrics: Metrics,
    worker: Worker,
    _home: tempfile::TempDir,
}

impl Site {
    /// A worker that finds these tasks in its queue.
    async fn with(tasks: &[&str], is_away: bool) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let clock = Clock::system();
        let ledger = SqliteLedger::open(&path("ledger.db")).expect("a ledger");
        let ledger = Arc::new(Picky { ledger, is_away: is_away.into() });
        let shared = SharedDatabase::open(path("shared.db")).expect("a database");
        let results = SqliteResults::new(&shared, clock.clone(), Duration::from_secs(60));
        let broker = LocalBroker::open(path("queue.db"), clock.clone(), Capacity::default()).await.expect("a queue");
        for task in tasks {
            let job = Job::RemoveArtifacts(RemoveArtifacts { artifacts: vec!["a".into()], publish_artifacts: true });
            broker.publish(&TaskId::from_text(*task), &job).await.expect("published");
        }
        let metrics = Metrics::default();
        let worker = Worker::start(Resources {
            broker: Arc::new(Tainted(broker.clone())),
            ledger: ledger.clone(),
            bucket: Arc::new(DirectoryBucket::open(path("metadata")).expect("a bucket")),
            settings: Arc::new(SqliteSettings::new(&shared)),
            results: Arc::new(results.clone()),
            keys: Arc::new(KeyStore::new(path("keys"))),
            clock,
            batch: 1000,
            rotation_grace: Duration::from_secs(600),
            renewal_interval: Duration::from_secs(60),
            result_expiry: Duration::from_secs(60),
            metrics: metrics.clone(),
        });
        Self { broker, ledger, results, metrics, worker, _home: home }
    }

    /// How a task ends.
    async fn end_of(&self, task: &str) -> Progress {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            match self.results.get(&TaskId::from_text(task)).await.expect("read") {
                Some(progress) if !matches!(progress, Progress::Running { .. }) => return progress,
                _ => assert!(std::time::Instant::now() < deadline, "{task} does not end"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.text(Timestamp::UNIX_EPOCH).lines().any(|told| told == line)
    }
}

fn is_refused(progress: &Progress) -> bool {
    matches!(progress, Progress::Finished(outcome) if !outcome.status)
}

#[actix::test]
async fn a_delivery_that_is_no_job_is_a_failed_task() {
    let site = Site::with(&["garbage", "good"], false).await;
    assert_eq!(site.end_of("garbage").await, Progress::Failed { message: "unknown action 'explode'".into() });
    assert!(is_refused(&site.end_of("good").await), "there is no repository");
    let Site { worker, broker, metrics, .. } = site;
    worker.shut_down().await;
    assert_eq!(broker.depth().await.expect("told"), 0);
    let text = metrics.text(Timestamp::UNIX_EPOCH);
    assert!(text.contains("\nrstuf_deliveries_rejected_total 1\n"), "{text}");
}

#[actix::test]
async fn one_that_spoils_its_batch_fails_alone() {
    let tasks: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let mut names: Vec<&str> = tasks.iter().map(String::as_str).collect();
    names.insert(7, BAD);
    let site = Site::with(&names, false).await;
    for task in &tasks {
        assert!(is_refused(&site.end_of(task).await), "{task}");
    }
    assert_eq!(site.end_of(BAD).await, Progress::Failed { message: "it has no form for this".into() });
    let ended = "rstuf_tasks_ended_total{kind=\"remove_artifacts\",state=\"errored\"} 20";
    assert!(site.counts(ended), "{}", site.metrics.text(Timestamp::UNIX_EPOCH));
}

#[actix::test]
async fn a_ledger_that_was_away_delays_and_loses_nothing() {
    let site = Site::with(&["a", "garbage", BAD], true).await;
    site.end_of("garbage").await;
    while site.counts("rstuf_deliveries_retried_total 0") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    site.ledger.is_away.store(false, Ordering::Relaxed);
    assert!(is_refused(&site.end_of("a").await));
    assert!(matches!(site.end_of(BAD).await, Progress::Failed { .. }));
}

#[actix::test]
async fn a_shutdown_does_not_wait_for_a_ledger_that_is_away() {
    let site = Site::with(&["a"], true).await;
    while site.counts("rstuf_deliveries_retried_total 0") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let start = std::time::Instant::now();
    site.worker.shut_down().await;
    assert!(start.elapsed() < CLOSE, "{:?}", start.elapsed());
    assert!(site.broker.depth().await.is_ok());
}

/// Far less than what a shutdown may take at most.
const CLOSE: Duration = Duration::from_secs(10);

#[test]
fn identifiers_are_keys() {
    for good in ["a", "publish_artifacts-1", "ü"] {
        assert!(is_identifier(&TaskId::from_text(good)));
    }
    for bad in ["", "a\0", "a\n", &"a".repeat(MAX_TASK_ID_BYTES + 1)] {
        assert!(!is_identifier(&TaskId::from_text(bad)));
    }
}
