//! Roles of other people come, change and go.

use std::fs;

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::ceremony::{Office, person};
use crate::harness::{deployment::Deployment, repository::Repository};

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

/// The role objects that clients have, by the service's own settings.
fn delegated(office: &Office, name: &str) -> Value {
    let config = crate::harness::block_on(office.server.api().get("/config/")).expect("the server answers").body;
    let roles = config["data"]["trusted_targets"]["signed"]["delegations"]["roles"].as_array().expect("roles").clone();
    roles.into_iter().find(|role| role["name"] == name).unwrap_or_default()
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
    assert_eq!(delegated(&office, "docs")["terminating"], false);
    assert_eq!(delegated(&office, "dev")["keyids"].as_array().map(Vec::len), Some(3));

    // What is not said stays as it is.
    let answers = json!({"roles": [{"name": "docs", "paths": ["docs/*"]}]});
    office.admin(&answers, &["delegations", "update"]).expect("changed");
    let docs = delegated(&office, "docs");
    assert_eq!((&docs["paths"], &docs["terminating"]), (&json!(["docs/*"]), &json!(false)));

    let again = office.admin(&json!({"roles": [{"name": "Docs", "paths": ["x"]}]}), &["delegations", "new"]);
    let again = again.expect_err("the name is taken");
    assert!(again["error"].as_str().is_some_and(|why| why.contains("there is docs already")), "{again}");

    let kept = office.admin(&json!({}), &["delegations", "delete", "docs"]).expect_err("nobody said yes");
    assert_eq!(kept["error"], "stopped, nothing was sent");
    let done = office.admin(&json!({"roles": ["docs"], "delete": true}), &["delegations", "delete"]).expect("gone");
    assert_eq!(done["payload"], json!({"delegations": {"roles": [{"name": "docs"}]}}));
    assert_eq!(delegated(&office, "docs"), Value::Null);
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
    assert_eq!(delegated(&office, "dev")["keyids"].as_array().map(Vec::len), Some(1));
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
    let twice = send(&["delegations", "new.json"]).expect_err("it is there");
    assert!(twice["error"].as_str().is_some_and(|why| why.contains("role already exists")), "{twice}");

    let metadata = office.server.metadata_url();
    write(json!({"roles": [{"name": "dev", "days": 9, "terminating": false}]}));
    offline(&["update", "--metadata-url", &metadata, "--out", "update.json"]).expect("made");
    send(&["delegations", "--update", "update.json"]).expect("sent");
    assert_eq!(delegated(&office, "dev")["terminating"], false);

    write(json!({}));
    offline(&["delete", "dev", "--out", "delete.json"]).expect("made");
    send(&["delegations", "delete.json"]).expect("sent");
    assert_eq!(delegated(&office, "dev"), Value::Null);
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
