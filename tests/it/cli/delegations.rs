//! Roles of other people come, change and go.

use std::{fs, time::Duration};

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::ceremony::{Office, person};
use crate::harness::{block_on, deployment::Deployment, repository::Repository};

fn office() -> Office {
    let office = Office::open();
    office.found();
    office
}

fn by_people(name: &str, people: &[&str], threshold: u32) -> Value {
    let keys: Vec<_> = people.iter().map(|name| person(name)).collect();
    json!({"name": name, "days": 30, "paths": [format!("{name}/*")], "signed_by": "people", "threshold": threshold,
        "keys": keys})
}

/// Waits until the service tells that a role is delegated to so: its settings follow what it publishes.
pub(super) fn until_delegated(office: &Office, name: &str, is_so: impl Fn(&Value) -> bool) {
    let api = office.server.api();
    let told = async {
        loop {
            let config = api.get("/config/").await.expect("the server answers").body;
            let delegations = &config["data"]["trusted_targets"]["signed"]["delegations"];
            let roles = delegations["roles"].as_array().expect("roles");
            if is_so(roles.iter().find(|role| role["name"] == name).unwrap_or(&Value::Null)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    block_on(async { tokio::time::timeout(Duration::from_secs(60), told).await }).expect("it is told");
}

#[test]
fn a_role_comes_changes_and_goes() {
    let office = office();
    let online = json!({"name": "docs", "days": 7, "paths": ["docs/*", "*.md"], "terminating": false});
    let answers = json!({"roles": [online, by_people("dev", &["ada", "grace", "joan"], 2)]});
    let done = office.admin(&answers, &["delegations", "new", "--out"]).expect("delegated");
    assert_eq!(done["result"]["details"]["delegated_roles"], json!(["docs", "dev"]));
    assert_eq!(done["preview"]["changes"][1]["signed_by"], "people");
    let file: Value = serde_json::from_slice(&fs::read(office.home.join("delegations-new.json")).expect("written"))
        .expect("it is JSON");
    assert_eq!(file, done["payload"]);
    let keys = done["payload"]["delegations"]["keys"].as_object().expect("keys");
    assert_eq!(keys.len(), 3);
    until_delegated(&office, "docs", |role| role["terminating"] == false);
    until_delegated(&office, "dev", |role| role["keyids"].as_array().is_some_and(|ids| ids.len() == 3));

    // What is not said stays as it is.
    let answers = json!({"roles": [{"name": "docs", "paths": ["docs/*"]}]});
    office.admin(&answers, &["delegations", "update"]).expect("changed");
    until_delegated(&office, "docs", |role| role["paths"] == json!(["docs/*"]) && role["terminating"] == false);

    let again = office.admin(&json!({"roles": [{"name": "Docs", "paths": ["x"]}]}), &["delegations", "new"]);
    let again = again.expect_err("the name is taken");
    assert!(again["error"].as_str().is_some_and(|why| why.contains("there is docs already")), "{again}");

    let kept = office.admin(&json!({}), &["delegations", "delete", "docs"]).expect_err("nobody said yes");
    assert_eq!(kept["error"], "stopped, nothing was sent");
    let done = office.admin(&json!({"roles": ["docs"], "delete": true}), &["delegations", "delete"]).expect("gone");
    assert_eq!(done["payload"], json!({"delegations": {"roles": [{"name": "docs"}]}}));
    until_delegated(&office, "docs", Value::is_null);
    let unknown = office.admin(&json!({}), &["delegations", "delete", "docs", "--yes"]).expect_err("it is gone");
    assert_eq!(unknown["error"], "there is no delegated role docs");
    let past = office.admin(&json!({"roles": [{"name": "docs", "paths": ["x"]}]}), &["delegations", "new"]);
    let past = past.expect_err("names are not used again");
    assert!(past["error"].as_str().is_some_and(|why| why.contains("name used in the past")), "{past}");
}

#[test]
fn a_key_is_removed_at_a_terminal() {
    let office = office();
    let mut terminal = office.terminal(80, &["delegations", "new"]);
    terminal.answer("Name of the role:", "dev");
    terminal.answer("Days for which dev is valid:", "30");
    terminal.answer("Paths of dev:", "dev/*");
    terminal.choose("What about the paths?", "continue");
    terminal.answer("Is dev the last one to be asked", "");
    terminal.choose("Who signs dev?", "people");
    terminal.answer("How many people must sign dev?", "1");
    for name in ["ada", "grace"] {
        if name == "grace" {
            terminal.choose("What about the keys?", "add another key");
        }
        terminal.answer("Where is the public key?", &format!("{name}.pem.pub"));
        terminal.answer("What is it called?", name);
    }
    terminal.choose("What about the keys?", "continue");
    terminal.choose("What about the delegated roles?", "continue");
    terminal.expect("+ dev: dev/*; signed by people, 1 of ada, grace; valid for 30 days");
    terminal.answer("Delegate to these roles?", "");
    let (code, screen) = terminal.end();
    assert!(code == 0 && screen.contains("Done: dev"), "{screen}");
    until_delegated(&office, "dev", Value::is_object);

    let mut terminal = office.terminal(120, &["delegations", "update"]);
    terminal.choose("Which role changes?", "dev");
    terminal.answer("Days for which dev is valid:", "");
    terminal.choose("What about the paths?", "continue");
    terminal.answer("Is dev the last one to be asked", "");
    terminal.choose("Who signs dev?", "people");
    terminal.answer("How many people must sign dev?", "");
    terminal.choose("What about the keys?", "remove ada");
    terminal.choose("What about the keys?", "continue");
    terminal.choose("What about the delegated roles?", "continue");
    terminal.expect("~ dev: dev/*; signed by people, 1 of grace; valid for 30 days");
    terminal.answer("Change these delegations?", "");
    let (code, screen) = terminal.end();
    assert!(code == 0 && screen.contains("Done: dev"), "{screen}");
    until_delegated(&office, "dev", |role| role["keyids"].as_array().is_some_and(|ids| ids.len() == 1));
}

#[test]
fn delegations_are_made_offline_and_sent() {
    let office = office();
    let url = office.server.url();
    let write = |answers: Value| {
        fs::write(office.home.join("a.yml"), answers.to_string()).expect("answers can be written");
    };
    let offline = |more: &[&str]| {
        office.document(&[&["--json", "--answers", "a.yml", "admin", "delegations"], more, &["--dry-run"]].concat())
    };
    let send = |arguments: &[&str]| {
        let admin = ["--json", "admin", "--api-server", &url, "send"];
        office.document(&[&admin[..], arguments].concat())
    };
    write(json!({"roles": [by_people("dev", &["ada"], 1)]}));
    offline(&["new", "--out", "new.json"]).expect("made");
    let wrong = send(&["bootstrap", "new.json"]).expect_err("another kind");
    assert_eq!(wrong["error"], "this is a delegations payload, not one for `send bootstrap`");
    let wrong = send(&["delegations", "--delete", "new.json"]).expect_err("it deletes nothing");
    assert!(wrong["error"].as_str().is_some_and(|why| why.contains("does not delete them")), "{wrong}");
    send(&["delegations", "new.json"]).expect("sent");
    until_delegated(&office, "dev", Value::is_object);
    let twice = send(&["delegations", "new.json"]).expect_err("it is there");
    assert!(twice["error"].as_str().is_some_and(|why| why.contains("role already exists")), "{twice}");

    let metadata = office.server.metadata_url();
    write(json!({"roles": [{"name": "dev", "days": 9, "terminating": false}]}));
    offline(&["update", "--metadata-url", &metadata, "--out", "update.json"]).expect("made");
    send(&["delegations", "--update", "update.json"]).expect("sent");
    until_delegated(&office, "dev", |role| role["terminating"] == false);

    write(json!({}));
    offline(&["delete", "dev", "--out", "delete.json"]).expect("made");
    send(&["delegations", "delete.json"]).expect("sent");
    until_delegated(&office, "dev", Value::is_null);
}

#[tokio::test]
async fn succinct_bins_take_no_other_roles() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let (url, metadata) = (repository.server.url(), repository.server.metadata_url());
    for more in [&["new"][..], &["update"], &["delete"], &["delete", "--metadata-url", &metadata]] {
        let run = super::rstuf(&[&["--json", "admin", "--api-server", &url, "delegations"], more].concat());
        let told: Value = serde_json::from_slice(&run.stderr).expect("JSON");
        assert_eq!(told["error"], "Metadata uses succinct roles, not allowed.", "{more:?}");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains("path_hash_prefixes")));
    }
}
