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
    http::{self, health::Readiness},
    queue::{
        Broker,
        amqp::{AmqpBroker, AmqpOptions},
    },
    store::{
        StoreError, redis::Server,
        results::{Results, redis::RedisResults},
        settings::{Settings, redis::{HASH, RedisSettings}},
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
    Redis(Server),
}
