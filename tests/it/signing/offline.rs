//! A role that two of three people sign.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::house::{House, Shape, artifact, signers};
use crate::{
    harness::{api::Api, checker::Checker, deployment::Deployment},
    judges::{program::Program, tough::Tough},
    peers::people::Role,
};

const SIGNERS: [&str; 3] = ["Kay", "Lin", "Mia"];

fn roles() -> Vec<Role> {
    // In this order: for tough `*` takes what has a `/` in it, too.
    vec![Role::online("staging", &["staging/*"]).by(&SIGNERS, 2), Role::online("default", &["*", "apps/*"])]
}

/// What is added waits until two have signed; their signatures may come at the same time, at two APIs. A signature stays while the content does.
/// B2 (expiry from the day of drafting), B7 (snapshot lists what is published alone), B10 (two signatures at once), B13 (the name of the role), B38 (no
/// success before anything is signed; additions don't discard signatures).
pub(crate) async fn two_of_three_sign_a_role(server: impl Deployment) {
    let mut house = House::on(server);
    house.people.join(&SIGNERS);
    house.found(&Shape::Roles(roles())).await;
    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["apps/never".to_owned()]);
    let mut checker = Checker::new(&house.repository);
    checker.check();

    // The role is new: it is to be signed before there is anything in it.
    let empty = house.pending_role("staging", |signed| signed["targets"] == json!({})).await;
    assert_eq!(empty["signed"]["version"], 1);
    assert_eq!(house.listed("staging"), None, "snapshot lists nothing that is not published");
    let pending = house.pending().await;
    let members: Vec<_> = pending.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(members, ["staging", "trusted_targets"]);
    assert_eq!(pending["trusted_targets"], house.current("targets"));

    let (task, missing) = house.add_and_wait_for(&[artifact("staging/a")], "staging").await;
    assert_eq!(missing, json!([{ "authority": "targets", "signatures": 2, "of": in_order_of_ids(&house) }]));
    let document = house.pending_role("staging", |signed| signed["targets"]["staging/a"].is_object()).await;
    assert_eq!(house.sign("staging", "Kay").await["update"], pending_of(&document));
    // Nobody else waits for it.
    house.add(&[artifact("apps/b")]).await;
    judge.expect(&["apps/b"]);
    // The same content once more: the signature stays.
    let (again, missing) = house.add_and_wait_for(&[artifact("staging/a")], "staging").await;
    let once = house.pending().await["staging"].clone();
    assert_eq!(once["signed"], document["signed"]);
    assert_eq!(signers(&once), [house.people.id("Kay")]);
    assert_eq!(missing[0]["signatures"], 1, "{missing}");
    // Other content: another document.
    let (more, _) = house.add_and_wait_for(&[artifact("staging/c")], "staging").await;
    let document = house.pending_role("staging", |signed| signed["targets"]["staging/c"].is_object()).await;
    assert_eq!(signers(&document), [""; 0]);
    assert!(document["signed"]["targets"]["staging/a"].is_object());
    for task in [&task, &again, &more] {
        assert_eq!(house.api().task(task).await["state"], "RUNNING", "nothing is visible yet");
    }
    checker.check();
    assert_eq!(house.listed("staging"), None);

    both_sign_at_once(&mut house, &document).await;
    for task in [&task, &again, &more] {
        let result = house.api().success(task).await;
        assert_eq!(result["details"]["artifact_roles"], json!(["staging"]));
    }
    checker.check();
    judge.expect(&["staging/a", "staging/c"]);
    let version = house.listed("staging").expect("snapshot lists what was signed");
    assert_eq!(
        house.current("staging")["signed"],
        document["signed"],
        "version {version} is published as it was signed"
    );
    let expiring = house.get("/config/").await.body["data"]["expiring"].clone();
    let told = expiring.as_array().and_then(|roles| roles.iter().find(|told| told["role"] == "staging"));
    let told = told.unwrap_or_else(|| panic!("it is not told when staging expires: {expiring}"));
    assert_eq!((&told["version"], &told["signed_by"]), (&json!(version), &json!("people")), "{told}");
    let days = told["seconds_left"].as_i64().expect("a number") / (24 * 60 * 60);
    assert!((6..=7).contains(&days), "{told}");
    let late = json!({ "role": "staging", "signature": house.people.signature(&document, "Mia") });
    let late = house.post("/metadata/sign", &late).await;
    let why = house.refused(late).await;
    assert!(why.contains("No signatures pending for staging"), "{why}");

    // A removal is signed as well.
    judge.forget(&["staging/a"]);
    let removal = house.api().remove(&["staging/a"]).await.expect("the server answers").task();
    let gone = house.pending_role("staging", |signed| signed["targets"].get("staging/a").is_none()).await;
    assert_eq!(gone["signed"]["version"].as_u64(), Some(version + 1), "the next version after what is published");
    house.sign("staging", "Mia").await;
    assert_eq!(house.sign("staging", "Lin").await["update"], "Role staging signing complete");
    house.api().success(&removal).await;
    checker.check();

    it_is_stopped_and_goes_on(&mut house).await;
    checker.check();
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    let paths = ["staging/a", "staging/c", "staging/d", "apps/b"];
    let expected = [
        ("apps/b".to_owned(), artifact("apps/b").info()),
        ("staging/a".to_owned(), Value::Null),
        ("staging/c".to_owned(), artifact("staging/c").info()),
        ("staging/d".to_owned(), artifact("staging/d").info()),
    ];
    for mut client in [judge, Program::tuf_js()] {
        assert_eq!(client.find(&house.repository, &paths), expected.clone().into(), "{}", client.name());
    }
    assert_eq!(Tough::load(&house.repository).await.find(&paths), expected.into(), "tough");
    it_ends_with_its_role(&mut house).await;
    checker.check();
}

