//! `/artifacts`: what was released, what was withdrawn, and the wish to publish what was held back.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::{
    Api,
    admission::Place,
    body::{self, Bound, Cursor},
    digest,
    error::Refusal,
    fault::{Fault, Step, is_short},
    limits::{Limits, MAX_ARTIFACT_BYTES, MAX_HASHES},
    openapi::{Refused, Submitted},
    reply::{Accepted, Submission},
};
use crate::{
    task::{AddArtifacts, Artifact, ArtifactInfo, Job, RemoveArtifacts, TaskId},
    tuf::name::{ArtifactPath, MAX_ARTIFACT_PATH_BYTES, NameError},
};

/// Add artifacts, or replace what is known of them.
///
/// Each path now has this length and these hashes. The artifacts are in the metadata when the task is `SUCCESS`; with
/// `publish_artifacts: false` they wait until a publish asks for them. A request is accepted whole or refused whole.
/// Digests are kept in lower case.
#[utoipa::path(post, operation_id = "add_artifacts", path = "/api/v1/artifacts/", tag = "Artifacts",
    request_body(content = AddArtifacts, example = json!({"artifacts": [{"path": "releases/tool-1.0.tar.gz", "info": {
        "length": 11342,
        "hashes": {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        "custom": {"channel": "stable"}}}]})),
    responses(Submitted))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let limits = api.limits;
    let (mut job, place) = api.read(&request, payload, move |at| add(at, &limits)).await?;
    let id = TaskId::random();
    if job.add_task_id_to_custom {
        job.artifacts.iter_mut().for_each(|artifact| attribute(artifact, &id));
    }
    let paths = job.artifacts.iter().map(|artifact| artifact.path.to_string()).collect();
    let message = said("New Artifact(s) successfully submitted.", job.publish_artifacts);
    submit(api, place, id, Job::AddArtifacts(job), paths, message).await
}

/// Remove artifacts.
///
/// Clients no longer find these paths when the task is `SUCCESS`. Paths that are not there are reported in its result.
#[utoipa::path(post, operation_id = "delete_artifacts", path = "/api/v1/artifacts/delete", tag = "Artifacts",
    request_body(content = RemoveArtifacts, example = json!({"artifacts": ["releases/tool-1.0.tar.gz"]})),
    responses(Submitted))]
pub(super) async fn post_delete(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let limits = api.limits;
    let (job, place) = api.read(&request, payload, move |at| remove(at, &limits)).await?;
    let paths = job.artifacts.clone();
    let message = said("Remove Artifact(s) successfully submitted.", job.publish_artifacts);
    submit(api, place, TaskId::random(), Job::RemoveArtifacts(job), paths, message).await
}

/// Publish what was held back.
///
/// Artifacts that were added or removed with `publish_artifacts: false` are in the metadata when the task is
/// `SUCCESS`. A body is not read.
#[utoipa::path(post, operation_id = "publish_artifacts", path = "/api/v1/artifacts/publish/", tag = "Artifacts",
    responses(
        (status = 202, description = "Accepted, durably", body = Accepted),
        (status = 503, description = "Not now: nothing was recorded, try again", body = Refused)))]
pub(super) async fn post_publish(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let _place = api.place(&request)?;
    let id = TaskId::random();
    api.publish(&id, &Job::PublishArtifacts).await?;
    let data = Submission { artifacts: Some(vec![]), task_id: id, last_update: api.clock.now() };
    Ok(Accepted::reply(data, "Publish artifacts successfully submitted."))
}

async fn submit(
    api: web::Data<Api>,
    _place: Place,
    task_id: TaskId,
    job: Job,
    artifacts: Vec<String>,
    message: String,
) -> Result<HttpResponse, Refusal> {
    api.bootstrapped("Task not accepted.", "It requires bootstrap finished.").await?;
    api.publish(&task_id, &job).await?;
    let data = Submission { artifacts: Some(artifacts), task_id, last_update: api.clock.now() };
    Ok(Accepted::reply(data, message))
}

/// What is told, with the contract's suffix when the change is held back.
fn said(message: &str, published: bool) -> String {
    let suffix = if published { "" } else { " Publishing will be skipped." };
    format!("{message}{suffix}")
}

/// Notes the task in the artifact's `custom`, unless its publisher wrote something else there.
fn attribute(artifact: &mut Artifact, id: &TaskId) {
    let custom = artifact.info.custom.get_or_insert_default();
    custom.entry("added_by_task_id").or_insert_with(|| id.as_str().into());
}

/// Reads artifacts that are to be added.
pub(super) fn add(at: &Cursor<'_>, limits: &Limits) -> Option<AddArtifacts> {
    let payload = at.model()?;
    let artifacts = payload.required("artifacts", |at| {
        not_too_many(at, limits)?;
        at.each_item(|_, at| artifact(at, limits))
    });
    let add_task_id_to_custom = payload.or(false, "add_task_id_to_custom", |at| at.boolean());
    let publish_artifacts = payload.or(true, "publish_artifacts", |at| at.boolean());
    Some(AddArtifacts {
        artifacts: artifacts?,
        add_task_id_to_custom: add_task_id_to_custom?,
        publish_artifacts: publish_artifacts?,
    })
}

