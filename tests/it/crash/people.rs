//! The same for what people decide: signatures of a role, a root with another online key, delegations that come, change and go.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use rstuf::{
    actors::{
        bootstrap,
        intake::{self, Places},
        round::RoundError,
        signing::{self, State},
    },
    clock::Clock,
    store::{
        StoreError,
        ledger::{
            NewRepository, Request,
            charter::{Amended, Amendment, Decided},
        },
    },
    task::{Bootstrap, Job, TaskId},
    tuf::{delegation::Delegations, name::RoleName, placement::Placement},
};
use serde_json::{Value, json};

use super::{
    Next,
    fuse::{Fault, Fuse},
    world::{Backend, Place, Process, Scenario},
};
use crate::{
    harness::ceremony::Ceremony,
    peers::people::{People, Role, RootPlan},
};

const FAULTS: [Fault; 4] = [Fault::NotApplied, Fault::AppliedButFailed, Fault::EndedBefore, Fault::EndedAfter];
/// Of which the others differ little, where there is much to write.
const SOME: [Fault; 2] = [Fault::AppliedButFailed, Fault::EndedBefore];

/// What is asked for.
#[derive(Debug, Clone)]
enum Step {
    /// This, as it is.
    Job(Job),
    /// This one signs what waits under the role.
    Sign(&'static str, &'static str),
}

