//! Reads a whole bucket as a client does, and remembers what it saw: the oracle of the crash tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rstuf::tuf::{name::RoleName, verify::Trusted};
use serde_json::Value;

use super::{ceremony::Ceremony, deployment::Deployment, repository::Repository};

/// Checks, each time that it is asked:
///
/// - every file that is referred to from `timestamp.json` down is there, with the version, length and hash that were
///   said of it, signed by whom it must be, and not expired;
/// - snapshot lists every bin, and nothing is older than it was the last time;
/// - no version has another content than it had, and none has gone.
pub(crate) struct Checker {
    bucket: PathBuf,
    root: Vec<u8>,
    digests: BTreeMap<String, Vec<u8>>,
    last: Option<State>,
}

/// What clients see at one time.
#[derive(Debug, Clone, PartialEq)]
struct State {
    timestamp: Vec<u8>,
    /// Versions by role.
    versions: BTreeMap<String, u64>,
    artifacts: BTreeMap<String, Value>,
}

impl Checker {
    /// A checker that has not seen anything yet.
    pub(crate) fn new(repository: &Repository<impl Deployment>) -> Self {
        Self::of(repository.server.bucket(), &repository.ceremony)
    }

    /// A checker of a bucket that has not seen anything yet.
    pub(crate) fn of(bucket: PathBuf, ceremony: &Ceremony) -> Self {
        let root = fs::read(&ceremony.root).expect("the ceremony has written the root");
        Self { bucket, root, digests: BTreeMap::new(), last: None }
    }

    /// Asserts that the bucket is what it must be.
    pub(crate) fn check(&mut self) {
        self.check_that_versions_stay();
        let state = self.read_as_a_client();
        if let Some(last) = &self.last {
            for (role, version) in &last.versions {
                let now = state.versions.get(role);
                assert!(now >= Some(version), "{role} was at version {version} and is at {now:?}");
            }
            if state.versions["timestamp"] == last.versions["timestamp"] {
                assert_eq!(state.timestamp, last.timestamp, "one version of timestamp has two contents");
            }
        }
        self.last = Some(state);
    }

    /// All artifacts of the state that was checked last.
    pub(crate) fn artifacts(&self) -> BTreeMap<String, Value> {
        self.last.as_ref().expect("the bucket was checked").artifacts.clone()
    }

