//! The recorded requests of the contract against the parsers: what the Python service refused is refused in the same
//! words, what it accepted is accepted. Every deliberate difference is listed with its reason.

use actix_web::web::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Limits, artifacts, body::Body, bootstrap, delegations, fault::Fault, metadata, settings, signing};

const RECORDED: &str = include_str!("../../tests/fixtures/validation-matrix.json");
const DIFFERENT: &str = include_str!("../../tests/fixtures/validation-differences.json");

#[derive(Deserialize)]
struct Recording {
    case: String,
    method: String,
    path: String,
    request: Value,
    status: u16,
    response: Value,
}

/// A recorded request that is deliberately answered in another way.
#[derive(Deserialize)]
struct Difference {
    case: String,
    r#type: String,
    at: String,
    why: String,
}

fn faults(recording: &Recording) -> Option<Vec<Fault>> {
    let body = Body::Json(Bytes::from(recording.request.to_string()));
    let limits = Limits::default();
    match (recording.method.as_str(), recording.path.as_str()) {
        ("POST", "/api/v1/bootstrap/") => body.read(bootstrap::bootstrap).err(),
        ("PUT", "/api/v1/config/") => body.read(settings::update).err(),
        ("POST", "/api/v1/artifacts/") => body.read(|at| artifacts::add(at, &limits)).err(),
        ("POST", "/api/v1/artifacts/delete") => body.read(|at| artifacts::remove(at, &limits)).err(),
        ("POST", "/api/v1/metadata/") => body.read(metadata::update).err(),
        ("POST", "/api/v1/metadata/sign") => body.read(signing::sign).err(),
        ("POST", "/api/v1/metadata/sign/delete") => body.read(signing::give_up).err(),
        ("POST", "/api/v1/delegations/") => body.read(delegations::add).err(),
        other => panic!("no parser for {other:?}"),
    }
}

#[test]
fn recorded_requests_get_the_recorded_answer() {
    let recordings: Vec<Recording> = serde_json::from_str(RECORDED).expect("the recordings");
    let mut differences: Vec<Difference> = serde_json::from_str(DIFFERENT).expect("the differences");
    for recording in &recordings {
        let case = &recording.case;
        let found = faults(recording);
        if let Some(index) = differences.iter().position(|difference| difference.case == *case) {
            let difference = differences.remove(index);
            let found = found.expect(&difference.why);
            assert_eq!((found.len(), found[0].kind), (1, difference.r#type.as_str()), "{case}");
            assert!(json!(found[0].loc).to_string().contains(&difference.at), "{case}");
            continue;
        }
        match found {
            Some(found) => {
                assert_eq!(recording.status, 422, "{case}: {found:?}");
                assert_eq!(json!({"detail": found}), recording.response, "{case}");
            }
            None => assert_eq!(recording.status, 404, "{case}: the system was not in the state for it"),
        }
    }
    assert!(differences.is_empty(), "every difference is still one");
}
