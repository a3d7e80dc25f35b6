//! `?dry_run=true`: what a change would do, told without doing it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Api, error::Refusal, fault::Fault, lax};
use crate::task::Job;

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
    /// What would change, by names that each action has.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
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
                let data = Map::new();
                Ok(HttpResponse::Ok().json(Preview { data, message: "Dry run: nothing was changed." }))
            }
        }
    }
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
