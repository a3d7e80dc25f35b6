//! Roles with names in front of hash bins, and paths with directories.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::house::{House, Shape, artifact};
use crate::{
    harness::{checker::Checker, deployment::Deployment},
    judges::{program::Program, tough::Tough},
    peers::people::Role,
};

fn roles() -> Vec<Role> {
    vec![
        Role::online("linux", &["linux/*", "linux/*/*"]),
        Role::online("stable", &["*/stable/*"]).passing_on(),
        Role::online("docs", &["docs/*.md", "docs/v?/*"]).passing_on(),
    ]
}

/// Paths, and the roles that a client asks first for them.
const PLACES: [(&str, &str); 8] = [
    ("linux/kernel", "linux"),
    ("linux/stable/kernel", "linux"),
    ("mac/stable/kernel", "stable"),
    ("docs/readme.md", "docs"),
    ("docs/v1/guide", "docs"),
    ("docs/v10/guide", "bins"),
    ("linux/a/b/c", "bins"),
    ("other", "bins"),
];

/// All clients find each artifact in the role that they ask first, before and after the delegations change.
pub(crate) async fn clients_ask_roles_before_bins(server: impl Deployment) {
    let house = House::founded(server, Shape::Both(roles(), Layout::PathHashPrefixes, 4)).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["linux/never".to_owned(), "docs/never.md".to_owned(), "never".to_owned()]);
    let mut checker = Checker::new(&house.repository);
    let names = house.delegated_names();
    assert_eq!(names, ["linux", "stable", "docs", "bins-0", "bins-1", "bins-2", "bins-3"]);

    for (path, expected) in PLACES {
        let roles = house.add(&[artifact(path)]).await;
        let role = roles[0].as_str().expect("a role");
        assert!(role == expected || (expected == "bins" && role.starts_with("bins-")), "{path} is in {roles}");
        judge.expect(&[path]);
    }
    checker.check();
    let mut clients = [Program::python_tuf(), Program::tuf_js()];
    all_find(&house, &mut clients).await;

    // A role that comes later is asked before the bins, too; artifacts move to it, and back when it ends.
    house.delegate(&[Role::online("deep", &["*/*/*/*", "docs/v??/*"])]).await;
    assert_eq!(house.delegated_names()[..4], ["linux", "stable", "docs", "deep"]);
    let deep: Vec<_> =
        house.current("deep")["signed"]["targets"].as_object().expect("targets").keys().cloned().collect();
    assert_eq!(deep, ["docs/v10/guide", "linux/a/b/c"]);
    checker.check();
    all_find(&house, &mut clients).await;
    // The first one lets go of its artifacts.
    house.undelegate(&["linux"]).await;
    assert!(house.current("stable")["signed"]["targets"]["linux/stable/kernel"].is_object());
    house.undelegate(&["deep"]).await;
    checker.check();
    all_find(&house, &mut clients).await;

    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
    assert_eq!(checker.artifacts().len(), PLACES.len(), "each artifact is in one role");
}

async fn all_find(house: &House<impl Deployment>, clients: &mut [Program]) {
    let absent = ["linux/never", "docs/never.md", "never/stable/x"];
    let paths: Vec<_> = PLACES.iter().map(|(path, _)| *path).chain(absent).collect();
    let found = PLACES.iter().map(|(path, _)| ((*path).to_owned(), artifact(path).info()));
    let mut expected: BTreeMap<_, _> =
        found.chain(absent.iter().map(|path| ((*path).to_owned(), Value::Null))).collect();
    for client in clients {
        assert_eq!(client.find(&house.repository, &paths), expected, "{}", client.name());
    }
    // For tough `*` takes what has a `/` in it, too.
    let paths: Vec<_> = paths.into_iter().filter(|path| *path != "linux/a/b/c").collect();
    expected.remove("linux/a/b/c");
    assert_eq!(Tough::load(&house.repository).await.find(&paths), expected, "tough");
}

/// TUF has no room for other roles beside succinct ones (TAP 15): it is said so, at the bootstrap and later.
pub(crate) async fn succinct_bins_stand_alone(server: impl Deployment) {
    let mut house = House::on(server);
    let both = house.payload(&Shape::Both(roles(), Layout::Succinct, 4), &["Ada", "Grace"]);
    let reply = house.post("/bootstrap/", &both).await;
    assert!(reply.status == StatusCode::UNPROCESSABLE_ENTITY, "{} {}", reply.status, reply.body);
    let text = reply.body.to_string();
    assert!(text.contains("bins") && text.contains("delegations"), "{text}");

    house.found(&Shape::Bins(Layout::Succinct, 4)).await;
    let reply = house.post("/delegations/", &json!({ "delegations": house.people.delegations(&roles()) })).await;
    let why = house.refused(reply).await;
    assert!(why.contains("Delegations already using hash-bins, cannot add custom roles"), "{why}");
    house.add(&[artifact("still/works")]).await;
}
