//! What is signed online is published anew on demand, and settings change; a dry run changes nothing.

use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::house::{House, Shape, artifact, deletion};
use crate::{
    harness::{api::Reply, checker::Checker, deployment::Deployment},
    judges::program::Program,
    peers::people::{Role, RootPlan},
};

/// Roles are published anew, each with those that list it. B11 (status and state of such a task).
pub(crate) async fn roles_are_published_on_demand(server: impl Deployment) {
    let house = House::founded(server, Shape::Bins(Layout::PathHashPrefixes, 2)).await;
    house.add(&[artifact("a")]).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["a".to_owned()]);
    judge.expect(&["a"]);
    let mut checker = Checker::new(&house.repository);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["timestamp"], &["timestamp"]),
        (&["snapshot"], &["snapshot", "timestamp"]),
        (&["targets"], &["targets", "snapshot", "timestamp"]),
        (&["bins"], &["bins-0", "bins-1", "snapshot", "timestamp"]),
        (&[], &["bins-0", "bins-1", "targets", "snapshot", "timestamp"]),
    ];
    for (asked, published) in cases {
        let before: Vec<_> = published.iter().map(|role| version(&house, role)).collect();
        let reply = house.post("/metadata/online", &json!({ "roles": asked })).await;
        assert_eq!(reply.body["message"], "Force online metadata update accepted.");
        let result = house.done(reply).await;
        assert_eq!(result["message"], "Force new online metadata update succeeded");
        let updated: Vec<_> =
            result["details"]["updated_roles"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        for role in asked {
            assert!(updated.contains(role), "{asked:?}: {updated:?}");
        }
        for (role, before) in published.iter().zip(before) {
            assert!(version(&house, role) > before, "{asked:?}: {role} is as it was");
        }
        checker.check();
    }
    let nobody = house.post("/metadata/online", &json!({ "roles": ["nobody"] })).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(nobody.body["detail"]["message"], "Task not accepted.");
    let missing = house.post("/metadata/online", &json!({})).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
}

/// Roles with names are published anew by their names, and expirations change. B32 (what can't be an expiration).
pub(crate) async fn settings_change(server: impl Deployment) {
    let house = House::founded(server, Shape::Roles(vec![Role::online("default", &["*"])])).await;
    let before = version(&house, "default");
    let reply = house.post("/metadata/online", &json!({ "roles": ["default"] })).await;
    house.done(reply).await;
    assert!(version(&house, "default") > before);
    let bins = house.post("/metadata/online", &json!({ "roles": ["bins"] })).await;
    assert_eq!(bins.status, StatusCode::NOT_FOUND);
    assert_eq!(bins.body["detail"]["error"], "Custom target delegation used and bins cannot be bumped");

    let wish = json!({ "settings": { "expiration": { "timestamp": 3, "default": 11, "nobody": 2 } } });
    let reply = house.put("/config/", &wish).await;
    assert_eq!(reply.body["message"], "Settings successfully submitted.");
    let result = house.done(reply).await;
    assert_eq!(result["message"], "Update Settings Succeded");
    assert_eq!(sorted(&result["details"]["updated_roles"]), ["default", "timestamp"]);
    assert_eq!(result["details"]["invalid_roles"], json!(["nobody"]));
    let config = house.get("/config/").await.body["data"].clone();
    assert_eq!((&config["timestamp_expiration"], &config["default_expiration"]), (&json!(3), &json!(11)));
    for days in [0, -1] {
        let reply = house.put("/config/", &json!({ "settings": { "expiration": { "timestamp": days } } })).await;
        if reply.status == StatusCode::ACCEPTED {
            let result = house.done(reply).await;
            assert_eq!(result["details"]["updated_roles"], json!([]), "{days}");
        }
    }
    assert_eq!(house.get("/config/").await.body["data"]["timestamp_expiration"], 3);
    let reply = house.post("/metadata/online", &json!({ "roles": [] })).await;
    house.done(reply).await;
    for (role, days) in [("timestamp", 3), ("default", 11)] {
        let expires: jiff::Timestamp =
            house.current(role)["signed"]["expires"].as_str().expect("it expires").parse().expect("a time");
        let hours = expires.duration_since(jiff::Timestamp::now()).as_hours();
        assert!((days * 24 - 1..=days * 24).contains(&hours), "{role} expires in {hours} hours");
    }
    Checker::new(&house.repository).check();
}

/// A dry run says what would change, and leaves the files, the settings and what waits for signatures as they are.
pub(crate) async fn dry_runs_change_nothing(server: impl Deployment) {
    let mut house = House::on(server);
    house.people.join(&["Kay"]);
    house.people.online_key("online 2", &house.repository.server.keys());
    house.found(&Shape::Roles(vec![Role::online("default", &["*", "*/*"]), Role::online("old", &["old/*"])])).await;
    house.add(&[artifact("a")]).await;
    let before = house.everything().await;

    let plan = RootPlan { threshold: 1, online: ["online 2"; 3], ..house.root.next() };
    let root = house.people.root(&plan);
    let root = house.people.sign(&root, &["Ada", "Grace"]);
    let added = Role::online("new", &["new/*"]).by(&["Kay"], 1);
    let changed = Role { days: 3, ..Role::online("old", &["old/*", "older/*"]) };
    let people = &house.people;
    let runs = [
        ("POST", "/metadata/?dry_run=true", json!({ "metadata": { "root": root } }), "online 2"),
        ("POST", "/delegations/?dry_run=true", json!({ "delegations": people.delegations(&[added]) }), "new"),
        ("PUT", "/delegations/?dry_run=true", json!({ "delegations": people.delegations(&[changed]) }), "old"),
        ("POST", "/delegations/delete?dry_run=true", deletion(&["old"]), "old"),
        ("PUT", "/config/?dry_run=true", json!({ "settings": { "expiration": { "timestamp": 9 } } }), "timestamp"),
    ];
    for (method, path, body, expected) in runs {
        let reply = match method {
            "POST" => house.post(path, &body).await,
            _ => house.put(path, &body).await,
        };
        let told = answer_of(&house, reply).await.to_string();
        assert!(told.contains(expected), "{method} {path}: {told}");
        assert_eq!(house.everything().await, before, "{method} {path}");
    }
    // What is refused is refused in a dry run, too.
    let root = house.people.sign(&root, &[]);
    let mut gap = root.clone();
    gap["signed"]["version"] = json!(7);
    let reply = house.post("/metadata/?dry_run=true", &json!({ "metadata": { "root": gap } })).await;
    let told = match reply.status {
        StatusCode::ACCEPTED => house.ended(&reply.task()).await.to_string(),
        _ => reply.body.to_string(),
    };
    assert!(told.contains("Expected root version 2 instead got version 7"), "{told}");
    assert_eq!(house.everything().await, before);
    Checker::new(&house.repository).check();
}

/// What a dry run tells, at once or by a task.
async fn answer_of(house: &House<impl Deployment>, reply: Reply) -> Value {
    match reply.status {
        StatusCode::OK => reply.body,
        _ => house.done(reply).await,
    }
}

fn version(house: &House<impl Deployment>, role: &str) -> u64 {
    house.current(role)["signed"]["version"].as_u64().expect("it has a version")
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<_> =
        list.as_array().expect("a list").iter().map(|item| item.as_str().expect("text").to_owned()).collect();
    texts.sort();
    texts
}
