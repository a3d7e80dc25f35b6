//! Roles that people sign: what waits for them, what they are asked to sign, and where artifacts are listed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    commit,
    decisions::{amend, amend_charter, custom, delegated, delegations, placement, with_custom},
    details, ended, info, now, path, plan, plan_at, publish, stage, task,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            Ledger, Plan, Planned, Stale, Visibility, Work,
            charter::{Announced, Change, Chartered, Due, End, Kept, Reason, Signing, Wanted},
        },
    },
    task::Progress,
    tuf::{
        change::{self, Change as ArtifactChange},
        event::{Event, State},
        name::{ArtifactPath, RoleName, Version},
        placement::Placement,
        sample::{role, version},
        targets,
        wire::Metadata,
    },
};

pub(super) async fn all<L: Ledger + 'static>(make: &mut impl AsyncFnMut() -> L) {
    what_people_sign_waits(&make().await).await;
    people_are_asked_once(&make().await).await;
    drafts_have_versions_of_their_own(&make().await).await;
    a_complete_event_is_published_as_it_is(&make().await).await;
    what_came_after_an_event_waits_on(&make().await).await;
    an_event_that_is_given_up_is_wanted_anew(&make().await).await;
    what_expires_is_wanted_and_never_planned(&make().await).await;
    what_waits_can_be_refused(&make().await).await;
    what_was_announced_becomes_effective_with_its_first_version(&make().await).await;
    what_is_announced_is_renewed_as_it_is(&make().await).await;
    artifacts_follow_what_becomes_effective(&make().await).await;
    what_is_removed_meanwhile_is_not_listed_again(&make().await).await;
    changes_wait_as_their_role_is_signed(&make().await).await;
    a_deleted_role_stays_listed(&make().await).await;
    artifacts_move(&make().await).await;
    artifacts_move_to_people_without_a_gap(&make().await).await;
    moved_changes_are_in_no_event(&make().await).await;
    a_complete_event_comes_before_newer_changes(&make().await).await;
}

const DOCS: &[(&str, Signing)] = &[("docs", Signing::Offline), ("tools", Signing::Online)];

async fn bootstrap(ledger: &dyn Ledger, custom: &[(&str, Signing)]) {
    stage(ledger, "boot", Work::Create(with_custom(custom))).await;
    publish(ledger).await;
}

/// Where artifacts are listed now, and the number of that.
async fn places(ledger: &dyn Ledger) -> (i64, Placement) {
    let number = ledger.charter().await.expect("read").placement;
    let repository = ledger.repository().await.expect("read").expect("a repository");
    let delegations = crate::tuf::delegation::Delegations::view(&repository.delegations).expect("delegations");
    (number, Placement::of(&delegations, Some(super::bins())))
}

async fn add_as(ledger: &dyn Ledger, id: &str, paths: &[(&str, u64)], visibility: Visibility) -> Progress {
    let (placement, places) = places(ledger).await;
    let place = |(text, length): &(&str, u64)| {
        (places.role_for(&path(text)).expect("a place"), path(text), info(json!({ "length": length })))
    };
    let artifacts = paths.iter().map(place).collect();
    stage(ledger, id, Work::Add { placement, artifacts, invalid: Vec::new(), visibility }).await
}

async fn add(ledger: &dyn Ledger, id: &str, paths: &[(&str, u64)]) -> Progress {
    add_as(ledger, id, paths, Visibility::NextRound).await
}

async fn remove(ledger: &dyn Ledger, id: &str, paths: &[&str]) -> Progress {
    let (placement, places) = places(ledger).await;
    let place = |text: &&str| ((*text).to_owned(), places.role_for(&path(text)).map(|role| (role, path(text))));
    let paths = paths.iter().map(place).collect();
    stage(ledger, id, Work::Remove { placement, paths, visibility: Visibility::NextRound }).await
}

/// What a role lists as published, by path.
async fn listed(ledger: &dyn Ledger, name: &str) -> BTreeMap<String, Value> {
    let listed = ledger.artifacts(vec![role(name)]).await.expect("read").remove(0);
    listed.into_iter().map(|(path, info)| (path.to_string(), info.to_value()["length"].clone())).collect()
}

fn lengths(all: &[(&str, u64)]) -> BTreeMap<String, Value> {
    all.iter().map(|(path, length)| ((*path).to_owned(), json!(length))).collect()
}

