//! Jobs as messages of the Celery protocol, version 2, in the form in which the Python API sends them and the Python
//! workers take them.
//!
//! Written is exactly that form, and one more header for the time at which the API accepted the task. Read is
//! whatever any program may have put on the queue: nothing about a message is believed, and reading one costs no more than
//! a small multiple of its bytes.

use std::{borrow::Cow, fmt, process};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use crate::{
    queue::Delivery,
    task::{Job, TaskId},
};

/// The name of the one Celery task, which has the action as an argument.
pub const TASK: &str = "app.repository_service_tuf_worker";
/// The header with the time at which the API accepted the task; ours alone.
pub const ACCEPTED_AT: &str = "rstuf_accepted_at";
/// The largest message that is read unless something else is asked for: bytes.
pub const LARGEST_MESSAGE: usize = 128 * 1024 * 1024;
/// The longest task id that is believed: bytes.
const LONGEST_ID: usize = 255;
/// A reason is cut after so many characters: it may quote the message.
const LONGEST_REASON: usize = 500;

/// What all messages of one process have in common.
#[derive(Debug, Clone)]
pub struct Sender {
    origin: String,
    reply_to: String,
}

impl Default for Sender {
    fn default() -> Self {
        Self { origin: format!("gen{}@rstuf", process::id()), reply_to: Uuid::new_v4().to_string() }
    }
}

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// The id of the task, which is also that of the correlation.
    pub id: TaskId,
    /// Where a Celery program of the RPC kind would send the result; only for monitoring tools here.
    pub reply_to: String,
    /// The headers.
    pub headers: Map<String, Value>,
    /// The body: JSON.
    pub body: String,
}

impl Sender {
    /// Writes a job as a message.
    ///
    /// # Errors
    /// When the job can't be written as JSON.
    pub fn message(&self, id: &TaskId, job: &Job, accepted_at: Timestamp) -> Result<Message, serde_json::Error> {
        let job = marked(id, job);
        let embed = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
        let none: [(); 0] = [];
        let body = serde_json::to_string(&(none, Arguments(&job), embed))?;
        let headers = json!({
            "lang": "py",
            "task": TASK,
            "id": id,
            "shadow": null,
            "eta": null,
            "expires": null,
            "group": null,
            "group_index": null,
            "retries": 0,
            "timelimit": [null, null],
            "root_id": id,
            "parent_id": null,
            "argsrepr": "()",
            "kwargsrepr": format!("{{'action': '{}', 'payload': {{...}}}}", job.action()),
            "origin": self.origin,
            "ignore_result": false,
            "replaced_task_nesting": 0,
            "stamped_headers": null,
            "stamps": {},
            ACCEPTED_AT: format!("{accepted_at:.6}"),
        });
        let Value::Object(headers) = headers else { return Err(serde_json::Error::custom("headers are an object")) };
        Ok(Message { id: id.clone(), reply_to: self.reply_to.clone(), headers, body })
    }
}

/// The Python workers leave it to the API to note the task in `custom`.
fn marked<'a>(id: &TaskId, job: &'a Job) -> Cow<'a, Job> {
    let Job::AddArtifacts(add) = job else { return Cow::Borrowed(job) };
    if !add.add_task_id_to_custom {
        return Cow::Borrowed(job);
    }
    let mut add = add.clone();
    for artifact in &mut add.artifacts {
        artifact.info.custom.get_or_insert_default().insert("added_by_task_id".to_owned(), json!(id));
    }
    Cow::Owned(Job::AddArtifacts(add))
}

/// A job as the arguments of the Celery task: the payload is there even where there is none.
struct Arguments<'a>(&'a Job);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Job::PublishArtifacts => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("action", self.0.action())?;
                map.serialize_entry("payload", &())?;
                map.end()
            }
            job => job.serialize(serializer),
        }
    }
}

/// The headers that matter to us.
#[derive(Debug, Default, Deserialize)]
pub struct Headers {
    /// The id of the task.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of the Celery task.
    #[serde(default)]
    pub task: Option<String>,
    /// When the API accepted it: RFC 3339.
    #[serde(default, rename = "rstuf_accepted_at")]
    pub accepted_at: Option<String>,
}

/// A message that was read, as far as it could be.
#[derive(Debug)]
pub struct Reading {
    /// The task.
    pub id: Option<TaskId>,
    /// The job, or why there is none.
    pub job: Result<Job, String>,
    /// When the API accepted it, if it says so.
    pub accepted_at: Option<Timestamp>,
}

