//! The service beside its floor: what a bare program needs for the same signatures, files, fsyncs and rows.
//!
//! Both are measured in one run and in turns, so that whatever else the machine does slows down both: read the ratios.

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::Parser;

mod artifacts;
mod client;
mod floor;
mod idle;
mod published;
mod report;
mod repository;
mod samples;
mod service;

use report::Report;
use samples::Bench;

/// Measures the service beside its floor: cargo bench --bench publish -- [OPTIONS]
#[derive(Parser)]
struct Options {
    /// Hash bins of the repository
    #[arg(long, default_value_t = 16_384)]
    bins: u32,
    /// Artifacts that are stored before the second half of the measurements
    #[arg(long, default_value_t = 1_000_000)]
    stored: usize,
    /// Artifacts that are added one after the other, each time
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// How often bootstraps and large requests are repeated
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Where to work, on the disk that is to be measured [default: in the build directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

/// Artifacts of a large request.
const MANY: usize = 10_000;
/// Artifacts of a request that fills the repository: the most that one may have.
const FILL: usize = 100_000;
/// What is in memory only is no floor of what is durable.
const TMPFS_MAGIC: u64 = 0x0102_1994;

fn main() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        println!("nothing is measured: this build is not optimised");
        return Ok(());
    }
    let options = Options::parse();
    rstuf::cli::install_tls();
    let parent = options.data_dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    fs::create_dir_all(&parent).with_context(|| format!("can't make {}", parent.display()))?;
    if u64::try_from(rustix::fs::statfs(&parent)?.f_type) == Ok(TMPFS_MAGIC) {
        bail!("{} is in memory: take a directory on a disk", parent.display());
    }
    let home = tempfile::Builder::new().prefix("rstuf-bench-").tempdir_in(&parent)?;

    let mut report = Report::new(options.json);
    let mut bench = Bench::bootstrap(home.path(), options.bins, options.repeats, &mut report)?;
    let empty = bench.one_by_one(options.samples, &mut report)?;
    bench.together(MANY, options.repeats, &mut report)?;
    if options.stored > 0 {
        bench.fill(options.stored, FILL, &mut report)?;
        let full = bench.one_by_one(options.samples, &mut report)?;
        report.change("one artifact: median to visible, stored artifacts against none", empty, full, 1.2);
        bench.together(MANY, options.repeats, &mut report)?;
    }
    bench.end()?;
    idle::measure(&home.path().join("idle"), options.bins, &mut report)?;
    report.finish()
}
