use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    super::contract::{self, add, bins, bootstrap, commit, info, listed, now, path, plan, publish, stage},
    *,
};
use crate::{
    store::{
        ledger::{
            Visibility, Work,
            charter::{Change, Charter, CustomRole, Signing},
        },
        postgres::testing::{database, execute, migrated},
    },
    tuf::{delegation::Delegations, placement::Placement, sample::role},
};

#[actix::test]
async fn keeps_the_promises_of_a_ledger() {
    contract::all(async || PostgresLedger::new(&migrated().await)).await;
}

async fn taken(ledger: &PostgresLedger) -> Plan {
    match ledger.plan(now(), 1000).await.expect("planned") {
        Planned::Round(plan) => plan,
        other => panic!("{other:?}"),
    }
}

async fn two() -> (Options, PostgresLedger, PostgresLedger) {
    let options = migrated().await;
    let (one, other) = (PostgresLedger::new(&options), PostgresLedger::new(&options));
    bootstrap(&one).await;
    stage(&one, "1", add(&[("a", 1)], Visibility::NextRound)).await;
    (options, one, other)
}

#[actix::test]
async fn a_plan_keeps_others_away_until_it_is_committed_or_old() {
    let (options, one, other) = two().await;
    let slow = taken(&one).await;
    let Planned::Elsewhere(wait) = other.plan(now(), 1000).await.expect("asked") else { panic!("planned twice") };
    assert!(wait > Duration::ZERO && wait < Duration::from_secs(6), "{wait:?}");
    // One's own plan is no reason to wait; nor is one that was committed.
    let own = taken(&one).await;
    assert!(own.roles.iter().zip(&slow.roles).all(|(new, old)| new.1 > old.1));
    commit(&one, &own).await.expect("committed");
    assert_eq!(other.plan(now(), 1000).await.expect("asked"), Planned::Nothing);
    // Who does not come back is overtaken.
    stage(&one, "2", add(&[("b", 1)], Visibility::NextRound)).await;
    let lost = taken(&one).await;
    execute(&options, "update rstuf.publisher set until = now()").await;
    let quick = taken(&other).await;
    let head = commit(&other, &quick).await.expect("committed");
    assert!(matches!(commit(&one, &lost).await, Err(StoreError::Lost(_))));
    assert_eq!(one.head().await.expect("read"), Some(head));
    assert_eq!(listed(&one).await.len(), 2);
}

#[actix::test]
async fn a_plan_that_took_a_refused_task_is_lost() {
    let (_, one, other) = two().await;
    let slow = taken(&one).await;
    let role = bins().role_for(&path("a"));
    let refused = other.refuse(&role, slow.through, "no".into(), now()).await.expect("refused");
    assert_eq!(refused, Some(TaskId::from_text("1")));
    assert!(matches!(commit(&one, &slow).await, Err(StoreError::Lost(_))));
    assert!(plan(&one).await.is_none());
    assert!(listed(&one).await.is_empty());
}

#[actix::test]
async fn several_that_stage_and_publish_at_once_lose_nothing() {
    let (options, one, other) = two().await;
    let third = PostgresLedger::new(&options);
    let stager = |ledger: PostgresLedger, name: &'static str| async move {
        for n in 0..20 {
            let path = format!("{name}{n}");
            stage(&ledger, &path, add(&[(&path, 1)], Visibility::NextRound)).await;
        }
    };
    let publisher = |ledger: PostgresLedger| async move {
        let deadline = Instant::now() + Duration::from_secs(60);
        while listed(&ledger).await.len() < 61 && Instant::now() < deadline {
            match ledger.plan(now(), 7).await.expect("planned") {
                Planned::Round(plan) => match commit(&ledger, &plan).await {
                    Ok(_) | Err(StoreError::Lost(_)) => {}
                    Err(error) => panic!("{error}"),
                },
                Planned::Nothing | Planned::Elsewhere(_) => sleep(Duration::from_millis(1)).await,
                Planned::Stale(stale) => panic!("{stale:?}"),
            }
        }
    };
    tokio::join!(
        stager(one.clone(), "x"),
        stager(other.clone(), "y"),
        stager(third.clone(), "z"),
        publisher(other),
        publisher(third)
    );
    assert_eq!(listed(&one).await.len(), 61);
    assert!(contract::ended(&one).await.len() >= 62);
}

#[actix::test]
async fn a_lost_connection_is_replaced() {
    let (options, one, _) = two().await;
    let end_ours = "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'rstuf' and pid <> pg_backend_pid()";
    for n in 0..5 {
        execute(&options, end_ours).await;
        stage(&one, &format!("t{n}"), add(&[("a", n)], Visibility::NextRound)).await;
        execute(&options, end_ours).await;
        assert!(one.head().await.expect("read").is_some());
        execute(&options, end_ours).await;
        let round = taken(&one).await;
        execute(&options, end_ours).await;
        commit(&one, &round).await.expect("committed");
    }
    assert_eq!(listed(&one).await, [("a".to_owned(), json!(4))].into());
}

#[actix::test]
async fn a_ledger_may_be_there_before_its_database_is_ready() {
    let options = database().await;
    let ledger = PostgresLedger::new(&options);
    let error = ledger.head().await.expect_err("there is no schema").to_string();
    assert!(error.contains("rstufd migrate"), "{error}");
    crate::store::postgres::migrate(&options).await.expect("migrated");
    assert_eq!(ledger.head().await.expect("read"), None);
    let nowhere = Options::parse("postgresql://u@127.0.0.1:1/db", None, None, None).expect("options");
    let error = PostgresLedger::new(&nowhere).head().await;
    assert!(matches!(error, Err(StoreError::Unavailable { .. })), "{error:?}");
}