async fn wanted(ledger: &dyn Ledger) -> Vec<Wanted> {
    ledger.wanted(now()).await.expect("read")
}

fn event(number: Version, state: State, through: i64, artifacts: &[(ArtifactPath, Value)]) -> Event {
    let expires = now() + SignedDuration::from_hours(24);
    let document = Metadata::unsigned(targets::render(number, expires, artifacts, None));
    Event { document, version: number, state, through }
}

/// The event for what is wanted.
async fn drafted(ledger: &dyn Ledger, wanted: &Wanted, state: State) -> Event {
    let listed = ledger.artifacts(vec![wanted.role.clone()]).await.expect("read").remove(0);
    let listed = change::apply(listed, &wanted.changes).into_iter().map(|(path, info)| (path, info.to_value()));
    event(wanted.version, state, wanted.through, &listed.collect::<Vec<_>>())
}

async fn record(ledger: &dyn Ledger, name: &str, event: Event) {
    amend_charter(ledger, None, |charter| {
        charter.events.insert(role(name), event);
    })
    .await;
}

/// Has people sign all that is wanted.
async fn sign(ledger: &dyn Ledger) {
    for wanted in wanted(ledger).await {
        let event = drafted(ledger, &wanted, State::Complete).await;
        record(ledger, wanted.role.as_str(), event).await;
    }
}

async fn sign_and_publish(ledger: &dyn Ledger) {
    sign(ledger).await;
    publish(ledger).await;
}

fn names(plan: &Plan) -> Vec<String> {
    plan.roles.iter().map(|(role, version)| format!("{version}.{role}")).collect()
}

async fn what_people_sign_waits(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    assert_eq!(ledger.published().await.expect("read").get(&role("docs")), None);
    let progress = add(ledger, "1", &[("docs/a", 1)]).await;
    assert!(matches!(progress, Progress::Running { roles_to_publish, .. } if roles_to_publish == ["docs"]));
    add(ledger, "2", &[("docs/b", 1), ("c", 1), ("docs/c", 1)]).await;
    add_as(ledger, "3", &[("docs/d", 1)], Visibility::Held).await;
    let round = plan(ledger).await.expect("a plan");
    assert_eq!(round.changes.len(), 1);
    commit(ledger, &round).await.expect("committed");
    assert!(plan(ledger).await.is_none());
    // It is the same as soon as it is asked for, and known to a removal.
    stage(ledger, "4", Work::Release).await;
    assert!(plan(ledger).await.is_none());
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read"), ["1", "2", "4"].map(task));
    assert_eq!(ledger.waiting(&role("docs"), 2).await.expect("read"), ["1", "2"].map(task));
    assert_eq!(ledger.waiting(&role("tools"), 9).await.expect("read"), []);
    assert!(matches!(remove(ledger, "5", &["docs/a"]).await, Progress::Running { .. }));
    let ended = ended(ledger).await;
    assert_eq!(ended.into_keys().collect::<Vec<_>>(), ["3", "boot"]);
}

async fn people_are_asked_once(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    let [first] = wanted(ledger).await.try_into().expect("one");
    assert_eq!((first.reason, first.through, first.changes.len()), (Reason::Due, 0, 0));
    let open = drafted(ledger, &first, State::Collecting).await;
    record(ledger, "docs", open).await;
    assert_eq!(wanted(ledger).await, []);
    add(ledger, "1", &[("docs/a", 1), ("a", 1)]).await;
    add(ledger, "2", &[("docs/a", 2), ("docs/b", 2)]).await;
    let [second] = wanted(ledger).await.try_into().expect("one");
    assert_eq!((&second.role, second.reason), (&role("docs"), Reason::Content));
    let added = |length: u64| ArtifactChange::Add(info(json!({ "length": length })));
    assert_eq!(second.changes, [(path("docs/a"), added(2)), (path("docs/b"), added(2))].into());
    let open = drafted(ledger, &second, State::Collecting).await;
    record(ledger, "docs", open).await;
    assert_eq!(wanted(ledger).await, []);
    // All changes are told again, with those that came later.
    add(ledger, "3", &[("docs/c", 3)]).await;
    let [third] = wanted(ledger).await.try_into().expect("one");
    assert_eq!(third.changes.len(), 3);
    assert!(third.through > second.through);
    // What is complete is out of reach.
    let complete = drafted(ledger, &second, State::Complete).await;
    record(ledger, "docs", complete).await;
    assert_eq!(wanted(ledger).await, []);
}

