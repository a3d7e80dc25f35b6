//! From a request to its body, and from a job to the queue, each within a bounded room and time.

use std::{future::Future, time::Duration};

use actix_web::{HttpMessage, HttpRequest, HttpResponse, http::header, mime, rt, web};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Api, Limits,
    body::{Body, Cursor},
    error::Refusal,
    reply::{Accepted, Submission},
};
use crate::task::{Job, TaskId};

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How long the queue may take to confirm a job.
const CONFIRMATION: Duration = Duration::from_secs(10);

/// What has no more bytes is read at once: to have another thread do it takes longer.
const SHORT: usize = 16 * 1024;

/// How much of a body is worth one place.
const BYTES_PER_PLACE: usize = 1024 * 1024;

/// A place among the requests that are worked on, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Api {
    /// Takes a place for a request, waits for its body and reads it with `parse`; a long one off the thread that serves others.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        parse: impl FnOnce(&Cursor<'_>) -> Option<T> + Send + 'static,
    ) -> Result<(T, Place), Refusal> {
        let place = self.place(request)?;
        let body = self.body(request, payload).await?;
        let parsed = match body.bytes() {
            0..=SHORT => body.read(parse),
            _ => web::block(move || body.read(parse)).await.map_err(|_| Refusal::Broken)?,
        };
        Ok((parsed.map_err(Refusal::Invalid)?, place))
    }

    /// Takes a place for a request.
    pub(super) fn place(&self, request: &HttpRequest) -> Result<Place, Refusal> {
        let places = places(request, &self.limits)?;
        self.places.clone().try_acquire_many_owned(places).map(Place).map_err(|_| Refusal::Busy)
    }

    async fn body(&self, request: &HttpRequest, payload: web::Payload) -> Result<Body, Refusal> {
        let limit = self.limits.body_bytes;
        let bytes = timeout(ARRIVAL, payload.to_bytes_limited(limit))
            .await
            .map_err(|_| Refusal::TooSlow)?
            .map_err(|_| Refusal::TooLarge(limit))?
            .map_err(|_| Refusal::BrokenOff)?;
        Ok(match bytes.is_empty() {
            true => Body::Missing,
            false if says_json(request) => Body::Json(bytes),
            false => Body::Other(bytes),
        })
    }

    /// Makes a task of a job, and tells under which name.
    pub(super) async fn submit(&self, job: Job, message: &'static str) -> Result<HttpResponse, Refusal> {
        let task_id = TaskId::random();
        self.publish(&task_id, &job).await?;
        let data = Submission { artifacts: None, task_id, last_update: self.clock.now() };
        Ok(Accepted::reply(data, message))
    }

    /// Puts a job into the queue. When this errs, nothing is recorded, or only what another try records again.
    pub(super) async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), Refusal> {
        match timeout(CONFIRMATION, self.broker.publish(id, job)).await {
            Ok(Ok(())) => {
                tracing::info!(task_id = %id, action = job.action(), "task accepted");
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::warn!(task_id = %id, %error, "task not queued");
                Err(Refusal::NotQueued)
            }
            Err(_) => {
                tracing::warn!(task_id = %id, waited_s = CONFIRMATION.as_secs(), "task not confirmed in time");
                Err(Refusal::NotQueued)
            }
        }
    }
}

/// How many places a request takes: one for each MiB that its body has begun, so that memory is bounded too. Who does
/// not say how long the body is takes as many as the longest would.
fn places(request: &HttpRequest, limits: &Limits) -> Result<u32, Refusal> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let unsaid = if request.chunked().unwrap_or(true) { limits.body_bytes } else { 0 };
    let bytes: usize = announced.unwrap_or(unsaid);
    if bytes > limits.body_bytes {
        return Err(Refusal::TooLarge(limits.body_bytes));
    }
    let places = bytes.div_ceil(BYTES_PER_PLACE).clamp(1, limits.requests_in_flight.max(1));
    Ok(u32::try_from(places).unwrap_or(u32::MAX))
}

/// Does work to its end even when the client goes away meanwhile.
pub(super) async fn to_the_end<T: 'static>(
    work: impl Future<Output = Result<T, Refusal>> + 'static,
) -> Result<T, Refusal> {
    rt::spawn(work).await.unwrap_or(Err(Refusal::Broken))
}

/// Whether the content type is JSON. A body without any is not read: a browser can be made to send one from anywhere.
fn says_json(request: &HttpRequest) -> bool {
    let json = |kind: mime::Mime| {
        kind.type_() == mime::APPLICATION && (kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON))
    };
    request.mime_type().ok().flatten().is_some_and(json)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HttpRequest {
        TestRequest::post().insert_header((name, value)).to_http_request()
    }

    #[test]
    fn large_bodies_take_more_places() {
        let limits = Limits::default();
        let taken = |bytes: usize| places(&with(header::CONTENT_LENGTH, &bytes.to_string()), &limits);
        assert_eq!(taken(0).expect("a place"), 1);
        assert_eq!(taken(BYTES_PER_PLACE).expect("a place"), 1);
        assert_eq!(taken(BYTES_PER_PLACE + 1).expect("places"), 2);
        assert_eq!(taken(limits.body_bytes).expect("places"), 32);
        assert!(matches!(taken(limits.body_bytes + 1), Err(Refusal::TooLarge(max)) if max == limits.body_bytes));
        assert_eq!(places(&with(header::TRANSFER_ENCODING, "chunked"), &limits).expect("places"), 32);
        assert_eq!(places(&TestRequest::post().to_http_request(), &limits).expect("a place"), 1);
        let few = Limits { requests_in_flight: 4, ..limits };
        assert_eq!(places(&with(header::TRANSFER_ENCODING, "chunked"), &few).expect("places"), 4);
    }

    #[test]
    fn only_json_is_read_as_json() {
        for kind in
            ["application/json", "application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"]
        {
            assert!(says_json(&with(header::CONTENT_TYPE, kind)), "{kind}");
        }
        for kind in ["text/plain", "text/json", "application/x-www-form-urlencoded", "json", ""] {
            assert!(!says_json(&with(header::CONTENT_TYPE, kind)), "{kind}");
        }
        assert!(!says_json(&TestRequest::post().to_http_request()));
    }
}
