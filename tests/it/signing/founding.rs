//! Two of three people sign the first root at different times.

use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::house::{House, Shape, artifact};
use crate::{
    harness::{checker::Checker, deployment::Deployment},
    judges::program::Program,
    peers::people::Role,
};

/// A bootstrap that one person signed waits, is stopped, and is begun again with delegations of another kind; the second signature ends it.
/// B29 (delegations before the bootstrap), B37 (the kind of delegations after a stop), B32 (an expired root).
pub(crate) async fn two_of_three_sign(server: impl Deployment) {
    let mut house = House::on(server);
    nothing_is_there(&house).await;
    what_can_not_be_signed_is_refused(&mut house).await;

    let (first, root) = begin(&mut house, &Shape::Bins(Layout::Succinct, 2)).await;
    let locked = house.get("/bootstrap/").await.body;
    assert_eq!(locked["message"], "System LOCKED for bootstrap.");
    assert_eq!(locked["data"], json!({ "bootstrap": false, "state": "signing", "id": first }));
    let payload = house.payload(&Shape::Bins(Layout::Succinct, 2), &["Ada", "Grace"]);
    let again = house.post("/bootstrap/", &payload).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.body, json!({ "detail": { "error": "System already has a Metadata. State: signing" } }));
    // No trusted root: there is none yet.
    assert_eq!(house.pending().await, json!({ "root": root }));
    wrong_signatures_are_refused(&mut house).await;
    assert_eq!(house.pending().await, json!({ "root": root }));
    assert!(!house.has("1.root.json") && !house.has("timestamp.json"), "nothing is published before the threshold");

    let stop = house.post("/metadata/sign/delete", &json!({ "role": "root" })).await;
    assert_eq!(stop.body["message"], "Metadata sign delete accepted.");
    let stopped = house.done(stop).await;
    assert_eq!(stopped["message"], "Deletion of root metadata successful, signing process stopped");
    assert_eq!(stopped["details"], json!({ "bootstrap": "Bootstrap process has been stopped" }));
    nothing_is_there(&house).await;

    let shape = Shape::Roles(vec![Role::online("default", &["*", "*/*", "*/*/*"])]);
    let (second, root) = begin(&mut house, &shape).await;
    // A signature that was given is no harm when it is given again.
    assert_eq!(house.sign("root", "Ada").await["bootstrap"], "Root v1 is pending signatures");
    assert_eq!(house.sign("root", "Grace").await["bootstrap"], "Bootstrap Finished");
    let finished = house.get("/bootstrap/").await.body;
    assert_eq!(finished["data"], json!({ "bootstrap": true, "state": "finished", "id": second }));
    let none = house.get("/metadata/sign").await;
    assert_eq!(none.body, json!({ "message": "No metadata pending signing available" }));

    house.hand_out_root();
    let published = house.published("1.root.json");
    assert_eq!(published["signed"], root["signed"], "the root is published as it was signed");
    assert_eq!(published["signatures"].as_array().map(Vec::len), Some(2));

    let mut judge = Program::python_tuf();
    judge.watch(&house.repository, &["a/never".to_owned()]);
    let mut checker = Checker::new(&house.repository);
    let added = artifact("some/where.txt");
    assert_eq!(house.add(std::slice::from_ref(&added)).await, json!(["default"]));
    checker.check();
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    for mut client in [judge, Program::tuf_js()] {
        assert_eq!(client.find(&house.repository, &["some/where.txt"])["some/where.txt"], added.info());
    }
}

/// Bootstraps with one signature, and returns the task and the root.
async fn begin(house: &mut House<impl Deployment>, shape: &Shape) -> (String, Value) {
    let payload = house.payload(shape, &["Ada"]);
    let reply = house.post("/bootstrap/", &payload).await;
    let task = reply.task();
    let result = house.done(reply).await;
    assert_eq!(result["message"], "Bootstrap Processed");
    assert_eq!(result["details"]["bootstrap"], "Root v1 is pending signature");
    (task, payload["metadata"]["root"].clone())
}

