//! The figures of a run, as a table and as JSON.

use std::{
    fmt, fs,
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    machine::{Machine, Observer, Process, Usage},
    times::{COLUMNS, Times},
};

/// The width of what stands left of the figures.
const NAME_WIDTH: usize = 46;

const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// What every subcommand is told about its report.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Write all figures, with the facts of the machine, into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Tell how far it is every two seconds, also when stderr is no terminal
    #[arg(long)]
    pub progress: bool,
    /// Report resident memory (before, after, peak) and processor time of a process; may be repeated
    #[arg(long, value_name = "NAME=PID")]
    pub pid: Vec<Process>,
}

impl Output {
    /// Begins to look at the processes.
    ///
    /// # Errors
    /// When one is not there.
    pub fn observe(&self) -> anyhow::Result<Observer> {
        Observer::start(self.pid.clone())
    }

    /// Whom to tell how far it is, from now on.
    pub fn watcher(&self) -> Watcher {
        let is_there = self.progress || std::io::stderr().is_terminal();
        Watcher { is_there, begin: Instant::now(), told: 0 }
    }

    /// Prints the table and writes the JSON.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn publish(&self, report: &Report) -> anyhow::Result<()> {
        print!("{report}");
        let Some(file) = &self.json else { return Ok(()) };
        let mut text = serde_json::to_string_pretty(&report.to_value())?;
        text.push('\n');
        fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    }
}

/// Somebody who watches a run, or nobody.
#[derive(Debug)]
pub struct Watcher {
    is_there: bool,
    begin: Instant,
    /// How often.
    told: u32,
}

impl Watcher {
    /// Says how far it is, if two seconds have passed since the last time.
    pub fn tell(&mut self, how_far: impl FnOnce() -> String) {
        let passed = self.begin.elapsed();
        if self.is_there && passed >= TELL_INTERVAL * (self.told + 1) {
            self.told = u32::try_from(passed.as_secs() / TELL_INTERVAL.as_secs()).unwrap_or(u32::MAX - 1);
            eprintln!("{:>4} s: {}", passed.as_secs(), how_far());
        }
    }
}

/// The figures of a run, in the order in which they were given.
#[derive(Debug)]
pub struct Report {
    what: String,
    settings: Value,
    machine: Machine,
    counts: Vec<(String, u64)>,
    rates: Vec<(String, f64)>,
    times: Vec<(String, Times)>,
    ratios: Vec<(String, f64)>,
    processor: Vec<(String, f64)>,
    usages: Vec<Usage>,
    faults: Vec<String>,
}

