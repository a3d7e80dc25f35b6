//! `/bootstrap`: whether there is a repository, and the wish to create one.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Api,
    admission::to_the_end,
    body::{Bound, Cursor},
    deadline::Withdrawal,
    delegation::{delegations, well_named},
    document::SIGNED_MEMBERS,
    error::Refusal,
    limits::MAX_TIMEOUT_SECONDS,
    openapi::{BootstrapRefused, Refused, Submitted},
    reply::{Accepted, Submission},
    settings::expiration,
};
use crate::{
    store::settings::{BOOTSTRAP, bootstrap::Holder},
    task::{BinsRole, Bootstrap, BootstrapRoles, BootstrapSettings, Job, RoleExpiration, TaskId},
    tuf::bins::Layout,
};

/// How long a bootstrap waits for a worker when it does not say, in seconds.
const DEFAULT_TIMEOUT_SECONDS: i64 = 300;

/// What a repository is made of, in the words of the contract, and why it can't be of both in the layout that a bootstrap gets when it says nothing of it.
const EITHER: &str = "Exactly one of 'bins' and 'delegations' must be set";
const WHY_NOT_BOTH: &str = "in the layout succinct TUF allows no other delegations beside the bins (TAP 15); \
    with bins.layout path_hash_prefixes both may be set";

/// Whether there is a repository.
#[derive(Debug, Serialize, ToSchema)]
struct BootstrapReply {
    data: BootstrapStatus,
    /// A sentence for people, which clients also compare.
    message: &'static str,
}

/// The state of the bootstrap.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BootstrapStatus {
    /// Whether there is one.
    bootstrap: bool,
    /// `pre` while a bootstrap waits for a worker, `signing` while its root waits for signatures, `finished` when
    /// there is a repository. Absent while a bootstrap can be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<String>,
    /// The task that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
}

/// Tell whether there is a repository.
#[utoipa::path(get, operation_id = "get_bootstrap", path = "/api/v1/bootstrap/", tag = "Bootstrap",
    responses(
        (status = 200, description = "Whether there is one, or one is being made", body = BootstrapReply,
            example = json!({"data": {"bootstrap": false}, "message": "System available for bootstrap."})),
        (status = 503, description = "The settings can't be read now", body = Refused)))]
pub(super) async fn get(api: web::Data<Api>) -> Result<HttpResponse, Refusal> {
    let lock = api.lock().await?;
    let message = match lock.locked() {
        true => "System LOCKED for bootstrap.",
        false => "System available for bootstrap.",
    };
    let (state, id) = (lock.state().map(str::to_owned), lock.id().map(str::to_owned));
    let data = BootstrapStatus { bootstrap: lock.finished(), state, id };
    Ok(HttpResponse::Ok().json(BootstrapReply { data, message }))
}

/// Create the repository.
///
/// From settings and a signed root, which `rstuf admin ceremony` makes; fewer signatures than its threshold asks for are enough to begin. `settings.roles.bins.layout`
/// chooses how bins are written into the metadata. Bins and delegations exclude each other but in the layout `path_hash_prefixes`: there the delegated
/// roles are asked first, and the bins have everything else.
#[utoipa::path(post, operation_id = "create_bootstrap", path = "/api/v1/bootstrap/", tag = "Bootstrap",
    request_body(content = Bootstrap, example = json!({
        "settings": {"roles": {
            "root": {"expiration": 365}, "targets": {"expiration": 365}, "snapshot": {"expiration": 1},
            "timestamp": {"expiration": 1}, "bins": {"expiration": 1, "number_of_delegated_bins": 256}}},
        "metadata": {"root": {"signatures": [{"keyid": "…", "sig": "…"}], "signed": {"_type": "root", "version": 1}}}})),
    responses(Submitted,
        (status = 404, description = "There is a repository already, or one is being made", body = BootstrapRefused)))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let (job, _place) = api.read(&request, payload, bootstrap).await?;
    let task_id = TaskId::random();
    to_the_end(locked_submit(api.clone(), task_id.clone(), job)).await?;
    let data = Submission { artifacts: None, task_id, last_update: api.clock.now() };
    Ok(Accepted::reply(data, "Bootstrap accepted."))
}