/// Reads one artifact by the rules that a request to add it is held to, for who wants to know beforehand.
///
/// # Errors
/// All that is wrong, each as `field: why`.
pub fn check(artifact: &Value, limits: &Limits) -> Result<Artifact, Vec<String>> {
    let told = |fault: &Fault| {
        let fields: Vec<_> = fault.loc.iter().skip(1).filter_map(Step::name).collect();
        let why = fault.msg.strip_prefix("Value error, ").unwrap_or(&fault.msg);
        if fields.is_empty() { why.to_owned() } else { format!("{}: {why}", fields.join(".")) }
    };
    body::read(artifact, |at| self::artifact(at, limits)).map_err(|faults| faults.iter().map(told).collect())
}

/// Reads paths that are to be removed. What can't be a path is accepted, and found to be missing by the worker: it may
/// have been added when other rules were in force.
pub(super) fn remove(at: &Cursor<'_>, limits: &Limits) -> Option<RemoveArtifacts> {
    let payload = at.model()?;
    let artifacts = payload.required("artifacts", |at| {
        not_too_many(at, limits)?;
        at.each_item(|_, at| match at.text()? {
            long if long.len() > MAX_ARTIFACT_PATH_BYTES => at.refuse(NameError::PathLength(MAX_ARTIFACT_PATH_BYTES)),
            path => Some(path.to_owned()),
        })
    });
    let publish_artifacts = payload.or(true, "publish_artifacts", |at| at.boolean());
    Some(RemoveArtifacts { artifacts: artifacts?, publish_artifacts: publish_artifacts? })
}

fn not_too_many(at: &Cursor<'_>, limits: &Limits) -> Option<()> {
    match at.list()?.len() {
        length if length > limits.artifacts_per_request => at.too_long(limits.artifacts_per_request, length),
        _ => Some(()),
    }
}

fn artifact(at: &Cursor<'_>, limits: &Limits) -> Option<Artifact> {
    let artifact = at.model()?;
    let info = artifact.required("info", |at| info(at, limits));
    let path = artifact.required("path", |at| path(at, limits));
    Some(Artifact { info: info?, path: path? })
}

fn info(at: &Cursor<'_>, limits: &Limits) -> Option<ArtifactInfo> {
    let info = at.model()?;
    let length = info.required("length", length);
    let hashes = info.required("hashes", hashes);
    let custom = info.nullable("custom", |at| custom(at, limits));
    Some(ArtifactInfo { length: length?, hashes: hashes?, custom: custom? })
}

fn length(at: &Cursor<'_>) -> Option<u64> {
    let length = at.integer()?;
    at.limit(length, Bound::AtLeast(0))?;
    at.limit(length, Bound::AtMost(MAX_ARTIFACT_BYTES))?;
    u64::try_from(length).ok()
}

fn hashes(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let count = at.dict()?.len();
    if count > MAX_HASHES {
        return at.too_long(MAX_HASHES, count);
    }
    let hashes = at.each_member(|name, at| match digest::parse(name, at.text()?) {
        Ok(digits) => Some((name.to_owned(), digits)),
        Err(why) => at.refuse(why),
    })?;
    if hashes.is_empty() {
        return at.refuse("at least one hash is required");
    }
    Some(hashes.into_iter().collect())
}

fn custom(at: &Cursor<'_>, limits: &Limits) -> Option<Map<String, Value>> {
    let custom = at.dict()?;
    if !is_short(at.value(), limits.custom_bytes) {
        return at.refuse(format_args!("custom must have at most {} bytes as JSON", limits.custom_bytes));
    }
    if !signable(at.value()) {
        return at.refuse("custom must not have numbers with a fraction or of more than 64 bits: they can't be signed");
    }
    Some(custom.clone())
}

fn path(at: &Cursor<'_>, limits: &Limits) -> Option<ArtifactPath> {
    let text = at.text()?;
    if text.len() > limits.path_bytes {
        return at.refuse(NameError::PathLength(limits.path_bytes));
    }
    ArtifactPath::parse(text).map_or_else(|why| at.refuse(why), Some)
}