async fn drafts_have_versions_of_their_own(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    let mut given = BTreeSet::new();
    for _ in 0..3 {
        let [draft] = wanted(ledger).await.try_into().expect("one");
        assert!(given.insert(draft.version));
    }
    // A version that somebody chose is not given out either.
    record(ledger, "docs", event(version(40), State::Complete, 0, &[])).await;
    let round = plan(ledger).await.expect("a plan");
    assert_eq!(names(&round)[0], "40.docs");
    commit(ledger, &round).await.expect("committed");
    assert_eq!(ledger.published().await.expect("read")[&role("docs")].version, version(40));
    add(ledger, "1", &[("docs/a", 1)]).await;
    assert_eq!(wanted(ledger).await.remove(0).version, version(41));
}

async fn a_complete_event_is_published_as_it_is(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("docs/a", 1), ("docs/b", 1)]).await;
    add(ledger, "2", &[("docs/b", 2), ("tools/x", 1)]).await;
    let [draft] = wanted(ledger).await.try_into().expect("one");
    // Another document than the one that was asked for: what is in it counts.
    let info = json!({ "length": 7, "custom": { "z": 1, "a": [null] } });
    let complete = event(draft.version, State::Complete, draft.through, &[(path("docs/other"), info.clone())]);
    record(ledger, "docs", complete.clone()).await;
    for _ in 0..2 {
        // Planned as often as it takes, at the one version that was signed.
        let round = plan(ledger).await.expect("a plan");
        assert_eq!(names(&round)[0], format!("{}.docs", draft.version));
        assert_eq!(round.signed, [(role("docs"), complete.document.clone())].into());
        assert_eq!((round.delegations.as_ref(), round.root.as_ref()), (None, None));
        assert!(!round.changes.contains_key(&role("docs")));
    }
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read").len(), 2);
    let revision = ledger.charter().await.expect("read").revision;
    publish(ledger).await;
    let chartered = ledger.charter().await.expect("read");
    assert!(chartered.revision > revision);
    assert_eq!(chartered.charter.events, BTreeMap::new());
    assert_eq!(ledger.artifacts(vec![role("docs")]).await.expect("read"), [[(path("docs/other"), super::info(info))]]);
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/x", 1)]));
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read"), []);
    let ended = ended(ledger).await;
    assert!(ended["1"] && ended["2"]);
    assert_eq!(wanted(ledger).await, []);
    let day = now() + SignedDuration::from_hours(24);
    assert_eq!(ledger.expiries().await.expect("read")["docs"].expires, day);
    // The next version replaces it whole.
    add(ledger, "3", &[("docs/c", 3)]).await;
    let [draft] = wanted(ledger).await.try_into().expect("one");
    record(ledger, "docs", event(draft.version, State::Complete, draft.through, &[])).await;
    publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[]));
}

async fn what_came_after_an_event_waits_on(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("docs/a", 1)]).await;
    sign(ledger).await;
    add(ledger, "2", &[("docs/b", 1)]).await;
    let round = plan(ledger).await.expect("a plan");
    commit(ledger, &round).await.expect("committed");
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1)]));
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read"), [task("2")]);
    assert!(!ended(ledger).await.contains_key("2"));
    assert_eq!(wanted(ledger).await.remove(0).reason, Reason::Content);
    sign_and_publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1), ("docs/b", 1)]));
    assert!(ended(ledger).await["2"]);
}

async fn an_event_that_is_given_up_is_wanted_anew(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    let [first] = wanted(ledger).await.try_into().expect("one");
    let open = drafted(ledger, &first, State::Collecting).await;
    record(ledger, "docs", open).await;
    assert_eq!(wanted(ledger).await, []);
    amend_charter(ledger, Some(("stop", End::Now)), |charter| charter.events.clear()).await;
    let [second] = wanted(ledger).await.try_into().expect("one");
    assert!(second.version > first.version);
}

