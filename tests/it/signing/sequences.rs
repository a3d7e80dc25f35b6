//! Whatever is done in whatever order, clients that hold any earlier state go on, and find what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::house::{House, ONLINE, Shape, deletion};
use crate::{
    harness::{api::Reply, artifact::Artifact, checker::Checker, deployment::Deployment, say, server::Server},
    judges::program::Program,
    kill::seeded,
    peers::people::{Role, RootPlan},
};

const SEQUENCES: usize = 18;
const LENGTH: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const DIRECTORIES: [&str; 4] = ["a", "b", "c", "d"];
const PATTERNS: [&[&str]; 5] = [&["a/*"], &["b/*"], &["a/*", "c/*"], &["?/1"], &["*/*"]];
const NAMES: [&str; 24] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17",
    "r18", "r19", "r20", "r21", "r22", "r23",
];

/// What is done, and what clients are to find then.
struct Story {
    house: House<Server>,
    random: Rng,
    expected: BTreeMap<String, Artifact>,
    roles: BTreeSet<&'static str>,
    names: std::slice::Iter<'static, &'static str>,
    keys: usize,
    done: Vec<String>,
}

/// Artifacts come and go, roles are delegated to, change hands between the service and a person, and end; roots follow, online keys change.
#[tokio::test]
async fn any_sequence_keeps_clients_of_any_earlier_state() {
    let mut random = seeded("sequences of operations");
    let mut longest = Duration::ZERO;
    for number in 0..SEQUENCES {
        let start = Instant::now();
        let mut story = Story::begin(random.fork()).await;
        let mut checker = Checker::new(&story.house.repository);
        let mut judge = Program::python_tuf();
        let mut clients = Vec::new();
        for step in 0..LENGTH {
            story.go_on().await;
            checker.check();
            let found: BTreeMap<_, _> = checker.artifacts();
            let expected: BTreeMap<_, _> =
                story.expected.iter().map(|(path, artifact)| (path.clone(), artifact.info())).collect();
            assert_eq!(found, expected, "sequence {number}: {:?}", story.done);
            clients.push(story.house.repository.server.scratch(&format!("client-{step}")));
            let earlier = story.random.usize(..clients.len());
            for client in [step, earlier] {
                story.is_followed(&mut judge, &clients[client], client);
            }
        }
        for (step, client) in clients.iter().enumerate() {
            story.is_followed(&mut judge, client, step);
        }
        longest = longest.max(start.elapsed());
    }
    say(&format!("{SEQUENCES} sequences of {LENGTH} operations, the longest took {longest:.1?}"));
}

impl Story {
    async fn begin(random: Rng) -> Self {
        let mut house = House::on(Server::start());
        house.people.join(&["Kay"]);
        let first = Role::online("first", &["a/*", "d/*"]);
        house.found(&Shape::Both(vec![first], Layout::PathHashPrefixes, 2)).await;
        let roles = BTreeSet::from(["first"]);
        Self { house, random, expected: BTreeMap::new(), roles, names: NAMES.iter(), keys: 0, done: Vec::new() }
    }

    /// Asserts that a client which holds what it saw at some step finds what there is now.
    fn is_followed(&self, judge: &mut Program, client: &Path, step: usize) {
        let paths: Vec<_> =
            DIRECTORIES.iter().flat_map(|directory| (0..4).map(move |n| format!("{directory}/{n}"))).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let found = judge.find_again(&self.house.repository, client, &paths);
        for path in paths {
            let expected = self.expected.get(path).map_or(Value::Null, Artifact::info);
            assert_eq!(found[path], expected, "{path}, by a client of step {step}: {:?}", self.done);
        }
    }

    async fn go_on(&mut self) {
        match self.random.u8(..12) {
            0..=3 => self.add().await,
            4 => self.remove().await,
            5 | 6 => self.delegate().await,
            7 | 8 => self.redelegate().await,
            9 => self.undelegate().await,
            10 => self.next_root().await,
            _ => self.publish_anew().await,
        }
    }

    fn path(&mut self) -> String {
        let directory = DIRECTORIES[self.random.usize(..DIRECTORIES.len())];
        format!("{directory}/{}", self.random.u8(..4))
    }

    async fn add(&mut self) {
        let artifacts: Vec<_> = (0..self.random.usize(1..4))
            .map(|_| Artifact::new(self.path(), format!("content {}", self.random.u16(..))))
            .collect();
        self.done.push(format!("add {:?}", artifacts.iter().map(|a| a.path.as_str()).collect::<Vec<_>>()));
        let reply = self.house.api().add(&artifacts).await.expect("the server answers");
        self.settle(reply).await;
        self.expected.extend(artifacts.into_iter().map(|artifact| (artifact.path.clone(), artifact)));
    }