/// Takes the lock, lets the job wait for as long as it asks for, and publishes it; withdraws it when the queue did not take
/// it. When this ends half way, any API frees the lock after a while.
async fn locked_submit(api: web::Data<Api>, id: TaskId, job: Bootstrap) -> Result<(), Refusal> {
    let lock = api.lock().await?;
    let taken = Holder::waiting(&id);
    if lock.locked() || !api.settings.swap(BOOTSTRAP, lock.value(), taken.clone()).await? {
        return Err(Refusal::Bootstrapped(api.lock().await?.to_string()));
    }
    let until = api.clock.now().saturating_add(SignedDuration::from_secs(job.timeout)).unwrap_or(Timestamp::MAX);
    api.let_wait(&id, until).await?;
    let Err(refusal) = api.publish(&id, &Job::Bootstrap(Box::new(job))).await else { return Ok(()) };
    match api.withdraw(&id).await {
        Ok(Withdrawal::TooLate) => Ok(()),
        Ok(Withdrawal::Done) => Err(refusal),
        Err(error) => {
            tracing::warn!(task_id = %id, %error, "the lock of the bootstrap is released later");
            Err(refusal)
        }
    }
}

/// Reads a bootstrap. The metadata is kept as it came: what it is worth is judged by the worker.
pub(super) fn bootstrap(at: &Cursor<'_>) -> Option<Bootstrap> {
    let payload = at.model()?;
    let roles = payload.required("settings", |at| at.model()?.required("roles", roles));
    let metadata = payload.required("metadata", metadata);
    let timeout = payload.nullable("timeout", |at| at.limit(at.integer()?, Bound::AtMost(MAX_TIMEOUT_SECONDS)));
    if let Some(field) = metadata.as_ref().and_then(unknown_member) {
        return at.wrong(format_args!(
            "Invalid: `{field}` field name, unrecognized_field must use format x-<vendor>-<name>"
        ));
    }
    Some(Bootstrap {
        settings: BootstrapSettings { roles: roles? },
        metadata: metadata?,
        timeout: timeout?.unwrap_or(DEFAULT_TIMEOUT_SECONDS).max(0),
    })
}

fn roles(at: &Cursor<'_>) -> Option<BootstrapRoles> {
    let model = at.model()?;
    let together = at.value()["bins"]["layout"] == "path_hash_prefixes";
    match (model.has("bins"), model.has("delegations")) {
        (false, false) => return at.wrong(EITHER),
        (true, true) if !together => return at.wrong(format_args!("{EITHER}: {WHY_NOT_BOTH}")),
        _ => well_named(at, &at.value()["delegations"])?,
    }
    let [root, targets, snapshot, timestamp] =
        ["root", "targets", "snapshot", "timestamp"].map(|name| model.required(name, role));
    let bins = model.nullable("bins", bins);
    let delegations = model.nullable("delegations", delegations);
    Some(BootstrapRoles {
        root: root?,
        targets: targets?,
        snapshot: snapshot?,
        timestamp: timestamp?,
        bins: bins?,
        delegations: delegations?,
    })
}

fn role(at: &Cursor<'_>) -> Option<RoleExpiration> {
    Some(RoleExpiration { expiration: at.model()?.required("expiration", expiration)? })
}

fn bins(at: &Cursor<'_>) -> Option<BinsRole> {
    let bins = at.model()?;
    let expiration = bins.required("expiration", expiration);
    let number = bins.required("number_of_delegated_bins", |at| {
        let number = at.integer()?;
        at.bound(number, Bound::GreaterThan(1))?;
        at.bound(number, Bound::LessThan(16_385))?;
        u32::try_from(number).ok()
    });
    let layout = bins.nullable("layout", |at| match at.value().as_str() {
        Some("succinct") => Some(Layout::Succinct),
        Some("path_hash_prefixes") => Some(Layout::PathHashPrefixes),
        _ => at.not_one_of(&["succinct", "path_hash_prefixes"]),
    });
    Some(BinsRole { expiration: expiration?, number_of_delegated_bins: number?, layout: layout?.unwrap_or_default() })
}

fn metadata(at: &Cursor<'_>) -> Option<Map<String, Value>> {
    at.each_member(|_, at| at.dict().map(|_| ()))?;
    at.dict().cloned()
}

