//! `rstuf task`: how tasks go.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{api::waiting::success, command::Context, failure::Failure, server::ServerArgs};

/// What is asked of tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait until a task has ended, and tell how it went
    Info(InfoArgs),
}

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf task info 6fa1c0b0527844f9b8db0f32d4d31b50 --api-server http://127.0.0.1:8080

SUCCESS means done, and seen by clients.

Next: RUNNING waits to be published or for signatures: rstuf admin metadata sign.
Ctrl-C stops the waiting, never the task.")]
pub struct InfoArgs {
    /// The id that the server gave when it accepted the task
    task_id: String,
    #[command(flatten)]
    server: ServerArgs,
    /// First print all that the server knows of it now, as JSON
    #[arg(short, long)]
    all: bool,
    /// How long to wait; 0 looks once
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
    async fn run(self, Context { profile, output, interview }: Context) -> Result<(), Failure> {
        interview.finish()?;
        let api = self.server.connect(&profile)?;
        // A server that is not there at the first look is told at once.
        let data = api.task(&self.task_id).await?;
        if self.all {
            output.say(format_args!("{data:#}"));
        }
        let limit = Duration::from_secs(self.timeout);
        let waited = api.wait(&self.task_id, limit, |state| output.say(format_args!("Task status: {state}"))).await;
        let data = match waited {
            Ok(data) => data,
            Err(failure) => {
                output.result(&data);
                return Err(failure);
            }
        };
        output.result(&data);
        let result = success(&data)?;
        if let Some(message) = result["message"].as_str() {
            output.say(message);
        }
        Ok(())
    }
}
