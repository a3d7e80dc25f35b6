//! A worker: it has everything, and is the only one that has the database, the bucket and the keys.

use std::{cell::RefCell, net::SocketAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use actix::System;
use actix_web::{dev::ServerHandle, rt::task::JoinHandle};
use tokio::time::{sleep, timeout};

use super::{Connected, Shared, watched};
use crate::{
    actors::{Resources, Worker, supervisor::EXIT_CANNOT_GO_ON},
    clock::Clock,
    http::{self, health::Readiness, metrics::Scrape},
    queue::Role,
    store::{
        StoreError,
        bucket::{Bucket, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{Ledger, postgres::PostgresLedger},
        postgres,
    },
    telemetry::metrics::Metrics,
};

/// How long a stop may take; what is not done then is taken up by the next process.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The pause before the database is asked again.
const PAUSE: Duration = Duration::from_secs(2);
const TIMESTAMP: &str = "timestamp.json";

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it shares with the API.
    pub shared: Shared,
    /// The truth.
    pub database: postgres::Options,
    /// The directory that metadata is published in.
    pub bucket: PathBuf,
    /// The directory of the online keys.
    pub keys: PathBuf,
    /// The address and port of figures and health.
    pub metrics_listen: Option<SocketAddr>,
    /// For how long the online keys of a root that was replaced go on to sign.
    pub rotation_grace: Duration,
    /// Between two looks for roles that are due.
    pub renewal_interval: Duration,
    /// About how many changes one round takes.
    pub batch: usize,
    /// What it is called in the logs.
    pub name: String,
}

/// A worker that runs, or waits until it can.
pub struct Instance {
    metrics_url: Option<String>,
    watched: Option<ServerHandle>,
    readiness: Readiness,
    /// The actors, as soon as the database has the schema that they need.
    worker: Rc<RefCell<Option<Worker>>>,
    opening: JoinHandle<()>,
}

impl Instance {
    /// Starts on the current actix system. Broker, Redis and database may be away; work begins when the database is there
    /// and has its schema.
    ///
    /// # Errors
    /// When the bucket's directory can't be used, or an address is taken.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { shared, database, bucket, keys, metrics_listen, .. } = options;
        let Options { renewal_interval, rotation_grace, batch, name, .. } = options;
        let clock = Clock::system();
        let metrics = Metrics::new(clock.now());
        let Connected { broker, settings, results } = shared.connect(Role::Consumer, &clock)?;
        let bucket: Arc<dyn Bucket> = Arc::new(DirectoryBucket::open(bucket)?);
        let ledger: Arc<dyn Ledger> = Arc::new(PostgresLedger::new(&database));
        let readiness = readiness(&broker, &settings, &results, &ledger, &bucket, &metrics);
        let scrape = Scrape::new(metrics.clone(), broker.clone(), clock.clone());
        let watched = metrics_listen.map(|listen| watched(listen, scrape, readiness.clone())).transpose()?;
        let (metrics_address, watched) = watched.unzip();
        let resources = Resources {
            broker,
            ledger,
            bucket,
            settings,
            results,
            keys: Arc::new(KeyStore::new(keys)),
            clock,
            batch,
            rotation_grace,
            renewal_interval,
            result_expiry: shared.result_expiry,
            metrics,
        };
        let worker = Rc::new(RefCell::new(None));
        let place = worker.clone();
        let opening = actix::spawn(async move {
            if let Err(error) = until_open(&database).await {
                tracing::error!(%error, "the worker ends");
                System::current().stop_with_code(EXIT_CANNOT_GO_ON);
                return;
            }
            tracing::info!(worker = name, "the worker takes tasks");
            *place.borrow_mut() = Some(Worker::start(resources));
        });
        let metrics_url = metrics_address.map(|address| format!("http://{address}"));
        Ok(Self { metrics_url, watched, readiness, worker, opening })
    }

    /// Where its figures are.
    pub fn metrics_url(&self) -> Option<&str> {
        self.metrics_url.as_deref()
    }

    /// Stops in order: no new deliveries, the round that is under way, its reports. Within about half a minute.
    pub async fn stop(self) {
        self.readiness.stop();
        self.opening.abort();
        let worker = self.worker.borrow_mut().take();
        if let Some(worker) = worker
            && timeout(STOP_LIMIT, worker.shut_down()).await.is_err()
        {
            tracing::warn!(waited_s = STOP_LIMIT.as_secs(), "the worker did not stop in time");
        }
        if let Some(watched) = self.watched {
            watched.stop(true).await;
        }
    }
}

/// Waits until the database is there and has its schema. Errs when this program must not work on what it has.
async fn until_open(database: &postgres::Options) -> Result<(), StoreError> {
    loop {
        match postgres::check_schema(database).await {
            Ok(()) => return Ok(()),
            Err(error @ StoreError::Broken(_)) => return Err(error),
            Err(error) => tracing::warn!(%error, pause_s = PAUSE.as_secs(), "the worker waits for its database"),
        }
        sleep(PAUSE).await;
    }
}

fn readiness(
    broker: &Arc<dyn crate::queue::Broker>,
    settings: &Arc<dyn crate::store::settings::Settings>,
    results: &Arc<dyn crate::store::results::Results>,
    ledger: &Arc<dyn Ledger>,
    bucket: &Arc<dyn Bucket>,
    metrics: &Metrics,
) -> Readiness {
    let (ledger, bucket, metrics) = (ledger.clone(), bucket.clone(), metrics.clone());
    http::ready_with(broker, settings, results)
        .with("database", move || {
            let ledger = ledger.clone();
            async move { ledger.head().await }
        })
        .with("bucket", move || {
            let bucket = bucket.clone();
            async move { bucket.read(TIMESTAMP).await }
        })
        // That all others answer does not mean that tasks get on.
        .with("bridge", move || std::future::ready(metrics.gets_on()))
        .into()
}
