//! A repository is created at a terminal, and by a file of answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use jiff::{SignedDuration, Timestamp};
use rstuf::tuf::{key::key_id, root::Root, wire::Metadata};
use serde_json::{Value, json};

use crate::{
    harness::{
        artifact::Artifact,
        ceremony::Ceremony,
        deployment::Deployment,
        golden,
        repository::Repository,
        server::Server,
        terminal::{ENTER, Terminal},
    },
    judges::{program::Program, tough::Tough},
};

/// The key that takes back what was typed last.
const BACKSPACE: &str = "\x7f";

/// A server, and a directory where people work that have keys: ada, grace, linus and joan.
pub(super) struct Office {
    pub(super) server: Server,
    pub(super) home: PathBuf,
}

impl Office {
    pub(super) fn open() -> Self {
        let server = Server::start();
        let home = server.scratch("office");
        let office = Self { server, home };
        for name in ["ada", "grace", "linus", "joan"] {
            office.key(name, &office.home.join(format!("{name}.pem")));
        }
        office.online_key("online");
        office
    }

    fn key(&self, name: &str, file: &Path) {
        let made = self.rstuf(&["key", "generate", "--no-password", "--out", &file.to_string_lossy()]);
        assert!(made.status.success(), "{name}: {}", super::text(&made.stderr));
    }

    /// A key whose private half the workers have; its public half is here.
    pub(super) fn online_key(&self, name: &str) {
        let private = self.server.keys().join(format!("{name}.pem"));
        self.key(name, &private);
        let public = format!("{name}.pem.pub");
        fs::rename(self.server.keys().join(&public), self.home.join(&public)).expect("the public half can be moved");
    }

    /// Runs a command without a terminal.
    pub(super) fn rstuf(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstuf"));
        command.args(arguments).current_dir(&self.home).env("HOME", &self.home).stdin(Stdio::null());
        command.env_remove("RSTUF_API_SERVER").output().expect("rstuf can be started")
    }

    /// Runs a command of `admin` with these answers, and returns its one document.
    pub(super) fn admin(&self, answers: &Value, arguments: &[&str]) -> Result<Value, Value> {
        fs::write(self.home.join("answers.yml"), answers.to_string()).expect("answers can be written");
        let url = self.server.url();
        let common = ["--json", "--answers", "answers.yml", "admin", "--api-server", &url];
        self.document(&[&common, arguments].concat())
    }

    /// Runs a command, and returns its one document, on standard error when it fails.
    pub(super) fn document(&self, arguments: &[&str]) -> Result<Value, Value> {
        let run = self.rstuf(arguments);
        let read = |bytes: &[u8]| {
            let text = super::text(bytes);
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("no document: {error}\n{text}"))
        };
        match run.status.code() {
            Some(0) => Ok(read(&run.stdout)),
            Some(1) => Err(read(&run.stderr)),
            other => panic!("ended with {other:?}: {}", super::text(&run.stderr)),
        }
    }

    /// A person at a terminal of so many columns.
    pub(super) fn terminal(&self, columns: u16, arguments: &[&str]) -> Terminal {
        let url = self.server.url();
        Terminal::rstuf(columns, &self.home, &[&["admin", "--api-server", &url], arguments].concat())
    }

    /// The repository that was created, for the judges.
    pub(super) fn repository(self, payload: Value) -> Repository {
        let root = self.server.bucket().join("1.root.json");
        Repository { server: self.server, ceremony: Ceremony { payload, root } }
    }

    /// Creates a repository of ada, grace and linus, of whom two sign root.
    pub(super) fn found(&self) {
        let done = self.admin(&answers(), &["ceremony"]).expect("a repository");
        assert_eq!(done["state"], "finished", "{done}");
    }

    fn read(&self, file: &str) -> Value {
        let bytes = fs::read(self.home.join(file)).expect("the file is there");
        serde_json::from_slice(&bytes).expect("it is JSON")
    }
}

