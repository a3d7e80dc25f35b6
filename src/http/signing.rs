//! `/metadata/sign`: what waits for signatures, one more signature, and the wish to give up.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Api,
    body::Cursor,
    document::signature,
    error::Refusal,
    openapi::{Refused, Submitted},
    pending::{EVENTS, announced, pending, real_name, setting, waits},
};
use crate::{
    task::{Job, RoleOfEvent, SignMetadata},
    tuf::name::{NameError, RoleName},
};

const NOTHING: &str = "No metadata pending signing available";

/// What waits for signatures.
#[derive(Debug, Serialize, ToSchema)]
struct PendingReply {
    /// Absent when nothing waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<Pending>,
    /// A sentence for people, which clients also compare.
    message: &'static str,
}

/// Documents by role.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pending {
    /// Metadata by the name of its role. `trusted_root` and `trusted_targets` are no roles: they are what the signatures are compared with.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// The delegations, `keys` and `roles`, of those roles for which `trusted_targets` does not say yet who signs them. Absent when there are none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object, required = false)]
    announced: Map<String, Value>,
}

/// List what waits for signatures.
///
/// Every role that waits, under its own name, with the signatures that there are; beside them `trusted_root` when root is one of them and
/// there is a trusted root, and `trusted_targets` when a delegated role is. `announced` has the delegations that take effect with what waits. Documents are listed exactly as they are
/// signed: nothing is left out of them, so the locations of online keys (`x-rstuf-online-key-uri`) are shown.
#[utoipa::path(get, operation_id = "get_metadata_sign", path = "/api/v1/metadata/sign", tag = "Metadata",
    responses(
        (status = 200, description = "What waits", body = PendingReply,
            example = json!({"data": {"metadata": {"release": {"signatures": [], "signed": {"_type": "targets",
                "version": 2, "spec_version": "1.0.31", "expires": "2027-01-01T00:00:00Z", "targets": {}}},
                "trusted_targets": {"signatures": [], "signed": {"_type": "targets", "version": 4}}}},
                "message": "Metadata role(s) pending signing"})),
        (status = 404, description = "There is no repository yet, and none that waits for its root", body = Refused),
        (status = 503, description = "The settings can't be read now", body = Refused)))]
pub(super) async fn get(api: web::Data<Api>) -> Result<HttpResponse, Refusal> {
    api.begun(NOTHING, "Requires bootstrap started.").await?;
    let settings = api.settings.all().await?;
    let metadata = pending(&settings);
    let announced = announced(&settings, &metadata);
    let reply = match metadata.is_empty() {
        true => PendingReply { data: None, message: NOTHING },
        false => {
            PendingReply { data: Some(Pending { metadata, announced }), message: "Metadata role(s) pending signing" }
        }
    };
    Ok(HttpResponse::Ok().json(reply))
}

/// Add a signature.
///
/// Of one key, over the canonical JSON of the `signed` of what waits. Whether it counts is in the result of the task, and how many are
/// missing yet; the last one publishes the role.
#[utoipa::path(post, operation_id = "sign_metadata", path = "/api/v1/metadata/sign", tag = "Metadata",
    request_body(content = SignMetadata, example = json!({"role": "root", "signature": {
        "keyid": "c6d8bf2e4f48b41ac2ce8eca21415ca8ef68c133b47fc33df03d4070a7e1e9cc", "sig": "acc0633c561a86c7"}})),
    responses(Submitted))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let (job, _place) = api.read(&request, payload, sign).await?;
    api.begun("No signing pending.", "Requires bootstrap in signing state.").await?;
    api.submit(Job::SignMetadata(job), "Metadata sign accepted.").await
}

/// Give up what waits for signatures.
///
/// The role stays as it was. A first root that is given up ends its bootstrap: another one can be asked for.
#[utoipa::path(post, operation_id = "delete_metadata_sign", path = "/api/v1/metadata/sign/delete", tag = "Metadata",
    request_body(content = RoleOfEvent, example = json!({"role": "root"})), responses(Submitted))]
pub(super) async fn post_delete(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let (RoleOfEvent { role }, _place) = api.read(&request, payload, give_up).await?;
    // What waits without a repository and without a bootstrap was left behind by somebody: nobody will come and end it.
    if !api.lock().await?.begun() || !waits(&api.settings.get(&setting(&role)).await?) {
        return Err(Refusal::NotNow {
            message: format!("No signing process for {role}.").into(),
            error: format!("The {role} role is not in a signing process."),
        });
    }
    let events = api.settings.get(EVENTS).await?;
    let role = real_name(&role, &events).to_owned();
    api.submit(Job::DeleteSignMetadata(RoleOfEvent { role }), "Metadata sign delete accepted.").await
}

impl Api {
    /// Refuses unless there is a repository or one whose root is being signed.
    async fn begun(&self, message: &'static str, requires: &str) -> Result<(), Refusal> {
        match self.lock().await? {
            lock if lock.begun() => Ok(()),
            lock => Err(Refusal::NotNow { message: message.into(), error: format!("{requires} State: {lock}") }),
        }
    }
}

/// Reads a signature with its role. Whether the role waits, and whether the signature counts, is judged by the worker.
pub(super) fn sign(at: &Cursor<'_>) -> Option<SignMetadata> {
    let payload = at.model()?;
    let role = payload.required("role", role);
    let signature = payload.required("signature", signature);
    Some(SignMetadata { role: role?, signature: signature? })
}

/// Reads which role is given up.
pub(super) fn give_up(at: &Cursor<'_>) -> Option<RoleOfEvent> {
    Some(RoleOfEvent { role: at.model()?.required("role", role)? })
}

fn role(at: &Cursor<'_>) -> Option<String> {
    match RoleName::parse(at.text()?) {
        Ok(name) => Some(name.to_string()),
        Err(_) => at.refuse(NameError::Role),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::body::read, *};

    #[test]
    fn roles_have_names() {
        for wrong in ["", "a/b", "../root", &"a".repeat(129)] {
            let told = read(&json!({ "role": wrong }), give_up).expect_err(wrong);
            assert_eq!((told.len(), told[0].kind), (1, "value_error"), "{wrong}");
        }
        assert_eq!(read(&json!({"role": 1}), give_up).expect_err("a number")[0].kind, "string_type");
        assert_eq!(read(&json!({"role": "Dev_1-a"}), give_up), Ok(RoleOfEvent { role: "Dev_1-a".into() }));
    }

    #[test]
    fn a_signature_is_passed_on_as_it_came() {
        let sent = json!({"role": "root", "signature": {"keyid": "ab", "sig": "cd"}});
        assert_eq!(json!(read(&sent, sign).expect("accepted")), sent);
    }
}
