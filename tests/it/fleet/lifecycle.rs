//! Start and end: in any order, with a schema that is not there yet or newer, under load, and with nobody to take a task.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use rstuf::tuf::bins::Layout;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    harness::{
        artifact::Artifact,
        ceremony::Ceremony,
        checker::Checker,
        deployment::Deployment,
        fleet::{Carrier, Fleet, Member, Plan, Servers},
        load::Load,
        repository::Repository,
        say, services,
    },
    judges::program::Program,
};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(90);
/// The bound of a stop, with what a busy machine adds.
const STOP_LIMIT: Duration = Duration::from_secs(45);
/// The exit of who can't go on.
const CANNOT_GO_ON: i32 = 70;

#[tokio::test]
async fn the_order_of_start_does_not_matter() {
    let plan = Plan { apis: 1, workers: 2, carrier: Carrier::Rabbitmq, servers: Servers::PrivateAndDown };
    let mut fleet = Fleet::start(plan).await;
    fleet.members().for_each(|member| member.daemon.spawn());
    for member in fleet.members() {
        is_not_ready(member, &["broker"]).await;
    }
    let private = fleet.private.as_mut().expect("it has servers of its own");
    private.rabbitmq.start();
    is_not_ready(&mut fleet.apis[0], &["settings"]).await;
    fleet.private.as_mut().expect("it has servers of its own").redis.start();
    fleet.apis[0].wait_until_ready().await;
    is_not_ready(&mut fleet.workers[0], &["database"]).await;

    // A task may come before there is anybody to take it.
    let ceremony = Ceremony::hold(&fleet.scratch("ceremony"), &fleet.keys(), Layout::Succinct, 4);
    let task = fleet.api().post("/bootstrap/", &ceremony.payload).await.expect("the server answers").task();
    fleet.private.as_mut().expect("it has servers of its own").postgres.start();
    is_not_ready(&mut fleet.workers[0], &["database"]).await;
    fleet.migrate();
    fleet.wait_until_ready().await;
    fleet.api().success(&task).await;
    let repository = Repository { server: fleet, ceremony };
    let artifact = Artifact::new("a", "a");
    repository.add(std::slice::from_ref(&artifact)).await;
    assert_eq!(Program::python_tuf().find(&repository, &["a"])["a"], artifact.info());
}

/// Waits until it says that these parts are missing, and that it goes on waiting.
async fn is_not_ready(member: &mut Member, parts: &[&str]) {
    let says = async {
        loop {
            let readiness = member.readiness().await;
            if readiness.is_some_and(|(status, text)| status == 503 && parts.iter().all(|part| text.contains(part))) {
                return;
            }
            let name = member.daemon.name().to_owned();
            assert_eq!(member.daemon.ended(), None, "{name} does not wait: {}", member.daemon.last_words());
            sleep(POLL_INTERVAL).await;
        }
    };
    if timeout(LIMIT, says).await.is_err() {
        panic!("{} does not say that {parts:?} is missing: {:?}", member.daemon.name(), member.readiness().await);
    }
}

#[tokio::test]
async fn workers_go_on_while_the_schema_becomes_newer() {
    let mut repository = Repository::on(Fleet::over(Carrier::Rabbitmq).await, Layout::Succinct, 4).await;
    let url = repository.server.addresses.postgres.clone();
    repository.add(&[Artifact::new("before", "1")]).await;

    // What the next version may do while this one runs: it only adds.
    let expand = "alter table rstuf.tasks add column of_tomorrow text;
        create table rstuf.of_tomorrow (id bigint primary key);
        update rstuf.schema set version = version + 1";
    services::execute(&url, expand).await;
    repository.add(&[Artifact::new("after", "1")]).await;
    repository.server.workers[0].daemon.stop();
    repository.server.workers[0].daemon.spawn();
    repository.server.workers[0].wait_until_ready().await;
    repository.server.workers[1].daemon.stop();
    repository.add(&[Artifact::new("by a worker that started on it", "1")]).await;
    // To migrate with an older program changes nothing.
    repository.server.migrate();

    // What follows when no worker of this version is there any more.
    services::execute(&url, "update rstuf.schema set oldest = version").await;
    repository.server.workers[1].daemon.spawn();
    let status = repository.server.workers[1].daemon.wait_until_ended();
    assert_eq!(status.code(), Some(CANNOT_GO_ON));
    let words = repository.server.workers[1].daemon.last_words();
    assert!(words.contains("run a newer version"), "{words}");
    services::execute(&url, "update rstuf.schema set oldest = 1").await;
    repository.server.workers[1].daemon.spawn();
    repository.server.workers[1].wait_until_ready().await;
    let mut checker = Checker::new(&repository);
    checker.check();
    assert_eq!(checker.artifacts().len(), 3);
}

