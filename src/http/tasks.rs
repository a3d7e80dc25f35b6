//! `/task`: how far a task has come.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{Api, error::Refusal, fault::Fault, limits::MAX_TASK_ID_BYTES, reply::microseconds};
use crate::{
    store::results::python_list,
    task::{Foreign, ForeignState, Progress, TaskId, Told},
};

/// Which task is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Its identifier, as it was given when the task was accepted.
    #[param(min_length = 1, max_length = 255, example = "7a634b556f784ae88785d36425f9a218")]
    task_id: String,
}

/// How far a task has come.
#[derive(Debug, Serialize, ToSchema)]
struct TaskReply {
    data: TaskStatus,
    /// A sentence for people, which clients also compare.
    message: &'static str,
}

/// A task.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct TaskStatus {
    /// Its identifier.
    #[schema(value_type = String, example = "7a634b556f784ae88785d36425f9a218")]
    task_id: TaskId,
    /// The state. `PENDING` also stands for a task that nothing is known of.
    state: TaskState,
    /// What there is to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    result: Option<TaskResult>,
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum TaskState {
    /// It waits in the queue, or nothing is known of it.
    Pending,
    /// A worker of another program is about to begin.
    PreRun,
    /// A worker of another program has it.
    Received,
    /// A worker of another program is at it.
    Started,
    /// Its change is recorded and waits to be published.
    Running,
    /// It is done and published.
    Success,
    /// It is finished, and what was asked for was not done.
    Errored,
    /// It broke, and nothing was changed.
    Failure,
    /// It was withdrawn.
    Revoked,
    /// It broke in a worker of another program and is tried again.
    Retry,
    /// A worker of another program can't do it.
    Rejected,
    /// A worker of another program left it out.
    Ignored,
}

impl From<ForeignState> for TaskState {
    fn from(state: ForeignState) -> Self {
        match state {
            ForeignState::PreRun => Self::PreRun,
            ForeignState::Received => Self::Received,
            ForeignState::Started => Self::Started,
            ForeignState::Running => Self::Running,
            ForeignState::Retry => Self::Retry,
            ForeignState::Success => Self::Success,
            ForeignState::Errored => Self::Errored,
            ForeignState::Rejected => Self::Rejected,
            ForeignState::Ignored => Self::Ignored,
        }
    }
}

/// What there is to tell of a task. Members without a value are absent.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct TaskResult {
    /// A sentence for people, which clients also compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// Whether it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<bool>,
    /// The action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "add_artifacts")]
    task: Option<String>,
    /// When this was known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_microseconds")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    last_update: Option<Timestamp>,
    /// What was done, by names that each action has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    details: Option<Value>,
}

/// Tell how far a task has come.
///
/// A task is `PENDING` until a worker has recorded it, `RUNNING` until its change is published, then `SUCCESS`: from
/// that moment every client of the repository sees it.
#[utoipa::path(get, operation_id = "get_task", path = "/api/v1/task/", tag = "Task", params(Query),
    responses(
        (status = 200, description = "How far it has come", body = TaskReply),
        (status = 422, description = "The identifier is missing, empty or too long", body = super::openapi::ValidationErrors),
        (status = 503, description = "The results can't be read now", body = super::openapi::Refused)))]
pub(super) async fn get(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let task_id = task_id(&request)?;
    let progress = api.results.get(&task_id).await?;
    Ok(HttpResponse::Ok().json(TaskReply { data: status(task_id, progress), message: "Task state." }))
}

fn task_id(request: &HttpRequest) -> Result<TaskId, Refusal> {
    let loc = || vec!["query".into(), "task_id".into()];
    let Ok(query) = web::Query::<Query>::from_query(request.query_string()) else {
        return Err(Refusal::fault(Fault::missing(loc(), &Value::Null)));
    };
    let (kind, words, ctx) = match query.task_id.len() {
        0 => ("string_too_short", "at least 1 character".to_owned(), json!({"min_length": 1})),
        1..=MAX_TASK_ID_BYTES => return Ok(TaskId::from_text(query.into_inner().task_id)),
        _ => (
            "string_too_long",
            format!("at most {MAX_TASK_ID_BYTES} characters"),
            json!({"max_length": MAX_TASK_ID_BYTES}),
        ),
    };
    let msg = format!("String should have {words}");
    Err(Refusal::fault(Fault::new(kind, loc(), msg, &query.task_id.as_str().into()).with(ctx)))
}

fn status(task_id: TaskId, progress: Option<Progress>) -> TaskStatus {
    let (state, result) = match progress {
        None => (TaskState::Pending, None),
        Some(Progress::Running { roles_to_publish, missing, last_update }) => {
            let mut details = json!({"published_roles": [], "roles_to_publish": python_list(&roles_to_publish)});
            if !missing.is_empty() {
                details["missing"] = json!(missing);
            }
            let result = TaskResult {
                message: Some("Publishing".to_owned()),
                last_update: Some(last_update),
                details: Some(details),
                ..TaskResult::default()
            };
            (TaskState::Running, Some(result))
        }
        Some(Progress::Finished(outcome)) => {
            let state = if outcome.status { TaskState::Success } else { TaskState::Errored };
            let result = TaskResult {
                message: Some(outcome.message),
                error: outcome.error,
                status: Some(outcome.status),
                task: Some(outcome.task),
                last_update: Some(outcome.last_update),
                details: outcome.details.filter(|details| !details.is_null()),
            };
            (state, Some(result))
        }
        Some(Progress::Failed { message }) => (TaskState::Failure, Some(TaskResult::message(message))),
        Some(Progress::Revoked) => (TaskState::Revoked, Some(TaskResult::message("revoked"))),
        Some(Progress::Foreign(Foreign { state, told })) => (state.into(), told.map(TaskResult::from)),
    };
    TaskStatus { task_id, state, result }
}

