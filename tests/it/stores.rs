//! What the server refuses because of what it finds in its stores, and what it does not publish.

use std::fs;

use rstuf::tuf::bins::Layout;
use serde_json::json;

use crate::harness::{artifact::Artifact, checker::Checker, deployment::Deployment, repository::Repository};

#[tokio::test]
async fn a_ledger_that_is_behind_the_bucket_publishes_nothing() {
    let mut repository = Repository::new(Layout::Succinct, 2).await;
    repository.server.stop();
    let ledger = repository.server.data().join("ledger.db");
    let backup = repository.server.scratch("backup").join("ledger.db");
    fs::copy(&ledger, &backup).expect("a copy");
    repository.server.spawn();
    repository.server.wait_until_listening();
    repository.add(&[Artifact::new("a", "a")]).await;
    let timestamp = repository.server.bucket().join("timestamp.json");
    let published = fs::read(&timestamp).expect("a timestamp");
    repository.server.stop();

    fs::copy(&backup, &ledger).expect("a copy");
    let refusal = repository.server.start_another();
    assert_eq!(refusal.status.code(), Some(70), "{}", refusal.error_text);
    let versions = "the bucket has timestamp version 2, the ledger 1";
    assert!(refusal.error_text.contains(versions), "{}", refusal.error_text);
    assert_eq!(fs::read(&timestamp).expect("a timestamp"), published);
}

#[tokio::test]
async fn a_file_that_clients_would_not_read_is_not_published() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let mut checker = Checker::new(&repository);
    let info = json!({ "length": 1, "hashes": { "sha256": "aa".repeat(32) } });
    let path = |number: u32| format!("{number}/{}", "p".repeat(1000));
    let many: Vec<_> = (0..10_000).map(|number| json!({ "path": path(number), "info": info })).collect();
    let api = repository.server.api();
    let task = api.post("/artifacts/", &json!({ "artifacts": many })).await.expect("the server answers").task();
    let small = api.add(&[Artifact::new("a", "a")]).await.expect("the server answers").task();
    let refused = api.wait_for(&task, "ERRORED").await;
    let error = refused["result"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("python-tuf") && error.contains("more bins"), "{refused}");
    api.success(&small).await;
    checker.check();
    assert_eq!(checker.artifacts().into_keys().collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn what_can_not_be_signed_now_is_published_later() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let mut checker = Checker::new(&repository);
    let mut server = repository;
    let keys = server.server.keys();
    let away = server.server.scratch("away");
    server.server.stop();
    let names: Vec<_> = fs::read_dir(&keys).expect("keys").map(|key| key.expect("a key").file_name()).collect();
    for name in &names {
        fs::rename(keys.join(name), away.join(name)).expect("moved");
    }
    server.server.spawn();
    server.server.wait_until_listening();
    let api = server.server.api();
    let task = api.add(&[Artifact::new("a", "a")]).await.expect("the server answers").task();
    api.wait_for(&task, "RUNNING").await;
    for name in &names {
        fs::rename(away.join(name), keys.join(name)).expect("moved");
    }
    api.success(&task).await;
    checker.check();
    assert_eq!(checker.artifacts().into_keys().collect::<Vec<_>>(), ["a"]);
}
