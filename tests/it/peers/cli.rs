//! The command line of the Python service, unmodified.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

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

/// What a person presses at a question.
pub(crate) fn answer(question: &str, answer: &str) -> [String; 2] {
    [question.to_owned(), format!("{answer}\r")]
}

/// How a person chooses from a menu, once this text is on the screen.
pub(crate) fn choose(text: &str, position: usize) -> [String; 2] {
    answer(text, &"\u{1b}[B".repeat(position))
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

impl Cli<'_> {
    /// Runs `rstuf` with these arguments at a terminal, and presses keys when it asks, until these last words.
    pub(crate) fn at_terminal(&self, arguments: &[&str], steps: &[[String; 2]], last: &str) -> Ended {
        let mut child = Command::new(python_cli())
            .arg(checkout().join("tests/it/peers/terminal.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        let play = json!({ "arguments": arguments, "home": self.home, "steps": steps, "last": last });
        let mut stdin = child.stdin.take().expect("standard input is piped");
        stdin.write_all(play.to_string().as_bytes()).expect("it reads what to do");
        drop(stdin);
        let output = child.wait_with_output().expect("it can be waited for");
        let screen = String::from_utf8_lossy(&output.stderr);
        Ended { code: output.status.code(), text: screen.split_whitespace().collect::<Vec<_>>().join(" ") }
    }
}

/// Holds a ceremony at a terminal, as a dry run.
pub(crate) fn ceremony(out: &Path, keys: &Path, bins: u32) -> Ceremony {
    hold(out, keys, &["--bins", &bins.to_string()])
}

/// Holds a ceremony at a terminal, as a dry run, with one role and one signature of two.
pub(crate) fn half_ceremony(out: &Path, keys: &Path) -> Ceremony {
    hold(out, keys, &["--delegations", "--signers", "1"])
}

/// Holds a ceremony at a terminal which sends its result to this API, with one role and one signature of two.
pub(crate) fn begun_ceremony(out: &Path, keys: &Path, url: &str) -> Ceremony {
    hold(out, keys, &["--delegations", "--signers", "1", "--api-server", url])
}

fn hold(out: &Path, keys: &Path, options: &[&str]) -> Ceremony {
    let output = Command::new(python_cli())
        .arg(checkout().join("tests/it/peers/ceremony_by_cli.py"))
        .arg("--out")
        .arg(out)
        .arg("--keys")
        .arg(keys)
        .args(options)
        .output()
        .expect("Python can be started");
    let screen = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the ceremony ended with {}: {screen}", output.status);
    let payload = fs::read(out.join("payload.json")).expect("the ceremony writes its payload");
    Ceremony { payload: serde_json::from_slice(&payload).expect("the payload is JSON"), root: out.join("1.root.json") }
}