impl Reading {
    /// What is told of a message that is no Celery message at all.
    pub fn nothing(reason: impl fmt::Display) -> Self {
        Self { id: None, job: Err(bounded(&reason.to_string())), accepted_at: None }
    }

    /// The delivery that this is for a worker. A message that tells no time was accepted when it was received.
    pub fn delivered(self, tag: super::Tag, received_at: Timestamp, attempts: u32) -> Delivery {
        Delivery {
            tag,
            id: self.id.unwrap_or_else(|| TaskId::from_text("unknown")),
            job: self.job,
            accepted_at: self.accepted_at.unwrap_or(received_at),
            attempts,
        }
    }
}

/// Reads a message. `limit` is that of its body, in bytes.
pub fn read(headers: Headers, correlation_id: Option<&str>, body: &[u8], limit: usize) -> Reading {
    let Headers { id, task, accepted_at } = headers;
    let id = id.as_deref().or(correlation_id).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    let id = id.map(TaskId::from_text);
    let accepted_at = accepted_at.and_then(|time| time.parse().ok());
    let job = if id.is_none() {
        Err(format!("the id of the task is missing, or longer than {LONGEST_ID} bytes"))
    } else if body.len() > limit {
        Err(format!("the message has {} bytes, more than {limit}", body.len()))
    } else {
        match task.as_deref() {
            None | Some(TASK) => job(body),
            Some(other) => Err(format!("unknown task {other:?}")),
        }
    };
    Reading { id, job: job.map_err(|reason| bounded(&reason)), accepted_at }
}

#[derive(Deserialize)]
struct Body<'a>(#[serde(borrow)] Positional<'a>, #[serde(borrow)] Named<'a>, #[allow(dead_code)] IgnoredAny);

#[derive(Default, Deserialize)]
struct Named<'a> {
    #[serde(default, borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

/// The same two arguments by position. More than two are refused at the third: there may be millions.
struct Positional<'a>(Named<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Positional<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Two;
        impl<'de> Visitor<'de> for Two {
            type Value = Named<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("at most two arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<Self::Value, A::Error> {
                let action = arguments.next_element()?;
                let payload = arguments.next_element::<Option<&RawValue>>()?.flatten();
                if arguments.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::invalid_length(3, &self));
                }
                Ok(Named { action, payload })
            }
        }
        deserializer.deserialize_seq(Two).map(Positional)
    }
}

fn job(body: &[u8]) -> Result<Job, String> {
    let Body(Positional(first), named, _) = serde_json::from_slice(body).map_err(|e| format!("not a task: {e}"))?;
    let action = named.action.or(first.action).ok_or("not a task: no action")?;
    let payload = named.payload.or(first.payload);
    // Asked without its payload, a job tells whether it is one at all, and whether it takes any.
    match Job::deserialize(json!({"action": action})) {
        Ok(job) => return Ok(job),
        Err(error) if error.to_string().starts_with("unknown variant") => {
            return Err(format!("unknown action {action:?}"));
        }
        Err(_) => {}
    }
    let payload = payload.map_or("null", RawValue::get);
    let whole = format!(r#"{{"action":{},"payload":{payload}}}"#, json!(action));
    serde_json::from_str(&whole).map_err(|e| format!("not a payload of {action}: {e}"))
}

fn bounded(reason: &str) -> String {
    match reason.char_indices().nth(LONGEST_REASON) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{}…", &reason[..end]),
    }
}

#[cfg(test)]
pub(crate) mod recorded {
    //! What the Python API sent for each request, as it was recorded.

    use serde_json::{Map, Value};

    /// Every recorded message by the name of its request: the request's body, and the message as it was in Redis.
    pub(crate) fn messages() -> Map<String, Value> {
        serde_json::from_str(include_str!("../../tests/fixtures/broker-messages.json")).expect("the recording")
    }

