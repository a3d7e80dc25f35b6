//! `/metrics`, on a port of its own, and what is counted of the requests of the API.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    App, Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    middleware::Next,
    web,
};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    clock::Clock,
    queue::Broker,
    telemetry::metrics::{Admission, Metrics},
};

/// The text format, as Prometheus asks for it.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// For how long a depth of the queue is told again.
const SAMPLE_AGE: Duration = Duration::from_secs(3);
/// How long the queue may take to tell its depth: a scrape must not fail because of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a scrape is answered from. Clones share everything.
#[derive(Clone)]
pub struct Scrape(Arc<Source>);

struct Source {
    metrics: Metrics,
    broker: Arc<dyn Broker>,
    clock: Clock,
    /// When the queue was asked for its depth; who asks holds it.
    asked: Mutex<Option<Instant>>,
}

impl Scrape {
    /// The figures of this process, and the depth of this queue.
    pub fn new(metrics: Metrics, broker: Arc<dyn Broker>, clock: Clock) -> Self {
        Self(Arc::new(Source { metrics, broker, clock, asked: Mutex::default() }))
    }

    /// All figures, in the text format 0.0.4.
    pub async fn text(&self) -> String {
        let source = &self.0;
        if let Ok(mut asked) = source.asked.try_lock()
            && asked.is_none_or(|at| at.elapsed() >= SAMPLE_AGE)
        {
            match timeout(PATIENCE, source.broker.depth()).await {
                Ok(Ok(jobs)) => source.metrics.queue_depth(jobs),
                Ok(Err(_)) | Err(_) => source.metrics.queue_unreachable(),
            }
            *asked = Some(Instant::now());
        }
        source.metrics.text(source.clock.now())
    }
}

/// The application of the port for metrics: `/metrics`, and `beside` it whatever else is to be answered there.
pub fn app(
    scrape: Scrape,
    beside: impl FnOnce(&mut web::ServiceConfig),
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
        .app_data(web::Data::new(scrape))
        .service(web::resource("/metrics").route(web::get().to(tell)).route(web::head().to(tell)))
        .configure(beside)
}

async fn tell(scrape: web::Data<Scrape>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(scrape.text().await)
}

/// Counts a request of the API with its answer. For `from_fn`, around everything else.
///
/// # Errors
/// Those of what it surrounds.
pub async fn observe<B: MessageBody + 'static>(
    metrics: Metrics,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.match_pattern();
    let route = route.as_deref().unwrap_or("other");
    let answer = next.call(request).await;
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    metrics.request(method.as_str(), route, status.as_u16(), start.elapsed());
    // A dry run asks for no task: it is answered with 200.
    if let Some(kind) = asks_for(&method, route).filter(|_| status != StatusCode::OK) {
        metrics.task_asked(kind, if status == StatusCode::ACCEPTED { Admission::Accepted } else { Admission::Refused });
    }
    answer
}

/// The kind of the tasks that a route makes.
fn asks_for(method: &Method, route: &str) -> Option<&'static str> {
    Some(match (method.as_str(), route) {
        ("POST", "/api/v1/bootstrap") => "bootstrap",
        ("POST", "/api/v1/artifacts") => "add_artifacts",
        ("POST", "/api/v1/artifacts/delete") => "remove_artifacts",
        ("POST", "/api/v1/artifacts/publish") => "publish_artifacts",
        ("PUT", "/api/v1/config") => "update_settings",
        ("POST", "/api/v1/metadata") => "metadata_update",
        ("POST", "/api/v1/metadata/online") => "force_online_metadata_update",
        ("POST", "/api/v1/metadata/sign") => "sign_metadata",
        ("POST", "/api/v1/metadata/sign/delete") => "delete_sign_metadata",
        ("POST" | "PUT", "/api/v1/delegations") | ("POST", "/api/v1/delegations/delete") => "metadata_delegation",
        ("PUT", "/api/v1/delegations/{role}/metadata") => "publish_delegated_metadata",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::{
        middleware::from_fn,
        test::{TestRequest, call_and_read_body, call_service, init_service},
    };

    use super::*;
    use crate::queue::local::{Capacity, LocalBroker};

    async fn queue() -> (tempfile::TempDir, Arc<LocalBroker>) {
        let home = tempfile::tempdir().expect("a directory");
        let broker = LocalBroker::open(home.path().join("queue.db"), Clock::system(), Capacity::default()).await;
        (home, Arc::new(broker.expect("a queue")))
    }

    #[actix_web::test]
    async fn a_scrape_has_the_format_and_the_depth_of_the_queue() {
        let (_home, broker) = queue().await;
        let task = crate::task::TaskId::random();
        broker.publish(&task, &crate::task::Job::PublishArtifacts).await.expect("published");
        let scrape = Scrape::new(Metrics::default(), broker, Clock::system());
        let live = |services: &mut web::ServiceConfig| {
            services.route("/livez", web::get().to(HttpResponse::NoContent));
        };
        let app = init_service(app(scrape, live)).await;
        let answer = call_service(&app, TestRequest::get().uri("/metrics").to_request()).await;
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).map(|v| v.as_bytes()), Some(CONTENT_TYPE.as_bytes()));
        let text = actix_web::test::read_body(answer).await;
        let text = std::str::from_utf8(&text).expect("text");
        assert!(text.contains("\nrstuf_queue_jobs 1\n") && text.contains("\nrstuf_queue_reachable 1\n"), "{text}");
        for (index, line) in text.lines().enumerate() {
            assert!(
                line.starts_with("# HELP rstuf_") || line.starts_with("# TYPE rstuf_") || line.starts_with("rstuf_")
            );
            assert!(index > 0 || line.starts_with("# HELP"), "help comes first");
        }
        let beside = call_service(&app, TestRequest::get().uri("/livez").to_request()).await;
        assert_eq!(beside.status(), StatusCode::NO_CONTENT);
    }

    #[actix_web::test]
    async fn requests_are_counted_by_route_and_tasks_by_kind() {
        let metrics = Metrics::default();
        let counted = metrics.clone();
        let app = App::new()
            .route("/api/v1/artifacts", web::post().to(HttpResponse::Accepted))
            .route("/api/v1/config", web::put().to(HttpResponse::NotFound))
            .wrap(from_fn(move |request, next| observe(counted.clone(), request, next)));
        let app = init_service(app).await;
        for request in [
            TestRequest::post().uri("/api/v1/artifacts?x=1"),
            TestRequest::put().uri("/api/v1/config"),
            TestRequest::get().uri("/a/path/of/a/client"),
        ] {
            call_and_read_body(&app, request.to_request()).await;
        }
        let text = metrics.text(Clock::system().now());
        for line in [
            "rstuf_http_requests_total{method=\"POST\",route=\"/api/v1/artifacts\",status=\"202\"} 1",
            "rstuf_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
            "rstuf_http_request_duration_seconds_count{method=\"PUT\",route=\"/api/v1/config\"} 1",
            "rstuf_api_tasks_total{kind=\"add_artifacts\",state=\"accepted\"} 1",
            "rstuf_api_tasks_total{kind=\"update_settings\",state=\"refused\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}
