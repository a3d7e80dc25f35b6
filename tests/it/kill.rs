//! The server is killed at random moments, and nothing that it has accepted is lost.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::join_all;
use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    harness::{
        api::Api, artifact::Artifact, block_on, ceremony::Ceremony, checker::Checker, deployment::Deployment,
        repository::Repository, say, server::Server,
    },
    judges::program::Program,
};

const KILLS: u32 = 60;
const LONGEST_LIFE_MS: u64 = 500;
const LONGEST_START_MS: u64 = 60;
const WRITERS: u64 = 4;
const PATHS_OF_A_WRITER: usize = 12;
const LONGEST_PAUSE_MS: u64 = 10;

#[test]
fn nothing_accepted_is_lost_when_the_server_is_killed() {
    let mut random = seeded("kills under load");
    let mut repository = block_on(Repository::on(Server::start_at_lasting_address(), Layout::Succinct, 16));
    let mut checker = Checker::new(&repository);
    let mut judge = Program::python_tuf();
    let paths: Vec<_> = (0..WRITERS).flat_map(paths_of).collect();
    judge.watch(&repository, &paths);
    let load = Load::start(&repository.server.api(), &mut random);

    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random.u64(..LONGEST_LIFE_MS)));
        repository.server.kill();
        checker.check();
        repository.server.spawn();
        if random.u8(..4) == 0 {
            // This one does not even get to listen.
            thread::sleep(Duration::from_millis(random.u64(..LONGEST_START_MS)));
            repository.server.kill();
            checker.check();
            repository.server.spawn();
        }
        repository.server.wait_until_listening();
    }

    let writers = load.stop();
    let api = repository.server.api();
    let tasks: Vec<_> = writers.iter().flat_map(|writer| &writer.accepted).collect();
    block_on(async {
        for task in &tasks {
            api.success(task).await;
        }
    });
    checker.check();
    let watch = judge.rest();
    say(&format!(
        "{} tasks accepted, {} requests without an answer, python-tuf refreshed {} times and was cut off {} times",
        tasks.len(),
        writers.iter().map(|writer| writer.unanswered).sum::<u32>(),
        watch.refreshed,
        watch.unreachable,
    ));

    let published = checker.artifacts();
    for (path, possible) in writers.iter().flat_map(|writer| &writer.paths) {
        let found = published.get(path).cloned().unwrap_or_default();
        assert!(possible.contains(&found), "{path} is {found}, but should be one of {possible:?}");
        assert_eq!(judge.find(&repository, &[path])[path], found, "{path}");
    }
    assert!(tasks.len() > KILLS as usize, "there was hardly any load");
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > u64::from(KILLS), "python-tuf hardly ever got through");
}

#[test]
fn a_bootstrap_goes_on_after_kills() {
    let mut random = seeded("kills during a bootstrap");
    let mut server = Server::start();
    let ceremony = Ceremony::hold(&server.scratch("ceremony"), &server.keys(), Layout::Succinct, 1024);
    let api = server.api();
    let task = block_on(api.post("/bootstrap/", &ceremony.payload)).expect("the server answers").task();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(random.u64(..LONGEST_START_MS)));
        server.kill();
        server.spawn();
    }
    server.wait_until_listening();
    block_on(server.api().success(&task));

    let repository = Repository { server, ceremony };
    let mut checker = Checker::new(&repository);
    checker.check();
    assert_eq!(checker.artifacts(), BTreeMap::new());
    block_on(repository.add(&[Artifact::new("first.txt", "first")]));
    assert_ne!(Program::python_tuf().find(&repository, &["first.txt"])["first.txt"], Value::Null);
}

/// Writers that add and remove artifacts until they are stopped, whether the server is there or not.
struct Load {
    over: Arc<AtomicBool>,
    writers: JoinHandle<Vec<Writer>>,
}

impl Load {
    fn start(api: &Api, random: &mut Rng) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS).map(|name| Writer::new(name, api.clone(), random.fork())).collect();
        let until = Arc::clone(&over);
        let writers = thread::spawn(move || block_on(join_all(writers.into_iter().map(|writer| writer.write(&until)))));
        Self { over, writers }
    }

    fn stop(self) -> Vec<Writer> {
        self.over.store(true, Ordering::Relaxed);
        self.writers.join().expect("the writers end well")
    }
}

/// A client with paths of its own, one request after the other.
struct Writer {
    api: Api,
    random: Rng,
    /// The tasks of the requests that were answered with 202.
    accepted: Vec<String>,
    /// What may be found under each path: what the last accepted request made of it (null: nothing), or any later
    /// request that got no answer.
    paths: BTreeMap<String, Vec<Value>>,
    unanswered: u32,
}

fn paths_of(writer: u64) -> impl Iterator<Item = String> {
    (0..PATHS_OF_A_WRITER).map(move |n| format!("writer-{writer}/{n}.txt"))
}

impl Writer {
    fn new(name: u64, api: Api, random: Rng) -> Self {
        let paths = paths_of(name).map(|path| (path, vec![Value::Null])).collect();
        Self { api, random, accepted: Vec::new(), paths, unanswered: 0 }
    }

    async fn write(mut self, over: &AtomicBool) -> Self {
        while !over.load(Ordering::Relaxed) {
            self.request().await;
            sleep(Duration::from_millis(self.random.u64(..LONGEST_PAUSE_MS))).await;
        }
        self
    }

    /// Adds or removes up to four artifacts.
    async fn request(&mut self) {
        let count = self.random.usize(1..5);
        let paths = self.random.choose_multiple(self.paths.keys().cloned(), count);
        let content = self.random.u64(..).to_string();
        let artifacts: Vec<_> = paths.iter().map(|path| Artifact::new(path, &content)).collect();
        let (reply, value) = if self.random.u8(..4) == 0 {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            (self.api.remove(&paths).await, Value::Null)
        } else {
            (self.api.add(&artifacts).await, artifacts[0].info())
        };
        match reply {
            Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(reply) => {
                self.accepted.push(reply.task());
                for path in paths {
                    self.paths.insert(path, vec![value.clone()]);
                }
            }
            Err(_) => {
                self.unanswered += 1;
                for path in paths {
                    self.paths.entry(path).or_default().push(value.clone());
                }
            }
        }
    }
}

/// A generator whose seed is printed, and can be given as `RSTUF_TEST_SEED` to draw the same numbers again.
/// Random choices, which a seed in the environment repeats.
pub(crate) fn seeded(what: &str) -> Rng {
    let seed = env::var("RSTUF_TEST_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a seed is a number"));
    say(&format!("{what}: RSTUF_TEST_SEED={seed}"));
    Rng::with_seed(seed)
}
