//! Decisions: how they are recorded, and what they change beside the charter.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{add, bins, bootstrap, commit, create, details, ended, now, plan, plan_at, publish, stage, task};
use crate::{
    store::{
        StoreError,
        ledger::{
            Ledger, NewRepository, Visibility, Work,
            charter::{
                Amended, Amendment, Change, Charter, CustomRole, Decided, Due, End, Founding, NextRoot, RootStage,
                Signing,
            },
        },
    },
    task::{Outcome, Progress, Rotation},
    tuf::{
        delegation::{DelegatedRoles, Delegations, Scope},
        name::RoleName,
        placement::Placement,
        sample::{role, version},
        wire::Metadata,
    },
};

pub(super) async fn all<L: Ledger + 'static>(make: &mut impl AsyncFnMut() -> L) {
    nobody_has_decided_anything(&make().await).await;
    a_decision_is_recorded_once(&make().await).await;
    of_two_decisions_one_is_made_anew(&make().await).await;
    a_task_ends_when_it_was_said(&make().await).await;
    a_repository_can_be_created_by_a_decision(&make().await).await;
    settings_and_delegations_change(&make().await).await;
    what_is_due_by_a_decision_is_planned(&make().await).await;
    a_plan_of_another_revision_is_lost(&make().await).await;
    artifacts_are_placed_by_the_current_placement(&make().await).await;
    it_is_known_which_scopes_have_artifacts(&make().await).await;
}

fn decided(id: &str, end: End) -> Decided {
    let outcome = Outcome {
        task: "metadata_delegation".to_owned(),
        status: true,
        message: "done".to_owned(),
        error: None,
        details: Some(json!({ "of": id })),
        last_update: now(),
    };
    Decided { task: task(id), accepted_at: now(), outcome, end }
}

pub(super) async fn amend_on(
    ledger: &dyn Ledger,
    base: i64,
    task: Option<(&str, End)>,
    change: Change,
) -> Result<Amended, StoreError> {
    let task = task.map(|(id, end)| decided(id, end));
    ledger.amend(Amendment { base, task, change }, now()).await
}

/// Amends what is there now.
pub(super) async fn amend(ledger: &dyn Ledger, task: Option<(&str, End)>, change: Change) {
    let base = ledger.charter().await.expect("read").revision;
    assert_eq!(amend_on(ledger, base, task, change).await.expect("amended"), Amended::Recorded);
}

/// Changes the charter that is there now.
pub(super) async fn amend_charter(ledger: &dyn Ledger, task: Option<(&str, End)>, change: impl FnOnce(&mut Charter)) {
    let mut charter = ledger.charter().await.expect("read").charter;
    change(&mut charter);
    amend(ledger, task, Change { charter: Some(charter), ..Change::default() }).await;
}

pub(super) fn custom(signing: Signing) -> CustomRole {
    CustomRole { signing, retired: false, announced: None }
}

/// A repository whose roles with names are signed so and have the paths `NAME/*`; bins have all others.
pub(super) fn with_custom(custom: &[(&str, Signing)]) -> Box<NewRepository> {
    let Work::Create(mut new) = create() else { panic!("it creates") };
    new.custom = custom.iter().map(|(name, signing)| (role(name), *signing)).collect();
    new.roles.extend(new.custom.keys().cloned());
    new.settings.layout = crate::tuf::bins::Layout::PathHashPrefixes;
    let names: Vec<_> = custom.iter().map(|(name, _)| *name).collect();
    new.delegations = delegations(&names);
    new
}

/// Delegations to these roles and the bins.
pub(super) fn delegations(names: &[&str]) -> Value {
    let bins = crate::tuf::bins::Bins::new(2, crate::tuf::bins::Layout::PathHashPrefixes).expect("bins");
    let mut delegations = bins.delegations(&[], 1);
    let roles = names.iter().map(|name| delegated(name));
    let bins = delegations["roles"].as_array().expect("roles").clone();
    delegations["roles"] = roles.chain(bins).collect();
    delegations
}

pub(super) fn delegated(name: &str) -> Value {
    json!({
        "name": name, "keyids": [format!("key-{name}")], "threshold": 1, "paths": [format!("{name}/*")], "terminating": true,
    })
}

