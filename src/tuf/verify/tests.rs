//! A repository, a client, and what an attacker may try between them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::tuf::{
    bins::{Bins, Layout},
    name::ArtifactPath,
    root::Root,
    sample::{Signer, at, path, role, root, sign, version},
    snapshot::{self, MetaFile},
    targets, timestamp,
};

/// One version of everything, each member free to be changed before it is served.
struct Repository {
    owner: Signer,
    online: Signer,
    bins: Bins,
    number: u64,
    artifact: ArtifactPath,
}

/// The files that a client downloads.
struct Files {
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    targets: Vec<u8>,
    bin: Vec<u8>,
}

const NOW: i64 = 10;

impl Repository {
    fn new() -> Self {
        let bins = Bins::new(2, Layout::Succinct).expect("bins");
        Self { owner: Signer::new(), online: Signer::new(), bins, number: 1, artifact: path("dir/file") }
    }

    fn version(&self) -> Version {
        version(self.number)
    }

    fn role(&self) -> RoleName {
        self.bins.role_for(&self.artifact)
    }

    fn root(&self, number: u64) -> Vec<u8> {
        sign(root(number, &[&self.owner], 1, &self.online), &[&self.owner]).to_bytes()
    }

    fn online(&self, signed: Value) -> Vec<u8> {
        sign(signed, &[&self.online]).to_bytes()
    }

    fn bin(&self, expires: Timestamp) -> Value {
        let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"content"));
        let info = json!({"length": 7, "hashes": {"sha256": hash}});
        targets::render(self.version(), expires, &[(self.artifact.clone(), info)], None)
    }

    fn targets(&self, expires: Timestamp) -> Value {
        let delegations = self.bins.delegations(&[self.online.entry()], 1);
        targets::render(self.version(), expires, &[], Some(&delegations))
    }

    fn snapshot(&self, targets: &[u8], expires: Timestamp) -> Value {
        let names: Vec<_> = self.bins.names().collect();
        let bin = MetaFile::version_only(self.version());
        let bins = names.iter().map(|name| (name, &bin));
        let (name, targets) = (RoleName::targets(), MetaFile::of(self.version(), targets));
        json!(snapshot::render(self.version(), expires, bins.chain([(&name, &targets)])))
    }

    fn timestamp(&self, snapshot: &[u8], expires: Timestamp) -> Value {
        timestamp::render(self.version(), expires, &MetaFile::of(self.version(), snapshot))
    }

    fn files(&self) -> Files {
        let bin = self.online(self.bin(at(100)));
        let targets = self.online(self.targets(at(100)));
        let snapshot = self.online(self.snapshot(&targets, at(100)));
        let timestamp = self.online(self.timestamp(&snapshot, at(100)));
        Files { timestamp, snapshot, targets, bin }
    }

    /// The files, with a snapshot that says something else, signed as it should be.
    fn files_with_snapshot(&self, change: impl FnOnce(&mut Value)) -> Files {
        let files = self.files();
        let mut signed = self.snapshot(&files.targets, at(100));
        change(&mut signed);
        let snapshot = self.online(signed);
        Files { timestamp: self.online(self.timestamp(&snapshot, at(100))), snapshot, ..files }
    }

    fn client(&self) -> Trusted {
        Trusted::from_root(&self.root(1)).expect("a root")
    }

    fn refresh(&self, client: &mut Trusted, files: &Files) -> Result<(), VerifyError> {
        let now = at(NOW);
        client.update_timestamp(&files.timestamp, now)?;
        client.update_snapshot(&files.snapshot, now)?;
        client.update_targets(&files.targets, now)?;
        client.update_delegated(&self.role(), &RoleName::targets(), &files.bin, now)
    }

    /// Serves good files of version 1, then these as version 2.
    fn second(mut self, files: impl FnOnce(&Repository) -> Files) -> Result<(), VerifyError> {
        let mut client = self.client();
        self.refresh(&mut client, &self.files()).expect("good files");
        self.number = 2;
        self.refresh(&mut client, &files(&self))
    }

    fn first(self, files: impl FnOnce(&Repository) -> Files) -> Result<(), VerifyError> {
        self.refresh(&mut self.client(), &files(&self))
    }
}

