//! People sign what waits, after seeing what it changes.

use std::fs;

use serde_json::{Value, json};

use super::ceremony::{Office, online, person, signature};
use crate::harness::{artifact::Artifact, checkout, deployment::Deployment, golden};

/// What the Python service replied while a first root waited, a second one, and a delegated role.
const RECORDED: [&str; 3] = [
    "bins-das.1-signing.get-metadata-sign.json",
    "bins-das.5-update-pending.get-metadata-sign.json",
    "custom-das.1-staging-pending.get-metadata-sign.json",
];

/// A repository of ada, grace and linus, two of whom sign, and its second root, which `linus` has signed alone.
fn with_second_root() -> Office {
    let office = Office::open();
    office.found();
    let url = office.server.metadata_url();
    let answers = json!({
        "root": {"days": 200, "remove": ["Grace"], "add": [person("joan")]},
        "signatures": [signature("linus")],
    });
    office.admin(&answers, &["metadata", "update", "--metadata-url", &url]).expect("the second root");
    office
}

fn read(office: &Office, file: &str) -> Value {
    let bytes = fs::read(office.home.join(file)).expect("the file is there");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

fn write(office: &Office, file: &str, value: &Value) {
    fs::write(office.home.join(file), value.to_string()).expect("a file can be written");
}

fn by(name: &str) -> Value {
    json!({"signatures": [signature(name)]})
}

#[test]
fn the_last_signature_creates_the_repository() {
    let office = Office::open();
    let answers = json!({
        "bins": {"number": 4, "layout": "path_hash_prefixes"},
        "root": {"keys": [person("ada"), person("grace"), person("linus")]},
        "online": {"key": online("online")},
        "signatures": [signature("ada")],
    });
    office.admin(&answers, &["ceremony"]).expect("begun");
    let done = office.admin(&by("linus"), &["metadata", "sign"]).expect("signed");
    assert_eq!((&done["role"], &done["version"], &done["missing"]), (&json!("root"), &json!(1), &json!([])));
    assert!(office.server.bucket().join("1.root.json").exists());
    let nothing = office.admin(&json!({}), &["metadata", "sign"]).expect_err("nothing waits");
    assert_eq!(nothing["error"], "No metadata available for signing");
}

#[test]
fn a_root_is_shown_and_signed_at_80_columns() {
    signed_at(80);
}

#[test]
fn a_root_is_shown_and_signed_at_120_columns() {
    signed_at(120);
}

fn signed_at(columns: u16) {
    let office = with_second_root();
    let mut terminal = office.terminal(columns, &["metadata", "sign"]);
    terminal.expect("root v2, expires");
    terminal.expect("signed by  Linus");
    terminal.answer("Which role do you sign?", "");
    terminal.expect("What root v2 changes since v1:");
    terminal.expect("+ root gets the key of Joan");
    terminal.expect("- root loses the key of Grace");
    terminal.expect("Who signs what with root v2:");
    terminal.choose("Who signs?", "Ada");
    terminal.answer("Where is the private key of Ada?", "ada.pem");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Metadata Signed and sent to the API!"), "{screen}");
    assert!(screen.contains("root v2 has all signatures that it needs."), "{screen}");
    assert!(office.server.bucket().join("2.root.json").exists());
    let words = changing(&screen);
    let mut words: Vec<_> = words.iter().map(|(word, name)| (word.as_str(), *name)).collect();
    // Within the second in which it was made there are 200.
    words.push(("in 199 days", "in 200 days"));
    golden::compare("sign", columns, &screen, &words);
}

/// What differs from run to run: ids of keys and tasks, and times.
pub(super) fn changing(screen: &str) -> Vec<(String, &'static str)> {
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = |word: &str| match word.len() {
        64 if hex(word) => Some("<key id>"),
        32 if hex(word) => Some("<task id>"),
        20 if word.ends_with('Z') && word.as_bytes()[10] == b'T' => Some("<time>"),
        _ => None,
    };
    let words = screen.split(|character: char| !(character.is_alphanumeric() || "-:".contains(character)));
    words.filter_map(|word| Some((word.to_owned(), name(word)?))).collect()
}

#[test]
fn programs_are_told_what_changes_and_who_is_missing() {
    let office = with_second_root();
    let done = office.admin(&by("joan"), &["metadata", "sign", "--out"]).expect("signed");
    let changes = done["changes"].as_array().expect("changes");
    let told = |change: &str, name: &str| {
        changes.iter().any(|told| told["change"] == change && told["name"] == name && told["role"] == "root")
    };
    assert!(told("key added", "Joan") && told("key removed", "Grace"), "{done:#}");
    let missing = json!([{"authority": "root v1", "signatures": 1, "of": ["Ada", "Grace"]}]);
    assert_eq!(done["missing"], missing);
    assert_eq!(done["files"], json!(["sign-payload.json"]));
    let payload = read(&office, "sign-payload.json");
    assert_eq!(payload, done["payloads"][0]);
    let members: Vec<&str> = payload.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!((members, &payload["role"]), (vec!["signature", "role"], &json!("root")));
    let done = office.admin(&by("grace"), &["metadata", "sign"]).expect("signed");
    assert_eq!(done["missing"], json!([]));
}

#[test]
fn a_root_is_signed_where_there_is_no_network() {
    let office = with_second_root();
    let url = office.server.url();
    let fetched = office.document(&["--json", "admin", "--api-server", &url, "metadata", "sign", "--fetch", "w.json"]);
    assert_eq!(fetched.expect("fetched")["waiting"][0]["signed_by"], json!(["Linus"]));
    write(&office, "a.yml", &by("ada"));
    let offline = ["--json", "--answers", "a.yml", "admin", "metadata", "sign", "--in", "w.json"];
    let nowhere = office.document(&offline).expect_err("it can't be sent");
    let cause = "there is no server that the signature could be sent to, and no file for it";
    assert_eq!(nowhere["error"], cause);
    let made = office.document(&[&offline[..], &["--out", "s.json", "--dry-run"]].concat()).expect("made");
    assert_eq!((&made["missing"], &made["tasks"]), (&json!([]), &json!([])));
    let send = |kind: &str, file: &str| office.document(&["--json", "admin", "--api-server", &url, "send", kind, file]);
    let wrong = send("update", "s.json").expect_err("another kind");
    assert_eq!(wrong["error"], "this is a sign payload, not one for `send update`");
    let wrong = send("sign", "w.json").expect_err("no payload");
    assert_eq!(wrong["error"], "this is what waits for signatures, not a payload");
    let sent = send("sign", "s.json").expect("sent");
    assert_eq!(sent["result"]["details"]["update"], "Metadata update finished");
    assert!(office.server.bucket().join("2.root.json").exists());
    let again = send("sign", "s.json").expect_err("it is published");
    assert!(again["error"].as_str().is_some_and(|why| why.contains("No signatures pending for root")), "{again}");
}

#[test]
fn what_clients_would_refuse_is_not_signed() {
    let office = with_second_root();
    let url = office.server.url();
    office
        .document(&["--json", "admin", "--api-server", &url, "metadata", "sign", "--fetch", "w.json"])
        .expect("fetched");
    let good = read(&office, "w.json");
    let root = "/data/metadata/root/signed";
    let trusted = "/data/metadata/trusted_root/signed";
    let keys = good.pointer("/data/metadata/root/signed/keys").expect("keys").clone();
    let cases: [(&str, Value, &str); 13] = [
        (&format!("{root}/version"), json!(3), "Expected root version 2 instead got version 3"),
        (&format!("{root}/version"), json!(1), "Expected root version 2 instead got version 1"),
        (&format!("{root}/version"), json!(0), "can't be read: version: must be a whole number from 1"),
        (&format!("{root}/expires"), json!("2020-01-01T00:00:00Z"), "it expired at 2020-01-01T00:00:00Z"),
        (&format!("{root}/expires"), json!("tomorrow"), "can't be read: expires: must be a time"),
        (&format!("{root}/roles/root/threshold"), json!(4), "root needs signatures of 4 keys, and 3 of its own can"),
        (&format!("{root}/roles/snapshot/threshold"), json!(2), "snapshot needs signatures of 2 keys, and 1 can make"),
        (&format!("{root}/consistent_snapshot"), json!(false), "consistent_snapshot must be true"),
        (&format!("{root}/_type"), json!("snapshot"), "Supporting only root and targets pending role types"),
        (&format!("{root}/_type"), json!("targets"), "can't be read"),
        (&format!("{trusted}/keys"), keys, "the trusted root is not signed by enough of its own keys"),
        (&format!("{trusted}/version"), json!(4), "the trusted root is not signed by enough of its own keys"),
        ("/data/metadata/trusted_root", Value::Null, "Previous root v1 needed to sign root v2."),
    ];
    for (pointer, value, why) in cases {
        let mut tampered = good.clone();
        *tampered.pointer_mut(pointer).expect(pointer) = value;
        write(&office, "t.json", &tampered);
        let sign = ["metadata", "sign", "--in", "t.json", "--dry-run"];
        let refused = office.admin(&by("ada"), &sign).expect_err(pointer);
        assert!(refused["error"].as_str().is_some_and(|cause| cause.contains(why)), "{pointer}: {refused}");
        assert!(refused["remedy"].is_string() || why.starts_with("can't be read"), "{pointer}: {refused}");
    }
    for (text, why) in [("{", "is not JSON"), ("{}", "this is no reply of GET /api/v1/metadata/sign")] {
        fs::write(office.home.join("t.json"), text).expect("a file can be written");
        let refused = office.admin(&by("ada"), &["metadata", "sign", "--in", "t.json", "--dry-run"]).expect_err(text);
        assert!(refused["error"].as_str().is_some_and(|cause| cause.contains(why)), "{refused}");
    }
}

#[test]
fn what_changed_since_it_was_shown_is_not_sent() {
    let office = with_second_root();
    let url = office.server.url();
    office
        .document(&["--json", "admin", "--api-server", &url, "metadata", "sign", "--fetch", "w.json"])
        .expect("fetched");
    let mut other = read(&office, "w.json");
    other["data"]["metadata"]["root"]["signed"]["expires"] = json!("2030-01-01T00:00:00Z");
    write(&office, "w.json", &other);
    let refused = office.admin(&by("ada"), &["metadata", "sign", "--in", "w.json"]).expect_err("it is another");
    assert_eq!(refused["error"], "root v2 does not wait any more as it was shown; nothing was sent");
    let office_signers = office.admin(&json!({}), &["metadata", "sign", "--fetch", "now.json"]).expect("fetched");
    assert_eq!(office_signers["waiting"][0]["signed_by"], json!(["Linus"]));
}

#[test]
fn a_role_is_signed_by_two_of_three() {
    let office = Office::open();
    office.found();
    let keys = json!([person("ada"), person("grace"), person("joan")]);
    let role = json!({"name": "Dev_Team", "days": 30, "paths": ["dev/*"], "signed_by": "people", "threshold": 2, "keys": keys});
    office.admin(&json!({ "roles": [role] }), &["delegations", "new"]).expect("delegated");
    let url = office.server.metadata_url();
    let sign = |name: &str| {
        let mut answers = by(name);
        answers["role"] = json!("Dev_Team");
        office.admin(&answers, &["metadata", "sign", "--metadata-url", &url])
    };
    let first = sign("joan").expect("signed");
    assert_eq!((&first["version"], &first["missing"][0]["signatures"]), (&json!(1), &json!(1)));
    assert_eq!(sign("ada").expect("signed")["missing"], json!([]));

    let add = |artifact: &Artifact| {
        crate::harness::block_on(async {
            office.server.api().add(std::slice::from_ref(artifact)).await.expect("the server answers").task()
        })
    };
    let artifact = Artifact::new("dev/a", "a");
    let task = add(&artifact);
    wait_until_it_waits(&office, "dev/a");
    let second = sign("grace").expect("signed");
    let change = json!({"change": "artifact", "path": "dev/a", "from": null, "to": artifact.info()});
    let changes = second["changes"].as_array().expect("changes");
    assert!(changes.iter().any(|told| told["change"] == "artifact" && told["path"] == "dev/a"), "{change} {second:#}");
    assert!(changes.iter().all(|told| told["change"] == "artifact" || told["name"] == "expires"), "{second:#}");
    let stranger = sign("linus").expect_err("no key of the role");
    assert!(stranger["error"].as_str().is_some_and(|why| why.contains("signatures[0].key")), "{stranger}");
    assert_eq!(sign("ada").expect("signed")["missing"], json!([]));
    crate::harness::block_on(office.server.api().success(&task));
}

fn wait_until_it_waits(office: &Office, text: &str) {
    let api = office.server.api();
    crate::harness::block_on(async {
        let pending = async {
            while !api.get("/metadata/sign").await.expect("the server answers").body["data"]["metadata"]
                .to_string()
                .contains(text)
            {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let pending = tokio::time::timeout(std::time::Duration::from_secs(60), pending).await;
        if pending.is_err() {
            let body = api.get("/metadata/sign").await.expect("the server answers").body;
            panic!("{text} is not drafted: {body:#}");
        }
    });
}

#[test]
fn a_delegation_that_is_only_announced_says_who_signs() {
    let office = Office::open();
    office.found();
    crate::harness::block_on(async {
        let api = office.server.api();
        let task = api.add(&[Artifact::new("dev/a", "a")]).await.expect("the server answers").task();
        api.success(&task).await;
    });
    // Clients see dev/a, so the delegation waits until the role is signed.
    let role = json!({"name": "dev", "days": 30, "paths": ["dev/*"], "signed_by": "people", "threshold": 1,
        "keys": [person("joan")]});
    let done = office.admin(&json!({ "roles": [role] }), &["delegations", "new"]).expect("delegated");
    assert_eq!(done["result"]["details"]["pending_roles"], json!(["dev"]));
    wait_until_it_waits(&office, "\"dev\":");
    let done = office.admin(&by("joan"), &["metadata", "sign"]).expect("signed");
    assert_eq!((&done["role"], &done["missing"]), (&json!("dev"), &json!([])));
    assert!(office.server.bucket().join("1.dev.json").exists() || office.server.bucket().join("2.dev.json").exists());
}

#[test]
fn a_signing_is_given_up() {
    let office = with_second_root();
    let mut terminal = office.terminal(80, &["metadata", "stop-sign"]);
    terminal.answer("Which role do you give up?", "");
    terminal.answer("Give up root v2, with the signatures that it has?", "");
    let (code, screen) = terminal.end();
    assert!(code == 1 && screen.contains("goes on to wait for signatures"), "{screen}");
    let other = office.admin(&json!({}), &["metadata", "stop-sign", "--role", "dev"]).expect_err("it does not wait");
    assert_eq!(other["error"], "dev does not wait for signatures");
    let done = office.admin(&json!({"stop": true}), &["metadata", "stop-sign"]).expect("given up");
    assert_eq!((&done["role"], &done["version"]), (&json!("root"), &json!(2)));
    let nothing = office.admin(&json!({}), &["metadata", "stop-sign", "--yes"]).expect_err("nothing waits");
    assert_eq!(nothing["error"], "No metadata available for signing");
}

#[test]
fn replies_of_the_python_service_are_understood() {
    let office = Office::open();
    let recorded = |name: &str| checkout().join("tests/fixtures/recorded").join(name).to_string_lossy().into_owned();
    let tell = |name: &str| {
        let run =
            office.rstuf(&["admin", "metadata", "sign", "--in", &recorded(name), "--dry-run", "--role", role(name)]);
        assert_eq!(run.status.code(), Some(1));
        (super::text(&run.stdout), super::text(&run.stderr))
    };
    let (told, asked) = tell(RECORDED[0]);
    assert!(told.contains("root v1, expires 2027-11-22T09:48:44Z\n  signed by  JanisJoplin"), "{told}");
    assert!(told.contains("What root v1 says, the first version:"), "{told}");
    assert!(asked.contains("signatures[0].key"), "{asked}");
    let (told, asked) = tell(RECORDED[1]);
    assert!(told.contains("What root v2 changes since v1:"), "{told}");
    assert!(asked.contains("signatures[0].key"), "{asked}");
    // It expired as soon as it was made.
    let (told, refused) = tell(RECORDED[2]);
    assert!(told.contains("staging v1") && told.contains("staging needs 2 more signatures"), "{told}");
    assert!(refused.contains("it expired at 2026-11-22T09:52:59Z"), "{refused}");
}

fn role(recorded: &str) -> &str {
    if recorded.starts_with("custom") { "staging" } else { "root" }
}
