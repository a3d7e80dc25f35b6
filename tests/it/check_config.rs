//! `rstufd migrate` and `rstufd check-config` on real servers, with all parts and with one missing each.

use std::{env, fs, process::Output};

use tempfile::TempDir;

use crate::harness::server::program;

const CANARY: &str = "canary-password";

fn server(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("no {variable}: run it through scripts/servers.sh"))
}

/// Settings of a worker that reaches everything; those of `other` instead.
fn run(home: &TempDir, arguments: &[&str], other: &[(&str, &str)]) -> Output {
    let keys = home.path().join("keys");
    fs::create_dir_all(&keys).expect("a directory");
    program()
        .args(arguments)
        .env("RSTUF_BROKER_SERVER", server("RSTUF_TEST_AMQP"))
        .env("RSTUF_REDIS_SERVER", server("RSTUF_TEST_REDIS"))
        .env("RSTUF_DB_SERVER", server("RSTUF_TEST_POSTGRES"))
        .env("RSTUF_DB_PASSWORD", CANARY)
        .env("RSTUF_LOCAL_STORAGE_BACKEND_PATH", home.path().join("metadata"))
        .env("RSTUF_ONLINE_KEY_DIR", keys)
        .envs(other.iter().copied())
        .output()
        .expect("rstufd can be started")
}

fn told(output: &Output) -> String {
    let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(!told.contains(CANARY), "a secret was told: {told}");
    told
}

#[test]
fn a_part_that_is_missing_is_told_with_what_to_do() {
    let home = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let migrated = run(&home, &["migrate"], &[]);
        assert_eq!(migrated.status.code(), Some(0), "{}", told(&migrated));
    }
    let good = run(&home, &["check-config", "worker"], &[]);
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    assert_eq!(told(&good).matches("\n  ok ").count(), 6, "{}", told(&good));
    let api = run(&home, &["check-config", "api"], &[]);
    assert_eq!((api.status.code(), told(&api).matches("\n  ok ").count()), (Some(0), 3), "{}", told(&api));

    for (variable, value, faults) in [
        ("RSTUF_BROKER_SERVER", "amqp://u:canary-password@127.0.0.1:9", ["broker"].as_slice()),
        ("RSTUF_REDIS_SERVER", "redis://:canary-password@127.0.0.1:9", &["settings", "results"]),
        ("RSTUF_DB_SERVER", "postgresql://u:canary-password@127.0.0.1:9/x", &["database"]),
        ("RSTUF_LOCAL_STORAGE_BACKEND_PATH", "/proc/rstuf", &["bucket"]),
    ] {
        let output = run(&home, &["check-config", "worker"], &[(variable, value)]);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let found: Vec<_> =
            told.lines().filter_map(|line| line.trim().strip_prefix("FAULT")?.split_whitespace().next()).collect();
        assert_eq!(found, faults, "{told}");
    }
    let wrong = run(&home, &["check-config", "worker"], &[("RSTUF_ONLINE_KEY_DIR", "/no/such"), ("RSTUF_LISTNE", "x")]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(told(&wrong).contains("online_key_dir") && told(&wrong).contains("2 fault(s)"), "{}", told(&wrong));
}
