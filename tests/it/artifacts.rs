//! What is added is found by real clients, what is removed no longer is: in both layouts and with few and many bins.

use std::fs;

use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use crate::{
    harness::{artifact::Artifact, checker::Checker, deployment::Deployment, repository::Repository, server::Server},
    judges::{
        program::{Program, Verdict},
        tough::Tough,
    },
};

/// tuf-js copies a map for each of its entries when it reads and writes one, so that its time grows with the square of
/// the bins: 4,096 cost it 16 seconds and 16,384 five minutes, for one refresh.
const MOST_BINS_OF_TUF_JS: u32 = 1024;

#[tokio::test]
async fn clients_follow_2_succinct_bins() {
    clients_follow(Server::start(), Layout::Succinct, 2).await;
}

#[tokio::test]
async fn clients_follow_256_succinct_bins() {
    clients_follow(Server::start(), Layout::Succinct, 256).await;
}

#[tokio::test]
async fn clients_follow_16384_succinct_bins() {
    clients_follow(Server::start(), Layout::Succinct, 16_384).await;
}

#[tokio::test]
async fn clients_follow_2_explicit_bins() {
    clients_follow(Server::start(), Layout::PathHashPrefixes, 2).await;
}

#[tokio::test]
async fn clients_follow_256_explicit_bins() {
    clients_follow(Server::start(), Layout::PathHashPrefixes, 256).await;
}

#[tokio::test]
async fn clients_follow_16384_explicit_bins() {
    clients_follow(Server::start(), Layout::PathHashPrefixes, 16_384).await;
}

#[tokio::test]
async fn a_restart_continues() {
    let mut repository = Repository::new(Layout::Succinct, 16).await;
    let mut judge = Program::python_tuf();
    let mut checker = Checker::new(&repository);
    let [before, after] = [Artifact::new("before.txt", "before"), Artifact::new("after.txt", "after")];

    repository.add(std::slice::from_ref(&before)).await;
    checker.check();
    repository.server.restart();
    let bootstrap = repository.server.api().get("/bootstrap/").await.expect("the server answers");
    assert_eq!(bootstrap.body["data"]["state"], "finished");
    repository.add(std::slice::from_ref(&after)).await;
    checker.check();

    let found = judge.find(&repository, &["before.txt", "after.txt"]);
    assert_eq!(found["before.txt"], before.info());
    assert_eq!(found["after.txt"], after.info());
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let repository = Repository::new(Layout::Succinct, 2).await;

    let refusal = repository.server.start_another();
    assert!(!refusal.status.success(), "the second process ended with {}", refusal.status);
    let directory = repository.server.data().to_string_lossy().into_owned();
    assert!(refusal.error_text.contains(&directory), "{directory} is not named in: {}", refusal.error_text);

    // The first is none the worse for it.
    repository.add(&[Artifact::new("still.txt", "here")]).await;
}

#[tokio::test]
async fn what_is_not_published_stays_invisible_until_a_publish() {
    stays_invisible_until_a_publish(Server::start()).await;
}

/// What was added with `publish_artifacts: false` is not found, whatever else is published, until a publish asks for it.
pub(crate) async fn stays_invisible_until_a_publish(deployment: impl Deployment) {
    let repository = Repository::on(deployment, Layout::Succinct, 2).await;
    let api = repository.server.api();
    let mut judge = Program::python_tuf();
    let hidden = Artifact::new("hidden.txt", "hidden");
    // Enough others that both bins are published while `hidden.txt` waits in one of them.
    let others: Vec<_> = (0..16).map(|n| Artifact::new(format!("other-{n}.txt"), "other")).collect();

    let body = json!({ "artifacts": [hidden.entry()], "publish_artifacts": false });
    let reply = api.post("/artifacts/", &body).await.expect("the server answers");
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.body["message"], "New Artifact(s) successfully submitted. Publishing will be skipped.");
    // The task is done when the change is recorded: nobody knows when a publish comes.
    api.success(&reply.task()).await;
    repository.add(&others).await;

    let found = judge.find(&repository, &["hidden.txt", "other-0.txt"]);
    assert_eq!(found["hidden.txt"], Value::Null);
    assert_eq!(found["other-0.txt"], others[0].info());

    let publish = api.publish().await.expect("the server answers").task();
    api.success(&publish).await;
    assert_eq!(judge.find(&repository, &["hidden.txt"])["hidden.txt"], hidden.info());
}

