//! Everything that a fleet consists of fails, one after the other, while requests come without a pause and a client refreshes
//! without a pause. After each fault every accepted request is done and visible, and no client saw anything but a good repository.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use rstuf::tuf::bins::Layout;
use rustix::process::Signal;

use crate::{
    harness::{
        block_on,
        checker::Checker,
        deployment::Deployment,
        fleet::{Carrier, Fleet, Plan, Servers},
        load::Load,
        mount::Mount,
        repository::Repository,
        say,
    },
    judges::program::Program,
};

const BINS: u32 = 256;
/// Long enough for everything that is published while the matrix runs.
const BUCKET_MEBIBYTES: u32 = 2048;
/// How long what is named so lasts.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(12);
/// Longer than two heartbeats of a connection.
const FREEZE: Duration = Duration::from_secs(30);
/// How long it may take until all that was accepted before is done.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// So many requests are accepted before and after each fault at least.
const LOAD_BETWEEN: usize = 20;
/// An exit that asks for a restart: sysexits' EX_SOFTWARE.
const EXIT_TO_BE_RESTARTED: i32 = 70;

/// What may happen to results while a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Results {
    Kept,
    /// They are gone with Redis, and a task is only to be visible.
    Lost,
}

/// The fleet under load.
struct World {
    repository: Repository<Fleet>,
    load: Load,
    judge: Program,
    checker: Checker,
    /// What the harness restarted, as systemd would: who, and how it had ended.
    restarts: Vec<String>,
    table: String,
    /// How many requests were looked at.
    done: usize,
}

