//! Tasks whose aim is withdrawn: they end, refused, with the amendment that withdraws it.

use serde_json::json;

use super::{
    bins,
    decisions::{amend, amend_charter, delegations, placement, with_custom},
    ended, now, path, plan, publish, stage,
};
use crate::{
    store::ledger::{
        Ledger, Visibility, Work,
        charter::{Change, Charter, Due, End, NextRoot, RootStage, Signing},
    },
    task::{Progress, Rotation},
    tuf::{
        event::{Event, State},
        name::RoleName,
        sample::{role, version},
        targets,
        wire::Metadata,
    },
};

pub(super) async fn all<L: Ledger + 'static>(make: &mut impl AsyncFnMut() -> L) {
    a_root_that_is_withdrawn_ends_its_task(&make().await).await;
    a_document_that_is_withdrawn_ends_its_task(&make().await).await;
    what_waits_for_a_deleted_role_ends_unless_it_moves(&make().await).await;
}

async fn bootstrap(ledger: &dyn Ledger) {
    let custom = [("docs", Signing::Offline), ("tools", Signing::Online)];
    stage(ledger, "boot", Work::Create(with_custom(&custom))).await;
    publish(ledger).await;
}

async fn charter(ledger: &dyn Ledger) -> Charter {
    ledger.charter().await.expect("read").charter
}

/// Why a task was refused.
async fn error(ledger: &dyn Ledger, id: &str) -> String {
    match stage(ledger, id, Work::Release).await {
        Progress::Finished(outcome) if !outcome.status => outcome.error.expect("a reason"),
        progress => panic!("{id}: {progress:?}"),
    }
}

async fn is_running(ledger: &dyn Ledger, id: &str) -> bool {
    matches!(stage(ledger, id, Work::Release).await, Progress::Running { .. })
}

fn next(number: u64) -> NextRoot {
    let root = Metadata::unsigned(json!({ "_type": "root", "version": number }));
    NextRoot { root, version: version(number), rotation: Rotation::Seamless, stage: RootStage::Ready }
}

fn complete(number: u64) -> Event {
    let document = Metadata::unsigned(targets::render(version(number), now(), &[], None));
    Event { document, version: version(number), state: State::Complete, through: 0 }
}

async fn a_root_that_is_withdrawn_ends_its_task(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let send = async |id: &str, number| {
        let after = Charter { next_root: Some(next(number)), ..charter(ledger).await };
        let change = Change { charter: Some(after), ..Change::default() };
        amend(ledger, Some((id, End::Root(version(number)))), change).await;
    };
    send("first", 2).await;
    // Other decisions leave it as it is.
    amend_charter(ledger, Some(("other", End::Now)), |charter| {
        charter.events.insert(role("docs"), complete(3));
    })
    .await;
    assert!(is_running(ledger, "first").await);
    let after = Charter { next_root: None, ..charter(ledger).await };
    let withdrawal = Some("its time is over".to_owned());
    amend(ledger, None, Change { charter: Some(after), withdrawal, ..Change::default() }).await;
    assert_eq!(error(ledger, "first").await, "root v2 was withdrawn before clients saw it: its time is over");
    send("second", 2).await;
    publish(ledger).await;
    assert!(charter(ledger).await.awaited.is_empty());
    let ended = ended(ledger).await;
    assert_eq!((ended["first"], ended["second"]), (false, true));
}

async fn a_document_that_is_withdrawn_ends_its_task(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let sign = async |id: &str, number| {
        amend_charter(ledger, Some((id, End::Visible)), |charter| {
            charter.events.insert(role("docs"), complete(number));
        })
        .await;
    };
    sign("old", 3).await;
    let mut after = charter(ledger).await;
    after.events.remove(&role("docs"));
    let withdrawal = Some("it has expired".to_owned());
    let due = Due::Roles(vec![role("docs")]);
    amend(ledger, None, Change { charter: Some(after), due, withdrawal, ..Change::default() }).await;
    assert_eq!(error(ledger, "old").await, "docs v3 was withdrawn before clients saw it: it has expired");
    sign("seen", 4).await;
    publish(ledger).await;
    sign("deleted", 5).await;
    delete(ledger, "docs").await;
    assert_eq!(error(ledger, "deleted").await, "docs was deleted by the task delete-docs before clients saw it");
    publish(ledger).await;
    let ended = ended(ledger).await;
    assert_eq!((ended["old"], ended["seen"], ended["deleted"]), (false, true, false));
}

/// Deletes a role, so that its artifacts are those of the bins.
async fn delete(ledger: &dyn Ledger, name: &str) {
    let mut after = charter(ledger).await;
    after.roles.get_mut(&role(name)).expect("a role").retired = true;
    after.events.remove(&role(name));
    let left: Vec<_> =
        after.roles.iter().filter(|(_, custom)| !custom.retired).map(|(role, _)| role.as_str()).collect();
    let delegations = delegations(&left);
    let change = Change {
        charter: Some(after.clone()),
        placement: Some(placement(&left)),
        delegations: Some(delegations),
        due: Due::Roles(vec![RoleName::targets()]),
        ..Change::default()
    };
    amend(ledger, Some((&format!("delete-{name}"), End::Visible)), change).await;
}

async fn what_waits_for_a_deleted_role_ends_unless_it_moves(ledger: &dyn Ledger) {
    bootstrap(ledger).await;
    let add = async |id: &str, name: &str, visibility| {
        let placement = ledger.charter().await.expect("read").placement;
        let artifact = (role(name), path(&format!("{name}/{id}")), super::info(json!({ "length": 1 })));
        stage(ledger, id, Work::Add { placement, artifacts: vec![artifact], invalid: Vec::new(), visibility }).await;
    };
    add("moved", "docs", Visibility::NextRound).await;
    delete(ledger, "docs").await;
    // The bins take it.
    publish(ledger).await;
    assert!(ended(ledger).await["moved"]);

    // Without them nobody does.
    for (id, visibility) in [("waits", Visibility::NextRound), ("held", Visibility::Held)] {
        add(id, "tools", visibility).await;
    }
    let mut after = charter(ledger).await;
    after.roles.get_mut(&role("tools")).expect("a role").retired = true;
    let none = crate::tuf::delegation::Delegations::view(&json!({ "keys": {}, "roles": [] })).expect("delegations");
    let change = Change {
        charter: Some(after),
        placement: Some(crate::tuf::placement::Placement::of(&none, None)),
        due: Due::Roles(vec![RoleName::targets()]),
        ..Change::default()
    };
    amend(ledger, Some(("gone", End::Visible)), change).await;
    let why = "tools was deleted by the task gone before clients saw it, and no other role lists what was asked of it";
    assert_eq!(error(ledger, "waits").await, why);
    stage(ledger, "release", Work::Release).await;
    let round = plan(ledger).await.expect("a plan");
    assert!(round.changes.is_empty(), "{:?}", round.changes);
    super::commit(ledger, &round).await.expect("committed");
    assert!(plan(ledger).await.is_none());
    let ended = ended(ledger).await;
    assert_eq!((ended["waits"], ended["gone"], ended["release"]), (false, true, true));
    assert!(bins().names().all(|bin| round.version_of(&bin).is_none()));
}
