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

use self::{error::Refusal, openapi::Document, published::Published};
use crate::{
    clock::Clock,
    queue::Broker,
    store::{bucket::Bucket, results::Results, settings::Settings},
};

mod admission;
mod artifacts;
mod body;
mod bootstrap;
mod delegations;
mod digest;
mod docs;
mod error;
mod fault;
mod health;
mod lax;
mod limits;
mod lock;
pub mod metrics;
mod openapi;
mod published;
mod reply;
mod settings;
mod tasks;

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
        Self { broker, settings, results, clock, limits, places }
    }
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
    App::new()
        .configure(|services| routes(services, api, bucket))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(Refusal::NoSuchPath) }))
        .wrap(from_fn(mark))
        .wrap(TracingLogger::default())
        .wrap(NormalizePath::trim())
}

/// Paths are written without the slash at their end: `NormalizePath` takes it off, and merges double slashes.
fn routes(services: &mut web::ServiceConfig, api: Api, bucket: Option<Arc<dyn Bucket>>) {
    services
        .app_data(web::Data::new(api))
        .service(resource("/api/v1/bootstrap", [on(Method::GET, bootstrap::get), on(Method::POST, bootstrap::post)]))
        .service(resource("/api/v1/config", [on(Method::GET, settings::get), on(Method::PUT, settings::put)]))
        .service(resource("/api/v1/artifacts", [on(Method::POST, artifacts::post)]))
        .service(resource("/api/v1/artifacts/delete", [on(Method::POST, artifacts::post_delete)]))
        .service(resource("/api/v1/artifacts/publish", [on(Method::POST, artifacts::post_publish)]))
        .service(resource("/api/v1/task", [on(Method::GET, tasks::get)]))
        .service(resource("/livez", [on(Method::GET, health::live), on(Method::HEAD, health::live)]))
        .service(resource("/readyz", [on(Method::GET, health::ready), on(Method::HEAD, health::ready)]))
        .service(resource("/", [on(Method::GET, docs::page), on(Method::HEAD, docs::page)]))
        .service(resource("/openapi.json", [on(Method::GET, docs::openapi), on(Method::HEAD, docs::openapi)]))
        .service(resource("/docs-assets/{name}", [on(Method::GET, docs::asset), on(Method::HEAD, docs::asset)]));
    let document = match bucket {
        None => Document::of_api(),
        Some(bucket) => {
            services.app_data(web::Data::new(Published(bucket))).service(resource(
                "/metadata/{name}",
                [on(Method::GET, published::get), on(Method::HEAD, published::get)],
            ));
            Document::of_api_and_published()
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

/// A path with its methods, which tells them to whoever tries another one.
fn resource<const N: usize>(path: &str, handlers: [(Method, Route); N]) -> Resource {
    let allowed = handlers.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ");
    let refused = web::to(move || std::future::ready(Err::<HttpResponse, _>(Refusal::NoSuchMethod(allowed.clone()))));
    let resource = web::resource(path).default_service(refused);
    handlers.into_iter().fold(resource, |resource, (_, route)| resource.route(route))
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
mod matrix;
