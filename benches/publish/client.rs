//! A client of the REST API that waits.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Longer than anything that is measured.
const LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at a task.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // The server closes idle connections while nothing here runs that would notice it.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        Ok(Self { runtime, http, url: format!("http://{server}") })
    }

    /// Posts a body and returns the id of its task.
    pub(crate) fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json").body(body);
        let (status, answer) = self.answer(request)?;
        ensure!(status == StatusCode::ACCEPTED, "{path} answers {status}: {answer}");
        Ok(answer["data"]["task_id"].as_str().context("an answer without a task")?.to_owned())
    }

    /// Waits until a task has succeeded.
    pub(crate) fn wait(&self, task: &str) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let (_, answer) = self.answer(self.http.get(format!("{}/api/v1/task/?task_id={task}", self.url)))?;
            match answer["data"]["state"].as_str() {
                Some("SUCCESS") => {
                    ensure!(answer["data"]["result"]["status"] == true, "task {task}: {answer}");
                    return Ok(());
                }
                Some("PENDING" | "RECEIVED" | "PRE_RUN" | "STARTED" | "RUNNING") => {}
                _ => anyhow::bail!("task {task}: {answer}"),
            }
            ensure!(begin.elapsed() < LIMIT, "task {task} has not ended in time: {answer}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether the server says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        let answer = self.answer(self.http.get(format!("{}/readyz", self.url)));
        answer.is_ok_and(|(status, _)| status == StatusCode::OK)
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<(StatusCode, Value)> {
        self.runtime.block_on(async {
            let response = request.send().await?;
            Ok((response.status(), response.json().await?))
        })
    }
}
