//! The next root.

use std::fs;

use jiff::Timestamp;
use rstuf::tuf::{root::Root, wire::Metadata};
use serde_json::{Value, json};

use super::ceremony::{Office, compare, dates, online, person, signature};
use crate::{
    harness::{artifact::Artifact, deployment::Deployment, terminal::CTRL_C},
    judges::{program::Program, tough::Tough},
};

impl Office {
    fn update(&self, answers: &Value, more: &[&str]) -> Result<Value, Value> {
        let url = self.server.metadata_url();
        self.admin(answers, &[&["metadata", "update", "--metadata-url", &url], more].concat())
    }

    fn root(&self, version: u64) -> (Value, Root) {
        let file = fs::read(self.server.bucket().join(format!("{version}.root.json"))).expect("the root is there");
        let metadata = Metadata::parse(&file).expect("metadata");
        let root = Root::view(&metadata.signed).expect("a root");
        (metadata.signed, root)
    }
}

#[tokio::test]
async fn all_clients_follow_to_other_people_and_another_online_key() {
    let office = Office::open();
    office.found();
    office.online_key("fresh");
    let answers = json!({
        "root": {"remove": ["Ada"], "add": [person("joan")], "threshold": 3, "days": 100},
        "online": {"roles": ["timestamp", "snapshot", "targets"], "key": online("fresh")},
        "signatures": [signature("ada"), signature("grace"), signature("linus"), signature("joan")],
    });
    let done = office.update(&answers, &["--rotation", "immediate", "--out"]).expect("published");
    assert_eq!((&done["state"], &done["version"], &done["missing"]), (&json!("published"), &json!(2), &json!([])));
    assert!(done["preview"]["signed_again"].as_array().is_some_and(|roles| roles.contains(&json!("bins"))), "{done}");
    let payload: Value = serde_json::from_slice(&fs::read(office.home.join("update-payload.json")).expect("a file"))
        .expect("it is JSON");
    assert_eq!(payload["rotation"], "immediate");

    let ((before, old), (after, new)) = (office.root(1), office.root(2));
    assert_eq!(new.roles["root"].threshold, 3);
    assert_eq!(new.keys.len(), 4);
    assert!(!new.keys.contains_key(&old.roles["root"].keyids[0]));
    assert_ne!(new.roles["timestamp"], old.roles["timestamp"]);
    assert_eq!(after["spec_version"], before["spec_version"]);

    let repository = office.repository(Value::Null);
    let artifact = Artifact::new("after.txt", "after");
    repository.add(std::slice::from_ref(&artifact)).await;
    assert_eq!(Tough::load(&repository).await.find(&["after.txt"])["after.txt"], artifact.info());
    assert_eq!(Program::python_tuf().find(&repository, &["after.txt"])["after.txt"], artifact.info());
}