/// The first member of a `signed` that is neither TUF's nor a vendor's, which is named `x-<vendor>-<name>`.
fn unknown_member(metadata: &Map<String, Value>) -> Option<&str> {
    let vendors = |name: &str| {
        let mut parts = name.splitn(3, '-');
        parts.next() == Some("x") && [parts.next(), parts.next()].iter().all(|part| part.is_some_and(|p| !p.is_empty()))
    };
    let members = metadata.values().filter_map(|role| role["signed"].as_object()).flat_map(Map::keys);
    members.map(String::as_str).find(|name| !SIGNED_MEMBERS.contains(name) && !vendors(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::body::read, *};

    fn with(pointer: &str, name: &str, value: Value) -> Result<Bootstrap, Value> {
        let mut document = json!({
            "settings": {"roles": {
                "root": {"expiration": 365}, "targets": {"expiration": 365}, "snapshot": {"expiration": 1},
                "timestamp": {"expiration": 1}, "bins": {"expiration": 1, "number_of_delegated_bins": 256}
            }},
            "metadata": {"root": {"signatures": [], "signed": {"_type": "root"}}}
        });
        document.pointer_mut(pointer).expect("a place")[name] = value;
        read(&document, bootstrap).map_err(|faults| json!(faults))
    }

    #[test]
    fn a_time_out_is_never_null_or_negative() {
        for (sent, kept) in [(Value::Null, 300), (json!("60"), 60), (json!(-1), 0)] {
            assert_eq!(with("", "timeout", sent).expect("accepted").timeout, kept);
        }
        let told = with("", "timeout", json!(i64::MAX)).expect_err("refused");
        assert_eq!(told[0]["type"], "less_than_equal");
    }

    #[test]
    fn the_layout_of_bins_can_be_chosen() {
        let layout = |value| with("/settings/roles/bins", "layout", value);
        let read = |value| layout(value).expect("accepted").settings.roles.bins.map(|bins| bins.layout);
        assert_eq!(read(Value::Null), Some(Layout::Succinct));
        assert_eq!(read(json!("succinct")), Some(Layout::Succinct));
        assert_eq!(read(json!("path_hash_prefixes")), Some(Layout::PathHashPrefixes));
        assert_eq!(
            layout(json!("other")).expect_err("refused"),
            json!([{"type": "literal_error", "loc": ["body", "settings", "roles", "bins", "layout"],
                "msg": "Input should be 'succinct' or 'path_hash_prefixes'", "input": "other",
                "ctx": {"expected": "'succinct' or 'path_hash_prefixes'"}}])
        );
        assert_eq!(layout(json!(1)).expect_err("refused")[0]["type"], "literal_error");
    }

    #[test]
    fn bins_and_delegations_go_together_in_one_layout() {
        let delegations = json!({"keys": {}, "roles": [
            {"name": "a", "terminating": true, "keyids": [], "threshold": 1, "paths": ["a/*"]}]});
        let both = |layout: Value| {
            let bins = json!({"expiration": 1, "number_of_delegated_bins": 4, "layout": layout});
            let mut roles = json!({"bins": bins, "delegations": delegations});
            for role in ["root", "targets", "snapshot", "timestamp"] {
                roles[role] = json!({"expiration": 1});
            }
            with("/settings", "roles", roles)
        };
        let roles = both(json!("path_hash_prefixes")).expect("accepted").settings.roles;
        assert!(roles.bins.is_some() && roles.delegations == Some(delegations.clone()));
        for layout in [json!("succinct"), Value::Null] {
            let told = both(layout).expect_err("refused");
            assert_eq!(told[0]["loc"], json!(["body", "settings", "roles"]));
            let msg = told[0]["msg"].as_str().expect("a sentence");
            assert!(msg.starts_with("Value error, Exactly one of 'bins' and 'delegations' must be set: in the layout"));
        }
    }

    #[test]
    fn members_of_vendors_have_a_form() {
        let member = |name| with("/metadata/root/signed", name, json!(1));
        for good in ["x-vendor-name", "x-vendor-a-longer-name", "meta"] {
            assert!(member(good).is_ok(), "{good}");
        }
        for bad in ["foo", "x-foo", "x--", "x--name", "X-vendor-name", "xvendor-name", ""] {
            assert_eq!(member(bad).expect_err(bad)[0]["type"], "value_error");
        }
    }

    #[test]
    fn metadata_is_kept_as_it_came() {
        let sent = json!({"signed": {"x-b-a": {"z": 1, "a": [1.50]}}, "other": null});
        let kept = with("/metadata", "more", sent.clone()).expect("accepted").metadata;
        assert_eq!(kept.get("more"), Some(&sent));
    }
}
