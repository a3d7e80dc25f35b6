//! A worker is stopped in the middle of a round (SIGSTOP), at a step that is chosen from outside; another one goes on and publishes,
//! also what the first had begun; then the first goes on (SIGCONT). Clients see a good repository all the while.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use rstuf::tuf::bins::Layout;
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use tokio_postgres::Client;

use crate::{
    harness::{
        api::Api,
        artifact::Artifact,
        checker::Checker,
        deployment::Deployment,
        fleet::{Carrier, Fleet, Plan, Servers},
        repository::Repository,
        say, services,
    },
    judges::program::Program,
};

const POLL_INTERVAL: Duration = Duration::from_millis(20);
const BLOCKED_LIMIT: Duration = Duration::from_secs(30);

/// Where the worker is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// At a statement that writes to this table: the first is that of the step.
    Table(&'static str),
    /// Between commit and point.
    Point,
}

/// What keeps a worker at its step.
enum Obstacle {
    Session { _lock: Client },
    Pointer { _lock: File, head: i64 },
}

const STEPS: [(&str, Step); 5] = [
    ("stage", Step::Table("rstuf.tasks")),
    ("plan", Step::Table("rstuf.publications")),
    ("commit", Step::Table("rstuf.head")),
    ("point", Step::Point),
    ("report", Step::Table("rstuf.tasks")),
];

#[tokio::test]
async fn a_worker_may_be_stopped_at_each_step() {
    let plan = Plan { apis: 1, workers: 2, carrier: Carrier::Rabbitmq, servers: Servers::Shared };
    let mut repository = Repository::on(Fleet::start(plan).await, Layout::Succinct, 4).await;
    let mut checker = Checker::new(&repository);
    let mut judge = Program::python_tuf();
    let paths: Vec<_> = STEPS.iter().map(|(name, _)| format!("{name}/1.txt")).collect();
    judge.watch(&repository, &paths);
    let api = repository.server.api();
    for (number, (name, step)) in STEPS.into_iter().enumerate() {
        // Whoever is stopped was alone until then.
        let (paused, other) = (number % 2, (number + 1) % 2);
        repository.server.workers[other].daemon.stop();

        let (begun, obstacle) = match name {
            "report" => held_at_report(&repository.server, &api).await,
            _ => held(&repository.server, &api, name, step).await,
        };
        repository.server.workers[paused].daemon.signal(Signal::STOP);
        drop(obstacle);
        let start = Instant::now();
        repository.server.workers[other].daemon.spawn();
        let next = api.add(&[artifact(name, 2)]).await.expect("the server answers").task();
        // Nothing waits for the worker that stands still, neither its own task nor another one.
        api.success(&next).await;
        api.success(&begun).await;
        checker.check();
        let waited = start.elapsed();

        repository.server.workers[paused].daemon.signal(Signal::CONT);
        repository.server.workers[paused].wait_until_ready().await;
        let last = api.add(&[artifact(name, 3)]).await.expect("the server answers").task();
        api.success(&last).await;
        checker.check();
        let found = checker.artifacts();
        for round in 1..=3 {
            let artifact = artifact(name, round);
            assert_eq!(found.get(&artifact.path), Some(&artifact.info()), "{name}");
        }
        assert_eq!(repository.server.workers[paused].daemon.ended(), None, "{name}");
        say(&format!("stopped at {name}: the other worker was done after {waited:.1?}"));
    }
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
}

fn artifact(step: &str, round: u32) -> Artifact {
    Artifact::new(format!("{step}/{round}.txt"), format!("{round}"))
}

/// Puts something in the way of a worker.
async fn put(fleet: &Fleet, step: Step) -> Obstacle {
    match step {
        Step::Table(table) => {
            let session = services::postgres(&fleet.addresses.postgres).await;
            // Others may read, and wait when they write.
            session
                .batch_execute(&format!("begin; lock table {table} in share mode"))
                .await
                .expect("the table can be locked");
            Obstacle::Session { _lock: session }
        }
        Step::Point => {
            let lock = File::options().write(true).open(fleet.bucket().join(".pointer.lock")).expect("it is there");
            flock(&lock, FlockOperation::LockExclusive).expect("it can be locked");
            Obstacle::Pointer { _lock: lock, head: head(fleet).await }
        }
    }
}

/// Waits until a worker stands before the obstacle.
async fn until_blocked(fleet: &Fleet, obstacle: &Obstacle) {
    let blocked = async {
        loop {
            let is_blocked = match obstacle {
                Obstacle::Session { .. } => {
                    let session = services::postgres(&fleet.addresses.postgres).await;
                    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                        where d.datname = current_database() and l.locktype = 'relation' and not l.granted";
                    session.query_one(waiting, &[]).await.expect("it answers").get::<_, i64>(0) > 0
                }
                // Committed, and not to be seen while the lock is held.
                Obstacle::Pointer { head: before, .. } => head(fleet).await > *before,
            };
            if is_blocked {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(BLOCKED_LIMIT, blocked).await.expect("the worker comes to the obstacle");
}

/// Gives the worker something to do and lets it come to this step.
async fn held(fleet: &Fleet, api: &Api, name: &str, step: Step) -> (String, Obstacle) {
    let obstacle = put(fleet, step).await;
    let task = api.add(&[artifact(name, 1)]).await.expect("the server answers").task();
    until_blocked(fleet, &obstacle).await;
    (task, obstacle)
}

/// The same for the report, whose statement waits: staging and committing have written to that table before.
async fn held_at_report(fleet: &Fleet, api: &Api) -> (String, Obstacle) {
    let (task, pointer) = held(fleet, api, "report", Step::Point).await;
    let tasks = put(fleet, Step::Table("rstuf.tasks")).await;
    drop(pointer);
    until_blocked(fleet, &tasks).await;
    (task, tasks)
}

async fn head(fleet: &Fleet) -> i64 {
    let session = services::postgres(&fleet.addresses.postgres).await;
    let row = session.query_one("select sequence from rstuf.head", &[]).await.expect("it answers");
    row.get(0)
}