fn resign(file: &[u8], signer: &Signer, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut signed = Metadata::parse(file).expect("metadata").signed;
    change(&mut signed);
    sign(signed, &[signer]).to_bytes()
}

/// Changes what is signed and keeps the signature.
fn tamper(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut metadata = Metadata::parse(file).expect("metadata");
    change(&mut metadata.signed);
    metadata.to_bytes()
}

macro_rules! attacks {
    ($($name:ident: $result:expr => $expected:pat,)*) => {$(
        #[test]
        fn $name() {
            let result = $result;
            assert!(matches!(&result, Err($expected)), "{result:?}");
        }
    )*};
}

fn new() -> Repository {
    Repository::new()
}

attacks! {
    a_stranger_signs_timestamp: new().first(|r| {
        let files = r.files();
        Files { timestamp: resign(&files.timestamp, &Signer::new(), |_| ()), ..files }
    }) => VerifyError::Threshold { valid: 0, threshold: 1, .. },

    timestamp_is_tampered_with: new().first(|r| {
        let files = r.files();
        Files { timestamp: tamper(&files.timestamp, |s| s["x"] = json!(1)), ..files }
    }) => VerifyError::Threshold { valid: 0, .. },

    timestamp_changes_within_a_version: new().second(|r| {
        let older = resign(&r.files().timestamp, &r.online, |s| s["version"] = json!(1));
        Files { timestamp: older, ..r.files() }
    }) => VerifyError::Changed { .. },

    timestamp_of_before_is_replayed: {
        let mut repository = new();
        let (mut client, old) = (repository.client(), repository.files());
        repository.number = 2;
        repository.refresh(&mut client, &repository.files()).expect("good files");
        repository.refresh(&mut client, &old)
    } => VerifyError::Rollback { .. },

    timestamp_names_an_older_snapshot: {
        let mut repository = new();
        repository.number = 2;
        let mut client = repository.client();
        repository.refresh(&mut client, &repository.files()).expect("good files");
        let signed = timestamp::render(version(3), at(100), &MetaFile::version_only(version(1)));
        client.update_timestamp(&repository.online(signed), at(NOW))
    } => VerifyError::Rollback { .. },

    timestamp_is_expired: new().first(|r| {
        let files = r.files();
        Files { timestamp: r.online(r.timestamp(&files.snapshot, at(NOW))), ..files }
    }) => VerifyError::Expired { .. },

    timestamp_is_endless: new().first(|r| {
        let files = r.files();
        Files { timestamp: resign(&files.timestamp, &r.online, |s| s["x"] = json!("x".repeat(20_000))), ..files }
    }) => VerifyError::TooLarge { limit_bytes: 16_384, .. },

    snapshot_is_served_as_timestamp: new().first(|r| {
        let files = r.files();
        Files { timestamp: files.snapshot.clone(), ..files }
    }) => VerifyError::WrongType { found: RoleType::Snapshot, .. },

    snapshot_is_no_json: new().first(|r| {
        let files = r.files();
        let timestamp = r.online(r.timestamp(b"{", at(100)));
        Files { timestamp, snapshot: b"{".to_vec(), ..files }
    }) => VerifyError::Malformed { .. },

    snapshot_is_another_file: new().first(|r| {
        let files = r.files();
        Files { snapshot: r.online(r.snapshot(&files.targets, at(101))), ..files }
    }) => VerifyError::Content { source: ContentError::Hash { .. }, .. },

    snapshot_is_cut: new().first(|r| {
        let files = r.files();
        Files { snapshot: files.snapshot[..100].to_vec(), ..files }
    }) => VerifyError::Content { source: ContentError::Length { found: 100, .. }, .. },

    snapshot_has_another_version: new().first(|r| r.files_with_snapshot(|s| s["version"] = json!(2)))
        => VerifyError::Unlisted { .. },

    snapshot_is_expired: new().first(|r| {
        r.files_with_snapshot(|s| s["expires"] = json!(format_expires(at(NOW))))
    }) => VerifyError::Expired { .. },

    a_stranger_signs_snapshot: new().first(|r| {
        let files = r.files();
        let snapshot = resign(&files.snapshot, &Signer::new(), |_| ());
        Files { timestamp: r.online(r.timestamp(&snapshot, at(100))), snapshot, ..files }
    }) => VerifyError::Threshold { .. },

    snapshot_loses_a_role: new().second(|r| r.files_with_snapshot(|s| {
        s["meta"].as_object_mut().expect("an object").shift_remove("bins-0.json");
    })) => VerifyError::Unlisting { .. },

    snapshot_takes_a_role_back: {
        let mut repository = new();
        repository.number = 2;
        let mut client = repository.client();
        repository.refresh(&mut client, &repository.files()).expect("good files");
        repository.number = 3;
        let files = repository.files_with_snapshot(|s| s["meta"]["bins-1.json"] = json!({"version": 1}));
        repository.refresh(&mut client, &files)
    } => VerifyError::ListedBack { .. },

    snapshot_does_not_list_the_bin: new().first(|r| r.files_with_snapshot(|s| {
        s["meta"].as_object_mut().expect("an object").shift_remove(&r.role().meta_name());
    })) => VerifyError::NotInSnapshot { .. },

    targets_is_mixed_with_another_snapshot: {
        let mut repository = new();
        let old = repository.files();
        repository.number = 2;
        let files = Files { targets: old.targets, ..repository.files() };
        repository.refresh(&mut repository.client(), &files)
    } => VerifyError::Content { .. },

    targets_is_expired: new().first(|r| {
        let targets = r.online(r.targets(at(NOW)));
        let snapshot = r.online(r.snapshot(&targets, at(100)));
        Files { timestamp: r.online(r.timestamp(&snapshot, at(100))), snapshot, targets, ..r.files() }
    }) => VerifyError::Expired { .. },

    a_stranger_signs_a_bin: new().first(|r| {
        let files = r.files();
        Files { bin: resign(&files.bin, &Signer::new(), |_| ()), ..files }
    }) => VerifyError::Threshold { .. },

    a_bin_is_newer_than_listed: new().first(|r| {
        let files = r.files();
        Files { bin: resign(&files.bin, &r.online, |s| s["version"] = json!(2)), ..files }
    }) => VerifyError::Unlisted { .. },

    a_bin_of_before_is_replayed: {
        let mut repository = new();
        let old = repository.files();
        repository.number = 2;
        let files = Files { bin: old.bin, ..repository.files() };
        repository.refresh(&mut repository.client(), &files)
    } => VerifyError::Unlisted { .. },

    a_bin_is_expired: new().first(|r| Files { bin: r.online(r.bin(at(NOW))), ..r.files() })
        => VerifyError::Expired { .. },

    a_bin_has_no_hashes: new().first(|r| {
        let files = r.files();
        Files { bin: resign(&files.bin, &r.online, |s| s["targets"]["dir/file"]["hashes"] = json!({})), ..files }
    }) => VerifyError::Malformed { .. },

    a_bin_has_an_unsignable_number: new().first(|r| {
        let files = r.files();
        Files { bin: tamper(&files.bin, |s| s["targets"]["dir/file"]["custom"] = json!({"a": 0.5})), ..files }
    }) => VerifyError::Canonical { .. },

    a_bin_that_nobody_delegates_to: {
        let repository = new();
        let mut client = repository.client();
        let files = repository.files_with_snapshot(|s| s["meta"]["bins-2.json"] = json!({"version": 1}));
        repository.refresh(&mut client, &files).expect("good files");
        let other = RoleName::parse("bins-2").expect("a name");
        client.update_delegated(&other, &RoleName::targets(), &files.bin, at(NOW))
    } => VerifyError::NotDelegated { .. },

    snapshot_before_timestamp: new().client().update_snapshot(b"", at(NOW)) => VerifyError::Order { .. },

    targets_before_snapshot: new().client().update_targets(b"", at(NOW)) => VerifyError::Order { .. },

    root_is_expired: new().client().check_root_expiry(at(1000)) => VerifyError::Expired { .. },

    root_is_not_signed_by_itself: {
        let repository = new();
        Trusted::from_root(&resign(&repository.root(1), &Signer::new(), |_| ()))
    } => VerifyError::Threshold { .. },

    root_skips_a_version: {
        let repository = new();
        repository.client().update_root(&repository.root(3))
    } => VerifyError::RootVersion { .. },

    root_comes_again: {
        let repository = new();
        repository.client().update_root(&repository.root(1))
    } => VerifyError::RootVersion { .. },

    a_stranger_makes_a_root: new().client().update_root(&new().root(2)) => VerifyError::Threshold { .. },

    root_is_too_large: {
        let repository = new();
        let large = resign(&repository.root(2), &repository.owner, |s| s["x"] = json!("x".repeat(512_000)));
        repository.client().update_root(&large)
    } => VerifyError::TooLarge { .. },
}

