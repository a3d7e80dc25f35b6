//! Every durable write of a round fails once, in every way, and what comes next is the same work or other work first.
//!
//! The scenario runs on the embedded stores, with the round and all that surrounds it as plain functions. At one of its
//! writes the fault happens; a process that ended is followed by a new one that opens the same directory. The bucket is
//! read whole, as a client does, after every single write to it and after every failure. In the end every task is a success, and clients
//! see what was asked for.

use std::collections::BTreeMap;

use rstuf::tuf::bins::Layout;

use self::{
    fuse::Fault,
    world::{Backend, Scenario, World},
};
use crate::harness::ceremony::Ceremony;

mod fuse;
mod people;
mod publishers;
mod scenario;
mod world;

/// What is done first after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The same task again, as the queue delivers it.
    SameWork,
    /// Another task; the failed one is delivered later.
    OtherWork,
}

const BOTH: [Next; 2] = [Next::SameWork, Next::OtherWork];

async fn scenario(layout: Layout) -> Scenario {
    let held = tempfile::tempdir().expect("a directory");
    let ceremony = Ceremony::hold(&held.path().join("ceremony"), &held.path().join("keys"), layout, 2);
    Scenario::new(ceremony, held).await
}

async fn every_write_may_fail(layout: Layout, backend: &Backend, then: &[Next]) {
    let scenario = scenario(layout).await;
    let mut sound = World::new(&scenario, backend, None).await;
    sound.run(Next::SameWork).await;
    let writes = sound.writes();
    let expected = sound.artifacts();
    assert_eq!(expected, scenario::visible_at_the_end());
    assert!(writes.len() > 30, "the scenario has {} writes", writes.len());

    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (number, write) in writes.iter().enumerate() {
        for fault in [Fault::NotApplied, Fault::AppliedButFailed, Fault::EndedBefore, Fault::EndedAfter] {
            for next in then.iter().copied() {
                let case = format!("{fault:?} at write {number} ({write}), then {next:?}");
                let mut world = World::new(&scenario, backend, Some((number, fault))).await;
                world.run(next).await;
                assert!(world.is_burnt(), "nothing failed: {case}");
                assert_eq!(world.artifacts(), expected, "{case}");
            }
        }
        *kinds.entry(write.clone()).or_default() += 1;
    }
    let all = ["stage", "plan", "create", "commit", "point", "project", "put results", "reported"];
    assert_eq!(kinds.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut all = all;
        all.sort_unstable();
        all
    });
}

#[tokio::test]
async fn every_write_may_fail_with_succinct_bins() {
    every_write_may_fail(Layout::Succinct, &Backend::Sqlite, &BOTH).await;
}

#[tokio::test]
async fn every_write_may_fail_with_explicit_bins() {
    every_write_may_fail(Layout::PathHashPrefixes, &Backend::Sqlite, &BOTH).await;
}

#[tokio::test]
async fn every_write_may_fail_on_postgresql() {
    // After other work the same is done again, too.
    every_write_may_fail(Layout::Succinct, &Backend::postgres().await, &[Next::OtherWork]).await;
}

/// The world has a client read everything after each single write to the bucket, also where several are made together.
#[tokio::test]
async fn a_reader_after_every_write_sees_a_consistent_repository() {
    for layout in [Layout::Succinct, Layout::PathHashPrefixes] {
        let scenario = scenario(layout).await;
        let mut world = World::new(&scenario, &Backend::Sqlite, None).await;
        world.run(Next::SameWork).await;
        assert_eq!(world.artifacts(), scenario::visible_at_the_end());
        let writes = world.writes().iter().filter(|write| matches!(write.as_str(), "create" | "point")).count();
        assert_eq!(world.reads(), writes - 5, "the five files before the first timestamp can't be read yet");
    }
}
