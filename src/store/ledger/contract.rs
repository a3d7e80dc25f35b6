//! The suite that every ledger passes: each promise of [`Ledger`](super::Ledger) has a case.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Ended, Expiry, Head, Ledger, NewRepository, Plan, Planned, Publication, PublishedRole, RepositorySettings, Request,
    Visibility, Work,
};
use crate::{
    store::StoreError,
    task::{Progress, TaskId},
    tuf::{
        bins::{Bins, Layout},
        info::Info,
        name::{ArtifactPath, RoleName, Version},
        snapshot::MetaFile,
        wire::Metadata,
    },
};

mod decisions;
mod people;
mod roots;
mod vain;

/// Runs the suite; `make` gives an empty ledger each time.
pub(crate) async fn all<L: Ledger + 'static>(mut make: impl AsyncFnMut() -> L) {
    a_new_ledger_is_empty(&make().await).await;
    a_bootstrap_is_published_once(&make().await).await;
    a_task_is_recorded_once(&make().await).await;
    changes_are_published_in_their_order(&make().await).await;
    what_is_held_waits_for_a_release(&make().await).await;
    a_removal_knows_what_was_asked_before(&make().await).await;
    versions_are_never_given_out_twice(&make().await).await;
    one_of_two_plans_is_committed(Arc::new(make().await)).await;
    a_plan_takes_about_as_much_as_it_may(&make().await).await;
    what_is_due_is_planned(&make().await).await;
    a_task_can_be_refused_whole(&make().await).await;
    a_task_is_reported_when_clients_see_it(&make().await).await;
    it_is_known_when_roles_expire(&make().await).await;
    expirations_of_online_roles_change(&make().await).await;
    requests_of_one_call_see_each_other(&make().await).await;
    a_release_in_a_call_takes_what_was_held_before_it(&make().await).await;
    a_repository_can_be_created_and_used_in_one_call(&make().await).await;
    what_was_recorded_comes_back_as_it_was(&make().await).await;
    decisions::all(&mut make).await;
    people::all(&mut make).await;
    roots::all(&mut make).await;
    vain::all(&mut make).await;
}

pub(super) fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

pub(super) fn bins() -> Bins {
    Bins::new(2, Layout::Succinct).expect("bins")
}

fn task(text: &str) -> TaskId {
    TaskId::from_text(text)
}

pub(super) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("a path")
}

pub(super) async fn stage(ledger: &dyn Ledger, id: &str, work: Work) -> Progress {
    let request = Request { task: task(id), accepted_at: now(), work };
    ledger.stage(vec![request], now()).await.expect("staged").remove(0).1
}

/// Stages several requests in one call.
async fn stage_all(ledger: &dyn Ledger, works: Vec<(&str, Work)>) -> Vec<Progress> {
    let request = |(id, work): (&str, Work)| Request { task: task(id), accepted_at: now(), work };
    let requests: Vec<_> = works.into_iter().map(request).collect();
    let ids: Vec<_> = requests.iter().map(|request| request.task.clone()).collect();
    let (told, progress): (Vec<_>, Vec<_>) = ledger.stage(requests, now()).await.expect("staged").into_iter().unzip();
    assert_eq!(told, ids);
    progress
}

pub(super) fn info(value: Value) -> Info {
    Info::of(&value).expect("information")
}

fn value(info: &Info) -> Value {
    serde_json::from_str(info.json()).expect("JSON")
}

pub(super) fn add(paths: &[(&str, u64)], visibility: Visibility) -> Work {
    let artifacts = paths
        .iter()
        .map(|(text, length)| (bins().role_for(&path(text)), path(text), info(json!({ "length": length }))));
    Work::Add { placement: 0, artifacts: artifacts.collect(), invalid: Vec::new(), visibility }
}

pub(super) fn remove(paths: &[&str]) -> Work {
    let paths = paths.iter().map(|text| ((*text).to_owned(), Some((bins().role_for(&path(text)), path(text)))));
    Work::Remove { placement: 0, paths: paths.collect(), visibility: Visibility::NextRound }
}

