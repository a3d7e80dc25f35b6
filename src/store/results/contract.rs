//! What every backend of the results is held to: one case for each promise of [`Results`].

use jiff::Timestamp;
use serde_json::json;

use super::Results;
use crate::task::{Foreign, ForeignState, Outcome, Progress, TaskId, Told};

/// Runs all cases. `fresh` names a place that is empty, and what it returns opens the results there, also again.
pub(crate) async fn all<R: Results, Open: AsyncFn() -> R>(fresh: impl Fn() -> Open) {
    what_was_put_is_read_by_any_instance(fresh()).await;
    a_put_replaces_what_was_known(fresh()).await;
    an_end_stays(fresh()).await;
    every_kind_of_progress_comes_back_as_it_was(fresh()).await;
    many_are_put_at_once(fresh()).await;
}

fn running(role: &str) -> Progress {
    Progress::Running {
        roles_to_publish: vec![role.to_owned()],
        missing: [].into(),
        last_update: Timestamp::UNIX_EPOCH,
    }
}

fn outcome() -> Outcome {
    Outcome {
        task: "add_artifacts".into(),
        status: false,
        message: "Adding artifact(s) Failed".into(),
        error: Some("ü \"\n".into()),
        details: Some(json!({"z": [null, 1], "a": {}})),
        last_update: "2026-11-22T09:24:55.773183Z".parse().expect("a time"),
    }
}

async fn get(results: &impl Results, id: &TaskId) -> Option<Progress> {
    results.get(id).await.expect("read")
}

async fn what_was_put_is_read_by_any_instance<R: Results>(open: impl AsyncFn() -> R) {
    let (one, other) = (open().await, open().await);
    let id = TaskId::random();
    assert_eq!(get(&other, &id).await, None);
    one.put(vec![]).await.expect("nothing to do");
    one.put(vec![(id.clone(), running("bins-0"))]).await.expect("put");
    assert_eq!(get(&other, &id).await, Some(running("bins-0")));
    assert_eq!(get(&other, &TaskId::random()).await, None);
}

async fn a_put_replaces_what_was_known<R: Results>(open: impl AsyncFn() -> R) {
    let results = open().await;
    let id = TaskId::random();
    let failed = Progress::Failed { message: "oh".into() };
    for progress in [running("bins-0"), running("bins-1"), Progress::Revoked, failed] {
        results.put(vec![(id.clone(), progress.clone())]).await.expect("put");
        assert_eq!(get(&results, &id).await, Some(progress));
    }
    let id = TaskId::random();
    let twice = vec![(id.clone(), running("bins-3")), (id.clone(), Progress::Revoked)];
    results.put(twice).await.expect("put");
    assert_eq!(get(&results, &id).await, Some(Progress::Revoked), "the later one of a batch counts");
}

async fn an_end_stays<R: Results>(open: impl AsyncFn() -> R) {
    let (quick, slow) = (open().await, open().await);
    let foreign = |state| Progress::Foreign(Foreign { state, told: None });
    let ends = [
        Progress::Revoked,
        Progress::Failed { message: "oh".into() },
        Progress::Finished(outcome()),
        foreign(ForeignState::Success),
    ];
    for end in ends {
        let (id, other) = (TaskId::random(), TaskId::random());
        quick.put(vec![(id.clone(), end.clone())]).await.expect("put");
        slow.put(vec![(id.clone(), running("bins-0")), (other.clone(), running("bins-1"))]).await.expect("put");
        assert_eq!(get(&quick, &id).await, Some(end.clone()));
        assert_eq!(get(&quick, &other).await, Some(running("bins-1")), "others of the batch are put");
        slow.put(vec![(id.clone(), foreign(ForeignState::Started))]).await.expect("put");
        assert_eq!(get(&quick, &id).await, Some(end.clone()));
        quick.put(vec![(other.clone(), end.clone()), (other.clone(), running("bins-2"))]).await.expect("put");
        assert_eq!(get(&quick, &other).await, Some(end), "in one batch too");
    }
}

async fn every_kind_of_progress_comes_back_as_it_was<R: Results>(open: impl AsyncFn() -> R) {
    let results = open().await;
    let outcome = outcome();
    let bare = Outcome { error: None, details: None, status: true, ..outcome.clone() };
    let kinds = [
        Progress::Running { roles_to_publish: vec![], missing: [].into(), last_update: Timestamp::UNIX_EPOCH },
        Progress::Finished(outcome),
        Progress::Finished(bare),
        Progress::Failed { message: String::new() },
        Progress::Revoked,
        Progress::Foreign(Foreign { state: ForeignState::PreRun, told: None }),
        Progress::Foreign(Foreign { state: ForeignState::Started, told: Some(Told::default()) }),
        Progress::Foreign(Foreign {
            state: ForeignState::Errored,
            told: Some(Told {
                message: Some("m".into()),
                error: Some("e".into()),
                status: Some(false),
                task: None,
                last_update: Some(Timestamp::UNIX_EPOCH),
                details: Some(json!([])),
            }),
        }),
    ];
    for progress in kinds {
        let id = TaskId::random();
        results.put(vec![(id.clone(), progress.clone())]).await.expect("put");
        assert_eq!(get(&results, &id).await, Some(progress));
    }
}

async fn many_are_put_at_once<R: Results>(open: impl AsyncFn() -> R) {
    let results = open().await;
    let ids: Vec<_> = (0..500).map(|_| TaskId::random()).collect();
    results.put(ids.iter().map(|id| (id.clone(), running(id.as_str()))).collect()).await.expect("put");
    for id in &ids {
        assert_eq!(get(&results, id).await, Some(running(id.as_str())));
    }
}
