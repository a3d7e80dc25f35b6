//! The programs of a fleet: any number of API instances and workers, which share a broker, Redis, and (the workers alone)
//! a database, a bucket and keys.
//!
//! None of them waits for another one to start, and none ends because another one is away: what is missing shows in
//! `/readyz`, and work goes on when it is back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use anyhow::Context;

use crate::{
    clock::Clock,
    http::{self, health::Readiness, metrics::Scrape},
    queue::{
        Broker, Role,
        amqp::{AmqpBroker, AmqpOptions},
        redis::{RedisBroker, RedisOptions},
    },
    store::{
        StoreError,
        redis::Server,
        results::{
            Results,
            redis::{PREFIX, RedisResults},
        },
        settings::{
            Settings,
            redis::{HASH, RedisSettings},
        },
    },
};

pub mod api;
pub mod check;
pub mod tls;
pub mod worker;

/// What the programs of a fleet share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The way from the API to the workers.
    pub broker: BrokerOptions,
    /// Settings and results.
    pub redis: Server,
    /// The database of results.
    pub result_database: i64,
    /// The database of settings.
    pub settings_database: i64,
    /// For how long the result of a task can be read.
    pub result_expiry: Duration,
}

/// Which broker it is, and where.
#[derive(Debug, Clone)]
pub enum BrokerOptions {
    /// RabbitMQ.
    Amqp(Box<AmqpOptions>),
    /// Redis.
    Redis(Box<Server>),
}

impl BrokerOptions {
    fn connect(&self, role: Role, clock: Clock) -> Result<Arc<dyn Broker>, StoreError> {
        Ok(match self {
            Self::Amqp(options) => Arc::new(AmqpBroker::new(options.as_ref().clone(), role, clock)),
            Self::Redis(server) => {
                Arc::new(RedisBroker::new(server.client(None)?, RedisOptions::default(), role, clock))
            }
        })
    }
}

/// The parts that the programs of a fleet share, as they are used. None of them is reached yet.
struct Connected {
    broker: Arc<dyn Broker>,
    settings: Arc<dyn Settings>,
    results: Arc<dyn Results>,
}

impl Shared {
    fn connect(&self, role: Role, clock: &Clock) -> Result<Connected, StoreError> {
        let settings = self.redis.connection(Some(self.settings_database))?;
        let results = self.redis.connection(Some(self.result_database))?;
        Ok(Connected {
            broker: self.broker.connect(role, clock.clone())?,
            settings: Arc::new(RedisSettings::new(settings, HASH)),
            results: Arc::new(RedisResults::new(results, PREFIX, clock.clone(), self.result_expiry)),
        })
    }
}

/// Serves figures and health on a port of their own, in one thread: nobody waits for it.
pub(crate) fn watched(
    listen: SocketAddr,
    scrape: Scrape,
    readiness: Readiness,
) -> anyhow::Result<(SocketAddr, ServerHandle)> {
    let server = HttpServer::new(move || {
        let readiness = readiness.clone();
        http::metrics::app(scrape.clone(), |services| http::health_routes(services, readiness))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)
    .with_context(|| format!("can't listen on {listen} (metrics_listen)"))?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((address, handle))
}
