//! What a worker tells of its rounds, and what it does when what it told is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use rstuf::{
    store::{
        results::Results,
        settings::{BOOTSTRAP, Settings, bootstrap::BOOTSTRAP_DEADLINE},
    },
    task::Progress,
};

use crate::renewal::Site;

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn bootstrap_is_told(site: &Site) -> bool {
    let progress = site.results.get(&site.task).await.expect("read");
    let setting = site.settings.get(BOOTSTRAP).await.expect("read");
    matches!(progress, Some(Progress::Finished(outcome)) if outcome.status) && setting == site.task.as_str()
}

#[actix::test]
async fn settings_and_results_that_were_lost_are_there_again() {
    let site = Site::bootstrapped().await;
    eventually("the bootstrap is told", async || bootstrap_is_told(&site).await).await;
    site.clock.advance(SignedDuration::from_secs(1));
    let projected = site.settings.all().await.expect("read");

    // What the lock of a bootstrap leaves behind is no part of the ledger.
    let projected: BTreeMap<_, _> = projected.into_iter().filter(|(name, _)| name != BOOTSTRAP_DEADLINE).collect();
    let shared = rusqlite::Connection::open(site.home.path().join("shared.db")).expect("opened");
    shared.busy_timeout(Duration::from_secs(10)).expect("set");
    shared.execute_batch("delete from settings; delete from results").expect("lost");

    eventually("the bootstrap is told again", async || bootstrap_is_told(&site).await).await;
    assert_eq!(site.settings.all().await.expect("read"), projected);
    let text = site.metrics.text(Timestamp::now());
    assert!(text.contains("\nrstuf_settings_lost_total 1\n"), "{text}");
    assert!(text.contains("rstuf_tasks_ended_total{kind=\"bootstrap\",state=\"success\"} 1\n"), "counted once: {text}");
}

#[actix::test]
async fn a_round_is_measured() {
    let site = Site::bootstrapped().await;
    eventually("the bootstrap is told", async || bootstrap_is_told(&site).await).await;
    let told = |line: &str| site.metrics.text(Timestamp::now()).lines().any(|told| told == line);
    for line in [
        "rstuf_rounds_total{result=\"published\"} 1",
        "rstuf_rounds_total{result=\"failed\"} 0",
        "rstuf_round_phase_seconds_count{phase=\"plan\"} 1",
        "rstuf_round_phase_seconds_count{phase=\"point\"} 1",
        "rstuf_round_roles_sum 7",
        "rstuf_tasks_ended_total{kind=\"bootstrap\",state=\"success\"} 1",
        "rstuf_task_visible_seconds_count{kind=\"bootstrap\"} 1",
        "rstuf_actor_mailbox_messages{actor=\"bins-signer\"} 0",
    ] {
        assert!(told(line), "{line} is missing in\n{}", site.metrics.text(Timestamp::now()));
    }
}
