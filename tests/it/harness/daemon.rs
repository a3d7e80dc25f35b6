//! A program under test as a process that can be started, paused, asked to end, and killed.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::lines::{Lines, NoLine};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// So much of a log is shown.
const LAST_LINES: usize = 20;
const COMPLAINTS: [&str; 3] = ["WARN", "ERROR", "panicked"];
const ANNOUNCEMENT: &str = "listening on http://";

/// A program that is started again and again with the same command. It is killed when this is dropped.
pub(crate) struct Daemon {
    name: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    output: Lines,
    address: Option<String>,
}

impl Daemon {
    /// A program that does not run yet; what it says on standard error is appended to `log`.
    pub(crate) fn new(
        name: impl Into<String>,
        log: PathBuf,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), command: Box::new(command), log, running: None }
    }

    /// What the tests call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let mut child = (self.command)()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&self.log).expect("a log can be opened"))
            .spawn()
            .expect("rstufd can be started");
        let output = Lines::of(child.stdout.take().expect("standard output is piped"));
        self.running = Some(Running { child, output, address: None });
    }

    /// Waits until it tells the address that it listens on, and returns that.
    pub(crate) fn wait_until_listening(&mut self) -> &str {
        let (name, log) = (&self.name, &self.log);
        let running = self.running.as_mut().unwrap_or_else(|| panic!("{name} was not started"));
        let deadline = Instant::now() + START_LIMIT;
        while running.address.is_none() {
            match running.output.next(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    running.address = line.split_once(ANNOUNCEMENT).map(|(_, address)| address.trim().to_owned())
                }
                Err(NoLine::Late) => panic!("{name} was not ready in {START_LIMIT:?}: {}", tail(log)),
                Err(NoLine::Closed) => panic!("{name} ended before it was ready: {}", tail(log)),
            }
        }
        running.address.as_deref().expect("the loop ends when it is known")
    }

    /// The address that it told.
    pub(crate) fn address(&self) -> Option<&str> {
        self.running.as_ref().and_then(|running| running.address.as_deref())
    }

    /// Whether it was started and neither killed nor stopped.
    pub(crate) fn is_started(&self) -> bool {
        self.running.is_some()
    }

    /// How it ended by itself, once it has; it can be started again then.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.running.as_mut()?.child.try_wait().expect("a child can be waited for")?;
        self.running = None;
        Some(status)
    }

    /// Waits until it has ended by itself, and tells how.
    pub(crate) fn wait_until_ended(&mut self) -> ExitStatus {
        let running = self.running.take().expect("it was started");
        self.end(running)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(Pid::from_child(&running.child), signal).expect("a child can be signalled");
    }

    /// Ends the process at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().expect("a child can be killed");
        running.child.wait().expect("a child can be waited for");
    }

    /// Asks the process to end (SIGTERM), waits until it has, and asserts that it ended well.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_until_ended();
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.last_words());
    }

    fn end(&self, mut running: Running) -> ExitStatus {
        if until_closed(&running.output, STOP_LIMIT).is_err() {
            running.child.kill().expect("a child can be killed");
            panic!("{} did not end in {STOP_LIMIT:?}: {}", self.name, self.last_words());
        }
        running.child.wait().expect("a child can be waited for")
    }

    /// The last lines of what it said.
    pub(crate) fn last_words(&self) -> String {
        tail(&self.log)
    }

    /// The last lines of what it warned of.
    pub(crate) fn complaints(&self) -> String {
        let words = self.words();
        last(words.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word))))
    }

    /// All that it said.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("the last words of {}: {}", self.name, self.last_words());
        }
    }
}

/// Waits until a process has closed its output, which is when it has ended.
fn until_closed(output: &Lines, limit: Duration) -> Result<(), NoLine> {
    let deadline = Instant::now() + limit;
    loop {
        match output.next(deadline.saturating_duration_since(Instant::now())) {
            Ok(_) => {}
            Err(NoLine::Closed) => return Ok(()),
            Err(NoLine::Late) => return Err(NoLine::Late),
        }
    }
}

fn tail(log: &Path) -> String {
    last(fs::read_to_string(log).unwrap_or_default().lines())
}

fn last<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<_> = lines.collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