fn create() -> Work {
    let days = ["root", "targets", "snapshot", "timestamp", "bins"].map(|role| (role.to_owned(), 1));
    let settings = RepositorySettings {
        expirations: days.into(),
        number_of_delegated_bins: Some(2),
        layout: Layout::Succinct,
        root_num_keys: 1,
    };
    let top_level = [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
    Work::Create(Box::new(NewRepository {
        settings,
        delegations: json!({}),
        notes: Vec::new(),
        root: Metadata::unsigned(json!({ "_type": "root" })),
        custom: BTreeMap::new(),
        roles: bins().names().chain(top_level).collect(),
    }))
}

pub(super) async fn plan(ledger: &dyn Ledger) -> Option<Plan> {
    plan_at(ledger, now(), 1000).await
}

async fn plan_at(ledger: &dyn Ledger, now: Timestamp, limit: usize) -> Option<Plan> {
    match ledger.plan(now, limit).await.expect("planned") {
        Planned::Nothing => None,
        Planned::Round(plan) => Some(plan),
        Planned::Elsewhere(_) => panic!("nobody else plans"),
        Planned::Stale(stale) => panic!("{stale:?}"),
    }
}

fn publication(plan: &Plan) -> Publication {
    let role = |(name, version): &(RoleName, _)| PublishedRole {
        name: name.clone(),
        meta: MetaFile::version_only(*version),
        renew_at: now() + SignedDuration::from_hours(16),
        expires: now() + SignedDuration::from_hours(24),
    };
    Publication {
        roles: plan.roles.iter().map(role).collect(),
        targets: None,
        timestamp: plan.id.to_string().into_bytes(),
        root_grace_ends: now(),
    }
}

pub(super) async fn commit(ledger: &dyn Ledger, plan: &Plan) -> Result<Head, StoreError> {
    ledger.commit(plan, publication(plan), now()).await
}

/// Plans and commits until nothing is left.
pub(super) async fn publish(ledger: &dyn Ledger) {
    while let Some(plan) = plan(ledger).await {
        commit(ledger, &plan).await.expect("committed");
    }
}

pub(super) async fn bootstrap(ledger: &dyn Ledger) {
    stage(ledger, "boot", create()).await;
    publish(ledger).await;
}

pub(super) async fn listed(ledger: &dyn Ledger) -> BTreeMap<String, Value> {
    let roles = ledger.artifacts(bins().names().collect()).await.expect("read");
    assert!(roles.iter().all(|role| role.is_sorted_by_key(|(path, _)| path.clone())));
    roles.into_iter().flatten().map(|(path, info)| (path.to_string(), value(&info)["length"].clone())).collect()
}

pub(super) async fn ended(ledger: &dyn Ledger) -> BTreeMap<String, bool> {
    let tasks = ledger.unreported(i64::MAX, 1000).await.expect("read");
    let status = |progress| matches!(progress, Progress::Finished(outcome) if outcome.status);
    tasks.into_iter().map(|ended| (ended.task.to_string(), status(ended.progress))).collect()
}

fn details(progress: &Progress) -> Value {
    match progress {
        Progress::Finished(outcome) => outcome.details.clone().unwrap_or_default(),
        other => json!(format!("{other:?}")),
    }
}

async fn a_new_ledger_is_empty(ledger: &dyn Ledger) {
    assert!(ledger.settings().await.expect("read").is_none());
    assert!(ledger.repository().await.expect("read").is_none());
    assert!(ledger.head().await.expect("read").is_none());
    assert!(plan(ledger).await.is_none());
    let Progress::Finished(outcome) = stage(ledger, "early", add(&[("a", 1)], Visibility::NextRound)).await else {
        panic!("not finished")
    };
    assert!(!outcome.status);
    assert!(plan(ledger).await.is_none());
}

async fn a_bootstrap_is_published_once(ledger: &dyn Ledger) {
    assert!(matches!(stage(ledger, "boot", create()).await, Progress::Running { .. }));
    assert_eq!(ended(ledger).await, BTreeMap::new());
    let first = plan(ledger).await.expect("a plan");
    let names: Vec<_> = first.roles.iter().map(|(role, version)| format!("{version}.{role}")).collect();
    assert_eq!(names, ["1.bins-0", "1.bins-1", "1.targets", "1.snapshot", "1.timestamp"]);
    let head = commit(ledger, &first).await.expect("committed");
    assert_eq!(ledger.head().await.expect("read"), Some(head));
    assert_eq!(ledger.published().await.expect("read").len(), 5);
    assert_eq!(ended(ledger).await, [("boot".to_owned(), true)].into());
    assert!(plan(ledger).await.is_none());
    // Another one is refused and changes nothing.
    let Progress::Finished(outcome) = stage(ledger, "again", create()).await else { panic!("not finished") };
    assert_eq!(outcome.error.as_deref(), Some("Bootstrap state is boot"));
    assert!(plan(ledger).await.is_none());
}

async fn a_task_is_recorded_once(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    for _ in 0..2 {
        let progress = stage(ledger, "one", add(&[("a", 1)], Visibility::NextRound)).await;
        assert!(matches!(progress, Progress::Running { roles_to_publish, .. } if roles_to_publish.len() == 1));
    }
    let taken = plan(ledger).await.expect("a plan");
    assert_eq!(taken.changes.values().map(BTreeMap::len).sum::<usize>(), 1);
    commit(ledger, &taken).await.expect("committed");
    let progress = stage(ledger, "one", add(&[("a", 2)], Visibility::NextRound)).await;
    assert_eq!(details(&progress)["added_artifacts"], json!(["a"]));
    assert!(plan(ledger).await.is_none());
    assert_eq!(listed(ledger).await, [("a".to_owned(), json!(1))].into());
}

async fn changes_are_published_in_their_order(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("a", 1), ("b", 1), ("c", 1)], Visibility::NextRound)).await;
    stage(ledger, "2", remove(&["a"])).await;
    stage(ledger, "3", add(&[("b", 2), ("b", 3)], Visibility::NextRound)).await;
    publish(ledger).await;
    assert_eq!(listed(ledger).await, [("b".to_owned(), json!(3)), ("c".to_owned(), json!(1))].into());
    stage(ledger, "4", add(&[("a", 4)], Visibility::NextRound)).await;
    stage(ledger, "5", remove(&["c"])).await;
    publish(ledger).await;
    assert_eq!(listed(ledger).await, [("a".to_owned(), json!(4)), ("b".to_owned(), json!(3))].into());
    assert!(ended(ledger).await.values().all(|status| *status));
}

