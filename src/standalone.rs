//! API and worker in one process, on embedded parts in one directory.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    actors::{Resources, Worker},
    clock::Clock,
    fleet::watched,
    http::{self, Api, Limits, metrics::Scrape},
    queue::local::{Capacity, LocalBroker},
    store::{
        StoreError,
        bucket::{Bucket, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{Ledger, Request, Work, sqlite::SqliteLedger},
        lock::DirectoryLock,
        results::sqlite::SqliteResults,
        settings::{BOOTSTRAP, Settings, sqlite::SqliteSettings},
        shared::SharedDatabase,
    },
    task::{Progress, TaskId},
    telemetry::metrics::Metrics,
};

/// How long requests that are under way may take when the server stops, in seconds.
const HTTP_FINISH_SECONDS: u64 = 5;
/// The results are not flushed to the disk one by one; those of the last minutes are written again at each start.
const REPORT_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// What a standalone server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept; made if it is missing.
    pub data_dir: PathBuf,
    /// Where the online keys are.
    pub key_dir: PathBuf,
    /// The address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address and port of figures and health.
    pub metrics_listen: Option<SocketAddr>,
    /// What a request may ask for.
    pub limits: Limits,
    /// How many jobs may wait.
    pub capacity: Capacity,
    /// For how long the result of a task can be read.
    pub result_expiry: Duration,
    /// For how long the online keys of a root that was replaced go on to sign.
    pub rotation_grace: Duration,
    /// Between two looks for roles that are due.
    pub renewal_interval: Duration,
    /// About how many changes one round takes.
    pub batch: usize,
}

/// A standalone server that runs.
pub struct Standalone {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    server: ServerHandle,
    watched: Option<ServerHandle>,
    worker: Worker,
    watch: JoinHandle<()>,
    /// Held until everything else has ended.
    _lock: DirectoryLock,
}

impl Standalone {
    /// Starts everything on the current actix system, and returns when requests are answered.
    ///
    /// # Errors
    /// When the directory is in use or can't be written, when what is in it is of another program, or when the address is taken.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { data_dir, key_dir, listen, metrics_listen, .. } = options;
        let Options { limits, capacity, result_expiry, renewal_interval, rotation_grace, batch, .. } = options;
        let lock = DirectoryLock::acquire(&data_dir)?;
        std::fs::create_dir_all(&key_dir)
            .with_context(|| format!("can't make the key directory {}", key_dir.display()))?;
        let clock = Clock::system();
        let metrics = Metrics::new(clock.now());
        let ledger = Arc::new(SqliteLedger::open(&data_dir.join("ledger.db"))?);
        let bucket: Arc<dyn Bucket> = Arc::new(DirectoryBucket::open(data_dir.join("metadata"))?);
        let shared = SharedDatabase::open(data_dir.join("shared.db"))?;
        let settings = Arc::new(SqliteSettings::new(&shared));
        let results = Arc::new(SqliteResults::new(&shared, clock.clone(), result_expiry));
        let broker = Arc::new(LocalBroker::open(data_dir.join("queue.db"), clock.clone(), capacity).await?);
        ledger.report_again(clock.now() - REPORT_AGAIN).await?;
        revoke_lost_bootstrap(settings.as_ref(), &broker, ledger.as_ref(), clock.now()).await?;

        let api = Api::new(broker.clone(), settings.clone(), results.clone(), clock.clone(), limits)
            .counted_by(metrics.clone());
        let scrape = Scrape::new(metrics.clone(), broker.clone(), clock.clone());
        let watched = metrics_listen.map(|listen| watched(listen, scrape, api.readiness())).transpose()?;
        let (metrics_address, watched) = watched.unzip();
        let watch = actix::spawn(http::watch(api.clone()));
        let worker = Worker::start(Resources {
            broker,
            ledger,
            bucket: bucket.clone(),
            settings,
            results,
            keys: Arc::new(KeyStore::new(key_dir)),
            clock,
            batch,
            rotation_grace,
            renewal_interval,
            result_expiry,
            metrics,
        });
        let server = HttpServer::new(move || http::app(api.clone(), Some(bucket.clone())))
            .disable_signals()
            .shutdown_timeout(HTTP_FINISH_SECONDS)
            .bind(listen)
            .with_context(|| format!("can't listen on {listen}"))?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self { address, metrics_address, server: handle, watched, worker, watch, _lock: lock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its figures are.
    pub fn metrics_url(&self) -> Option<String> {
        self.metrics_address.map(|address| format!("http://{address}"))
    }

    /// Stops in order: no new requests, no new deliveries, the round that is under way, its reports.
    pub async fn stop(self) {
        self.watch.abort();
        self.server.stop(true).await;
        self.worker.shut_down().await;
        if let Some(watched) = self.watched {
            watched.stop(true).await;
        }
    }
}

/// Ends a bootstrap that took its lock and whose process was gone before its job was in the queue: nobody was told that
/// it was accepted, and the next one may come.
async fn revoke_lost_bootstrap(
    settings: &dyn Settings,
    broker: &LocalBroker,
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Result<(), StoreError> {
    let lock = settings.get(BOOTSTRAP).await?;
    let Some(task) = lock.as_str().and_then(|lock| lock.strip_prefix("pre-")).map(TaskId::from_text) else {
        return Ok(());
    };
    if broker.holds(&task).await? || ledger.settings().await?.is_some() {
        return Ok(());
    }
    let work = Work::Nothing { action: "bootstrap", progress: Progress::Revoked };
    ledger.stage(vec![Request { task: task.clone(), accepted_at: now, work }], now).await?;
    settings.swap(BOOTSTRAP, &lock, Value::Null).await?;
    tracing::warn!(%task, "a bootstrap was never queued; it is revoked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{queue::Broker, task::Job};

    #[actix::test]
    async fn a_bootstrap_that_was_never_queued_frees_its_lock() {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::system();
        let ledger = SqliteLedger::open(&home.path().join("ledger.db")).expect("a ledger");
        let shared = SharedDatabase::open(home.path().join("shared.db")).expect("a database");
        let settings = SqliteSettings::new(&shared);
        let queue = home.path().join("queue.db");
        let broker = LocalBroker::open(queue, clock.clone(), Capacity::default()).await.expect("a queue");
        let (queued, lost) = (TaskId::from_text("queued"), TaskId::from_text("lost"));
        broker.publish(&queued, &Job::PublishArtifacts).await.expect("published");
        for (task, left) in [(queued, json!("pre-queued")), (lost, Value::Null)] {
            settings.swap(BOOTSTRAP, &Value::Null, json!(format!("pre-{task}"))).await.expect("swapped");
            revoke_lost_bootstrap(&settings, &broker, &ledger, clock.now()).await.expect("looked at");
            assert_eq!(settings.get(BOOTSTRAP).await.expect("read"), left);
            settings.swap(BOOTSTRAP, &left, Value::Null).await.expect("swapped");
        }
        let revoked = ledger.unreported(0, 10).await.expect("read");
        let revoked: Vec<_> = revoked.into_iter().map(|ended| (ended.task, ended.progress)).collect();
        assert_eq!(revoked, [(TaskId::from_text("lost"), Progress::Revoked)]);
    }
}
