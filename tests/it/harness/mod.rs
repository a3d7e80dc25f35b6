//! What the tests stand on: deployments as processes, their REST API, a repository with its ceremony, and the checker.

pub(crate) mod api;
pub(crate) mod artifact;
pub(crate) mod ceremony;
pub(crate) mod checker;
pub(crate) mod daemon;
pub(crate) mod deployment;
pub(crate) mod fleet;
pub(crate) mod golden;
pub(crate) mod kms;
pub(crate) mod lines;
pub(crate) mod load;
pub(crate) mod mount;
pub(crate) mod repository;
pub(crate) mod server;
pub(crate) mod services;
pub(crate) mod terminal;
pub(crate) mod token;
pub(crate) mod web;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

use tokio::runtime;

/// The top of this checkout.
pub(crate) fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has python-tuf and securesystemslib.
pub(crate) fn python() -> PathBuf {
    installed("RSTUF_TEST_PYTHON", ".deps/venv/bin/python")
}

/// A Python that has the command line of the Python service.
pub(crate) fn python_cli() -> PathBuf {
    installed("RSTUF_TEST_PYTHON_CLI", ".deps/venv-cli/bin/python")
}

/// A Python beside which lies what reads the files in `deploy/`.
pub(crate) fn python_deploy() -> PathBuf {
    installed("RSTUF_TEST_PYTHON_DEPLOY", ".deps/venv-deploy/bin/python")
}

/// A Python that has a server which answers as AWS KMS.
pub(crate) fn python_kms() -> PathBuf {
    installed("RSTUF_TEST_PYTHON_KMS", ".deps/venv-kms/bin/python")
}

/// A Node.js that tuf-js runs on.
pub(crate) fn node() -> PathBuf {
    installed("RSTUF_TEST_NODE", ".deps/node")
}

/// A program that `scripts/test.sh --setup` installs: where the environment says, else inside the checkout.
fn installed(variable: &str, place: &str) -> PathBuf {
    let program = env::var_os(variable).map_or_else(|| checkout().join(place), PathBuf::from);
    assert!(program.exists(), "{} is missing: run `scripts/test.sh --setup` first", program.display());
    program
}

/// Prints a line that is seen when the test passes, too.
pub(crate) fn say(line: &str) {
    // Nothing depends on the line: a closed standard error is no failure.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Runs what a test without a runtime of its own waits for.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(future)
}