#[test]
fn a_new_root_needs_its_own_keys_too() {
    let repository = new();
    let next = Signer::new();
    let signed = root(2, &[&next], 1, &repository.online);
    let mut client = repository.client();
    for incomplete in [vec![&repository.owner], vec![&next]] {
        let refused = client.update_root(&sign(signed.clone(), &incomplete).to_bytes());
        assert!(matches!(refused, Err(VerifyError::Threshold { valid: 0, .. })), "{refused:?}");
    }
    client.update_root(&sign(signed, &[&repository.owner, &next]).to_bytes()).expect("signed by both");
    assert_eq!(client.root().version, version(2));
}

#[test]
fn rotating_the_online_key_forgives_versions_that_were_too_high() {
    let mut repository = new();
    let mut client = repository.client();
    repository.number = 1_000_000;
    repository.refresh(&mut client, &repository.files()).expect("signed by the key");
    repository.number = 2;
    let refused = repository.refresh(&mut client, &repository.files());
    assert!(matches!(refused, Err(VerifyError::Rollback { .. })), "{refused:?}");
    repository.online = Signer::new();
    client.update_root(&repository.root(2)).expect("the next root");
    assert!(client.timestamp().is_none() && client.snapshot().is_none());
    repository.refresh(&mut client, &repository.files()).expect("trusted again");
}

