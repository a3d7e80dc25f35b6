//! `/config`: the settings of the repository.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Api,
    body::{Bound, Cursor},
    dry_run::{Preview, Run},
    error::Refusal,
    limits::MAX_EXPIRATION_DAYS,
    openapi::{Refused, Submitted},
};
use crate::{
    store::settings::{EXPIRING, bootstrap::BOOTSTRAP_DEADLINE},
    task::{ExpirationSettings, Job, UpdateSettings},
    tuf::wire::parse_expires,
};

/// Names of members that say where a private key is kept.
const KEY_URI: &str = "x-rstuf-online-key-uri";

const MISSING: &str = "No Repository Settings/Config found.";
const REQUIRES: &str = "It requires bootstrap.";

/// The settings.
#[derive(Debug, Serialize, ToSchema)]
struct SettingsReply {
    /// Values by the name of the setting.
    data: Map<String, Value>,
    /// A sentence for people, which clients also compare.
    message: &'static str,
}

/// List the settings.
///
/// The settings of the repository by their names in lower case. Members named `x-rstuf-online-key-uri` are left out at
/// every depth, so metadata that is listed here can't be verified: take it from the published files instead.
///
/// `expiring` lists the published roles by when they expire, the first one first; `bins` are all hash bins, with the first of them. What is
/// `signed_by` `online` keys is renewed in time; what is signed by `people` waits for them. Python workers do not tell it.
#[utoipa::path(get, operation_id = "get_settings", path = "/api/v1/config/", tag = "Config",
    responses(
        (status = 200, description = "The settings", body = SettingsReply,
            example = json!({"data": {"bootstrap": "7a634b556f784ae88785d36425f9a218", "root_expiration": 365,
                "bins_expiration": 1, "number_of_delegated_bins": 256, "targets_online_key": true,
                "expiring": [{"role": "dev", "version": 7, "expires": "2026-12-24T18:00:00Z", "signed_by": "people",
                    "seconds_left": 1209600}]},
                "message": "Current Settings"})),
        (status = 404, description = "There is no repository yet", body = Refused),
        (status = 503, description = "The settings can't be read now", body = Refused)))]
pub(super) async fn get(api: web::Data<Api>) -> Result<HttpResponse, Refusal> {
    api.bootstrapped(MISSING, REQUIRES).await?;
    let data = listed(api.settings.all().await?, api.clock.now());
    Ok(HttpResponse::Ok().json(SettingsReply { data, message: "Current Settings" }))
}

/// Change for how long roles are valid.
///
/// Days by the name of the role, from the next signature on. Roles that the repository does not have, and root, are
/// reported in the result of the task.
#[utoipa::path(put, operation_id = "update_settings", path = "/api/v1/config/", tag = "Config",
    params(("dry_run" = Option<bool>, Query, description = "Tell what would change, and change nothing")),
    request_body(content = UpdateSettings, example = json!({"settings": {"expiration": {"bins": 7, "timestamp": 1}}})),
    responses((status = 200, description = "With `dry_run`: what would change", body = Preview), Submitted))]
pub(super) async fn put(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let run = Run::of(&request)?;
    let (job, _place) = api.read(&request, payload, update).await?;
    api.bootstrapped(MISSING, REQUIRES).await?;
    api.run(run, Job::UpdateSettings(job), "Settings successfully submitted.").await
}

/// The settings as the contract lists them: names and texts in lower case, without texts that say `none`.
fn listed(mut settings: BTreeMap<String, Value>, now: Timestamp) -> Map<String, Value> {
    if let Some(expiring) = settings.get_mut(EXPIRING) {
        count_down(expiring, now);
    }
    let shown = settings.into_iter().filter(|(name, _)| name != BOOTSTRAP_DEADLINE);
    let listed = shown.filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) if text.eq_ignore_ascii_case("none") => return None,
            Value::String(text) => text.to_lowercase().into(),
            value => without_key_uris(value),
        };
        Some((name.to_lowercase(), value))
    });
    listed.collect()
}

