//! The REST API as a client of it sees it.

use std::time::{Duration, Instant};

use reqwest::{Client, ClientBuilder, StatusCode};
use serde_json::{Value, json};

use super::artifact::Artifact;

const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const TASK_LIMIT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
}

/// A status and a body, null when it was not JSON.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Reply {
    /// The id of the task of an accepted request.
    pub(crate) fn task(&self) -> String {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.body);
        self.body["data"]["task_id"].as_str().expect("an accepted request has a task").to_owned()
    }
}

impl Api {
    /// The API of the server at this URL.
    pub(crate) fn at(url: &str) -> Self {
        Self::trusted_by(client_builder().build().expect("the options are good"), url)
    }

    /// The API of the server at this URL, for a client that trusts it.
    pub(crate) fn trusted_by(client: Client, url: &str) -> Self {
        Self { client, base: format!("{url}/api/v1") }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Reply> {
        reply(self.client.get(format!("{}{path}", self.base)).send().await?).await
    }

    /// POST with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Reply> {
        reply(self.client.post(format!("{}{path}", self.base)).json(body).send().await?).await
    }

    /// PUT with a JSON body.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> reqwest::Result<Reply> {
        reply(self.client.put(format!("{}{path}", self.base)).json(body).send().await?).await
    }

    /// Asks to add artifacts. An error means that nobody knows whether it was accepted.
    pub(crate) async fn add(&self, artifacts: &[Artifact]) -> reqwest::Result<Reply> {
        self.post("/artifacts/", &json!({ "artifacts": artifacts.iter().map(Artifact::entry).collect::<Vec<_>>() }))
            .await
    }

    /// Asks to remove artifacts.
    pub(crate) async fn remove(&self, paths: &[&str]) -> reqwest::Result<Reply> {
        self.post("/artifacts/delete", &json!({ "artifacts": paths })).await
    }

    /// Asks to publish what waits for it.
    pub(crate) async fn publish(&self) -> reqwest::Result<Reply> {
        self.post("/artifacts/publish/", &Value::Null).await
    }

    /// What is known of a task: the `data` of the answer.
    pub(crate) async fn task(&self, id: &str) -> Value {
        let reply = self.get(&format!("/task/?task_id={id}")).await.expect("the server answers");
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.body["data"].clone()
    }

    /// Waits until a task is in this state, and returns what is known of it.
    pub(crate) async fn wait_for(&self, id: &str, state: &str) -> Value {
        let deadline = Instant::now() + TASK_LIMIT;
        loop {
            let task = self.task(id).await;
            let seen = task["state"].as_str().expect("a task has a state");
            if seen == state {
                return task;
            }
            assert!(!matches!(seen, "SUCCESS" | "ERRORED" | "FAILURE" | "REVOKED"), "task ended otherwise: {task}");
            assert!(Instant::now() < deadline, "task is not {state} after {TASK_LIMIT:?}: {task}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a task has succeeded, and returns its result.
    pub(crate) async fn success(&self, id: &str) -> Value {
        let task = self.wait_for(id, "SUCCESS").await;
        assert_eq!(task["result"]["status"], true, "{task}");
        task["result"].clone()
    }
}

/// The options that all clients share.
pub(crate) fn client_builder() -> ClientBuilder {
    rstuf::cli::install_tls();
    Client::builder().no_proxy().timeout(ANSWER_LIMIT)
}

async fn reply(response: reqwest::Response) -> reqwest::Result<Reply> {
    let status = response.status();
    let bytes = response.bytes().await?;
    Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}
