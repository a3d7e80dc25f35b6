//! The server.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use actix::{System, SystemRunner};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rstuf::{
    config::{self, Settings},
    demo,
    standalone::Standalone,
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

/// A repository service for The Update Framework (TUF): it keeps signed metadata for the files that you distribute.
#[derive(Parser)]
#[command(version, after_help = "First time? Run `rstufd demo`: it shows the main job in a few seconds.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run API and worker in one process; everything is kept in one directory
    #[command(after_help = STANDALONE_HELP)]
    Standalone(Flags),
    /// Show the main job on real files with throw-away keys, then go on serving
    #[command(
        after_help = "Example: rstufd demo --files ./dist\n\nThe data is thrown away at the end unless --data-dir is given."
    )]
    Demo {
        #[command(flatten)]
        flags: Flags,
        /// The files to add [default: the sources of this project]
        #[arg(long, value_name = "DIR")]
        files: Option<PathBuf>,
        /// End after the demonstration
        #[arg(long)]
        exit: bool,
    },
}

const STANDALONE_HELP: &str = "\
Example:
  rstufd standalone --data-dir /var/lib/rstuf --listen 127.0.0.1:8080

Then open http://127.0.0.1:8080/ for the API. The repository begins with a bootstrap: POST /api/v1/bootstrap/ with a root
that people signed. The private online key that this root names as fn:<file> belongs into DIR/keys/<file>.

Every setting can also stand in the environment, as RSTUF_DATA_DIR, or in the file of --config, as data_dir = \"…\".
See config/standalone.toml for all of them.";

#[derive(Args)]
struct Flags {
    /// Where everything is kept [default: ./rstuf-data; in a demo: thrown away at its end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The address and port of the API; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the private online keys are [default: DIR/keys]
    #[arg(long, value_name = "DIR")]
    key_dir: Option<String>,
    /// What is logged: error, warn, info, debug, trace [default: info; in a demo: warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "RSTUF_CONFIG")]
    config: Option<PathBuf>,
}

impl Flags {
    /// The flags that were given, by the names of their settings.
    fn settings(&self) -> BTreeMap<&'static str, String> {
        let given = [
            ("data_dir", &self.data_dir),
            ("listen", &self.listen),
            ("key_dir", &self.key_dir),
            ("log_level", &self.log_level),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Standalone(flags) => standalone(&flags),
        Command::Demo { flags, files, exit } => {
            demonstrate(&flags, files, if exit { After::Exit } else { After::Serve })
        }
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn standalone(flags: &Flags) -> anyhow::Result<i32> {
    let Settings { options, log_filter, log_format } = config::load(flags.config.clone(), &flags.settings())?;
    telemetry::init(log_filter, log_format);
    let system = System::new();
    let server = system.block_on(Standalone::start(options))?;
    println!("listening on http://{}", server.address());
    serve(system, server)
}

/// What follows a demonstration.
enum After {
    Serve,
    Exit,
}

fn demonstrate(flags: &Flags, files: Option<PathBuf>, after: After) -> anyhow::Result<i32> {
    let mut given = flags.settings();
    let thrown_away = tempfile::Builder::new().prefix("rstuf-demo-").tempdir().context("no temporary directory")?;
    given.entry("data_dir").or_insert_with(|| thrown_away.path().display().to_string());
    given.entry("log_level").or_insert_with(|| "warn".to_owned());
    let Settings { options, log_filter, log_format } = config::load(flags.config.clone(), &given)?;
    telemetry::init(log_filter, log_format);
    rstuf::cli::install_tls();
    let system = System::new();
    let server = system.block_on(demo::show(options, files.unwrap_or_else(demo::sources)))?;
    match after {
        After::Exit => {
            system.block_on(server.stop());
            Ok(0)
        }
        After::Serve => {
            println!("\nIt goes on serving; end it with Ctrl-C.");
            serve(system, server)
        }
    }
}

/// Serves until a signal comes, or an actor ends the process. A second signal ends it at once.
fn serve(system: SystemRunner, server: Standalone) -> anyhow::Result<i32> {
    system.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        actix::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tokio::select! {
                () = server.stop() => System::current().stop(),
                _ = terminate.recv() => System::current().stop_with_code(1),
                _ = interrupt.recv() => System::current().stop_with_code(1),
            }
        });
        anyhow::Ok(())
    })?;
    Ok(system.run_with_code()?)
}