    /// The requests that are, as they came, the payload of the job of their name.
    pub(crate) const JOBS: [&str; 7] = [
        "add_artifacts",
        "remove_artifacts",
        "update_settings",
        "bootstrap",
        "metadata_update",
        "sign_metadata",
        "delete_sign_metadata",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::discriminant;

    fn reading(body: &str) -> Reading {
        let headers = Headers { id: Some("a".into()), ..Headers::default() };
        read(headers, None, body.as_bytes(), 10_000)
    }

    fn refused(body: &str) -> String {
        reading(body).job.expect_err("no job")
    }

    #[test]
    fn writes_what_the_python_api_writes() {
        for name in recorded::JOBS {
            let recorded = &recorded::messages()[name];
            let (request, expected) = (&recorded["request"]["body"], &recorded["broker_message"]);
            let job: Job = serde_json::from_value(json!({"action": name, "payload": request})).expect("a job");
            let id = TaskId::from_text(expected["headers"]["id"].as_str().expect("an id"));
            let message = Sender::default().message(&id, &job, Timestamp::UNIX_EPOCH).expect("a message");
            let body: Value = serde_json::from_str(&message.body).expect("JSON");
            assert_eq!(body, expected["body_decoded"], "{name}");
            let mut headers = message.headers;
            assert_eq!(headers.remove(ACCEPTED_AT), Some(json!("1970-01-01T00:00:00.000000Z")));
            let recorded = expected["headers"].as_object().expect("headers");
            assert_eq!(headers.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "{name}");
            for (header, value) in recorded {
                assert_eq!(discriminant(value), discriminant(&headers[header]), "{name}: {header}");
                if !["kwargsrepr", "origin"].contains(&header.as_str()) {
                    assert_eq!(value, &headers[header], "{name}: {header}");
                }
            }
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let id = TaskId::from_text("b ü");
        for body in [
            json!({"action": "publish_artifacts"}),
            json!({"action": "remove_artifacts", "payload": {"artifacts": ["a"], "publish_artifacts": false}}),
        ] {
            let job = Job::deserialize(body).expect("a job");
            let accepted_at = "2026-11-22T09:52:25.437180Z".parse().expect("a time");
            let message = Sender::default().message(&id, &job, accepted_at).expect("a message");
            let headers = serde_json::from_value(Value::Object(message.headers)).expect("headers");
            let reading = read(headers, None, message.body.as_bytes(), LARGEST_MESSAGE);
            assert_eq!((reading.id, reading.job, reading.accepted_at), (Some(id.clone()), Ok(job), Some(accepted_at)));
        }
    }

    #[test]
    fn reads_arguments_by_name_and_by_position() {
        let publish = [
            r#"[[],{"action":"publish_artifacts","payload":null},{}]"#,
            r#"[[],{"action":"publish_artifacts"},{}]"#,
            r#"[["publish_artifacts"],{},null]"#,
            r#"[["publish_artifacts",{"delegated_artifacts":["bins-0"]}],{},{}]"#,
            r#"[[],{"action":"publish_artifacts","payload":{"task_id":"a"},"more":1},{}]"#,
        ];
        for body in publish {
            assert_eq!(reading(body).job, Ok(Job::PublishArtifacts), "{body}");
        }
        let remove = r#"[["remove_artifacts"],{"payload":{"artifacts":["a"]}},{}]"#;
        assert_eq!(reading(remove).job.expect("a job").action(), "remove_artifacts");
    }

    #[test]
    fn says_why_something_is_no_job() {
        let long = format!(r#"[[],{{"action":"{}"}},{{}}]"#, "x".repeat(5000));
        let many = format!("[[{}0],{{}},{{}}]", "0,".repeat(4000));
        for (body, reason) in [
            ("", "not a task: EOF"),
            ("{}", "not a task: invalid type"),
            ("[[],{},{}]", "not a task: no action"),
            (r#"[[],{"action":7},{}]"#, "not a task: invalid type"),
            (r#"[[],{"action":"explode","payload":{}},{}]"#, r#"unknown action "explode""#),
            (r#"[[],{"action":"add_artifacts","payload":null},{}]"#, "not a payload of add_artifacts"),
            (r#"[[],{"action":"add_artifacts","payload":{"artifacts":7}},{}]"#, "not a payload of add_artifacts"),
            (r#"[["publish_artifacts",null,1],{},{}]"#, "not a task: invalid length"),
            (&many, "not a task: invalid type"),
            (&long, "unknown action"),
        ] {
            let told = refused(body);
            assert!(told.starts_with(reason) && told.len() < 600, "{body:.100}: {told}");
        }
        assert!(refused(&" ".repeat(10_001)).contains("more than 10000"));
        let other = Headers { id: Some("a".into()), task: Some("app.other".into()), accepted_at: None };
        assert_eq!(read(other, None, b"[]", 9).job, Err(r#"unknown task "app.other""#.into()));
        let nobody = read(Headers::default(), None, b"[[],{},{}]", 10_000);
        assert_eq!(nobody.id, None);
        assert!(nobody.job.is_err_and(|reason| reason.contains("id of the task")));
        assert_eq!(read(Headers::default(), Some("c"), b"", 9).id, Some(TaskId::from_text("c")));
    }
}