pub(super) fn placement(names: &[&str]) -> Placement {
    Placement::of(&Delegations::view(&delegations(names)).expect("delegations"), Some(bins()))
}

async fn nobody_has_decided_anything(ledger: &dyn Ledger) {
    let chartered = ledger.charter().await.expect("read");
    assert_eq!((chartered.revision, chartered.placement, chartered.charter), (0, 0, Charter::default()));
    assert_eq!(ledger.wanted(now()).await.expect("read"), []);
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read"), []);
    bootstrap(ledger).await;
    let chartered = ledger.charter().await.expect("read");
    assert_eq!((chartered.placement, chartered.charter), (0, Charter::default()));
    assert!(chartered.revision > 0);
    assert_eq!(ledger.wanted(now() + SignedDuration::from_hours(1000)).await.expect("read"), []);
}

async fn a_decision_is_recorded_once(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let base = ledger.charter().await.expect("read").revision;
    let mut charter = Charter::default();
    charter.roles.insert(role("docs"), custom(Signing::Online));
    let change = Change { charter: Some(charter.clone()), new_roles: vec![role("docs")], ..Change::default() };
    for _ in 0..2 {
        let amended = amend_on(ledger, base, Some(("1", End::Now)), change.clone()).await.expect("amended");
        assert_eq!(amended, Amended::Recorded);
        let chartered = ledger.charter().await.expect("read");
        assert_eq!((chartered.revision, &chartered.charter), (base + 1, &charter));
    }
    assert_eq!(details(&stage(ledger, "1", Work::Release).await), json!({ "of": "1" }));
    // What changes nothing is recorded too, and no plan is lost for it.
    let nothing = Change { charter: Some(charter), ..Change::default() };
    amend(ledger, Some(("2", End::Now)), nothing).await;
    assert_eq!(ledger.charter().await.expect("read").revision, base + 1);
    let ended = ended(ledger).await;
    assert!(ended["1"] && ended["2"]);
}

async fn of_two_decisions_one_is_made_anew(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let base = ledger.charter().await.expect("read").revision;
    let change = |name: &str| {
        let charter = Charter { roles: [(role(name), custom(Signing::Online))].into(), ..Charter::default() };
        Change { charter: Some(charter), new_roles: vec![role(name)], ..Change::default() }
    };
    assert_eq!(amend_on(ledger, base, Some(("1", End::Now)), change("a")).await.expect("amended"), Amended::Recorded);
    for _ in 0..2 {
        let second = amend_on(ledger, base, Some(("2", End::Now)), change("b")).await;
        assert_eq!(second.expect("amended"), Amended::Moved);
    }
    assert_eq!(ledger.charter().await.expect("read").charter, change("a").charter.expect("a charter"));
    assert!(!ended(ledger).await.contains_key("2"));
    // Nobody's decision is compared too.
    assert_eq!(amend_on(ledger, base, None, change("b")).await.expect("amended"), Amended::Moved);
    assert_eq!(amend_on(ledger, base + 1, None, Change::default()).await.expect("amended"), Amended::Recorded);
}

async fn a_task_ends_when_it_was_said(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    amend(ledger, Some(("now", End::Now)), Change::default()).await;
    assert!(ended(ledger).await["now"]);
    // Even with nothing to publish: clients see a round that knows of it.
    amend(ledger, Some(("visible", End::Visible)), Change::default()).await;
    assert!(!ended(ledger).await.contains_key("visible"));
    assert!(matches!(stage(ledger, "visible", Work::Release).await, Progress::Running { .. }));
    let round = plan(ledger).await.expect("a plan");
    assert_eq!(round.roles.len(), 1);
    let head = commit(ledger, &round).await.expect("committed");
    let seen = ledger.unreported(head.sequence - 1, 10).await.expect("read");
    assert!(seen.iter().all(|ended| ended.task != task("visible")));
    assert!(ended(ledger).await["visible"]);
    assert!(plan(ledger).await.is_none());
    // A plan that does not know of it does not end it.
    stage(ledger, "add", add(&[("a", 1)], Visibility::NextRound)).await;
    let early = plan(ledger).await.expect("a plan");
    amend(
        ledger,
        Some(("late", End::Visible)),
        Change { due: Due::Roles(vec![RoleName::targets()]), ..Change::default() },
    )
    .await;
    assert!(matches!(commit(ledger, &early).await, Err(StoreError::Lost(_))));
    assert!(!ended(ledger).await.contains_key("late"));
    amend(ledger, Some(("root", End::Root(version(2)))), Change::default()).await;
    publish(ledger).await;
    assert!(ended(ledger).await["late"]);
    assert!(!ended(ledger).await.contains_key("root"));
    let next = NextRoot {
        root: Metadata::unsigned(json!({ "_type": "root" })),
        version: version(2),
        rotation: Rotation::Seamless,
        stage: RootStage::Ready,
    };
    amend_charter(ledger, None, |charter| charter.next_root = Some(next)).await;
    publish(ledger).await;
    assert!(ended(ledger).await["root"]);
}

