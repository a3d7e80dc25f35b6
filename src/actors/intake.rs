//! Records tasks in the ledger: from then on the ledger owns them.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{
    publisher::{Publisher, Wake},
    reporter::{Report, Reporter, Waiting},
    settings::{Project, Settings},
    supervisor::{Lifeline, Post},
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        ledger::{Ledger, Request, Visibility, Work},
    },
    task::{Artifact, ArtifactInfo, Job, Outcome, Progress, RemoveArtifacts, TaskId},
    tuf::{
        delegation::Delegations,
        info::{Info, InfoError},
        name::ArtifactPath,
        placement::Placement,
    },
};

mod rules;

pub(super) use self::rules::{MAX_EXPIRATION_DAYS, artifact as check};

/// A request of more artifacts is prepared off the thread of the actors.
const MANY: usize = 200;

/// A job that came out of the queue.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The task.
    pub task: TaskId,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// What it asks for.
    pub job: Job,
}

/// Where artifacts of a repository are listed, and the number that the ledger has for that: see `Chartered::placement`.
#[derive(Debug, Clone)]
pub struct Places {
    /// The number.
    pub number: i64,
    /// The placement.
    pub placement: Arc<Placement>,
}

/// Turns a job into what the ledger is asked to record. `places` are those of the repository, if there is one.
///
/// What people decide is not for here: bootstrap and signing have more to check.
pub fn work(job: &Job, places: Option<&Places>, now: Timestamp) -> Work {
    let action = job.action();
    let Some(Places { number, placement }) = places else {
        return refused(action, "it requires a finished bootstrap", now);
    };
    match job {
        Job::AddArtifacts(add) => {
            let mut placed = Vec::with_capacity(add.artifacts.len());
            let mut invalid = Vec::new();
            for artifact in &add.artifacts {
                let path = &artifact.path;
                if let Err(error) = rules::artifact(artifact) {
                    return refused(action, format!("{path}: {error}"), now);
                }
                // What can't be signed must not come so far that it stops a round.
                let info = match info(artifact) {
                    Ok(info) => info,
                    Err(error) => return refused(action, format!("{path}: {error}"), now),
                };
                match placement.role_for(path) {
                    Some(role) => placed.push((role, path.clone(), info)),
                    None => invalid.push(path.to_string()),
                }
            }
            let visibility = visibility(add.publish_artifacts);
            Work::Add { placement: *number, artifacts: placed, invalid, visibility }
        }
        Job::RemoveArtifacts(RemoveArtifacts { artifacts, publish_artifacts }) => {
            let place = |text: &String| {
                let path = ArtifactPath::parse(text).ok();
                (text.clone(), path.and_then(|path| Some((placement.role_for(&path)?, path))))
            };
            let paths = artifacts.iter().map(place).collect();
            Work::Remove { placement: *number, paths, visibility: visibility(*publish_artifacts) }
        }
        Job::PublishArtifacts => Work::Release,
        Job::UpdateSettings(update) => match rules::expirations(update) {
            Ok(()) => Work::SetExpirations(update.settings.expiration.clone()),
            Err(error) => refused(action, error, now),
        },
        _ => refused(action, "it requires a coordinator", now),
    }
}

fn request(Arrived { task, accepted_at, job }: &Arrived, places: Option<&Places>, now: Timestamp) -> Request {
    Request { task: task.clone(), accepted_at: *accepted_at, work: work(job, places, now) }
}

/// Reads where artifacts are listed, `None` when there is no repository yet.
async fn places(ledger: &dyn Ledger) -> Result<Option<Places>, StoreError> {
    // In this order: if delegations change in between, the number is too old and nothing is recorded with it.
    let number = ledger.charter().await?.placement;
    let Some(repository) = ledger.repository().await? else { return Ok(None) };
    let delegations = Delegations::view(&repository.delegations);
    let delegations = delegations.map_err(|error| StoreError::Broken(format!("the ledger's delegations: {error}")))?;
    let placement = Arc::new(Placement::of(&delegations, repository.settings.bins()?));
    Ok(Some(Places { number, placement }))
}

fn artifacts(job: &Job) -> usize {
    match job {
        Job::AddArtifacts(add) => add.artifacts.len(),
        Job::RemoveArtifacts(remove) => remove.artifacts.len(),
        _ => 0,
    }
}

fn refused(action: &'static str, error: impl Into<String>, now: Timestamp) -> Work {
    Work::Nothing { action, progress: Progress::Finished(Outcome::refused(action, error, now)) }
}

fn visibility(publish: bool) -> Visibility {
    if publish { Visibility::NextRound } else { Visibility::Held }
}

/// The target information of an artifact (TUF §4.5).
fn info(artifact: &Artifact) -> Result<Info, InfoError> {
    #[derive(Serialize)]
    struct Written<'a> {
        hashes: &'a BTreeMap<String, String>,
        length: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        custom: Option<&'a Map<String, Value>>,
    }
    let ArtifactInfo { length, hashes, custom } = &artifact.info;
    Info::of(&Written { hashes, length: *length, custom: custom.as_ref() })
}