impl TaskResult {
    fn message(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }
}

impl From<Told> for TaskResult {
    fn from(Told { message, error, status, task, last_update, details }: Told) -> Self {
        Self { message, error, status, task, last_update, details }
    }
}

fn some_microseconds<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => microseconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::{task::Outcome, tuf::event::Missing};

    fn text(progress: Option<Progress>) -> String {
        serde_json::to_string(&status(TaskId::from_text("x"), progress)).expect("json")
    }

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().expect("a time")
    }

    #[test]
    fn every_state_has_the_contracts_body() {
        assert_eq!(text(None), r#"{"task_id":"x","state":"PENDING"}"#);
        let running = Progress::Running {
            roles_to_publish: vec!["bins-1".to_owned(), "bins-0".to_owned()],
            missing: [].into(),
            last_update: noon(),
        };
        assert_eq!(
            text(Some(running)),
            concat!(
                r#"{"task_id":"x","state":"RUNNING","result":{"message":"Publishing","#,
                r#""last_update":"2026-11-22T12:00:00.000000Z","#,
                r#""details":{"published_roles":[],"roles_to_publish":"['bins-1', 'bins-0']"}}}"#
            )
        );
        let missing = Missing { authority: "targets".to_owned(), signatures: 1, of: vec!["ann".to_owned()] };
        let waiting = Progress::Running {
            roles_to_publish: vec!["people".to_owned()],
            missing: [("people".to_owned(), vec![missing])].into(),
            last_update: noon(),
        };
        assert_eq!(
            text(Some(waiting)),
            concat!(
                r#"{"task_id":"x","state":"RUNNING","result":{"message":"Publishing","#,
                r#""last_update":"2026-11-22T12:00:00.000000Z","#,
                r#""details":{"published_roles":[],"roles_to_publish":"['people']","#,
                r#""missing":{"people":[{"authority":"targets","signatures":1,"of":["ann"]}]}}}}"#
            )
        );
        assert_eq!(
            text(Some(Progress::Failed { message: "oh".to_owned() })),
            r#"{"task_id":"x","state":"FAILURE","result":{"message":"oh"}}"#
        );
        assert_eq!(
            text(Some(Progress::Revoked)),
            r#"{"task_id":"x","state":"REVOKED","result":{"message":"revoked"}}"#
        );
    }

    #[test]
    fn what_other_workers_tell_is_shown_as_far_as_it_is_known() {
        let foreign = |state, told| text(Some(Progress::Foreign(Foreign { state, told })));
        assert_eq!(foreign(ForeignState::PreRun, None), r#"{"task_id":"x","state":"PRE_RUN"}"#);
        assert_eq!(foreign(ForeignState::Received, None), r#"{"task_id":"x","state":"RECEIVED"}"#);
        assert_eq!(
            foreign(ForeignState::Started, Some(Told::default())),
            r#"{"task_id":"x","state":"STARTED","result":{}}"#
        );
        let told = Told { message: Some("oh".to_owned()), ..Told::default() };
        for (state, name) in
            [(ForeignState::Retry, "RETRY"), (ForeignState::Rejected, "REJECTED"), (ForeignState::Ignored, "IGNORED")]
        {
            let shown = format!(r#"{{"task_id":"x","state":"{name}","result":{{"message":"oh"}}}}"#);
            assert_eq!(foreign(state, Some(told.clone())), shown);
        }
        assert_eq!(foreign(ForeignState::Success, None), r#"{"task_id":"x","state":"SUCCESS"}"#);
    }

    #[test]
    fn a_finished_task_tells_whether_it_was_done() {
        let outcome = Outcome {
            task: "remove_artifacts".to_owned(),
            status: false,
            message: "Removing artifact(s) Failed".to_owned(),
            error: Some("At list one artifact is required".to_owned()),
            details: None,
            last_update: noon(),
        };
        assert_eq!(
            text(Some(Progress::Finished(outcome.clone()))),
            concat!(
                r#"{"task_id":"x","state":"ERRORED","result":{"message":"Removing artifact(s) Failed","#,
                r#""error":"At list one artifact is required","status":false,"task":"remove_artifacts","#,
                r#""last_update":"2026-11-22T12:00:00.000000Z"}}"#
            )
        );
        let done = Outcome { status: true, error: None, details: Some(json!({"artifact_roles": null})), ..outcome };
        let done = text(Some(Progress::Finished(done)));
        assert!(done.contains(r#""state":"SUCCESS""#) && done.contains(r#""details":{"artifact_roles":null}"#));
    }

    #[test]
    fn the_identifier_is_there_and_short() {
        let ask = |query: &str| {
            task_id(&TestRequest::with_uri(&format!("/api/v1/task?{query}")).to_http_request()).map_err(|refusal| {
                match refusal {
                    Refusal::Invalid(faults) => json!(faults),
                    other => panic!("{other:?}"),
                }
            })
        };
        assert_eq!(ask("task_id=publish_artifacts-1&x=y"), Ok(TaskId::from_text("publish_artifacts-1")));
        assert_eq!(
            ask("x=y"),
            Err(json!([{"type": "missing", "loc": ["query", "task_id"], "msg": "Field required", "input": null}]))
        );
        assert_eq!(
            ask("task_id="),
            Err(json!([{"type": "string_too_short", "loc": ["query", "task_id"], "input": "",
                "msg": "String should have at least 1 character", "ctx": {"min_length": 1}}]))
        );
        let long = format!("task_id={}", "a".repeat(MAX_TASK_ID_BYTES + 1));
        assert_eq!(ask(&long).expect_err("refused")[0]["type"], "string_too_long");
    }
}