    async fn remove(&mut self) {
        let path = self.path();
        self.done.push(format!("remove {path}"));
        let reply = self.house.api().remove(&[&path]).await.expect("the server answers");
        self.settle(reply).await;
        self.expected.remove(&path);
    }

    /// A role that is signed by the online key, by another one, or by a person.
    fn role(&mut self, name: &'static str) -> Role {
        let role = Role::online(name, PATTERNS[self.random.usize(..PATTERNS.len())]);
        let role = if self.random.bool() { role } else { role.passing_on() };
        match self.random.u8(..4) {
            0 => role.by(&["Kay"], 1),
            1 => {
                let key = self.new_online_key();
                role.by(&[key], 1)
            }
            2 => {
                let key = self.new_online_key();
                role.by(&[key, "Kay"], 2)
            }
            _ => role,
        }
    }

    fn new_online_key(&mut self) -> &'static str {
        self.keys += 1;
        let name: &'static str = format!("{ONLINE} {}", self.keys).leak();
        self.house.people.online_key(name, &self.house.repository.server.keys());
        name
    }

    async fn delegate(&mut self) {
        let name = self.names.next().expect("there are enough names");
        let role = self.role(name);
        self.done.push(format!("delegate to {} {:?} by {:?}", role.name, role.paths, role.keys));
        let body = json!({ "delegations": self.house.people.delegations(&[role]) });
        let reply = self.house.post("/delegations/", &body).await;
        self.settle_delegation(reply).await;
        self.roles.insert(name);
    }

    async fn redelegate(&mut self) {
        let Some(name) = self.any_role() else { return };
        let role = self.role(name);
        self.done.push(format!("change {} to {:?} by {:?}", role.name, role.paths, role.keys));
        let body = json!({ "delegations": self.house.people.delegations(&[role]) });
        let reply = self.house.put("/delegations/", &body).await;
        self.settle_delegation(reply).await;
    }

    async fn undelegate(&mut self) {
        let Some(name) = self.any_role() else { return };
        self.done.push(format!("end {name}"));
        let reply = self.house.post("/delegations/delete", &deletion(&[name])).await;
        self.settle_delegation(reply).await;
        self.roles.remove(name);
    }

    fn any_role(&mut self) -> Option<&'static str> {
        let roles: Vec<_> = self.roles.iter().copied().collect();
        self.random.choice(roles)
    }

    async fn next_root(&mut self) {
        let key = if self.random.bool() { self.new_online_key() } else { self.house.root.online[0] };
        let plan = RootPlan { threshold: self.random.u32(2..4), online: [key; 3], ..self.house.root.next() };
        self.done.push(format!("root {} with {key}", plan.version));
        let reply = self.house.update(plan, &["Ada", "Grace", "Hedy"]).await;
        self.settle(reply).await;
    }

    async fn publish_anew(&mut self) {
        self.done.push("publish all anew".to_owned());
        let reply = self.house.post("/metadata/online", &json!({ "roles": [] })).await;
        self.settle(reply).await;
    }

    async fn settle_delegation(&mut self, reply: Reply) {
        let details = self.settle(reply).await["details"].clone();
        assert_eq!(details["failed_roles"], json!([]), "{details} {:?}", self.done);
    }

    /// Waits until a task is done and nothing waits for signatures; the person signs whatever does meanwhile.
    async fn settle(&mut self, reply: Reply) -> Value {
        let task = reply.task();
        let deadline = Instant::now() + LIMIT;
        loop {
            let told = self.house.api().task(&task).await;
            let pending = self.house.pending().await;
            let roles: Vec<_> = pending.as_object().into_iter().flatten().map(|(role, _)| role.as_str()).collect();
            let waits = roles.iter().any(|role| !role.starts_with("trusted_"));
            if told["state"] == "SUCCESS" && !waits {
                assert_eq!(told["result"]["status"], true, "{told} {:?}", self.done);
                return told["result"].clone();
            }
            let has_failed = matches!(told["state"].as_str(), Some("ERRORED" | "FAILURE"));
            assert!(!has_failed, "{told} {:?}", self.done);
            for role in roles.iter().filter(|role| !role.starts_with("trusted_")) {
                // It may be replaced by another draft before the signature comes; that one waits again.
                let signature = self.house.people.signature(&pending[*role], "Kay");
                let body = json!({ "role": role, "signature": signature });
                let reply = self.house.post("/metadata/sign", &body).await;
                self.house.ended(&reply.task()).await;
            }
            assert!(Instant::now() < deadline, "{told} {pending} {:?}", self.done);
            sleep(POLL_INTERVAL).await;
        }
    }
}