#[tokio::test]
async fn a_root_with_too_few_signatures_waits_for_the_others() {
    let office = Office::open();
    office.found();
    let alone = json!({"root": {"threshold": 3}, "signatures": [signature("ada")]});
    let done = office.update(&alone, &[]).expect("accepted");
    assert_eq!(done["state"], "signing");
    let missing = json!([
        {"authority": "root v1", "signatures": 1, "of": ["Grace", "Linus"]},
        {"authority": "root v2", "signatures": 2, "of": ["Grace", "Linus"]}]);
    assert_eq!(done["missing"], missing);

    // Another one takes its place, and that is told before.
    let url = office.server.metadata_url();
    let mut terminal = office.terminal(80, &["metadata", "update", "--metadata-url", &url]);
    terminal.answer("Does it get a new expiry?", "n");
    terminal.answer("Which root keys go?", "");
    terminal.choose("What about the new root keys?", "continue");
    terminal.answer("How many of the 3 must sign root?", "3");
    terminal.answer("Which of them get another online key?", "");
    terminal.expect("Warning: root v2 waits for signatures on the server");
    terminal.question("Is this the root that you want?");
    terminal.press(CTRL_C);
    terminal.answer("Keep your answers", "n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("nothing was signed or sent"), "{screen}");
}

#[tokio::test]
async fn a_root_made_offline_is_sent_by_another() {
    let office = Office::open();
    office.found();
    fs::copy(office.server.bucket().join("1.root.json"), office.home.join("1.root.json")).expect("a copy");
    let answers = json!({"root": {"days": 30}, "signatures": [signature("ada"), signature("linus")]});
    fs::write(office.home.join("a.yml"), answers.to_string()).expect("answers can be written");
    let offline = [
        "--json",
        "--answers",
        "a.yml",
        "admin",
        "metadata",
        "update",
        "--in",
        "1.root.json",
        "--dry-run",
        "--out",
        "u.json",
    ];
    let made = office.document(&offline).expect("made");
    assert_eq!((&made["state"], &made["preview"]), (&json!("not sent"), &Value::Null));
    let payload: Value = serde_json::from_slice(&fs::read(office.home.join("u.json")).expect("a file")).expect("JSON");
    assert_eq!(payload, made["payload"]);
    assert!(payload.as_object().is_some_and(|members| members.keys().eq(["metadata"])), "{payload}");
    let api = office.server.api();
    let task = api.post("/metadata/", &payload).await.expect("the server answers").task();
    api.success(&task).await;
    assert_eq!(office.root(2).0, payload["metadata"]["root"]["signed"]);
}

#[test]
fn what_clients_would_refuse_is_not_signed() {
    let office = Office::open();
    office.found();
    let signatures = json!([signature("ada"), signature("grace")]);
    for (answers, why) in [
        (
            json!({"root": {"renew": false}, "signatures": signatures}),
            "nothing changes, so there is no next root to sign",
        ),
        (
            json!({"root": {"threshold": 4}, "signatures": signatures}),
            "answer root.threshold: must be a whole number from 2 to 3",
        ),
        (
            json!({"root": {"remove": ["Eve"]}, "signatures": signatures}),
            "answer root.remove: \"Eve\" is none of Ada, Grace, Linus",
        ),
        (
            json!({"root": {"add": [person("grace")]}, "signatures": signatures}),
            "answer root.add[0].public: grace.pem.pub is the key of Grace already",
        ),
        (json!({"root": {"days": 0}}), "answer root.days: must be a whole number of days from 1 to 36500"),
        (json!({"confirm": false, "signatures": signatures}), "not confirmed, nothing was signed or sent"),
    ] {
        let refused = office.update(&answers, &[]).expect_err(why);
        assert_eq!(refused["error"], why);
    }
    fs::write(office.home.join("x.json"), "{}").expect("a file can be written");
    let other = office.admin(&json!({}), &["metadata", "update", "--in", "x.json"]).expect_err("no root");
    assert!(
        other["error"].as_str().is_some_and(|cause| cause.starts_with("x.json is no root that can be trusted")),
        "{other}"
    );
    let nowhere =
        office.admin(&json!({"trusted": "http://127.0.0.1:9"}), &["metadata", "update"]).expect_err("nowhere");
    assert!(
        nowhere["error"].as_str().is_some_and(|cause| cause.starts_with("can't trust the root below")),
        "{nowhere}"
    );
    // An older root than the server has is found by its dry run.
    fs::copy(office.server.bucket().join("1.root.json"), office.home.join("1.root.json")).expect("a copy");
    office.update(&json!({"signatures": signatures}), &[]).expect("published");
    let late = office
        .admin(&json!({"signatures": signatures}), &["metadata", "update", "--in", "1.root.json", "--out", "u.json"]);
    let late = late.expect_err("an old root");
    assert_eq!(late["error"], "the server would refuse it: Expected root version 3 instead got version 2");
}

#[test]
fn a_person_makes_the_next_root() {
    for columns in [80, 120] {
        let office = Office::open();
        office.found();
        let began = Timestamp::now();
        std::fs::copy(office.server.bucket().join("1.root.json"), office.home.join("1.root.json")).expect("copied");
        let mut terminal = office.terminal(columns, &["metadata", "update"]);
        terminal.answer("Where is the newest root?", "1.root.json");
        terminal.answer("Does it get a new expiry?", "");
        terminal.answer("Days for which root is valid", "100");
        terminal.tick("Which root keys go?", &["Grace"]);
        terminal.question("What about the new root keys?");
        // What was taken back is offered again.
        terminal.undo("Which root keys go?");
        terminal.answer("Which root keys go?", "");
        terminal.choose("What about the new root keys?", "add a new root key");
        terminal.answer("Where is the public key?", "joan.pem.pub");
        terminal.answer("What is it called?", "Joan");
        terminal.choose("What about the new root keys?", "continue");
        terminal.answer("How many of the 3 must sign root?", "");
        terminal.answer("Which of them get another online key?", "");
        terminal.answer("Is this the root that you want?", "");
        for (name, called) in [("ada", "Ada"), ("linus", "Linus")] {
            terminal.choose("Who signs?", called);
            terminal.answer(&format!("Where is the private key of {called}?"), &format!("{name}.pem"));
        }
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("Root v2 is published"), "{screen}");
        let names: Vec<_> = office.root(2).1.keys.values().map(|key| key.raw["x-rstuf-key-name"].clone()).collect();
        assert!(names.contains(&json!("Joan")) && !names.contains(&json!("Grace")), "{names:?}");
        let roots = [office.root(1).1, office.root(2).1];
        let ids = roots.iter().flat_map(|root| root.keys.keys());
        let ids = ids.map(|id| (id.as_str()[..8].to_owned(), "<key id>".to_owned()));
        let times = placeholders_of_times(&screen).into_iter().chain(dates(began, &[100, 365]));
        compare("metadata-update", columns, &screen, times.chain(ids).collect());
    }
}

/// The times of a screen, as metadata has them.
fn placeholders_of_times(screen: &str) -> Vec<(String, String)> {
    let words =
        screen.split_whitespace().filter_map(|word| word.trim_end_matches([':', '.']).parse::<Timestamp>().ok());
    words.map(|time| (time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "<a time, 20 letters>".to_owned())).collect()
}