async fn what_expires_is_wanted_and_never_planned(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    sign_and_publish(ledger).await;
    let later = |hours| now() + SignedDuration::from_hours(hours);
    let wanted_at = async |now: Timestamp| ledger.wanted(now).await.expect("read");
    assert_eq!(wanted_at(later(15)).await, []);
    let [due] = wanted_at(later(16)).await.try_into().expect("one");
    assert_eq!(due.reason, Reason::Due);
    let round = plan_at(ledger, later(16), 10).await.expect("a plan");
    assert!(round.roles.iter().any(|(name, _)| *name == role("tools")));
    assert!(round.roles.iter().all(|(name, _)| *name != role("docs")));
    // A decision can make it due before its time, also with an event open.
    let open = drafted(ledger, &due, State::Collecting).await;
    record(ledger, "docs", open).await;
    assert_eq!(wanted(ledger).await, []);
    amend(ledger, None, Change { due: Due::Roles(vec![role("docs")]), ..Change::default() }).await;
    assert!(plan(ledger).await.is_none());
    assert_eq!(wanted(ledger).await.remove(0).reason, Reason::Due);
    // A document that nobody signed for the whole of its life is replaced.
    let [draft] = wanted(ledger).await.try_into().expect("one");
    let open = drafted(ledger, &draft, State::Collecting).await;
    record(ledger, "docs", open).await;
    assert_eq!(wanted_at(later(12)).await, []);
    assert_eq!(wanted_at(later(17)).await.remove(0).reason, Reason::Due);
}

async fn what_waits_can_be_refused(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "small", &[("docs/a", 1)]).await;
    add(ledger, "large", &[("docs/a", 2), ("docs/b", 2), ("c", 2)]).await;
    let [draft] = wanted(ledger).await.try_into().expect("one");
    let refused = ledger.refuse(&role("docs"), draft.through, "too large".into(), now()).await.expect("refused");
    assert_eq!(refused, Some(task("large")));
    assert_eq!(ledger.waiting(&role("docs"), 9).await.expect("read"), [task("small")]);
    assert!(plan(ledger).await.is_none());
    sign_and_publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1)]));
    let ended = ended(ledger).await;
    assert_eq!((ended["small"], ended["large"]), (true, false));
}

/// The delegation of a role to other keys and paths.
fn announced(name: &str) -> Announced {
    let mut role = delegated(name);
    role["keyids"] = json!(["people"]);
    let key = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": "" } });
    Announced { role, keys: [("people".to_owned(), key)].into_iter().collect() }
}

async fn what_was_announced_becomes_effective_with_its_first_version(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("tools/a", 1)]).await;
    publish(ledger).await;
    amend_charter(ledger, None, |charter| {
        let tools = charter.roles.get_mut(&role("tools")).expect("a role");
        (tools.signing, tools.announced) = (Signing::Offline, Some(announced("tools")));
        charter.events.insert(role("docs"), event(version(1), State::Complete, 0, &[]));
    })
    .await;
    // Another role's event changes nothing of it.
    let round = plan(ledger).await.expect("a plan");
    assert_eq!((names(&round).len(), &round.delegations), (3, &None));
    commit(ledger, &round).await.expect("committed");
    assert_eq!(ledger.repository().await.expect("read").expect("one").delegations, delegations(&["docs", "tools"]));
    add(ledger, "2", &[("tools/b", 1)]).await;
    assert!(plan(ledger).await.is_none());
    sign(ledger).await;
    let round = plan(ledger).await.expect("a plan");
    let order: Vec<_> = round.roles.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(order, ["tools", "targets", "snapshot", "timestamp"]);
    let mut expected = delegations(&["docs", "tools"]);
    expected["roles"][1] = announced("tools").role;
    expected["keys"]["people"] = announced("tools").keys["people"].clone();
    assert_eq!(round.delegations.as_ref().expect("delegations")["roles"], expected["roles"]);
    assert!(round.delegations.as_ref().expect("delegations")["keys"].get("people").is_some());
    let before = ledger.charter().await.expect("read");
    commit(ledger, &round).await.expect("committed");
    let after = ledger.charter().await.expect("read");
    assert_eq!(Some(ledger.repository().await.expect("read").expect("one").delegations), round.delegations);
    assert_eq!(after.charter.roles[&role("tools")], custom(Signing::Offline));
    assert!(after.placement > before.placement && after.revision > before.revision);
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 1), ("tools/b", 1)]));
    assert!(ended(ledger).await["2"]);
}