    fn check_that_versions_stay(&mut self) {
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&self.bucket).expect("the bucket can be listed") {
            let name = entry.expect("the bucket can be listed").file_name().to_string_lossy().into_owned();
            if !is_versioned(&name) {
                continue;
            }
            let found = digest(&SHA256, &self.read(&name)).as_ref().to_vec();
            let first = self.digests.entry(name.clone()).or_insert_with(|| found.clone());
            assert_eq!(*first, found, "{name} has another content than it had");
            present.insert(name);
        }
        let gone: Vec<_> = self.digests.keys().filter(|name| !present.contains(*name)).collect();
        assert!(gone.is_empty(), "gone from the bucket: {gone:?}");
    }

    /// The client workflow, TUF §5.3 to §5.6, with all delegated roles instead of those on the way to one artifact.
    fn read_as_a_client(&self) -> State {
        let now = Timestamp::now();
        let mut trusted = Trusted::from_root(&self.root).expect("the first root is good");
        let mut root = 1;
        while self.bucket.join(format!("{}.root.json", root + 1)).exists() {
            root += 1;
            trusted.update_root(&self.read(&format!("{root}.root.json"))).expect("the next root is good");
        }
        trusted.check_root_expiry(now).expect("the last root is not expired");
        let mut versions = BTreeMap::from([("root".to_owned(), root)]);

        let timestamp = self.read("timestamp.json");
        trusted.update_timestamp(&timestamp, now).expect("timestamp is good");
        let signed = signed(&timestamp);
        versions.insert("timestamp".to_owned(), version(&signed));

        let meta = &signed["meta"]["snapshot.json"];
        let snapshot = self.referred("snapshot", meta);
        trusted.update_snapshot(&snapshot, now).expect("snapshot is good");
        versions.insert("snapshot".to_owned(), version(meta));

        let listed = self::signed(&snapshot)["meta"].clone();
        let targets = self.referred("targets", &listed["targets.json"]);
        trusted.update_targets(&targets, now).expect("targets is good");
        versions.insert("targets".to_owned(), version(&listed["targets.json"]));

        let mut artifacts = BTreeMap::new();
        for role in delegated(&self::signed(&targets)) {
            let meta = &listed[format!("{role}.json")];
            if meta.is_null() && waits_for_people(&self::signed(&targets), &role) {
                continue;
            }
            assert!(meta.is_object(), "snapshot does not list {role}");
            let bytes = self.referred(&role, meta);
            let name = RoleName::parse(&role).expect("a delegated role has a good name");
            trusted.update_delegated(&name, &RoleName::targets(), &bytes, now).expect("a delegated role is good");
            let Value::Object(found) = self::signed(&bytes)["targets"].take() else { panic!("{role} has no targets") };
            for (path, info) in found {
                // Who is asked first answers.
                artifacts.entry(path).or_insert(info);
            }
        }
        for (file, meta) in listed.as_object().expect("snapshot lists files") {
            // What was listed once is listed for ever (TUF §5.5.5), whether it is delegated or not.
            versions.insert(file.trim_end_matches(".json").to_owned(), version(meta));
        }
        State { timestamp, versions, artifacts }
    }

    /// A file that another one refers to, as it is said to be.
    fn referred(&self, role: &str, meta: &Value) -> Vec<u8> {
        let bytes = self.read(&format!("{}.{role}.json", version(meta)));
        assert_eq!(version(&signed(&bytes)), version(meta), "{role} has another version than its name says");
        if let Some(length) = meta["length"].as_u64() {
            assert_eq!(bytes.len() as u64, length, "{role} is not as long as signed");
        }
        if let Some(hash) = meta["hashes"]["sha256"].as_str() {
            assert_eq!(hex::encode(digest(&SHA256, &bytes)), hash, "{role} has another hash than signed");
        }
        bytes
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.bucket.join(name)).unwrap_or_else(|error| panic!("{name} can't be read: {error}"))
    }
}

fn is_versioned(name: &str) -> bool {
    name.ends_with(".json") && name.split_once('.').is_some_and(|(version, _)| version.parse::<u64>().is_ok())
}

/// Whether people must sign this role: until they have for the first time, there is nothing of it.
fn waits_for_people(targets: &Value, role: &str) -> bool {
    let delegations = &targets["delegations"];
    let roles = delegations["roles"].as_array();
    let role = roles.and_then(|roles| roles.iter().find(|found| found["name"] == *role));
    role.is_some_and(|role| {
        let keyids = role["keyids"].as_array().expect("a role has keys");
        let is_online = |id: &&Value| {
            let id = id.as_str().expect("an id is text");
            delegations["keys"][id]["x-rstuf-online-key-uri"].is_string()
        };
        (keyids.iter().filter(is_online).count() as u64) < role["threshold"].as_u64().expect("a role has a threshold")
    })
}

fn signed(bytes: &[u8]) -> Value {
    let mut metadata: Value = serde_json::from_slice(bytes).expect("metadata is JSON");
    metadata["signed"].take()
}

fn version(of: &Value) -> u64 {
    of["version"].as_u64().unwrap_or_else(|| panic!("no version in {of}"))
}

/// The names of all roles that `targets` delegates to, whichever way it says so.
fn delegated(targets: &Value) -> Vec<String> {
    let delegations = &targets["delegations"];
    if let Some(roles) = delegations["roles"].as_array() {
        return roles.iter().map(|role| role["name"].as_str().expect("a role has a name").to_owned()).collect();
    }
    let succinct = &delegations["succinct_roles"];
    let prefix = succinct["name_prefix"].as_str().expect("succinct roles have a prefix");
    let count = 1_u64 << succinct["bit_length"].as_u64().expect("succinct roles have a bit length");
    let width = format!("{:x}", count - 1).len();
    (0..count).map(|bin| format!("{prefix}-{bin:0width$x}")).collect()
}