async fn what_is_held_waits_for_a_release(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let held = stage(ledger, "held", add(&[("a", 1), ("b", 1)], Visibility::Held)).await;
    assert_eq!(details(&held)["added_artifacts"], json!(["a", "b"]));
    stage(ledger, "other", add(&[("c", 1)], Visibility::NextRound)).await;
    publish(ledger).await;
    assert_eq!(listed(ledger).await.into_keys().collect::<Vec<_>>(), ["c"]);
    // A later statement about a path replaces what is held of it.
    stage(ledger, "newer", add(&[("a", 2)], Visibility::NextRound)).await;
    publish(ledger).await;
    stage(ledger, "release", Work::Release).await;
    publish(ledger).await;
    let expected = [("a", 2), ("b", 1), ("c", 1)].map(|(path, length)| (path.to_owned(), json!(length)));
    assert_eq!(listed(ledger).await, expected.into());
    let empty = stage(ledger, "empty", Work::Release).await;
    assert_eq!(details(&empty), json!({ "artifact_roles": null }));
}

async fn a_removal_knows_what_was_asked_before(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("staged", 1)], Visibility::NextRound)).await;
    stage(ledger, "2", add(&[("held", 1)], Visibility::Held)).await;
    let all = remove(&["staged", "held", "never", "staged"]);
    assert!(matches!(stage(ledger, "3", all).await, Progress::Running { .. }));
    let again = stage(ledger, "4", remove(&["staged"])).await;
    assert_eq!(details(&again), json!({ "deleted_artifacts": [], "not_found_artifacts": ["staged"] }));
    publish(ledger).await;
    let third = stage(ledger, "3", Work::Release).await;
    let deleted = json!({ "deleted_artifacts": ["staged", "held", "staged"], "not_found_artifacts": ["never"] });
    assert_eq!(details(&third), deleted);
    assert!(listed(ledger).await.is_empty());
    let Progress::Finished(none) = stage(ledger, "5", remove(&[])).await else { panic!("not finished") };
    assert_eq!(none.error.as_deref(), Some("At list one artifact is required"));
}