async fn what_is_announced_is_renewed_as_it_is(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("tools/a", 1)]).await;
    publish(ledger).await;
    amend_charter(ledger, None, |charter| {
        let tools = charter.roles.get_mut(&role("tools")).expect("a role");
        (tools.signing, tools.announced) = (Signing::Offline, Some(announced("tools")));
        charter.kept.insert(role("tools"), Kept::default());
    })
    .await;
    let tools = role("tools");
    let asked = async || {
        let wanted = ledger.wanted(now()).await.expect("read").into_iter().find(|wanted| wanted.role == tools);
        let open = drafted(ledger, &wanted.expect("asked of people"), State::Collecting).await;
        let number = open.version;
        record(ledger, "tools", open).await;
        number
    };
    amend(ledger, None, Change { due: Due::Roles(vec![tools.clone()]), ..Change::default() }).await;
    let first = asked().await;
    add(ledger, "2", &[("tools/b", 1)]).await;
    assert!(plan(ledger).await.is_none());
    // The rest is due by then, and so is this, with what it lists already.
    let later = |hours| now() + SignedDuration::from_hours(hours);
    assert!(plan_at(ledger, later(14), 10).await.is_none());
    let round = plan_at(ledger, later(17), 10).await.expect("a plan");
    let renewed = round.version_of(&tools).expect("it is renewed");
    assert!(renewed > first && !round.changes.contains_key(&tools) && round.delegations.is_none());
    commit(ledger, &round).await.expect("committed");
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 1)]));
    // What people were asked to sign would be older: they are asked for another one.
    assert!(!ledger.charter().await.expect("read").charter.events.contains_key(&tools));
    let second = asked().await;
    assert!(second > renewed);
    // A key that was replaced makes it due at once, and once.
    amend_charter(ledger, None, |charter| charter.kept.get_mut(&tools).expect("kept").due = true).await;
    let round = plan(ledger).await.expect("a plan");
    assert!(round.version_of(&tools).expect("it is renewed") > second);
    commit(ledger, &round).await.expect("committed");
    assert_eq!(ledger.charter().await.expect("read").charter.kept[&tools], Kept::default());
    assert!(plan(ledger).await.is_none());
    let wanted = ledger.wanted(now()).await.expect("read").into_iter().find(|wanted| wanted.role == tools);
    let signed = drafted(ledger, &wanted.expect("asked of people"), State::Complete).await;
    record(ledger, "tools", signed).await;
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 1), ("tools/b", 1)]));
    assert!(ledger.charter().await.expect("read").charter.kept.is_empty());
    assert!(ended(ledger).await["2"]);
}

async fn artifacts_follow_what_becomes_effective(ledger: &dyn Ledger) {
    bootstrap(ledger, &[]).await;
    add(ledger, "1", &[("docs/a", 1), ("docs/b", 1), ("docs/gone", 1), ("c", 1)]).await;
    publish(ledger).await;
    let bin = |text: &str| super::bins().role_for(&path(text)).to_string();
    // The role is announced, and what belongs to it is asked of people.
    let mut charter = ledger.charter().await.expect("read").charter;
    let role_of_people =
        crate::store::ledger::charter::CustomRole { announced: Some(announced("docs")), ..custom(Signing::Offline) };
    charter.roles.insert(role("docs"), role_of_people);
    let change = Change {
        charter: Some(charter),
        new_roles: vec![role("docs")],
        placement: Some(placement(&["docs"])),
        ..Change::default()
    };
    amend(ledger, None, change).await;
    // Nothing changes for clients meanwhile; who adds is placed where clients look now.
    assert!(plan(ledger).await.is_none());
    add(ledger, "2", &[("docs/b", 2)]).await;
    remove(ledger, "3", &["docs/gone"]).await;
    publish(ledger).await;
    let told = ended(ledger).await;
    assert!(told["2"] && told["3"]);
    assert_eq!(listed(ledger, &bin("docs/a")).await["docs/a"], json!(1));
    sign(ledger).await;
    add(ledger, "4", &[("docs/a", 3), ("docs/new", 2)]).await;
    let round = plan(ledger).await.expect("a plan");
    commit(ledger, &round).await.expect("committed");
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1), ("docs/b", 2)]));
    publish(ledger).await;
    // What people have not signed stays where it is until they have.
    assert_eq!(listed(ledger, &bin("docs/b")).await.get("docs/b"), None);
    assert_eq!(listed(ledger, &bin("docs/a")).await["docs/a"], json!(3));
    assert_eq!(listed(ledger, &bin("docs/new")).await["docs/new"], json!(2));
    sign_and_publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 3), ("docs/b", 2), ("docs/new", 2)]));
    for text in ["docs/a", "docs/b", "docs/new"] {
        assert_eq!(listed(ledger, &bin(text)).await.get(text), None, "{text}");
    }
    assert_eq!(listed(ledger, &bin("c")).await["c"], json!(1));
    assert_eq!(wanted(ledger).await, []);
    assert!(plan(ledger).await.is_none());
}

