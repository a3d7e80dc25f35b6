//! An API instance: it has the broker and Redis, and nothing else.

use std::{net::SocketAddr, num::NonZero, thread::available_parallelism, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use anyhow::Context;

use super::{Connected, Shared, watched};
use crate::{
    clock::Clock,
    http::{self, Api, Disabled, Limits, health::Readiness, metrics::Scrape},
    queue::Role,
    telemetry::metrics::Metrics,
};

/// How long it answers that it is not ready before it takes no more connections: whoever shares out requests looks about
/// once a second.
const NOT_READY: Duration = Duration::from_secs(2);
/// How long requests that are under way may take when it stops, in seconds.
const HTTP_FINISH_SECONDS: u64 = 20;
/// How long a connection may stay open between two requests. Longer than that of the usual gateways, so that it is the gateway that
/// closes, and none of its requests meets a closed connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Threads that serve requests. A request does little but wait for the broker.
const THREADS: (usize, usize) = (2, 8);

/// What an API instance is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it shares with the workers.
    pub shared: Shared,
    /// The address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, if it is spoken.
    pub tls: Option<rustls::ServerConfig>,
    /// The address and port of figures and health.
    pub metrics_listen: Option<SocketAddr>,
    /// What a request may ask for.
    pub limits: Limits,
    /// What is not served.
    pub disabled: Disabled,
}

/// An API instance that runs.
pub struct Server {
    url: String,
    metrics_url: Option<String>,
    server: ServerHandle,
    watched: Option<ServerHandle>,
    readiness: Readiness,
}

impl Server {
    /// Starts serving on the current actix system. The broker and Redis may be away.
    ///
    /// # Errors
    /// When an address is taken, or certificates can't be used.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { shared, listen, tls, metrics_listen, limits, disabled } = options;
        let clock = Clock::system();
        let metrics = Metrics::new(clock.now());
        let Connected { broker, settings, results } = shared.connect(Role::Publisher, &clock)?;
        let api = Api::new(broker.clone(), settings, results, clock.clone(), limits)
            .without(disabled)
            .counted_by(metrics.clone());
        let readiness = api.readiness();
        let scrape = Scrape::new(metrics, broker, clock);
        let watched = metrics_listen.map(|listen| watched(listen, scrape, readiness.clone())).transpose()?;
        let threads = available_parallelism().map_or(THREADS.0, NonZero::get).clamp(THREADS.0, THREADS.1);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let watching = api.clone();
        let server = HttpServer::new(move || http::app(api.clone(), None))
            .workers(threads)
            .keep_alive(KEEP_ALIVE)
            .disable_signals()
            .shutdown_timeout(HTTP_FINISH_SECONDS);
        let server = match tls {
            None => server.bind(listen),
            Some(tls) => server.bind_rustls_0_23(listen, tls),
        };
        let server = server.with_context(|| format!("can't listen on {listen}"))?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        actix::spawn(http::watch(watching));
        let (metrics_address, watched) = watched.unzip();
        Ok(Self {
            url: format!("{scheme}://{address}"),
            metrics_url: metrics_address.map(|address| format!("http://{address}")),
            server: handle,
            watched,
            readiness,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its figures are.
    pub fn metrics_url(&self) -> Option<&str> {
        self.metrics_url.as_deref()
    }

    /// Stops in order: says that it is not ready, takes no more requests, answers those that it has.
    pub async fn stop(self) {
        self.readiness.stop();
        tokio::time::sleep(NOT_READY).await;
        self.server.stop(true).await;
        if let Some(watched) = self.watched {
            watched.stop(true).await;
        }
    }
}
