//! Waiting for tasks, politely: a task goes on whether somebody waits or not.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ApiClient, Fault, jittered};
use crate::cli::failure::Failure;

/// The first pause between two looks at a task; it grows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long a server that was there may be away.
const ABSENCE_LIMIT: Duration = Duration::from_secs(60);

impl ApiClient {
    /// Waits until a task has ended, well or not, at most `limit`, and returns its `data`. `seen` is told each new state. A server that is
    /// away for less than a minute is waited for.
    ///
    /// # Errors
    /// When the time is over or the waiting is interrupted (Ctrl-C), the task goes on, and the failure says how to ask again; so it
    /// does when the server is away for longer.
    pub async fn wait(&self, id: &str, limit: Duration, seen: impl FnMut(&str)) -> Result<Value, Failure> {
        tokio::select! {
            waited = self.until_ended(id, limit, seen) => waited,
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::new(format_args!("stopped waiting; task {id} goes on")).remedy(again(id)))
            }
        }
    }

    /// Waits as [`wait`](Self::wait) does, and returns the `result` of the task if it has succeeded.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and those of [`success`].
    pub async fn finish(&self, id: &str, limit: Duration, seen: impl FnMut(&str)) -> Result<Value, Failure> {
        success(&self.wait(id, limit, seen).await?)
    }

    /// As [`wait`](Self::wait), for who minds Ctrl-C himself.
    pub(in crate::cli) async fn until_ended(
        &self,
        id: &str,
        limit: Duration,
        mut seen: impl FnMut(&str),
    ) -> Result<Value, Failure> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        let mut away_since: Option<Instant> = None;
        loop {
            match self.try_task(id).await {
                Ok(data) => {
                    away_since = None;
                    let state = data["state"].as_str().unwrap_or_default();
                    if state != last {
                        seen(state);
                        last = state.to_owned();
                    }
                    if has_ended(state) {
                        return Ok(data);
                    }
                }
                Err(refusal) if matches!(refusal.fault, Fault::Unreachable | Fault::Busy(_)) => {
                    if away_since.get_or_insert_with(Instant::now).elapsed() > ABSENCE_LIMIT {
                        return Err(refusal.failure.remedy(format_args!("the task goes on; {}", again(id))));
                    }
                }
                Err(refusal) => return Err(refusal.failure),
            }
            if begin.elapsed() >= limit {
                return Err(late(id, &last, limit));
            }
            tokio::time::sleep(jittered(pause).min(limit.saturating_sub(begin.elapsed()))).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

/// The `result` of a task that has ended, if it did what was asked for.
///
/// # Errors
/// Why it did not, in the words of the server.
pub fn success(data: &Value) -> Result<Value, Failure> {
    let result = &data["result"];
    let state = data["state"].as_str().unwrap_or_default();
    let why = result["error"].as_str().or(result["message"].as_str()).unwrap_or("the server does not say why");
    let failed = |what: &str| Failure::new(format_args!("{what}: {why}"));
    match state {
        "SUCCESS" if result["status"] != false => Ok(result.clone()),
        "SUCCESS" | "ERRORED" => Err(failed("the task did not do what was asked for")
            .remedy("nothing was changed; correct what is named, and submit it again")),
        "FAILURE" => Err(failed("the task broke").remedy("the log of the worker says more; it can be submitted again")),
        "REVOKED" => Err(Failure::new("the task was revoked before a worker took it")
            .remedy("is a worker running? then submit it again")),
        "REJECTED" | "IGNORED" => {
            Err(failed("no worker can do this task").remedy("are API and workers of the same version?"))
        }
        other => Err(Failure::new(format_args!("the task has not ended, it is {other}"))
            .remedy(again(data["task_id"].as_str().unwrap_or("TASK_ID")))),
    }
}

fn has_ended(state: &str) -> bool {
    matches!(state, "SUCCESS" | "ERRORED" | "FAILURE" | "REVOKED" | "REJECTED" | "IGNORED")
}

fn late(id: &str, state: &str, limit: Duration) -> Failure {
    let seconds = limit.as_secs();
    match state {
        "" => Failure::new(format_args!("nothing was heard of task {id} for {seconds} s")).remedy(again(id)),
        "PENDING" => Failure::new(format_args!(
            "task {id} is still PENDING after {seconds} s: no worker has begun it, or the server does not know it"
        ))
        .remedy("is a worker running? is it the right id? results are forgotten after a day"),
        "RUNNING" => Failure::new(format_args!("task {id} is still RUNNING after {seconds} s"))
            .remedy(format_args!("it goes on, and may wait for signatures; {}", again(id))),
        state => Failure::new(format_args!("task {id} is still {state} after {seconds} s"))
            .remedy(format_args!("it goes on; {}", again(id))),
    }
}

fn again(id: &str) -> String {
    format!("ask again with: rstuf task info {id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_did_what_was_asked_for_is_a_success() {
        let data = |state: &str, status: Option<bool>| json!({"task_id": "a", "state": state, "result": {"status": status, "error": "why"}});
        assert!(success(&data("SUCCESS", Some(true))).is_ok());
        assert!(success(&data("SUCCESS", None)).is_ok());
        for (state, status) in
            [("SUCCESS", Some(false)), ("ERRORED", Some(false)), ("FAILURE", None), ("REJECTED", None)]
        {
            let failure = success(&data(state, status)).expect_err(state);
            assert!(failure.cause.ends_with(": why") && failure.remedy.is_some(), "{failure}");
        }
        for state in ["REVOKED", "PENDING", "RUNNING"] {
            assert!(success(&data(state, None)).expect_err(state).remedy.is_some());
        }
    }
}
