//! Payload files go from one command line to the other; replies of the Python service are understood.
//!
//! What was recorded of it is in `tests/fixtures/cli`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::ceremony::Office;
use crate::{
    harness::{checkout, deployment::Deployment, web::Web},
    peers::cli::{Cli, answer, choose, half_ceremony},
};

/// Runs a command of `admin` that reaches no server, with these answers.
fn offline(office: &Office, answers: &Value, arguments: &[&str]) -> Value {
    fs::write(office.home.join("offline.yml"), answers.to_string()).expect("answers can be written");
    let common = ["--json", "--answers", "offline.yml", "admin"];
    office.document(&[&common, arguments].concat()).unwrap_or_else(|failure| panic!("{arguments:?}: {failure}"))
}

/// A key pair in the office.
fn key(office: &Office, name: &str, kind: &str) -> PathBuf {
    let file = office.home.join(format!("{name}.pem"));
    let made = office.rstuf(&["key", "generate", "--no-password", "--type", kind, "--out", &file.to_string_lossy()]);
    assert!(made.status.success(), "{name}: {}", super::text(&made.stderr));
    file
}

fn public(name: &str) -> Value {
    json!({"public": format!("{name}.pem.pub"), "name": name})
}

fn private(name: &str) -> Value {
    json!({"key": name, "private": format!("{name}.pem")})
}

fn online(name: &str) -> Value {
    json!({"public": format!("{name}.pem.pub"), "name": name, "uri": format!("fn:{name}.pem")})
}

fn ceremony(people: &[&str], online_key: &str, signers: &[&str]) -> Value {
    json!({
        "bins": {"number": 2},
        "root": {"threshold": 2, "keys": people.iter().copied().map(public).collect::<Vec<_>>()},
        "online": {"key": online(online_key)},
        "signatures": signers.iter().copied().map(private).collect::<Vec<_>>(),
    })
}