impl Report {
    /// A report without figures: of `what`, with these `settings`.
    pub fn new(what: impl Into<String>, settings: Value) -> Self {
        Self {
            what: what.into(),
            settings,
            machine: Machine::here(),
            counts: Vec::new(),
            rates: Vec::new(),
            times: Vec::new(),
            ratios: Vec::new(),
            processor: Vec::new(),
            usages: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// A number of things.
    pub fn count(&mut self, name: impl Into<String>, number: u64) {
        self.counts.push((name.into(), number));
    }

    /// A number of things over `seconds`.
    pub fn rate(&mut self, name: impl Into<String>, number: u64, seconds: f64) {
        let rate = if seconds > 0.0 { number as f64 / seconds } else { 0.0 };
        self.rates.push((name.into(), rate));
    }

    /// How long something took each time.
    pub fn times(&mut self, name: impl Into<String>, times: Times) {
        self.times.push((name.into(), times));
    }

    /// How many times as much one is as another.
    pub fn ratio(&mut self, name: impl Into<String>, ratio: f64) {
        self.ratios.push((name.into(), ratio));
    }

    /// Seconds of processor time.
    pub fn processor(&mut self, name: impl Into<String>, seconds: f64) {
        self.processor.push((name.into(), seconds));
    }

    /// What processes took.
    pub fn usages(&mut self, usages: Vec<Usage>) {
        self.usages = usages;
    }

    /// What was not as it must be, in words; a few examples are enough.
    pub fn faults(&mut self, faults: impl IntoIterator<Item = String>) {
        self.faults.extend(faults);
    }

    /// Everything as JSON; a name there is the one in the table, in lower case with underscores.
    pub fn to_value(&self) -> Value {
        fn map<'a, T: 'a>(pairs: &'a [(String, T)], value: impl Fn(&'a T) -> Value) -> Value {
            Value::Object(pairs.iter().map(|(name, figure)| (key(name), value(figure))).collect::<Map<_, _>>())
        }
        let usages: Map<_, _> = self.usages.iter().map(|usage| (usage.name.clone(), json!(usage))).collect();
        json!({
            "what": self.what,
            "settings": self.settings,
            "machine": self.machine,
            "counts": map(&self.counts, |number| json!(number)),
            "rates_per_second": map(&self.rates, |rate| json!(rate)),
            "times": map(&self.times, Times::to_value),
            "ratios": map(&self.ratios, |ratio| json!(ratio)),
            "cpu_seconds": map(&self.processor, |seconds| json!(seconds)),
            "processes": usages,
            "faults": self.faults,
        })
    }
}

fn key(name: &str) -> String {
    name.trim().to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, kernel, optimised, .. } = &self.machine;
        writeln!(f, "{}\n{cores} cores, kernel {kernel}", self.what)?;
        if !optimised {
            writeln!(f, "this build is not optimised: its figures say nothing")?;
        }
        for (name, number) in &self.counts {
            writeln!(f, "  {name:<NAME_WIDTH$}{number:>9}")?;
        }
        for (name, rate) in &self.rates {
            writeln!(f, "  {:<NAME_WIDTH$}{rate:>9.1}", format!("{name} per second"))?;
        }
        if !self.times.is_empty() {
            writeln!(f, "  {:<NAME_WIDTH$}{COLUMNS}", "in milliseconds")?;
        }
        for (name, times) in &self.times {
            writeln!(f, "  {name:<NAME_WIDTH$}{times}")?;
        }
        for (name, ratio) in &self.ratios {
            writeln!(f, "  {name:<NAME_WIDTH$}{ratio:>9.2}")?;
        }
        for (name, seconds) in &self.processor {
            writeln!(f, "  {:<NAME_WIDTH$}{seconds:>9.2}", format!("processor seconds of {name}"))?;
        }
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        for Usage { name, before_bytes, after_bytes, peak_bytes, cpu_seconds } in &self.usages {
            let after = after_bytes.map_or("gone".to_owned(), |bytes| format!("{:.1}", mib(bytes)));
            let cpu = cpu_seconds.map_or("?".to_owned(), |seconds| format!("{seconds:.2}"));
            let (before, peak) = (mib(*before_bytes), mib(*peak_bytes));
            let text = format!("{before:.1} before, {after} after, {peak:.1} at most; processor seconds {cpu}");
            writeln!(f, "  {:<NAME_WIDTH$}{text}", format!("MiB resident of {name}"))?;
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "  fault: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_json_have_the_same_figures() {
        let mut report = Report::new("a run", json!({ "clients": 2 }));
        report.count("false SUCCESS", 3);
        report.rate("artifacts to SUCCESS", 10, 4.0);
        let mut times = Times::new().expect("bounds");
        times.record(std::time::Duration::from_millis(5));
        report.times("POST to 202", times);
        report.ratio("service to floor", 1.5);
        report.faults(["a fault".to_owned()]);
        let value = report.to_value();
        assert_eq!(value["counts"]["false_success"], 3);
        assert_eq!(value["rates_per_second"]["artifacts_to_success"], 2.5);
        assert_eq!(value["times"]["post_to_202"]["samples"], 1);
        assert_eq!(value["ratios"]["service_to_floor"], 1.5);
        assert_eq!(value["settings"]["clients"], 2);
        assert!(value["machine"]["cores"].as_u64() > Some(0));
        let text = report.to_string();
        let count = format!("{:<NAME_WIDTH$}{:>9}", "false SUCCESS", 3);
        for line in [count.as_str(), "fault: a fault", "2.5"] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
