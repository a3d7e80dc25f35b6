//! The load tool: what it counts, never how fast anything is.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{deployment::Deployment, server::Server};

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rstuf-load")).args(arguments).output().expect("rstuf-load can be started")
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("rstuf-it-").tempdir().expect("a temporary directory can be made")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the tests")
}

/// Runs it with a JSON report, and returns its exit code and the report.
fn report(arguments: &[&str]) -> (i32, Value) {
    let home = directory();
    let file = home.path().join("report.json");
    let output = load(&[arguments, &["--json", text(&file)]].concat());
    let report = fs::read(&file).unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("it ended by itself"), serde_json::from_slice(&report).expect("the report is JSON"))
}

fn assert_counts(report: &Value, expected: &[(&str, u64)]) {
    for (name, number) in expected {
        assert_eq!(report["counts"][*name], *number, "{name} of {report:#}");
    }
}

/// Makes a repository with throw-away keys on a server.
fn bootstrap(server: &Server) -> (i32, Value) {
    let (keys, bucket) = (server.keys(), server.bucket());
    report(&[
        "http",
        "--api",
        &server.url(),
        "--metadata-dir",
        text(&bucket),
        "--bootstrap",
        "4",
        "--key-dir",
        text(&keys),
        "--fill",
        "50",
        "--requests",
        "1",
    ])
}

#[test]
fn http_finds_that_an_honest_server_is_honest() {
    let server = Server::start();
    let (code, first) = bootstrap(&server);
    assert_eq!(code, 0, "{first:#}");
    assert_counts(&first, &[("accepted", 1), ("success", 1), ("success_that_a_client_has_checked", 1)]);

    // Once by the files and once as clients have it.
    let (url, bucket, this) = (server.url(), server.bucket(), format!("tests={}", std::process::id()));
    for place in [text(&bucket), &server.metadata_url()] {
        let (code, report) = report(&[
            "http",
            "--api",
            &url,
            "--metadata",
            place,
            "--clients",
            "8",
            "--requests",
            "40",
            "--artifacts-per-request",
            "3",
            "--delete-share",
            "0.3",
            "--hash",
            "blake2b-256",
            "--pid",
            &this,
        ]);
        assert_eq!(code, 0, "{report:#}");
        assert_counts(
            &report,
            &[
                ("accepted", 40),
                ("false_answers", 0),
                ("success", 40),
                ("ended_otherwise", 0),
                ("lost", 0),
                ("success_that_a_client_has_checked", 40),
                ("false_success", 0),
                ("success_not_checked", 0),
                ("files_refused_by_the_client", 0),
            ],
        );
        for times in ["post_to_202", "post_to_visible", "post_to_success"] {
            assert_eq!(report["times"][times]["samples"], 40, "{times} of {report:#}");
        }
        assert!(report["processes"]["tests"]["peak_bytes"].as_u64() > Some(0), "{report:#}");
    }
}

