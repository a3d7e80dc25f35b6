//! Clients in other languages: programs that read commands and write answers, a line of JSON each.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::harness::{checkout, deployment::Deployment, lines::Lines, node, python, repository::Repository};

const ANSWER_LIMIT: Duration = Duration::from_secs(180);

/// A running judge. It ends when this is dropped.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    commands: ChildStdin,
    answers: Lines,
}

/// What a judge says of a repository.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The client accepts it; this is what was asked for.
    Ok(Value),
    /// The server was not there.
    Unreachable(String),
    /// The client does not accept what it was given.
    Refused(String),
}

/// What a client saw that refreshed without a pause.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Watch {
    /// How often it accepted the repository.
    pub(crate) refreshed: u64,
    /// How often the server was not there.
    pub(crate) unreachable: u64,
    /// Why it did not accept the repository.
    pub(crate) refused: Vec<String>,
}

/// What was downloaded and verified.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Download {
    pub(crate) length: usize,
    pub(crate) sha256: String,
}

impl Program {
    /// The client of python-tuf.
    pub(crate) fn python_tuf() -> Self {
        Self::start("python-tuf", python(), "python_tuf.py")
    }

    /// tuf-js.
    pub(crate) fn tuf_js() -> Self {
        Self::start("tuf-js", node(), "js/judge.mjs")
    }

    fn start(name: &'static str, interpreter: PathBuf, script: &str) -> Self {
        let mut child = Command::new(interpreter)
            .arg(checkout().join("tests/it/judges").join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} can't be started: {error}"));
        let commands = child.stdin.take().expect("standard input is piped");
        let answers = Lines::of(child.stdout.take().expect("standard output is piped"));
        Self { name, child, commands, answers }
    }

    /// Which client this is.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Sends a command and waits for the verdict.
    fn ask(&mut self, command: &Value) -> Verdict {
        writeln!(self.commands, "{command}").expect("the judge reads its commands");
        let answer = self.answers.next(ANSWER_LIMIT);
        let answer = answer.unwrap_or_else(|why| panic!("no answer from {} to {command}: {why:?}", self.name));
        serde_json::from_str(&answer).expect("the judge writes JSON")
    }

    /// Sends a command to which the client is to agree.
    fn agree(&mut self, command: &Value) -> Value {
        match self.ask(command) {
            Verdict::Ok(answer) => answer,
            verdict => panic!("{} on {command}: {verdict:?}", self.name),
        }
    }

    /// Whether a new client of this repository accepts its metadata.
    pub(crate) fn refresh(&mut self, repository: &Repository<impl Deployment>) -> Verdict {
        self.ask(&command("refresh", repository, json!({})))
    }

    /// What a new client of this repository finds under these paths, null where it finds nothing.
    pub(crate) fn find(&mut self, repository: &Repository<impl Deployment>, paths: &[&str]) -> BTreeMap<String, Value> {
        let found = self.agree(&command("find", repository, json!({ "paths": paths })));
        serde_json::from_value(found).expect("the judge answers with an object")
    }

    /// Downloads what a new client of this repository finds under this path.
    pub(crate) fn download(
        &mut self,
        repository: &Repository<impl Deployment>,
        path: &str,
        targets_url: &str,
    ) -> Download {
        let download = command("download", repository, json!({ "path": path, "targets_url": targets_url }));
        serde_json::from_value(self.agree(&download)).expect("the judge answers with what it downloaded")
    }

    /// Serves the files of a directory (python-tuf's judge alone can) and returns the URL.
    pub(crate) fn serve(&mut self, directory: &Path) -> String {
        let url = self.agree(&json!({ "do": "serve", "directory": directory }));
        url.as_str().expect("the judge answers with a URL").to_owned()
    }

    /// Lets clients refresh and look these paths up without a pause from now on (python-tuf's judge alone can).
    pub(crate) fn watch(&mut self, repository: &Repository<impl Deployment>, paths: &[String]) {
        self.agree(&command("watch", repository, json!({ "paths": paths })));
    }

    /// From now on the watch is to find these paths, each time.
    pub(crate) fn expect(&mut self, paths: &[&str]) {
        self.agree(&json!({ "do": "expect", "paths": paths }));
    }

    /// From now on it need not find these any more.
    pub(crate) fn forget(&mut self, paths: &[&str]) {
        self.agree(&json!({ "do": "forget", "paths": paths }));
    }

    /// How often the clients of the watch have accepted the repository so far.
    pub(crate) fn seen(&mut self) -> u64 {
        self.agree(&json!({ "do": "seen" })).as_u64().expect("the judge answers with a number")
    }

    /// What a client that keeps what it learns in `cache` finds under these paths, null where it finds nothing.
    pub(crate) fn find_again(
        &mut self,
        repository: &Repository<impl Deployment>,
        cache: &Path,
        paths: &[&str],
    ) -> BTreeMap<String, Value> {
        let found = self.agree(&command("find", repository, json!({ "paths": paths, "cache": cache })));
        serde_json::from_value(found).expect("the judge answers with an object")
    }

    /// Ends the watch, and tells what these clients have seen.
    pub(crate) fn rest(&mut self) -> Watch {
        serde_json::from_value(self.agree(&json!({ "do": "rest" }))).expect("the judge answers with a report")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill and only the wait is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(what: &str, repository: &Repository<impl Deployment>, more: Value) -> Value {
    let mut command = Map::new();
    command.insert("do".to_owned(), what.into());
    command.insert("url".to_owned(), repository.server.metadata_url().into());
    command.insert("root".to_owned(), repository.ceremony.root.to_string_lossy().into());
    if let Value::Object(more) = more {
        command.extend(more);
    }
    Value::Object(command)
}
