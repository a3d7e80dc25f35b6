//! `/livez` and `/readyz`: for whoever restarts this process, and for whoever sends it requests.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{sync::Mutex, time::timeout};

use crate::{queue::QueueError, store::StoreError, telemetry::metrics::Stuck};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long an answer is given again: however many ask, each part is asked once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// Why a part is missing, in words for everybody; the log has the details.
type Missing = BTreeMap<&'static str, &'static str>;
/// A part by its name, and how it is asked.
type Part = (&'static str, Box<dyn Fn() -> Asked + Send + Sync>);
type Asked = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Whether a process can do its work: it asks every part that is needed. Clones are one.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Default)]
struct Inner {
    parts: Vec<Part>,
    stopping: AtomicBool,
    latest: Mutex<Option<(Instant, Missing)>>,
}

/// How a part failed to answer.
#[derive(Debug)]
pub struct Failure {
    class: &'static str,
    cause: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let class = if matches!(error, StoreError::Broken(_)) { "broken" } else { "unavailable" };
        Self { class, cause: error.to_string() }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self { class: "unavailable", cause: error.to_string() }
    }
}

impl From<Stuck> for Failure {
    fn from(stuck: Stuck) -> Self {
        Self { class: "stuck", cause: stuck.to_string() }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.parts.iter().map(|(name, _)| name)).finish()
    }
}

/// Collects the parts of a [`Readiness`].
#[derive(Default)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// One more part, and a question that it answers when it is there.
    #[must_use]
    pub fn with<F, T, E>(mut self, name: &'static str, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Failure>,
    {
        let boxed = move || -> Asked {
            let asked = ask();
            Box::pin(async move { asked.await.map(drop).map_err(Into::into) })
        };
        self.0.push((name, Box::new(boxed)));
        self
    }
}

impl From<Parts> for Readiness {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts: parts.0, ..Inner::default() }))
    }
}

impl Readiness {
    /// From now on this process is not ready, because it stops.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// What is missing, by its name with the reason; empty when everything is there.
    async fn missing(&self) -> Missing {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Missing::from([("process", "stopping")]);
        }
        // Whoever comes while the parts are asked waits for their answers.
        let mut latest = self.0.latest.lock().await;
        if let Some((asked_at, missing)) = &*latest
            && asked_at.elapsed() < FRESH
        {
            return missing.clone();
        }
        let answers =
            join_all(self.0.parts.iter().map(async |(name, ask)| Some((*name, answers(name, ask()).await.err()?))));
        let missing: Missing = answers.await.into_iter().flatten().collect();
        *latest = Some((Instant::now(), missing.clone()));
        missing
    }
}

async fn answers(part: &'static str, asked: Asked) -> Result<(), &'static str> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Failure { class, cause })) => {
            tracing::warn!(part, cause, "not ready");
            Err(class)
        }
        Err(_) => {
            tracing::warn!(part, waited_s = PATIENCE.as_secs(), "not ready: no answer in time");
            Err("no answer in time")
        }
    }
}

/// Tell that the process is alive.
#[utoipa::path(get, operation_id = "live", path = "/livez", tag = "Health", responses((status = 200, description = "It is")))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// Tell whether work can be done.
///
/// When not, `missing` has the parts that don't answer. The answer may be a second old.
#[utoipa::path(get, operation_id = "ready", path = "/readyz", tag = "Health",
    responses((status = 200, description = "It can"), (status = 503, description = "A part is missing")))]
pub(super) async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    let missing = readiness.missing().await;
    match missing.is_empty() {
        true => HttpResponse::Ok().json(json!({"status": "ready"})),
        false => HttpResponse::ServiceUnavailable().json(json!({"status": "not ready", "missing": missing})),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn each_part_that_is_missing_is_named() {
        let readiness: Readiness = Parts::default()
            .with("settings", async || Ok::<_, StoreError>(()))
            .with("database", async || Err::<(), _>(StoreError::unavailable("database", "secret")))
            .with("bucket", async || Err::<(), _>(StoreError::Broken("secret".into())))
            .with("broker", async || Err::<u64, _>(QueueError("secret".into())))
            .with("results", std::future::pending::<Result<(), StoreError>>)
            .with("bridge", async || Err::<(), _>(Stuck(Duration::from_secs(130))))
            .into();
        let missing = Missing::from([
            ("broker", "unavailable"),
            ("bridge", "stuck"),
            ("bucket", "broken"),
            ("database", "unavailable"),
            ("results", "no answer in time"),
        ]);
        assert_eq!(readiness.missing().await, missing);
        readiness.stop();
        assert_eq!(readiness.missing().await, Missing::from([("process", "stopping")]));
    }

    #[tokio::test]
    async fn parts_are_asked_once_however_many_ask() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let parts = Parts::default().with("settings", move || {
            count.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok::<_, StoreError>(())
            }
        });
        let readiness = Readiness::from(parts);
        let all = join_all((0..100).map(|_| readiness.missing())).await;
        assert!(all.iter().all(BTreeMap::is_empty));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