async fn a_repository_can_be_created_by_a_decision(ledger: &dyn Ledger) {
    let new = with_custom(&[("docs", Signing::Offline), ("tools", Signing::Online)]);
    let founding = Founding { task: task("boot"), repository: (*new).clone() };
    amend_charter(ledger, Some(("boot", End::Now)), |charter| charter.founding = Some(founding)).await;
    assert!(ended(ledger).await["boot"]);
    assert!(ledger.repository().await.expect("read").is_none());
    assert!(plan(ledger).await.is_none());
    let Progress::Finished(outcome) = stage(ledger, "again", create()).await else { panic!("not finished") };
    assert_eq!(outcome.error.as_deref(), Some("Bootstrap state is signing-boot"));
    amend(ledger, Some(("sign", End::Visible)), Change { create: Some(new), ..Change::default() }).await;
    let repository = ledger.repository().await.expect("read").expect("a repository");
    assert_eq!(repository.task, task("boot"));
    assert_eq!(repository.delegations, delegations(&["docs", "tools"]));
    let charter = ledger.charter().await.expect("read").charter;
    assert_eq!(charter.founding, None);
    let expected = [("docs", Signing::Offline), ("tools", Signing::Online)];
    assert_eq!(charter.roles, expected.map(|(name, signing)| (role(name), custom(signing))).into());
    assert!(!ended(ledger).await.contains_key("sign"));
    let first = plan(ledger).await.expect("a plan");
    let names: Vec<_> = first.roles.iter().map(|(role, version)| format!("{version}.{role}")).collect();
    assert_eq!(names, ["1.bins-0", "1.bins-1", "1.tools", "1.targets", "1.snapshot", "1.timestamp"]);
    commit(ledger, &first).await.expect("committed");
    assert!(ended(ledger).await["sign"]);
    assert!(plan(ledger).await.is_none());
}

async fn settings_and_delegations_change(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let revision = ledger.charter().await.expect("read").revision;
    stage(ledger, "days", Work::SetExpirations([("bins".to_owned(), 2)].into())).await;
    assert_eq!(ledger.charter().await.expect("read").revision, revision + 1);
    let change = Change {
        expirations: [("docs".to_owned(), 5), ("bins".to_owned(), 3)].into(),
        delegations: Some(delegations(&["docs"])),
        new_roles: vec![role("docs")],
        ..Change::default()
    };
    amend(ledger, None, change).await;
    assert_eq!(ledger.charter().await.expect("read").revision, revision + 2);
    let days = ledger.settings().await.expect("read").expect("settings").expirations;
    assert_eq!((days["docs"], days["bins"], days["targets"]), (5, 3, 1));
    assert_eq!(ledger.repository().await.expect("read").expect("one").delegations, delegations(&["docs"]));
    // A new role is due, whatever changes in it.
    let names: Vec<_> = plan(ledger).await.expect("a plan").roles.into_iter().map(|(role, _)| role).collect();
    assert_eq!(names, [role("docs"), RoleName::snapshot(), RoleName::timestamp()]);
}