#[test]
fn a_refused_update_changes_nothing() {
    let mut repository = new();
    let mut client = repository.client();
    repository.refresh(&mut client, &repository.files()).expect("good files");
    repository.number = 2;
    let files = repository.files();
    client.update_timestamp(&files.timestamp, at(NOW)).expect("a newer timestamp");
    assert!(client.update_snapshot(b"{}", at(NOW)).is_err());
    assert_eq!(client.snapshot().expect("trusted").version, version(1));
    let early = client.update_targets(&files.targets, at(NOW));
    assert!(matches!(early, Err(VerifyError::Order { .. })), "{early:?}");
    repository.refresh(&mut client, &files).expect("good files");
    repository.refresh(&mut client, &files).expect("the same again");
}

#[test]
fn a_key_counts_once_whatever_its_ids_are() {
    let (a, b, stranger) = (Signer::new(), Signer::new(), Signer::new());
    let mut renamed = a.key();
    renamed["x-name"] = json!("the same key");
    let renamed_id = crate::tuf::key::key_id(&renamed).expect("an id");
    let keys = [a.entry(), b.entry(), (renamed_id.clone(), renamed)];
    let role = RoleKeys { keyids: keys.iter().map(|k| k.0.clone()).collect(), threshold: 2 };
    let keys = keys.iter().map(|(id, key)| (id.clone(), Key::view(key).expect("a key"))).collect();

    let mut metadata = Metadata::unsigned(json!({"a": 1}));
    metadata.signatures = vec![a.sign(&metadata), a.sign_as(renamed_id.clone(), &metadata), stranger.sign(&metadata)];
    let counted = tally(&keys, &role, &metadata).expect("canonical");
    assert_eq!(counted.valid, [a.id()].into());
    let faults = [(renamed_id, SignatureFault::SameKey(a.id())), (stranger.id(), SignatureFault::NotOfRole)];
    assert_eq!(counted.faults, faults);
    let refused = threshold_met(&RoleName::root(), &keys, &role, &metadata);
    assert!(matches!(refused, Err(VerifyError::Threshold { valid: 1, threshold: 2, .. })), "{refused:?}");

    metadata.signatures.push(b.sign(&metadata));
    assert_eq!(threshold_met(&RoleName::root(), &keys, &role, &metadata).expect("two keys"), 2);
}

