//! A tour: the other commands at a terminal, as they look at 80 and at 120 columns.

use std::fs;

use serde_json::json;

use super::{
    ceremony::{Office, answers, person, signature},
    delegations::until_delegated,
    sign::changing,
};
use crate::harness::{
    deployment::Deployment,
    golden,
    terminal::{ENTER, Terminal},
};

/// A terminal in an office.
struct Desk {
    office: Office,
    columns: u16,
}

impl Desk {
    /// Runs a command that asks nothing, and compares what it prints.
    fn see(&self, name: &str, arguments: &[&str]) -> String {
        self.compare(name, self.at(arguments), 0)
    }

    fn at(&self, arguments: &[&str]) -> Terminal {
        Terminal::rstuf(self.columns, &self.office.home, arguments)
    }

    fn compare(&self, name: &str, terminal: Terminal, code: u32) -> String {
        let (ended, screen) = terminal.end();
        assert_eq!(ended, code, "{name}: {screen}");
        let mut words = changing(&screen);
        words.push((self.office.server.url(), "<server>"));
        let words: Vec<_> = words.iter().map(|(word, placeholder)| (word.as_str(), *placeholder)).collect();
        golden::compare(name, self.columns, &screen, &words);
        screen
    }
}

#[test]
fn the_tour_looks_right_at_80_columns() {
    tour(80);
}

#[test]
fn the_tour_looks_right_at_120_columns() {
    tour(120);
}

fn tour(columns: u16) {
    let desk = Desk { office: Office::open(), columns };
    keys(&desk);
    begin_offline(&desk);
    artifacts(&desk);
    delegations(&desk);
    roots(&desk);
    repositories(&desk);
}

fn keys(desk: &Desk) {
    desk.see("key-generate", &["key", "generate", "--no-password", "--out", "mary.pem"]);
    desk.see("key-show", &["key", "show", "--name", "Mary", "mary.pem.pub"]);
    let mut terminal = desk.at(&["key", "convert", "mary.pem", "--out", "mary2.pem"]);
    for _ in 0..2 {
        terminal.next_question().expect("a new password is asked for twice");
        terminal.press("correct horse");
        terminal.press(ENTER);
    }
    desk.compare("key-convert", terminal, 0);
}

/// A ceremony without a server, which is sent later.
fn begin_offline(desk: &Desk) {
    fs::write(desk.office.home.join("ceremony.yml"), answers().to_string()).expect("answers can be written");
    let made = ["--json", "--answers", "ceremony.yml", "admin", "ceremony", "--dry-run", "--out", "ceremony.json"];
    desk.office.document(&made).expect("a payload");
    let url = desk.office.server.url();
    let send = |kind, file| ["admin", "--api-server", &url, "send", kind, file];
    let wrong = desk.at(&send("update", "ceremony.json"));
    desk.compare("send-wrong", wrong, 1);
    desk.see("send-bootstrap", &send("bootstrap", "ceremony.json"));
    let again = desk.at(&send("bootstrap", "ceremony.json"));
    desk.compare("send-again", again, 1);
}

fn artifacts(desk: &Desk) {
    let url = desk.office.server.url();
    let at = |arguments: &[&str]| [arguments, &["--api-server", &url]].concat().join(" ");
    let see = |name: &str, arguments: &[&str]| {
        desk.see(name, &at(arguments).split(' ').collect::<Vec<_>>());
    };
    fs::write(desk.office.home.join("tool-1.0"), "tool").expect("a file");
    see("artifact-add", &["artifact", "add", "tool-1.0", "-p", "releases", "--wait"]);
    see("artifact-add-held", &["artifact", "add", "tool-1.0", "--no-publish", "--wait"]);
    see("artifact-publish", &["artifact", "publish", "--wait"]);
    see("artifact-delete", &["artifact", "delete", "tool-1.0", "other", "--wait"]);
    let lines = format!("lib-1.0;3;sha256;{}\nwrong\n", "0".repeat(64));
    fs::write(desk.office.home.join("lines.csv"), lines).expect("a file");
    let import = desk.at(&["admin", "--api-server", &url, "import-artifacts", "--csv", "lines.csv"]);
    desk.compare("import", import, 1);

    let done = desk.office.document(&["--json", "artifact", "add", "tool-1.0", "--api-server", &url]).expect("added");
    let id = done["tasks"][0]["task_id"].as_str().or(done["tasks"][0].as_str()).expect("an id").to_owned();
    see("task-info", &["task", "info", &id]);
}