/// The people, what they ask for one after the other, and what clients see in the end.
struct Play {
    scenario: Scenario,
    people: RefCell<People>,
    steps: Vec<(&'static str, Step)>,
    visible: BTreeSet<&'static str>,
}

impl Play {
    /// A repository with three artifacts, where `staging` waits for two people.
    async fn new(
        steps: impl FnOnce(&mut People, &RootPlan) -> Vec<(&'static str, Step)>,
        visible: &[&'static str],
    ) -> Self {
        let held = tempfile::tempdir().expect("a directory");
        let keys = held.path().join("keys");
        let mut people = People::new();
        people.join(&["Ada", "Grace", "Kay", "Lin"]);
        people.online_key("online", &keys);
        people.online_key("next", &keys);
        let plan = RootPlan::first(&["Ada", "Grace"], 2, "online");
        let root = people.root(&plan);
        let root = people.sign(&root, &["Ada", "Grace"]);
        let roles =
            [Role::online("staging", &["staging/*"]).by(&["Kay", "Lin"], 2), Role::online("default", &["*", "*/*"])];
        let expiration = json!({ "expiration": 365 });
        let payload = json!({
            "settings": { "roles": {
                "root": expiration, "targets": expiration, "snapshot": expiration, "timestamp": expiration,
                "delegations": people.delegations(&roles),
            } },
            "metadata": { "root": root },
            "timeout": 300,
        });
        let file = held.path().join("1.root.json");
        std::fs::write(&file, root.to_string()).expect("a file can be written");
        let bootstrap: Bootstrap = serde_json::from_value(payload.clone()).expect("a bootstrap");
        let repository = bootstrap::prepare(&bootstrap, Timestamp::now()).expect("a good bootstrap");
        let steps = steps(&mut people, &plan);
        let scenario = Scenario::of(Ceremony { payload, root: file }, repository, held);
        let visible = visible.iter().copied().chain(["a", "b", "libs/l"]).collect();
        Self { scenario, people: RefCell::new(people), steps, visible }
    }
}

/// What is not there any more when the same is done again: a signature that was given.
type Given = BTreeMap<&'static str, Value>;

/// What a process does when it gets a step.
impl Process {
    async fn take(&mut self, play: &Play, given: &mut Given, id: &'static str, step: &Step) -> Result<(), RoundError> {
        let job = match step {
            Step::Job(job) => job.clone(),
            Step::Sign(role, name) => {
                let name_of_role = RoleName::parse(role).expect("a name");
                let charter = self.parts.ledger.charter().await?.charter;
                if let Some(event) = charter.events.get(&name_of_role) {
                    let signature = play.people.borrow_mut().signature(&event.document.to_value(), name);
                    given.insert(id, signature);
                }
                let signature = given.get(id).expect("the role waits for signatures");
                serde_json::from_value(json!({
                    "action": "sign_metadata", "payload": { "role": role, "signature": signature },
                }))
                .expect("a job")
            }
        };
        self.record(&TaskId::from_text(id), &job).await?;
        self.settle().await
    }

    async fn record(&mut self, task: &TaskId, job: &Job) -> Result<(), RoundError> {
        let now = self.parts.clock.now();
        let ledger = self.parts.ledger.as_ref();
        if let Job::AddArtifacts(_) = job {
            let number = ledger.charter().await?.placement;
            let repository = ledger.repository().await?.expect("there is a repository");
            let delegations = Delegations::view(&repository.delegations).expect("good delegations");
            let placement = Placement::of(&delegations, repository.settings.bins().expect("settings"));
            let work = intake::work(job, Some(&Places { number, placement: placement.into() }), now);
            ledger.stage(vec![Request { task: task.clone(), accepted_at: now, work }], now).await?;
            return Ok(());
        }
        loop {
            let state = State::read(ledger, &self.keys, job).await?;
            let decision = signing::decide(&state, task, job, now);
            let decided =
                Decided { task: task.clone(), accepted_at: now, outcome: decision.outcome, end: decision.end };
            let base = state.chartered.revision;
            let amendment = Amendment { base, task: Some(decided), change: decision.change };
            if ledger.amend(amendment, now).await? == Amended::Recorded {
                return Ok(());
            }
        }
    }

    /// Founds the repository.
    async fn found(&mut self, new: &NewRepository) -> Result<(), RoundError> {
        let now = self.parts.clock.now();
        let ledger = self.parts.ledger.as_ref();
        let task = TaskId::from_text("bootstrap");
        let job = Job::PublishArtifacts;
        let state = State::read(ledger, &self.keys, &job).await?;
        let decision = bootstrap::decide(&state, &task, new, now);
        assert!(decision.outcome.status, "{:?}", decision.outcome);
        let decided = Decided { task, accepted_at: now, outcome: decision.outcome, end: decision.end };
        let amendment = Amendment { base: state.chartered.revision, task: Some(decided), change: decision.change };
        assert_eq!(ledger.amend(amendment, now).await?, Amended::Recorded);
        self.settle().await
    }
}

/// One run: the base without faults, then the steps with one.
struct Run<'a> {
    play: &'a Play,
    place: Place<'a>,
    fuse: std::sync::Arc<Fuse>,
}

impl<'a> Run<'a> {
    async fn of(play: &'a Play, backend: &Backend, fault: Option<(usize, Fault)>) -> Self {
        let place = Place::new(&play.scenario, backend).await;
        let mut base = place.start(&std::sync::Arc::default(), Clock::system());
        base.found(play.scenario.repository()).await.expect("nothing fails");
        let before = add(&["a", "b", "libs/l"]);
        base.take(play, &mut Given::new(), "base", &before).await.expect("nothing fails");
        Self { play, place, fuse: std::sync::Arc::new(Fuse::new(fault)) }
    }

