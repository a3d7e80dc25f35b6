//! A server of its own for one test, that can be killed and started again on what it left.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::sleep;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, started by `scripts/server.sh`.
pub(crate) struct PrivateServer {
    kind: &'static str,
    home: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
}

impl PrivateServer {
    pub(crate) async fn start(kind: &'static str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let process = run(kind, home.path(), port);
        let server = Self { kind, home, port, process };
        server.until_ready().await;
        server
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let group = Pid::from_child(&self.process);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.process.wait();
    }

    pub(crate) async fn start_again(&mut self) {
        self.process = run(self.kind, self.home.path(), self.port);
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{} did not start", self.kind);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(kind: &str, home: &Path, port: u16) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/server.sh");
    let mut command = Command::new(script);
    command.arg(kind).arg(home.join("server")).arg(port.to_string()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

/// The first of three ports that are free now, below those which the system hands out.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..30_000);
        if (port..port + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}