/// What each endpoint says before there is a repository, and none is about to be.
async fn nothing_is_there(house: &House<impl Deployment>) {
    let free = house.get("/bootstrap/").await.body;
    assert_eq!(free["message"], "System available for bootstrap.");
    assert_eq!(free["data"], json!({ "bootstrap": false }));
    let none = house.get("/metadata/sign").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(none.body["detail"]["message"], "No metadata pending signing available");
    let signature = json!({ "role": "root", "signature": { "keyid": "aa", "sig": "bb" } });
    let unwanted = house.post("/metadata/sign", &signature).await;
    assert_eq!(unwanted.status, StatusCode::NOT_FOUND);
    assert_eq!(unwanted.body["detail"]["message"], "No signing pending.");
    let stop = house.post("/metadata/sign/delete", &json!({ "role": "root" })).await;
    assert_eq!(stop.status, StatusCode::NOT_FOUND);
    assert_eq!(stop.body["detail"]["message"], "No signing process for root.");
    let body = json!({ "delegations": house.people.delegations(&[Role::online("early", &["*"])]) });
    let early = house.post("/delegations/", &body).await;
    assert!(!early.status.is_server_error() && early.status != StatusCode::ACCEPTED, "{}", early.status);
    assert_eq!(early.body["detail"]["message"], "Task not accepted.", "{}", early.body);
}

/// Roots that nobody signed, that another one signed, or whose time is over.
async fn what_can_not_be_signed_is_refused(house: &mut House<impl Deployment>) {
    house.people.join(&["Mallory"]);
    let shape = Shape::Bins(Layout::Succinct, 2);
    let unsigned = house.payload(&shape, &[]);
    let why = refusal(house, &unsigned).await;
    assert!(why.contains("Metadata requires at least one valid signature"), "{why}");
    let mut forged = house.payload(&shape, &["Ada"]);
    let stranger = house.people.signature(&forged["metadata"]["root"], "Mallory");
    forged["metadata"]["root"]["signatures"].as_array_mut().expect("signatures").push(stranger);
    let why = refusal(house, &forged).await;
    assert!(why.contains("Bootstrap has invalid signature(s)"), "{why}");
    let days = std::mem::replace(&mut house.root.days, -1);
    let expired = house.payload(&shape, &["Ada", "Grace"]);
    house.root.days = days;
    let why = refusal(house, &expired).await;
    assert!(why.contains("expired"), "{why}");
    nothing_is_there(house).await;
}

async fn refusal(house: &House<impl Deployment>, payload: &Value) -> String {
    let reply = house.post("/bootstrap/", payload).await;
    house.refused(reply).await
}

/// A key that is not of root, a signature that is broken, one of another version, and a role that does not wait.
async fn wrong_signatures_are_refused(house: &mut House<impl Deployment>) {
    let stranger = house.signature("root", "Mallory").await;
    let mut broken = house.signature("root", "Grace").await;
    let sig = broken["signature"]["sig"].as_str().expect("a signature is text");
    let other = if sig.starts_with('0') { "1" } else { "0" };
    broken["signature"]["sig"] = json!(format!("{other}{}", &sig[1..]));
    let mut other_version = house.pending().await["root"].clone();
    other_version["signed"]["version"] = json!(2);
    let of_other_version = house.people.signature(&other_version, "Grace");
    let of_other_version = json!({ "role": "root", "signature": of_other_version });
    for wrong in [stranger, broken, of_other_version] {
        let reply = house.post("/metadata/sign", &wrong).await;
        assert_eq!(reply.body["message"], "Metadata sign accepted.");
        let why = house.refused(reply).await;
        assert!(why.contains("Signature Failed") && why.contains("Invalid signature"), "{why}");
    }
    let mut nobody = house.signature("root", "Grace").await;
    nobody["role"] = json!("nobody");
    let reply = house.post("/metadata/sign", &nobody).await;
    let why = house.refused(reply).await;
    assert!(why.contains("No signatures pending for nobody"), "{why}");
}
