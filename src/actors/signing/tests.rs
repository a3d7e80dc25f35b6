//! A worker on embedded parts, and people who decide.

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::{
    actors::{Resources, Worker},
    queue::{
        Broker,
        local::{Capacity, LocalBroker},
    },
    store::{
        bucket::directory::DirectoryBucket,
        keys::generate::{KeyKind, generate},
        ledger::sqlite::SqliteLedger,
        results::sqlite::SqliteResults,
        settings::{BOOTSTRAP, Settings as _, sqlite::SqliteSettings},
        shared::SharedDatabase,
    },
    task::{GivenSignature, MetadataUpdate, RoleOfEvent, Rotation, SignMetadata},
    telemetry::metrics::Metrics,
    tuf::{
        key::{ONLINE_KEY_URI, key_id},
        sample::{self, Signer},
        wire::format_expires,
    },
};

struct Site {
    broker: LocalBroker,
    ledger: Arc<SqliteLedger>,
    results: SqliteResults,
    settings: SqliteSettings,
    a: Signer,
    b: Signer,
    online: Value,
    _worker: Worker,
    home: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let clock = Clock::system();
        let key = generate(KeyKind::Ed25519).expect("a key");
        std::fs::create_dir(path("keys")).expect("a directory");
        std::fs::write(path("keys").join("online.pem"), key.private_pem()).expect("written");
        let mut online = key.public.clone();
        online[ONLINE_KEY_URI] = json!("fn:online.pem");
        let ledger = Arc::new(SqliteLedger::open(&path("ledger.db")).expect("a ledger"));
        let shared = SharedDatabase::open(path("shared.db")).expect("a database");
        let results = SqliteResults::new(&shared, clock.clone(), Duration::from_secs(60));
        let settings = SqliteSettings::new(&shared);
        let broker = LocalBroker::open(path("queue.db"), clock.clone(), Capacity::default()).await.expect("a queue");
        let worker = Worker::start(Resources {
            broker: Arc::new(broker.clone()),
            ledger: ledger.clone(),
            bucket: Arc::new(DirectoryBucket::open(path("metadata")).expect("a bucket")),
            settings: Arc::new(settings.clone()),
            results: Arc::new(results.clone()),
            keys: Arc::new(KeyStore::new(path("keys"))),
            clock,
            batch: 1000,
            rotation_grace: Duration::from_secs(600),
            renewal_interval: Duration::from_secs(60),
            result_expiry: Duration::from_secs(60),
            metrics: Metrics::default(),
        });
        let (a, b) = (Signer::new(), Signer::new());
        Self { broker, ledger, results, settings, a, b, online, _worker: worker, home }
    }

    /// A root that both people must sign.
    fn root(&self, version: u64) -> Metadata {
        let mut signed = sample::root(version, &[&self.a, &self.b], 2, &Signer::new());
        let id = key_id(&self.online).expect("an id");
        signed["keys"][id.as_str()] = self.online.clone();
        for role in ["timestamp", "snapshot", "targets"] {
            signed["roles"][role]["keyids"] = json!([id]);
        }
        let expires = Timestamp::now() + jiff::SignedDuration::from_hours(10_000);
        signed["expires"] = json!(format_expires(expires));
        Metadata::unsigned(signed)
    }

    async fn send(&self, task: &str, job: Job) {
        self.broker.publish(&TaskId::from_text(task), &job).await.expect("published");
    }

    /// Asks for a bootstrap as the API does: the lock first.
    async fn bootstrap(&self, task: &str, root: &Metadata) -> Outcome {
        let lock = json!(format!("pre-{task}"));
        assert!(self.settings.swap(BOOTSTRAP, &Value::Null, lock).await.expect("swapped"), "{task}");
        let role = json!({"expiration": 10});
        let bins = json!({"expiration": 10, "number_of_delegated_bins": 2});
        let roles = json!({"root": role, "targets": role, "snapshot": role, "timestamp": role, "bins": bins});
        let payload = json!({"settings": {"roles": roles}, "metadata": {"root": root.to_value()}, "timeout": 300});
        let bootstrap = serde_json::from_value(payload).expect("a bootstrap");
        self.send(task, Job::Bootstrap(Box::new(bootstrap))).await;
        self.end_of(task).await
    }

    async fn sign(&self, task: &str, signer: &Signer, root: &Metadata) -> Outcome {
        self.send(task, signature(signer, root)).await;
        self.end_of(task).await
    }

    /// How a task ends.
    async fn end_of(&self, task: &str) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.results.get(&TaskId::from_text(task)).await.expect("read") {
                Some(Progress::Finished(outcome)) => return outcome,
                Some(progress) if progress.ended() => panic!("{task}: {progress:?}"),
                _ => assert!(Instant::now() < deadline, "{task} does not end"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn lock(&self) -> Value {
        self.settings.get(BOOTSTRAP).await.expect("read")
    }
}

fn signature(signer: &Signer, root: &Metadata) -> Job {
    let signature = signer.sign(root);
    let signature = GivenSignature { keyid: signature.keyid.0, sig: signature.sig, bundle: None };
    Job::SignMetadata(SignMetadata { role: "root".into(), signature })
}

fn signed(mut root: Metadata, signers: &[&Signer]) -> Metadata {
    root.signatures = signers.iter().map(|signer| signer.sign(&root)).collect();
    root
}

#[actix::test]
async fn people_who_sign_at_different_times_found_a_repository_and_change_its_root() {
    let site = Site::new().await;
    let root = site.root(1);
    let first = site.bootstrap("boot", &signed(root.clone(), &[&site.a])).await;
    assert_eq!(first.details.expect("details")["bootstrap"], "Root v1 is pending signature");
    assert_eq!(site.lock().await, "signing-boot");
    assert!(site.ledger.repository().await.expect("read").is_none());

    let last = site.sign("sign", &site.b, &root).await;
    assert_eq!(last.details.expect("details")["bootstrap"], "Bootstrap Finished");
    assert_eq!(site.lock().await, "boot");
    assert!(site.ledger.head().await.expect("read").is_some());

    let next = site.root(2);
    let metadata = [("root".to_owned(), signed(next.clone(), &[&site.a]).to_value())].into_iter().collect();
    site.send("update", Job::MetadataUpdate(MetadataUpdate { metadata, rotation: Rotation::Seamless })).await;
    let update = site.end_of("update").await;
    assert_eq!(update.details.expect("details")["update"], "Root v2 is pending signatures");
    let last = site.sign("sign-2", &site.b, &next).await;
    assert_eq!(last.details, Some(json!({"update": "Metadata update finished"})));
    let repository = site.ledger.repository().await.expect("read").expect("a repository");
    assert_eq!(repository.task.as_str(), "boot");
    let published = std::fs::read(site.home.path().join("metadata/2.root.json")).expect("published");
    assert_eq!(published, repository.root);
}

#[actix::test]
async fn a_bootstrap_that_is_stopped_makes_place_for_another_and_does_not_come_back() {
    let site = Site::new().await;
    let partial = signed(site.root(1), &[&site.a]);
    site.bootstrap("boot", &partial).await;
    site.send("stop", Job::DeleteSignMetadata(RoleOfEvent { role: "root".into() })).await;
    let stopped = site.end_of("stop").await;
    assert_eq!(stopped.details, Some(json!({"bootstrap": "Bootstrap process has been stopped"})));
    assert_eq!(site.lock().await, Value::Null);

    site.bootstrap("other", &partial).await;
    assert_eq!(site.lock().await, "signing-other");
    let founding = site.ledger.charter().await.expect("read").charter.founding.expect("founding");
    assert_eq!(founding.task.as_str(), "other");
}

#[actix::test]
async fn a_root_whose_online_keys_are_gone_is_not_taken() {
    let site = Site::new().await;
    std::fs::remove_file(site.home.path().join("keys/online.pem")).expect("removed");
    let refused = site.bootstrap("boot", &signed(site.root(1), &[&site.a])).await;
    let error = refused.error.expect("a reason");
    assert!(error.starts_with("timestamp needs 1 online key(s), 0 can be used: key "), "{error}");
    assert_eq!(site.lock().await, Value::Null);
}

#[actix::test]
async fn two_signatures_at_once_on_two_workers_both_count() {
    let site = Site::new().await;
    let c = Signer::new();
    let mut root = site.root(1);
    root.signed["keys"][c.id().as_str()] = c.key();
    root.signed["roles"]["root"] = json!({"keyids": [site.a.id(), site.b.id(), c.id()], "threshold": 3});
    site.bootstrap("boot", &signed(root.clone(), &[&site.a])).await;
    let keys = KeyStore::new(site.home.path().join("keys"));
    let arrived = |task: &str, signer| Arrived {
        task: TaskId::from_text(task),
        accepted_at: Timestamp::now(),
        job: signature(signer, &root),
    };
    let (first, second) = (arrived("first", &site.b), arrived("second", &c));
    let now = Timestamp::now();
    let ledger = site.ledger.as_ref();
    let both = tokio::join!(
        record(ledger, &keys, &first, now, |state| decide(state, &first.task, &first.job, now)),
        record(ledger, &keys, &second, now, |state| decide(state, &second.task, &second.job, now)),
    );
    let ends = [both.0.expect("recorded").end, both.1.expect("recorded").end];
    assert!(ends.contains(&End::Now) && ends.contains(&End::Visible), "{ends:?}");
    assert!(site.ledger.charter().await.expect("read").charter.founding.is_none());
}
