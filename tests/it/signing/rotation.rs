//! Three roots follow each other while artifacts are added without a pause.

use std::time::{Duration, Instant};

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::house::{House, ONLINE, Shape, signers};
use crate::{
    harness::{checker::Checker, deployment::Deployment, load::Load, say},
    judges::program::Program,
    peers::people::RootPlan,
};

const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Root keys come and go, the threshold is raised and lowered, the online key is replaced, then each role gets one of its own. Clients
/// never fail, and every addition becomes visible.
/// B9 (clients during the replacement), B12 (stale events, continuity, signatures), B27 (members that we do not know).
pub(crate) async fn three_roots_follow(server: impl Deployment) {
    let mut house = House::founded(server, Shape::Bins(Layout::Succinct, 4)).await;
    house.people.join(&["Lise", "Maria", "Mallory"]);
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["0/0/0.txt".to_owned(), "3/1/7.txt".to_owned()]);
    let load = Load::start(&house.repository.server.all_apis());
    let mut checker = Checker::new(&house.repository);

    bad_roots_are_refused(&mut house).await;
    other_keys_and_a_higher_threshold(&mut house).await;
    checker.check();
    a_lower_threshold_and_another_online_key(&mut house).await;
    checker.check();
    an_online_key_for_each_role(&mut house).await;
    checker.check();

    let end = load.accepted();
    let deadline = Instant::now() + SETTLE_LIMIT;
    while load.open(0, end) > 0 {
        assert!(Instant::now() < deadline, "{}", load.story());
        sleep(POLL_INTERVAL).await;
    }
    let accepted = load.between(0, end);
    assert!(accepted.len() > 10, "{} additions were accepted", accepted.len());
    let refused = load.refused();
    load.stop();
    assert!(refused.is_empty(), "{refused:?}");
    let failures: Vec<_> = accepted.iter().filter_map(|task| task.failure()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    checker.check();
    let found = checker.artifacts();
    for artifact in accepted.iter().flat_map(|task| &task.artifacts) {
        assert_eq!(found.get(&artifact.path), Some(&artifact.info()));
    }
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 20, "python-tuf got through {} times", watch.refreshed);
    say(&format!("three roots under {} additions: {} refreshes", accepted.len(), watch.refreshed));
    if let Value::Object(versions) = judge_versions(&mut judge, &house) {
        assert_eq!(versions["root"], 4);
    }
    Program::tuf_js().find(&house.repository, &["0/0/0.txt"]);
}

fn judge_versions(judge: &mut Program, house: &House<impl Deployment>) -> Value {
    match judge.refresh(&house.repository) {
        crate::judges::program::Verdict::Ok(versions) => versions,
        verdict => panic!("{verdict:?}"),
    }
}

/// Each is refused with the reason, and leaves nothing behind.
async fn bad_roots_are_refused(house: &mut House<impl Deployment>) {
    let good = house.root.next();
    let all = ["Ada", "Grace", "Hedy"];
    let away = house.repository.server.scratch("away");
    house.people.online_key("unreachable", &away);
    let cases: [(&str, RootPlan, &[&str], &str); 7] = [
        ("a gap", RootPlan { version: 3, ..good.clone() }, &all, "Expected root version 2 instead got version 3"),
        ("a rollback", RootPlan { version: 1, ..good.clone() }, &all, "Expected root version 2 instead got version 1"),
        ("no time left", RootPlan { days: -1, ..good.clone() }, &all, "expired"),
        ("nobody", good.clone(), &[], "signature"),
        ("a stranger", good.clone(), &["Mallory"], "none of this role"),
        ("a stranger among others", good.clone(), &["Ada", "Mallory"], "none of this role"),
        ("no online key", RootPlan { online: ["unreachable"; 3], ..good.clone() }, &all, "key"),
    ];
    let before = house.root.clone();
    for (case, plan, signers, expected) in cases {
        let reply = house.update(plan, signers).await;
        house.root = before.clone();
        let why = house.refused(reply).await;
        assert!(why.contains(expected), "{case}: {why}");
        assert_eq!(house.pending().await, Value::Null, "{case}");
    }
    // What is not a root.
    let targets = house.people.targets(2, 30, &[]);
    let targets = house.people.sign(&targets, &all);
    let reply = house.post("/metadata/", &json!({ "metadata": { "root": targets } })).await;
    let why = house.refused(reply).await;
    assert!(why.contains("root"), "{why}");
    let reply = house.post("/metadata/", &json!({ "metadata": {} })).await;
    let why = house.refused(reply).await;
    assert!(why.contains("Unsupported Metadata type"), "{why}");
    assert!(!house.has("2.root.json"));
}

