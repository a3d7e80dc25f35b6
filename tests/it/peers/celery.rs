//! Celery's own client and worker.

use std::{
    io::Write,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{checkout, fleet::Fleet, lines::Lines, python};

const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// A running peer. It ends when this is dropped.
pub(crate) struct Celery {
    child: Child,
    commands: ChildStdin,
    answers: Lines,
}

impl Celery {
    /// A client of the fleet's broker and results.
    pub(crate) fn client(fleet: &Fleet) -> Self {
        Self::start(fleet, "client")
    }

    /// A worker of the fleet, once it takes tasks.
    pub(crate) fn worker(fleet: &Fleet) -> Self {
        let worker = Self::start(fleet, "worker");
        assert_eq!(worker.next(), json!({ "ready": true }));
        worker
    }

    fn start(fleet: &Fleet, role: &str) -> Self {
        let mut child = Command::new(python())
            .arg(checkout().join("tests/it/peers/celery_peer.py"))
            .args(["--broker", &fleet.broker()])
            .args(["--results", &fleet.addresses.results()])
            .arg(role)
            // It would warn of running as root, as tests in containers do.
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Celery can be started");
        let commands = child.stdin.take().expect("standard input is piped");
        let answers = Lines::of(child.stdout.take().expect("standard output is piped"));
        Self { child, commands, answers }
    }

    /// The next thing that it says.
    pub(crate) fn next(&self) -> Value {
        let line = self.answers.next(ANSWER_LIMIT).unwrap_or_else(|why| panic!("Celery says nothing: {why:?}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("Celery reads its commands");
        self.next()
    }

    /// Sends a task.
    pub(crate) fn send(&mut self, id: &str, queue: &str, action: &str, payload: &Value) {
        let sent = self.ask(&json!({ "send": id, "queue": queue, "action": action, "payload": payload }));
        assert_eq!(sent["sent"], id);
    }

    /// Waits for the end of a task: its state and its result.
    pub(crate) fn result(&mut self, id: &str) -> (String, Value) {
        let mut answer = self.ask(&json!({ "await": id }));
        (answer["state"].as_str().expect("a state").to_owned(), answer["result"].take())
    }
}

impl Drop for Celery {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill and only the wait is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
