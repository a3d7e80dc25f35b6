//! The progress of tasks in the words of Celery's result backend, which programs in Python read and write.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::task::{Foreign, ForeignState, Outcome, Progress, TaskId, Told};

/// The statuses after which nothing comes.
pub(super) const ENDS: [&str; 5] = ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"];

/// The document of a task.
pub(super) fn encode(id: &TaskId, progress: &Progress, now: Timestamp) -> Value {
    let (status, result) = match progress {
        Progress::Running { roles_to_publish, missing, last_update } => {
            let mut details = json!({"published_roles": [], "roles_to_publish": python_list(roles_to_publish)});
            if !missing.is_empty() {
                details["missing"] = json!(missing);
            }
            ("RUNNING", json!({"message": "Publishing", "last_update": time(*last_update), "details": details}))
        }
        Progress::Finished(Outcome { task, status, message, error, details, last_update }) => (
            "SUCCESS",
            json!({"task": task, "status": status, "last_update": time(*last_update), "message": message,
                "error": error, "details": details}),
        ),
        Progress::Failed { message } => ("FAILURE", exception("builtins", "RuntimeError", message)),
        Progress::Revoked => ("REVOKED", exception("celery.exceptions", "TaskRevokedError", "revoked")),
        Progress::Foreign(Foreign { state, told }) => (status(*state), told.as_ref().map_or(Value::Null, written)),
    };
    let date_done = if ENDS.contains(&status) { instant(now).into() } else { Value::Null };
    json!({"status": status, "result": result, "traceback": null, "children": [], "date_done": date_done, "task_id": id})
}

/// What a document tells, `None` when it tells nothing.
pub(super) fn decode(document: &Value) -> Option<Progress> {
    let result = &document["result"];
    let state = match document["status"].as_str()? {
        "SUCCESS" => match outcome(result) {
            Some(outcome) => return Some(Progress::Finished(outcome)),
            None if result["status"] == false => ForeignState::Errored,
            None => ForeignState::Success,
        },
        "RUNNING" => match running(result) {
            Some(running) => return Some(running),
            None => ForeignState::Running,
        },
        "FAILURE" => return Some(Progress::Failed { message: cause(result).unwrap_or_default() }),
        "REVOKED" => return Some(Progress::Revoked),
        "PRE_RUN" => ForeignState::PreRun,
        "RECEIVED" => ForeignState::Received,
        "STARTED" => ForeignState::Started,
        "RETRY" => ForeignState::Retry,
        "REJECTED" => ForeignState::Rejected,
        "IGNORED" => ForeignState::Ignored,
        _ => return None,
    };
    Some(Progress::Foreign(Foreign { state, told: told(result) }))
}

fn status(state: ForeignState) -> &'static str {
    match state {
        ForeignState::PreRun => "PRE_RUN",
        ForeignState::Received => "RECEIVED",
        ForeignState::Started => "STARTED",
        ForeignState::Running => "RUNNING",
        ForeignState::Retry => "RETRY",
        ForeignState::Success | ForeignState::Errored => "SUCCESS",
        ForeignState::Rejected => "REJECTED",
        ForeignState::Ignored => "IGNORED",
    }
}

fn exception(module: &str, kind: &str, message: &str) -> Value {
    json!({"exc_type": kind, "exc_message": [message], "exc_module": module})
}

