//! The REST API: reads and checks requests, makes tasks of them and puts these into the queue.
//!
//! It reads settings and results, and never touches the ledger, keys or published files; only an instance that is
//! given a bucket serves what is published. Shape first, then rules, then the state of the repository: a request that is
//! wrong is told so whether there is a repository or not.

use std::sync::Arc;

use actix_web::{
    App, Error, FromRequest, Handler, HttpMessage, HttpResponse, Resource, Responder, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{Next, NormalizePath, from_fn},
    web,
};
use tokio::sync::Semaphore;
use tracing_actix_web::{RequestId, TracingLogger};

use self::{
    error::Refusal,
    health::{Parts, Readiness},
    openapi::Document,
    published::Published,
};
use crate::{
    clock::Clock,
    queue::Broker,
    store::{
        bucket::Bucket,
        results::Results,
        settings::{BOOTSTRAP, Settings},
    },
    task::TaskId,
    telemetry::metrics::Metrics,
};

mod admission;
mod artifacts;
mod body;
mod bootstrap;
mod deadline;
mod delegation;
mod delegations;
mod digest;
mod docs;
mod document;
mod dry_run;
mod endpoints;
mod error;
mod fault;
pub mod health;
mod lax;
mod limits;
mod lock;
mod metadata;
pub mod metrics;
mod online;
mod openapi;
mod pending;
mod published;
mod reply;
mod settings;
mod signing;
mod tasks;

pub use artifacts::check as check_artifact;
pub use deadline::watch;
pub use endpoints::Disabled;
pub use limits::Limits;

/// What the API works with. Clones share everything.
#[derive(Clone)]
pub struct Api {
    broker: Arc<dyn Broker>,
    settings: Arc<dyn Settings>,
    results: Arc<dyn Results>,
    clock: Clock,
    limits: Limits,
    places: Arc<Semaphore>,
    disabled: Arc<Disabled>,
    readiness: Readiness,
    metrics: Metrics,
}

impl Api {
    /// An API on these parts.
    pub fn new(
        broker: Arc<dyn Broker>,
        settings: Arc<dyn Settings>,
        results: Arc<dyn Results>,
        clock: Clock,
        limits: Limits,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limits.requests_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
        let readiness = ready_with(&broker, &settings, &results).into();
        Self {
            broker,
            settings,
            results,
            clock,
            limits,
            places,
            disabled: Arc::default(),
            readiness,
            metrics: Metrics::default(),
        }
    }

    /// The same without these endpoints.
    #[must_use]
    pub fn without(self, disabled: Disabled) -> Self {
        Self { disabled: Arc::new(disabled), ..self }
    }

    /// The same, with its requests counted here.
    #[must_use]
    pub fn counted_by(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Whether requests can be answered.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }
}

/// The parts that both an API and a worker need, and how each is asked.
pub fn ready_with(broker: &Arc<dyn Broker>, settings: &Arc<dyn Settings>, results: &Arc<dyn Results>) -> Parts {
    let (broker, settings, results) = (broker.clone(), settings.clone(), results.clone());
    Parts::default()
        .with("broker", move || {
            let broker = broker.clone();
            async move { broker.depth().await }
        })
        .with("settings", move || {
            let settings = settings.clone();
            async move { settings.get(BOOTSTRAP).await }
        })
        .with("results", move || {
            let results = results.clone();
            async move { results.get(&TaskId::from_text("readyz")).await }
        })
}

/// The application that a server runs in each of its threads: every route with what surrounds it. With a bucket, its
/// files are served under `/metadata/`.
pub fn app(
    api: Api,
    bucket: Option<Arc<dyn Bucket>>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let metrics = api.metrics.clone();
    App::new()
        .configure(|services| routes(services, api, bucket))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(Refusal::NoSuchPath) }))
        .wrap(from_fn(mark))
        .wrap(TracingLogger::default())
        .wrap(from_fn(move |request, next| metrics::observe(metrics.clone(), request, next)))
        .wrap(NormalizePath::trim())
}

/// Whether this process lives, and whether it is ready.
pub fn health_routes(services: &mut web::ServiceConfig, readiness: Readiness) {
    services.app_data(web::Data::new(readiness));
    let none = Disabled::default();
    serve(services, &none, "/livez", [on(Method::GET, health::live), on(Method::HEAD, health::live)]);
    serve(services, &none, "/readyz", [on(Method::GET, health::ready), on(Method::HEAD, health::ready)]);
}