/// Keys are listed as the delegation has them.
fn in_order_of_ids(house: &House<impl Deployment>) -> Value {
    let targets = house.current("targets");
    let roles = targets["signed"]["delegations"]["roles"].as_array().expect("roles").clone();
    let staging = roles.into_iter().find(|role| role["name"] == "staging").expect("it is delegated to");
    let name_of = |id: &Value| SIGNERS.into_iter().find(|name| *id == house.people.id(name)).expect("a signer");
    staging["keyids"].as_array().expect("ids").iter().map(name_of).collect()
}

fn pending_of(document: &Value) -> Value {
    json!(format!("staging v{} is pending signatures", document["signed"]["version"]))
}

/// Kay and Lin send their signatures at the same time, at different APIs where there are several.
async fn both_sign_at_once(house: &mut House<impl Deployment>, document: &Value) {
    let apis = house.repository.server.all_apis();
    let kay = house.signature("staging", "Kay").await;
    let lin = house.signature("staging", "Lin").await;
    let send = |api: Api, body: Value| async move {
        let reply = api.post("/metadata/sign", &body).await.expect("the server answers");
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        api.success(&reply.task()).await["details"]["update"].clone()
    };
    let (first, last) = (apis[0].clone(), apis[apis.len() - 1].clone());
    let (one, other) = tokio::join!(send(first, kay), send(last, lin));
    let mut answers = [one, other];
    answers.sort_by_key(|answer| answer.to_string());
    assert_eq!(answers, [json!("Role staging signing complete"), pending_of(document)], "both count");
    let mut expected = [house.people.id("Kay").to_owned(), house.people.id("Lin").to_owned()];
    expected.sort();
    assert_eq!(signers(&house.current("staging")), expected);
}

/// What waits for a role that is deleted, and has no place elsewhere, waits no more.
async fn it_ends_with_its_role(house: &mut House<impl Deployment>) {
    let (task, _) = house.add_and_wait_for(&[artifact("staging/never")], "staging").await;
    house.undelegate(&["staging"]).await;
    let told = house.ended(&task).await;
    assert_eq!(told["state"], "ERRORED", "{told}");
    let why = told["result"]["error"].as_str().expect("a reason");
    assert!(
        why.starts_with("staging was deleted by the task ") && why.ends_with("lists what was asked of it"),
        "{why}"
    );
}

/// What people give up takes nothing from what was asked for.
async fn it_is_stopped_and_goes_on(house: &mut House<impl Deployment>) {
    let (task, _) = house.add_and_wait_for(&[artifact("staging/d")], "staging").await;
    house.pending_role("staging", |signed| signed["targets"]["staging/d"].is_object()).await;
    let stop = house.post("/metadata/sign/delete", &json!({ "role": "staging" })).await;
    let stopped = house.done(stop).await;
    assert_eq!(stopped["message"], "Deletion of staging metadata successful, signing process stopped");
    let none = house.post("/metadata/sign/delete", &json!({ "role": "nobody" })).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(none.body["detail"]["error"], "The nobody role is not in a signing process.");
    // What was asked for waits still, and is drafted anew, without signatures.
    let drafted = house.pending_role("staging", |signed| signed["targets"]["staging/d"].is_object()).await;
    assert_eq!(signers(&drafted), [""; 0]);
    house.sign("staging", "Kay").await;
    assert_eq!(house.sign("staging", "Mia").await["update"], "Role staging signing complete");
    house.api().success(&task).await;
}
