//! Talks to the REST API of a server: asks, submits tasks, waits for them.

use std::time::{Duration, Instant};

use reqwest::{Method, header::HeaderMap, redirect};
use serde_json::Value;

use super::failure::Failure;
pub use refusal::{Fault, Refusal};

mod headers;
mod refusal;
pub mod waiting;

/// The longest that an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// For how long a server that has no room now is asked again.
const BUSY_LIMIT: Duration = Duration::from_secs(60);
/// The longest that is waited for such a server at once.
const LONGEST_REST: Duration = Duration::from_secs(15);
const MOST_REDIRECTS: usize = 5;

/// The API of a server. What it shows of itself has no header in clear.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    server: String,
}

impl ApiClient {
    /// The API of `server`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When this is no such address.
    pub fn new(server: &str) -> Result<Self, Failure> {
        Self::with_headers(server, None)
    }

    /// As [`new`](Self::new), with headers that are written `K: v, K2: v2`.
    ///
    /// # Errors
    /// When the address or the headers are malformed.
    pub fn with_headers(server: &str, headers: Option<&str>) -> Result<Self, Failure> {
        let server = server.trim_end_matches('/');
        let is_address = url::Url::parse(server).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_address {
            return Err(Failure::new(format_args!("{server:?} is no address of a server"))
                .remedy("write it as https://rstuf.example.com"));
        }
        let headers = headers.map(headers::parse).transpose()?.unwrap_or_else(HeaderMap::new);
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(ANSWER_LIMIT)
            .user_agent(concat!("rstuf/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(follow))
            .build()
            .map_err(|error| Failure::new(format_args!("no HTTP client can be made: {error}")))?;
        Ok(Self { http, server: server.to_owned() })
    }

    /// The address of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What is at `path`: the whole body, which has a `message` and most often `data`.
    ///
    /// # Errors
    /// When the server can't be reached or refuses.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.patiently(|| self.exchange(Method::GET, path, None)).await?)
    }

    /// Submits a task with POST and returns its id.
    ///
    /// # Errors
    /// When the server can't be reached or does not accept it.
    pub async fn submit(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let body = body.to_string();
        Ok(self.patiently(|| self.try_submit(Method::POST, path, body.clone())).await?)
    }

    /// Submits a task with PUT and returns its id.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn put(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let body = body.to_string();
        Ok(self.patiently(|| self.try_submit(Method::PUT, path, body.clone())).await?)
    }

    /// Submits a task, written as JSON, and returns its id. It is tried once.
    ///
    /// # Errors
    /// Why it was not accepted, as far as that is known.
    pub async fn try_submit(&self, method: Method, path: &str, body: String) -> Result<String, Refusal> {
        let answer = self.exchange(method, path, Some(body)).await?;
        let id = answer["data"]["task_id"].as_str().filter(|_| answer["message"].is_string());
        id.map(str::to_owned).ok_or_else(|| refusal::unexpected(&self.server, "accepts a task and does not name it"))
    }

    /// Asks with a body, and expects no task.
    ///
    /// # Errors
    /// When the server can't be reached or refuses.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(self.expect(method, path, Some(body.to_string()), 200).await?)
    }

    /// What the server knows of a task: the `data` of its answer.
    ///
    /// # Errors
    /// When the server can't be reached or does not answer as it should.
    pub async fn task(&self, id: &str) -> Result<Value, Failure> {
        Ok(self.try_task(id).await?)
    }

    async fn try_task(&self, id: &str) -> Result<Value, Refusal> {
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let mut answer = self.exchange(Method::GET, &format!("/api/v1/task/?task_id={id}"), None).await?;
        match answer["data"]["state"].is_string() {
            true => Ok(answer["data"].take()),
            false => Err(refusal::unexpected(&self.server, "does not tell the state of a task")),
        }
    }

    /// One request and its answer: 202 for what is submitted, 200 for what is asked.
    async fn exchange(&self, method: Method, path: &str, body: Option<String>) -> Result<Value, Refusal> {
        let expected = if body.is_some() { 202 } else { 200 };
        self.expect(method, path, body, expected).await
    }

    async fn expect(&self, method: Method, path: &str, body: Option<String>, expected: u16) -> Result<Value, Refusal> {
        let url = format!("{}/{}", self.server, path.trim_start_matches('/'));
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| refusal::unreachable(&self.server, &error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|error| refusal::unreachable(&self.server, &error))?;
        match serde_json::from_slice(&bytes) {
            Ok(answer) if status == expected => Ok(answer),
            Ok(answer) => Err(refusal::refused(&self.server, status, &headers, &answer)),
            Err(_) => Err(refusal::refused(&self.server, status, &headers, &Value::Null)),
        }
    }

    /// Tries again, for a while, what a server has no room for now.
    async fn patiently<T, F: Future<Output = Result<T, Refusal>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, Refusal> {
        let begin = Instant::now();
        let mut rest = Duration::from_millis(500);
        loop {
            let refusal = match attempt().await {
                Err(refusal) if matches!(refusal.fault, Fault::Busy(_)) => refusal,
                done => return done,
            };
            let pause = refusal.rest().unwrap_or(rest).min(LONGEST_REST);
            if begin.elapsed() + pause > BUSY_LIMIT {
                return Err(refusal);
            }
            tokio::time::sleep(jittered(pause)).await;
            rest *= 2;
        }
    }
}

/// Headers may carry credentials: they go to no other host, and never to one without TLS after one with it.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let Some(first) = attempt.previous().first() else { return attempt.stop() };
    let next = attempt.url();
    let is_same_host = next.host_str() == first.host_str();
    let keeps_tls = first.scheme() != "https" || next.scheme() == "https";
    match is_same_host && keeps_tls && attempt.previous().len() <= MOST_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// A pause between all and five quarters of this one, so that many who wait do not come back together.
pub(in crate::cli) fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f64(fastrand::f64() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http() {
        crate::cli::install_tls();
        for bad in ["", "rstuf.example.com", "ftp://rstuf.example.com", "/tmp"] {
            assert!(ApiClient::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ApiClient::new("http://127.0.0.1:80/").expect("good").server(), "http://127.0.0.1:80");
    }

    #[test]
    fn headers_are_not_shown() {
        crate::cli::install_tls();
        let api = ApiClient::with_headers("http://a", Some("Authorization: Bearer abc123, X-Key: def456"));
        let shown = format!("{:?}", api.expect("good"));
        assert!(!shown.contains("abc123") && !shown.contains("def456"), "{shown}");
    }
}