async fn what_is_due_by_a_decision_is_planned(ledger: &dyn Ledger) {
    let new = with_custom(&[("docs", Signing::Offline), ("gone", Signing::Online), ("tools", Signing::Online)]);
    stage(ledger, "boot", Work::Create(new)).await;
    publish(ledger).await;
    amend_charter(ledger, None, |charter| charter.roles.get_mut(&role("gone")).expect("a role").retired = true).await;
    let due = |due| amend(ledger, None, Change { due, ..Change::default() });
    due(Due::Roles(vec![role("tools"), role("gone")])).await;
    let roles = plan(ledger).await.expect("a plan").roles;
    assert_eq!(roles.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>(), ["tools", "snapshot", "timestamp"]);
    publish(ledger).await;
    due(Due::All).await;
    let roles: BTreeSet<_> = plan(ledger).await.expect("a plan").roles.into_iter().map(|(role, _)| role).collect();
    let online = [role("tools"), RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
    assert_eq!(roles, bins().names().chain(online).collect());
}

async fn a_plan_of_another_revision_is_lost(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("a", 1)], Visibility::NextRound)).await;
    let old = plan(ledger).await.expect("a plan");
    assert_eq!(old.revision, ledger.charter().await.expect("read").revision);
    amend_charter(ledger, None, |charter| {
        charter.roles.insert(role("docs"), custom(Signing::Online));
    })
    .await;
    assert!(matches!(commit(ledger, &old).await, Err(StoreError::Lost(_))));
    let old = plan(ledger).await.expect("a plan");
    stage(ledger, "2", Work::SetExpirations([("bins".to_owned(), 2)].into())).await;
    assert!(matches!(commit(ledger, &old).await, Err(StoreError::Lost(_))));
    publish(ledger).await;
    assert!(ended(ledger).await["1"]);
}

async fn artifacts_are_placed_by_the_current_placement(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    stage(ledger, "known", add(&[("a", 1)], Visibility::NextRound)).await;
    let change = Change { placement: Some(placement(&[])), ..Change::default() };
    amend(ledger, None, change).await;
    assert_eq!(ledger.charter().await.expect("read").placement, 1);
    let request = |id: &str, work| super::Request { task: task(id), accepted_at: now(), work };
    let remove = Work::Remove { placement: 0, paths: Vec::new(), visibility: Visibility::Held };
    for work in [add(&[("b", 1)], Visibility::Held), remove] {
        let requests = vec![request("new", Work::Release), request("stale", work)];
        assert!(matches!(ledger.stage(requests, now()).await, Err(StoreError::Lost(_))));
    }
    // Nothing of the call was recorded, and what is known already was not placed anew.
    let known = stage(ledger, "known", add(&[("a", 1)], Visibility::NextRound)).await;
    assert!(matches!(known, Progress::Running { .. }));
    publish(ledger).await;
    assert_eq!(ended(ledger).await.into_keys().collect::<Vec<_>>(), ["boot", "known"]);
}

async fn it_is_known_which_scopes_have_artifacts(ledger: &dyn Ledger) {
    let scope = |pattern: &str| {
        let mut delegation = delegated("a");
        delegation["paths"] = json!([pattern]);
        let view = Delegations::view(&json!({ "keys": {}, "roles": [delegation] })).expect("delegations");
        let DelegatedRoles::Roles(mut roles) = view.roles else { panic!("it has roles") };
        roles.remove(0).scope
    };
    let scopes = || vec![(role("a"), scope("a/*")), (role("b"), scope("b/*")), (role("c"), scope("*"))];
    assert_eq!(ledger.covering(scopes()).await.expect("read"), BTreeSet::new());
    bootstrap(ledger).await;
    stage(ledger, "1", add(&[("a/x", 1), ("b/x/y", 1)], Visibility::NextRound)).await;
    stage(ledger, "2", add(&[("c", 1)], Visibility::Held)).await;
    assert_eq!(ledger.covering(scopes()).await.expect("read"), BTreeSet::new());
    publish(ledger).await;
    assert_eq!(ledger.covering(scopes()).await.expect("read"), [role("a")].into());
    let all = vec![(role("all"), Scope::PathHashPrefixes(vec![String::new()]))];
    assert_eq!(ledger.covering(all).await.expect("read"), [role("all")].into());
    // What only a deleted role lists nobody sees.
    let mut charter = Charter::default();
    for name in bins().names() {
        charter.roles.insert(name, CustomRole { retired: true, ..custom(Signing::Online) });
    }
    amend_charter(ledger, None, |before| *before = charter).await;
    assert_eq!(ledger.covering(scopes()).await.expect("read"), BTreeSet::new());
    assert!(plan_at(ledger, now() + SignedDuration::from_hours(16), 10).await.expect("a plan").roles.len() == 3);
}