#[test]
fn a_wrong_signature_is_told_apart_from_a_missing_key() {
    let (a, b) = (Signer::new(), Signer::new());
    let role = RoleKeys { keyids: vec![a.id(), b.id()], threshold: 1 };
    let keys = [(a.id(), Key::view(&a.key()).expect("a key"))].into();
    let mut metadata = Metadata::unsigned(json!({"a": 1}));
    metadata.signatures = vec![b.sign_as(a.id(), &metadata), b.sign(&metadata)];
    let faults = tally(&keys, &role, &metadata).expect("canonical").faults;
    assert_eq!(faults, [(a.id(), KeyError::Mismatch.into()), (b.id(), SignatureFault::NoKey)]);
}

#[test]
fn the_cheap_check_of_a_bin_agrees_with_the_client() {
    let repository = new();
    let files = repository.files();
    let delegations = targets::Targets::view(&repository.targets(at(100))).expect("targets").delegations;
    let delegations = delegations.expect("delegations");
    let check = |role: &RoleName, bytes: &[u8], number, hour| {
        let read = verify_delegated(&delegations, role, bytes, version(number), at(hour));
        let checked = check_delegated(&delegations, role, bytes, version(number), at(hour));
        let told = |result: Result<(), &VerifyError>| result.map_err(ToString::to_string);
        assert_eq!(told(checked.as_ref().copied()), told(read.as_ref().map(drop)));
        read
    };
    let role = repository.role();
    // As it is rendered by us, too.
    let rendered = resign(&files.bin, &repository.online, |signed| {
        let infos = signed["targets"].as_object_mut().expect("artifacts").values_mut();
        infos.for_each(|info| *info = json!({ "hashes": info["hashes"], "length": info["length"] }));
    });
    for bin in [&files.bin, &rendered] {
        check(&role, bin, 1, NOW).expect("a good bin");
        assert!(matches!(check(&role, bin, 2, NOW), Err(VerifyError::Unlisted { .. })));
        assert!(matches!(check(&role, bin, 1, 100), Err(VerifyError::Expired { .. })));
        assert!(matches!(check(&RoleName::targets(), bin, 1, NOW), Err(VerifyError::NotDelegated { .. })));
        let forged = resign(bin, &Signer::new(), |_| ());
        assert!(matches!(check(&role, &forged, 1, NOW), Err(VerifyError::Threshold { .. })));
    }
    assert!(matches!(check(&role, &files.snapshot, 1, NOW), Err(VerifyError::WrongType { .. })));
    let large = resign(&files.bin, &repository.online, |s| s["x"] = json!("x".repeat(5_000_000)));
    assert!(matches!(check(&role, &large, 1, NOW), Err(VerifyError::TooLarge { .. })));
}

#[test]
fn a_search_fetches_what_it_needs_and_finds_the_artifact() {
    let repository = new();
    let (files, role, now) = (repository.files(), repository.role(), at(NOW));
    let mut client = repository.client();
    assert!(matches!(client.search(&repository.artifact), Err(VerifyError::Order { .. })));
    client.update_timestamp(&files.timestamp, now).expect("a timestamp");
    client.update_snapshot(&files.snapshot, now).expect("a snapshot");

    let fetch =
        |role: &RoleName, delegator: RoleName, file: String| Next::Fetch { role: role.clone(), delegator, file };
    let next = client.search(&repository.artifact).expect("a step");
    assert_eq!(next, fetch(&RoleName::targets(), RoleName::root(), "1.targets.json".into()));
    client.update_targets(&files.targets, now).expect("targets");
    let next = client.search(&repository.artifact).expect("a step");
    assert_eq!(next, fetch(&role, RoleName::targets(), format!("1.{role}.json")));
    client.update_delegated(&role, &RoleName::targets(), &files.bin, now).expect("a bin");
    match client.search(&repository.artifact).expect("a step") {
        Next::Found { role: found, info } => assert_eq!((found, info.check(b"content")), (role.clone(), Ok(()))),
        other => panic!("{other:?}"),
    }
    let absent = (0..).map(|i| path(&format!("absent-{i}"))).find(|p| repository.bins.role_for(p) == role);
    assert_eq!(client.search(&absent.expect("a path in the same bin")).expect("a step"), Next::Absent);
}

