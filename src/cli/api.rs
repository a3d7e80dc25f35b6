//! Talks to the REST API of a server.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::failure::Failure;

/// The first pause between two looks at a task; it grows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The API of a server.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    server: String,
}

impl ApiClient {
    /// The API of `server`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(server: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().build()?;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned() })
    }

    /// As [`new`](Self::new), with headers that are written `K: v, K2: v2`.
    ///
    /// # Errors
    /// When the headers are malformed, or no HTTP client can be made.
    pub fn with_headers(server: &str, _headers: Option<&str>) -> Result<Self, Failure> {
        Ok(Self::new(server)?)
    }

    /// Submits a task and returns its id.
    ///
    /// # Errors
    /// When the server can't be reached or does not accept it; the message has the answer.
    pub async fn submit(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.server);
        let response = self.http.post(&url).json(body).send().await.with_context(|| format!("can't reach {url}"))?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(|| format!("{url} answers {status} and no JSON"))?;
        if status.as_u16() != 202 {
            bail!("{url} answers {status}: {answer}");
        }
        let id = answer["data"]["task_id"].as_str().with_context(|| format!("no task id in {answer}"))?;
        Ok(id.to_owned())
    }

    /// What the server knows of a task: the `data` of its answer.
    ///
    /// # Errors
    /// When the server can't be reached or does not answer as it should.
    pub async fn task(&self, id: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/task/", self.server);
        let request = self.http.get(&url).query(&[("task_id", id)]);
        let response = request.send().await.with_context(|| format!("can't reach {url}"))?;
        let status = response.status();
        let mut answer: Value = response.json().await.with_context(|| format!("{url} answers {status} and no JSON"))?;
        if !status.is_success() {
            bail!("{url} answers {status}: {answer}");
        }
        Ok(answer["data"].take())
    }

    /// Waits until a task has ended, at most `limit`, and returns its `data`. `seen` is told each new state.
    ///
    /// # Errors
    /// As [`task`](ApiClient::task), and when the time is over: the task goes on, and can be asked for again.
    pub async fn wait(&self, id: &str, limit: Duration, mut seen: impl FnMut(&str)) -> anyhow::Result<Value> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        loop {
            let data = self.task(id).await?;
            let state = data["state"].as_str().unwrap_or_default();
            if state != last {
                seen(state);
                last = state.to_owned();
            }
            if matches!(state, "SUCCESS" | "ERRORED" | "FAILURE" | "REVOKED") {
                return Ok(data);
            }
            if begin.elapsed() > limit {
                bail!("task {id} is still {state} after {} s; it goes on, ask again later", limit.as_secs());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}