async fn versions_are_never_given_out_twice(ledger: &dyn Ledger) {
    stage(ledger, "boot", create()).await;
    let mut given = BTreeMap::new();
    for _ in 0..3 {
        for (role, version) in plan(ledger).await.expect("a plan").roles {
            if let Some(earlier) = given.insert(role, version) {
                assert!(version > earlier);
            }
        }
    }
    publish(ledger).await;
    assert!(ledger.published().await.expect("read").iter().all(|(role, meta)| meta.version > given[role]));
}

async fn one_of_two_plans_is_committed(ledger: Arc<dyn Ledger>) {
    bootstrap(ledger.as_ref()).await;
    stage(ledger.as_ref(), "1", add(&[("a", 1)], Visibility::NextRound)).await;
    let slow = plan(ledger.as_ref()).await.expect("a plan");
    stage(ledger.as_ref(), "2", remove(&["a"])).await;
    let quick = plan(ledger.as_ref()).await.expect("a plan");
    let head = commit(ledger.as_ref(), &quick).await.expect("committed");
    assert!(matches!(commit(ledger.as_ref(), &slow).await, Err(StoreError::Lost(_))));
    assert_eq!(ledger.head().await.expect("read"), Some(head));
    assert!(listed(ledger.as_ref()).await.is_empty());
    assert!(matches!(commit(ledger.as_ref(), &quick).await, Err(StoreError::Lost(_))));
}

async fn a_plan_takes_about_as_much_as_it_may(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("a", 1), ("b", 1)], Visibility::NextRound)).await;
    stage(ledger, "2", add(&[("c", 1)], Visibility::NextRound)).await;
    let mut finished = Vec::new();
    while let Some(part) = plan_at(ledger, now(), 1).await {
        commit(ledger, &part).await.expect("committed");
        finished.push(ended(ledger).await.contains_key("1"));
    }
    // The first task is finished with the last of its changes, not before.
    assert_eq!(finished, [false, true, true]);
    assert_eq!(listed(ledger).await.len(), 3);
}

async fn what_is_due_is_planned(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let later = now() + SignedDuration::from_hours(16);
    assert!(plan_at(ledger, later - SignedDuration::from_secs(1), 10).await.is_none());
    let due = plan_at(ledger, later, 10).await.expect("a plan");
    assert_eq!(due.roles.len(), 5);
}

async fn a_task_can_be_refused_whole(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "small", add(&[("a", 1)], Visibility::NextRound)).await;
    stage(ledger, "large", add(&[("a", 2), ("b", 2), ("c", 2), ("d", 2)], Visibility::NextRound)).await;
    let taken = plan(ledger).await.expect("a plan");
    let role = bins().role_for(&path("a"));
    let refused = ledger.refuse(&role, taken.through, "too large".into(), now()).await.expect("refused");
    assert_eq!(refused, Some(task("large")));
    publish(ledger).await;
    assert_eq!(listed(ledger).await, [("a".to_owned(), json!(1))].into());
    let ended = ended(ledger).await;
    assert_eq!((ended["small"], ended["large"]), (true, false));
    assert_eq!(ledger.refuse(&role, i64::MAX, "none".into(), now()).await.expect("asked"), None);
}

async fn a_task_is_reported_when_clients_see_it(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("a", 1)], Visibility::NextRound)).await;
    let first = ledger.head().await.expect("read").expect("a head").sequence;
    publish(ledger).await;
    let ids = |tasks: Vec<Ended>| tasks.into_iter().map(|ended| ended.task).collect::<Vec<_>>();
    assert_eq!(ids(ledger.unreported(first, 10).await.expect("read")), [task("boot")]);
    assert_eq!(ids(ledger.unreported(first + 1, 10).await.expect("read")).len(), 2);
    ledger.reported(vec![task("boot"), task("1")]).await.expect("noted");
    assert!(ledger.unreported(i64::MAX, 10).await.expect("read").is_empty());
    ledger.report_again(now()).await.expect("noted");
    assert_eq!(ledger.unreported(i64::MAX, 10).await.expect("read").len(), 2);
    ledger.report_again(now() + SignedDuration::from_secs(1)).await.expect("noted");
}