async fn what_is_removed_meanwhile_is_not_listed_again(ledger: &dyn Ledger) {
    bootstrap(ledger, &[]).await;
    add(ledger, "1", &[("docs/a", 1), ("docs/b", 1)]).await;
    publish(ledger).await;
    let mut charter = ledger.charter().await.expect("read").charter;
    let of_people =
        crate::store::ledger::charter::CustomRole { announced: Some(announced("docs")), ..custom(Signing::Offline) };
    charter.roles.insert(role("docs"), of_people);
    let change = Change {
        charter: Some(charter),
        new_roles: vec![role("docs")],
        placement: Some(placement(&["docs"])),
        ..Change::default()
    };
    amend(ledger, None, change).await;
    let [draft] = wanted(ledger).await.try_into().expect("one");
    let signed = drafted(ledger, &draft, State::Complete).await;
    amend_charter(ledger, Some(("sign", End::Visible)), |charter| {
        charter.events.insert(role("docs"), signed);
    })
    .await;
    // Once planned, and removed before the commit.
    let round = plan(ledger).await.expect("a plan");
    remove(ledger, "2", &["docs/a"]).await;
    assert!(matches!(commit(ledger, &round).await, Err(StoreError::Lost(_))));
    let Planned::Stale(stale) = ledger.plan(now(), 10).await.expect("planned") else {
        panic!("it is not to be published")
    };
    let Chartered { revision, mut charter, .. } = ledger.charter().await.expect("read");
    assert_eq!(stale, Stale { role: role("docs"), path: path("docs/a"), revision });
    // It is withdrawn, and what people sign next has it no more.
    charter.events.remove(&role("docs"));
    let due = Due::Roles(vec![role("docs")]);
    amend(ledger, None, Change { charter: Some(charter), due, ..Change::default() }).await;
    publish(ledger).await;
    let told = ended(ledger).await;
    assert_eq!((told["2"], told["sign"]), (true, false));
    sign_and_publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/b", 1)]));
    for text in ["docs/a", "docs/b"] {
        assert_eq!(listed(ledger, super::bins().role_for(&path(text)).as_str()).await.get(text), None, "{text}");
    }
}

async fn changes_wait_as_their_role_is_signed(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("tools/a", 1), ("docs/a", 1)]).await;
    let signing = async |name: &str, signing| {
        amend_charter(ledger, None, |charter| charter.roles.get_mut(&role(name)).expect("a role").signing = signing)
            .await;
    };
    signing("tools", Signing::Offline).await;
    assert!(plan(ledger).await.is_none());
    assert_eq!(ledger.waiting(&role("tools"), 9).await.expect("read"), [task("1")]);
    signing("tools", Signing::Online).await;
    signing("docs", Signing::Online).await;
    assert_eq!(wanted(ledger).await, []);
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 1)]));
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1)]));
    assert!(ended(ledger).await["1"]);
}

/// Deletes a role, and says where artifacts are listed with the others.
async fn delete(ledger: &dyn Ledger, name: &str, left: &[&str]) {
    let mut charter = ledger.charter().await.expect("read").charter;
    charter.roles.get_mut(&role(name)).expect("a role").retired = true;
    charter.events.remove(&role(name));
    let change = Change {
        charter: Some(charter),
        delegations: Some(delegations(left)),
        placement: Some(placement(left)),
        due: Due::Roles(vec![RoleName::targets()]),
        ..Change::default()
    };
    amend(ledger, None, change).await;
}

