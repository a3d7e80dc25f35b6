//! A new root on its way to clients.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    bootstrap,
    decisions::{amend, amend_charter},
    ended, now, plan_at, publication,
};
use crate::{
    store::ledger::{
        Head, Ledger, Plan,
        charter::{Change, Charter, Due, End, NextRoot, RetiredRoot, RootStage},
    },
    task::Rotation,
    tuf::{key::ONLINE_KEY_URI, name::RoleName, sample::version, wire::Metadata},
};

pub(super) async fn all<L: Ledger + 'static>(make: &mut impl AsyncFnMut() -> L) {
    an_announced_root_is_published_in_two_rounds(&make().await).await;
    a_root_with_the_same_online_keys_needs_no_grace(&make().await).await;
    old_keys_are_dropped_at_once(&make().await).await;
}

/// A root of this version whose online roles are all signed by this key.
fn root(number: u64, key: &str) -> Metadata {
    let mut root = json!({ "_type": "root", "version": number, "keys": {}, "roles": {} });
    root["keys"][key] = json!({ ONLINE_KEY_URI: format!("fn:{key}"), "keyval": { "public": key } });
    for role in ["timestamp", "snapshot", "targets"] {
        root["roles"][role] = json!({ "keyids": [key], "threshold": 1 });
    }
    Metadata::unsigned(root)
}

fn next(number: u64, key: &str, rotation: Rotation, stage: RootStage) -> NextRoot {
    NextRoot { root: root(number, key), version: version(number), rotation, stage }
}

fn later(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

/// Plans and commits at this minute; the grace of an old root ends ten minutes later.
async fn round(ledger: &dyn Ledger, minute: i64) -> (Plan, Head) {
    let plan = plan_at(ledger, later(minute), 10).await.expect("a plan");
    let publication = super::Publication { root_grace_ends: later(minute + 10), ..publication(&plan) };
    let head = ledger.commit(&plan, publication, later(minute)).await.expect("committed");
    assert_eq!(ledger.head().await.expect("read").as_ref(), Some(&head));
    (plan, head)
}

async fn charter(ledger: &dyn Ledger) -> Charter {
    ledger.charter().await.expect("read").charter
}

async fn amend_next(ledger: &dyn Ledger, id: &str, next: NextRoot, due: Due) {
    let version = next.version;
    let charter = Charter { next_root: Some(next), ..charter(ledger).await };
    amend(ledger, Some((id, End::Root(version))), Change { charter: Some(charter), due, ..Change::default() }).await;
}

/// A repository of root version 1 with this key.
async fn founded(ledger: &dyn Ledger, key: &str) {
    bootstrap(ledger).await;
    amend_next(ledger, "1", next(1, key, Rotation::Immediate, RootStage::Ready), Due::None).await;
    round(ledger, 0).await;
}

async fn an_announced_root_is_published_in_two_rounds(ledger: &dyn Ledger) {
    founded(ledger, "a").await;
    amend_next(ledger, "2", next(2, "b", Rotation::Seamless, RootStage::Announced), Due::All).await;
    let (both, head) = round(ledger, 1).await;
    assert_eq!((both.roles.len(), both.root, head.root), (5, None, None));
    assert_eq!(charter(ledger).await.next_root.expect("a root").stage, RootStage::Ready);
    assert!(!ended(ledger).await.contains_key("2"));
    // It goes on by itself, with the next round.
    let revision = ledger.charter().await.expect("read").revision;
    let (published, head) = round(ledger, 2).await;
    let ready = next(2, "b", Rotation::Seamless, RootStage::Ready);
    assert_eq!(published.root, Some(ready.clone()));
    assert_eq!(published.roles.iter().map(|(role, _)| role).collect::<Vec<_>>(), [&RoleName::timestamp()]);
    assert_eq!(head.root, Some((version(2), ready.root.to_bytes())));
    assert!(ended(ledger).await["2"]);
    assert_eq!(ledger.repository().await.expect("read").expect("one").root, ready.root.to_bytes());
    let chartered = ledger.charter().await.expect("read");
    assert!(chartered.revision > revision);
    assert_eq!(chartered.charter.next_root, None);
    assert_eq!(chartered.charter.retired_roots, [RetiredRoot { root: root(1, "a"), until: later(12) }]);
    // The old key goes when its grace has ended.
    assert!(plan_at(ledger, later(11), 10).await.is_none());
    let (last, head) = round(ledger, 12).await;
    let names: Vec<_> = last.roles.iter().map(|(role, _)| role.clone()).collect();
    assert_eq!(names, [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()]);
    assert_eq!((last.root, head.root), (None, None));
    assert_eq!(charter(ledger).await, Charter::default());
    assert!(plan_at(ledger, later(30), 10).await.is_none());
}

async fn a_root_with_the_same_online_keys_needs_no_grace(ledger: &dyn Ledger) {
    founded(ledger, "a").await;
    amend_next(ledger, "2", next(2, "a", Rotation::Seamless, RootStage::Ready), Due::None).await;
    let (published, head) = round(ledger, 1).await;
    assert_eq!(published.roles.len(), 1);
    assert_eq!(head.root, Some((version(2), root(2, "a").to_bytes())));
    assert!(ended(ledger).await["2"]);
    assert_eq!(charter(ledger).await, Charter::default());
    assert!(plan_at(ledger, later(30), 10).await.is_none());
}

async fn old_keys_are_dropped_at_once(ledger: &dyn Ledger) {
    founded(ledger, "a").await;
    let retired = RetiredRoot { root: root(1, "0"), until: later(60) };
    amend_charter(ledger, None, |charter| charter.retired_roots.push(retired)).await;
    amend_next(ledger, "2", next(2, "b", Rotation::Immediate, RootStage::Ready), Due::All).await;
    let (published, _) = round(ledger, 1).await;
    assert_eq!(published.roles.len(), 5);
    assert_eq!(charter(ledger).await, Charter::default());
    assert!(ended(ledger).await["2"]);
    assert!(plan_at(ledger, later(30), 10).await.is_none());
}