/// A client that trusts named roles, which delegate to each other as told; each knows the artifacts named after it.
fn delegating(roles: &[(&str, &[(&str, bool)])], artifacts: &[(&str, &str)]) -> (Trusted, Vec<String>) {
    let repository = new();
    let key = repository.online.entry();
    let delegations = |to: &[(&str, bool)]| {
        let roles: Vec<_> = to
            .iter()
            .map(|(name, terminating)| {
                json!({"name": name, "keyids": [key.0], "threshold": 1, "terminating": terminating, "paths": ["*"]})
            })
            .collect();
        json!({"keys": {key.0.as_str(): key.1}, "roles": roles})
    };
    let file = |name: &str, to: &[(&str, bool)]| {
        let known = artifacts.iter().filter(|(role, _)| *role == name);
        let info = json!({"length": 0, "hashes": {"sha256": ""}, "custom": name});
        let known: Vec<_> = known.map(|(_, artifact)| (path(artifact), info.clone())).collect();
        repository.online(targets::render(Version::FIRST, at(100), &known, Some(&delegations(to))))
    };
    let files: BTreeMap<_, _> = roles.iter().map(|(name, to)| (name.to_string(), file(name, to))).collect();
    let names: Vec<_> = files.keys().map(|name| RoleName::parse(name).expect("a name")).collect();
    let first = MetaFile::version_only(Version::FIRST);
    let listed = names.iter().map(|name| (name, &first));
    let snapshot = repository.online(json!(snapshot::render(Version::FIRST, at(100), listed)));
    let mut client = repository.client();
    client
        .update_timestamp(&repository.online(repository.timestamp(&snapshot, at(100))), at(NOW))
        .expect("a timestamp");
    client.update_snapshot(&snapshot, at(NOW)).expect("a snapshot");
    let mut fetched = Vec::new();
    while let Ok(Next::Fetch { role, delegator, .. }) = client.search(&path("wanted")) {
        client.update_delegated(&role, &delegator, &files[role.as_str()], at(NOW)).expect("a good file");
        fetched.push(role.to_string());
    }
    (client, fetched)
}

#[test]
fn roles_are_asked_in_preorder_and_once() {
    let roles: [(&str, &[(&str, bool)]); 4] = [
        ("targets", &[("a", false), ("b", false)]),
        ("a", &[("c", false), ("targets-too", false)]),
        ("b", &[]),
        ("c", &[("a", false)]),
    ];
    let with_last = [&roles[..], &[("targets-too", &[])]].concat();
    let (client, fetched) = delegating(&with_last, &[("b", "wanted")]);
    assert_eq!(fetched, ["targets", "a", "c", "targets-too", "b"]);
    assert!(matches!(client.search(&path("wanted")), Ok(Next::Found { role, .. }) if role.as_str() == "b"));
}

#[test]
fn nothing_is_asked_after_a_terminating_role() {
    let roles: [(&str, &[(&str, bool)]); 4] =
        [("targets", &[("a", false), ("d", false)]), ("a", &[("b", true), ("c", false)]), ("b", &[]), ("d", &[])];
    let (client, fetched) = delegating(&roles, &[("d", "wanted")]);
    assert_eq!(fetched, ["targets", "a", "b"]);
    assert_eq!(client.search(&path("wanted")).expect("a step"), Next::Absent);
}

#[test]
fn delegations_without_end_are_given_up() {
    let names: Vec<_> = (0..50).map(|i| if i == 0 { "targets".into() } else { format!("r{i}") }).collect();
    let next: Vec<_> = (0..50).map(|i| [(names[(i + 1).min(49)].as_str(), false)]).collect();
    let roles: Vec<(&str, &[(&str, bool)])> = names.iter().zip(&next).map(|(n, to)| (n.as_str(), &to[..])).collect();
    let (client, fetched) = delegating(&roles, &[("r49", "wanted")]);
    assert_eq!(fetched.len(), MAX_VISITED);
    assert!(matches!(client.search(&path("wanted")), Err(VerifyError::TooManyRoles)));
}

