//! The server.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use actix::{System, SystemRunner};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mimalloc::MiMalloc;
use rstuf::{
    config::{self, Checked, Logs, Reading, Sources},
    demo,
    fleet::{self, check, check::Finding},
    standalone::Standalone,
    store::postgres,
    telemetry,
};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// Rounds allocate much on one thread and free it on another: the allocator of glibc keeps that, and that of musl is slow.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[path = "rstufd/help.rs"]
mod help;

/// A repository service for The Update Framework (TUF): it keeps signed metadata for the files that you distribute.
#[derive(Parser)]
#[command(version, after_help = help::ALL)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run API and worker in one process; everything is kept in one directory
    #[command(after_help = help::STANDALONE)]
    Standalone(StandaloneFlags),
    /// Fleet: make or update the tables of the workers' database, before workers of a new version start
    #[command(after_help = help::MIGRATE)]
    Migrate(FleetFlags),
    /// Fleet: run a worker; it has broker, Redis, database, bucket and keys
    #[command(after_help = help::WORKER)]
    Worker(FleetFlags),
    /// Fleet: run an API instance; it has broker and Redis alone
    #[command(after_help = help::API)]
    Api(ApiFlags),
    /// Say what a program would use, and whether it reaches it
    #[command(after_help = help::CHECK_CONFIG)]
    CheckConfig {
        /// The program
        #[arg(value_enum)]
        program: Option<Program>,
        #[command(flatten)]
        flags: FleetFlags,
    },
    /// Show the main job on real files with throw-away keys, then go on serving
    #[command(
        after_help = "Example: rstufd demo --files ./dist\n\nThe data is thrown away at the end unless --data-dir is given."
    )]
    Demo {
        #[command(flatten)]
        flags: StandaloneFlags,
        /// The files to add [default: the sources of this project]
        #[arg(long, value_name = "DIR")]
        files: Option<PathBuf>,
        /// End after the demonstration
        #[arg(long)]
        exit: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Api,
    Worker,
    Standalone,
}

#[derive(Args)]
struct StandaloneFlags {
    /// Where everything is kept [default: ./rstuf-data; in a demo: thrown away at its end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The address and port of the API; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the private online keys are [default: DIR/keys]
    #[arg(long, value_name = "DIR")]
    key_dir: Option<String>,
    #[command(flatten)]
    common: FleetFlags,
}

#[derive(Args)]
struct ApiFlags {
    /// The address and port of the API; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[command(flatten)]
    common: FleetFlags,
}

#[derive(Args)]
struct FleetFlags {
    /// What is logged: error, warn, info, debug, trace [default: info; in a demo: warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "RSTUF_CONFIG")]
    config: Option<PathBuf>,
}

impl FleetFlags {
    /// The flags that were given, these and others, by the names of their settings.
    fn sources<'a>(&'a self, others: impl IntoIterator<Item = (&'static str, &'a Option<String>)>) -> Sources {
        let given = others.into_iter().chain([("log_level", &self.log_level)]);
        let given = given.filter_map(|(name, value)| Some((name, value.clone()?)));
        Sources::new(self.config.clone(), given.collect())
    }
}

impl ApiFlags {
    fn sources(&self) -> Sources {
        self.common.sources([("listen", &self.listen)])
    }
}

impl StandaloneFlags {
    fn sources(&self) -> Sources {
        let own = [("data_dir", &self.data_dir), ("listen", &self.listen), ("key_dir", &self.key_dir)];
        self.common.sources(own)
    }
}