pub(super) fn person(name: &str) -> Value {
    let mut called = name.to_owned();
    called[..1].make_ascii_uppercase();
    json!({"public": format!("{name}.pem.pub"), "name": called})
}

pub(super) fn signature(name: &str) -> Value {
    json!({"key": person(name)["name"], "private": format!("{name}.pem")})
}

pub(super) fn online(name: &str) -> Value {
    json!({"public": format!("{name}.pem.pub"), "name": name, "uri": format!("fn:{name}.pem")})
}

/// Answers to all that has no default.
pub(super) fn answers() -> Value {
    json!({
        "bins": {"number": 4, "layout": "path_hash_prefixes"},
        "root": {"keys": [person("ada"), person("grace"), person("linus")]},
        "online": {"key": online("online")},
        "signatures": [signature("ada"), signature("grace")],
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut answers = answers();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    answers.pointer_mut(parent).expect("a place")[name] = value;
    answers
}

#[tokio::test]
async fn all_clients_read_what_answers_made() {
    let office = Office::open();
    let mut answers = answers();
    answers["delegations"] = json!("both");
    answers["bins"] = json!({"number": 4, "days": 7});
    answers["roles"] = json!([
        {"name": "release", "days": 30, "paths": ["release-*", "stable?"], "terminating": true, "signed_by": "online"},
    ]);
    let done = office.admin(&answers, &["ceremony", "--out"]).expect("a repository");
    assert_eq!((&done["state"], &done["missing"]), (&json!("finished"), &json!([])));
    assert_eq!(done["file"], "ceremony-payload.json");

    let payload = office.read("ceremony-payload.json");
    assert_eq!(
        payload["settings"],
        json!({"roles": {
            "root": {"expiration": 365}, "timestamp": {"expiration": 1}, "snapshot": {"expiration": 1},
            "targets": {"expiration": 365},
            "bins": {"expiration": 7, "number_of_delegated_bins": 4, "layout": "path_hash_prefixes"},
            "delegations": {"keys": {}, "roles": [{"name": "release", "terminating": true, "keyids": [], "threshold": 1,
                "x-rstuf-expire-policy": 30, "paths": ["release-*", "stable?"]}]}}})
    );
    let repository = office.repository(payload);
    let artifacts = [Artifact::new("release-1", "one"), Artifact::new("other", "two")];
    repository.add(&artifacts).await;
    let tough = Tough::load(&repository).await;
    let mut python = Program::python_tuf();
    for found in [tough.find(&["release-1", "other"]), python.find(&repository, &["release-1", "other"])] {
        for artifact in &artifacts {
            assert_eq!(found[&artifact.path], artifact.info());
        }
    }
}

#[test]
fn the_root_is_that_of_the_contract_but_for_the_ids_of_keys() {
    let office = Office::open();
    let mut answers = with("/online", json!({"keys": "three", "timestamp": online("online")}));
    for name in ["snapshot", "targets"] {
        office.online_key(name);
        answers["online"][name] = online(name);
    }
    office.admin(&answers, &["ceremony", "--out", "p.json"]).expect("a repository");
    let payload = office.read("p.json");
    let recorded: Value = serde_json::from_str(RECORDED).expect("json");
    let members = |value: &Value| {
        let mut names: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names
    };
    for place in ["", "/settings/roles", "/metadata/root", "/metadata/root/signed", "/metadata/root/signed/roles"] {
        let [ours, theirs] = [&payload, &recorded].map(|payload| members(payload.pointer(place).expect("a place")));
        assert_eq!(ours, theirs, "{place}");
    }
    let root = Root::view(&payload["metadata"]["root"]["signed"]).expect("a root");
    for (id, key) in &root.keys {
        assert_eq!(key_id(&key.raw).expect("an id"), *id, "tough asks for it");
    }
    assert_eq!(root.keys.len(), 6);
    let names = ["timestamp", "snapshot", "targets"].map(|role| {
        let id = &root.roles[role].keyids[0];
        root.keys[id].raw["x-rstuf-key-name"].clone()
    });
    assert_eq!(names, ["online", "snapshot", "targets"]);
}

/// What the command line in Python sent.
const RECORDED: &str = include_str!("../../fixtures/recorded/ceremony-payload.json");

#[tokio::test]
async fn who_signs_alone_is_told_who_is_missing() {
    let office = Office::open();
    let done = office.admin(&with("/signatures", json!([signature("linus")])), &["ceremony"]).expect("accepted");
    assert_eq!(done["state"], "signing");
    assert_eq!(done["missing"], json!([{"authority": "root v1", "signatures": 1, "of": ["Ada", "Grace"]}]));
    let bootstrap = office.server.api().get("/bootstrap/").await.expect("the server answers");
    assert_eq!(bootstrap.body["data"]["state"], "signing");

    let again = office.admin(&answers(), &["ceremony"]).expect_err("one at a time");
    assert_eq!(again["error"], "the root of another ceremony waits for signatures on this server");
}

#[tokio::test]
async fn what_was_made_offline_is_sent_by_another() {
    let office = Office::open();
    fs::write(office.home.join("a.yml"), answers().to_string()).expect("answers can be written");
    let made = ["--json", "--answers", "a.yml", "admin", "ceremony", "--dry-run", "--out", "made.json", "-t", "60"];
    let done = office.document(&made).expect("made");
    assert_eq!(done["state"], "not sent");
    let payload = office.read("made.json");
    assert_eq!((&payload, &payload["timeout"]), (&done["payload"], &json!(60)));
    let bootstrap = office.server.api().get("/bootstrap/").await.expect("the server answers");
    assert_eq!(bootstrap.body["data"]["bootstrap"], false);

    let api = office.server.api();
    let task = api.post("/bootstrap/", &payload).await.expect("the server answers").task();
    api.success(&task).await;
}

#[test]
fn what_can_not_be_is_refused_before_anything_is_sent() {
    let office = Office::open();
    let refused = |answers: &Value| {
        let refused = office.admin(answers, &["ceremony", "--out", "refused.json"]).expect_err("refused");
        assert!(!office.home.join("refused.json").exists());
        refused["error"].as_str().expect("a cause").to_owned()
    };
    let three = json!([person("ada"), person("grace"), person("linus")]);
    for (answers, why) in [
        (with("/root", json!({"threshold": 1, "keys": three})), "answer root.threshold: must be a whole number from 2"),
        (with("/root", json!({"threshold": 4, "keys": three})), "answer root.keys: must have at least 4 entries"),
        (
            with("/root", json!({"keys": [person("ada"), person("ada")]})),
            "answer root.keys[1].public: ada.pem.pub is the key of Ada already",
        ),
        (with("/bins", json!({"number": 100})), "answer bins.number: must be a power of two from 2 to 16384"),
        (with("/bins", json!({"number": 4, "size": 1})), "the answers have what no question asks for: bins.size"),
        (
            with("/online", json!({"key": {"public": "ada.pem.pub", "name": "x", "uri": "fn:x"}})),
            "answer online.key.public: ada.pem.pub is the key of Ada already",
        ),
        (with("/timestamp", json!({"days": 0})), "answer timestamp.days: must be a whole number of days"),
        (with("/confirm", json!(false)), "not confirmed"),
    ] {
        let told = refused(&answers);
        assert!(told.starts_with(why), "{told}");
    }
    let nobody = office.document(&["--json", "admin", "ceremony"]).expect_err("refused");
    assert_eq!(nobody["error"], "no server is given");
    let url = office.server.url();
    let nobody = office.document(&["--json", "admin", "--api-server", &url, "ceremony"]).expect_err("refused");
    assert_eq!(nobody["error"], "there is no terminal to ask at, and no answer to timestamp.days");
}

#[test]
fn nobody_is_asked_in_vain() {
    let office = Office::open();
    office.found();
    let (code, screen) = office.terminal(80, &["ceremony"]).end();
    assert_eq!(code, 1);
    assert!(screen.contains("there is a repository on this server already"), "{screen}");
    let lost = office.document(&["--json", "admin", "ceremony", "--out", "no/such.json"]).expect_err("refused");
    assert!(lost["error"].as_str().is_some_and(|cause| cause.starts_with("can't write no/such.json")), "{lost}");
}

#[test]
fn people_hold_a_ceremony_at_80_columns() {
    held_at(80);
}

#[test]
fn people_hold_a_ceremony_at_120_columns() {
    held_at(120);
}

fn held_at(columns: u16) {
    let office = Office::open();
    let mut terminal = office.terminal(columns, &["ceremony", "--out"]);
    let began = Timestamp::now();
    terminal.answer("Days for which timestamp is valid", "");
    terminal.question("Days for which snapshot is valid");
    terminal.press("0");
    terminal.press(ENTER);
    terminal.expect("must be a whole number of days from 1 to 36500");
    terminal.press(BACKSPACE);
    terminal.answer("Days for which snapshot is valid", "2");
    terminal.question("Days for which targets is valid");
    terminal.undo("Days for which snapshot is valid");
    terminal.answer("Days for which snapshot is valid", "3");
    terminal.answer("Days for which targets is valid", "");
    terminal.choose("Where are artifacts listed?", "hash bins");
    terminal.answer("About how many artifacts", "5000");
    terminal.choose("How are the bins written", "succinct");
    terminal.answer("How many hash bins?", "16");
    terminal.answer("Days for which a bin is valid", "");
    terminal.answer("Days for which root is valid", "");
    terminal.answer("How many people must sign root?", "");
    for (name, called) in [("ada", "Ada"), ("grace", "Grace")] {
        terminal.answer("Where is the public key?", &format!("{name}.pem.pub"));
        rename(&mut terminal, called);
    }
    terminal.choose("What about the root keys?", "add another root key");
    terminal.answer("Where is the public key?", "linus.pem.pub");
    rename(&mut terminal, "Linus");
    terminal.choose("What about the root keys?", "continue");
    terminal.choose("How many online keys are there?", "one for timestamp");
    terminal.answer("Where is the public half of the online key?", "online.pem.pub");
    rename(&mut terminal, "online");
    terminal.answer("Where do the workers find its private half?", "");
    terminal.answer("Is this the repository that you want?", "");
    for (name, called) in [("ada", "Ada"), ("linus", "Linus")] {
        terminal.choose("Who signs?", called);
        terminal.answer(&format!("Where is the private key of {called}?"), &format!("{name}.pem"));
    }
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Bootstrap completed"), "{screen}");

    let payload = office.read("ceremony-payload.json");
    assert_eq!(payload["settings"]["roles"]["snapshot"]["expiration"], 3);
    let signed = Metadata::from_value(payload["metadata"]["root"].clone()).expect("metadata");
    assert_eq!(signed.signatures.len(), 2);
    compare("ceremony", columns, &screen, dates(began, &[1, 3, 365]));
}

fn rename(terminal: &mut Terminal, name: &str) {
    terminal.question("What is it called?");
    terminal.answer("What is it called?", name);
}

/// Compares a screen with the golden one, whatever the day and the task.
pub(super) fn compare(name: &str, columns: u16, screen: &str, dates: Vec<(String, String)>) {
    let after = screen.split_once("ACCEPTED (").map(|(_, after)| after).unwrap_or("no task)");
    let task = after.split(')').next().unwrap_or_default();
    let dates = dates.iter().map(|(date, name)| (date.as_str(), name.as_str()));
    let placeholders: Vec<_> = dates.chain([(task, "<the id of a task, 32 letters>>>")]).collect();
    golden::compare(name, columns, screen, &placeholders);
}

/// Placeholders of the dates that come so many days after a ceremony began.
pub(super) fn dates(began: Timestamp, days: &[i64]) -> Vec<(String, String)> {
    let date = |days: &i64| {
        let time = began + SignedDuration::from_hours(24 * days);
        (time.strftime("%Y-%m-%d").to_string(), format!("<in {days:>3}d>"))
    };
    days.iter().map(date).collect()
}
