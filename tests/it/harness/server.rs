//! `rstufd standalone` as a process of its own, on a directory of its own.

use std::{
    env, fs,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    api::Api,
    lines::{Lines, NoLine},
};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const ANNOUNCEMENT: &str = "listening on http://";

/// A server with its directory. It is killed, and the directory removed, when this is dropped.
pub(crate) struct Server {
    directory: TempDir,
    listen: String,
    running: Option<Running>,
}

struct Running {
    child: Child,
    output: Lines,
    address: Option<String>,
}

/// How a server ended that was not meant to start.
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) error_text: String,
}

impl Server {
    /// Starts a server on an empty directory and a port that the system chooses.
    pub(crate) fn start() -> Self {
        Self::start_on("127.0.0.1:0".to_owned())
    }

    /// Starts a server whose address stays the same when it is started again, for clients that go on meanwhile.
    pub(crate) fn start_at_lasting_address() -> Self {
        Self::start_on(format!("127.0.0.1:{}", lasting_port()))
    }

    fn start_on(listen: String) -> Self {
        let directory =
            tempfile::Builder::new().prefix("rstuf-it-").tempdir().expect("a temporary directory can be made");
        let mut server = Self { directory, listen, running: None };
        server.spawn();
        server.wait_until_listening();
        server
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Where private online keys are read from.
    pub(crate) fn keys(&self) -> PathBuf {
        self.data().join("keys")
    }

    /// The bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.data().join("metadata")
    }

    /// A directory of the test's own, removed together with the data.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let scratch = self.directory.path().join(name);
        fs::create_dir_all(&scratch).expect("a directory can be made");
        scratch
    }

    /// `http://` and the address.
    pub(crate) fn url(&self) -> String {
        let address = self.running.as_ref().and_then(|running| running.address.as_ref());
        format!("http://{}", address.expect("the server listens"))
    }

    /// Where clients find the metadata.
    pub(crate) fn metadata_url(&self) -> String {
        format!("{}/metadata/", self.url())
    }

    /// The REST API.
    pub(crate) fn api(&self) -> Api {
        Api::at(&self.url())
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        let mut child = standalone(&self.data(), &self.listen)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(self.log()).expect("a log can be opened"))
            .spawn()
            .expect("rstufd can be started");
        let output = Lines::of(child.stdout.take().expect("standard output is piped"));
        self.running = Some(Running { child, output, address: None });
    }

    /// Waits for the line that tells the address.
    pub(crate) fn wait_until_listening(&mut self) {
        let log = self.log();
        let running = self.running.as_mut().expect("the server was started");
        let deadline = Instant::now() + START_LIMIT;
        while running.address.is_none() {
            match running.output.next(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    running.address = line.split_once(ANNOUNCEMENT).map(|(_, address)| address.trim().to_owned())
                }
                Err(NoLine::Late) => panic!("the server was not ready in {START_LIMIT:?}: {}", tail(&log)),
                Err(NoLine::Closed) => panic!("the server ended before it was ready: {}", tail(&log)),
            }
        }
    }

    /// Ends the process at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("the server runs");
        running.child.kill().expect("a child can be killed");
        running.child.wait().expect("a child can be waited for");
    }

    /// Asks the process to end (SIGTERM), waits until it has, and asserts that it ended well.
    pub(crate) fn stop(&mut self) {
        let mut running = self.running.take().expect("the server runs");
        let pid = Pid::from_child(&running.child);
        kill_process(pid, Signal::TERM).expect("a child can be signalled");
        if until_closed(&running.output, STOP_LIMIT).is_err() {
            running.child.kill().expect("a child can be killed");
            panic!("the server did not end in {STOP_LIMIT:?}: {}", tail(&self.log()));
        }
        let status = running.child.wait().expect("a child can be waited for");
        assert!(status.success(), "the server ended with {status}: {}", tail(&self.log()));
    }

    /// Stops the process and starts it again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.spawn();
        self.wait_until_listening();
    }

    /// Starts one more process on the same directory, which is not to start, and waits until it has ended.
    pub(crate) fn start_another(&self) -> Refusal {
        let mut child = standalone(&self.data(), "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rstufd can be started");
        let output = Lines::of(child.stdout.take().expect("standard output is piped"));
        let listening = until_closed(&output, START_LIMIT);
        if listening.is_err() {
            child.kill().expect("a child can be killed");
        }
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(listening, Ok(()), "the second process did not end");
        Refusal { status: output.status, error_text: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("rstufd.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("the server's last words: {}", tail(&self.log()));
        }
    }
}

/// The program under test: the release build where the environment names it, else the one built beside this test. Of the
/// environment it gets nothing that it would take for a setting.
pub(crate) fn program() -> Command {
    let mut command =
        Command::new(env::var_os("RSTUF_TEST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rstufd").into()));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RSTUF_")) {
        command.env_remove(name);
    }
    command
}

fn standalone(data: &Path, listen: &str) -> Command {
    let mut command = program();
    command.arg("standalone").arg("--data-dir").arg(data).args(["--listen", listen]).stdin(Stdio::null());
    command
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
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A free port below those that systems give to outgoing connections. A client that tries to reach a server which is
/// just away could otherwise be given the very port as its own, and would be connected to itself.
fn lasting_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