async fn it_is_known_when_roles_expire(ledger: &dyn Ledger) {
    assert!(ledger.expiries().await.expect("read").is_empty());
    bootstrap(ledger).await;
    let day = now() + SignedDuration::from_hours(24);
    let expiry = |version| Expiry { version, expires: day };
    let first = expiry(Some(Version::FIRST));
    let expected = [("bins", expiry(None)), ("snapshot", first), ("targets", first), ("timestamp", first)];
    let expected = expected.map(|(role, expiry)| (role.to_owned(), expiry));
    assert_eq!(ledger.expiries().await.expect("read"), expected.into());
}

async fn expirations_of_online_roles_change(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let days = [("bins", 7), ("root", 9), ("nobody", 3)].map(|(role, days)| (role.to_owned(), days));
    let progress = stage(ledger, "set", Work::SetExpirations(days.into())).await;
    assert_eq!(details(&progress), json!({ "updated_roles": ["bins"], "invalid_roles": ["nobody", "root"] }));
    let expirations = ledger.settings().await.expect("read").expect("settings").expirations;
    assert_eq!((expirations["bins"], expirations["root"], expirations.get("nobody")), (7, 1, None));
}

async fn requests_of_one_call_see_each_other(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "old", add(&[("old", 1)], Visibility::NextRound)).await;
    publish(ledger).await;
    let soon = Visibility::NextRound;
    let told = stage_all(
        ledger,
        vec![
            ("add", add(&[("a", 1), ("b", 1)], soon)),
            ("remove", remove(&["a", "old", "never"])),
            ("again", remove(&["a", "old"])),
            ("hold", add(&[("c", 1), ("d", 1)], Visibility::Held)),
            ("over", add(&[("c", 2)], soon)),
            ("add", add(&[("x", 1)], soon)),
            ("undo", remove(&["d"])),
            ("back", add(&[("old", 2)], soon)),
        ],
    )
    .await;
    let not_found = json!({ "deleted_artifacts": [], "not_found_artifacts": ["a", "old"] });
    assert_eq!(details(&told[2]), not_found);
    assert_eq!(told[5], told[0]);
    assert!(matches!(told[6], Progress::Running { .. }));
    publish(ledger).await;
    let expected = [("b", 1), ("c", 2), ("old", 2)].map(|(path, length)| (path.to_owned(), json!(length)));
    assert_eq!(listed(ledger).await, expected.into());
    let removed = stage(ledger, "remove", Work::Release).await;
    let deleted = json!({ "deleted_artifacts": ["a", "old"], "not_found_artifacts": ["never"] });
    assert_eq!(details(&removed), deleted);
    // Nothing is held any more: the one was replaced, the other removed.
    assert_eq!(details(&stage(ledger, "none", Work::Release).await), json!({ "artifact_roles": null }));
    assert!(ended(ledger).await.values().all(|status| *status));
}

async fn a_release_in_a_call_takes_what_was_held_before_it(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let (soon, held) = (Visibility::NextRound, Visibility::Held);
    stage(ledger, "0", add(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)], held)).await;
    let told = stage_all(
        ledger,
        vec![
            ("1", add(&[("a", 2)], soon)),
            ("2", add(&[("b", 2), ("f", 2)], held)),
            ("3", Work::Release),
            ("4", Work::Release),
            ("5", add(&[("c", 3)], soon)),
            ("6", add(&[("d", 3), ("g", 3)], held)),
            ("7", remove(&["e"])),
        ],
    )
    .await;
    assert!(matches!(&told[2], Progress::Running { roles_to_publish, .. } if !roles_to_publish.is_empty()));
    assert_eq!(details(&told[3]), json!({ "artifact_roles": null }));
    assert!(matches!(told[6], Progress::Running { .. }));
    publish(ledger).await;
    let lengths = |all: &[(&str, u64)]| all.iter().map(|(path, n)| ((*path).to_owned(), json!(n))).collect();
    assert_eq!(listed(ledger).await, lengths(&[("a", 2), ("b", 2), ("c", 3), ("d", 1), ("f", 2)]));
    let told =
        stage_all(ledger, vec![("8", Work::Release), ("9", add(&[("h", 1)], held)), ("10", Work::Release)]).await;
    assert!(told.iter().step_by(2).all(|progress| matches!(progress, Progress::Running { .. })));
    publish(ledger).await;
    let all = [("a", 2), ("b", 2), ("c", 3), ("d", 3), ("f", 2), ("g", 3), ("h", 1)];
    assert_eq!(listed(ledger).await, lengths(&all));
    assert!(ended(ledger).await.values().all(|status| *status));
    // What is held and replaced in one call leaves nothing to release.
    stage(ledger, "11", add(&[("i", 1)], held)).await;
    let told = stage_all(ledger, vec![("12", add(&[("i", 2)], soon)), ("13", Work::Release)]).await;
    assert_eq!(details(&told[1]), json!({ "artifact_roles": null }));
}

