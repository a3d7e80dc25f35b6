//! The application against real parts, asked as clients ask it: gates in the words of the contract, jobs as they are on the wire, and
//! documents that keep every byte.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{
    body::to_bytes,
    dev::Service,
    http::Method,
    test::{TestRequest, init_service},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Limits, app};
use crate::{
    clock::Clock,
    queue::{
        Broker, Verdict,
        celery::{Sender, recorded},
        local::{Capacity, LocalBroker},
    },
    store::{
        results::{DEFAULT_EXPIRY, sqlite::SqliteResults},
        settings::{BOOTSTRAP, Settings, sqlite::SqliteSettings},
        shared::SharedDatabase,
    },
    task::Job,
};

/// An API with a queue that nobody works on.
struct Site {
    api: Api,
    broker: LocalBroker,
    settings: Arc<SqliteSettings>,
    _home: tempfile::TempDir,
}

impl Site {
    async fn new(fields: &[(&str, Value)]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::fixed(Timestamp::from_second(1_000).expect("a time"));
        let shared = SharedDatabase::open(home.path().join("shared.db")).expect("a database");
        let queue = home.path().join("queue.db");
        let broker = LocalBroker::open(queue, clock.clone(), Capacity::default()).await.expect("a queue");
        let settings = Arc::new(SqliteSettings::new(&shared));
        let results = Arc::new(SqliteResults::new(&shared, clock.clone(), DEFAULT_EXPIRY));
        let api = Api::new(Arc::new(broker.clone()), settings.clone(), results, clock, Limits::default());
        let site = Self { api, broker, settings, _home: home };
        site.set(fields).await;
        site
    }

    async fn set(&self, fields: &[(&str, Value)]) {
        let fields: BTreeMap<_, _> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.settings.put(fields).await.expect("put");
    }

    async fn text(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, String) {
        let service = init_service(app(self.api.clone(), None)).await;
        let request = TestRequest::default().method(method).uri(path);
        let request = if let Some(body) = body { request.set_json(body) } else { request };
        let response = service.call(request.to_request()).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body()).await.map_err(|_| ()).expect("a body");
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.text(method, path, Some(body)).await;
        (status, serde_json::from_str(&text).expect("json"))
    }

    /// The jobs that were accepted since the last look.
    async fn accepted(&self) -> Vec<Job> {
        if self.broker.depth().await.expect("a depth") == 0 {
            return Vec::new();
        }
        let deliveries = self.broker.receive(100).await.expect("deliveries");
        let jobs = deliveries.iter().map(|delivery| delivery.job.clone().expect("a job")).collect();
        let verdicts = deliveries.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
        self.broker.settle(verdicts).await.expect("settled");
        jobs
    }
}

fn finished() -> (&'static str, Value) {
    (BOOTSTRAP, json!("a"))
}

fn document(type_: &str, version: u32) -> Value {
    json!({"signatures": [{"keyid": "k", "sig": "00", "x": null}], "signed": {"x-a-z": {"x-rstuf-online-key-uri": "fn:k"},
        "_type": type_, "version": version, "spec_version": "1.0.31", "expires": "2027-01-01T00:00:00Z", "targets": {}}})
}

#[actix_web::test]
async fn jobs_are_on_the_wire_as_the_python_api_sends_them() {
    let site = Site::new(&[finished(), ("ROOT_SIGNING", document("root", 1))]).await;
    for name in [
        "update_settings",
        "metadata_update",
        "delegation_add",
        "delegation_update",
        "delegation_delete",
        "sign_metadata",
        "delete_sign_metadata",
    ] {
        let recorded = &recorded::messages()[name];
        let request = &recorded["request"];
        let method = request["method"].as_str().expect("a method").parse().expect("a method");
        let (status, answer) = site.ask(method, request["path"].as_str().expect("a path"), &request["body"]).await;
        assert_eq!(status, recorded["response"]["status"], "{name}");
        assert_eq!(answer["message"], recorded["response"]["body"]["message"], "{name}");
        let job = site.accepted().await.remove(0);
        let id = serde_json::from_value(answer["data"]["task_id"].clone()).expect("an id");
        let message = Sender::default().message(&id, &job, Timestamp::UNIX_EPOCH).expect("a message");
        let body: Value = serde_json::from_str(&message.body).expect("json");
        assert_eq!(body, recorded["broker_message"]["body_decoded"], "{name}");
    }
}