/// The text of an exception, as Python shows the one that it makes of this.
fn cause(result: &Value) -> Option<String> {
    let message = result.get("exc_message").unwrap_or(result);
    match message {
        Value::Array(parts) => Some(parts.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Object(_) => None,
        other => Some(text(other)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The result of a worker that fills all members, as ours and the one in Python do.
fn outcome(result: &Value) -> Option<Outcome> {
    Some(Outcome {
        task: result["task"].as_str()?.to_owned(),
        status: result["status"].as_bool()?,
        message: result["message"].as_str()?.to_owned(),
        error: result["error"].as_str().map(str::to_owned),
        details: details(result),
        last_update: parse_time(&result["last_update"])?,
    })
}

fn running(result: &Value) -> Option<Progress> {
    let details = &result["details"];
    let exactly = result["message"] == "Publishing" && details["published_roles"] == json!([]);
    let roles_to_publish = exactly.then(|| parse_python_list(details["roles_to_publish"].as_str()?))??;
    Some(Progress::Running {
        roles_to_publish,
        missing: serde_json::from_value(details["missing"].clone()).unwrap_or_default(),
        last_update: parse_time(&result["last_update"])?,
    })
}

/// Those members of any result that the contract shows.
fn told(result: &Value) -> Option<Told> {
    if result.get("exc_type").is_some() || result.is_string() {
        return Some(Told { message: cause(result), ..Told::default() });
    }
    result.as_object()?;
    let text = |name: &str| result[name].as_str().map(str::to_owned);
    Some(Told {
        message: text("message"),
        error: text("error"),
        status: result["status"].as_bool(),
        task: text("task"),
        last_update: parse_time(&result["last_update"]),
        details: details(result),
    })
}

fn written(told: &Told) -> Value {
    let Told { message, error, status, task, last_update, details } = told;
    let members = [
        ("task", json!(task)),
        ("status", json!(status)),
        ("last_update", last_update.map_or(Value::Null, time)),
        ("message", json!(message)),
        ("error", json!(error)),
        ("details", json!(details)),
    ];
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn details(result: &Value) -> Option<Value> {
    result.get("details").filter(|details| !details.is_null()).cloned()
}

/// A time as the JSON of Celery marks it.
fn time(time: Timestamp) -> Value {
    json!({"__type__": "datetime", "__value__": instant(time)})
}

fn instant(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

fn parse_time(value: &Value) -> Option<Timestamp> {
    let text = value.get("__value__").unwrap_or(value).as_str()?;
    // Some of Python's times have no zone: they are in UTC.
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// A list as Python prints it: the contract has this text where a list would be expected. Role names need no escapes.
pub fn python_list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}

fn parse_python_list(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let names = inner.split(", ").map(|name| name.strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned));
    names.collect::<Option<Vec<_>>>().filter(|names| !names.iter().any(|name| name.contains(['\'', '\\', '"'])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::redis::python::dumps, tuf::event::Missing};

    fn read(document: &str) -> Option<Progress> {
        decode(&serde_json::from_str(document).expect("json"))
    }

    fn foreign(state: ForeignState, told: Option<Told>) -> Option<Progress> {
        Some(Progress::Foreign(Foreign { state, told }))
    }

    fn message(text: &str) -> Option<Told> {
        Some(Told { message: Some(text.into()), ..Told::default() })
    }

    #[test]
    fn what_was_recorded_is_read_and_written_as_it_was() {
        let recorded = include_str!("../../../tests/fixtures/redis/results.jsonl");
        for line in recorded.lines().filter(|line| !line.is_empty()) {
            let document: Value = serde_json::from_str(line).expect("json");
            let progress = decode(&document).expect("known");
            assert!(matches!(progress, Progress::Finished(_)), "{line}");
            let id = TaskId::from_text(document["task_id"].as_str().expect("an id"));
            let written = encode(&id, &progress, parse_time(&document["date_done"]).expect("a time"));
            let mut expected = document;
            expected["children"] = json!([]);
            expected.as_object_mut().expect("an object").remove("parent_id");
            assert_eq!(written, expected);
        }
        let unrelated = recorded.lines().find(|line| line.contains(r#""children": []"#)).expect("one without children");
        let document = serde_json::from_str(unrelated).expect("json");
        let progress = decode(&document).expect("known");
        let id = TaskId::from_text(document["task_id"].as_str().expect("an id"));
        assert_eq!(dumps(&encode(&id, &progress, parse_time(&document["date_done"]).expect("a time"))), unrelated);
    }

    #[test]
    fn every_end_is_written_as_celery_does() {
        let text = |progress| dumps(&encode(&TaskId::from_text("x"), &progress, Timestamp::UNIX_EPOCH));
        let end =
            r#""traceback": null, "children": [], "date_done": "1970-01-01T00:00:00.000000+00:00", "task_id": "x"}"#;
        assert_eq!(
            text(Progress::Revoked),
            format!(
                r#"{{"status": "REVOKED", "result": {{"exc_type": "TaskRevokedError", "exc_message": ["revoked"], "exc_module": "celery.exceptions"}}, {end}"#
            )
        );
        assert_eq!(
            text(Progress::Failed { message: "oh".into() }),
            format!(
                r#"{{"status": "FAILURE", "result": {{"exc_type": "RuntimeError", "exc_message": ["oh"], "exc_module": "builtins"}}, {end}"#
            )
        );
        let roles_to_publish = vec!["bins-0".to_owned(), "bins-1".to_owned()];
        assert_eq!(
            text(Progress::Running { roles_to_publish, missing: [].into(), last_update: Timestamp::UNIX_EPOCH }),
            concat!(
                r#"{"status": "RUNNING", "result": {"message": "Publishing", "last_update": {"__type__": "datetime", "#,
                r#""__value__": "1970-01-01T00:00:00.000000+00:00"}, "details": {"published_roles": [], "#,
                r#""roles_to_publish": "['bins-0', 'bins-1']"}}, "traceback": null, "children": [], "date_done": null, "#,
                r#""task_id": "x"}"#
            )
        );
    }

    #[test]
    fn who_is_missing_is_written_and_read_back() {
        let missing = Missing { authority: "targets".into(), signatures: 1, of: vec!["ann".into()] };
        let running = Progress::Running {
            roles_to_publish: vec!["people".into()],
            missing: [("people".into(), vec![missing])].into(),
            last_update: Timestamp::UNIX_EPOCH,
        };
        let document = encode(&TaskId::from_text("x"), &running, Timestamp::UNIX_EPOCH);
        assert_eq!(document["result"]["details"]["missing"]["people"][0]["of"], json!(["ann"]));
        assert_eq!(decode(&document), Some(running));
    }

    #[test]
    fn every_state_of_other_workers_is_read() {
        use ForeignState::{Errored, Ignored, PreRun, Received, Rejected, Retry, Running, Started, Success};
        assert_eq!(read(r#"{"status": "PRE_RUN", "task_id": "x", "result": null}"#), foreign(PreRun, None));
        assert_eq!(read(r#"{"status": "RECEIVED", "task_id": "x", "result": null}"#), foreign(Received, None));
        assert_eq!(
            read(r#"{"status": "STARTED", "result": {"pid": 1, "hostname": "h"}}"#),
            foreign(Started, Some(Told::default()))
        );
        assert_eq!(
            read(r#"{"status": "RETRY", "result": {"exc_type": "E", "exc_message": ["no", 5], "exc_module": "m"}}"#),
            foreign(Retry, message("no, 5"))
        );
        assert_eq!(read(r#"{"status": "REJECTED", "result": "no"}"#), foreign(Rejected, message("no")));
        assert_eq!(read(r#"{"status": "IGNORED", "result": null}"#), foreign(Ignored, None));
        assert_eq!(read(r#"{"status": "SUCCESS", "result": ["a"]}"#), foreign(Success, None));
        assert_eq!(read(r#"{"status": "SUCCESS"}"#), foreign(Success, None));
        let told = Told { status: Some(false), ..Told::default() };
        assert_eq!(read(r#"{"status": "SUCCESS", "result": {"status": false}}"#), foreign(Errored, Some(told)));
        let details = Some(json!({"published_roles": ["bins-0"], "roles_to_publish": "[]"}));
        assert_eq!(
            read(
                r#"{"status": "RUNNING", "result": {"details": {"published_roles": ["bins-0"], "roles_to_publish": "[]"}}}"#
            ),
            foreign(Running, Some(Told { details, ..Told::default() }))
        );
        for nothing in [r#"{"status": "UNKNOWN", "result": null}"#, "[]", "{}", r#"{"status": 5}"#, "null"] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn failures_of_any_shape_have_a_text() {
        for (result, told) in [
            (r#"{"exc_type": "E", "exc_message": ["oh"], "exc_module": null}"#, "oh"),
            (r#"{"exc_type": "E", "exc_message": "oh"}"#, "oh"),
            (r#"{"exc_type": "E", "exc_message": []}"#, ""),
            (r#""oh""#, "oh"),
            ("null", ""),
        ] {
            let failed = Progress::Failed { message: told.into() };
            assert_eq!(read(&format!(r#"{{"status": "FAILURE", "result": {result}}}"#)), Some(failed));
        }
        assert_eq!(read(r#"{"status": "REVOKED", "result": null}"#), Some(Progress::Revoked));
    }

    #[test]
    fn lists_of_python_are_read() {
        for names in [&[][..], &["a"][..], &["bins-0", "bins-1"][..]] {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(parse_python_list(&python_list(&names)), Some(names));
        }
        for other in ["", "[", "['a]", "[a]", "['a','b']"] {
            assert_eq!(parse_python_list(other), None, "{other}");
        }
    }
}
