//! The recorded requests of the contract against the parsers: what the Python service refused is refused in the same
//! words, what it accepted is accepted. Every deliberate difference is listed with its reason.

use actix_web::web::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Limits, artifacts,
    body::Body,
    bootstrap,
    fault::{Fault, Step},
    settings,
};

const RECORDED: &str = include_str!("../../tests/fixtures/validation-matrix.json");

/// A recorded request that is answered in another way, with the fault that it gets here and why.
const DIFFERENT: [(&str, &str, &str); 6] = [
    ("name root", "value_error", "a delegated role named as a top-level role collides with it in files and settings"),
    ("policy 0", "greater_than", "a role that expires when it is signed can't be used"),
    ("thr 0", "greater_than", "a threshold of 0 accepts metadata without any signature (TUF §4.3)"),
    ("no paths", "missing", "it got a status of 500"),
    ("roles as dict", "list_type", "it got a status of 500"),
    ("no roles", "missing", "it got a status of 500"),
];

#[derive(Deserialize)]
struct Recording {
    case: String,
    method: String,
    path: String,
    request: Value,
    status: u16,
    response: Value,
}

fn faults(recording: &Recording) -> Option<Vec<Fault>> {
    let body = Body::Json(Bytes::from(recording.request.to_string()));
    let limits = Limits::default();
    match (recording.method.as_str(), recording.path.as_str()) {
        ("POST", "/api/v1/bootstrap/") => body.read(bootstrap::bootstrap).err(),
        ("PUT", "/api/v1/config/") => body.read(settings::update).err(),
        ("POST", "/api/v1/artifacts/") => body.read(|at| artifacts::add(at, &limits)).err(),
        ("POST", "/api/v1/artifacts/delete") => body.read(|at| artifacts::remove(at, &limits)).err(),
        other => panic!("no parser for {other:?}"),
    }
}

#[test]
fn recorded_requests_get_the_recorded_answer() {
    let recordings: Vec<Recording> = serde_json::from_str(RECORDED).expect("the recordings");
    let mut different = 0;
    for recording in &recordings {
        let case = &recording.case;
        let found = faults(recording);
        if let Some((_, kind, why)) = DIFFERENT.iter().find(|(name, ..)| name == case) {
            let found = found.expect(why);
            assert_eq!((found.len(), found[0].kind), (1, *kind), "{case}");
            assert_eq!(found[0].loc[..3], ["body", "settings", "roles"].map(Step::from), "{case}");
            different += 1;
            continue;
        }
        match found {
            Some(found) => {
                assert_eq!(recording.status, 422, "{case}: {found:?}");
                assert_eq!(json!({"detail": found}), recording.response, "{case}");
            }
            None => assert_eq!(recording.status, 404, "{case}: the system was bootstrapped already"),
        }
    }
    assert_eq!(different, DIFFERENT.len(), "every difference is still one");
}