async fn a_deleted_role_stays_listed(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    sign_and_publish(ledger).await;
    add(ledger, "1", &[("docs/a", 1), ("tools/a", 1)]).await;
    sign_and_publish(ledger).await;
    let before = ledger.published().await.expect("read");
    delete(ledger, "docs", &["tools"]).await;
    delete(ledger, "tools", &[]).await;
    let round = plan(ledger).await.expect("a plan");
    assert!(round.roles.iter().all(|(name, _)| *name != role("docs") && *name != role("tools")));
    commit(ledger, &round).await.expect("committed");
    publish(ledger).await;
    let after = ledger.published().await.expect("read");
    for name in ["docs", "tools"] {
        assert_eq!(after[&role(name)], before[&role(name)]);
        assert!(listed(ledger, name).await.is_empty());
    }
    for text in ["docs/a", "tools/a"] {
        assert_eq!(listed(ledger, super::bins().role_for(&path(text)).as_str()).await[text], json!(1));
    }
    let later = now() + SignedDuration::from_hours(1000);
    let due = plan_at(ledger, later, 10).await.expect("a plan").roles;
    assert_eq!(due.len(), 5);
    assert_eq!(ledger.wanted(later).await.expect("read"), []);
    let expiries = ledger.expiries().await.expect("read");
    assert_eq!(expiries.into_keys().collect::<Vec<_>>(), ["bins", "snapshot", "targets", "timestamp"]);
    // Its name is not free, in whatever way it is asked for.
    let again = Change { new_roles: vec![role("docs")], ..Change::default() };
    let base = ledger.charter().await.expect("read").revision;
    let refused = super::decisions::amend_on(ledger, base, None, again).await;
    assert!(matches!(refused, Err(StoreError::Broken(_))), "{refused:?}");
    assert_eq!(ledger.charter().await.expect("read").revision, base);
}

async fn artifacts_move(ledger: &dyn Ledger) {
    bootstrap(ledger, &[]).await;
    let paths = ["tools/published", "tools/changed", "tools/removed", "tools/added", "tools/held", "other"];
    add(ledger, "1", &[(paths[0], 1), (paths[1], 1), (paths[2], 1), (paths[5], 1)]).await;
    publish(ledger).await;
    add(ledger, "2", &[(paths[1], 2), (paths[3], 2)]).await;
    remove(ledger, "3", &[paths[2]]).await;
    add_as(ledger, "4", &[(paths[4], 4)], Visibility::Held).await;
    let mut charter = ledger.charter().await.expect("read").charter;
    charter.roles.insert(role("tools"), custom(Signing::Online));
    let change = Change {
        charter: Some(charter),
        delegations: Some(delegations(&["tools"])),
        new_roles: vec![role("tools")],
        placement: Some(placement(&["tools"])),
        ..Change::default()
    };
    amend(ledger, Some(("move", End::Visible)), change).await;
    // A removal finds what is on its way.
    assert!(matches!(remove(ledger, "5", &["tools/never"]).await, Progress::Finished(_)));
    let found = remove(ledger, "6", &[paths[3], paths[2]]).await;
    assert!(matches!(found, Progress::Running { roles_to_publish, .. } if roles_to_publish == ["tools"]));
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await, lengths(&[(paths[0], 1), (paths[1], 2)]));
    let expected = json!({ "deleted_artifacts": [paths[3]], "not_found_artifacts": [paths[2]] });
    assert_eq!(details(&stage(ledger, "6", Work::Release).await), expected);
    stage(ledger, "7", Work::Release).await;
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await, lengths(&[(paths[0], 1), (paths[1], 2), (paths[4], 4)]));
    let bins = ledger.artifacts(super::bins().names().collect()).await.expect("read").concat();
    assert_eq!(bins.into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>(), ["other"]);
    assert!(ended(ledger).await.values().all(|status| *status));
    // And back.
    delete(ledger, "tools", &[]).await;
    publish(ledger).await;
    let mut all = BTreeMap::new();
    for bin in super::bins().names() {
        all.extend(listed(ledger, bin.as_str()).await);
    }
    assert_eq!(all, lengths(&[(paths[0], 1), (paths[1], 2), (paths[4], 4), (paths[5], 1)]));
    assert!(listed(ledger, "tools").await.is_empty());
}