#[test]
fn a_bin_is_verified_again_when_its_delegator_changes() {
    let mut repository = new();
    let mut client = repository.client();
    repository.refresh(&mut client, &repository.files()).expect("good files");
    assert!(matches!(client.search(&repository.artifact), Ok(Next::Found { .. })));
    let bin = repository.files().bin;
    repository.number = 2;
    let files = repository.files_with_snapshot(|s| s["meta"][repository.role().meta_name()] = json!({"version": 1}));
    client.update_timestamp(&files.timestamp, at(NOW)).expect("a timestamp");
    client.update_snapshot(&files.snapshot, at(NOW)).expect("a snapshot");
    client.update_targets(&files.targets, at(NOW)).expect("targets");
    let next = client.search(&repository.artifact).expect("a step");
    assert!(matches!(&next, Next::Fetch { role, .. } if *role == repository.role()), "{next:?}");
    client.update_delegated(&repository.role(), &RoleName::targets(), &bin, at(NOW)).expect("still good");
    assert!(matches!(client.search(&repository.artifact), Ok(Next::Found { .. })));
}

#[test]
fn what_was_trusted_before_tells_a_rollback_though_it_expired() {
    let mut repository = new();
    repository.number = 3;
    let snapshot = repository.online(repository.snapshot(&repository.files().targets, at(1)));
    let old =
        Files { timestamp: repository.online(repository.timestamp(&snapshot, at(1))), snapshot, ..repository.files() };
    let mut client = repository.client();
    client.remember_timestamp(&old.timestamp).expect("signed");
    client.remember_snapshot(&old.snapshot).expect("signed");
    assert!(matches!(repository.refresh(&mut client.clone(), &old), Err(VerifyError::Expired { .. })));
    repository.number = 2;
    let files = repository.files();
    let refused = client.update_timestamp(&files.timestamp, at(NOW)).expect_err("a rollback");
    assert!(matches!(refused, VerifyError::Rollback { .. }), "{refused}");
    let other = Signer::new();
    let forged = sign(repository.timestamp(&old.snapshot, at(100)), &[&other]).to_bytes();
    assert!(matches!(client.remember_timestamp(&forged), Err(VerifyError::Threshold { .. })));
    let forged = sign(repository.snapshot(&old.targets, at(100)), &[&other]).to_bytes();
    assert!(matches!(client.remember_snapshot(&forged), Err(VerifyError::Threshold { .. })));
}

#[test]
fn files_have_versions_in_their_names_only_with_consistent_snapshots() {
    let repository = new();
    let names = |client: &Trusted| {
        let roles = [RoleName::root(), RoleName::timestamp(), RoleName::snapshot(), role("a")];
        roles.map(|role| client.file_name(&role, version(2)))
    };
    assert_eq!(names(&repository.client()), ["2.root.json", "timestamp.json", "2.snapshot.json", "2.a.json"]);
    let mut signed = root(1, &[&repository.owner], 1, &repository.online);
    signed["consistent_snapshot"] = json!(false);
    let client = Trusted::from_root(&sign(signed, &[&repository.owner]).to_bytes()).expect("a root");
    assert_eq!(names(&client), ["2.root.json", "timestamp.json", "snapshot.json", "a.json"]);
}

#[test]
fn tough_reads_and_verifies_what_we_write() {
    use tough::schema;
    let mut repository = new();
    repository.bins = Bins::new(64, Layout::PathHashPrefixes).expect("bins");
    let files = repository.files();
    let root: schema::Signed<schema::Root> = serde_json::from_slice(&repository.root(1)).expect("a root");
    root.signed.verify_role(&root).expect("signed by its own keys");
    let targets: schema::Signed<schema::Targets> = serde_json::from_slice(&files.targets).expect("targets");
    root.signed.verify_role(&targets).expect("signed by the keys of root");
    let snapshot: schema::Signed<schema::Snapshot> = serde_json::from_slice(&files.snapshot).expect("a snapshot");
    root.signed.verify_role(&snapshot).expect("signed by the keys of root");
    let timestamp: schema::Signed<schema::Timestamp> = serde_json::from_slice(&files.timestamp).expect("a timestamp");
    root.signed.verify_role(&timestamp).expect("signed by the keys of root");
    let bin: schema::Signed<schema::Targets> = serde_json::from_slice(&files.bin).expect("a bin");
    let delegations = targets.signed.delegations.expect("delegations");
    delegations.verify_role(&bin, repository.role().as_str()).expect("signed by the keys of targets");
}

