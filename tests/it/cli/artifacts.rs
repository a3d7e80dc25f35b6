//! Artifacts: added, deleted, published, and how their tasks go.

use std::{fs, process::Command};

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::text;
use crate::harness::{checker::Checker, deployment::Deployment, repository::Repository, terminal::Terminal};

/// Runs `rstuf` in a home of its own, with the server named in the environment. Its exit code, standard output and error.
fn rstuf(repository: &Repository, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rstuf"))
        .args(arguments)
        .current_dir(repository.server.scratch("home"))
        .env("HOME", repository.server.scratch("home"))
        .env("RSTUF_API_SERVER", repository.server.url())
        .output()
        .expect("rstuf can be started");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn listed(repository: &Repository) -> Vec<String> {
    let mut checker = Checker::new(repository);
    checker.check();
    checker.artifacts().into_keys().collect()
}

#[tokio::test]
async fn files_become_artifacts_and_are_forgotten_again() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = repository.server.scratch("home");
    fs::create_dir_all(home.join("dist/sub")).expect("directories");
    fs::write(home.join("dist/a.gz"), "a").expect("a file");
    fs::write(home.join("dist/sub/b.gz"), "b").expect("a file");
    fs::write(home.join("custom.json"), r#"{"channel": "stable"}"#).expect("a file");

    // A client that is not ours knows both digests, and reads what was said beside them.
    let mut add = vec!["artifact", "add", "dist", "-p", "v1/", "--custom", "@custom.json", "--wait", "--json"];
    add.extend(["--hash", "sha256", "--hash", "blake2b-256"]);
    let (code, out, err) = rstuf(&repository, &add);
    assert_eq!(code, Some(0), "{err}");
    let told: Value = serde_json::from_str(&out).expect("one JSON document");
    assert_eq!(told["tasks"][0]["result"]["details"]["added_artifacts"], json!(["v1/a.gz", "v1/sub/b.gz"]));
    let mut checker = Checker::new(&repository);
    checker.check();
    let info = &checker.artifacts()["v1/a.gz"];
    assert_eq!(info["custom"], json!({"channel": "stable"}));
    let digests = info["hashes"].as_object().expect("digests");
    assert_eq!(digests.keys().collect::<Vec<_>>(), ["blake2b-256", "sha256"]);

    // The contract's words.
    let (code, out, _) = rstuf(&repository, &["artifact", "add", "dist/*.gz", "--batch", "1"]);
    assert_eq!(code, Some(0));
    let id = out.lines().find_map(|line| line.strip_prefix("RSTUF task ID (use to check its status) is: "));
    let id = id.expect("the id of the task").to_owned();
    assert!(out.contains(&format!("Artifact Addition status: ACCEPTED ({id})")), "{out}");
    let (code, out, _) = rstuf(&repository, &["task", "info", &id]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Task status: SUCCESS\n"), "{out}");
    assert_eq!(listed(&repository), ["a.gz", "v1/a.gz", "v1/sub/b.gz"]);

    fs::write(home.join("paths"), "v1/a.gz\nno/such\n").expect("a file");
    let (code, out, _) = rstuf(&repository, &["artifact", "delete", "a.gz", "--from-file", "paths", "--wait"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Artifact Deletion status: SUCCESS\nthe repository did not have no/such\n"), "{out}");
    assert_eq!(listed(&repository), ["v1/sub/b.gz"]);
}

#[tokio::test]
async fn what_is_held_back_is_published_when_that_is_asked_for() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = repository.server.scratch("home");
    fs::write(home.join("a"), "a").expect("a file");
    let (_, out, _) = rstuf(&repository, &["artifact", "publish", "--wait"]);
    assert!(out.ends_with("nothing was held back\n"), "{out}");
    let (_, out, _) = rstuf(&repository, &["artifact", "add", "a", "--no-publish", "--wait"]);
    assert!(out.contains("held back; clients see it after: rstuf artifact publish"), "{out}");
    assert!(listed(&repository).is_empty());
    let (code, out, _) = rstuf(&repository, &["artifact", "publish", "--wait"]);
    assert!(code == Some(0) && out.ends_with("1 role brought to a new version\n"), "{out}");
    assert_eq!(listed(&repository), ["a"]);
}

#[tokio::test]
async fn nothing_is_sent_of_what_is_not_all_good() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = repository.server.scratch("home");
    for directory in ["a", "b"] {
        fs::create_dir(home.join(directory)).expect("a directory");
        fs::write(home.join(directory).join("same"), directory).expect("a file");
    }
    std::os::unix::fs::symlink("same", home.join("a/link")).expect("a link");
    let (code, out, err) = rstuf(&repository, &["artifact", "add", "a", "b", "none"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines = [
        "a/link: it is a symbolic link (see --links)",
        "b/same: it would be the artifact same, as a/same would",
        "none: No such file or directory (os error 2)",
        "error: some files can't be added",
        " help: nothing was sent; leave out what is named, or put it right",
    ];
    assert_eq!(err.lines().collect::<Vec<_>>(), lines);
    // What only the server finds is told by its place.
    let (code, _, err) = rstuf(&repository, &["artifact", "add", "a", "--links", "skip", "-p", &"x".repeat(1100)]);
    assert_eq!(code, Some(1));
    assert!(err.contains("artifacts[0].path: a path must have at most 1024 bytes"), "{err}");
    assert!(listed(&repository).is_empty());
}

#[tokio::test]
async fn an_answer_that_no_question_asks_for_is_a_mistake() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    fs::write(repository.server.scratch("home").join("answers"), "path: a").expect("a file");
    let (code, _, err) = rstuf(&repository, &["artifact", "publish", "--answers", "answers"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the answers have what no question asks for: path"), "{err}");
}

#[tokio::test]
async fn at_a_terminal_ctrl_c_leaves_the_task_running() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = repository.server.scratch("home");
    let url = repository.server.url();
    let mut terminal = Terminal::rstuf(80, &home, &["task", "info", "no-such-task", "--api-server", &url]);
    terminal.expect("Task status: PENDING");
    terminal.press(crate::harness::terminal::CTRL_C);
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("error: stopped waiting; task no-such-task goes on"), "{screen}");
    assert!(screen.contains("help: ask again with: rstuf task info no-such-task"), "{screen}");
}

#[tokio::test]
async fn artifacts_are_added_at_a_terminal() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = repository.server.scratch("home");
    fs::write(home.join("a"), vec![0; 5_000_000]).expect("a file");
    let url = repository.server.url();
    for columns in [80, 120] {
        let terminal = Terminal::rstuf(columns, &home, &["artifact", "add", "a", "--wait", "--api-server", &url]);
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.ends_with("Artifact Addition status: SUCCESS"), "{screen}");
    }
}
