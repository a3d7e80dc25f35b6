//! The OpenAPI document, generated from the handlers and the types of their bodies.

use actix_web::web::Bytes;
use serde::Serialize;
use utoipa::{IntoResponses, OpenApi, ToSchema};

use super::{
    Disabled, artifacts, bootstrap, delegations, fault::Fault, health, metadata, online, published, reply::Accepted,
    settings, signing, tasks,
};

/// The document, as the JSON that is served.
#[derive(Debug, Clone)]
pub(super) struct Document(pub(super) Bytes);

impl Document {
    /// What every instance serves.
    pub(super) fn of_api(disabled: &Disabled) -> Self {
        Self::new(Api::openapi(), disabled)
    }

    /// What an instance serves that also serves the published files.
    pub(super) fn of_api_and_published(disabled: &Disabled) -> Self {
        let mut document = Api::openapi();
        document.merge(Published::openapi());
        Self::new(document, disabled)
    }

    fn new(mut document: utoipa::openapi::OpenApi, disabled: &Disabled) -> Self {
        disabled.take_out_of(&mut document);
        Self(document.to_json().expect("a document of texts, numbers and lists has a JSON form").into())
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Repository Service for TUF API",
        description = "Keeps signed metadata of The Update Framework (TUF) for the artifacts of a release process. \
            Whatever changes metadata is a task: it is accepted with 202, then its progress is asked for at `/api/v1/task/`."
    ),
    tags(
        (name = "Bootstrap", description = "Create the repository, once"),
        (name = "Config", description = "The settings of the repository"),
        (name = "Metadata", description = "What people sign: root, and roles that are delegated to them"),
        (name = "Delegations", description = "Roles that others answer for"),
        (name = "Artifacts", description = "What was released and what was withdrawn"),
        (name = "Task", description = "How far a task has come"),
        (name = "Health", description = "For whoever runs this service")
    ),
    paths(
        bootstrap::get, bootstrap::post, settings::get, settings::put, artifacts::post, artifacts::post_delete,
        artifacts::post_publish, metadata::post, online::post, signing::get, signing::post, signing::post_delete,
        delegations::post, delegations::put, delegations::post_delete, delegations::put_metadata,
        tasks::get, health::live, health::ready
    ),
    components(schemas(Accepted, Refused, ValidationErrors))
)]
struct Api;

#[derive(OpenApi)]
#[openapi(tags((name = "Metadata files", description = "What clients of the repository read")), paths(published::get))]
struct Published;

/// What can happen to a request that has a body and makes a task.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described alone: `Refusal` has the statuses")]
pub(super) enum Submitted {
    /// Accepted, durably
    #[response(status = 202)]
    Accepted(Accepted),
    /// The repository is not in the state for it
    #[response(status = 404)]
    NotNow(Refused),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(Refused),
    /// What was sent is wrong
    #[response(status = 422)]
    Wrong(ValidationErrors),
    /// Not now: nothing was recorded, try again
    #[response(status = 503)]
    Unavailable(Refused),
}

/// A request that has faults.
#[derive(Serialize, ToSchema)]
#[schema(title = "HTTPValidationError", example = json!({"detail": [{"type": "missing", "loc": ["body", "artifacts"],
    "msg": "Field required", "input": {}}]}))]
pub(super) struct ValidationErrors {
    /// Each fault.
    detail: Vec<Fault>,
}

/// A request that can't be answered in this state.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"detail": {"message": "Task not accepted.",
    "error": "It requires bootstrap finished. State: None"}}))]
pub(super) struct Refused {
    /// Why.
    detail: Reason,
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
struct Reason {
    /// What was refused.
    message: String,
    /// Why.
    error: String,
}

/// A bootstrap that can't be accepted in this state.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"detail": {"error": "System already has a Metadata. State: finished"}}))]
pub(super) struct BootstrapRefused {
    /// Why.
    detail: BootstrapReason,
}

/// Why a bootstrap was refused.
#[derive(Serialize, ToSchema)]
struct BootstrapReason {
    /// Why.
    error: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn operations(document: &Document) -> Vec<(String, Value)> {
        let document: Value = serde_json::from_slice(&document.0).expect("json");
        let paths = document["paths"].as_object().expect("paths").clone();
        let operations = paths.into_iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").clone();
            methods.into_iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        operations.collect()
    }

    #[test]
    fn operations_have_names_of_their_own_and_summaries() {
        let operations = operations(&Document::of_api_and_published(&Disabled::default()));
        let names: HashSet<&str> = operations.iter().filter_map(|(_, o)| o["operationId"].as_str()).collect();
        assert_eq!(names.len(), operations.len());
        for (name, operation) in &operations {
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{name}");
        }
    }

    #[test]
    fn whoever_sends_a_body_is_told_all_that_can_happen() {
        for (name, operation) in operations(&Document::of_api(&Disabled::default())) {
            if operation["requestBody"].is_object() {
                for status in ["202", "404", "413", "422", "503"] {
                    assert!(operation["responses"][status].is_object(), "{name} {status}");
                }
                assert!(operation["requestBody"]["content"]["application/json"]["example"].is_object(), "{name}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_slice(&Document::of_api(&Disabled::default()).0).expect("json");
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn published_files_are_described_where_they_are_served() {
        let described = |document| operations(&document).iter().any(|(name, _)| name == "get /metadata/{name}");
        assert!(!described(Document::of_api(&Disabled::default())));
        assert!(described(Document::of_api_and_published(&Disabled::default())));
    }
}