/// The files that the Python worker wrote, before and after the rotation of its online key.
mod recorded {
    use super::*;

    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/fixtures/recorded/", $name)).as_slice()
        };
    }

    fn during() -> Timestamp {
        let timestamp = Metadata::parse(file!("before/timestamp.json")).expect("metadata");
        timestamp.header().expect("a header").expires - jiff::SignedDuration::from_hours(1)
    }

    #[test]
    fn a_client_follows_them_through_the_rotation() {
        let mut client = Trusted::from_root(file!("before/1.root.json")).expect("a root");
        let bin = |index: &str| RoleName::parse(&format!("bins-{index}")).expect("a name");
        client.update_timestamp(file!("before/timestamp.json"), during()).expect("a timestamp");
        client.update_snapshot(file!("before/3.snapshot.json"), during()).expect("a snapshot");
        client.update_targets(file!("before/1.targets.json"), during()).expect("targets");
        let targets = RoleName::targets();
        client.update_delegated(&bin("0"), &targets, file!("before/2.bins-0.json"), during()).expect("a bin");
        client.update_delegated(&bin("1"), &targets, file!("before/3.bins-1.json"), during()).expect("a bin");

        client.update_root(file!("after/2.root.json")).expect("the next root");
        client.update_timestamp(file!("after/timestamp.json"), during()).expect("a timestamp");
        client.update_snapshot(file!("after/4.snapshot.json"), during()).expect("a snapshot");
        client.update_targets(file!("after/2.targets.json"), during()).expect("targets");
        client.update_delegated(&bin("0"), &targets, file!("after/3.bins-0.json"), during()).expect("a bin");
        client.update_delegated(&bin("1"), &targets, file!("after/4.bins-1.json"), during()).expect("a bin");
    }

    #[test]
    fn a_client_accepts_the_repository_with_named_delegations() {
        let mut client = Trusted::from_root(file!("custom/1.root.json")).expect("a root");
        client.update_timestamp(file!("custom/timestamp.json"), during()).expect("a timestamp");
        client.update_snapshot(file!("custom/1.snapshot.json"), during()).expect("a snapshot");
        client.update_targets(file!("custom/1.targets.json"), during()).expect("targets");
        let role = RoleName::parse("default").expect("a name");
        client.update_delegated(&role, &RoleName::targets(), file!("custom/1.default.json"), during()).expect("a role");
    }

    /// All files of a directory of recorded ones.
    fn all(directory: &str) -> Vec<(String, Metadata)> {
        let directory = format!("{}/tests/fixtures/recorded/{directory}", env!("CARGO_MANIFEST_DIR"));
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            let metadata = Metadata::parse(&std::fs::read(&path).expect("a file")).expect("metadata");
            (path.display().to_string(), metadata)
        };
        std::fs::read_dir(directory).expect("a directory").map(read).collect()
    }

    #[test]
    fn all_their_signatures_verify() {
        let files: Vec<_> = ["before", "after", "custom"].iter().flat_map(|directory| all(directory)).collect();
        let roots = files.iter().filter_map(|(_, metadata)| Root::view(&metadata.signed).ok());
        let keys: BTreeMap<_, _> = roots.flat_map(|root| root.keys).collect();
        let anyone = RoleKeys { keyids: keys.keys().cloned().collect(), threshold: 1 };
        assert_eq!(files.len(), 22);
        for (name, metadata) in files {
            let counted = tally(&keys, &anyone, &metadata).expect("canonical");
            assert_eq!(counted.faults, [], "{name}");
            assert!(!counted.valid.is_empty(), "{name}");
        }
    }

    #[test]
    fn their_key_ids_agree() {
        let mut checked = 0;
        for root in [file!("before/1.root.json"), file!("after/2.root.json"), file!("custom/1.root.json")] {
            let root = Root::view(&Metadata::parse(root).expect("metadata").signed).expect("a root");
            for (id, key) in &root.keys {
                assert_eq!(crate::tuf::key::legacy_key_id(&key.raw).expect("an id"), *id);
                checked += 1;
            }
        }
        assert!(checked > 8, "{checked} keys");
    }
}
