//! The program at rest: its memory, and how soon it is ready on an existing directory.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rstuf::{
    load::times::Times,
    tuf::bins::{Bins, Layout},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    artifacts,
    client::Client,
    report::{Aim, Report},
    repository,
};

const STARTS: usize = 10;
/// The memory is taken as settled when it was the same for so long.
const SETTLED: Duration = Duration::from_secs(1);
const READY_LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;

/// Measures `rstufd standalone` in the new directory `data_dir`.
pub(crate) fn measure(data_dir: &Path, bins: u32, report: &mut Report) -> anyhow::Result<()> {
    let body = repository::bootstrap(&data_dir.join("keys"), bins)?;
    let (process, _) = Process::start(data_dir)?;
    process.client.wait(&process.client.post("/api/v1/bootstrap/", body)?)?;
    report.memory(format!("memory at rest after a bootstrap with {bins} bins"), process.resident()?, 60 * MIB);
    process.stop()?;

    let mut times = Times::new()?;
    for start in 0..STARTS {
        let (process, ready) = Process::start(data_dir)?;
        times.record(ready);
        if start + 1 == STARTS {
            report.memory(format!("memory at rest after a start with {bins} bins"), process.resident()?, 60 * MIB);
            let artifact = artifacts::fresh(Bins::new(bins, Layout::Succinct)?, 1)?;
            process.client.wait(&process.client.post("/api/v1/artifacts/", artifacts::body(&artifact)?)?)?;
            report.memory("memory at rest after one more artifact".to_owned(), process.resident()?, 60 * MIB);
        }
        process.stop()?;
    }
    let what = format!("start on a directory with {bins} bins, until it listens and is ready");
    report.times(what, &times, None, Some(Aim::Median(Duration::from_secs(1))));
    Ok(())
}

/// The program that is shipped, as a process of its own.
struct Process {
    child: Child,
    client: Client,
}

impl Process {
    /// Starts it, and says how long it took until it was ready.
    fn start(data_dir: &Path) -> anyhow::Result<(Self, Duration)> {
        let begin = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rstufd"))
            .args(["standalone", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://").context("it does not listen")?.parse()?;
        let process = Self { child, client: Client::new(address)? };
        while !process.client.is_ready() {
            ensure!(begin.elapsed() < READY_LIMIT, "it is not ready in time");
        }
        Ok((process, begin.elapsed()))
    }

    /// Bytes of resident memory, when they don't change any more.
    fn resident(&self) -> anyhow::Result<u64> {
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < SETTLED {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            let resident = line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
            if resident != last {
                (last, since) = (resident, Instant::now());
            }
            sleep(SETTLED / 20);
        }
        Ok(last)
    }

    fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After an error; it is gone already otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
