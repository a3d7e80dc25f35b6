//! A role that a person and the service sign together, and one that another online key signs.

use serde_json::json;

use super::house::{House, Shape, artifact, signers};
use crate::{
    harness::{checker::Checker, deployment::Deployment},
    judges::program::Program,
    peers::people::Role,
};

/// The service signs its part of each draft, the person the rest; both signatures are of the version that is published.
/// B7 (the online signature is made after the version is given out), B2 (expiry of a role with an online key of its own).
pub(crate) async fn a_person_and_the_service_sign(server: impl Deployment) {
    let mut house = House::on(server);
    let keys = house.repository.server.keys();
    house.people.join(&["Kay"]);
    house.people.online_key("robot", &keys);
    let roles = vec![
        Role::online("both", &["both/*"]).by(&["robot", "Kay"], 2),
        Role::online("robots", &["robots/*"]).by(&["robot"], 1),
        Role::online("default", &["*", "*/*"]),
    ];
    house.found(&Shape::Roles(roles)).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["never".to_owned(), "apps/never".to_owned()]);
    let mut checker = Checker::new(&house.repository);

    assert_eq!(house.add(&[artifact("robots/a")]).await, json!(["robots"]));
    house.signed_by_alone("robots", &["robot"]).await;
    judge.expect(&["robots/a"]);
    for round in 1..=3 {
        let path = format!("both/{round}");
        let (task, missing) = house.add_and_wait_for(&[artifact(&path)], "both").await;
        assert_eq!(missing, json!([{ "authority": "targets", "signatures": 1, "of": ["Kay"] }]));
        let drafted = house.pending_role("both", |signed| signed["targets"][&path].is_object()).await;
        assert_eq!(signers(&drafted), [house.people.id("robot")]);
        assert_eq!(house.sign("both", "Kay").await["update"], "Role both signing complete");
        house.api().success(&task).await;
        checker.check();
        judge.expect(&[&path]);
        let mut both = [house.people.id("robot").to_owned(), house.people.id("Kay").to_owned()];
        both.sort();
        assert_eq!(signers(&house.current("both")), both);
        assert_eq!(house.current("both")["signed"], drafted["signed"]);
    }
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
}