fn delegations(desk: &Desk) {
    let office = &desk.office;
    let mut terminal = office.terminal(desk.columns, &["delegations", "new"]);
    terminal.answer("Name of the role:", "dev");
    terminal.answer("Days for which dev is valid:", "30");
    terminal.answer("Paths of dev:", "dev/*");
    terminal.choose("What about the paths?", "continue");
    terminal.answer("Is dev the last one to be asked", "");
    terminal.choose("Who signs dev?", "people");
    terminal.answer("How many people must sign dev?", "1");
    terminal.answer("Where is the public key?", "joan.pem.pub");
    terminal.answer("What is it called?", "Joan");
    terminal.choose("What about the keys?", "continue");
    terminal.choose("What about the delegated roles?", "continue");
    terminal.answer("Delegate to these roles?", "");
    desk.compare("delegations-new", terminal, 0);
    until_delegated(office, "dev", |role| role.is_object());

    let mut terminal = office.terminal(desk.columns, &["delegations", "update"]);
    terminal.choose("Which role changes?", "dev");
    terminal.answer("Days for which dev is valid:", "60");
    terminal.choose("What about the paths?", "continue");
    terminal.answer("Is dev the last one to be asked", "");
    terminal.choose("Who signs dev?", "people");
    terminal.answer("How many people must sign dev?", "");
    terminal.choose("What about the keys?", "continue");
    terminal.choose("What about the delegated roles?", "continue");
    terminal.answer("Change these delegations?", "");
    desk.compare("delegations-update", terminal, 0);

    let mut terminal = office.terminal(desk.columns, &["delegations", "delete"]);
    terminal.tick("Which delegations end?", &["dev"]);
    terminal.answer("End these delegations, for good?", "y");
    desk.compare("delegations-delete", terminal, 0);
    until_delegated(office, "dev", |role| role.is_null());
}

/// A root that waits, is given up, and comes again.
fn roots(desk: &Desk) {
    let office = &desk.office;
    let metadata = office.server.metadata_url();
    let next = json!({
        "root": {"days": 200, "remove": ["Grace"], "add": [person("joan")]},
        "signatures": [signature("linus")],
    });
    let update = ["metadata", "update", "--metadata-url", &metadata, "--out", "update.json"];
    office.admin(&next, &update).expect("the second root");
    let mut terminal = office.terminal(desk.columns, &["metadata", "stop-sign"]);
    terminal.answer("Which role do you give up?", "");
    terminal.answer("Give up root v2, with the signatures that it has?", "y");
    desk.compare("stop-sign", terminal, 0);
    let url = office.server.url();
    desk.see("send-update", &["admin", "--api-server", &url, "send", "update", "update.json"]);
    let by = json!({"signatures": [signature("ada")]});
    office.admin(&by, &["metadata", "sign", "--dry-run", "--out", "sign.json"]).expect("signed");
    desk.see("send-sign", &["admin", "--api-server", &url, "send", "sign", "sign.json"]);
    assert!(office.server.bucket().join("2.root.json").exists());
    desk.see("metadata-bump", &["admin", "--api-server", &url, "metadata", "bump", "targets"]);
}

fn repositories(desk: &Desk) {
    let root = desk.office.server.bucket().join("1.root.json");
    fs::copy(root, desk.office.home.join("1.root.json")).expect("a copy");
    let mut terminal = desk.at(&["artifact", "repository", "add", "--root", "1.root.json"]);
    for answer in ["ours", "https://metadata.example.com", "https://files.example.com"] {
        let question = terminal.next_question().expect("what is missing is asked");
        terminal.answer(&question, answer);
    }
    desk.compare("repository-add", terminal, 0);
    desk.see("repository-set", &["artifact", "repository", "set", "ours"]);
    desk.see("repository-update", &["artifact", "repository", "update", "ours", "-a", "https://mirror.example.com"]);
    desk.see("repository-list", &["artifact", "repository", "show"]);
    desk.see("repository-delete", &["artifact", "repository", "delete", "ours"]);
}
