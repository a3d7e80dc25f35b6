//! The online key is replaced over and over while clients refresh without a pause, and those who publish are killed.

use std::time::{Duration, Instant};

use rstuf::tuf::bins::Layout;
use tokio::time::sleep;

use super::house::{House, Shape, artifact};
use crate::{
    harness::{checker::Checker, deployment::Deployment, fleet::Fleet, say},
    judges::program::Program,
    kill::seeded,
    peers::people::RootPlan,
};

const ROTATIONS: u64 = 20;
const REFRESHES_A_ROTATION: u64 = 100;
/// So many programs watch at once, each with a client that keeps what it trusts and with new ones.
const JUDGES: usize = 2;
const LONGEST_PAUSE_MS: u64 = 1500;
const LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// So often it is waited until the old key has been dropped.
const DROPPED_EVERY: u64 = 5;

/// No client ever fails, whether it begins at the first root or goes on with what it has, and whoever is killed meanwhile (SIGKILL). B9.
pub(crate) async fn keys_are_replaced_and_publishers_killed(fleet: Fleet) {
    let mut random = seeded("kills while online keys are replaced");
    let mut house = House::founded(fleet, Shape::Bins(Layout::Succinct, 4)).await;
    let mut checker = Checker::new(&house.repository);
    let mut judges: Vec<_> = (0..JUDGES).map(|_| Program::python_tuf()).collect();
    house.add(&[artifact("first")]).await;
    for judge in &mut judges {
        judge.watch(&house.repository, &["never".to_owned()]);
        judge.expect(&["first"]);
    }
    let start = Instant::now();
    let mut kills = 0;
    let mut names = Vec::new();
    for rotation in 1..=ROTATIONS {
        let name: &'static str = format!("online {rotation}").leak();
        names.push(name);
        let keys = house.repository.server.keys();
        house.people.online_key(name, &keys);
        let plan = RootPlan { online: [name; 3], ..house.root.next() };
        let task = house.update(plan, &["Ada", "Hedy"]).await.task();
        let path = format!("while/{rotation}");
        let addition = house.api().add(&[artifact(&path)]).await.expect("the server answers").task();

        sleep(Duration::from_millis(random.u64(..LONGEST_PAUSE_MS))).await;
        // Who publishes is one of the two, whichever it is now; at times it is both.
        let victims: &[usize] = [&[0][..], &[1], &[0, 1]][random.usize(..3)];
        for &victim in victims {
            let worker = &mut house.repository.server.workers[victim];
            worker.daemon.kill();
            worker.daemon.spawn();
            kills += 1;
        }
        house.api().success(&task).await;
        house.api().success(&addition).await;
        checker.check();
        if rotation % DROPPED_EVERY == 0 {
            house.signed_by_alone("timestamp", &[name]).await;
        }
        for judge in &mut judges {
            let deadline = Instant::now() + LIMIT;
            while judge.seen() * (JUDGES as u64) < rotation * REFRESHES_A_ROTATION {
                assert!(Instant::now() < deadline, "clients refresh too slowly");
                sleep(POLL_INTERVAL).await;
            }
        }
    }
    for role in ["timestamp", "snapshot", "targets"] {
        house.signed_by_alone(role, &names[names.len() - 1..]).await;
    }
    checker.check();
    let watches: Vec<_> = judges.iter_mut().map(Program::rest).collect();
    let refreshed: u64 = watches.iter().map(|watch| watch.refreshed).sum();
    let refused: Vec<_> = watches.iter().flat_map(|watch| watch.refused.clone()).collect();
    say(&format!(
        "{ROTATIONS} rotations with {kills} kills in {:.0?}: {refreshed} refreshes, {} failed",
        start.elapsed(),
        refused.len()
    ));
    assert_eq!(refused, Vec::<String>::new());
    assert!(refreshed >= ROTATIONS * REFRESHES_A_ROTATION, "{refreshed} refreshes");
    assert_eq!(checker.artifacts().len() as u64, ROTATIONS + 1);
}
