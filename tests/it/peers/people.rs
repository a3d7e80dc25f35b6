//! People who hold keys and sign with them, by python-tuf.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::harness::{checkout, lines::Lines, python};

const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Who holds the keys. All are gone when this is dropped.
pub(crate) struct People {
    child: Child,
    commands: ChildStdin,
    answers: Lines,
    keys: BTreeMap<String, Value>,
}

/// A root that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct RootPlan {
    pub(crate) version: u64,
    pub(crate) days: i64,
    /// Who holds the root keys, and how many of them must sign.
    pub(crate) people: Vec<&'static str>,
    pub(crate) threshold: u32,
    /// The online keys of timestamp, snapshot and targets.
    pub(crate) online: [&'static str; 3],
    /// The online key of the bins, if it is one of their own.
    pub(crate) bins: Option<&'static str>,
}

/// A delegated role that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) paths: Vec<&'static str>,
    /// Whose keys; none for the online key of the repository.
    pub(crate) keys: Vec<&'static str>,
    pub(crate) threshold: u32,
    pub(crate) days: i64,
    pub(crate) terminating: bool,
}

impl Role {
    /// A role that is signed by the online key of the repository.
    pub(crate) fn online(name: &'static str, paths: &[&'static str]) -> Self {
        Self { name, paths: paths.to_vec(), keys: Vec::new(), threshold: 1, days: 7, terminating: true }
    }

    /// The same, signed by so many of these.
    #[must_use]
    pub(crate) fn by(self, keys: &[&'static str], threshold: u32) -> Self {
        Self { keys: keys.to_vec(), threshold, ..self }
    }

    /// The same, with others asked after it.
    #[must_use]
    pub(crate) fn passing_on(self) -> Self {
        Self { terminating: false, ..self }
    }
}

impl RootPlan {
    /// A first root of these people, with one online key.
    pub(crate) fn first(people: &[&'static str], threshold: u32, online: &'static str) -> Self {
        Self { version: 1, days: 365, people: people.to_vec(), threshold, online: [online; 3], bins: None }
    }

    /// The same, as the next version.
    #[must_use]
    pub(crate) fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }
}

impl People {
    /// People without keys.
    pub(crate) fn new() -> Self {
        let mut child = Command::new(python())
            .arg(checkout().join("tests/it/peers/people.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        let commands = child.stdin.take().expect("standard input is piped");
        let answers = Lines::of(child.stdout.take().expect("standard output is piped"));
        Self { child, commands, answers, keys: BTreeMap::new() }
    }

    /// Each of these gets a key.
    pub(crate) fn join(&mut self, names: &[&str]) {
        for name in names {
            let entry = self.ask(&json!({ "do": "key", "name": name }));
            self.keys.insert((*name).to_owned(), entry);
        }
    }

    /// A new online key, whose private half is put into this directory.
    pub(crate) fn online_key(&mut self, name: &str, directory: &Path) {
        let entry = self.ask(&json!({ "do": "online", "name": name, "directory": directory }));
        self.keys.insert(name.to_owned(), entry);
    }

    /// The same, for the bins alone.
    pub(crate) fn key_of_bins(&mut self, name: &str, directory: &Path) {
        let entry = self.ask(&json!({ "do": "online", "name": name, "directory": directory, "role": "bins" }));
        self.keys.insert(name.to_owned(), entry);
    }

    /// The id of a key.
    pub(crate) fn id(&self, name: &str) -> &str {
        self.keys[name]["keyid"].as_str().expect("a key has an id")
    }

    /// The `keys` member with the keys of these.
    pub(crate) fn keys(&self, names: &[&str]) -> Value {
        let keys = names.iter().map(|name| (self.id(name).to_owned(), self.keys[*name]["key"].clone()));
        Value::Object(keys.collect::<Map<_, _>>())
    }

    /// The keys and roles of delegations, as requests have them.
    pub(crate) fn delegations(&self, roles: &[Role]) -> Value {
        let mut names: Vec<_> = roles.iter().flat_map(|role| role.keys.iter().copied()).collect();
        names.sort_unstable();
        names.dedup();
        let roles: Vec<_> = roles.iter().map(|role| self.role(role)).collect();
        json!({ "keys": self.keys(&names), "roles": roles })
    }

    /// A role object of delegations.
    pub(crate) fn role(&self, role: &Role) -> Value {
        json!({
            "name": role.name,
            "terminating": role.terminating,
            "keyids": role.keys.iter().map(|name| self.id(name)).collect::<Vec<_>>(),
            "threshold": role.threshold,
            "paths": role.paths,
            "x-rstuf-expire-policy": role.days,
        })
    }

    /// A root, unsigned.
    pub(crate) fn root(&mut self, plan: &RootPlan) -> Value {
        let [timestamp, snapshot, targets] = plan.online;
        self.ask(&json!({
            "do": "root", "version": plan.version, "days": plan.days, "threshold": plan.threshold, "people": plan.people,
            "unnamed": plan.bins.iter().collect::<Vec<_>>(),
            "online": {"timestamp": [timestamp], "snapshot": [snapshot], "targets": [targets]},
        }))
    }

    /// The metadata of a delegated role with these artifacts, unsigned.
    pub(crate) fn targets(&mut self, version: u64, days: i64, files: &[(&str, &str)]) -> Value {
        let files: Map<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), json!(text))).collect();
        self.ask(&json!({ "do": "targets", "version": version, "days": days, "files": files }))
    }

    /// The metadata with the signatures of these added.
    pub(crate) fn sign(&mut self, metadata: &Value, names: &[&str]) -> Value {
        self.ask(&json!({ "do": "sign", "names": names, "metadata": metadata }))
    }

    /// The signature of this one.
    pub(crate) fn signature(&mut self, metadata: &Value, name: &str) -> Value {
        self.ask(&json!({ "do": "signature", "name": name, "metadata": metadata }))
    }

    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("the people listen");
        let answer = self.answers.next(ANSWER_LIMIT).unwrap_or_else(|why| panic!("no answer to {command}: {why:?}"));
        let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
        assert_eq!(answer["failed"], Value::Null, "{command}");
        answer["ok"].clone()
    }
}

impl Drop for People {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
