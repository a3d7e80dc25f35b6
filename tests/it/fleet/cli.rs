//! The Python service's command line, unmodified, at an API with two workers.

use std::fs;

use serde_json::Value;

use crate::{
    harness::{
        deployment::Deployment,
        fleet::{Carrier, Fleet},
        repository::Repository,
    },
    judges::program::Program,
    peers::cli::{Cli, ceremony},
};

#[tokio::test]
async fn the_python_command_line_does_its_work() {
    let fleet = Fleet::over(Carrier::Rabbitmq).await;
    the_work_of(fleet).await;
}

async fn the_work_of(fleet: Fleet) {
    let home = fleet.scratch("home");
    let cli = Cli::of(&home);
    let url = fleet.url();

    let ceremony = ceremony(&fleet.scratch("ceremony"), &fleet.keys(), 4);
    let payload = fleet.scratch("ceremony").join("payload.json");
    let payload = payload.to_string_lossy();
    let sent = cli.run(&["admin", "--api-server", &url, "send", "bootstrap", &payload]).well();
    assert!(sent.contains("Bootstrap status: ACCEPTED"), "{sent}");
    assert!(sent.contains("SUCCESS") && sent.contains("Bootstrap completed."), "{sent}");
    let again = cli.run(&["admin", "--api-server", &url, "send", "bootstrap", &payload]);
    assert_eq!(again.code, Some(1), "{}", again.text);
    assert!(again.text.contains("System already has a Metadata. State: finished"), "{}", again.text);

    let repository = Repository { server: fleet, ceremony };
    let mut judge = Program::python_tuf();
    let file = home.join("file.txt");
    fs::write(&file, "the content").expect("a file can be written");
    let added = cli.run(&["artifact", "add", &file.to_string_lossy(), "-p", "some/where", "--api-server", &url]).well();
    assert!(added.contains("Artifact Addition status: ACCEPTED"), "{added}");
    let info = cli.run(&["task", "info", task_of(&added), "--all", "--api-server", &url]).well();
    assert!(info.contains("Task status: SUCCESS") && info.contains("Artifact(s) Added"), "{info}");
    let found = judge.find(&repository, &["some/where/file.txt"]);
    assert_eq!(found["some/where/file.txt"]["length"], "the content".len());

    let artifacts = repository.server.scratch("www/artifacts/some/where");
    fs::copy(&file, artifacts.join("file.txt")).expect("a file can be copied");
    let (metadata_url, artifacts_url) = (repository.server.metadata_url(), repository.server.artifacts_url());
    let root = repository.ceremony.root.to_string_lossy();
    let add = ["artifact", "repository", "add", "-n", "ours", "-r", &root, "-m", &metadata_url, "-a", &artifacts_url];
    cli.run(&add).well();
    cli.run(&["artifact", "repository", "set", "ours"]).well();
    let downloaded = cli.run(&["artifact", "download", "some/where/file.txt"]).well();
    assert!(downloaded.contains("Successfully completed artifact download"), "{downloaded}");
    let content = fs::read_to_string(home.join("downloads/some%2Fwhere%2Ffile.txt")).expect("it was downloaded");
    assert_eq!(content, "the content");

    let deleted = cli.run(&["artifact", "delete", "some/where/file.txt", "--api-server", &url]).well();
    assert!(deleted.contains("Artifact Deletion status: ACCEPTED"), "{deleted}");
    let info = cli.run(&["task", "info", task_of(&deleted), "--api-server", &url]).well();
    assert!(info.contains("Task status: SUCCESS"), "{info}");
    assert_eq!(judge.find(&repository, &["some/where/file.txt"])["some/where/file.txt"], Value::Null);
    let gone = cli.run(&["artifact", "download", "some/where/file.txt"]);
    assert_eq!(gone.code, Some(1), "{}", gone.text);
    assert!(gone.text.contains("not trusted by TUF repository"), "{}", gone.text);
}

/// The id in what a command printed when its request was accepted.
fn task_of(text: &str) -> &str {
    let (_, rest) = text.split_once("ACCEPTED (").unwrap_or_else(|| panic!("no task in {text}"));
    rest.split(')').next().expect("there is always a first part")
}