/// Hedy goes, Lise and Maria come, three must sign. The signatures come one by one; an event that was begun gives way to another one.
async fn other_keys_and_a_higher_threshold(house: &mut House<impl Deployment>) {
    let plan = RootPlan { people: vec!["Ada", "Grace", "Lise", "Maria"], threshold: 3, ..house.root.next() };
    let other = RootPlan { days: 100, ..plan.clone() };
    let reply = house.update(other, &["Ada"]).await;
    let result = house.done(reply).await;
    assert_eq!(result["message"], "Metadata Update Processed");
    assert_eq!(result["details"]["role"], "root");
    assert_eq!(result["details"]["update"], "Root v2 is pending signatures");
    let stale = house.pending().await["root"].clone();

    let reply = house.update(plan, &["Ada"]).await;
    house.done(reply).await;
    let pending = house.pending().await;
    assert_ne!(pending["root"]["signed"], stale["signed"], "the later one takes the place of the earlier one");
    assert_eq!(pending["trusted_root"], house.published("1.root.json"));
    // A signature of the stale one does not count any more.
    let late = house.people.signature(&stale, "Grace");
    let reply = house.post("/metadata/sign", &json!({ "role": "root", "signature": late })).await;
    let why = house.refused(reply).await;
    assert!(why.contains("Invalid signature"), "{why}");

    // Two of the old root, then three of the new one.
    let details = house.sign("root", "Maria").await;
    assert_eq!(details["update"], "Root v2 is pending signatures");
    let details = house.sign("root", "Grace").await;
    assert_eq!(details["update"], "Metadata update finished", "{details}");
    assert_eq!(house.pending().await, Value::Null);
    let published = house.published("2.root.json");
    assert_eq!(published["signed"], pending["root"]["signed"]);
    assert_eq!(signers(&published).len(), 3);
}

/// Two must sign again, and another key signs what is online. Fully signed at once, with members that we know nothing of.
async fn a_lower_threshold_and_another_online_key(house: &mut House<impl Deployment>) {
    house.people.online_key("online 2", &house.repository.server.keys());
    // An event of the same version is there when the fully signed one comes, and is cleared by it.
    let stale = RootPlan { days: 77, ..house.root.next() };
    let before = house.root.clone();
    let reply = house.update(stale, &["Ada"]).await;
    house.done(reply).await;
    house.root = before;

    let plan = RootPlan { threshold: 2, online: ["online 2"; 3], ..house.root.next() };
    let mut root = house.people.root(&plan);
    root["signed"]["x-acme-note"] = json!({ "kept": [1, 2, null], "é": "ü" });
    let keys = root["signed"]["keys"].as_object_mut().expect("a root has keys");
    for key in keys.values_mut() {
        key["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
    }
    let root = house.people.sign(&root, &["Ada", "Grace", "Lise"]);
    house.root = plan;
    let reply = house.post("/metadata/", &json!({ "metadata": { "root": root } })).await;
    let result = house.done(reply).await;
    assert_eq!(result["details"]["role"], "root");
    assert_eq!(result["details"].get("update"), None, "{result}");
    assert_eq!(house.published("3.root.json"), root, "a root is passed on as it was signed");
    assert_eq!(house.pending().await, Value::Null, "what was begun before is cleared");

    for role in ["timestamp", "snapshot", "targets"] {
        house.signed_by_alone(role, &["online 2"]).await;
    }
    house.signed_by_alone("bins-0", &["online 2"]).await;
    let targets = house.current("targets");
    let delegations = &targets["signed"]["delegations"];
    assert_eq!(delegations["succinct_roles"]["keyids"], json!([house.people.id("online 2")]));
    assert_eq!(house.delegated_keys(), [house.people.id("online 2")]);
    assert_ne!(house.people.id(ONLINE), house.people.id("online 2"));
}

/// What the Python service can't do at all.
async fn an_online_key_for_each_role(house: &mut House<impl Deployment>) {
    let keys = house.repository.server.keys();
    for name in ["of timestamp", "of snapshot", "of targets"] {
        house.people.online_key(name, &keys);
    }
    let plan = RootPlan { online: ["of timestamp", "of snapshot", "of targets"], ..house.root.next() };
    let reply = house.update(plan, &["Ada", "Maria"]).await;
    house.done(reply).await;
    assert!(house.has("4.root.json"), "what has succeeded is visible");
    house.signed_by_alone("timestamp", &["of timestamp"]).await;
    house.signed_by_alone("snapshot", &["of snapshot"]).await;
    house.signed_by_alone("targets", &["of targets"]).await;
    // Who has no key gets that of timestamp.
    house.signed_by_alone("bins-3", &["of timestamp"]).await;
}