/// What people ask for, with what is refused without a repository: B29 too, which was told in an answer of 200.
#[actix_web::test]
async fn without_a_repository_everything_is_refused_in_the_words_of_the_contract() {
    let site = Site::new(&[]).await;
    let role = json!({"name": "r", "terminating": true, "keyids": [], "threshold": 1, "paths": ["*"]});
    let add = json!({"delegations": {"keys": {}, "roles": [role]}});
    let end = json!({"delegations": {"roles": [{"name": "r"}]}});
    let not_accepted = ("Task not accepted.", "Requires bootstrap finished. State: None");
    let cases = [
        (Method::POST, "/api/v1/metadata", json!({"metadata": {}}), not_accepted),
        (Method::POST, "/api/v1/metadata?dry_run=true", json!({"metadata": {}}), not_accepted),
        (Method::POST, "/api/v1/metadata/online", json!({"roles": []}), not_accepted),
        (Method::POST, "/api/v1/delegations", add.clone(), not_accepted),
        (Method::PUT, "/api/v1/delegations", add, not_accepted),
        (Method::POST, "/api/v1/delegations/delete", end, not_accepted),
        (Method::PUT, "/api/v1/delegations/r/metadata", document("targets", 1), not_accepted),
        (
            Method::POST,
            "/api/v1/metadata/sign",
            json!({"role": "root", "signature": {"keyid": "ab", "sig": "cd"}}),
            ("No signing pending.", "Requires bootstrap in signing state. State: None"),
        ),
        (
            Method::POST,
            "/api/v1/metadata/sign/delete",
            json!({"role": "foo"}),
            ("No signing process for foo.", "The foo role is not in a signing process."),
        ),
    ];
    for (method, path, body, (message, error)) in cases {
        let expected = json!({"detail": {"message": message, "error": error}});
        assert_eq!(site.ask(method.clone(), path, &body).await, (404, expected), "{method} {path}");
        let (status, _) = site.ask(method.clone(), path, &json!([])).await;
        assert_eq!(status, 422, "{method} {path}: faults come first");
    }
    let (status, answer) = site.text(Method::GET, "/api/v1/metadata/sign/", None).await;
    let expected = json!({"detail": {"message": "No metadata pending signing available",
        "error": "Requires bootstrap started. State: None"}});
    assert_eq!((status, answer), (404, expected.to_string()));
    assert!(site.accepted().await.is_empty());
}

#[actix_web::test]
async fn a_first_root_is_signed_before_there_is_a_repository() {
    let site = Site::new(&[(BOOTSTRAP, json!("signing-a")), ("ROOT_SIGNING", document("root", 1))]).await;
    let (status, text) = site.text(Method::GET, "/api/v1/metadata/sign", None).await;
    let data =
        json!({"data": {"metadata": {"root": document("root", 1)}}, "message": "Metadata role(s) pending signing"});
    assert_eq!((status, text), (200, data.to_string()));
    let signature = json!({"role": "root", "signature": {"keyid": "ab", "sig": "cd"}});
    assert_eq!(site.ask(Method::POST, "/api/v1/metadata/sign/", &signature).await.0, 202);
    assert_eq!(site.ask(Method::POST, "/api/v1/metadata/sign/delete/", &json!({"role": "root"})).await.0, 202);
    assert_eq!(site.accepted().await.len(), 2);
}

#[actix_web::test]
async fn b13_all_that_waits_is_listed_byte_for_byte() {
    let site = Site::new(&[
        finished(),
        ("SIGNING_EVENTS", json!(["root", "Dev_Team"])),
        ("ROOT_SIGNING", document("root", 2)),
        ("DEV_TEAM_SIGNING", document("targets", 3)),
        ("SIGNING-TEAM_EXPIRATION", json!(7)),
        ("TRUSTED_ROOT", document("root", 1)),
        ("TRUSTED_TARGETS", document("targets", 9)),
    ])
    .await;
    let expected = json!({"data": {"metadata": {"root": document("root", 2), "Dev_Team": document("targets", 3),
        "trusted_root": document("root", 1), "trusted_targets": document("targets", 9)}},
        "message": "Metadata role(s) pending signing"});
    assert_eq!(site.text(Method::GET, "/api/v1/metadata/sign", None).await, (200, expected.to_string()));

    let (status, _) = site.ask(Method::POST, "/api/v1/metadata/sign/delete", &json!({"role": "DEV_TEAM"})).await;
    let jobs = site.accepted().await;
    assert!(status == 202 && matches!(&jobs[..], [Job::DeleteSignMetadata(role)] if role.role == "Dev_Team"));

    site.set(&[("SIGNING_EVENTS", json!([])), ("ROOT_SIGNING", Value::Null), ("DEV_TEAM_SIGNING", Value::Null)]).await;
    let nothing = json!({"message": "No metadata pending signing available"});
    assert_eq!(site.text(Method::GET, "/api/v1/metadata/sign", None).await, (200, nothing.to_string()));
}

