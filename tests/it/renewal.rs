//! What is online is renewed in time, with nobody asking for anything; the clock is set by hand.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rstuf::{
    actors::{Resources, Worker},
    clock::Clock,
    queue::{
        Broker,
        local::{Capacity, LocalBroker},
    },
    store::{
        bucket::{Bucket, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{Ledger, sqlite::SqliteLedger},
        results::sqlite::SqliteResults,
        settings::sqlite::SqliteSettings,
        shared::SharedDatabase,
    },
    task::{Bootstrap, Job, TaskId},
    telemetry::metrics::Metrics,
    tuf::{bins::Layout, name::RoleName, wire::Metadata},
};

use crate::harness::ceremony::Ceremony;

/// A worker whose time is ours.
pub(crate) struct Site {
    ledger: Arc<SqliteLedger>,
    bucket: Arc<DirectoryBucket>,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<SqliteSettings>,
    pub(crate) results: Arc<SqliteResults>,
    pub(crate) metrics: Metrics,
    /// The bootstrap.
    pub(crate) task: TaskId,
    _worker: Worker,
    pub(crate) home: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn bootstrapped() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir(path("keys")).expect("a directory");
        let ceremony = Ceremony::hold(&path("ceremony"), &path("keys"), Layout::Succinct, 4);
        let clock = Clock::fixed(Timestamp::now());
        let ledger = Arc::new(SqliteLedger::open(&path("ledger.db")).expect("a ledger"));
        let bucket = Arc::new(DirectoryBucket::open(path("metadata")).expect("a bucket"));
        let shared = SharedDatabase::open(path("shared.db")).expect("a database");
        let broker = LocalBroker::open(path("queue.db"), clock.clone(), Capacity::default()).await.expect("a queue");
        let broker = Arc::new(broker);
        let settings = Arc::new(SqliteSettings::new(&shared));
        let results = Arc::new(SqliteResults::new(&shared, clock.clone(), Duration::from_secs(60)));
        let metrics = Metrics::default();
        let worker = Worker::start(Resources {
            broker: broker.clone(),
            ledger: ledger.clone(),
            bucket: bucket.clone(),
            settings: settings.clone(),
            results: results.clone(),
            keys: Arc::new(KeyStore::new(path("keys"))),
            clock: clock.clone(),
            batch: 1000,
            rotation_grace: Duration::from_secs(600),
            renewal_interval: Duration::from_millis(20),
            result_expiry: Duration::from_secs(60),
            metrics: metrics.clone(),
        });
        let mut payload = ceremony.payload.clone();
        payload["timeout"] = 300.into();
        for (role, days) in [("timestamp", 1), ("snapshot", 3), ("targets", 30), ("bins", 9)] {
            payload["settings"]["roles"][role]["expiration"] = days.into();
        }
        let bootstrap: Bootstrap = serde_json::from_value(payload).expect("a bootstrap");
        let task = TaskId::random();
        broker.publish(&task, &Job::Bootstrap(Box::new(bootstrap))).await.expect("published");
        let site = Self { ledger, bucket, clock, settings, results, metrics, task, _worker: worker, home };
        site.bootstrap_is_published().await;
        site
    }

    /// Waits until the first head is what clients see.
    async fn bootstrap_is_published(&self) {
        let wait = async {
            loop {
                if let Some(head) = self.ledger.head().await.expect("read")
                    && self.bucket.read("timestamp.json").await.expect("read") == Some(head.timestamp)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("published in time");
    }

    /// The version of a role that clients see, and how much of its life is left.
    async fn role(&self, role: &RoleName) -> (u64, SignedDuration) {
        let version = self.ledger.published().await.expect("read")[role].version;
        let bytes = self.bucket.read(&role.file_name(version)).await.expect("read").expect("published");
        let header = Metadata::parse(&bytes).and_then(|metadata| metadata.header()).expect("metadata");
        (version.get(), header.expires.duration_since(self.clock.now()))
    }
}

/// Timestamp and snapshot too, when nothing else is near its end: B1.
#[actix::test]
async fn every_online_role_is_renewed_when_a_third_of_its_life_is_left() {
    let site = Site::bootstrapped().await;
    let days = [("timestamp", 1), ("snapshot", 3), ("targets", 30), ("bins-0", 9), ("bins-1", 9), ("bins-3", 9)];
    let roles =
        days.map(|(role, days)| (RoleName::parse(role).expect("a name"), SignedDuration::from_hours(24 * days)));
    // Four weeks, in which nobody asks for anything.
    for _ in 0..28 * 12 {
        site.clock.advance(SignedDuration::from_hours(2));
        for (role, life) in &roles {
            let renewed = async {
                while site.role(role).await.1 < *life / 3 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), renewed).await.expect("renewed in time");
        }
    }
    let [timestamp, snapshot, targets, bin, ..] = roles;
    // None is renewed when more than a third and a sixteenth of its life is left, but for what lists others.
    assert!((4..=6).contains(&site.role(&bin.0).await.0), "{} versions of a bin", site.role(&bin.0).await.0);
    assert_eq!(site.role(&targets.0).await.0, 2);
    let (snapshots, timestamps) = (site.role(&snapshot.0).await.0, site.role(&timestamp.0).await.0);
    assert!((14..=40).contains(&snapshots), "{snapshots} versions of snapshot");
    assert!((42..=90).contains(&timestamps), "{timestamps} versions of timestamp");
}
