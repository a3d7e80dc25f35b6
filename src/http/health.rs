//! `/livez` and `/readyz`: for whoever restarts this process, and for whoever sends it requests.

use std::{collections::BTreeMap, future::Future, time::Duration};

use actix_web::{HttpResponse, web};
use serde_json::json;
use tokio::time::timeout;

use super::Api;
use crate::{
    store::{StoreError, settings::BOOTSTRAP},
    task::TaskId,
};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tell that the process is alive.
#[utoipa::path(get, operation_id = "live", path = "/livez", tag = "Health", responses((status = 200, description = "It is")))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// Tell whether requests can be answered.
///
/// When not, `missing` has the parts that don't answer. The queue is not asked: its state shows when a task is sent.
#[utoipa::path(get, operation_id = "ready", path = "/readyz", tag = "Health",
    responses((status = 200, description = "They can"), (status = 503, description = "A part is missing")))]
pub(super) async fn ready(api: web::Data<Api>) -> HttpResponse {
    let nobody = TaskId::from_text("readyz");
    let (settings, results) = tokio::join!(answers(api.settings.get(BOOTSTRAP)), answers(api.results.get(&nobody)));
    let parts = [("settings", settings), ("results", results)];
    let missing: BTreeMap<&str, &str> = parts.into_iter().filter_map(|(part, why)| Some((part, why.err()?))).collect();
    match missing.is_empty() {
        true => HttpResponse::Ok().json(json!({"status": "ready"})),
        false => HttpResponse::ServiceUnavailable().json(json!({"status": "not ready", "missing": missing})),
    }
}

async fn answers<T>(part: impl Future<Output = Result<T, StoreError>>) -> Result<(), &'static str> {
    match timeout(PATIENCE, part).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(StoreError::Broken(cause))) => {
            tracing::error!(cause, "not ready");
            Err("broken")
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err("unavailable")
        }
        Err(_) => Err("no answer in time"),
    }
}
