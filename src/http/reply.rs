//! The bodies of answers that went well: `{"data": …, "message": …}`, without nulls.

use actix_web::HttpResponse;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::task::TaskId;

/// A task is in the queue, durably.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    data: Submission,
    /// A sentence for people, which clients also compare.
    #[schema(example = "New Artifact(s) successfully submitted.")]
    message: String,
}

impl Accepted {
    /// 202.
    pub(super) fn reply(data: Submission, message: impl Into<String>) -> HttpResponse {
        HttpResponse::Accepted().json(Self { data, message: message.into() })
    }
}

/// A task that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Submission {
    /// The paths that it is about, as they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) artifacts: Option<Vec<String>>,
    /// Under which its progress is asked for.
    #[schema(value_type = String, example = "7a634b556f784ae88785d36425f9a218")]
    pub(super) task_id: TaskId,
    /// When it was accepted.
    #[serde(serialize_with = "microseconds")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T09:24:55.773183Z")]
    pub(super) last_update: Timestamp,
}

/// Writes a time with microseconds and `Z`, always: clients parse it with a fixed pattern.
pub(super) fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_microseconds_and_nulls_are_omitted() {
        for (time, text) in [
            ("2026-11-22T09:24:55Z", "2026-11-22T09:24:55.000000Z"),
            ("2026-11-22T09:24:55.773183999Z", "2026-11-22T09:24:55.773183Z"),
        ] {
            let last_update = time.parse().expect("a time");
            let submission = Submission { artifacts: None, task_id: TaskId::from_text("a"), last_update };
            assert_eq!(json!(submission), json!({"task_id": "a", "last_update": text}));
        }
    }
}