async fn a_repository_can_be_created_and_used_in_one_call(ledger: &dyn Ledger) {
    let told = stage_all(
        ledger,
        vec![
            ("early", add(&[("a", 1)], Visibility::NextRound)),
            ("boot", create()),
            ("late", create()),
            ("add", add(&[("a", 2)], Visibility::NextRound)),
            ("set", Work::SetExpirations([("bins".to_owned(), 9)].into())),
        ],
    )
    .await;
    assert!(matches!(&told[0], Progress::Finished(outcome) if !outcome.status));
    assert!(
        matches!(&told[2], Progress::Finished(outcome) if outcome.error.as_deref() == Some("Bootstrap state is boot"))
    );
    publish(ledger).await;
    assert_eq!(listed(ledger).await, [("a".to_owned(), json!(2))].into());
    assert_eq!(ledger.settings().await.expect("read").expect("settings").expirations["bins"], 9);
    let mut ended = ended(ledger).await;
    assert_eq!((ended.remove("early"), ended.remove("late")), (Some(false), Some(false)));
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), ["add", "boot", "set"].map(|id| (id.to_owned(), true)));
}

async fn what_was_recorded_comes_back_as_it_was(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let infos = [
        json!({ "length": u64::MAX, "custom": { "z": i64::MIN, "a": [9_007_199_254_740_993_i64, null, true] } }),
        json!({ "length": 1, "custom": { "nul": "a\u{0}b", "text": "\u{e9}\u{1f600}\u{7f}\"\\\n\u{2028}", "": {} } }),
    ];
    // As long as a path can be, and in the order of the bytes, not of a language.
    let long: String = (0..4096_usize).map(|n| char::from(b'a' + (n.wrapping_mul(n) / 7 % 26) as u8)).collect();
    let paths = ["Z", "a", "\u{e9}\u{1f600}", "_", &long];
    let place =
        |(index, text): (usize, &&str)| (bins().role_for(&path(text)), path(text), info(infos[index % 2].clone()));
    let artifacts: Vec<_> = paths.iter().enumerate().map(place).collect();
    let visibility = Visibility::NextRound;
    stage(ledger, "1", Work::Add { placement: 0, artifacts: artifacts.clone(), invalid: Vec::new(), visibility }).await;
    let taken = plan(ledger).await.expect("a plan");
    assert_eq!(taken.changes.values().map(BTreeMap::len).sum::<usize>(), paths.len());
    commit(ledger, &taken).await.expect("committed");
    let roles = ledger.artifacts(bins().names().collect()).await.expect("read");
    assert!(roles.iter().all(|role| role.is_sorted_by_key(|(path, _)| path.clone())));
    let came_back: BTreeMap<_, _> =
        roles.into_iter().flatten().map(|(path, info)| (path, info.json().to_owned())).collect();
    let expected = artifacts.into_iter().map(|(_, path, info)| (path, info.json().to_owned())).collect();
    assert_eq!(came_back, expected);
    stage(ledger, "2", remove(&[&long])).await;
    publish(ledger).await;
    assert_eq!(ledger.artifacts(bins().names().collect()).await.expect("read").iter().map(Vec::len).sum::<usize>(), 4);
}