#[test]
fn http_tells_a_success_that_no_client_sees() {
    let server = Server::start();
    assert_eq!(bootstrap(&server).0, 0);
    let mirror = directory();
    for entry in fs::read_dir(server.bucket()).expect("the bucket can be listed") {
        let path = entry.expect("the bucket can be listed").path();
        if path.is_file() {
            fs::copy(&path, mirror.path().join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    let url = server.url();
    let (code, report) =
        report(&["http", "--api", &url, "--metadata-dir", text(mirror.path()), "--clients", "2", "--requests", "6"]);
    assert_eq!(code, 1, "{report:#}");
    assert_counts(&report, &[("accepted", 6), ("success", 6), ("false_success", 6), ("states_seen", 1)]);
    assert_eq!(report["times"]["post_to_visible"]["samples"], 0);
}

#[test]
fn http_tells_what_a_client_refuses_and_what_it_counted_all_the_same() {
    let server = Server::start();
    assert_eq!(bootstrap(&server).0, 0);
    let (url, bucket) = (server.url(), server.bucket());
    let foreign = Server::start();
    assert_eq!(bootstrap(&foreign).0, 0);
    let root = foreign.bucket().join("1.root.json");
    let (code, report) =
        report(&["http", "--api", &url, "--metadata-dir", text(&bucket), "--requests", "3", "--root", text(&root)]);
    assert_eq!(code, 1, "{report:#}");
    assert_counts(&report, &[("accepted", 3), ("success", 3), ("false_success", 0), ("success_not_checked", 3)]);
    assert!(report["counts"]["files_refused_by_the_client"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn http_counts_what_is_not_accepted() {
    let (repository, empty) = (Server::start(), Server::start());
    assert_eq!(bootstrap(&repository).0, 0);
    let (url, bucket) = (empty.url(), repository.bucket());
    let (code, report) =
        report(&["http", "--api", &url, "--metadata-dir", text(&bucket), "--clients", "3", "--requests", "6"]);
    assert_eq!(code, 1, "{report:#}");
    assert_counts(&report, &[("accepted", 0), ("false_answers", 6), ("of_these_404", 6), ("success", 0)]);
    let fault = report["faults"][0].as_str().unwrap_or_default();
    assert!(fault.contains("It requires bootstrap finished"), "{report:#}");
}

#[test]
fn what_can_not_be_measured_is_told() {
    let nowhere = directory();
    let output = load(&["http", "--metadata-dir", text(nowhere.path()), "--requests", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the repository has no 1.root.json"), "{output:?}");
}

#[test]
fn actors_end_all_tasks_in_shared_rounds() {
    let home = directory();
    let (code, report) = report(&[
        "actors",
        "--data-dir",
        text(home.path()),
        "--bins",
        "4",
        "--clients",
        "8",
        "--requests",
        "40",
        "--artifacts-per-request",
        "2",
        "--fill",
        "20",
    ]);
    assert_eq!(code, 0, "{report:#}");
    assert_counts(&report, &[("tasks_staged", 40), ("tasks_with_success", 40), ("tasks_that_ended_otherwise", 0)]);
    let rounds = report["counts"]["rounds"].as_u64().expect("rounds are counted");
    assert!((5..=40).contains(&rounds), "{report:#}");
    for times in ["stage_to_recorded", "stage_to_visible", "stage_to_reported"] {
        assert_eq!(report["times"][times]["samples"], 40, "{times} of {report:#}");
    }
    assert!(is_empty(home.path()));
}

#[test]
fn the_floor_stores_what_it_says_and_leaves_nothing() {
    floor(&[]);
}

#[test]
fn the_floor_is_the_same_on_postgresql() {
    let url = env::var("RSTUF_TEST_POSTGRES")
        .expect("RSTUF_TEST_POSTGRES names no server: run it through scripts/servers.sh");
    floor(&["--db", &url]);
}

fn floor(arguments: &[&str]) {
    let home = directory();
    let common = [
        "floor",
        "--data-dir",
        text(home.path()),
        "--bins",
        "4",
        "--clients",
        "8",
        "--requests",
        "20",
        "--artifacts-per-request",
        "5",
        "--fill",
        "30",
    ];
    let (code, report) = report(&[&common, arguments].concat());
    assert_eq!(code, 0, "{report:#}");
    assert_counts(&report, &[("requests", 20), ("rounds", 3), ("artifacts_stored_at_the_end", 130)]);
    assert_eq!(report["times"]["request_to_visible"]["samples"], 20, "{report:#}");
    assert!(is_empty(home.path()));
}

#[test]
fn a_rotation_writes_every_file_once_more_and_the_floor_the_same() {
    for (how, timestamps) in [(None, 2), (Some("--immediate"), 1)] {
        let home = directory();
        let mut arguments = vec!["rotation", "--data-dir", text(home.path()), "--bins", "4", "--rotations", "2"];
        arguments.extend(["--fill", "20"].into_iter().chain(how));
        let (code, report) = report(&arguments);
        assert_eq!(code, 0, "{report:#}");
        // Bins, targets, snapshot and the root, and the timestamp of each round.
        assert_counts(&report, &[("files_of_a_rotation", 7 + timestamps)]);
        for name in ["service__root_sent_to_success", "floor__each_file_waited_for"] {
            assert_eq!(report["times"][name]["samples"], 2, "{report:#}");
        }
        assert!(report["ratios"]["service_to_floor__of_the_medians"].as_f64() > Some(0.0), "{report:#}");
        assert!(is_empty(home.path()));
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("it can be listed").next().is_none()
}

#[test]
fn help_teaches() {
    for command in ["http", "actors", "floor", "rotation"] {
        let help = load(&[command, "--help"]);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.contains(&format!("rstuf-load {command} --")) && help.contains("--json"), "{help}");
    }
}
