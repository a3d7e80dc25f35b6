//! A repository whose root and roles belong to people.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    harness::{
        api::{Api, Reply},
        artifact::Artifact,
        ceremony::Ceremony,
        deployment::Deployment,
        repository::Repository,
    },
    peers::people::{People, Role, RootPlan},
};

const LIMIT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(30);
const END_STATES: [&str; 4] = ["SUCCESS", "ERRORED", "FAILURE", "REVOKED"];

/// The first online key.
pub(crate) const ONLINE: &str = "online";
/// Who holds the keys of the first root; two of them must sign.
pub(crate) const FOUNDERS: [&str; 3] = ["Ada", "Grace", "Hedy"];

/// What a repository delegates to at first.
pub(crate) enum Shape {
    /// To hash bins.
    Bins(Layout, u32),
    /// To these roles.
    Roles(Vec<Role>),
    /// To these roles, and to bins what they do not take.
    Both(Vec<Role>, Layout, u32),
}

/// A deployment, and the people around it.
pub(crate) struct House<D> {
    pub(crate) repository: Repository<D>,
    pub(crate) people: People,
    /// The root that clients have, or are about to have.
    pub(crate) root: RootPlan,
}

impl<D: Deployment> House<D> {
    /// A deployment without a repository.
    pub(crate) fn on(server: D) -> Self {
        let mut people = People::new();
        people.join(&FOUNDERS);
        people.online_key(ONLINE, &server.keys());
        let root = server.scratch("clients").join("1.root.json");
        let ceremony = Ceremony { payload: Value::Null, root };
        let repository = Repository { server, ceremony };
        Self { repository, people, root: RootPlan::first(&FOUNDERS, 2, ONLINE) }
    }

    /// A deployment with a repository whose root two of three signed.
    pub(crate) async fn founded(server: D, shape: Shape) -> Self {
        let mut house = Self::on(server);
        house.found(&shape).await;
        house
    }

    /// Bootstraps it.
    pub(crate) async fn found(&mut self, shape: &Shape) {
        let payload = self.payload(shape, &["Ada", "Grace"]);
        let reply = self.post("/bootstrap/", &payload).await;
        let result = self.done(reply).await;
        assert!(
            result["details"]["bootstrap"].as_str().is_some_and(|text| text.starts_with("Bootstrap finished")),
            "{result}"
        );
        self.hand_out_root();
    }

    /// The body of a bootstrap whose root these signed.
    pub(crate) fn payload(&mut self, shape: &Shape, signers: &[&str]) -> Value {
        let root = self.people.root(&self.root);
        let root = self.people.sign(&root, signers);
        let bins = |layout: &Layout, count: &u32| {
            let layout = match layout {
                Layout::Succinct => "succinct",
                Layout::PathHashPrefixes => "path_hash_prefixes",
            };
            json!({ "expiration": 30, "number_of_delegated_bins": count, "layout": layout })
        };
        let (bins, delegations) = match shape {
            Shape::Bins(layout, count) => (bins(layout, count), Value::Null),
            Shape::Roles(roles) => (Value::Null, self.people.delegations(roles)),
            Shape::Both(roles, layout, count) => (bins(layout, count), self.people.delegations(roles)),
        };
        json!({
            "settings": { "roles": {
                "root": { "expiration": 365 },
                "targets": { "expiration": 365 },
                "snapshot": { "expiration": 7 },
                "timestamp": { "expiration": 1 },
                "bins": bins,
                "delegations": delegations,
            } },
            "metadata": { "root": root },
        })
    }

    /// Gives the first root to clients.
    pub(crate) fn hand_out_root(&self) {
        fs::copy(self.file("1.root.json"), &self.repository.ceremony.root).expect("the first root was published");
    }

    /// The first API.
    pub(crate) fn api(&self) -> Api {
        self.repository.server.api()
    }