/// Record these jobs, in this order.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Stage(pub Vec<Arc<Arrived>>);

/// The intake. Restarting it loses nothing: what was not recorded is delivered again.
pub struct Intake {
    /// Where tasks are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Clock,
    /// Publishes what is recorded.
    pub publisher: Post<Publisher>,
    /// Tells how tasks go.
    pub reporter: Post<Reporter>,
    /// Shows new settings.
    pub settings: Post<Settings>,
    /// Where artifacts were listed when that was needed last.
    pub places: Arc<Mutex<Option<Places>>>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Intake {
    type Context = Context<Self>;
}

impl Handler<Stage> for Intake {
    type Result = ResponseFuture<Result<(), StoreError>>;

    fn handle(&mut self, Stage(arrived): Stage, _: &mut Self::Context) -> Self::Result {
        let (ledger, clock, remembered) = (self.ledger.clone(), self.clock.clone(), self.places.clone());
        let (publisher, reporter, settings) = (self.publisher.clone(), self.reporter.clone(), self.settings.clone());
        Box::pin(async move {
            let now = clock.now();
            let arrived = Arc::new(arrived);
            let changes_settings = arrived.iter().any(|arrived| matches!(arrived.job, Job::UpdateSettings(_)));
            let artifacts: usize = arrived.iter().map(|arrived| artifacts(&arrived.job)).sum();
            let recorded = loop {
                let mut known = remembered.lock().await;
                if known.is_none() {
                    *known = places(ledger.as_ref()).await?;
                }
                let (places, arrived) = (known.clone(), arrived.clone());
                drop(known);
                let prepare =
                    move || arrived.iter().map(|arrived| request(arrived, places.as_ref(), now)).collect::<Vec<_>>();
                let requests = match artifacts {
                    0..MANY => prepare(),
                    _ => spawn_blocking(prepare).await.map_err(|error| StoreError::Broken(error.to_string()))?,
                };
                match ledger.stage(requests, now).await {
                    // The delegations are others by now.
                    Err(StoreError::Lost(_)) => *remembered.lock().await = None,
                    recorded => break recorded?,
                }
            };
            if changes_settings {
                settings.tell(Project);
            }
            let (waiting, finished): (Vec<_>, Vec<_>) =
                recorded.into_iter().partition(|(_, progress)| matches!(progress, Progress::Running { .. }));
            if !waiting.is_empty() {
                reporter.tell(Waiting(waiting));
                publisher.tell(Wake);
            }
            if !finished.is_empty() {
                reporter.tell(Report);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        task::AddArtifacts,
        tuf::bins::{Bins, Layout},
    };

    fn added(custom: Option<Value>) -> Work {
        let custom = custom.and_then(|custom| custom.as_object().cloned());
        let hashes = [("sha256".to_owned(), "aa".to_owned())].into();
        let path = ArtifactPath::parse("a/b").expect("a path");
        let artifact = Artifact { info: ArtifactInfo { length: 1, hashes, custom }, path };
        let job = AddArtifacts { artifacts: vec![artifact], add_task_id_to_custom: false, publish_artifacts: true };
        let bins = Bins::new(2, Layout::Succinct).expect("bins");
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let delegations = Delegations::view(&bins.delegations(&[], 1)).expect("delegations");
        let places = Places { number: 0, placement: Arc::new(Placement::of(&delegations, Some(bins))) };
        work(&Job::AddArtifacts(job), Some(&places), now)
    }

    #[test]
    fn custom_is_kept_as_it_came_and_not_made_up() {
        let info = |custom| match added(custom) {
            Work::Add { mut artifacts, .. } => {
                serde_json::from_str::<Value>(artifacts.remove(0).2.json()).expect("JSON")
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(info(None), json!({ "hashes": { "sha256": "aa" }, "length": 1 }));
        assert_eq!(info(Some(json!({})))["custom"], json!({}));
        assert_eq!(info(Some(json!({ "x": [1, null] })))["custom"], json!({ "x": [1, null] }));
    }

    #[test]
    fn what_can_not_be_signed_is_refused_and_named() {
        let Work::Nothing { progress: Progress::Finished(outcome), .. } = added(Some(json!({ "x": 1.5 }))) else {
            panic!("it was not refused");
        };
        let error = outcome.error.unwrap_or_default();
        assert!(!outcome.status && error.starts_with("a/b: "), "{error}");
    }

    #[test]
    fn before_a_bootstrap_nothing_is_staged() {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let work = work(&Job::PublishArtifacts, None, now);
        assert!(
            matches!(work, Work::Nothing { action: "publish_artifacts", progress: Progress::Finished(o) } if !o.status)
        );
    }
}
