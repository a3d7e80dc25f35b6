//! API and worker in one process, on embedded parts in one directory.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use anyhow::Context;
use jiff::SignedDuration;

use crate::{
    actors::{Resources, Worker},
    clock::Clock,
    http::{self, Api, Limits},
    queue::local::{Capacity, LocalBroker},
    store::{
        bucket::{Bucket, directory::DirectoryBucket},
        keys::KeyStore,
        ledger::{Ledger, sqlite::SqliteLedger},
        lock::DirectoryLock,
        results::sqlite::SqliteResults,
        settings::sqlite::SqliteSettings,
        shared::SharedDatabase,
    },
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
    /// What a request may ask for.
    pub limits: Limits,
    /// How many jobs may wait.
    pub capacity: Capacity,
    /// For how long the result of a task can be read.
    pub result_expiry: Duration,
    /// Between two looks for roles that are due.
    pub renewal_interval: Duration,
    /// About how many changes one round takes.
    pub batch: usize,
}

/// A standalone server that runs.
pub struct Standalone {
    address: SocketAddr,
    server: ServerHandle,
    worker: Worker,
    /// Held until everything else has ended.
    _lock: DirectoryLock,
}

impl Standalone {
    /// Starts everything on the current actix system, and returns when requests are answered.
    ///
    /// # Errors
    /// When the directory is in use or can't be written, when what is in it is of another program, or when the address is taken.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { data_dir, key_dir, listen, limits, capacity, result_expiry, renewal_interval, batch } = options;
        let lock = DirectoryLock::acquire(&data_dir)?;
        std::fs::create_dir_all(&key_dir)
            .with_context(|| format!("can't make the key directory {}", key_dir.display()))?;
        let clock = Clock::system();
        let ledger = Arc::new(SqliteLedger::open(&data_dir.join("ledger.db"))?);
        let bucket: Arc<dyn Bucket> = Arc::new(DirectoryBucket::open(data_dir.join("metadata"))?);
        let shared = SharedDatabase::open(data_dir.join("shared.db"))?;
        let settings = Arc::new(SqliteSettings::new(&shared));
        let results = Arc::new(SqliteResults::new(&shared, clock.clone(), result_expiry));
        let broker = Arc::new(LocalBroker::open(data_dir.join("queue.db"), clock.clone(), capacity).await?);
        ledger.report_again(clock.now() - REPORT_AGAIN).await?;

        let api = Api::new(broker.clone(), settings.clone(), results.clone(), clock.clone(), limits);
        let worker = Worker::start(Resources {
            broker,
            ledger,
            bucket: bucket.clone(),
            settings,
            results,
            keys: Arc::new(KeyStore::new(key_dir)),
            clock,
            batch,
            renewal_interval,
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
        Ok(Self { address, server: handle, worker, _lock: lock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: no new requests, no new deliveries, the round that is under way, its reports.
    pub async fn stop(self) {
        self.server.stop(true).await;
        self.worker.shut_down().await;
    }
}
