//! `rstuf task`: how tasks go.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{command::Context, failure::Failure, server::ServerArgs};

/// What is asked of tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait until a task has ended, and tell how it went
    #[command(
        after_help = "Example: rstuf task info 6fa1c0b0527844f9b8db0f32d4d31b50 --api-server http://127.0.0.1:8080"
    )]
    Info(InfoArgs),
}

/// The options.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The id that the server gave when it accepted the task
    task_id: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print all that the server knows of it, as JSON
    #[arg(short, long)]
    all: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

impl Command {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let Self::Info(args) = self;
        args.run(context).await
    }
}

impl InfoArgs {
    async fn run(self, context: Context) -> Result<(), Failure> {
        let api = self.server.connect(&context.profile)?;
        if self.all {
            println!("{:#}", api.task(&self.task_id).await?);
        }
        let limit = Duration::from_secs(self.timeout);
        let data = api.wait(&self.task_id, limit, |state| println!("Task status: {state}")).await?;
        if let Some(error) = data["result"]["error"].as_str().or(data["result"]["message"].as_str()) {
            println!("{error}");
        }
        match data["state"] == "SUCCESS" {
            true => Ok(()),
            false => Err(Failure::new("the task did not succeed")),
        }
    }
}