    /// POST at the first API.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.api().post(path, body).await.expect("the server answers")
    }

    /// PUT at the first API.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.api().put(path, body).await.expect("the server answers")
    }

    /// GET at the first API.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.api().get(path).await.expect("the server answers")
    }

    /// Waits until a task has ended, however it does, and returns what is known of it.
    pub(crate) async fn ended(&self, task: &str) -> Value {
        let api = self.api();
        let deadline = Instant::now() + LIMIT;
        loop {
            let told = api.task(task).await;
            if told["state"].as_str().is_some_and(|state| END_STATES.contains(&state)) {
                return told;
            }
            assert!(Instant::now() < deadline, "the task has no end after {LIMIT:?}: {told}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until what was asked for is done, and returns the result.
    pub(crate) async fn done(&self, reply: Reply) -> Value {
        self.api().success(&reply.task()).await
    }

    /// Asserts that something was refused, at once or by the worker, and returns why.
    pub(crate) async fn refused(&self, reply: Reply) -> String {
        if reply.status != StatusCode::ACCEPTED {
            assert!(reply.status.is_client_error(), "{} {}", reply.status, reply.body);
            return reply.body.to_string();
        }
        let task = self.ended(&reply.task()).await;
        assert!(task["state"] == "ERRORED" || task["state"] == "FAILURE", "it was not refused: {task}");
        task["result"].to_string()
    }

    /// The metadata that waits for signatures, by role, with what people need to check it; null for none.
    pub(crate) async fn pending(&self) -> Value {
        let reply = self.get("/metadata/sign").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.body["data"]["metadata"].clone()
    }

    /// Waits until a role waits for signatures on what `is_right` accepts, and returns that.
    pub(crate) async fn pending_role(&self, role: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let pending = self.pending().await;
            let document = &pending[role];
            if document.is_object() && is_right(&document["signed"]) {
                return document.clone();
            }
            assert!(Instant::now() < deadline, "{role} does not wait for the right signatures: {pending}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a role does not wait for signatures.
    pub(crate) async fn nothing_pending(&self, role: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.pending().await[role].is_object() {
            assert!(Instant::now() < deadline, "{role} waits for signatures still");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The body with which this one signs what waits under this role.
    pub(crate) async fn signature(&mut self, role: &str, name: &str) -> Value {
        let document = self.pending().await[role].clone();
        assert!(document.is_object(), "{role} does not wait for signatures");
        let signature = self.people.signature(&document, name);
        json!({ "role": role, "signature": signature })
    }

    /// Signs what waits under this role, and returns the result's `details`.
    pub(crate) async fn sign(&mut self, role: &str, name: &str) -> Value {
        let signature = self.signature(role, name).await;
        let reply = self.post("/metadata/sign", &signature).await;
        let result = self.done(reply).await;
        assert_eq!(result["message"], "Signature Processed");
        result["details"].clone()
    }

    /// Sends the next root as these have signed it, and remembers it.
    pub(crate) async fn update(&mut self, plan: RootPlan, signers: &[&str]) -> Reply {
        let root = self.people.root(&plan);
        let root = self.people.sign(&root, signers);
        self.root = plan;
        self.post("/metadata/", &json!({ "metadata": { "root": root } })).await
    }

    /// Sends the next root as these have signed it, to have it replace its online keys at once, and remembers it.
    pub(crate) async fn replace_at_once(&mut self, plan: RootPlan, signers: &[&str]) -> Reply {
        let root = self.people.root(&plan);
        let root = self.people.sign(&root, signers);
        self.root = plan;
        self.post("/metadata/", &json!({ "metadata": { "root": root }, "rotation": "immediate" })).await
    }

    /// Delegates to new roles.
    pub(crate) async fn delegate(&self, roles: &[Role]) -> Value {
        let body = json!({ "delegations": self.people.delegations(roles) });
        let reply = self.post("/delegations/", &body).await;
        self.delegated(reply, &names(roles)).await
    }

    /// Changes roles that there are.
    pub(crate) async fn redelegate(&self, roles: &[Role]) -> Value {
        let body = json!({ "delegations": self.people.delegations(roles) });
        let reply = self.put("/delegations/", &body).await;
        self.delegated(reply, &names(roles)).await
    }

    /// Ends roles.
    pub(crate) async fn undelegate(&self, roles: &[&str]) -> Value {
        let reply = self.post("/delegations/delete", &deletion(roles)).await;
        self.delegated(reply, roles).await
    }

    async fn delegated(&self, reply: Reply, names: &[&str]) -> Value {
        let result = self.done(reply).await;
        assert_eq!(result["message"], "Metadata Delegation Processed");
        assert_eq!(result["details"]["delegated_roles"], json!(names), "{result}");
        assert_eq!(result["details"]["failed_roles"], json!([]), "{result}");
        result
    }

    /// Adds artifacts, and returns in which roles they are once clients see them.
    pub(crate) async fn add(&self, artifacts: &[Artifact]) -> Value {
        let reply = self.api().add(artifacts).await.expect("the server answers");
        self.done(reply).await["details"]["artifact_roles"].clone()
    }

    /// Asks to add artifacts that wait for people, and returns the task, which says what is missing of `role`.
    pub(crate) async fn add_and_wait_for(&self, artifacts: &[Artifact], role: &str) -> (String, Value) {
        let api = self.api();
        let task = api.add(artifacts).await.expect("the server answers").task();
        let deadline = Instant::now() + LIMIT;
        loop {
            let told = api.task(&task).await;
            let state = told["state"].as_str().expect("a task has a state");
            assert!(!END_STATES.contains(&state), "nobody has signed, and the task has ended: {told}");
            let missing = &told["result"]["details"]["missing"][role];
            if state == "RUNNING" && missing.is_array() {
                return (task, missing.clone());
            }
            assert!(Instant::now() < deadline, "the task does not say what is missing: {told}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// A file of the bucket.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.repository.server.bucket().join(name)
    }

    /// Whether there is such a file in the bucket.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// Metadata in the bucket.
    pub(crate) fn published(&self, name: &str) -> Value {
        let bytes = fs::read(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_slice(&bytes).expect("metadata is JSON")
    }

    /// The metadata that clients have now: that of `snapshot`, of `targets`, or of a role that snapshot lists.
    pub(crate) fn current(&self, role: &str) -> Value {
        let timestamp = self.published("timestamp.json");
        if role == "timestamp" {
            return timestamp;
        }
        let snapshot = self.published(&format!("{}.snapshot.json", version(&timestamp, "snapshot")));
        match role {
            "snapshot" => snapshot,
            _ => self.published(&format!("{}.{role}.json", version(&snapshot, role))),
        }
    }

    /// The version of a role that snapshot lists, if it does.
    pub(crate) fn listed(&self, role: &str) -> Option<u64> {
        self.current("snapshot")["signed"]["meta"][format!("{role}.json")]["version"].as_u64()
    }

    /// The names of the roles that `targets` delegates to.
    pub(crate) fn delegated_names(&self) -> Vec<String> {
        let targets = self.current("targets");
        let roles = targets["signed"]["delegations"]["roles"].as_array().expect("roles are delegated to by name");
        roles.iter().map(|role| role["name"].as_str().expect("a role has a name").to_owned()).collect()
    }

    /// The ids of the keys that `targets` delegates to.
    pub(crate) fn delegated_keys(&self) -> Vec<String> {
        let targets = self.current("targets");
        let keys = targets["signed"]["delegations"]["keys"].as_object().expect("there are keys");
        keys.keys().cloned().collect()
    }

    /// Waits until clients have metadata of this role that these keys alone signed.
    pub(crate) async fn signed_by_alone(&self, role: &str, names: &[&str]) {
        let mut expected: Vec<_> = names.iter().map(|name| self.people.id(name).to_owned()).collect();
        expected.sort();
        let deadline = Instant::now() + LIMIT;
        loop {
            let signers = signers(&self.current(role));
            if signers == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{role} is signed by {signers:?}, not by {names:?} alone");
            // Sooner than the service looks by itself: every round takes what is due.
            let reply = self.post("/metadata/online", &json!({ "roles": ["timestamp"] })).await;
            self.done(reply).await;
        }
    }

    /// The names of the files in the bucket.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.repository.server.bucket()).expect("the bucket can be listed");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".json")).collect()
    }

    /// Everything that a dry run leaves as it is: the files of the bucket and what the API tells.
    pub(crate) async fn everything(&self) -> (BTreeSet<String>, Value, Value) {
        let mut settings = self.get("/config/").await.body;
        // It counts down.
        settings["data"].as_object_mut().expect("there are settings").remove("expiring");
        (self.files(), settings, self.get("/metadata/sign").await.body)
    }
}

/// The body with which roles are ended.
pub(crate) fn deletion(roles: &[&str]) -> Value {
    let roles: Vec<_> = roles.iter().map(|name| json!({ "name": name })).collect();
    json!({ "delegations": { "roles": roles } })
}

/// Who signed, by the ids of their keys, sorted.
pub(crate) fn signers(metadata: &Value) -> Vec<String> {
    let signatures = metadata["signatures"].as_array().expect("metadata has signatures");
    let ids = signatures.iter().map(|signature| signature["keyid"].as_str().expect("a signature has a key").to_owned());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

/// An artifact with this path.
pub(crate) fn artifact(path: &str) -> Artifact {
    Artifact::new(path, format!("the content of {path}"))
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.name).collect()
}

fn version(metadata: &Value, role: &str) -> u64 {
    let meta = &metadata["signed"]["meta"][format!("{role}.json")]["version"];
    meta.as_u64().unwrap_or_else(|| panic!("{role} is not listed in {metadata}"))
}