/// Whether canonical JSON has a form for a value: it has none for numbers with a fraction.
fn signable(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(signable),
        Value::Object(members) => members.values().all(signable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sha256() -> Value {
        json!({"sha256": "ab".repeat(32)})
    }

    fn one(artifact: Value) -> Result<Artifact, Value> {
        let document = json!({"artifacts": [artifact]});
        body::read(&document, |at| add(at, &Limits::default()))
            .map(|mut job| job.artifacts.remove(0))
            .map_err(|faults| json!(faults))
    }

    #[test]
    fn an_artifact_is_read_as_it_was_sent() {
        let custom = json!({"b": 1, "a": [null, {"c": "d"}]});
        let artifact =
            one(json!({"info": {"length": "630", "hashes": sha256(), "custom": custom}, "path": "a/b.tar.gz", "x": 1}))
                .expect("accepted");
        assert_eq!(artifact.path.as_str(), "a/b.tar.gz");
        assert_eq!(artifact.info.length, 630);
        assert_eq!(json!(artifact.info.hashes), sha256());
        assert_eq!(artifact.info.custom.map(Value::Object), Some(custom));
    }

    #[test]
    fn what_is_checked_beforehand_is_told_in_a_line_each() {
        let faults =
            check(&json!({"info": {"length": -1, "hashes": {"sha256": "a"}}, "path": "/"}), &Limits::default());
        let faults = faults.expect_err("faults");
        assert_eq!(faults[0], "info.length: Input should be greater than or equal to 0");
        assert_eq!(faults[2], "path: a path must not start with /");
        assert_eq!(check(&json!(1), &Limits::default()).expect_err("a fault").len(), 1);
    }

    #[test]
    fn an_empty_list_is_accepted_and_defaults_are_the_contracts() {
        let job = body::read(&json!({"artifacts": []}), |at| add(at, &Limits::default())).expect("accepted");
        assert_eq!(job, AddArtifacts { artifacts: vec![], add_task_id_to_custom: false, publish_artifacts: true });
        let job =
            body::read(&json!({"artifacts": [], "publish_artifacts": "off"}), |at| remove(at, &Limits::default()));
        assert_eq!(job, Ok(RemoveArtifacts { artifacts: vec![], publish_artifacts: false }));
    }

    #[test]
    fn every_rule_of_this_service_names_its_field() {
        let limits = Limits::default();
        let info = |member: &str, value: Value| {
            let mut info = json!({"length": 1, "hashes": sha256()});
            info[member] = value;
            json!({"info": info, "path": "p"})
        };
        let path = |path: &str| json!({"info": {"length": 1, "hashes": sha256()}, "path": path});
        let cases = [
            (info("length", json!(-1)), "info/length", "greater_than_equal"),
            (info("length", json!(MAX_ARTIFACT_BYTES + 1)), "info/length", "less_than_equal"),
            (info("hashes", json!({})), "info/hashes", "value_error"),
            (info("hashes", json!({"sha256": "aa"})), "info/hashes/sha256", "value_error"),
            (info("hashes", json!({"what": "xyz"})), "info/hashes/what", "value_error"),
            (info("custom", json!({"a": "x".repeat(limits.custom_bytes)})), "info/custom", "value_error"),
            (info("custom", json!({"a": [1.5]})), "info/custom", "value_error"),
            (path(""), "path", "value_error"),
            (path("/a"), "path", "value_error"),
            (path("a/../b"), "path", "value_error"),
            (path("a\u{0}b"), "path", "value_error"),
            (path(&"a".repeat(limits.path_bytes + 1)), "path", "value_error"),
        ];
        for (artifact, place, kind) in cases {
            let told = one(artifact).expect_err(place);
            let loc: Vec<&str> = ["body", "artifacts"].into_iter().chain(place.split('/')).collect();
            let found: Vec<&Value> =
                told[0]["loc"].as_array().into_iter().flatten().filter(|s| s.is_string()).collect();
            assert_eq!(json!(found), json!(loc), "{told}");
            assert_eq!(told[0]["type"], kind, "{told}");
        }
        assert!(one(info("length", json!(MAX_ARTIFACT_BYTES))).is_ok());
        assert!(one(info("length", json!(0))).is_ok());
        assert!(one(info("custom", Value::Null)).expect("accepted").info.custom.is_none());
    }

    #[test]
    fn too_many_artifacts_are_refused_before_they_are_looked_at() {
        let limits = Limits { artifacts_per_request: 2, ..Limits::default() };
        let document = json!({"artifacts": [1, 2, 3]});
        let told = body::read(&document, |at| add(at, &limits)).expect_err("refused");
        assert_eq!(
            json!(told),
            json!([{"type": "too_long", "loc": ["body", "artifacts"], "input": [1, 2, 3],
                "msg": "List should have at most 2 items after validation, not 3",
                "ctx": {"field_type": "List", "max_length": 2, "actual_length": 3}}])
        );
    }

    #[test]
    fn the_task_is_noted_unless_something_is_there() {
        let id = TaskId::from_text("t");
        let mut artifact = one(json!({"info": {"length": 1, "hashes": sha256()}, "path": "p"})).expect("accepted");
        attribute(&mut artifact, &id);
        assert_eq!(json!(artifact.info.custom), json!({"added_by_task_id": "t"}));
        attribute(&mut artifact, &TaskId::from_text("other"));
        assert_eq!(json!(artifact.info.custom), json!({"added_by_task_id": "t"}));
    }

    #[test]
    fn what_can_not_be_a_path_can_still_be_removed() {
        let document = json!({"artifacts": ["", "/a", "a/../b"]});
        let job = body::read(&document, |at| remove(at, &Limits::default())).expect("accepted");
        assert_eq!(job.artifacts, ["", "/a", "a/../b"]);
        let document = json!({"artifacts": ["a".repeat(MAX_ARTIFACT_PATH_BYTES + 1)]});
        assert!(body::read(&document, |at| remove(at, &Limits::default())).is_err());
    }
}