#[actix::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let options = Options::parse(&format!("postgresql://u@127.0.0.1:{port}/db"), None, None, None).expect("options");
    let error = PostgresLedger::new(&options).head().await;
    assert!(matches!(error, Err(StoreError::Unavailable { .. })), "{error:?}");
}

#[actix::test]
async fn an_id_that_can_not_be_stored_is_refused_and_harms_nothing() {
    let (_, one, _) = two().await;
    for id in ["a\0b", &"x".repeat(3000)] {
        let progress = stage(&one, id, add(&[("evil", 1)], Visibility::NextRound)).await;
        assert!(matches!(progress, Progress::Finished(outcome) if !outcome.status));
    }
    publish(&one).await;
    assert_eq!(listed(&one).await.into_keys().collect::<Vec<_>>(), ["a"]);
}

#[actix::test]
async fn a_large_batch_is_a_few_statements() {
    let (_, one, _) = two().await;
    let count = 50_000;
    let artifacts = (0..count).map(|n| {
        let path = path(&format!("dir/{n}"));
        (bins().role_for(&path), path, info(json!({ "length": n })))
    });
    let work = Work::Add {
        placement: 0,
        artifacts: artifacts.collect(),
        invalid: Vec::new(),
        visibility: Visibility::NextRound,
    };
    let started = Instant::now();
    stage(&one, "large", work).await;
    let round = match one.plan(now(), 200_000).await.expect("planned") {
        Planned::Round(plan) => plan,
        other => panic!("{other:?}"),
    };
    commit(&one, &round).await.expect("committed");
    let took = started.elapsed();
    assert_eq!(listed(&one).await.len(), count + 1);
    assert!(contract::ended(&one).await.contains_key("large"));
    let paths: Vec<_> = (0..count).map(|n| format!("dir/{n}")).collect();
    stage(&one, "gone", contract::remove(&paths.iter().map(String::as_str).collect::<Vec<_>>())).await;
    publish(&one).await;
    assert_eq!(listed(&one).await.len(), 1);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Has the role `tools` list its artifacts.
async fn add_tools(ledger: &PostgresLedger) {
    let base = ledger.charter().await.expect("read").revision;
    let tools = CustomRole { signing: Signing::Online, retired: false, announced: None };
    let named = json!({ "name": "tools", "keyids": ["k"], "threshold": 1, "paths": ["tools/*"], "terminating": true });
    let delegations = Delegations::view(&json!({ "keys": {}, "roles": [named] })).expect("delegations");
    let change = Change {
        charter: Some(Charter { roles: [(role("tools"), tools)].into(), ..Charter::default() }),
        new_roles: vec![role("tools")],
        placement: Some(Placement::of(&delegations, Some(bins()))),
        ..Change::default()
    };
    let amended = ledger.amend(Amendment { base, task: None, change }, now()).await;
    assert_eq!(amended.expect("amended"), Amended::Recorded);
}

#[actix::test]
async fn what_another_process_decides_is_seen() {
    let (_, one, other) = two().await;
    publish(&one).await;
    assert!(one.charter().await.expect("read").charter.roles.is_empty());
    add_tools(&other).await;
    let chartered = one.charter().await.expect("read");
    assert!(chartered.charter.roles.contains_key(&role("tools")));
    let round = taken(&one).await;
    assert_eq!(round.revision, chartered.revision);
    assert!(round.roles.iter().any(|(name, _)| *name == role("tools")));
    commit(&one, &round).await.expect("committed");
}

#[actix::test]
async fn any_number_of_artifacts_moves() {
    let (_, one, _) = two().await;
    let count = 21_000;
    let artifacts = (0..count).map(|n| {
        let path = path(&format!("tools/{n}"));
        (bins().role_for(&path), path, info(json!({ "length": n })))
    });
    let (artifacts, visibility) = (artifacts.collect(), Visibility::NextRound);
    stage(&one, "many", Work::Add { placement: 0, artifacts, invalid: Vec::new(), visibility }).await;
    let publish_all = async || {
        while let Planned::Round(round) = one.plan(now(), 200_000).await.expect("planned") {
            commit(&one, &round).await.expect("committed");
        }
    };
    publish_all().await;
    assert_eq!(listed(&one).await.len(), count + 1);
    add_tools(&one).await;
    publish_all().await;
    assert_eq!(listed(&one).await.into_keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(one.artifacts(vec![role("tools")]).await.expect("read")[0].len(), count);
}

#[actix::test]
async fn the_program_of_the_version_before_works_beside_this_one() {
    let (options, one, _) = two().await;
    let digest: String = key(&path("old")).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = bins().role_for(&path("old"));
    let insert = format!(
        "insert into rstuf.tasks (id, action, accepted_at, progress) values ('old', 'add_artifacts', 0, '{{}}');
         insert into rstuf.staged (task_id, role, digest, path, info)
         select 'old', id, '\\x{digest}', 'old', '{{\"length\": 2}}' from rstuf.roles where name = '{name}'"
    );
    execute(&options, &insert).await;
    publish(&one).await;
    assert_eq!(listed(&one).await.into_keys().collect::<Vec<_>>(), ["a", "old"]);
    execute(&options, "update rstuf.head set sequence = sequence + 1, timestamp = ''").await;
    assert_eq!(one.head().await.expect("read").expect("a head").root, None);
}
