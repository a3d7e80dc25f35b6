//! `rstuf artifact repository` and the configuration file, which the Python command line shares.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::text;
use crate::harness::{ceremony::Ceremony, python_cli, terminal::Terminal, web::Web};

const METADATA: &str = "https://tuf.example.com/metadata";
const FILES: &str = "https://files.example.com";

/// A person's home, with a root that is valid and one that nobody signed.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path();
        Ceremony::hold(home, &home.join("keys"), Layout::Succinct, 2);
        let mut root: Value = serde_json::from_slice(&home_root(home)).expect("JSON");
        root["signatures"] = json!([]);
        fs::write(home.join("unsigned.json"), root.to_string()).expect("a file");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstuf"));
        command.args(["artifact", "repository"]).args(arguments).current_dir(self.path());
        command.env_clear().env("HOME", self.path()).stdin(Stdio::null()).output().expect("rstuf can be started")
    }

    fn python(&self, arguments: &[&str]) -> Output {
        let program = python_cli().with_file_name("rstuf");
        let mut command = Command::new(program);
        command.args(["artifact", "repository"]).args(arguments).current_dir(self.path());
        command.env_clear().env("HOME", self.path()).stdin(Stdio::null()).output().expect("Python's can be started")
    }

    fn add(&self, name: &str) {
        succeeded(&self.run(&["add", "-n", name, "-r", "1.root.json", "-m", METADATA, "-a", FILES]));
    }

    fn shown(&self, name: &str) -> Value {
        let shown = self.run(&["show", name, "--json"]);
        let shown: Value = serde_json::from_str(&succeeded(&shown)).expect("a document");
        shown[name].clone()
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path().join(".rstuf.yml")).expect("a file")
    }
}

fn home_root(home: &Path) -> Vec<u8> {
    fs::read(home.join("1.root.json")).expect("a root")
}

fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

fn expected(home: &Home, hash_prefix: bool) -> Value {
    json!({
        "artifact_base_url": FILES,
        "metadata_url": METADATA,
        "trusted_root": STANDARD.encode(home_root(home.path())),
        "hash_prefix": hash_prefix,
    })
}