#[test]
fn a_fleet_survives_every_fault() {
    let plan = Plan { apis: 2, workers: 3, carrier: Carrier::Rabbitmq, servers: Servers::Private };
    let mut world = World::new(plan);
    let only = env::var("RSTUF_TEST_FAULTS").unwrap_or_default();
    let mut fault = |name: &str, results: Results, cause: &dyn Fn(&mut World)| {
        if name.contains(&only) {
            world.suffer(name, results, cause);
        }
    };

    fault("no fault", Results::Kept, &|world| world.pass(Duration::from_secs(5)));
    fault("SIGKILL of one API after the other", Results::Kept, &|world| {
        for number in 0..2 {
            world.fleet().apis[number].daemon.kill();
            world.pass(Duration::from_secs(1));
            world.fleet().apis[number].daemon.spawn();
        }
    });
    fault("SIGKILL of one worker after the other", Results::Kept, &|world| {
        for number in [0, 1, 2, 0, 1, 2] {
            world.fleet().workers[number].daemon.kill();
            world.pass(Duration::from_millis(700));
            world.fleet().workers[number].daemon.spawn();
        }
    });
    fault("SIGKILL of all programs", Results::Kept, &|world| {
        world.fleet().members().for_each(|member| member.daemon.kill());
        world.fleet().members().for_each(|member| member.daemon.spawn());
    });
    fault("SIGSTOP of the publishing worker for 60 s", Results::Kept, &|world| {
        let publisher = world.publisher();
        world.fleet().workers[publisher].daemon.signal(Signal::STOP);
        world.pass(LONG);
        world.fleet().workers[publisher].daemon.signal(Signal::CONT);
    });
    fault("RabbitMQ restarted (SIGTERM)", Results::Kept, &|world| {
        world.private().rabbitmq.end(Signal::TERM);
        world.private().rabbitmq.start();
    });
    fault("RabbitMQ restarted (SIGKILL)", Results::Kept, &|world| {
        world.private().rabbitmq.kill();
        world.private().rabbitmq.start();
    });
    fault("RabbitMQ frozen (SIGSTOP) for 30 s", Results::Kept, &|world| {
        world.private().rabbitmq.signal(Signal::STOP);
        world.pass(FREEZE);
        world.private().rabbitmq.signal(Signal::CONT);
    });
    fault("Redis restarted, all its data lost", Results::Lost, &|world| {
        world.private().redis.kill();
        world.pass(Duration::from_secs(2));
        world.private().redis.start();
    });
    fault("PostgreSQL restarted (fast shutdown)", Results::Kept, &|world| {
        world.private().postgres.end(Signal::INT);
        world.private().postgres.start();
    });
    fault("PostgreSQL restarted (immediate shutdown)", Results::Kept, &|world| {
        world.private().postgres.end(Signal::QUIT);
        world.private().postgres.start();
    });
    fault("PostgreSQL restarted (SIGKILL)", Results::Kept, &|world| {
        world.private().postgres.kill();
        world.private().postgres.start();
    });
    fault("PostgreSQL refuses connections for 60 s", Results::Kept, &|world| {
        world.private().postgres.end(Signal::INT);
        world.pass(LONG);
        world.private().postgres.start();
    });
    fault("bucket directory not writable", Results::Kept, &World::bucket_is_not_writable);
    fault("bucket directory full", Results::Kept, &World::bucket_is_full);
    fault("clock of one worker an hour ahead", Results::Kept, &|world| world.worker_with_clock("+1h"));
    fault("clock of one worker an hour behind", Results::Kept, &|world| world.worker_with_clock("-1h"));

    world.end();
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut fleet = block_on(Fleet::prepare(plan));
        fleet.mount = Mount::over(&fleet.bucket(), BUCKET_MEBIBYTES);
        if fleet.mount.is_none() {
            say("this process may not mount: the bucket is not filled, and made unwritable by its permissions only");
        }
        fleet.migrate();
        fleet.members().for_each(|member| member.daemon.spawn());
        block_on(fleet.wait_until_ready());
        let repository = block_on(Repository::on(fleet, Layout::Succinct, BINS));
        let load = Load::start(&repository.server.all_apis());
        let checker = Checker::new(&repository);
        let mut table = String::new();
        let columns = ["202", "SUCCESS", "visible", "refreshes", "refusals", "longest wait"];
        let _ = write!(table, "{:45}", "fault");
        for column in columns {
            let _ = write!(table, " {column:>12}");
        }
        Self { repository, load, judge: Program::python_tuf(), checker, restarts: Vec::new(), table, done: 0 }
    }

    fn fleet(&mut self) -> &mut Fleet {
        &mut self.repository.server
    }

    fn private(&mut self) -> &mut crate::harness::services::Private {
        self.fleet().private.as_mut().expect("this fleet has servers of its own")
    }

    /// Lets time pass, and restarts what ends meanwhile.
    fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tend();
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until `is_so`, and restarts what ends meanwhile.
    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + SETTLE_LIMIT;
        while !is_so(self) {
            self.tend();
            if Instant::now() > deadline {
                panic!("not in {SETTLE_LIMIT:?}: {what}\n{}\n{}", self.story(), self.table);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What is known of the tasks that are open, and of all programs; these tell their last words when they are dropped.
    fn story(&mut self) -> String {
        let mut story = self.load.story();
        for member in self.fleet().members() {
            let readiness = block_on(member.readiness());
            let _ = write!(story, "\n{}: {readiness:?}\n{}", member.daemon.name(), member.daemon.complaints());
        }
        story
    }

    /// Restarts what has ended by itself and asks for it.
    fn tend(&mut self) {
        let mut restarts = Vec::new();
        for member in self.fleet().members() {
            let Some(status) = member.daemon.ended() else { continue };
            let name = member.daemon.name().to_owned();
            assert_eq!(status.code(), Some(EXIT_TO_BE_RESTARTED), "{name} ended: {}", member.daemon.last_words());
            restarts.push(restarted(&name, status));
            member.daemon.spawn();
        }
        self.restarts.extend(restarts);
    }

    fn accepts_more(&mut self) {
        let enough = self.load.accepted() + LOAD_BETWEEN;
        self.wait("requests are accepted", |world| world.load.accepted() >= enough);
    }

    /// One fault, and what became of all that was accepted from the last one to the end of this one.
    fn suffer(&mut self, name: &str, results: Results, cause: &dyn Fn(&mut Self)) {
        let first = self.done;
        let paths: Vec<_> = (0..50).map(|number| format!("0/{number}/0.txt")).collect();
        self.judge.watch(&self.repository, &paths);
        self.accepts_more();
        cause(self);
        self.accepts_more();
        let end = self.load.accepted();
        if results == Results::Kept {
            self.wait("all tasks end", |world| world.load.open(first, end) == 0);
        }
        let mut visible = self.visible();
        if results == Results::Lost {
            self.wait("all artifacts are visible", |world| {
                visible = world.visible();
                let accepted = world.load.between(first, end);
                accepted.iter().flat_map(|task| &task.artifacts).all(|artifact| visible.contains(&artifact.path))
            });
            self.load.give_up(first, end);
        }
        let watch = self.judge.rest();

        let accepted = self.load.between(first, end);
        let seen = accepted.iter().filter(|task| task.artifacts.iter().all(|one| visible.contains(&one.path))).count();
        let waits: Vec<_> = accepted.iter().filter_map(|task| task.wait()).collect();
        let longest = waits.iter().max().copied().unwrap_or_default();
        let refused: Vec<_> = self.load.refused().iter().map(|(status, count)| format!("{count}×{status}")).collect();
        let row = format!(
            "{name:45} {:>12} {:>12} {seen:>12} {:>12} {:>12} {:>10.1} s",
            accepted.len(),
            waits.len(),
            watch.refreshed,
            watch.refused.len(),
            longest.as_secs_f64(),
        );
        say(&format!("{row}   not accepted: {}", refused.join(" ")));
        let _ = write!(self.table, "\n{row}");
        let failures: Vec<_> = accepted.iter().filter_map(|task| task.failure()).collect();
        assert!(failures.is_empty(), "{name}: {failures:?}");
        assert_eq!(watch.refused, Vec::<String>::new(), "{name}");
        assert_eq!(seen, accepted.len(), "{name}: not everything is visible");
        assert!(watch.refreshed > 0, "{name}: python-tuf never got through");
        self.done = end;
    }

    /// The paths that a client finds now.
    fn visible(&mut self) -> BTreeSet<String> {
        self.checker.check();
        self.checker.artifacts().into_keys().collect()
    }

    /// The worker that has used the most time of the processor since it started: publishing is most of the work.
    fn publisher(&mut self) -> usize {
        let used = |pid: u32| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process has a state");
            let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
        };
        let times: Vec<_> = self.fleet().workers.iter().map(|worker| used(worker.daemon.pid())).collect();
        (0..times.len()).max_by_key(|&number| times[number]).expect("there are workers")
    }

    fn bucket_is_not_writable(&mut self) {
        match &self.fleet().mount {
            Some(mount) => mount.make_read_only(),
            None => self.permissions(0o555),
        }
        self.pass(SHORT);
        match &self.fleet().mount {
            Some(mount) => mount.make_writable(),
            None => self.permissions(0o755),
        }
    }

    fn permissions(&mut self, mode: u32) {
        let bucket = self.fleet().bucket();
        for directory in [bucket.join(".tmp"), bucket] {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
    }

    fn bucket_is_full(&mut self) {
        let Some(mount) = &self.fleet().mount else {
            say("NOT RUN: the bucket can't be filled, as this process may not mount");
            return;
        };
        mount.fill();
        self.pass(SHORT);
        self.fleet().mount.as_ref().expect("it was there").free();
    }

    /// Replaces a worker by one with another clock, and lets it publish, alone and with the others.
    fn worker_with_clock(&mut self, offset: &str) {
        let library = faketime();
        let preload = format!("LD_PRELOAD={}", library.to_string_lossy());
        let clock = format!("FAKETIME={offset}");
        let other = self.fleet().member("worker", 3, &["env", &preload, &clock, "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        self.fleet().workers[0].daemon.stop();
        self.fleet().workers.push(other);
        self.fleet().workers[3].daemon.spawn();
        self.pass(Duration::from_secs(5));
        (1..3).for_each(|number| self.fleet().workers[number].daemon.stop());
        self.accepts_more();
        let end = self.load.accepted();
        self.wait("the worker with another clock publishes", |world| world.load.open(world.done, end) == 0);
        (1..3).for_each(|number| self.fleet().workers[number].daemon.spawn());
        self.pass(Duration::from_secs(5));
        self.fleet().workers[3].daemon.stop();
        self.fleet().workers.pop();
        self.fleet().workers[0].daemon.spawn();
    }

    fn end(self) {
        self.load.stop();
        say(&format!("{}\nrestarted after an exit of their own: {:?}", self.table, self.restarts));
    }
}

fn restarted(name: &str, status: ExitStatus) -> String {
    format!("{name} ({status})")
}

/// The library that shifts the clock of a program.
fn faketime() -> PathBuf {
    let places = fs::read_dir("/usr/lib").expect("a system has libraries").map_while(Result::ok);
    let mut libraries = places.map(|place| place.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("faketime is installed by scripts/test.sh --setup")
}
