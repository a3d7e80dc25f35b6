//! Delegations come, change hands and go, while clients look at what they list.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::house::{House, Shape, artifact, deletion};
use crate::{
    harness::{checker::Checker, deployment::Deployment},
    judges::program::Program,
    peers::people::Role,
};

fn default() -> Role {
    Role::online("default", &["*", "*/*", "*/*/*"])
}

fn staging() -> Role {
    Role { days: 30, ..Role::online("staging", &["staging/*"]).by(&["Ada", "Grace"], 2) }
}

fn libs() -> Role {
    Role::online("libs", &["libs/*"])
}

fn rest() -> Role {
    Role::online("rest", &["*/*"])
}

/// New roles, other keys, online to offline and back, the end of a role; a name is used once. What a client could find it always finds.
/// B2, B4, B16, B19, B20, B21, B22.
pub(crate) async fn life_of_delegations(server: impl Deployment) {
    let mut house = House::on(server);
    house.people.join(&["Kay", "Lin"]);
    house.found(&Shape::Roles(vec![default(), staging()])).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["never".to_owned(), "a/b/never".to_owned()]);
    let mut checker = Checker::new(&house.repository);

    // As in the recording: `default` is asked first, and takes all.
    house.pending_role("staging", |signed| signed["version"] == 1).await;
    let all = ["a", "apps/x", "staging/s", "libs/l"];
    assert_eq!(house.add(&all.map(artifact)).await, json!(["default"]));
    judge.expect(&all);
    checker.check();

    new_roles_and_where_artifacts_go(&mut house).await;
    checker.check();
    online_to_offline_and_back(&mut house, &mut judge).await;
    checker.check();
    other_keys_and_failures(&mut house).await;
    checker.check();
    the_end_of_a_role(&mut house).await;
    checker.check();

    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
    let paths = ["a", "apps/x", "staging/s", "libs/l", "libs/m", "tools/t"];
    let expected: std::collections::BTreeMap<_, _> = paths.map(|path| (path.to_owned(), artifact(path).info())).into();
    for mut client in [judge, Program::tuf_js()] {
        assert_eq!(client.find(&house.repository, &paths), expected, "{}", client.name());
    }
}

/// Two roles behind `default`; when `default` takes less, the artifacts go to who is asked next.
async fn new_roles_and_where_artifacts_go(house: &mut House<impl Deployment>) {
    house.delegate(&[libs(), rest()]).await;
    let now = Timestamp::now();
    for name in ["libs", "rest"] {
        let expires = house.current(name)["signed"]["expires"].as_str().expect("it expires").parse::<Timestamp>();
        let expires = expires.expect("a time");
        assert!(expires > now + SignedDuration::from_hours(6 * 24), "{name} expires at {expires}");
        assert_eq!(house.current(name)["signed"]["targets"], json!({}), "{name}: `default` is asked first");
    }
    assert_eq!(house.delegated_names(), ["default", "staging", "libs", "rest"]);

    house.redelegate(&[Role { paths: vec!["*", "apps/*", "staging/*", "*/*/*"], ..default() }]).await;
    assert_eq!(house.delegated_names(), ["default", "staging", "libs", "rest"]);
    assert_eq!(listed_by(house, "libs"), ["libs/l"]);
    assert_eq!(listed_by(house, "default"), ["a", "apps/x", "staging/s"]);
    // What is added again goes where it is now (B22).
    assert_eq!(house.add(&[artifact("libs/l")]).await, json!(["libs"]));
    assert_eq!(house.add(&[artifact("tools/t")]).await, json!(["rest"]));
}

async fn online_to_offline_and_back(house: &mut House<impl Deployment>, judge: &mut Program) {
    house.redelegate(&[libs().by(&["Kay", "Lin"], 2)]).await;
    house.pending_role("libs", |signed| signed["targets"]["libs/l"].is_object()).await;
    let targets = house.current("targets");
    assert!(!targets.to_string().contains(house.people.id("Kay")), "the new keys count when they have signed");
    house.sign("libs", "Lin").await;
    assert_eq!(house.sign("libs", "Kay").await["update"], "Role libs signing complete");
    let mut both = vec!["Kay", "Lin"];
    both.sort_by_key(|name| house.people.id(name).to_owned());
    house.signed_by_alone("libs", &both).await;
    assert_eq!(listed_by(house, "libs"), ["libs/l"]);
    let (task, _) = house.add_and_wait_for(&[artifact("libs/m")], "libs").await;
    house.pending_role("libs", |signed| signed["targets"]["libs/m"].is_object()).await;
    house.sign("libs", "Kay").await;
    house.sign("libs", "Lin").await;
    house.api().success(&task).await;
    judge.expect(&["libs/m", "tools/t"]);

    house.redelegate(&[libs()]).await;
    assert_eq!(listed_by(house, "libs"), ["libs/l", "libs/m"]);
    house.signed_by_alone("libs", &[super::house::ONLINE]).await;
    house.nothing_pending("libs").await;
    let keys = house.delegated_keys();
    for gone in ["Kay", "Lin"] {
        assert!(!keys.contains(&house.people.id(gone).to_owned()), "nobody names the key of {gone} any more");
    }
}