#[test]
fn repositories_are_added_shown_set_and_deleted() {
    let home = Home::new();
    assert!(refused(&home.run(&["show"])).contains("there are no configured repositories"));
    home.add("prod");
    home.add("no");
    assert_eq!(home.shown("prod"), expected(&home, false));
    assert!(succeeded(&home.run(&["set", "no"])).contains("Current repository changed to no"));
    assert_eq!(succeeded(&home.run(&["show"])), "prod\nno (default)\n");
    assert!(succeeded(&home.run(&["show", "no"])).starts_with("CURRENT REPOSITORY:\n{\n  \"no\": {"));
    let error = refused(&home.run(&["set", "other"]));
    assert!(
        error.contains("there is no repository other") && error.contains("the configuration has prod, no"),
        "{error}"
    );
    let mode = fs::metadata(home.path().join(".rstuf.yml")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    succeeded(&home.run(&["delete", "no"]));
    assert_eq!(succeeded(&home.run(&["show"])), "prod\n");
    assert!(!home.config().contains("CURRENT_REPOSITORY"));
    refused(&home.run(&["delete", "no"]));
}

#[test]
fn an_update_changes_what_is_given() {
    let home = Home::new();
    home.add("prod");
    succeeded(&home.run(&["update", "prod", "--hash-prefix"]));
    assert_eq!(home.shown("prod"), expected(&home, true));
    succeeded(&home.run(&["update", "prod", "-a", "https://mirror.example.com"]));
    let mut wanted = expected(&home, true);
    wanted["artifact_base_url"] = json!("https://mirror.example.com");
    assert_eq!(home.shown("prod"), wanted);
    succeeded(&home.run(&["update", "prod", "--hash-prefix=false", "-a", FILES, "-r", "1.root.json"]));
    assert_eq!(home.shown("prod"), expected(&home, false));
    let error = refused(&home.run(&["update", "other", "-a", FILES]));
    assert!(error.contains("there is no repository other"), "{error}");
    let before = home.config();
    refused(&home.run(&["update", "prod", "-r", "unsigned.json"]));
    refused(&home.run(&["update", "prod", "-m", "file:///etc"]));
    assert_eq!(home.config(), before);
}

#[test]
fn a_root_must_be_signed_by_its_own_keys() {
    let home = Home::new();
    let web = Web::serve(home.path().to_owned());
    let add = |root: &str| home.run(&["add", "-n", "a", "-r", root, "-m", METADATA, "-a", FILES]);
    let unsigned = format!("{}/unsigned.json", web.url());
    for (root, why) in [
        ("unsigned.json", "root has valid signatures of 0 keys and needs 2"),
        (&unsigned, "root has valid signatures of 0 keys and needs 2"),
        ("payload.json", "no root that can be trusted"),
        ("none.json", "can't read the root none.json"),
        (&format!("{}/none.json", web.url()), "there is no http://"),
    ] {
        let error = refused(&add(root));
        assert!(error.contains(why), "{root}: {error}");
        assert!(!home.path().join(".rstuf.yml").exists());
    }
    succeeded(&add(&format!("{}/1.root.json", web.url())));
    assert_eq!(home.shown("a"), expected(&home, false));
}

#[test]
fn what_no_option_says_is_asked_for() {
    let home = Home::new();
    let mut terminal = Terminal::rstuf(80, home.path(), &["artifact", "repository", "add", "-a", FILES]);
    terminal.answer("What is the repository called here?", "prd");
    terminal.question("Where is the root that you trust?");
    terminal.undo("What is the repository called here?");
    terminal.answer("What is the repository called here?", "prod");
    terminal.answer("Where is the root that you trust?", "1.root.json");
    terminal.answer("Where is the metadata?", METADATA);
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Successfully added prod repository to config"), "{screen}");
    assert_eq!(home.shown("prod"), expected(&home, false));

    let answers = format!("name: scripted\nroot: 1.root.json\nmetadata_url: {METADATA}\nartifacts_url: {FILES}\n");
    fs::write(home.path().join("answers.yml"), answers).expect("a file");
    succeeded(&home.run(&["add", "--answers", "answers.yml"]));
    assert_eq!(home.shown("scripted"), expected(&home, false));
    let error = refused(&home.run(&["add", "-n", "x"]));
    assert!(error.contains("no answer to root"), "{error}");
    fs::write(home.path().join("answers.yml"), "rot: 1.root.json").expect("a file");
    refused(&home.run(&[
        "add",
        "-n",
        "x",
        "-r",
        "1.root.json",
        "-m",
        METADATA,
        "-a",
        FILES,
        "--answers",
        "answers.yml",
    ]));
}

#[test]
fn the_python_command_line_reads_what_is_written_and_is_read() {
    let home = Home::new();
    home.add("ours");
    succeeded(&home.run(&["set", "ours"]));
    let shown = succeeded(&home.python(&["show"]));
    assert!(shown.contains("ours (default)"), "{shown}");
    succeeded(&home.python(&["add", "-n", "theirs", "-r", "1.root.json", "-m", METADATA, "-a", FILES, "-p"]));
    succeeded(&home.python(&["set", "theirs"]));
    assert_eq!(home.shown("ours"), expected(&home, false));
    assert_eq!(home.shown("theirs"), expected(&home, true));
    assert_eq!(succeeded(&home.run(&["show"])), "ours\ntheirs (default)\n");
    // What it writes by mistake is told, and can be replaced.
    succeeded(&home.python(&["update", "theirs", "-r", "1.root.json"]));
    let error = refused(&home.run(&["set", "theirs"]));
    assert!(error.contains("REPOSITORIES.theirs.trusted_root is no root that can be trusted"), "{error}");
    succeeded(&home.run(&["update", "theirs", "-r", "1.root.json"]));
    succeeded(&home.run(&["set", "theirs"]));
    assert_eq!(home.shown("theirs"), expected(&home, false));
}

#[test]
fn an_entry_that_is_wrong_is_named() {
    let home = Home::new();
    fs::write(home.path().join(".rstuf.yml"), "REPOSITORIES: {a: {metadata_url: 1, trusted_root: e30=}}")
        .expect("a file");
    let error = refused(&home.run(&["set", "a"]));
    assert!(error.contains(".rstuf.yml: REPOSITORIES.a.artifact_base_url is missing"), "{error}");
}
