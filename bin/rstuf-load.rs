//! The load tool.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rstuf::{cli, load};

/// Measures a repository service for The Update Framework (TUF), and holds it to what it says.
#[derive(Parser)]
#[command(
    version,
    after_help = "The exit code is 1 when anything was false, lost or failed, and 2 when it could not be measured."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Drive any server of the REST API, and check with a client that each reported SUCCESS was visible
    #[command(after_help = HTTP_HELP)]
    Http(load::http::Options),
    /// Drive the intake and the publisher of a worker in this process through their mailboxes: no HTTP, no queue
    #[command(after_help = ACTORS_HELP)]
    Actors(load::actors::Options),
    /// Do the same signatures, files, fsyncs and rows with no service: what the other figures are compared with
    #[command(after_help = FLOOR_HELP)]
    Floor(load::floor::Options),
    /// Replace the online key of a worker in this process, and do the same signatures and files with no service
    #[command(after_help = ROTATION_HELP)]
    Rotation(load::rotation::Options),
}

const HTTP_HELP: &str = "\
Example, on a server that nobody else uses:
  rstufd standalone --data-dir /tmp/measured &
  rstuf-load http --bootstrap 256 --key-dir /tmp/measured/keys --metadata-dir /tmp/measured/metadata \\
      --clients 64 --duration 20 --json figures.json";

const ACTORS_HELP: &str = "\
Example:
  rstuf-load actors --data-dir /var/tmp --clients 64 --requests 20000

Take a directory on a disk: what is in memory only waits for nothing.";

const FLOOR_HELP: &str = "\
Example, beside `rstuf-load http` with the same --clients and --artifacts-per-request:
  rstuf-load floor --data-dir /var/tmp --clients 64 --requests 20000
  rstuf-load floor --data-dir /var/tmp --clients 64 --requests 20000 --db postgres://user:password@127.0.0.1/database

In a round are: three transactions, every changed bin, snapshot and timestamp, signed, written, flushed and renamed.
Not in it are HTTP, queue, checks of what comes in, and the reports of tasks.";

const ROTATION_HELP: &str = "\
Example:
  rstuf-load rotation --data-dir /var/tmp --bins 16384 --rotations 3

The ratio is that of the medians, to the quicker one of two ways to write the files.";

fn main() -> ExitCode {
    let command = Cli::parse().command;
    cli::install_tls();
    let outcome = actix::System::new().block_on(async {
        match command {
            Command::Http(options) => load::http::run(options).await,
            Command::Actors(options) => load::actors::run(options).await,
            Command::Floor(options) => load::floor::run(options).await.map(|()| true),
            Command::Rotation(options) => load::rotation::run(options).await,
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