/// Keys change at once where they are online. What can't be done is told of each role, and leaves nothing behind.
async fn other_keys_and_failures(house: &mut House<impl Deployment>) {
    let keys = house.repository.server.keys();
    for robot in ["robot", "other robot"] {
        house.people.online_key(robot, &keys);
        house.redelegate(&[rest().by(&[robot], 1)]).await;
        house.signed_by_alone("rest", &[robot]).await;
        assert_eq!(listed_by(house, "rest"), ["tools/t"]);
    }
    assert!(!house.delegated_keys().contains(&house.people.id("robot").to_owned()));

    let before = house.current("targets")["signed"]["delegations"].clone();
    let unknown = Role::online("nobody", &["nobody/*"]);
    let failed = failed_roles(house, "PUT", json!({ "delegations": house.people.delegations(&[unknown]) })).await;
    assert_eq!(failed.len(), 1, "other roles are no failures: {failed:?}");
    assert_eq!(failed[0]["role"], "nobody");
    let reason = failed[0]["reason"].to_string();
    assert!(reason.contains("doesn't exist") && !reason.contains("0x"), "{reason}");
    let keyless = Role { threshold: 2, ..Role::online("keyless", &["keyless/*"]) };
    let failed = failed_roles(house, "POST", json!({ "delegations": house.people.delegations(&[keyless]) })).await;
    assert_eq!(failed, [json!({ "role": "keyless", "reason": "If no keys assigned threshold must be 1" })]);
    let failed = failed_roles(house, "DELETE", deletion(&["nobody"])).await;
    assert_eq!(failed, [json!({ "role": "nobody", "reason": "Role 'nobody' does not exists" })]);
    assert_eq!(house.current("targets")["signed"]["delegations"], before);

    // One of two is good: it is there as a whole, the other one not at all.
    let pair = [Role::online("good", &["good/*/*"]), libs()];
    let reply = house.post("/delegations/", &json!({ "delegations": house.people.delegations(&pair) })).await;
    let details = house.done(reply).await["details"].clone();
    assert_eq!(details["delegated_roles"], json!(["good"]));
    assert_eq!(details["failed_roles"][0]["role"], "libs");
    assert_eq!(house.delegated_names(), ["default", "staging", "libs", "rest", "good"]);
}

/// A role that ends gives its artifacts to who is asked next. Snapshot lists it for ever, and nobody gets its name.
async fn the_end_of_a_role(house: &mut House<impl Deployment>) {
    let version = house.listed("libs").expect("snapshot lists it");
    let snapshot = house.current("snapshot");
    let file = format!("{}.snapshot.json", snapshot["signed"]["version"]);
    let bytes = fs::read(house.file(&file)).expect("it is there");
    house.undelegate(&["libs"]).await;
    assert_eq!(house.delegated_names(), ["default", "staging", "rest", "good"]);
    assert_eq!(listed_by(house, "rest"), ["libs/l", "libs/m", "tools/t"]);
    assert!(house.listed("libs") >= Some(version), "snapshot lists it still (TUF §5.5.5)");
    assert_eq!(fs::read(house.file(&file)).expect("it is there"), bytes, "no version is written twice");
    assert_eq!(house.add(&[artifact("libs/l")]).await, json!(["rest"]));

    let again = json!({ "delegations": house.people.delegations(&[libs()]) });
    let failed = failed_roles(house, "POST", again).await;
    assert_eq!(failed[0]["role"], "libs");
    assert!(failed[0]["reason"].to_string().contains("role already exists or name used in the past"), "{failed:?}");
    let other_case = Role { name: "LIBS", ..libs() };
    let reply = house.post("/delegations/", &json!({ "delegations": house.people.delegations(&[other_case]) })).await;
    is_not_done(house, reply, "LIBS").await;
    house.undelegate(&["good"]).await;
    assert!(house.listed("good").is_some());
}

/// A role that was delegated to before anybody signed it comes to be asked for an artifact that clients see, because the role before it takes less or ends:
/// that has to wait until it is signed, so that no client meets it without valid metadata.
pub(crate) async fn a_role_that_waits_is_not_met(server: impl Deployment) {
    let mut house = House::founded(server, Shape::Roles(vec![default(), staging(), rest()])).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["never".to_owned()]);
    let mut checker = Checker::new(&house.repository);
    house.add(&["a", "staging/s"].map(artifact)).await;
    judge.expect(&["a", "staging/s"]);
    house.pending_role("staging", |signed| signed["version"] == 1).await;

    let narrow = Role { paths: vec!["*"], ..default() };
    let body = json!({ "delegations": house.people.delegations(std::slice::from_ref(&narrow)) });
    for (method, body) in [("PUT", body), ("DELETE", deletion(&["default"]))] {
        let failed = failed_roles(&house, method, body).await;
        assert_eq!(failed[0]["role"], "default");
        let reason = failed[0]["reason"].to_string();
        assert!(reason.contains("staging") && reason.contains("sign it first"), "{reason}");
    }
    checker.check();
    house.sign("staging", "Ada").await;
    house.sign("staging", "Grace").await;
    // Now it is known to clients. What moves there is found again as soon as it is signed.
    judge.forget(&["staging/s"]);
    house.redelegate(&[narrow]).await;
    house.pending_role("staging", |signed| signed["targets"]["staging/s"].is_object()).await;
    house.sign("staging", "Ada").await;
    house.sign("staging", "Grace").await;
    checker.check();
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert_eq!(judge.find(&house.repository, &["staging/s"])["staging/s"], artifact("staging/s").info());
}

