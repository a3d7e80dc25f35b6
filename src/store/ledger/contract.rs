//! The suite that every ledger passes: each promise of [`Ledger`](super::Ledger) has a case.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Ended, Head, Ledger, NewRepository, Plan, Planned, Publication, PublishedRole, RepositorySettings, Request,
    Visibility, Work,
};
use crate::{
    store::StoreError,
    task::{Progress, TaskId},
    tuf::{
        bins::{Bins, Layout},
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

/// Runs the suite; `make` gives an empty ledger each time.
pub(crate) async fn all<L: Ledger + 'static>(mut make: impl FnMut() -> L) {
    a_new_ledger_is_empty(&make()).await;
    a_bootstrap_is_published_once(&make()).await;
    a_task_is_recorded_once(&make()).await;
    changes_are_published_in_their_order(&make()).await;
    what_is_held_waits_for_a_release(&make()).await;
    a_removal_knows_what_was_asked_before(&make()).await;
    versions_are_never_given_out_twice(&make()).await;
    one_of_two_plans_is_committed(Arc::new(make())).await;
    a_plan_takes_about_as_much_as_it_may(&make()).await;
    what_is_due_is_planned(&make()).await;
    a_task_can_be_refused_whole(&make()).await;
    a_task_is_reported_when_clients_see_it(&make()).await;
    it_is_known_when_roles_expire(&make()).await;
    expirations_of_online_roles_change(&make()).await;
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn bins() -> Bins {
    Bins::new(2, Layout::Succinct).expect("bins")
}

fn task(text: &str) -> TaskId {
    TaskId::from_text(text)
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("a path")
}

async fn stage(ledger: &dyn Ledger, id: &str, work: Work) -> Progress {
    let request = Request { task: task(id), accepted_at: now(), work };
    ledger.stage(vec![request], now()).await.expect("staged").remove(0).1
}

fn add(paths: &[(&str, u64)], visibility: Visibility) -> Work {
    let artifacts =
        paths.iter().map(|(text, length)| (bins().role_for(&path(text)), path(text), json!({ "length": length })));
    Work::Add { artifacts: artifacts.collect(), invalid: Vec::new(), visibility }
}

fn remove(paths: &[&str]) -> Work {
    let paths = paths.iter().map(|text| ((*text).to_owned(), Some((bins().role_for(&path(text)), path(text)))));
    Work::Remove { paths: paths.collect(), visibility: Visibility::NextRound }
}

fn create() -> Work {
    let days = ["root", "targets", "snapshot", "timestamp", "bins"].map(|role| (role.to_owned(), 1));
    let settings = RepositorySettings {
        expirations: days.into(),
        number_of_delegated_bins: 2,
        layout: Layout::Succinct,
        root_num_keys: 1,
    };
    let top_level = [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
    Work::Create(Box::new(NewRepository {
        settings,
        delegations: json!({}),
        notes: Vec::new(),
        root: b"root".to_vec(),
        roles: bins().names().chain(top_level).collect(),
    }))
}

async fn plan(ledger: &dyn Ledger) -> Option<Plan> {
    plan_at(ledger, now(), 1000).await
}

async fn plan_at(ledger: &dyn Ledger, now: Timestamp, limit: usize) -> Option<Plan> {
    match ledger.plan(now, limit).await.expect("planned") {
        Planned::Nothing => None,
        Planned::Round(plan) => Some(plan),
        Planned::Elsewhere(_) => panic!("nobody else plans"),
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
    }
}

async fn commit(ledger: &dyn Ledger, plan: &Plan) -> Result<Head, StoreError> {
    ledger.commit(plan, publication(plan), now()).await
}

/// Plans and commits until nothing is left.
async fn publish(ledger: &dyn Ledger) {
    while let Some(plan) = plan(ledger).await {
        commit(ledger, &plan).await.expect("committed");
    }
}

async fn bootstrap(ledger: &dyn Ledger) {
    stage(ledger, "boot", create()).await;
    publish(ledger).await;
}

async fn listed(ledger: &dyn Ledger) -> BTreeMap<String, Value> {
    let roles = ledger.artifacts(bins().names().collect()).await.expect("read");
    assert!(roles.iter().all(|role| role.is_sorted_by_key(|(path, _)| path.clone())));
    roles.into_iter().flatten().map(|(path, info)| (path.to_string(), info["length"].clone())).collect()
}

async fn ended(ledger: &dyn Ledger) -> BTreeMap<String, bool> {
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
    let expected = ["bins", "snapshot", "targets", "timestamp"].map(|role| (role.to_owned(), day));
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
