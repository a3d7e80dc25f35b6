//! Why a request was not answered as it was hoped, in words for people and in kinds for programs.

use std::{error::Error, fmt::Write, time::Duration};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::cli::failure::Failure;

/// The most faults of a request that are told.
const MOST_TOLD: usize = 10;

/// A request that did not have the answer that was hoped for.
#[derive(Debug)]
pub struct Refusal {
    /// What kind of answer it was.
    pub fault: Fault,
    /// The same for people.
    pub failure: Failure,
}

/// Kinds of answers, by what can be done about them.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// None came. Where the connection broke off, nobody knows whether the request was heard.
    Unreachable,
    /// The server has no room now; with the time after which it wants to be asked again.
    Busy(Option<Duration>),
    /// The request is too large.
    TooLarge,
    /// What was sent is wrong: where, as names and numbers that lead there, and why.
    Invalid(Vec<(Vec<Value>, String)>),
    /// Anything else.
    Other,
}

impl Refusal {
    /// The time after which the server wants to be asked again.
    pub fn rest(&self) -> Option<Duration> {
        match self.fault {
            Fault::Busy(rest) => rest,
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}

/// No answer came.
pub(super) fn unreachable(server: &str, error: &reqwest::Error) -> Refusal {
    // The innermost error is what happened; those around it say in which layer.
    let mut cause: &dyn Error = error;
    let mut is_tls = false;
    while let Some(source) = cause.source() {
        cause = source;
        is_tls |= cause.is::<rustls::Error>();
    }
    let failure = if error.is_timeout() {
        Failure::new(format_args!("{server} does not answer in time"))
            .remedy("what was sent may have been accepted all the same; look before you send it again")
    } else if is_tls {
        Failure::new(format_args!("can't trust {server}: {cause}"))
            .remedy("is it the right server? its authority must be one of this machine's, or in the file SSL_CERT_FILE")
    } else if error.is_connect() {
        Failure::new(format_args!("can't reach {server}: {cause}"))
            .remedy("is the server running, and is --api-server its address?")
    } else {
        Failure::new(format_args!("the connection to {server} broke off: {cause}"))
            .remedy("what was sent may have been accepted all the same; look before you send it again")
    };
    Refusal { fault: Fault::Unreachable, failure }
}

/// An answer that a server of this API does not give.
pub(super) fn unexpected(server: &str, what: &str) -> Refusal {
    let failure = Failure::new(format_args!("{server} {what}"))
        .remedy("is --api-server the address of a repository service (RSTUF) of this version?");
    Refusal { fault: Fault::Other, failure }
}

/// An answer with another status than the one that was hoped for.
pub(super) fn refused(server: &str, status: u16, headers: &HeaderMap, answer: &Value) -> Refusal {
    let detail = &answer["detail"];
    let said = |failure: Failure, remedy: Option<&str>| match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    };
    match (status, detail) {
        (422, Value::Array(faults)) => {
            let faults: Vec<_> = faults.iter().map(fault).collect();
            let failure = Failure::new(format_args!("{server} finds faults in what was sent{}", list(&faults)))
                .remedy("correct them, and send it again");
            Refusal { fault: Fault::Invalid(faults), failure }
        }
        (503 | 429, _) => {
            let rest = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let failure = Failure::new(format_args!("{server} can't take it now: {}", words(status, detail)))
                .remedy("nothing was recorded; try again in a minute");
            Refusal { fault: Fault::Busy(rest.map(Duration::from_secs)), failure }
        }
        (413, _) => {
            let failure = Failure::new(format_args!("{server} refuses what was sent: {}", words(status, detail)))
                .remedy("send less at once");
            Refusal { fault: Fault::TooLarge, failure }
        }
        _ => {
            let failure = Failure::new(format_args!("{server} refuses: {}", words(status, detail)));
            Refusal { fault: Fault::Other, failure: said(failure, remedy(status, detail)) }
        }
    }
}

/// What the server says, else its status.
fn words(status: u16, detail: &Value) -> String {
    match (detail["message"].as_str(), detail["error"].as_str(), detail.as_str()) {
        (Some(message), Some(error), _) => format!("{} ({error})", message.trim_end_matches('.')),
        (Some(text), None, _) | (None, Some(text), _) | (None, None, Some(text)) => text.to_owned(),
        (None, None, None) => format!("it answers {status}"),
    }
}

fn remedy(status: u16, detail: &Value) -> Option<&'static str> {
    let error = detail["error"].as_str().unwrap_or_default().to_lowercase();
    Some(match status {
        _ if error.contains("already has a metadata") => {
            "this server has its repository; see it with: rstuf admin config show"
        }
        _ if error.contains("bootstrap finished") || error.contains("requires bootstrap") => {
            "create the repository first: rstuf admin ceremony; if it waits for signatures: rstuf admin metadata sign"
        }
        _ if error.contains("not in a signing process") => "see what waits for signatures: rstuf admin metadata sign",
        401 | 403 | 407 => "give the credentials that it asks for: -H 'Authorization: Bearer TOKEN'",
        300..=399 => "give the address that it sends to as --api-server",
        404 | 405 if detail.is_string() || detail.is_null() => {
            "is --api-server the address of a repository service (RSTUF)?"
        }
        500.. => "look at the log of the server",
        _ => return None,
    })
}

