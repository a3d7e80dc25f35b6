//! The runbook for keys that never see a network, `docs/air-gapped.md`: its commands do what it says, on a server. The files of
//! answers in `docs/cli.md` are those that the commands ask for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::ceremony::Office;
use crate::{
    harness::{
        artifact::Artifact,
        ceremony::Ceremony,
        checkout,
        deployment::Deployment,
        repository::Repository,
        server::Server,
        terminal::{ENTER, Terminal},
    },
    judges::program::Program,
};

const PASSWORD: &str = "correct horse";

/// A block of the document that is marked with a place: `sh desk`, or `yaml vault FILE`.
struct Block {
    kind: String,
    place: String,
    file: Option<String>,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(marks) = line.strip_prefix("```") else { continue };
        let text: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        if let [kind, place, file @ ..] = marks.split(' ').collect::<Vec<_>>().as_slice() {
            let file = file.first().map(|file| (*file).to_owned());
            blocks.push(Block { kind: (*kind).to_owned(), place: (*place).to_owned(), file, text });
        }
    }
    blocks
}

/// The machines and sticks of the scene.
struct Scene {
    server: Server,
    home: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start();
        let home = server.scratch("scene");
        for directory in ["desk", "vault", "bin"] {
            server.scratch(&format!("scene/{directory}"));
        }
        for stick in ["transfer", "ada", "grace", "alan", "barbara", "edsger"] {
            server.scratch(&format!("scene/media/{stick}"));
        }
        std::os::unix::fs::symlink(server.keys(), home.join("desk/keys")).expect("a link can be made");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rstuf"), home.join("bin/rstuf")).expect("a link can be made");
        Self { server, home }
    }

    /// A text of the document, with the addresses and places of this scene.
    fn here(&self, text: &str) -> String {
        text.replace("https://rstuf.example.com", &self.server.url())
            .replace("https://metadata.example.com", self.server.metadata_url().trim_end_matches('/'))
            .replace("/media/", &format!("{}/media/", self.home.display()))
    }

    fn carry_out(&self, block: &Block) {
        let directory = self.home.join(&block.place);
        match &block.file {
            Some(file) => fs::write(directory.join(file), self.here(&block.text)).expect("it can be written"),
            None => self.run(&directory, block),
        }
    }

    /// Runs commands at a terminal, where people type passwords, and take what is offered.
    fn run(&self, directory: &Path, block: &Block) {
        let script = format!("set -euo pipefail\n{}", self.here(&block.text));
        let is_offline = block.place == "vault" && can_leave_the_network();
        let (program, first): (&str, &[&str]) =
            if is_offline { ("unshare", &["--map-root-user", "--net", "bash", "-c"]) } else { ("bash", &["-c"]) };
        let mut command = Terminal::command(program, directory, &[first, &[&script]].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.home.join("bin").display()));
        let mut terminal = Terminal::start(120, command);
        while let Some(question) = terminal.next_question() {
            if question.contains("assword") {
                terminal.press(PASSWORD);
                terminal.press(ENTER);
                if question.contains("gets") {
                    terminal.press(PASSWORD);
                    terminal.press(ENTER);
                }
                terminal.answered(&question);
            } else {
                terminal.answer(&question, "");
            }
        }
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{}\n{screen}", block.text);
        assert!(!screen.contains(PASSWORD), "{screen}");
    }
}

/// Whether this machine lets a program have no network at all.
fn can_leave_the_network() -> bool {
    let status = Command::new("unshare").args(["--map-root-user", "--net", "true"]).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn the_runbook_does_what_it_says() {
    let document = fs::read_to_string(checkout().join("docs/air-gapped.md")).expect("the document is there");
    let scene = Scene::new();
    let blocks = blocks(&document);
    assert!(blocks.len() > 15 && blocks.iter().all(|block| ["sh", "yaml"].contains(&block.kind.as_str())));
    for block in &blocks {
        scene.carry_out(block);
    }

    let root = scene.home.join("media/transfer/1.root.json");
    let repository = Repository { server: scene.server, ceremony: Ceremony { payload: serde_json::Value::Null, root } };
    let newest =
        fs::read_to_string(repository.server.bucket().join("4.root.json")).expect("three roots came after the first");
    assert!(newest.contains("Grace 2") && newest.contains("online 2") && !newest.contains("\"Grace\""), "{newest}");
    let artifact = Artifact::new("a/b", "content");
    repository.add(std::slice::from_ref(&artifact)).await;
    let found = Program::python_tuf().find(&repository, &["a/b"]);
    assert_eq!(found["a/b"], artifact.info());
}

/// The answers below a heading of the manual.
fn answers(manual: &str, heading: &str) -> String {
    let (_, section) = manual.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let (_, block) = section.split_once("```yaml\n").expect("it has answers");
    // The keys of the office have no passwords.
    block.split("```").next().unwrap_or_default().replace(", password: {file: ada.password}", "")
}

#[test]
fn the_answers_of_the_manual_are_those_of_the_commands() {
    let manual = fs::read_to_string(checkout().join("docs/cli.md")).expect("the document is there");
    let office = Office::open();
    office.online_key("online-2");
    let run = |heading: &str, arguments: &[&str]| {
        fs::write(office.home.join("manual.yml"), answers(&manual, heading)).expect("it can be written");
        let common = ["--json", "--answers", "manual.yml", "admin"];
        office.document(&[&common, arguments].concat()).unwrap_or_else(|failure| panic!("{heading}: {failure}"))
    };
    let founded = run("### `admin ceremony`", &["ceremony", "--dry-run"]);
    assert_eq!(founded["state"], "not sent");
    // The manual has one person sign; the root that follows needs two before it.
    let both = "- {key: Ada, private: ada.pem}\n- {key: Grace, private: grace.pem}\n";
    let full = answers(&manual, "### `admin ceremony`").replace("- {key: Ada, private: ada.pem}\n", both);
    fs::write(office.home.join("full.yml"), full).expect("it can be written");
    let url = office.server.url();
    let common = ["--json", "--answers", "full.yml", "admin", "--api-server", &url];
    office.document(&[&common[..], &["ceremony"]].concat()).expect("a repository");
    fs::copy(office.server.bucket().join("1.root.json"), office.home.join("1.root.json")).expect("it is published");
    run("### `admin metadata update`", &["metadata", "update", "--dry-run", "--out", "update.json"]);
    let sent = office.document(&["--json", "admin", "--api-server", &url, "send", "update", "update.json"]);
    sent.expect("it is taken");
    run("### `admin metadata sign`", &["--api-server", &url, "metadata", "sign"]);
    run("### `admin delegations new`", &["--api-server", &url, "delegations", "new"]);
}