/// Paths are written without the slash at their end: `NormalizePath` takes it off, and merges double slashes.
fn routes(services: &mut web::ServiceConfig, api: Api, bucket: Option<Arc<dyn Bucket>>) {
    let disabled = api.disabled.clone();
    let off = disabled.as_ref();
    health_routes(services, api.readiness());
    services.app_data(web::Data::new(api));
    serve(services, off, "/api/v1/bootstrap", [on(Method::GET, bootstrap::get), on(Method::POST, bootstrap::post)]);
    serve(services, off, "/api/v1/config", [on(Method::GET, settings::get), on(Method::PUT, settings::put)]);
    serve(services, off, "/api/v1/metadata", [on(Method::POST, metadata::post)]);
    serve(services, off, "/api/v1/metadata/online", [on(Method::POST, online::post)]);
    serve(services, off, "/api/v1/metadata/sign", [on(Method::GET, signing::get), on(Method::POST, signing::post)]);
    serve(services, off, "/api/v1/metadata/sign/delete", [on(Method::POST, signing::post_delete)]);
    let handlers = [on(Method::POST, delegations::post), on(Method::PUT, delegations::put)];
    serve(services, off, "/api/v1/delegations", handlers);
    serve(services, off, "/api/v1/delegations/delete", [on(Method::POST, delegations::post_delete)]);
    serve(services, off, "/api/v1/delegations/{role}/metadata", [on(Method::PUT, delegations::put_metadata)]);
    serve(services, off, "/api/v1/artifacts", [on(Method::POST, artifacts::post)]);
    serve(services, off, "/api/v1/artifacts/delete", [on(Method::POST, artifacts::post_delete)]);
    serve(services, off, "/api/v1/artifacts/publish", [on(Method::POST, artifacts::post_publish)]);
    serve(services, off, "/api/v1/task", [on(Method::GET, tasks::get)]);
    serve(services, off, "/", [on(Method::GET, docs::page), on(Method::HEAD, docs::page)]);
    serve(services, off, "/openapi.json", [on(Method::GET, docs::openapi), on(Method::HEAD, docs::openapi)]);
    serve(services, off, "/docs-assets/{name}", [on(Method::GET, docs::asset), on(Method::HEAD, docs::asset)]);
    let document = match bucket {
        None => Document::of_api(off),
        Some(bucket) => {
            services.app_data(web::Data::new(Published(bucket)));
            let handlers = [on(Method::GET, published::get), on(Method::HEAD, published::get)];
            serve(services, off, "/metadata/{name}", handlers);
            Document::of_api_and_published(off)
        }
    };
    services.app_data(web::Data::new(document));
}

/// A handler of one method.
fn on<F, Args>(method: Method, handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (method.clone(), Route::new().method(method).to(handler))
}

/// Serves a path with its methods, and tells them to whoever tries another one. What is disabled is answered as a path
/// that there is not.
fn serve<const N: usize>(
    services: &mut web::ServiceConfig,
    disabled: &Disabled,
    path: &str,
    handlers: [(Method, Route); N],
) {
    let (off, handlers): (Vec<_>, Vec<_>) = handlers.into_iter().partition(|(method, _)| disabled.has(method, path));
    if handlers.is_empty() {
        return;
    }
    let allowed = handlers.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ");
    let refused = web::to(move || std::future::ready(Err::<HttpResponse, _>(Refusal::NoSuchMethod(allowed.clone()))));
    let hidden = off.into_iter().map(|(method, _)| {
        Route::new().method(method).to(|| std::future::ready(Err::<HttpResponse, _>(Refusal::NoSuchPath)))
    });
    let resource = web::resource(path).default_service(refused);
    services.service(handlers.into_iter().map(|(_, route)| route).chain(hidden).fold(resource, Resource::route));
}

/// Marks every answer with the identifier that the logs have for its request.
async fn mark(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = request.extensions().get::<RequestId>().copied();
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = id.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    Ok(response)
}

#[cfg(test)]
mod asked;
#[cfg(test)]
mod matrix;
