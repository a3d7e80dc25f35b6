//! What is asked for, and what clients see in the end.

use std::collections::BTreeMap;

use rstuf::{
    store::ledger::{Visibility, Work},
    tuf::{bins::Bins, info::Info, name::ArtifactPath},
};
use serde_json::{Value, json};

pub(super) fn info(length: u64) -> Value {
    json!({ "hashes": { "sha256": "aa".repeat(32) }, "length": length })
}

fn stored(length: u64) -> Info {
    Info::of(&info(length)).expect("information")
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("a path")
}

pub(super) fn add(bins: Bins, artifacts: &[(&str, u64)], visibility: Visibility) -> Work {
    let artifacts = artifacts.iter().map(|(text, length)| (bins.role_for(&path(text)), path(text), stored(*length)));
    Work::Add { placement: 0, artifacts: artifacts.collect(), invalid: Vec::new(), visibility }
}

pub(super) fn remove(bins: Bins, paths: &[&str]) -> Work {
    let paths = paths.iter().map(|text| ((*text).to_owned(), Some((bins.role_for(&path(text)), path(text)))));
    Work::Remove { placement: 0, paths: paths.collect(), visibility: Visibility::NextRound }
}

/// The tasks that follow the bootstrap, by their ids.
pub(super) fn tasks(bins: Bins) -> Vec<(&'static str, Work)> {
    vec![
        ("add", add(bins, &[("a", 1), ("b", 1), ("c", 1)], Visibility::NextRound)),
        ("hold", add(bins, &[("held", 1)], Visibility::Held)),
        ("remove", remove(bins, &["b"])),
        ("release", Work::Release),
        ("replace", add(bins, &[("a", 2)], Visibility::NextRound)),
    ]
}

/// The task that comes between a failure and what failed.
pub(super) fn other(bins: Bins) -> (&'static str, Work) {
    ("other", add(bins, &[("other", 1)], Visibility::NextRound))
}

/// What clients see when everything, with the other task, is done.
pub(super) fn visible_at_the_end() -> BTreeMap<String, Value> {
    [("a", 2), ("c", 1), ("held", 1), ("other", 1)].map(|(path, length)| (path.to_owned(), info(length))).into()
}
