//! The settings of a repository are shown and changed.

use serde_json::json;

use super::ceremony::{Office, compare};
use crate::harness::deployment::Deployment;

fn set(office: &Office, arguments: &[&str]) -> Result<serde_json::Value, serde_json::Value> {
    let url = office.server.url();
    office.document(&[&["--json", "admin", "--api-server", &url, "config", "set"], arguments].concat())
}

#[test]
fn expirations_are_shown_and_changed() {
    let office = Office::open();
    let url = office.server.url();
    let none = office.document(&["--json", "admin", "--api-server", &url, "config", "show"]).expect_err("none");
    assert!(none["error"].as_str().is_some_and(|cause| cause.contains("No Repository Settings")), "{none}");
    office.found();

    let changed = set(&office, &["timestamp=2", "bins=1", "snapshot=7", "--yes"]).expect("changed");
    assert_eq!(changed["state"], "changed");
    assert_eq!(
        changed["changes"],
        json!([{"role": "snapshot", "from": 1, "to": 7}, {"role": "timestamp", "from": 1, "to": 2}])
    );
    let shown = office.document(&["--json", "admin", "--api-server", &url, "config", "show"]).expect("shown");
    assert_eq!((&shown["timestamp_expiration"], &shown["snapshot_expiration"]), (&json!(2), &json!(7)));

    // The same again is no change, and no question either.
    assert_eq!(set(&office, &["timestamp=2"]).expect("nothing to do")["state"], "unchanged");
    let dry = set(&office, &["--dry-run", "timestamp=3"]).expect("told");
    assert_eq!((&dry["state"], &dry["changes"][0]["to"]), (&json!("not sent"), &json!(3)));
    let answers = json!({"expiration": {"timestamp": 4, "bins": 2}, "confirm": true});
    let changed = office.admin(&answers, &["config", "set"]).expect("changed");
    assert_eq!(changed["changes"].as_array().map(Vec::len), Some(2), "{changed}");
}

#[test]
fn what_can_not_be_changed_is_said() {
    let office = Office::open();
    office.found();
    for (asked, why) in [
        ("root=30", "the expiry of root is signed by people"),
        ("nobody=1", "this repository has no role nobody"),
        ("timestamp=2", "there is no terminal to ask at, and no answer to confirm"),
    ] {
        assert_eq!(set(&office, &[asked]).expect_err("refused")["error"], why);
    }
    let usage = office.rstuf(&["admin", "config", "set", "timestamp=0"]);
    assert_eq!(usage.status.code(), Some(2));
    let unsaid = office.admin(&json!({"confirm": false}), &["config", "set", "timestamp=2"]).expect_err("refused");
    assert_eq!(unsaid["error"], "not confirmed, nothing was changed");
}

#[test]
fn a_person_changes_expirations() {
    for columns in [80, 120] {
        let office = Office::open();
        office.found();
        let mut terminal = office.terminal(columns, &["config", "set"]);
        terminal.answer("Days for which bins is valid", "");
        terminal.answer("Days for which snapshot is valid", "3");
        terminal.question("Days for which targets is valid");
        terminal.undo("Days for which snapshot is valid");
        terminal.answer("Days for which snapshot is valid", "2");
        terminal.answer("Days for which targets is valid", "");
        terminal.answer("Days for which timestamp is valid", "");
        terminal.answer("Change it?", "");
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        compare("config-set", columns, &screen, Vec::new());
        let (code, screen) = office.terminal(columns, &["config", "show"]).end();
        assert_eq!(code, 0, "{screen}");
        compare("config-show", columns, &screen, Vec::new());
    }
}

#[test]
fn online_roles_are_published_anew() {
    let office = Office::open();
    office.found();
    let version = |role: &str| {
        let bucket = std::fs::read_dir(office.server.bucket()).expect("the bucket");
        let names = bucket.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let suffix = format!(".{role}.json");
        names.filter_map(|name| name.strip_suffix(&suffix)?.parse::<u64>().ok()).max().expect("a version")
    };
    let before = version("targets");
    let done = office.admin(&json!({}), &["metadata", "bump", "targets"]).expect("published");
    assert_eq!(done["state"], "published");
    assert!(done["updated_roles"].as_array().is_some_and(|roles| roles.contains(&json!("targets"))), "{done}");
    assert_eq!(version("targets"), before + 1);
    let refused = office.admin(&json!({}), &["metadata", "bump", "nobody"]).expect_err("refused");
    assert!(refused["error"].as_str().is_some_and(|cause| cause.contains("bins roles can be bumped")), "{refused}");
    let (code, screen) = office.terminal(80, &["metadata", "bump"]).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Published anew: ") && screen.contains("snapshot"), "{screen}");
}
