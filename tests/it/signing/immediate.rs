//! A compromised online key is dropped at once.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::house::{House, ONLINE, Shape, artifact, signers};
use crate::{
    harness::{checker::Checker, deployment::Deployment, load::Load, say},
    judges::program::{Program, Verdict},
    peers::people::{Role, RootPlan},
};

const STOLEN: &str = "stolen";
const FRESH: &str = "fresh";
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// From the SUCCESS of the task on nothing is published any more that a dropped key has signed or that delegates to one: neither the key
/// that is replaced at once nor the one before it, which still had its grace. Additions go on all the while.
pub(crate) async fn a_stolen_key_is_dropped_at_once(server: impl Deployment) {
    let roles = vec![Role::online("apps", &["apps/*"])];
    let mut house = House::founded(server, Shape::Both(roles, Layout::PathHashPrefixes, 4)).await;
    let mut checker = Checker::new(&house.repository);
    let mut judge = Program::python_tuf();
    let cache = house.repository.server.scratch("trusted before");
    house.add(&[artifact("apps/before")]).await;
    assert_ne!(judge.find_again(&house.repository, &cache, &["apps/before"])["apps/before"], Value::Null);
    let load = Load::start(&house.repository.server.all_apis());

    let keys = house.repository.server.keys();
    house.people.online_key(STOLEN, &keys);
    house.people.online_key(FRESH, &keys);
    let plan = RootPlan { online: [STOLEN; 3], ..house.root.next() };
    let reply = house.update(plan, &["Ada", "Grace"]).await;
    house.done(reply).await;
    let plan = RootPlan { online: [FRESH; 3], ..house.root.next() };
    let reply = house.replace_at_once(plan, &["Ada", "Hedy"]).await;
    house.done(reply).await;
    let dropped = [ONLINE, STOLEN].map(|name| house.people.id(name).to_owned());
    let old: BTreeSet<String> = house.files();
    no_longer_seen(&house, &dropped);
    for name in [ONLINE, STOLEN] {
        fs::remove_file(keys.join(format!("{name}.pem"))).expect("the private half is there");
    }

    house.add(&[artifact("apps/after"), artifact("after")]).await;
    let reply = house.post("/metadata/online", &json!({ "roles": [] })).await;
    house.done(reply).await;
    let end = load.accepted();
    let deadline = Instant::now() + SETTLE_LIMIT;
    while load.open(0, end) > 0 {
        assert!(Instant::now() < deadline, "{}", load.story());
        sleep(POLL_INTERVAL).await;
    }
    let (accepted, refused) = (load.between(0, end), load.refused());
    load.stop();
    let failures: Vec<_> = accepted.iter().filter_map(|task| task.failure()).collect();
    assert!(failures.is_empty() && refused.is_empty(), "{failures:?} {refused:?}");
    no_longer_seen(&house, &dropped);
    let new: Vec<_> = house.files().difference(&old).cloned().collect();
    assert!(new.len() > 7, "all roles were published again: {new:?}");
    for name in &new {
        let signers = signers(&house.published(name));
        assert_eq!(signers, [house.people.id(FRESH)], "{name}");
    }
    checker.check();

    // Who knows the first root, who knows all that was seen before, and who knows nothing but the newest root.
    let expected = artifact("apps/after").info();
    assert_eq!(judge.find_again(&house.repository, &cache, &["apps/after"])["apps/after"], expected);
    let mut other = Program::tuf_js();
    for client in [&mut judge, &mut other] {
        assert_eq!(client.find(&house.repository, &["apps/after"])["apps/after"], expected, "{}", client.name());
    }
    house.repository.ceremony.root = house.file("3.root.json");
    match judge.refresh(&house.repository) {
        Verdict::Ok(versions) => assert_eq!(versions["root"], 3),
        verdict => panic!("{verdict:?}"),
    }
    say(&format!("a key was replaced at once under {end} additions; {} files after it", new.len()));
}

/// Nothing that clients are led to has a signature of these keys or delegates to one.
fn no_longer_seen(house: &House<impl Deployment>, dropped: &[String]) {
    let snapshot = house.current("snapshot");
    let listed = snapshot["signed"]["meta"].as_object().expect("snapshot lists roles").keys();
    let roles = listed.map(|name| name.trim_end_matches(".json").to_owned());
    for role in roles.chain(["snapshot".to_owned(), "timestamp".to_owned()]) {
        let signers = signers(&house.current(&role));
        assert!(signers.iter().all(|id| !dropped.contains(id)), "{role} is signed by {signers:?}");
    }
    assert_eq!(house.delegated_keys(), [house.people.id(FRESH)]);
}