    /// Does everything, however often it takes, and asserts that all of it is done.
    async fn go(&self, next: Next, case: &str) {
        let mut process = self.place.start(&self.fuse, Clock::system());
        let mut given = Given::new();
        let other = ("other", add(&["other"]));
        let mut is_other_done = next == Next::SameWork;
        for (id, step) in self.play.steps.iter().chain([&other]) {
            while let Err(error) = process.take(self.play, &mut given, id, step).await {
                assert!(matches!(error, RoundError::Store(StoreError::Unavailable { .. })), "{case}: {error}");
                self.place.check();
                if self.fuse.restart() {
                    self.place.forget_plans().await;
                    process = self.place.start(&self.fuse, Clock::system());
                }
                if !is_other_done {
                    process.take(self.play, &mut given, other.0, &other.1).await.expect("the fault happens once");
                    is_other_done = true;
                }
            }
        }
        self.place.check();
        for (id, _) in self.play.steps.iter().chain([&other]) {
            process.is_done(&TaskId::from_text(*id)).await.unwrap_or_else(|why| panic!("{case}: {id}: {why}"));
        }
        let found: BTreeSet<_> = self.place.artifacts().into_keys().collect();
        let expected = self.play.visible.iter().chain([&"other"]).map(|path| (*path).to_owned()).collect();
        assert_eq!(found, expected, "{case}");
    }
}

async fn every_write_may_fail(play: &Play, backend: &Backend, faults: &[Fault], then: &[Next]) {
    let sound = Run::of(play, backend, None).await;
    sound.go(Next::SameWork, "no fault").await;
    let writes = sound.fuse.writes();
    for kind in ["amend", "plan", "create", "commit", "point", "project", "put results", "reported"] {
        assert!(writes.iter().any(|write| write == kind), "no {kind} in {writes:?}");
    }
    for (number, write) in writes.iter().enumerate() {
        for fault in faults {
            for next in then {
                let case = format!("{fault:?} at write {number} ({write}), then {next:?}");
                let run = Run::of(play, backend, Some((number, *fault))).await;
                run.go(*next, &case).await;
                assert!(run.fuse.is_burnt(), "nothing failed: {case}");
            }
        }
    }
}

fn job(action: &str, payload: Value) -> Step {
    Step::Job(serde_json::from_value(json!({ "action": action, "payload": payload })).expect("a job"))
}

fn add(paths: &[&str]) -> Step {
    let info = json!({ "length": 1, "hashes": { "sha256": "aa".repeat(32) } });
    let artifacts: Vec<_> = paths.iter().map(|path| json!({ "path": path, "info": info })).collect();
    job("add_artifacts", json!({ "artifacts": artifacts }))
}

fn delegation(action: &str, delegations: Value) -> Step {
    job("metadata_delegation", json!({ "action": action, "delegations": delegations }))
}

/// Artifacts wait for two signatures, and are published with the second.
async fn signing() -> Play {
    let steps = vec![
        ("add", add(&["staging/s"])),
        ("first", Step::Sign("staging", "Kay")),
        ("second", Step::Sign("staging", "Lin")),
    ];
    Play::new(|_, _| steps, &["staging/s"]).await
}

/// A root with another online key waits for its second signature, is announced, and is published.
async fn root() -> Play {
    let steps = |people: &mut People, plan: &RootPlan| {
        let next = people.root(&RootPlan { online: ["next"; 3], ..plan.next() });
        let next = people.sign(&next, &["Ada"]);
        vec![
            ("update", job("metadata_update", json!({ "metadata": { "root": next } }))),
            ("second", Step::Sign("root", "Grace")),
        ]
    };
    Play::new(steps, &[]).await
}

/// A role comes and takes an artifact, goes over to people and back, and ends.
async fn delegations() -> Play {
    let steps = |people: &mut People, _: &RootPlan| {
        let libs = Role::online("libs", &["libs/*"]);
        let narrow = Role::online("default", &["*"]);
        let wide = Role::online("default", &["*", "*/*"]);
        let by_people = libs.clone().by(&["Kay"], 1);
        vec![
            ("new", delegation("add", people.delegations(&[libs]))),
            ("move", delegation("update", people.delegations(&[narrow]))),
            ("people", delegation("update", people.delegations(&[by_people]))),
            ("sign", Step::Sign("libs", "Kay")),
            ("back", delegation("update", people.delegations(&[wide]))),
            ("end", delegation("delete", json!({ "roles": [{ "name": "libs" }] }))),
        ]
    };
    Play::new(steps, &[]).await
}

#[tokio::test]
async fn every_write_may_fail_while_people_sign() {
    every_write_may_fail(&signing().await, &Backend::Sqlite, &FAULTS, &[Next::OtherWork]).await;
}

#[tokio::test]
async fn every_write_may_fail_while_root_is_replaced() {
    every_write_may_fail(&root().await, &Backend::Sqlite, &FAULTS, &[Next::OtherWork]).await;
}

#[tokio::test]
async fn every_write_may_fail_while_delegations_change() {
    every_write_may_fail(&delegations().await, &Backend::Sqlite, &SOME, &[Next::OtherWork]).await;
}

#[tokio::test]
async fn every_write_may_fail_while_people_sign_on_postgresql() {
    let backend = Backend::postgres().await;
    for play in [signing().await, root().await, delegations().await] {
        every_write_may_fail(&play, &backend, &[Fault::EndedAfter], &[Next::SameWork]).await;
    }
}