/// Names and shapes that are refused. B14 (names), B28 (no internal errors).
pub(crate) async fn bad_delegations_are_refused(server: impl Deployment) {
    let mut house = House::on(server);
    house.people.join(&["Kay"]);
    house.found(&Shape::Roles(vec![default()])).await;
    for name in ["a/b", "", "..", "root", "Targets", "SNAPSHOT", "timestamp", "default", "Default", "a b", "ü"] {
        let role = Role { name, ..Role::online("", &["x/*"]) };
        let reply = house.post("/delegations/", &json!({ "delegations": house.people.delegations(&[role]) })).await;
        is_not_done(&house, reply, name).await;
    }
    let twice = [Role::online("twin", &["x/*"]), Role::online("TWIN", &["y/*"])];
    let reply = house.post("/delegations/", &json!({ "delegations": house.people.delegations(&twice) })).await;
    if reply.status == StatusCode::ACCEPTED {
        let details = house.done(reply).await["details"].clone();
        assert_eq!(details["failed_roles"].as_array().map(Vec::len), Some(1), "{details}");
    } else {
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.body);
    }
    // A digit in front is no reason: the file has its version all the same.
    house.delegate(&[Role::online("2fa", &["2fa/*"])]).await;
    assert!(house.has("1.2fa.json") && !house.has("2fa.json"));

    let good = house.people.role(&Role::online("shape", &["x/*"]));
    let without = |member: &str| {
        let mut role = good.clone();
        role.as_object_mut().expect("an object").remove(member);
        role
    };
    let with = |member: &str, value: Value| {
        let mut role = good.clone();
        role[member] = value;
        role
    };
    let mut prefixes = without("paths");
    prefixes["path_hash_prefixes"] = json!(["00"]);
    let roles = [
        without("paths"),
        without("name"),
        without("keyids"),
        prefixes,
        with("paths", json!([])),
        with("paths", json!([""])),
        with("threshold", json!(0)),
        with("threshold", json!("many")),
        with("keyids", json!(["aa"])),
        with("x-rstuf-expire-policy", json!(0)),
        json!("text"),
        json!(null),
    ];
    for role in roles {
        let reply = house.post("/delegations/", &json!({ "delegations": { "keys": {}, "roles": [role] } })).await;
        is_not_done(&house, reply, &role.to_string()).await;
    }
    for body in [json!({}), json!({ "delegations": {} }), json!({ "delegations": { "keys": {}, "roles": 1 } })] {
        let reply = house.post("/delegations/", &body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", reply.body);
    }
    let mut checker = Checker::new(&house.repository);
    checker.check();
    house.add(&[artifact("still/works")]).await;
    checker.check();
}

/// Asserts that a request for one role was refused, or that its task says why it was not done.
async fn is_not_done(house: &House<impl Deployment>, reply: crate::harness::api::Reply, what: &str) {
    if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
        return;
    }
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{what}: {}", reply.body);
    let task = house.ended(&reply.task()).await;
    let details = &task["result"]["details"];
    let failed = details["failed_roles"].as_array().is_some_and(|failed| failed.len() == 1);
    let refused = task["state"] == "ERRORED";
    assert!(refused || (failed && details["delegated_roles"].get(0).is_none()), "{what}: {task}");
}

/// What a task says of roles that it could do nothing for, when there are no others.
async fn failed_roles(house: &House<impl Deployment>, method: &str, body: Value) -> Vec<Value> {
    let reply = match method {
        "POST" => house.post("/delegations/", &body).await,
        "PUT" => house.put("/delegations/", &body).await,
        _ => house.post("/delegations/delete", &body).await,
    };
    let result = house.done(reply).await;
    assert_eq!(result["message"], "Metadata Delegation Processed");
    let details = &result["details"];
    assert!(details["delegated_roles"].get(0).is_none(), "{details}");
    details["failed_roles"].as_array().expect("a list").clone()
}

fn listed_by(house: &House<impl Deployment>, role: &str) -> Vec<String> {
    let metadata = house.current(role);
    metadata["signed"]["targets"].as_object().expect("it lists targets").keys().cloned().collect()
}
