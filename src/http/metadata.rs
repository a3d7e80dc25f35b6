//! `/metadata`: the next root.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    Api,
    body::Cursor,
    document,
    dry_run::{Preview, Run},
    error::Refusal,
    openapi::Submitted,
};
use crate::{
    task::{Job, MetadataUpdate, Rotation},
    tuf::{limits::strictest, name::RoleName},
};

/// What is told where a task needs a repository.
pub(super) const NOT_ACCEPTED: &str = "Task not accepted.";

/// Why, for what people decide.
pub(super) const REQUIRES: &str = "Requires bootstrap finished.";

/// Replace the root.
///
/// With the next version of root, signed by at least one key. When the thresholds of the trusted root and of the next one are met it
/// is published; until then it waits for signatures, and takes the place of another one that waits. The metadata is kept as it
/// came, with every member that it has. `rotation` says how online keys change: `seamless` lets both sign for a while, so that no client ever meets
/// metadata that its root does not trust; `immediate` never uses the old ones again.
#[utoipa::path(post, operation_id = "update_metadata", path = "/api/v1/metadata/", tag = "Metadata",
    params(("dry_run" = Option<bool>, Query, description = "Tell what would change, and change nothing")),
    request_body(content = MetadataUpdate, example = json!({
        "metadata": {"root": {"signatures": [{"keyid": "…", "sig": "…"}], "signed": {"_type": "root", "version": 2,
            "spec_version": "1.0.31", "expires": "2027-11-22T09:48:44Z"}}},
        "rotation": "seamless"})),
    responses((status = 200, description = "With `dry_run`: what would change", body = Preview), Submitted))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let run = Run::of(&request)?;
    let (job, _place) = api.read(&request, payload, update).await?;
    api.bootstrapped(NOT_ACCEPTED, REQUIRES).await?;
    api.run(run, Job::MetadataUpdate(job), "Metadata update accepted.").await
}

/// Reads the next root. A document without one is accepted as the contract asks, and refused by the worker.
pub(super) fn update(at: &Cursor<'_>) -> Option<MetadataUpdate> {
    let max_bytes = usize::try_from(strictest(&RoleName::root())).unwrap_or(usize::MAX);
    let payload = at.model()?;
    let metadata = payload.required("metadata", |at| {
        at.each_member(|name, at| match name {
            "root" => document::root(at, max_bytes),
            other => at.name_not_one_of(other, &["root"]),
        })?;
        at.dict().cloned()
    });
    let rotation = payload.nullable("rotation", |at| match at.value().as_str() {
        Some("seamless") => Some(Rotation::Seamless),
        Some("immediate") => Some(Rotation::Immediate),
        _ => at.not_one_of(&["seamless", "immediate"]),
    });
    Some(MetadataUpdate { metadata: metadata?, rotation: rotation?.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::body::read, *};

    fn sent() -> Value {
        json!({"metadata": {"root": {
            "signatures": [{"keyid": "k", "sig": "00", "x": 1}],
            "signed": {"_type": "root", "version": 2, "spec_version": "1.0.31", "expires": "2027-01-01T00:00:00Z",
                "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"},
                    "keyid_hash_algorithms": ["sha256"], "name": null}},
                "roles": {"root": {"keyids": ["k"], "threshold": 1, "x": null}}, "x-vendor-name": [1]},
            "more": {"z": 1, "a": 2}
        }}})
    }

    #[test]
    fn b27_a_root_is_kept_with_all_that_it_has() {
        let job = read(&sent(), update).expect("accepted");
        assert_eq!(json!(job).to_string(), sent().to_string());
    }

    #[test]
    fn the_rotation_can_be_chosen() {
        let with = |value: Value| {
            let mut sent = sent();
            sent["rotation"] = value;
            read(&sent, update).map(|job| job.rotation).map_err(|faults| faults[0].kind)
        };
        assert_eq!(with(Value::Null), Ok(Rotation::Seamless));
        assert_eq!(with(json!("seamless")), Ok(Rotation::Seamless));
        assert_eq!(with(json!("immediate")), Ok(Rotation::Immediate));
        assert_eq!(with(json!("soon")), Err("literal_error"));
        assert_eq!(with(json!(1)), Err("literal_error"));
    }

    #[test]
    fn a_root_that_clients_would_not_read_is_refused() {
        let mut sent = sent();
        sent["metadata"]["root"]["signed"]["x-vendor-name"] = json!("x".repeat(600_000));
        let told = read(&sent, update).expect_err("too large");
        assert_eq!((told.len(), told[0].kind), (1, "value_error"));
        assert!(told[0].msg.contains("512000 bytes"), "{}", told[0].msg);
    }

    #[test]
    fn no_metadata_is_the_workers_matter() {
        assert!(read(&json!({"metadata": {}}), update).expect("accepted").metadata.is_empty());
    }
}