/// What was left behind without a repository is nobody's to give up.
#[actix_web::test]
async fn b34_giving_up_needs_a_repository_or_one_that_is_being_signed() {
    let site = Site::new(&[("ROOT_SIGNING", document("root", 1))]).await;
    for (state, expected) in [(json!(null), 404), (json!("pre-a"), 404), (json!("signing-a"), 202), (json!("a"), 202)] {
        site.set(&[(BOOTSTRAP, state.clone())]).await;
        let (status, _) = site.ask(Method::POST, "/api/v1/metadata/sign/delete", &json!({"role": "root"})).await;
        assert_eq!(status, expected, "{state}");
    }
}

#[actix_web::test]
async fn b11_roles_are_published_anew_by_the_rules_of_the_contract() {
    let delegations = json!({"keys": {"on": {"x-rstuf-online-key-uri": "fn:on"}}, "roles": [
        {"name": "fast", "keyids": ["on"], "threshold": 1, "paths": ["a"]}]});
    let site = Site::new(&[finished(), ("TRUSTED_TARGETS", json!({"signed": {"delegations": delegations}}))]).await;
    let (status, answer) = site.ask(Method::POST, "/api/v1/metadata/online/", &json!({"roles": []})).await;
    assert_eq!((status, &answer["message"]), (202, &json!("Force online metadata update accepted.")));
    let jobs = site.accepted().await;
    let all = ["snapshot", "timestamp", "targets", "fast"];
    assert!(matches!(&jobs[..], [Job::ForceOnlineMetadataUpdate(online)] if online.roles == all));
    let told = site.ask(Method::POST, "/api/v1/metadata/online", &json!({"roles": ["bins"]})).await;
    let error = "Custom target delegation used and bins cannot be bumped";
    assert_eq!(told, (404, json!({"detail": {"message": "Task not accepted.", "error": error}})));
}

#[actix_web::test]
async fn metadata_that_its_owner_signed_is_passed_on_as_it_came() {
    let site = Site::new(&[finished()]).await;
    for path in ["/api/v1/delegations/release/metadata", "/api/v1/delegations/release/metadata/"] {
        let (status, answer) = site.ask(Method::PUT, path, &document("targets", 2)).await;
        assert_eq!((status, &answer["message"]), (202, &json!("Delegated metadata accepted.")));
        let jobs = site.accepted().await;
        let [Job::PublishDelegatedMetadata(job)] = &jobs[..] else { panic!("one job of its kind") };
        assert_eq!((job.role.as_str(), job.metadata.to_string()), ("release", document("targets", 2).to_string()));
    }
    let (status, answer) = site.ask(Method::PUT, "/api/v1/delegations/a%2Fb/metadata", &json!({})).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["path", "role"])));
}

#[actix_web::test]
async fn a_dry_run_tells_and_makes_no_task() {
    let site = Site::new(&[finished(), ("BINS_EXPIRATION", json!(1)), ("DEV_EXPIRATION", json!(3))]).await;
    let update = json!({"settings": {"expiration": {"bins": 7, "other": 1}}});
    let (status, answer) = site.ask(Method::PUT, "/api/v1/config/?dry_run=true", &update).await;
    assert_eq!((status, &answer["message"]), (200, &json!("Dry run: nothing was changed.")));
    assert_eq!(answer["data"]["changes"], json!([{"role": "bins", "change": "expiration", "from": 1, "to": 7}]));
    assert_eq!(answer["data"]["failed"][0]["role"], "other");

    let end = json!({"delegations": {"roles": [{"name": "Dev"}]}});
    let path = "/api/v1/delegations/delete?dry_run=true";
    assert_eq!(site.ask(Method::POST, path, &end).await.0, 503, "nothing is known of what is published");
    let mut targets = document("targets", 3);
    targets["signed"]["delegations"] = json!({"keys": {}, "roles": [
        {"name": "Dev", "terminating": true, "keyids": ["k"], "threshold": 1, "paths": ["dev/*"]}]});
    site.set(&[("TRUSTED_ROOT", document("root", 1)), ("TRUSTED_TARGETS", targets)]).await;
    let (status, answer) = site.ask(Method::POST, path, &end).await;
    assert_eq!((status, &answer["data"]["problems"]), (200, &json!([])), "{answer}");
    assert_eq!(answer["data"]["changes"][0]["role"], "Dev");
    assert_eq!(answer["data"]["changes"][0]["before"]["expiration"], 3);
    let root = json!({"metadata": {"root": document("root", 2)}});
    let (status, answer) = site.ask(Method::POST, "/api/v1/metadata/?dry_run=1", &root).await;
    assert!(status == 200 && answer["data"]["problems"].is_array(), "{answer}");

    assert!(site.accepted().await.is_empty());
    assert_eq!(site.ask(Method::PUT, "/api/v1/config/?dry_run=false", &update).await.0, 202);
    assert_eq!(site.accepted().await.len(), 1);
    assert_eq!(site.ask(Method::PUT, "/api/v1/config/?dry_run=perhaps", &update).await.0, 422);
}
