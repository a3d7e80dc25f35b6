//! Requests about artifacts: told as they are accepted, and waited for if that is wanted.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{api::ApiClient, failure::Failure, output::Output};

/// Whether somebody waits.
#[derive(Debug, Clone, Copy, Args)]
pub struct Waiting {
    /// Wait until clients see it, and tell how it went
    #[arg(long)]
    wait: bool,
    /// How long to wait for each task
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// How things are sent.
#[derive(Debug, Clone, Copy, Args)]
pub struct Sending {
    /// Hold it back until "rstuf artifact publish"
    #[arg(long)]
    no_publish: bool,
    /// The most entries of one request
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

impl Sending {
    /// Whether clients see it without being published.
    pub(super) fn publishes(self) -> bool {
        !self.no_publish
    }

    /// The most entries of one request.
    pub(super) fn most(self) -> usize {
        self.batch as usize
    }

    /// Says what is left to be done.
    pub(super) fn tell(self, output: Output) {
        if self.no_publish {
            output.say("held back; clients see it after: rstuf artifact publish");
        }
    }
}

/// A kind of request, as it is told.
pub(super) struct Asking<'a> {
    pub(super) api: &'a ApiClient,
    pub(super) output: Output,
    /// What it is called: `Artifact Addition`.
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) waiting: Waiting,
}

/// A task that was accepted, with its result if it was waited for.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) result: Option<Value>,
}

impl Task {
    /// The texts of the list `name` in the details of the result.
    pub(super) fn listed(&self, name: &str) -> Vec<&str> {
        let details = self.result.as_ref().map(|result| &result["details"][name]);
        details.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// As JSON.
    pub(super) fn to_value(&self) -> Value {
        match &self.result {
            Some(result) => json!({"task_id": self.id, "result": result}),
            None => json!({"task_id": self.id}),
        }
    }
}

impl Asking<'_> {
    /// Submits all requests, then waits for them if that is wanted.
    ///
    /// # Errors
    /// What happens to one of them; which were accepted before is told.
    pub(super) async fn all(&self, bodies: Vec<Value>) -> Result<Vec<Task>, Failure> {
        let (name, output) = (self.name, self.output);
        let mut tasks = Vec::new();
        for (index, body) in bodies.iter().enumerate() {
            match self.api.submit(self.path, body).await {
                Ok(id) => {
                    output.say(format_args!("{name} status: ACCEPTED ({id})"));
                    output.say(format_args!("RSTUF task ID (use to check its status) is: {id}"));
                    tasks.push(Task { id, result: None });
                }
                Err(failure) if index == 0 => return Err(failure),
                Err(Failure { cause, remedy }) => {
                    let ids: Vec<_> = tasks.iter().map(|task| task.id.as_str()).collect();
                    output.note(format_args!("accepted before: {}", ids.join(" ")));
                    let cause = format!("of {} requests {index} were accepted, then: {cause}", bodies.len());
                    return Err(Failure { cause, remedy });
                }
            }
        }
        if self.waiting.wait {
            let limit = Duration::from_secs(self.waiting.timeout);
            for task in &mut tasks {
                let seen = |state: &str| output.say(format_args!("{name} status: {state}"));
                task.result = Some(self.api.finish(&task.id, limit, seen).await?);
            }
        }
        Ok(tasks)
    }
}
