//! `/delegations`: roles that others answer for, and metadata that they signed themselves.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    Api,
    body::Cursor,
    delegation::{delegations, ended, well_named},
    document,
    dry_run::{Preview, Run},
    error::Refusal,
    fault::Fault,
    metadata::{NOT_ACCEPTED, REQUIRES},
    openapi::Submitted,
};
use crate::{
    task::{DelegatedMetadata, DelegationAction, Job, MetadataDelegation},
    tuf::{
        limits::strictest,
        name::{NameError, RoleName},
    },
};

/// Delegations to add or to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
pub(super) struct Delegating {
    /// The delegations.
    delegations: NewDelegations,
}

/// Roles and their keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
struct NewDelegations {
    /// Keys by their identifiers.
    #[schema(value_type = Object)]
    keys: Value,
    /// The roles, in the order in which clients ask them.
    roles: Vec<NewRole>,
}

/// A delegated role.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
struct NewRole {
    /// Its name: of the characters a-z, A-Z, 0-9, - and _, and nobody else's whatever the case.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Whether no other role is asked for what it answers for.
    terminating: bool,
    /// Its keys. None is the online key of the repository.
    keyids: Vec<String>,
    /// How many of them must sign.
    #[schema(minimum = 1)]
    threshold: u32,
    /// Patterns of the paths that it answers for; `*` and `?` never match `/`.
    #[schema(min_items = 1)]
    paths: Vec<String>,
    /// For how many days its metadata is valid.
    #[schema(rename = "x-rstuf-expire-policy", exclusive_minimum = 0, maximum = 36500, required = false)]
    policy: u32,
}

/// Delegations to end.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
pub(super) struct Ending {
    /// The delegations.
    delegations: EndedRoles,
}

/// Roles by name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
struct EndedRoles {
    /// The roles.
    roles: Vec<EndedRole>,
}

/// A role by its name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described for the document of the API; read by hand")]
struct EndedRole {
    /// The name.
    name: String,
}

/// Add delegations.
///
/// To roles with names and paths, of which artifacts and clients are asked in this order. A role of which enough keys have an `x-rstuf-online-key-uri` is
/// signed by the repository, any other one waits for signatures of people. Names that were ever used are not used again.
#[utoipa::path(post, operation_id = "add_delegations", path = "/api/v1/delegations/", tag = "Delegations",
    params(("dry_run" = Option<bool>, Query, description = "Tell what would change, and change nothing")),
    request_body(content = Delegating, example = json!({"delegations": {
        "keys": {"c6d8bf2e4f48b41ac2ce8eca21415ca8ef68c133b47fc33df03d4070a7e1e9cc": {"keytype": "ed25519", "scheme": "ed25519",
            "keyval": {"public": "4f66dabebcf30628963786001984c0b75c175cdcf3bc4855933a2628f0cd0a0f"}, "x-rstuf-key-name": "Jimi"}},
        "roles": [{"name": "release", "terminating": true, "threshold": 1, "paths": ["release/*"], "x-rstuf-expire-policy": 365,
            "keyids": ["c6d8bf2e4f48b41ac2ce8eca21415ca8ef68c133b47fc33df03d4070a7e1e9cc"]}]}})),
    responses((status = 200, description = "With `dry_run`: what would change", body = Preview), Submitted))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    delegate(api, request, payload, add, "Metadata delegation add accepted.").await
}

/// Change delegations.
///
/// The roles of these names get other keys, thresholds, paths and expirations. Where people sign a role, the change takes effect with the first metadata that
/// the new keys signed, so that clients never meet a role without valid metadata.
#[utoipa::path(put, operation_id = "update_delegations", path = "/api/v1/delegations/", tag = "Delegations",
    params(("dry_run" = Option<bool>, Query, description = "Tell what would change, and change nothing")),
    request_body(content = Delegating, example = json!({"delegations": {"keys": {}, "roles": [{"name": "release",
        "terminating": true, "threshold": 1, "paths": ["release/*", "release/*/*"], "x-rstuf-expire-policy": 30, "keyids": []}]}})),
    responses((status = 200, description = "With `dry_run`: what would change", body = Preview), Submitted))]
pub(super) async fn put(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    delegate(api, request, payload, change, "Metadata delegation update accepted.").await
}

/// End delegations.
///
/// Their artifacts move to the roles that clients ask next. The ended roles stay listed in snapshot, as TUF demands.
#[utoipa::path(post, operation_id = "delete_delegations", path = "/api/v1/delegations/delete", tag = "Delegations",
    params(("dry_run" = Option<bool>, Query, description = "Tell what would change, and change nothing")),
    request_body(content = Ending, example = json!({"delegations": {"roles": [{"name": "release"}]}})),
    responses((status = 200, description = "With `dry_run`: what would change", body = Preview), Submitted))]
pub(super) async fn post_delete(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    delegate(api, request, payload, end, "Metadata delegation delete accepted.").await
}