/// Where a fault is, and what it is.
fn fault(fault: &Value) -> (Vec<Value>, String) {
    let place = fault["loc"].as_array().cloned().unwrap_or_default();
    let text = fault["msg"].as_str().unwrap_or("it is wrong");
    (place, text.strip_prefix("Value error, ").unwrap_or(text).to_owned())
}

/// All faults in one line, as far as they are not too many.
fn list(faults: &[(Vec<Value>, String)]) -> String {
    let line = |(place, text): &(Vec<Value>, String)| match field(place) {
        place if place.is_empty() => text.clone(),
        place => format!("{place}: {text}"),
    };
    let mut told: Vec<_> = faults.iter().take(MOST_TOLD).map(line).collect();
    if let more @ 1.. = faults.len().saturating_sub(MOST_TOLD) {
        told.push(format!("and {more} more"));
    }
    format!(": {}", told.join("; "))
}

/// `["body", "artifacts", 3, "path"]` is `artifacts[3].path`.
fn field(place: &[Value]) -> String {
    let mut field = String::new();
    let inside = if matches!(place.first(), Some(first) if first == "body" || first == "query") { 1 } else { 0 };
    for step in &place[inside..] {
        // Writing into a text can't fail.
        let _ = match step {
            Value::Number(index) => write!(field, "[{index}]"),
            Value::String(name) if field.is_empty() => write!(field, "{name}"),
            Value::String(name) => write!(field, ".{name}"),
            _ => Ok(()),
        };
    }
    field
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, answer: Value) -> Refusal {
        refused("http://a", status, &HeaderMap::new(), &answer)
    }

    #[test]
    fn the_servers_words_are_told_with_a_remedy() {
        let error = "It requires bootstrap finished. State: None";
        let refusal = answer(404, json!({"detail": {"message": "Task not accepted.", "error": error}}));
        assert_eq!(refusal.failure.cause, format!("http://a refuses: Task not accepted ({error})"));
        assert!(refusal.failure.remedy.expect("a remedy").contains("rstuf admin ceremony"));
        let refusal = answer(404, json!({"detail": {"error": "System already has a Metadata. State: finished"}}));
        assert!(refusal.failure.cause.ends_with("System already has a Metadata. State: finished"));
        // The contract has this with 200.
        let refusal = answer(200, json!({"detail": {"message": "Task not accepted.", "error": error}}));
        assert!(refusal.failure.cause.contains("Task not accepted"));
        let refusal = answer(502, Value::Null);
        assert_eq!(refusal.failure.cause, "http://a refuses: it answers 502");
    }

    #[test]
    fn faults_are_told_by_their_field() {
        let one = json!({"loc": ["body", "artifacts", 3, "path"], "msg": "Value error, a path must not be empty"});
        let cause = |faults: Vec<&Value>| answer(422, json!({"detail": faults})).failure.cause;
        assert_eq!(
            cause(vec![&one]),
            "http://a finds faults in what was sent: artifacts[3].path: a path must not be empty"
        );
        assert_eq!(
            cause(vec![&one, &json!({"loc": ["body"], "msg": "Field required"})]),
            "http://a finds faults in what was sent: artifacts[3].path: a path must not be empty; Field required"
        );
        assert!(cause(vec![&one; 12]).ends_with("; and 2 more"));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let headers = [(RETRY_AFTER, "5".parse().expect("a value"))].into_iter().collect();
        let refusal = refused("http://a", 503, &headers, &json!({"detail": {"message": "Task not accepted."}}));
        assert_eq!(refusal.rest(), Some(Duration::from_secs(5)));
        assert_eq!(answer(503, Value::Null).fault, Fault::Busy(None));
    }
}