/// The next root, with another online key.
fn next_root(online_key: &str, signers: &[&str]) -> Value {
    json!({
        "online": {"roles": ["timestamp", "snapshot", "targets"], "key": online(online_key)},
        "signatures": signers.iter().copied().map(private).collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn payloads_of_ours_are_sent_by_the_python_command_line() {
    let office = Office::open();
    office.online_key("other");
    let (url, theirs) = (office.server.url(), Cli::of(&office.home));
    let send = |kind: &str, file: &str| theirs.run(&["admin", "--api-server", &url, "send", kind, file]).well();

    let out = ["--dry-run", "--out", "ceremony.json"];
    offline(
        &office,
        &ceremony(&["ada", "grace", "linus"], "online", &["ada", "grace"]),
        &[&["ceremony"][..], &out].concat(),
    );
    let sent = send("bootstrap", "ceremony.json");
    assert!(sent.contains("SUCCESS") && sent.contains("Bootstrap completed."), "{sent}");

    let root = office.server.bucket().join("1.root.json");
    let update = ["metadata", "update", "--in", &root.to_string_lossy(), "--dry-run", "--out", "update.json"];
    offline(&office, &next_root("other", &["ada"]), &update);
    let sent = send("update", "update.json");
    assert!(sent.contains("SUCCESS") && sent.contains("Root metadata update completed."), "{sent}");
    assert!(!office.server.bucket().join("2.root.json").exists(), "one signature is missing");

    let waiting = office.server.api().get("/metadata/sign").await.expect("the server answers").body;
    fs::write(office.home.join("waiting.json"), waiting.to_string()).expect("it can be written");
    let sign = ["metadata", "sign", "--in", "waiting.json", "--dry-run", "--out", "sign.json"];
    offline(&office, &json!({"signatures": [private("linus")]}), &sign);
    let sent = send("sign", "sign.json");
    assert!(sent.contains("SUCCESS") && sent.contains("Metadata Signed!"), "{sent}");
    assert!(office.server.bucket().join("2.root.json").exists());
}

#[tokio::test]
async fn payloads_of_the_python_command_line_are_sent_by_ours() {
    let office = Office::open();
    let (url, theirs, held) = (office.server.url(), Cli::of(&office.home), office.server.scratch("theirs"));
    half_ceremony(&held, &office.server.keys());
    let send = |kind: &str, file: &Path| {
        let arguments = ["--json", "admin", "--api-server", &url, "send", kind, &file.to_string_lossy()];
        office.document(&arguments).unwrap_or_else(|failure| panic!("{kind}: {failure}"))
    };
    let state = async || {
        let reply = office.server.api().get("/bootstrap/").await.expect("the server answers");
        reply.body["data"]["state"].clone()
    };
    let signature = |person: &str| {
        let private = held.join(person);
        [choose("Key PEM File", 1), answer("private key", &private.to_string_lossy()), answer("password", "hunter2")]
    };
    send("bootstrap", &held.join("payload.json"));
    assert_eq!(state().await, "signing");

    let signed = office.home.join("their-sign.json");
    let arguments =
        ["admin", "--api-server", &url, "metadata", "sign", "--dry-run", "--out", &signed.to_string_lossy()];
    let first = [choose("Select a role to sign", 0), choose("Select key for signing", 0)];
    theirs.at_terminal(&arguments, &[&first[..], &signature("Grace")].concat(), "Saved result").well();
    send("sign", &signed);
    assert_eq!(state().await, "finished");

    let updated = office.home.join("their-update.json");
    let metadata_url = office.server.metadata_url();
    let arguments = [
        "admin",
        "metadata",
        "update",
        "--metadata-url",
        metadata_url.trim_end_matches('/'),
        "--dry-run",
        "--out",
        &updated.to_string_lossy(),
    ];
    let steps = [
        answer("change the expiry date?", "n"),
        answer("change the threshold?", "n"),
        choose("remove", 0),
        answer("change the online key?", "y"),
        choose("Key PEM File", 4),
        answer("PUBLIC", &held.join("next-online.pub").to_string_lossy()),
        answer("key name", "next-online"),
        choose("Select a key for signing", 0),
    ];
    let second = [choose("Select a key for signing or continue", 1)];
    let steps = [&steps[..], &signature("Ada"), &second, &signature("Grace")].concat();
    theirs.at_terminal(&arguments, &steps, "Saved result").well();
    send("update", &updated);
    assert!(office.server.bucket().join("2.root.json").exists());

    let delegated = office.home.join("their-delegations.json");
    let arguments = ["admin", "delegations", "new", "--dry-run", "--out", &delegated.to_string_lossy()];
    let steps = [
        answer("delegated target role name", "vendors"),
        answer("'vendors' role", "30"),
        answer("enter path", "vendors/*"),
        choose("remove path", 0),
        choose("Add Keys", 0),
        choose("remove delegation", 0),
    ];
    theirs.at_terminal(&arguments, &steps, "Saved result").well();
    send("delegations", &delegated);
    let config = office.server.api().get("/config/").await.expect("the server answers").body;
    assert!(config.to_string().contains("vendors"), "{config}");
}

#[test]
fn payloads_are_those_of_the_python_command_line() {
    let office = Office::open();
    for (name, kind) in [
        ("JanisJoplin", "ecdsa-p256"),
        ("JimiHendrix", "ed25519"),
        ("JoeCocker", "rsa"),
        ("online1", "rsa"),
        ("online2", "ecdsa-p256"),
    ] {
        key(&office, name, kind);
    }
    let people = ["JanisJoplin", "JimiHendrix", "JoeCocker"];
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(office.home.join(file)).expect("it was written")).expect("JSON")
    };
    offline(&office, &ceremony(&people, "online1", &people[..1]), &["ceremony", "--dry-run", "--out", "ceremony.json"]);
    assert_eq!(shape(&read("ceremony.json")), shape(&recorded("ceremony.json")));

    offline(&office, &ceremony(&people, "online1", &people[..2]), &["ceremony", "--dry-run", "--out", "full.json"]);
    let root = read("full.json")["metadata"]["root"].clone();
    fs::write(office.home.join("1.root.json"), root.to_string()).expect("it can be written");
    let update = ["metadata", "update", "--in", "1.root.json", "--dry-run", "--out", "update.json"];
    offline(&office, &next_root("online2", &people[..1]), &update);
    assert_eq!(shape(&read("update.json")), shape(&recorded("update.json")));

    let waiting = json!({"data": {"metadata": {"root": read("ceremony.json")["metadata"]["root"]}}, "message": "x"});
    fs::write(office.home.join("waiting.json"), waiting.to_string()).expect("it can be written");
    let sign = ["metadata", "sign", "--in", "waiting.json", "--dry-run", "--out", "sign.json"];
    offline(&office, &json!({"signatures": [private("JimiHendrix")]}), &sign);
    assert_eq!(shape(&read("sign.json")), shape(&recorded("sign.json")));

    let roles = json!({"roles": [
        {"name": "default", "days": 7, "paths": ["*", "*/*", "*/*/*"]},
        {"name": "staging", "days": 30, "paths": ["staging/*"], "signed_by": "people", "threshold": 2,
            "keys": people[..2].iter().copied().map(public).collect::<Vec<_>>()},
    ]});
    offline(&office, &roles, &["delegations", "new", "--dry-run", "--out", "delegations.json"]);
    assert_eq!(shape(&read("delegations.json")["delegations"]), shape(&recorded("delegations.json")));
}

#[test]
fn replies_of_the_python_service_are_understood() {
    let office = Office::open();
    let directory = office.server.scratch("recorded");
    for (path, reply) in [
        ("bootstrap", "get-bootstrap-signing.json"),
        ("config", "get-config.json"),
        ("metadata/sign", "get-metadata-sign.json"),
        ("task", "get-task-success.json"),
    ] {
        let file = directory.join("api/v1").join(path);
        fs::create_dir_all(file.parent().expect("it has a directory")).expect("a directory can be made");
        fs::copy(fixture(reply), file).expect("it can be copied");
    }
    let web = Web::serve(directory);
    let run = |arguments: &[&str]| {
        let output = office.rstuf(arguments);
        (output.status.code(), super::text(&output.stdout), super::text(&output.stderr))
    };
    let admin = ["admin", "--api-server", web.url()];

    let (code, stdout, stderr) = run(&["task", "info", "2ba620c613084c199d5af6794c778aed", "--api-server", web.url()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Task status: SUCCESS"), "{stdout}");

    let (code, stdout, stderr) = run(&[&admin[..], &["config", "show"]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("JanisJoplin") && stdout.contains("online1"), "{stdout}");

    let (code, _, stderr) = run(&[&admin[..], &["ceremony"]].concat());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("waits for signatures on this server"), "{stderr}");

    let (code, stdout, stderr) = run(&[&admin[..], &["metadata", "stop-sign", "--role", "root"]].concat());
    assert_eq!(code, Some(1));
    assert!(stdout.contains("root") && stderr.contains("no answer to stop"), "{stdout}{stderr}");
}

fn fixture(name: &str) -> PathBuf {
    checkout().join("tests/fixtures/cli").join(name)
}

fn recorded(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name)).expect("it was recorded")).expect("JSON")
}

/// A payload without what differs each time: keys and their ids, signatures, times; and without order.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.keys().all(|name| is_id(name)) => {
            let all: BTreeSet<_> = members.values().map(|member| shape(member).to_string()).collect();
            json!(all)
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let value = match name.as_str() {
                    "sig" | "expires" | "public" => json!(format!("<{name}>")),
                    _ => shape(value),
                };
                (name.clone(), value)
            };
            let mut members: Vec<_> = members.iter().map(member).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(text) if is_id(text) => json!("<id>"),
        Value::String(text) if text.starts_with("fn:") => json!("fn:<file>"),
        other => other.clone(),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