/// What the other tests rely on: a client that accepts has looked.
#[tokio::test]
async fn clients_refuse_what_was_tampered_with() {
    let repository = Repository::new(Layout::PathHashPrefixes, 2).await;
    repository.add(&[Artifact::new("some.txt", "some")]).await;
    let mut programs = [Program::python_tuf(), Program::tuf_js()];
    let timestamp = repository.server.bucket().join("timestamp.json");
    let good = fs::read_to_string(&timestamp).expect("timestamp was published");

    let metadata: Value = serde_json::from_str(&good).expect("timestamp is JSON");
    let expires = metadata["signed"]["expires"].as_str().expect("timestamp expires");
    fs::write(&timestamp, good.replace(expires, "2099-01-01T00:00:00Z")).expect("a file can be written");
    for client in &mut programs {
        let verdict = client.refresh(&repository);
        assert!(matches!(verdict, Verdict::Refused(_)), "{}: {verdict:?}", client.name());
    }
    assert!(Tough::try_load(&repository).await.is_err());

    fs::write(&timestamp, good).expect("a file can be written");
    for client in &mut programs {
        let verdict = client.refresh(&repository);
        assert!(matches!(verdict, Verdict::Ok(_)), "{}: {verdict:?}", client.name());
    }
    assert!(Tough::try_load(&repository).await.is_ok());
}

/// Artifacts are added, replaced and removed, and every client that knows the layout sees what was done last.
pub(crate) async fn clients_follow(deployment: impl Deployment, layout: Layout, bins: u32) {
    let repository = Repository::on(deployment, layout, bins).await;
    let mut checker = Checker::new(&repository);
    let mut clients = Clients::of(&repository, layout, bins);
    checker.check();

    let mut artifacts: Vec<_> =
        (0..20).map(|n| Artifact::new(format!("project-{n}/file {n}é.tar.gz"), format!("content {n}"))).collect();
    artifacts.push(Artifact::new("top.txt", "at the top"));
    repository.add(&artifacts).await;
    clients.see(&repository, &artifacts, &["never.txt"]).await;
    for artifact in [&artifacts[20], &artifacts[3]] {
        clients.download(&repository, artifact).await;
    }

    let removed: Vec<_> = artifacts.drain(..10).map(|artifact| artifact.path).collect();
    let removed: Vec<_> = removed.iter().map(String::as_str).collect();
    repository.remove(&removed).await;
    artifacts[0].content = "other content".to_owned();
    repository.add(&artifacts[..1]).await;
    clients.see(&repository, &artifacts, &removed).await;

    checker.check();
    let published: Vec<_> = checker.artifacts().into_keys().collect();
    let mut expected: Vec<_> = artifacts.iter().map(|artifact| artifact.path.clone()).collect();
    expected.sort();
    assert_eq!(published, expected);
}

/// Every client that knows the layout.
struct Clients {
    layout: Layout,
    programs: Vec<Program>,
    targets_url: String,
}

impl Clients {
    fn of(repository: &Repository<impl Deployment>, layout: Layout, bins: u32) -> Self {
        let mut python_tuf = Program::python_tuf();
        let targets_url = python_tuf.serve(&repository.server.scratch("targets"));
        let mut programs = vec![python_tuf];
        if bins <= MOST_BINS_OF_TUF_JS {
            programs.push(Program::tuf_js());
        }
        Self { layout, programs, targets_url }
    }

    /// Asserts that each client finds these artifacts, and nothing under the other paths.
    async fn see(&mut self, repository: &Repository<impl Deployment>, artifacts: &[Artifact], absent: &[&str]) {
        let paths: Vec<_> =
            artifacts.iter().map(|artifact| artifact.path.as_str()).chain(absent.iter().copied()).collect();
        let expected = artifacts
            .iter()
            .map(|artifact| (artifact.path.clone(), artifact.info()))
            .chain(absent.iter().map(|path| ((*path).to_owned(), Value::Null)))
            .collect();
        for client in &mut self.programs {
            assert_eq!(client.find(repository, &paths), expected, "{}", client.name());
        }
        if self.layout == Layout::PathHashPrefixes {
            assert_eq!(Tough::load(repository).await.find(&paths), expected, "tough");
        }
    }

    /// Asserts that each client downloads the artifact and accepts it.
    async fn download(&mut self, repository: &Repository<impl Deployment>, artifact: &Artifact) {
        artifact.store(&repository.server.scratch("targets"));
        for client in &mut self.programs {
            let download = client.download(repository, &artifact.path, &self.targets_url);
            assert_eq!((download.length, download.sha256), (artifact.content.len(), artifact.sha256()));
        }
        // Others have the hash in front of the file's name, tough in front of the whole path.
        if self.layout == Layout::PathHashPrefixes && !artifact.path.contains('/') {
            let content = Tough::load(repository).await.download(artifact).await;
            assert_eq!(content, artifact.content.as_bytes());
        }
    }
}
