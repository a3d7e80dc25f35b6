//! The command line of the Python service, unmodified.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{ceremony::Ceremony, checkout, python_cli};

/// The command line of a person with a home directory.
pub(crate) struct Cli<'a> {
    home: &'a Path,
}

/// How a command ended, and all that it printed, in one line.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Ended {
    /// What it printed, if it ended well.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.text
    }
}

impl<'a> Cli<'a> {
    /// The command line of who lives in `home`.
    pub(crate) fn of(home: &'a Path) -> Self {
        Self { home }
    }

    /// Runs `rstuf` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let program = python_cli().with_file_name("rstuf");
        let output = Command::new(program)
            .args(arguments)
            .env("HOME", self.home)
            .env("COLUMNS", "400")
            .current_dir(self.home)
            .stdin(Stdio::null())
            .output()
            .expect("the command line can be started");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ended { code: output.status.code(), text: text.split_whitespace().collect::<Vec<_>>().join(" ") }
    }
}

/// Holds a ceremony at a terminal, as a dry run.
pub(crate) fn ceremony(out: &Path, keys: &Path, bins: u32) -> Ceremony {
    let output = Command::new(python_cli())
        .arg(checkout().join("tests/it/peers/ceremony_by_cli.py"))
        .arg("--out")
        .arg(out)
        .arg("--keys")
        .arg(keys)
        .args(["--bins", &bins.to_string()])
        .output()
        .expect("Python can be started");
    let screen = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the ceremony ended with {}: {screen}", output.status);
    let payload = fs::read(out.join("payload.json")).expect("the ceremony writes its payload");
    Ceremony { payload: serde_json::from_slice(&payload).expect("the payload is JSON"), root: out.join("1.root.json") }
}
