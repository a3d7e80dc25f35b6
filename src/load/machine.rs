//! The machine, and the processes that are looked at while they work.

use std::{
    fs,
    str::FromStr,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use serde::Serialize;

/// Between two looks at the memory of a process.
const INTERVAL: Duration = Duration::from_millis(100);
/// The unit in which Linux tells the time of a process, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// What figures depend on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The model of the processor, where the system tells it.
    pub processor: Option<String>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The release of the kernel.
    pub kernel: String,
    /// Whether this program was built to be fast.
    pub optimised: bool,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            memory_bytes: memory.and_then(|text| kibibytes(&text)),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

fn kibibytes(text: &str) -> Option<u64> {
    Some(text.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// A process that is looked at, `NAME=PID`.
#[derive(Debug, Clone)]
pub struct Process {
    name: String,
    pid: u32,
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let parts = parts.and_then(|(name, pid)| Some((name.to_owned(), pid.parse().ok()?)));
        let (name, pid) = parts.ok_or("must be NAME=PID, as worker=4711")?;
        Ok(Self { name, pid })
    }
}

impl Process {
    /// Bytes of memory that are resident now.
    fn resident(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("{} is no process: {path}", self.name))?;
        let resident = status.lines().find_map(|line| kibibytes(line.strip_prefix("VmRSS:")?));
        resident.with_context(|| format!("{} has ended", self.name))
    }
}

/// The processor time that a process has used, user and system, in seconds. `self` is this one.
pub fn cpu_seconds(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND)
}

/// What a process took while it was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Resident memory at the beginning, in bytes.
    pub before_bytes: u64,
    /// Resident memory at the end, in bytes; `None` when it had ended.
    pub after_bytes: Option<u64>,
    /// The most resident memory at any look, in bytes.
    pub peak_bytes: u64,
    /// Processor time, in seconds; `None` when it had ended.
    pub cpu_seconds: Option<f64>,
}

/// Looks at processes until it is asked what it saw.
#[derive(Debug)]
pub struct Observer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<Usage>>,
}

impl Observer {
    /// Begins.
    ///
    /// # Errors
    /// When one of the processes is not there.
    pub fn start(processes: Vec<Process>) -> anyhow::Result<Self> {
        let usage = |process: &Process| {
            let before = process.resident()?;
            let name = process.name.clone();
            Ok(Usage { name, before_bytes: before, after_bytes: None, peak_bytes: before, cpu_seconds: None })
        };
        let mut usages = processes.iter().map(usage).collect::<anyhow::Result<Vec<_>>>()?;
        let cpu = |process: &Process| cpu_seconds(&process.pid.to_string());
        let begin: Vec<_> = processes.iter().map(cpu).collect();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let interval = if processes.is_empty() { Duration::MAX } else { INTERVAL };
            loop {
                let last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                for (usage, process) in usages.iter_mut().zip(&processes) {
                    usage.after_bytes = process.resident().ok();
                    usage.peak_bytes = usage.peak_bytes.max(usage.after_bytes.unwrap_or(0));
                }
                if last {
                    for ((usage, process), begin) in usages.iter_mut().zip(&processes).zip(&begin) {
                        usage.cpu_seconds = cpu(process).zip(*begin).map(|(end, begin)| end - begin);
                    }
                    return usages;
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// What was seen until now.
    pub fn finish(self) -> Vec<Usage> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_with_its_number() {
        for text in ["", "4711", "=4711", "worker=", "worker=x"] {
            assert!(text.parse::<Process>().is_err(), "{text}");
        }
        let process: Process = "worker=4711".parse().expect("a process");
        assert_eq!((process.name.as_str(), process.pid), ("worker", 4711));
    }

    #[test]
    fn memory_and_time_of_this_process_are_told() {
        let this: Process = format!("tests={}", std::process::id()).parse().expect("a process");
        let usage = Observer::start(vec![this]).expect("it lives").finish().remove(0);
        assert!(usage.before_bytes > 0 && usage.peak_bytes >= usage.before_bytes, "{usage:?}");
        assert!(usage.cpu_seconds.is_some_and(|seconds| seconds >= 0.0), "{usage:?}");
        assert!(Observer::start(vec!["nobody=4294967295".parse().expect("a process")]).is_err());
    }
}
