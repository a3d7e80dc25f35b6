//! Hash bins with an online key that signs nothing else.

use std::fs;

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::house::{House, ONLINE, Shape, artifact, signers};
use crate::{
    harness::{checker::Checker, deployment::Deployment, server::Server},
    judges::{
        program::{Program, Verdict},
        tough::Tough,
    },
    peers::people::RootPlan,
};

/// Root has the key and no role that names it; `targets` delegates the bins to it. It is replaced seamlessly and at once, and goes again. Clients
/// of three kinds take such a root, from the first one and from the newest.
pub(crate) async fn have_an_online_key_of_their_own(layout: Layout) {
    let server = Server::start();
    let keys = server.keys();
    let mut house = House::on(server);
    for name in ["of bins", "of bins 2", "of bins 3"] {
        house.people.key_of_bins(name, &keys);
    }
    house.root = RootPlan { bins: Some("of bins"), ..house.root.clone() };
    house.found(&Shape::Bins(layout, 4)).await;
    let mut checker = Checker::new(&house.repository);
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["0".to_owned(), "1".to_owned()]);
    house.add(&[artifact("0")]).await;
    judge.expect(&["0"]);
    signed_as(&house, "of bins");

    let plan = RootPlan { bins: Some("of bins 2"), ..house.root.next() };
    let dry = json!({ "metadata": { "root": house.people.root(&plan) } });
    let told = house.post("/metadata/?dry_run=true", &dry).await;
    assert_eq!(told.body["data"]["signed_again"], json!(["targets", "snapshot", "timestamp", "bins"]), "{}", told.body);
    let reply = house.update(plan, &["Ada", "Grace"]).await;
    house.done(reply).await;
    signed_as(&house, "of bins 2");
    checker.check();

    let plan = RootPlan { bins: Some("of bins 3"), ..house.root.next() };
    let reply = house.replace_at_once(plan, &["Ada", "Grace"]).await;
    house.done(reply).await;
    signed_as(&house, "of bins 3");
    fs::remove_file(keys.join("of bins 2.pem")).expect("the private half is there");
    house.add(&[artifact("1")]).await;
    checker.check();
    accepted(&house, layout).await;

    let unreachable = house.repository.server.scratch("away");
    house.people.key_of_bins("away", &unreachable);
    let (plan, before) = (RootPlan { bins: Some("away"), ..house.root.next() }, house.root.clone());
    let reply = house.update(plan, &["Ada", "Grace"]).await;
    house.root = before;
    let why = house.refused(reply).await;
    assert!(why.contains("of the bins"), "{why}");

    let plan = RootPlan { bins: None, ..house.root.next() };
    let reply = house.update(plan, &["Ada", "Grace"]).await;
    house.done(reply).await;
    signed_as(&house, ONLINE);
    checker.check();
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    accepted(&house, layout).await;
    house.repository.ceremony.root = house.file("4.root.json");
    match judge.refresh(&house.repository) {
        Verdict::Ok(versions) => assert_eq!(versions["root"], 4),
        verdict => panic!("{verdict:?}"),
    }
}

/// This key signs the bins, and nothing but these.
fn signed_as(house: &House<impl Deployment>, key: &str) {
    for bin in ["bins-0", "bins-1", "bins-2", "bins-3"] {
        assert_eq!(signers(&house.current(bin)), [house.people.id(key)], "{bin}");
    }
    for role in ["targets", "snapshot", "timestamp"] {
        assert_eq!(signers(&house.current(role)), [house.people.id(ONLINE)], "{role}");
    }
    assert_eq!(house.delegated_keys(), [house.people.id(key)]);
}

/// New clients of all kinds find what there is.
async fn accepted(house: &House<impl Deployment>, layout: Layout) {
    let expected = [("0", artifact("0").info()), ("1", artifact("1").info()), ("2", Value::Null)];
    let expected = expected.map(|(path, info)| (path.to_owned(), info));
    for mut client in [Program::python_tuf(), Program::tuf_js()] {
        assert_eq!(client.find(&house.repository, &["0", "1", "2"]), expected.clone().into(), "{}", client.name());
    }
    if layout == Layout::PathHashPrefixes {
        let found = Tough::load(&house.repository).await.find(&["0", "1", "2"]);
        assert_eq!(found, expected.into(), "tough");
    }
}