/// Adds to each role how many seconds are left of it, less than none when it has expired.
fn count_down(expiring: &mut Value, now: Timestamp) {
    for role in expiring.as_array_mut().into_iter().flatten() {
        let expires = role["expires"].as_str().and_then(|text| parse_expires(text).ok());
        if let (Some(expires), Some(members)) = (expires, role.as_object_mut()) {
            members.insert("seconds_left".to_owned(), expires.duration_since(now).as_secs().into());
        }
    }
}

fn without_key_uris(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_key_uris).collect(),
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| name != KEY_URI)
            .map(|(name, value)| (name, without_key_uris(value)))
            .collect::<Map<_, _>>()
            .into(),
        value => value,
    }
}

/// Reads new expirations. Roles that the repository does not have are accepted here and reported by the worker.
pub(super) fn update(at: &Cursor<'_>) -> Option<UpdateSettings> {
    let settings = at.model()?.required("settings", |at| {
        let expiration = at
            .model()?
            .required("expiration", |at| at.each_member(|name, at| Some((name.to_owned(), expiration(at)?))))?;
        Some(ExpirationSettings { expiration: expiration.into_iter().collect() })
    })?;
    Some(UpdateSettings { settings })
}

/// Reads for how many days a role is valid.
pub(super) fn expiration(at: &Cursor<'_>) -> Option<u32> {
    let days = at.integer()?;
    at.bound(days, Bound::GreaterThan(0))?;
    at.limit(days, Bound::AtMost(MAX_EXPIRATION_DAYS))?;
    u32::try_from(days).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::body::read, *};

    #[test]
    fn settings_are_listed_in_lower_case_without_key_uris() {
        let key = json!({"keytype": "rsa", "x-rstuf-key-name": "Online", "x-rstuf-online-key-uri": "fn:secret"});
        let stored = [
            ("BOOTSTRAP", json!("ABC")),
            (BOOTSTRAP_DEADLINE, json!("claimed abc")),
            ("NUMBER_OF_DELEGATED_BINS", json!(2)),
            ("ROOT_SIGNING", json!(null)),
            ("GONE", json!("None")),
            (
                "EXPIRING",
                json!([{"role": "Dev", "expires": "2026-01-01T00:01:00Z"}, {"role": "old", "expires": "2025-12-31T23:59:00Z"}]),
            ),
            ("ONLINE_KEY", key.clone()),
            (
                "TRUSTED_ROOT",
                json!({"signed": {"keys": {"K": key}, "list": [{"x-rstuf-online-key-uri": "fn:secret"}]}}),
            ),
        ];
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let listed = json!(listed(stored.map(|(name, value)| (name.to_owned(), value)).into(), now));
        let key = json!({"keytype": "rsa", "x-rstuf-key-name": "Online"});
        assert_eq!(
            listed,
            json!({"bootstrap": "abc", "number_of_delegated_bins": 2, "root_signing": null, "online_key": key,
                "expiring": [
                    {"role": "Dev", "expires": "2026-01-01T00:01:00Z", "seconds_left": 60},
                    {"role": "old", "expires": "2025-12-31T23:59:00Z", "seconds_left": -60}],
                "trusted_root": {"signed": {"keys": {"K": key}, "list": [{}]}}})
        );
    }

    #[test]
    fn expirations_are_positive_and_bounded() {
        let update = |days| read(&json!({"settings": {"expiration": {"bins": days}}}), update);
        let read = update(json!("7")).expect("accepted");
        assert_eq!(read.settings.expiration.get("bins"), Some(&7));
        for (days, kind) in [(0, "greater_than"), (-1, "greater_than"), (MAX_EXPIRATION_DAYS + 1, "less_than_equal")] {
            let told = update(json!(days)).expect_err("refused");
            assert_eq!(json!(told)[0]["type"], kind, "{days}");
            assert_eq!(json!(told)[0]["loc"], json!(["body", "settings", "expiration", "bins"]));
        }
    }
}
