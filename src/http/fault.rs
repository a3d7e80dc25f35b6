//! What is wrong with a request, in the shape that the contract has for 422: `{type, loc, msg, input, ctx}`.

use std::io;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A request with more faults than this is told the first ones only.
const MAX_FAULTS: usize = 100;

/// An input whose JSON is longer than this is left out of its fault, so that an answer stays small whatever was sent.
const MAX_ECHO_BYTES: usize = 4096;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(title = "ValidationError")]
pub(super) struct Fault {
    /// What kind of fault, for programs: `missing`, `int_parsing`, `value_error`, …
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Where it is: `body` or `query`, then the names and indexes that lead there.
    pub(super) loc: Vec<Step>,
    /// A sentence for people.
    pub(super) msg: String,
    /// What was found there. Absent when its JSON is longer than 4,096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, nullable)]
    pub(super) input: Option<Value>,
    /// The numbers and names that `msg` mentions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) ctx: Option<Value>,
}

impl Fault {
    /// A fault at `loc` where `input` was found.
    pub(super) fn new(kind: &'static str, loc: Vec<Step>, msg: impl Into<String>, input: &Value) -> Self {
        let input = is_short(input, MAX_ECHO_BYTES).then(|| input.clone());
        Self { kind, loc, msg: msg.into(), input, ctx: None }
    }

    /// A rule of ours or of the contract that `input` breaks although its type is right.
    pub(super) fn value_error(loc: Vec<Step>, why: impl std::fmt::Display, input: &Value) -> Self {
        Self::new("value_error", loc, format!("Value error, {why}"), input).with(json!({"error": {}}))
    }

    /// A member of the body or of the query that is not there.
    pub(super) fn missing(loc: Vec<Step>, parent: &Value) -> Self {
        Self::new("missing", loc, "Field required", parent)
    }

    /// Adds the numbers and names that the message mentions.
    pub(super) fn with(mut self, ctx: Value) -> Self {
        self.ctx = Some(ctx);
        self
    }
}

/// One step of the way to a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Step {
    /// A member of an object.
    Name(String),
    /// An item of a list, or an offset in a text.
    Index(usize),
}

impl Step {
    /// The name of the member that it leads to.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Step::Name(name) => Some(name),
            Step::Index(_) => None,
        }
    }
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Step::Name(name.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Step::Index(index)
    }
}

/// All that is wrong with one request.
///
/// Faults of shape are those that the contract knows; rules are what this service asks beyond it. Rules are told only
/// when the shape is right, so that what is wrong by the contract gets the contract's answer and nothing else.
#[derive(Debug, Default)]
pub(super) struct Faults {
    shape: Vec<Fault>,
    rules: Vec<Fault>,
}

impl Faults {
    pub(super) fn shape(&mut self, fault: impl FnOnce() -> Fault) {
        if self.shape.len() < MAX_FAULTS {
            self.shape.push(fault());
        }
    }

    pub(super) fn rule(&mut self, fault: impl FnOnce() -> Fault) {
        if self.rules.len() < MAX_FAULTS {
            self.rules.push(fault());
        }
    }

    /// What is told to the client.
    pub(super) fn told(self) -> Vec<Fault> {
        if self.shape.is_empty() { self.rules } else { self.shape }
    }
}

/// Whether the JSON of `value` has at most `max` bytes, in a time that depends on `max` alone.
pub(super) fn is_short(value: &Value, max: usize) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(max), value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_inputs_are_not_echoed() {
        let short = Fault::missing(vec!["body".into()], &json!("a".repeat(MAX_ECHO_BYTES - 2)));
        assert!(short.input.is_some());
        let long = Fault::missing(vec!["body".into()], &json!("a".repeat(MAX_ECHO_BYTES - 1)));
        assert_eq!(json!(long), json!({"type": "missing", "loc": ["body"], "msg": "Field required"}));
    }

    #[test]
    fn an_input_of_null_is_echoed() {
        let fault = Fault::missing(vec!["query".into(), 0.into()], &Value::Null);
        assert_eq!(
            json!(fault),
            json!({"type": "missing", "loc": ["query", 0], "msg": "Field required", "input": null})
        );
    }

    #[test]
    fn rules_are_told_when_the_shape_is_right() {
        let fault = |kind| Fault::new(kind, vec![], "", &Value::Null);
        let mut faults = Faults::default();
        faults.rule(|| fault("rule"));
        assert_eq!(Faults { shape: vec![], rules: faults.rules.clone() }.told(), [fault("rule")]);
        faults.shape(|| fault("shape"));
        assert_eq!(faults.told(), [fault("shape")]);
    }

    #[test]
    fn the_number_of_faults_is_bounded() {
        let mut faults = Faults::default();
        for _ in 0..MAX_FAULTS + 1 {
            faults.shape(|| Fault::new("x", vec![], "", &Value::Null));
        }
        assert_eq!(faults.told().len(), MAX_FAULTS);
    }
}
