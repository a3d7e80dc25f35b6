//! `rstuf artifact publish`: what was added without being published.

use clap::Args;
use serde_json::{Value, json};

use super::tasks::{Asking, Task, Waiting};
use crate::cli::{admin::shown::count, command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf artifact publish --wait

What was added or deleted with --no-publish, by whomever, is in the metadata afterwards.

Next: rstuf artifact download NAME, as a client does.")]
pub struct PublishArgs {
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: ServerArgs,
}

impl PublishArgs {
    pub(in crate::cli) async fn run(self, Context { profile, output, interview }: Context) -> Result<(), Failure> {
        interview.finish()?;
        let api = self.server.connect(&profile)?;
        let name = "Artifact Publishing";
        let asking = Asking { api: &api, output, name, path: "/api/v1/artifacts/publish/", waiting: self.waiting };
        let tasks = asking.all(vec![Value::Null]).await?;
        output.result(&json!({"tasks": tasks.iter().map(Task::to_value).collect::<Vec<_>>()}));
        for Task { result, .. } in &tasks {
            match result.as_ref().map(|result| result["details"]["artifact_roles"].as_array().map_or(0, Vec::len)) {
                None => {}
                Some(0) => output.say("nothing was held back"),
                Some(roles) => output.say(format_args!("{} brought to a new version", count(roles as u64, "role"))),
            }
        }
        Ok(())
    }
}
