//! Why a request is refused, and the only place that says with which status and body.

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::{Value, json};
use thiserror::Error;

use super::fault::Fault;
use crate::store::StoreError;

/// Why a request is refused. What is told never holds the words of a store or of the queue: those are logged.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// What was sent is wrong.
    #[error("the request has faults")]
    Invalid(Vec<Fault>),
    /// The repository is not in the state for it.
    #[error("{error}")]
    NotNow {
        /// What was refused.
        message: Cow<'static, str>,
        /// Why.
        error: String,
    },
    /// There is a repository already, or one is being made.
    #[error("the bootstrap is locked: {0}")]
    Bootstrapped(String),
    /// There is no such path.
    #[error("no such path")]
    NoSuchPath,
    /// The path has other methods.
    #[error("the path has the methods {0}")]
    NoSuchMethod(String),
    /// The body has more bytes than this.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body broke off.
    #[error("the body broke off")]
    BrokenOff,
    /// As many requests as may be worked on are being worked on.
    #[error("too many requests at once")]
    Busy,
    /// The queue did not confirm the task: it may be sent again.
    #[error("the queue did not confirm the task")]
    NotQueued,
    /// The settings or the results can't be read now.
    #[error("the {0} can't be read now")]
    Unreadable(&'static str),
    /// This program can't go on with the request.
    #[error("internal server error")]
    Broken,
}

impl Refusal {
    /// A refusal because of one fault.
    pub(super) fn fault(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }

    fn detail(&self) -> Value {
        match self {
            Self::Invalid(faults) => json!(faults),
            Self::NotNow { message, error } => json!({"message": message, "error": error}),
            Self::Bootstrapped(state) => {
                json!({"error": format!("System already has a Metadata. State: {state}")})
            }
            Self::NoSuchPath => json!("Not Found"),
            Self::NoSuchMethod(_) => json!("Method Not Allowed"),
            Self::Broken => json!("Internal Server Error"),
            Self::TooLarge(max) => {
                json!({"message": "Request body too large.", "error": format!("the body must have at most {max} bytes")})
            }
            Self::TooSlow | Self::BrokenOff => {
                json!({"message": "Request body incomplete.", "error": self.to_string()})
            }
            Self::Busy | Self::NotQueued => json!({"message": "Task not accepted.", "error": self.to_string()}),
            Self::Unreadable(_) => json!({"message": "Service unavailable.", "error": self.to_string()}),
        }
    }

    /// After how many seconds it makes sense to come back.
    fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::Busy => Some("1"),
            Self::NotQueued | Self::Unreadable(_) => Some("5"),
            _ => None,
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotNow { .. } | Self::Bootstrapped(_) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Busy | Self::NotQueued | Self::Unreadable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        // What is missing now may be there at once: the next root is looked for under a name that isn't there yet.
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Self::NoSuchMethod(allowed) = self {
            response.insert_header((header::ALLOW, allowed.as_str()));
        }
        response.json(json!({"detail": self.detail()}))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { store, cause } => {
                tracing::warn!(store, cause, "store unavailable");
                Self::Unreadable(store)
            }
            StoreError::Lost(cause) => {
                tracing::warn!(cause, "lost a race");
                Self::Unreadable("store")
            }
            StoreError::Broken(cause) => {
                tracing::error!(cause, "store broken");
                Self::Broken
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, rt};

    use super::*;

    fn told(refusal: Refusal) -> (u16, Value, Option<String>) {
        let response = refusal.error_response();
        let status = response.status().as_u16();
        let retry = response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().expect("text").to_owned());
        let body = rt::System::new().block_on(to_bytes(response.into_body())).expect("a body");
        (status, serde_json::from_slice(&body).expect("json"), retry)
    }

    #[test]
    fn the_contracts_bodies_are_exact() {
        let locked = told(Refusal::Bootstrapped("finished".to_owned()));
        assert_eq!(locked, (404, json!({"detail": {"error": "System already has a Metadata. State: finished"}}), None));
        assert_eq!(told(Refusal::NoSuchPath), (404, json!({"detail": "Not Found"}), None));
        let method = Refusal::NoSuchMethod("GET, POST".to_owned()).error_response();
        assert_eq!(method.headers().get(header::ALLOW).map(|v| v.as_bytes()), Some(b"GET, POST".as_slice()));
        assert_eq!(told(Refusal::NoSuchMethod(String::new())), (405, json!({"detail": "Method Not Allowed"}), None));
    }

    #[test]
    fn who_may_come_back_is_told_when() {
        for (refusal, seconds) in
            [(Refusal::Busy, "1"), (Refusal::NotQueued, "5"), (Refusal::Unreadable("settings"), "5")]
        {
            let (status, body, retry) = told(refusal);
            assert_eq!((status, retry.as_deref()), (503, Some(seconds)));
            assert!(body["detail"]["message"].is_string() && body["detail"]["error"].is_string());
        }
    }

    #[test]
    fn the_words_of_a_store_are_not_told() {
        let secret = "redis at user:password refused";
        let unavailable = Refusal::from(StoreError::unavailable("settings", secret));
        let broken = Refusal::from(StoreError::Broken(secret.to_owned()));
        for (refusal, expected) in [(unavailable, 503), (broken, 500)] {
            let (status, body, _) = told(refusal);
            assert_eq!(status, expected);
            assert!(!body.to_string().contains("password"));
        }
    }
}
