//! The owner of a role uploads whole metadata of it.

use serde_json::{Value, json};

use super::house::{House, Shape, artifact};
use crate::{
    harness::{checker::Checker, deployment::Deployment},
    judges::program::Program,
    peers::people::Role,
};

/// It is published as it came if it is signed by enough keys, the next version, not expired and within the role's paths, and refused with the
/// reason otherwise.
pub(crate) async fn an_owner_publishes_metadata(server: impl Deployment) {
    let mut house = House::on(server);
    house.people.join(&["Kay", "Lin", "Mallory"]);
    let roles = vec![Role::online("vendor", &["vendor/*"]).by(&["Kay", "Lin"], 2), Role::online("default", &["*"])];
    house.found(&Shape::Roles(roles)).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["never".to_owned()]);
    let mut checker = Checker::new(&house.repository);

    let both: &[&str] = &["Kay", "Lin"];
    // The first version was given out for a draft that waits for signatures; an upload takes its place.
    house.pending_role("vendor", |signed| signed["version"] == 1).await;
    let mut first = house.people.targets(2, 30, &[("vendor/a", "the content of vendor/a")]);
    first["signed"]["x-acme-note"] = json!({ "é": [null, 1] });
    first["signed"]["targets"]["vendor/a"]["custom"] = json!({ "b": 1, "a": "x" });
    let first = publish(&mut house, first, both).await;
    assert_eq!(house.published("2.vendor.json"), first);
    checker.check();
    judge.expect(&["vendor/a"]);
    let second = house.people.targets(3, 30, &[("vendor/a", "other"), ("vendor/b", "b")]);
    let second = publish(&mut house, second, both).await;
    assert_eq!(house.current("vendor"), second);
    checker.check();
    judge.expect(&["vendor/b"]);

    let files: &[(&str, &str)] = &[("vendor/a", "bad")];
    let (stranger, one, nobody): (&[_], &[_], &[&str]) = (&["Kay", "Mallory"], &["Kay"], &[]);
    let cases = [
        ("a stranger", 4, 30, files, stranger),
        ("one of two", 4, 30, files, one),
        ("nobody", 4, 30, files, nobody),
        ("a rollback", 2, 30, files, both),
        ("the same version", 3, 30, files, both),
        ("no time left", 4, -1, files, both),
    ];
    for (case, version, days, files, signers) in cases {
        let document = house.people.targets(version, days, files);
        is_refused(&mut house, case, document, signers, "vendor").await;
    }
    let outside = house.people.targets(4, 30, &[("vendor/a", "a"), ("elsewhere", "e")]);
    let why = is_refused(&mut house, "a path of others", outside, both, "vendor").await;
    assert!(why.contains("elsewhere"), "{why}");
    let root = house.people.root(&house.root.next());
    is_refused(&mut house, "a root", root, both, "vendor").await;
    for role in ["default", "nobody", "targets", "bins-0"] {
        let document = house.people.targets(4, 30, &[]);
        is_refused(&mut house, role, document, both, role).await;
    }
    assert_eq!(house.current("vendor"), second);

    // What people add in the usual way comes on top of it.
    let (task, _) = house.add_and_wait_for(&[artifact("vendor/c")], "vendor").await;
    let drafted = house.pending_role("vendor", |signed| signed["targets"]["vendor/c"].is_object()).await;
    assert_eq!(drafted["signed"]["version"], 4);
    assert_eq!(drafted["signed"]["targets"]["vendor/b"], second["signed"]["targets"]["vendor/b"]);
    house.sign("vendor", "Kay").await;
    house.sign("vendor", "Lin").await;
    house.api().success(&task).await;
    checker.check();
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
}

async fn publish(house: &mut House<impl Deployment>, document: Value, signers: &[&str]) -> Value {
    let document = house.people.sign(&document, signers);
    let reply = house.put("/delegations/vendor/metadata", &document).await;
    house.done(reply).await;
    document
}

async fn is_refused(
    house: &mut House<impl Deployment>,
    case: &str,
    document: Value,
    signers: &[&str],
    role: &str,
) -> String {
    let document = house.people.sign(&document, signers);
    let reply = house.put(&format!("/delegations/{role}/metadata"), &document).await;
    let why = house.refused(reply).await;
    assert!(!why.contains("\"error\":\"\""), "{case}: {why}");
    why
}