async fn artifacts_move_to_people_without_a_gap(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    sign_and_publish(ledger).await;
    add(ledger, "1", &[("tools/a", 1), ("tools/b", 1)]).await;
    publish(ledger).await;
    // All paths of the one role are those of the other from now on.
    let mut moved = delegations(&["docs", "tools"]);
    moved["roles"][0]["paths"] = json!(["docs/*", "tools/*"]);
    let view = crate::tuf::delegation::Delegations::view(&moved).expect("delegations");
    let change = Change {
        delegations: Some(moved),
        placement: Some(Placement::of(&view, Some(super::bins()))),
        due: Due::Roles(vec![RoleName::targets()]),
        ..Change::default()
    };
    amend(ledger, None, change).await;
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await.len(), 2);
    remove(ledger, "2", &["tools/b"]).await;
    let [draft] = wanted(ledger).await.try_into().expect("one");
    let info = info(json!({ "length": 1 }));
    assert_eq!(
        draft.changes,
        [(path("tools/a"), ArtifactChange::Add(info)), (path("tools/b"), ArtifactChange::Remove)].into()
    );
    sign(ledger).await;
    let round = plan(ledger).await.expect("a plan");
    commit(ledger, &round).await.expect("committed");
    // Listed by both for one round, not by neither.
    assert_eq!(listed(ledger, "docs").await, lengths(&[("tools/a", 1)]));
    assert_eq!(listed(ledger, "tools").await.len(), 2);
    publish(ledger).await;
    assert!(listed(ledger, "tools").await.is_empty());
    assert!(ended(ledger).await["2"]);
    // And back: people are asked to sign that the one does not list it any more.
    let change = Change {
        delegations: Some(delegations(&["docs", "tools"])),
        placement: Some(placement(&["docs", "tools"])),
        ..Change::default()
    };
    amend(ledger, None, change).await;
    add(ledger, "3", &[("tools/a", 3)]).await;
    publish(ledger).await;
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 3)]));
    assert_eq!(wanted(ledger).await.remove(0).changes, [(path("tools/a"), ArtifactChange::Remove)].into());
}

async fn moved_changes_are_in_no_event(ledger: &dyn Ledger) {
    bootstrap(ledger, &[("docs", Signing::Offline), ("more", Signing::Offline)]).await;
    add(ledger, "1", &[("more/a", 1)]).await;
    add(ledger, "2", &[("docs/a", 1)]).await;
    for wanted in wanted(ledger).await {
        let open = drafted(ledger, &wanted, State::Collecting).await;
        record(ledger, wanted.role.as_str(), open).await;
    }
    let mut moved = delegations(&["docs", "more"]);
    moved["roles"][0]["paths"] = json!(["docs/*", "more/*"]);
    let view = crate::tuf::delegation::Delegations::view(&moved).expect("delegations");
    let placement = Some(Placement::of(&view, Some(super::bins())));
    amend(ledger, None, Change { delegations: Some(moved), placement, ..Change::default() }).await;
    // The one gained what its event does not have, the event of the other has what it lost.
    let charter = ledger.charter().await.expect("read").charter;
    assert_eq!(charter.events.keys().collect::<Vec<_>>(), [&role("docs")]);
    let wanted = wanted(ledger).await;
    let told: Vec<_> =
        wanted.iter().map(|wanted| (wanted.role.as_str(), wanted.reason, wanted.changes.len())).collect();
    assert_eq!(told, [("docs", Reason::Content, 2), ("more", Reason::Due, 0)]);
    sign_and_publish(ledger).await;
    assert_eq!(listed(ledger, "docs").await, lengths(&[("docs/a", 1), ("more/a", 1)]));
    assert!(ended(ledger).await.values().all(|status| *status));
}

async fn a_complete_event_comes_before_newer_changes(ledger: &dyn Ledger) {
    bootstrap(ledger, DOCS).await;
    add(ledger, "1", &[("tools/a", 1), ("c", 1)]).await;
    let info = json!({ "length": 5 });
    record(ledger, "tools", event(version(9), State::Complete, 0, &[(path("tools/signed"), info)])).await;
    let round = plan(ledger).await.expect("a plan");
    assert!(!round.changes.contains_key(&role("tools")));
    commit(ledger, &round).await.expect("committed");
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/signed", 5)]));
    assert!(!ended(ledger).await.contains_key("1"));
    let round = plan(ledger).await.expect("a plan");
    assert_eq!(names(&round)[0], "10.tools");
    commit(ledger, &round).await.expect("committed");
    assert_eq!(listed(ledger, "tools").await, lengths(&[("tools/a", 1), ("tools/signed", 5)]));
    assert!(ended(ledger).await["1"]);
}
