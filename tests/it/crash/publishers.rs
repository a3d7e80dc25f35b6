//! Two workers publish at once: one is paused at each of its durable writes, before it or after it, while the other does all of
//! its work; then the first goes on. The other takes the first one's plan for forgotten, and its clock is ahead.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rstuf::{
    actors::round::RoundError,
    clock::Clock,
    store::{
        StoreError,
        ledger::{Visibility, Work},
    },
    tuf::bins::{Bins, Layout},
};
use serde_json::Value;

use super::{
    fuse::{Fuse, Gate, Side},
    scenario::{add, info, remove},
    world::{Backend, Place, Scenario},
};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// What is there before.
fn base(bins: Bins) -> Work {
    add(bins, &[("kept", 1), ("replaced", 1), ("gone", 1)], Visibility::NextRound)
}

/// What the worker does that is paused.
fn mine(bins: Bins) -> Work {
    add(bins, &[("mine", 1), ("mine too", 1), ("replaced", 2)], Visibility::NextRound)
}

/// What the other does meanwhile, a round or more each.
fn theirs(bins: Bins) -> [(&'static str, Work); 3] {
    [
        ("theirs", add(bins, &[("theirs", 1)], Visibility::NextRound)),
        ("theirs too", remove(bins, &["gone"])),
        ("theirs at last", add(bins, &[("theirs at last", 1)], Visibility::NextRound)),
    ]
}

fn visible_at_the_end() -> BTreeMap<String, Value> {
    [("kept", 1), ("replaced", 2), ("mine", 1), ("mine too", 1), ("theirs", 1), ("theirs at last", 1)]
        .map(|(path, length)| (path.to_owned(), info(length)))
        .into()
}

/// The worker that may be paused does its work however often it takes, and tells how often it lost.
async fn work(place: &Place<'_>, fuse: &Arc<Fuse>) -> u32 {
    let mut process = place.start(fuse, Clock::system());
    let mut lost = 0;
    while let Err(error) = process.attempt("mine", mine(place.bins())).await {
        assert!(matches!(error, RoundError::Store(StoreError::Lost(_))), "{error}");
        place.check();
        lost += 1;
    }
    lost
}

async fn bootstrapped<'a>(scenario: &'a Scenario, backend: &Backend) -> Place<'a> {
    let place = Place::new(scenario, backend).await;
    let mut process = place.start(&Arc::default(), Clock::system());
    process.attempt("bootstrap", place.bootstrap()).await.expect("nothing fails");
    process.attempt("base", base(place.bins())).await.expect("nothing fails");
    place
}

async fn a_publisher_is_paused_at_each_write(layout: Layout, backend: &Backend) {
    let scenario = super::scenario(layout).await;
    let sound = Arc::new(Fuse::default());
    assert_eq!(work(&bootstrapped(&scenario, backend).await, &sound).await, 0);
    let writes = sound.writes();
    let mut losers = BTreeMap::new();
    for (number, write) in writes.iter().enumerate() {
        for side in [Side::Before, Side::After] {
            let place = bootstrapped(&scenario, backend).await;
            let gate = Arc::new(Gate::default());
            let fuse = Arc::new(Fuse::pausing(number, side, gate.clone()));
            let other = async {
                gate.reached().await;
                place.forget_plans().await;
                let clock = Clock::fixed(Timestamp::now() + AHEAD);
                let mut process = place.start(&Arc::default(), clock);
                for (id, work) in theirs(place.bins()) {
                    process.attempt(id, work).await.expect("nothing fails for the other");
                }
                gate.open();
            };
            let case = format!("paused {side:?} write {number} ({write})");
            let both = tokio::time::timeout(LIMIT, async { tokio::join!(work(&place, &fuse), other) }).await;
            let (lost, ()) = both.unwrap_or_else(|_| panic!("{case}: no end"));
            place.check();
            assert_eq!(place.artifacts(), visible_at_the_end(), "{case}");
            losers.insert((number, side == Side::After), (write.clone(), lost));
        }
    }
    // Who is paused between plan and commit loses, once; who was recorded does not.
    let lost: Vec<_> =
        losers.values().filter(|(_, lost)| *lost > 0).map(|(write, lost)| (write.as_str(), *lost)).collect();
    assert!(lost.iter().all(|(_, times)| *times == 1), "{losers:?}");
    let kinds = ["plan", "create", "commit"];
    assert!(kinds.iter().all(|kind| lost.iter().any(|(write, _)| write == kind)), "{losers:?}");
    assert!(lost.iter().all(|(write, _)| kinds.contains(write)), "{losers:?}");
}

#[tokio::test]
async fn a_publisher_may_pause_at_each_write_with_succinct_bins() {
    a_publisher_is_paused_at_each_write(Layout::Succinct, &Backend::Sqlite).await;
}

#[tokio::test]
async fn a_publisher_may_pause_at_each_write_with_explicit_bins() {
    a_publisher_is_paused_at_each_write(Layout::PathHashPrefixes, &Backend::Sqlite).await;
}

#[tokio::test]
async fn a_publisher_may_pause_at_each_write_on_postgresql() {
    a_publisher_is_paused_at_each_write(Layout::Succinct, &Backend::postgres().await).await;
}
