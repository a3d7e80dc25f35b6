//! Celery messages in Redis: kombu's envelope, JSON around a body in base64.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::queue::celery::{self, Headers, Message, Reading};

/// Writes a message for a queue.
pub(super) fn write(message: &Message, queue: &str) -> String {
    json!({
        "body": BASE64_STANDARD.encode(&message.body),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": message.headers,
        "properties": {
            "correlation_id": message.id,
            "reply_to": message.reply_to,
            "acks_late": true,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": Uuid::new_v4().to_string(),
        },
    })
    .to_string()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    body_encoding: Option<String>,
}

/// Reads what was in a queue; `limit` is that of the whole, in bytes.
pub(super) fn read(envelope: &[u8], limit: usize) -> Reading {
    if envelope.len() > limit {
        return Reading::nothing(format!("the message has {} bytes, more than {limit}", envelope.len()));
    }
    let Envelope { body, headers, properties } = match serde_json::from_slice(envelope) {
        Ok(envelope) => envelope,
        Err(error) => return Reading::nothing(format!("not a message: {error}")),
    };
    let correlation = properties.correlation_id.as_deref();
    if properties.body_encoding.as_deref() != Some("base64") {
        return celery::read(headers, correlation, body.as_bytes(), limit);
    }
    match BASE64_STANDARD.decode(&*body) {
        Ok(body) => celery::read(headers, correlation, &body, limit),
        Err(error) => Reading {
            job: Err(format!("the body is not base64: {error}")),
            ..celery::read(headers, correlation, b"", limit)
        },
    }
}

/// A message that is put aside, with all that is known of it.
pub(super) fn dead_letter(envelope: &[u8], reason: &str, queue: &str, rejected_at: Timestamp) -> String {
    let (encoding, message) = match str::from_utf8(envelope) {
        Ok(text) => ("utf-8", Cow::Borrowed(text)),
        Err(_) => ("base64", Cow::Owned(BASE64_STANDARD.encode(envelope))),
    };
    let rejected_at = format!("{rejected_at:.6}");
    json!({"reason": reason, "queue": queue, "rejected_at": rejected_at, "encoding": encoding, "message": message})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        queue::celery::{LARGEST_MESSAGE, Sender, recorded},
        task::{Job, TaskId},
    };
    use serde_json::Value;

    #[test]
    fn reads_the_messages_of_the_python_api() {
        for name in recorded::JOBS {
            let recorded = &recorded::messages()[name]["broker_message"];
            let reading = read(recorded.to_string().as_bytes(), LARGEST_MESSAGE);
            assert_eq!(reading.job.expect("a job").action(), name);
            assert_eq!(reading.id.map(|id| json!(id)).as_ref(), Some(&recorded["headers"]["id"]));
            assert_eq!(reading.accepted_at, None);
        }
    }

    #[test]
    fn writes_the_envelope_of_the_python_api() {
        let recorded = &recorded::messages()["remove_artifacts"];
        let expected = &recorded["broker_message"];
        let job = json!({"action": "remove_artifacts", "payload": recorded["request"]["body"]});
        let job: Job = serde_json::from_value(job).expect("a job");
        let id = TaskId::from_text(expected["headers"]["id"].as_str().expect("an id"));
        let message = Sender::default().message(&id, &job, Timestamp::UNIX_EPOCH).expect("a message");
        let written = write(&message, "metadata_repository");
        let reading = read(written.as_bytes(), LARGEST_MESSAGE);
        assert_eq!((reading.id, reading.job), (Some(id), Ok(job)));
        let written: Value = serde_json::from_str(&written).expect("JSON");
        let names = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(&written["properties"]), names(&expected["properties"]));
        for property in ["correlation_id", "acks_late", "delivery_mode", "delivery_info", "priority", "body_encoding"] {
            assert_eq!(written["properties"][property], expected["properties"][property], "{property}");
        }
        for member in ["content-encoding", "content-type"] {
            assert_eq!(written[member], expected[member], "{member}");
        }
    }

    #[test]
    fn says_why_something_is_no_message() {
        let told = |bytes: &[u8]| read(bytes, 200).job.expect_err("no job");
        assert!(told(&[0xff, 0]).starts_with("not a message"));
        assert!(told(&[b' '; 201]).contains("more than 200"));
        assert!(told(br#"{"body":7}"#).starts_with("not a message"));
        let odd = br#"{"body":"???","headers":{"id":"a"},"properties":{"body_encoding":"base64"}}"#;
        assert!(told(odd).starts_with("the body is not base64"));
        assert_eq!(read(odd, 200).id, Some(TaskId::from_text("a")));
    }

    #[test]
    fn a_dead_letter_keeps_every_byte() {
        for (bytes, encoding, message) in [(&b"text"[..], "utf-8", "text"), (&[0xff, 0xfe], "base64", "//4=")] {
            let letter = dead_letter(bytes, "why", "queue", Timestamp::UNIX_EPOCH);
            let letter: Value = serde_json::from_str(&letter).expect("JSON");
            assert_eq!((&letter["encoding"], &letter["message"]), (&json!(encoding), &json!(message)));
            assert_eq!((&letter["reason"], &letter["queue"]), (&json!("why"), &json!("queue")));
        }
    }
}
