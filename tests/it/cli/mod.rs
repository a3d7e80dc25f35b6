//! The command line for people.

mod artifacts;
mod ceremony;
mod config;
mod delegations;
mod download;
mod exchange;
mod help;
mod import;
mod interview;
mod keys;
mod repository;
mod runbook;
mod screens;
mod sign;
mod update;

use std::process::{Command, Output};

use rstuf::tuf::bins::Layout;

use crate::harness::{artifact::Artifact, deployment::Deployment, repository::Repository};

fn rstuf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rstuf")).args(arguments).output().expect("rstuf can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_teaches() {
    let help = rstuf(&["task", "info", "--help"]);
    assert!(help.status.success());
    let help = text(&help.stdout);
    assert!(help.contains("Example: rstuf task info") && help.contains("--api-server"), "{help}");
}

#[tokio::test]
async fn task_info_tells_how_a_task_went() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let api = repository.server.api();
    let done = api.add(&[Artifact::new("a", "a")]).await.expect("the server answers").task();
    let refused = api.remove(&[]).await.expect("the server answers").task();
    let url = repository.server.url();

    let info = rstuf(&["task", "info", &done, "--api-server", &url]);
    assert_eq!(info.status.code(), Some(0), "{}", text(&info.stderr));
    assert!(text(&info.stdout).ends_with("Task status: SUCCESS\nArtifact(s) Added\n"), "{}", text(&info.stdout));

    let info = rstuf(&["task", "info", &refused, "--all", "--api-server", &url]);
    assert_eq!(info.status.code(), Some(1));
    assert!(text(&info.stdout).contains("At list one artifact is required"), "{}", text(&info.stdout));

    let info = rstuf(&["task", "info", "no-such-task", "--timeout", "0", "--api-server", &url]);
    assert_eq!(info.status.code(), Some(1));
    assert!(text(&info.stderr).contains("is still PENDING"), "{}", text(&info.stderr));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let info = rstuf(&["task", "info", "a", "--api-server", "http://127.0.0.1:9"]);
    assert_eq!(info.status.code(), Some(1));
    assert!(text(&info.stderr).contains("can't reach http://127.0.0.1:9"), "{}", text(&info.stderr));
}