/// Publish metadata that the owner of a role signed.
///
/// The body is the whole metadata of the role, signed by enough of its keys and of a higher version than the published one. It is verified, and published as it
/// came; paths outside of the delegation are refused.
#[utoipa::path(put, operation_id = "put_delegated_metadata", path = "/api/v1/delegations/{role}/metadata",
    tag = "Delegations", params(("role" = String, Path, description = "The name of the role", example = "release")),
    request_body(content = Object, example = json!({"signatures": [{"keyid": "…", "sig": "…"}], "signed": {
        "_type": "targets", "version": 2, "spec_version": "1.0.31", "expires": "2027-01-01T00:00:00Z", "targets": {}}})),
    responses(Submitted))]
pub(super) async fn put_metadata(
    api: web::Data<Api>,
    request: HttpRequest,
    role: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let role = role.into_inner();
    let Ok(name) = RoleName::parse(&role) else {
        let loc = vec!["path".into(), "role".into()];
        return Err(Refusal::fault(Fault::value_error(loc, NameError::Role, &role.into())));
    };
    let (job, _place) = api.read(&request, payload, move |at| signed(at, &name)).await?;
    api.bootstrapped(NOT_ACCEPTED, REQUIRES).await?;
    api.submit(Job::PublishDelegatedMetadata(job), "Delegated metadata accepted.").await
}

async fn delegate(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    parse: fn(&Cursor<'_>) -> Option<MetadataDelegation>,
    message: &'static str,
) -> Result<HttpResponse, Refusal> {
    let run = Run::of(&request)?;
    let (job, _place) = api.read(&request, payload, parse).await?;
    api.bootstrapped(NOT_ACCEPTED, REQUIRES).await?;
    api.run(run, Job::MetadataDelegation(job), message).await
}

/// Reads delegations to add.
pub(super) fn add(at: &Cursor<'_>) -> Option<MetadataDelegation> {
    let delegations = whole(at)?;
    Some(MetadataDelegation { action: DelegationAction::Add, delegations })
}

/// Reads delegations to change.
pub(super) fn change(at: &Cursor<'_>) -> Option<MetadataDelegation> {
    let delegations = whole(at)?;
    Some(MetadataDelegation { action: DelegationAction::Update, delegations })
}

/// Reads delegations to end.
pub(super) fn end(at: &Cursor<'_>) -> Option<MetadataDelegation> {
    let delegations = at.model()?.required("delegations", ended)?;
    Some(MetadataDelegation { action: DelegationAction::Delete, delegations })
}

fn whole(at: &Cursor<'_>) -> Option<Value> {
    at.model()?.required("delegations", |at| {
        well_named(at, at.value())?;
        delegations(at)
    })
}

/// Reads metadata of a delegated role. It is kept as it came: what it is worth is judged by the worker.
fn signed(at: &Cursor<'_>, role: &RoleName) -> Option<DelegatedMetadata> {
    document::targets(at, usize::try_from(strictest(role)).unwrap_or(usize::MAX))?;
    Some(DelegatedMetadata { role: role.to_string(), metadata: json!(at.value()) })
}

#[cfg(test)]
mod tests {
    use super::{super::body::read, *};

    #[test]
    fn b14_names_are_checked_as_at_a_bootstrap() {
        let role = |name: &str| {
            json!({"delegations": {"keys": {}, "roles": [
                {"name": name, "terminating": true, "keyids": [], "threshold": 1, "paths": ["*"]}]}})
        };
        assert!(read(&role("2fa"), add).is_ok());
        let told = read(&role("a/b"), change).expect_err("a slash");
        assert_eq!(
            told[0].msg,
            "Value error, Delegated custom target name a/b not allowed Only a-z, A-Z, 0-9, - and _ characters can be used"
        );
        assert_eq!(json!(told[0].loc), json!(["body", "delegations"]));
        for name in ["Root", "bins", "trusted_targets"] {
            let told = read(&role(name), add).expect_err(name);
            assert_eq!(json!(told[0].loc), json!(["body", "delegations", "roles", 0, "name"]), "{name}");
        }
    }

    #[test]
    fn b28_what_is_missing_or_of_another_type_is_told() {
        for (sent, kind) in [
            (json!({"delegations": {"keys": {}}}), "missing"),
            (json!({"delegations": {"keys": {}, "roles": {}}}), "list_type"),
            (json!({"delegations": {"keys": {}, "roles": [{"name": "a"}]}}), "missing"),
            (json!({"delegations": []}), "model_attributes_type"),
        ] {
            assert_eq!(read(&sent, add).expect_err(kind)[0].kind, kind, "{sent}");
        }
    }

    #[test]
    fn metadata_of_a_role_is_kept_as_it_came() {
        let sent = json!({"signatures": [{"keyid": "k", "sig": "00", "x": 1}], "more": null,
            "signed": {"z": 1, "_type": "targets", "version": 2, "spec_version": "1.0.31",
                "expires": "2027-01-01T00:00:00Z", "targets": {"a": {"length": 1, "hashes": {"sha256": "00"}}}}});
        let role = RoleName::parse("release").expect("a name");
        let job = read(&sent, |at| signed(at, &role)).expect("accepted");
        assert_eq!((job.role.as_str(), job.metadata.to_string()), ("release", sent.to_string()));
    }
}
