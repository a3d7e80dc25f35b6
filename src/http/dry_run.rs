//! `?dry_run=true`: what a change would do, told without doing it.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Api, error::Refusal, fault::Fault, lax, pending::Names};
use crate::{
    task::{DelegationAction, Job},
    tuf::preview::{self, Published},
};

/// What the name of a setting ends with that has the days for which a role is valid; before it is the role, in upper case.
const EXPIRATION: &str = "_EXPIRATION";

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// It does.
    Real,
    /// It only asks what would change.
    Dry,
}

/// What would change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// `changes` by role; `failed` are the roles for which it can't be done, `problems` what stops the whole request. A root also has `missing`, the
    /// signatures that it would wait for, and `signed_again`, the roles that would be published with it.
    #[schema(value_type = Object)]
    data: Value,
    /// A sentence for people.
    #[schema(example = "Dry run: nothing was changed.")]
    message: &'static str,
}

#[derive(Deserialize)]
struct Query {
    dry_run: Option<String>,
}

impl Run {
    /// Reads the query of a request. One that can't be read is refused: who wants to change nothing must not be misunderstood.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Refusal> {
        let refused = |(kind, msg), input: &Value| {
            Refusal::fault(Fault::new(kind, vec!["query".into(), "dry_run".into()], msg, input))
        };
        let query = web::Query::<Query>::from_query(request.query_string());
        let Ok(web::Query(Query { dry_run })) = query else {
            return Err(refused(("bool_type", "Input should be a valid boolean"), &request.query_string().into()));
        };
        let Some(text) = dry_run.map(Value::from) else { return Ok(Self::Real) };
        match lax::boolean(&text) {
            Ok(true) => Ok(Self::Dry),
            Ok(false) => Ok(Self::Real),
            Err(why) => Err(refused(why, &text)),
        }
    }
}

impl Api {
    /// Makes a task of a job, or tells what it would change.
    pub(super) async fn run(&self, run: Run, job: Job, message: &'static str) -> Result<HttpResponse, Refusal> {
        match run {
            Run::Real => self.submit(job, message).await,
            Run::Dry => {
                let (settings, now) = (self.settings.all().await?, self.clock.now());
                let told = web::block(move || preview(&job, &settings, now)).await.map_err(|_| Refusal::Broken)?;
                // A repository is there, but not what is known of it: a worker is about to write it.
                let data = told.ok_or(Refusal::Unreadable("settings"))?;
                Ok(HttpResponse::Ok().json(Preview { data, message: "Dry run: nothing was changed." }))
            }
        }
    }
}

/// What a job would change, `None` when the settings don't have what is published.
fn preview(job: &Job, settings: &BTreeMap<String, Value>, now: Timestamp) -> Option<Value> {
    let expirations = expirations(settings);
    if let Job::UpdateSettings(update) = job {
        return Some(preview::expirations(&expirations, &update.settings.expiration));
    }
    let trusted = |name| settings.get(name).filter(|document| document["signed"].is_object());
    let (root, targets) = (trusted("TRUSTED_ROOT")?, trusted("TRUSTED_TARGETS")?);
    let published = Published { root, targets, expirations: &expirations };
    match job {
        Job::MetadataUpdate(update) => {
            Some(preview::root(published, update.metadata.get("root").unwrap_or(&Value::Null), now))
        }
        Job::MetadataDelegation(change) => Some(match change.action {
            DelegationAction::Add => preview::added(published, &change.delegations),
            DelegationAction::Update => preview::updated(published, &change.delegations),
            DelegationAction::Delete => preview::deleted(published, &change.delegations),
        }),
        _ => None,
    }
}

fn expirations(settings: &BTreeMap<String, Value>) -> BTreeMap<String, u32> {
    let names = Names::of(settings);
    let days = settings.iter().filter_map(|(setting, days)| {
        let days = u32::try_from(days.as_u64()?).ok()?;
        Some((names.real(setting.strip_suffix(EXPIRATION)?), days))
    });
    days.collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_dry_run_is_asked_for_in_any_form_and_never_by_mistake_left_out() {
        let of = |query: &str| Run::of(&TestRequest::post().uri(&format!("/a?{query}")).to_http_request());
        for (query, expected) in [
            ("", Run::Real),
            ("x=1", Run::Real),
            ("dry_run=false", Run::Real),
            ("dry_run=0", Run::Real),
            ("dry_run=true", Run::Dry),
            ("dry_run=1&x=2", Run::Dry),
            ("dry_run=Yes", Run::Dry),
        ] {
            assert_eq!(of(query).expect(query), expected, "{query}");
        }
        for query in ["dry_run=", "dry_run=maybe", "dry_run", "dry_run=true&dry_run=false"] {
            assert!(matches!(of(query), Err(Refusal::Invalid(_))), "{query}");
        }
    }
}