#[tokio::test]
async fn who_is_asked_to_end_loses_nothing() {
    let plan = Plan { apis: 2, workers: 2, carrier: Carrier::Rabbitmq, servers: Servers::Shared };
    let mut repository = Repository::on(Fleet::start(plan).await, Layout::Succinct, 16).await;
    let load = Load::start(&repository.server.all_apis());
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        for number in 0..4 {
            more(&load).await;
            let member = repository.server.members().nth(number).expect("there are four");
            let status = stopped(member, &mut longest).await;
            assert!(status.success(), "{} ended with {status}: {}", member.daemon.name(), member.daemon.last_words());
            member.daemon.spawn();
            member.wait_until_ready().await;
        }
    }
    more(&load).await;
    let end = load.accepted();
    let all = async {
        while load.open(0, end) > 0 {
            sleep(POLL_INTERVAL).await;
        }
    };
    assert!(timeout(LIMIT, all).await.is_ok(), "{} tasks of {end} have no end", load.open(0, end));
    let accepted = load.between(0, end);
    load.stop();
    let failures: Vec<_> = accepted.iter().filter_map(|task| task.failure()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let mut checker = Checker::new(&repository);
    checker.check();
    let found = checker.artifacts();
    for artifact in accepted.iter().flat_map(|task| &task.artifacts) {
        assert_eq!(found.get(&artifact.path), Some(&artifact.info()));
    }
    say(&format!("{end} tasks done over 12 stops under load, of which the longest took {longest:.1?}"));
}

/// Asks a program to end, and waits while the load goes on.
async fn stopped(member: &mut Member, longest: &mut Duration) -> ExitStatus {
    member.daemon.signal(Signal::TERM);
    let start = Instant::now();
    loop {
        if let Some(status) = member.daemon.ended() {
            *longest = start.elapsed().max(*longest);
            return status;
        }
        assert!(start.elapsed() < STOP_LIMIT, "{} did not end in {STOP_LIMIT:?}", member.daemon.name());
        sleep(POLL_INTERVAL).await;
    }
}

/// Waits until some more requests were accepted.
async fn more(load: &Load) {
    let enough = load.accepted() + 10;
    let come = async {
        while load.accepted() < enough {
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(LIMIT, come).await.expect("requests are accepted");
}

/// Whether the API that accepted a bootstrap is there until its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Stays,
    IsReplaced,
}

#[tokio::test]
async fn a_bootstrap_that_nobody_takes_is_revoked_over_rabbitmq() {
    for api in [Api::Stays, Api::IsReplaced] {
        is_revoked(Carrier::Rabbitmq, api).await;
    }
}

#[tokio::test]
async fn a_bootstrap_that_nobody_takes_is_revoked_over_redis() {
    for api in [Api::Stays, Api::IsReplaced] {
        is_revoked(Carrier::Redis, api).await;
    }
}

async fn is_revoked(carrier: Carrier, api: Api) {
    let plan = Plan { apis: 1, workers: 1, carrier, servers: Servers::Shared };
    let mut fleet = Fleet::prepare(plan).await;
    fleet.migrate();
    fleet.apis[0].daemon.spawn();
    fleet.wait_until_ready().await;
    let ceremony = Ceremony::hold(&fleet.scratch("ceremony"), &fleet.keys(), Layout::Succinct, 4);
    let mut payload = ceremony.payload.clone();
    payload["timeout"] = json!(4);
    let client = fleet.api();
    let task = client.post("/bootstrap/", &payload).await.expect("the server answers").task();
    let locked = client.get("/bootstrap/").await.expect("the server answers");
    assert_eq!((&locked.body["data"]["state"], &locked.body["data"]["id"]), (&json!("pre"), &json!(task)));
    if api == Api::IsReplaced {
        fleet.apis[0].daemon.kill();
        fleet.apis[0].daemon.spawn();
        fleet.wait_until_ready().await;
    }
    let revoked = client.wait_for(&task, "REVOKED").await;
    assert_eq!(revoked["result"]["message"], "revoked", "{api:?}");
    let free = client.get("/bootstrap/").await.expect("the server answers");
    assert_eq!(free.body["data"]["bootstrap"], false, "{api:?}: {}", free.body);

    // The message waits still: it does nothing any more, and the next bootstrap is as good as the first.
    fleet.workers[0].daemon.spawn();
    fleet.wait_until_ready().await;
    let next = client.post("/bootstrap/", &ceremony.payload).await.expect("the server answers").task();
    client.success(&next).await;
    assert_eq!(client.task(&task).await["state"], "REVOKED", "{api:?}");
    let finished = client.get("/bootstrap/").await.expect("the server answers");
    assert_eq!((&finished.body["data"]["state"], &finished.body["data"]["id"]), (&json!("finished"), &json!(next)));
}
