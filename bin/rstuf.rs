//! The command line for people.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use rstuf::cli::{self, api::ApiClient};

/// The command line of the repository service for The Update Framework (TUF).
#[derive(Parser)]
#[command(
    version,
    after_help = "Ceremonies, signing and artifacts follow here. Until then the REST API takes the bootstrap and artifacts."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask how tasks go
    #[command(subcommand)]
    Task(Task),
}

#[derive(Subcommand)]
enum Task {
    /// Wait until a task has ended, and tell how it went
    #[command(
        after_help = "Example: rstuf task info 6fa1c0b0527844f9b8db0f32d4d31b50 --api-server http://127.0.0.1:8080"
    )]
    Info {
        /// The id that the server gave when it accepted the task
        task_id: String,
        /// The server
        #[arg(long, value_name = "URL", env = "RSTUF_API_SERVER", default_value = "http://127.0.0.1:8080")]
        api_server: String,
        /// Print all that the server knows of it, as JSON
        #[arg(short, long)]
        all: bool,
        /// How long to wait, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        timeout: u64,
    },
}

fn main() -> ExitCode {
    let Command::Task(Task::Info { task_id, api_server, all, timeout }) = Cli::parse().command;
    cli::install_tls();
    let outcome = actix::System::new().block_on(task_info(&task_id, &api_server, all, Duration::from_secs(timeout)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task did what was asked for.
async fn task_info(id: &str, server: &str, all: bool, limit: Duration) -> anyhow::Result<bool> {
    let api = ApiClient::new(server)?;
    if all {
        println!("{:#}", api.task(id).await?);
    }
    let data = api.wait(id, limit, |state| println!("Task status: {state}")).await?;
    if let Some(error) = data["result"]["error"].as_str().or(data["result"]["message"].as_str()) {
        println!("{error}");
    }
    Ok(data["state"] == "SUCCESS")
}
