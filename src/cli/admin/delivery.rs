//! What was made goes to the server, and what comes of it is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::cli::{api::ApiClient, failure::Failure, output::Output};

/// How long a task is waited for. It goes on after that.
const LIMIT: Duration = Duration::from_secs(300);

/// A request that becomes a task.
#[derive(Debug, Clone)]
pub struct Request {
    /// POST or PUT.
    pub method: Method,
    /// Below the server.
    pub path: &'static str,
    /// The JSON document, exactly as it is sent.
    pub body: String,
    /// What people call it: `Metadata sign`.
    pub title: &'static str,
}

impl Request {
    /// A document that is POSTed.
    pub fn post(path: &'static str, body: &Value, title: &'static str) -> Self {
        Self { method: Method::POST, path, body: body.to_string(), title }
    }
}

/// Sends a request and waits for its task: the id of the task, and its `result`.
///
/// # Errors
/// When it is not accepted, or the task did not succeed; when it lasts too long, it goes on.
pub async fn deliver(api: &ApiClient, output: Output, request: Request) -> Result<(String, Value), Failure> {
    let Request { method, path, body, title } = request;
    let id = api.try_submit(method, path, body).await.map_err(|refusal| refusal.failure)?;
    output.say(format_args!("{title} status: ACCEPTED ({id})"));
    let result = api.finish(&id, LIMIT, |state| output.say(format_args!("{title} status: {state}"))).await?;
    Ok((id, result))
}

/// Whether the result of a task says that signatures are missing.
pub fn is_pending(result: &Value) -> bool {
    pending_words(result).is_some()
}

/// How the result of a task says that signatures are missing, if it does.
pub fn pending_words(result: &Value) -> Option<&str> {
    let details = &result["details"];
    let words = ["bootstrap", "update"].iter().find_map(|name| details[*name].as_str());
    words.filter(|words| words.contains("pending signature"))
}
