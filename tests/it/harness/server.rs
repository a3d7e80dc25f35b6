//! `rstufd standalone` as a process of its own, on a directory of its own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use super::{
    daemon::Daemon,
    deployment::{Deployment, ROTATION_GRACE_SECONDS, lasting_port},
};

/// A server with its directory. It is killed, and the directory removed, when this is dropped.
pub(crate) struct Server {
    daemon: Daemon,
    directory: TempDir,
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
        let directory = temporary_directory();
        let data = data(directory.path());
        let log = directory.path().join("rstufd.log");
        let daemon = Daemon::new("the server", log, move || standalone(&data, &listen));
        let mut server = Self { daemon, directory };
        server.spawn();
        server.wait_until_listening();
        server
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        data(self.directory.path())
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(&mut self) {
        self.daemon.spawn();
    }

    /// Waits for the line that tells the address.
    pub(crate) fn wait_until_listening(&mut self) {
        self.daemon.wait_until_listening();
    }

    /// Ends the process at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Asks the process to end (SIGTERM), waits until it has, and asserts that it ended well.
    pub(crate) fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Stops the process and starts it again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.spawn();
        self.wait_until_listening();
    }

    /// Starts one more process on the same directory, which is not to start, and waits until it has ended.
    pub(crate) fn start_another(&self) -> Refusal {
        let data = self.data();
        let log = self.scratch("another").join("rstufd.log");
        let mut daemon = Daemon::new("the second server", log, move || standalone(&data, "127.0.0.1:0"));
        daemon.spawn();
        let status = daemon.wait_until_ended();
        Refusal { status, error_text: daemon.words() }
    }
}

impl Deployment for Server {
    fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn keys(&self) -> PathBuf {
        self.data().join("keys")
    }

    fn bucket(&self) -> PathBuf {
        self.data().join("metadata")
    }

    fn url(&self) -> String {
        format!("http://{}", self.daemon.address().expect("the server listens"))
    }

    fn metadata_url(&self) -> String {
        format!("{}/metadata/", self.url())
    }
}

/// An empty directory, removed when this is dropped.
pub(crate) fn temporary_directory() -> TempDir {
    tempfile::Builder::new().prefix("rstuf-it-").tempdir().expect("a temporary directory can be made")
}

/// The program under test: the release build where the environment names it, else the one built beside this test. Of the
/// environment it gets nothing that it would take for a setting.
pub(crate) fn program() -> Command {
    let mut command =
        Command::new(env::var_os("RSTUF_TEST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rstufd").into()));
    without_settings(&mut command);
    command
}

/// Takes everything out of the environment that rstuf would take for a setting.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RSTUF_")) {
        command.env_remove(name);
    }
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn standalone(data: &Path, listen: &str) -> Command {
    let mut command = program();
    command.arg("standalone").arg("--data-dir").arg(data).args(["--listen", listen]).stdin(Stdio::null());
    command.env("RSTUF_ROTATION_GRACE", ROTATION_GRACE_SECONDS);
    command
}
