//! The REST API as the load sees it: as little is read of an answer as will do.

use std::{cell::Cell, time::Duration};

use anyhow::Context;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;

/// Servers close what is idle after five seconds; a connection that is about to be closed must not be taken.
const IDLE_LIMIT: Duration = Duration::from_secs(2);
/// Of an answer that is an error, so many bytes are told.
const TOLD_BYTES: usize = 300;

/// One or more servers of the same repository, asked in turns.
#[derive(Debug)]
pub(super) struct Api {
    http: reqwest::Client,
    servers: Vec<String>,
    next: Cell<usize>,
}

/// What is said to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// 202, with the id of the task.
    Accepted(String),
    /// Another status.
    Refused(StatusCode, String),
    /// There was none in time, or no connection.
    Unreachable(String),
}

/// How a task goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not ended.
    Waiting,
    /// `SUCCESS`.
    Success,
    /// It ended otherwise, as is told.
    Failed(String),
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Accepted {
    task_id: String,
}

#[derive(Deserialize)]
struct Task {
    state: String,
}

impl Api {
    /// Servers by their URLs; an answer may take as long as `limit`.
    pub(super) fn new(servers: &[String], limit: Duration) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().timeout(limit).pool_idle_timeout(IDLE_LIMIT);
        let http = builder.tcp_nodelay(true).build()?;
        let servers = servers.iter().map(|server| format!("{}/api/v1", server.trim_end_matches('/'))).collect();
        Ok(Self { http, servers, next: Cell::new(0) })
    }

    fn server(&self) -> &str {
        let next = self.next.get();
        self.next.set((next + 1) % self.servers.len());
        &self.servers[next]
    }

    /// Posts a body to a path below `/api/v1`.
    pub(super) async fn post(&self, path: &str, body: String) -> Answer {
        let url = format!("{}{path}", self.server());
        let sent = async {
            let answer = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        match sent.await {
            Err(error) => Answer::Unreachable(causes(error)),
            Ok((StatusCode::ACCEPTED, body)) => match serde_json::from_slice::<Envelope<Accepted>>(&body) {
                Ok(accepted) => Answer::Accepted(accepted.data.task_id),
                Err(error) => Answer::Refused(StatusCode::ACCEPTED, format!("{error}: {}", text(&body))),
            },
            Ok((status, body)) => Answer::Refused(status, text(&body)),
        }
    }

    /// Asks how a task goes. An error means that nobody knows, and that it can be asked again.
    pub(super) async fn state(&self, task: &str) -> anyhow::Result<State> {
        let url = format!("{}/task/?task_id={task}", self.server());
        let answer = self.http.get(url).send().await.map_err(|error| anyhow::anyhow!(causes(error)))?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        anyhow::ensure!(status == StatusCode::OK, "a task is told with {status}: {}", text(&body));
        let task: Envelope<Task> = serde_json::from_slice(&body).with_context(|| text(&body))?;
        Ok(match task.data.state.as_str() {
            "SUCCESS" => State::Success,
            "PENDING" | "RECEIVED" | "PRE_RUN" | "STARTED" | "RUNNING" | "RETRY" => State::Waiting,
            _ => State::Failed(text(&body)),
        })
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(TOLD_BYTES)]).into_owned()
}

fn causes(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