fn main() -> ExitCode {
    rstuf::cli::install_tls();
    let result = match Cli::parse().command {
        Command::Standalone(flags) => standalone(&flags),
        Command::Migrate(flags) => migrate(&flags),
        Command::Worker(flags) => worker(&flags),
        Command::Api(flags) => api(&flags),
        Command::CheckConfig { program, flags } => Ok(check_config(program, &flags)),
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

/// A configuration without faults, with the logs begun.
fn begin<T>(reading: Reading<T>) -> anyhow::Result<T> {
    let Checked { options, logs: Logs { filter, format }, notes } = reading.checked()?;
    telemetry::init(filter, format);
    for note in notes {
        tracing::warn!("{note}");
    }
    Ok(options)
}

fn standalone(flags: &StandaloneFlags) -> anyhow::Result<i32> {
    let options = begin(config::standalone::load(flags.sources()))?;
    let system = System::new();
    let server = system.block_on(Standalone::start(options))?;
    println!("listening on http://{}", server.address());
    tell_of_metrics(server.metrics_url().as_deref());
    serve(system, server.stop())
}

fn api(flags: &ApiFlags) -> anyhow::Result<i32> {
    let options = begin(config::api::load(flags.sources()))?;
    let system = System::new();
    let server = system.block_on(fleet::api::Server::start(options))?;
    println!("listening on {}", server.url());
    tell_of_metrics(server.metrics_url());
    serve(system, server.stop())
}

fn worker(flags: &FleetFlags) -> anyhow::Result<i32> {
    let options = begin(config::worker::load(flags.sources([])))?;
    let system = System::new();
    let worker = system.block_on(fleet::worker::Instance::start(options))?;
    println!("the worker runs");
    tell_of_metrics(worker.metrics_url());
    serve(system, worker.stop())
}

fn tell_of_metrics(url: Option<&str>) {
    if let Some(url) = url {
        println!("metrics and health on {url}");
    }
}

fn migrate(flags: &FleetFlags) -> anyhow::Result<i32> {
    // What a worker needs beside the database may be wrong or missing here.
    let options = begin(config::worker::load_database(flags.sources([])))?;
    println!("database: {options}");
    let applied = System::new().block_on(postgres::migrate(&options))?;
    match applied.is_empty() {
        true => println!("nothing to do: the schema has version {} or a newer one", postgres::VERSION),
        false => applied.iter().for_each(|migration| println!("applied {migration}")),
    }
    Ok(0)
}

fn check_config(program: Option<Program>, flags: &FleetFlags) -> i32 {
    let sources = flags.sources([]);
    let program = program.unwrap_or_else(|| match () {
        () if config::worker::load_database(sources.clone()).checked().is_ok() => Program::Worker,
        () if config::api::load(sources.clone()).checked().is_ok() => Program::Api,
        () => Program::Standalone,
    });
    let system = System::new();
    let good = match program {
        Program::Api => report("api", config::api::load(sources), |options| system.block_on(check::api(&options))),
        Program::Worker => {
            report("worker", config::worker::load(sources), |options| system.block_on(check::worker(&options)))
        }
        Program::Standalone => {
            report("standalone", config::standalone::load(sources), |options| check::standalone(&options))
        }
    };
    i32::from(!good)
}

/// Prints what was read, and if nothing is wrong with it what was found, and says whether all is well.
fn report<T>(program: &str, reading: Reading<T>, find: impl FnOnce(T) -> Vec<Finding>) -> bool {
    println!("settings of rstufd {program}:");
    let width = reading.used.iter().map(|used| used.name.len()).max().unwrap_or_default();
    for used in &reading.used {
        println!("  {:<width$}  {}  ({})", used.name, used.value, used.origin);
    }
    for note in &reading.notes {
        println!("note: {note}");
    }
    match reading.checked() {
        Err(faults) => {
            println!("{faults}");
            false
        }
        Ok(checked) => {
            println!("parts:");
            let findings = find(checked.options);
            findings.iter().for_each(|finding| println!("  {finding}"));
            findings.iter().all(Finding::is_good)
        }
    }
}

/// What follows a demonstration.
enum After {
    Serve,
    Exit,
}

fn demonstrate(flags: &StandaloneFlags, files: Option<PathBuf>, after: After) -> anyhow::Result<i32> {
    let mut sources = flags.sources();
    let thrown_away = tempfile::Builder::new().prefix("rstuf-demo-").tempdir().context("no temporary directory")?;
    let given: &mut BTreeMap<_, _> = &mut sources.flags;
    given.entry("data_dir").or_insert_with(|| thrown_away.path().display().to_string());
    given.entry("log_level").or_insert_with(|| "warn".to_owned());
    let options = begin(config::standalone::load(sources))?;
    let system = System::new();
    let server = system.block_on(demo::show(options, files.unwrap_or_else(demo::sources)))?;
    match after {
        After::Exit => {
            system.block_on(server.stop());
            Ok(0)
        }
        After::Serve => {
            println!("\nIt goes on serving; end it with Ctrl-C.");
            serve(system, server.stop())
        }
    }
}

/// Serves until a signal comes, which has it `stop`, or an actor ends the process. A second signal ends it at once.
fn serve(system: SystemRunner, stop: impl Future<Output = ()> + 'static) -> anyhow::Result<i32> {
    system.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tell_systemd(NotifyState::Ready);
        actix::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tell_systemd(NotifyState::Stopping);
            tokio::select! {
                () = stop => System::current().stop(),
                _ = terminate.recv() => System::current().stop_with_code(1),
                _ = interrupt.recv() => System::current().stop_with_code(1),
            }
        });
        anyhow::Ok(())
    })?;
    Ok(system.run_with_code()?)
}

/// Tells systemd, if it started this process.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
