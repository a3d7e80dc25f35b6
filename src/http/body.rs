//! From the bytes of a request to checked values, collecting all that is wrong on the way.
//!
//! The contract fixes the words of every fault, so no deserialiser is used: a [`Cursor`] stands at one value of the
//! document, knows the way that led there, and reads it leniently as the contract asks. A parser is a function from a
//! cursor to `Option<T>`; `None` means that a fault was noted.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

use super::{
    fault::{Fault, Faults, Step},
    lax,
};

/// The body of a request, before it is read.
#[derive(Debug)]
pub(super) enum Body {
    /// There is none.
    Missing,
    /// It says that it is JSON.
    Json(actix_web::web::Bytes),
    /// It says that it is something else, or does not say.
    Other(actix_web::web::Bytes),
}

impl Body {
    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Body::Missing => 0,
            Body::Json(bytes) | Body::Other(bytes) => bytes.len(),
        }
    }

    /// Reads the body with `parse`.
    ///
    /// # Errors
    /// All faults that are found, at least one.
    pub(super) fn read<T>(self, parse: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Result<T, Vec<Fault>> {
        match self {
            Body::Missing => Err(vec![Fault::missing(vec!["body".into()], &Value::Null)]),
            Body::Json(bytes) => read(&document(&bytes)?, parse),
            Body::Other(bytes) => read(&Value::from(String::from_utf8_lossy(&bytes)), parse),
        }
    }
}

/// Reads a document with `parse`.
///
/// # Errors
/// All faults that are found.
pub(super) fn read<T>(document: &Value, parse: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Result<T, Vec<Fault>> {
    let faults = RefCell::new(Faults::default());
    let parsed = parse(&Cursor { value: document, step: At::Name("body"), parent: None, faults: &faults });
    let told = faults.into_inner().told();
    match parsed {
        Some(parsed) if told.is_empty() => Ok(parsed),
        _ => Err(told),
    }
}

/// Parses JSON, or says where it ends to be JSON.
fn document(bytes: &[u8]) -> Result<Value, Vec<Fault>> {
    serde_json::from_slice(bytes).map_err(|error| {
        let start: usize = bytes.split_inclusive(|b| *b == b'\n').take(error.line() - 1).map(<[u8]>::len).sum();
        let offset = (start + error.column().saturating_sub(1)).min(bytes.len());
        let offset = if error.is_eof() { bytes.len() } else { offset };
        let characters = String::from_utf8_lossy(&bytes[..offset]).chars().count();
        let text = error.to_string();
        let why = match text.split(" at line ").next().unwrap_or_default() {
            "expected value" | "expected ident" => "Expecting value",
            "key must be a string" => "Expecting property name enclosed in double quotes",
            "expected `:`" => "Expecting ':' delimiter",
            "expected `,` or `}`" | "expected `,` or `]`" => "Expecting ',' delimiter",
            "trailing characters" => "Extra data",
            text if text.starts_with("EOF while parsing a value") => "Expecting value",
            text => text,
        };
        let loc = vec!["body".into(), characters.into()];
        vec![Fault::new("json_invalid", loc, "JSON decode error", &json!({})).with(json!({"error": why}))]
    })
}

/// A bound of a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// It is exclusive, from below.
    GreaterThan(i64),
    /// It is inclusive, from below.
    AtLeast(i64),
    /// It is exclusive, from above.
    LessThan(i64),
    /// It is inclusive, from above.
    AtMost(i64),
}

/// One value of a document and the way that led there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'c> {
    value: &'c Value,
    step: At<'c>,
    parent: Option<&'c Cursor<'c>>,
    faults: &'c RefCell<Faults>,
}

/// The last step of the way, borrowed from the document: it is copied only into faults.
#[derive(Debug, Clone, Copy)]
enum At<'c> {
    Name(&'c str),
    Index(usize),
}

impl<'c> Cursor<'c> {
    /// The value.
    pub(super) fn value(&self) -> &'c Value {
        self.value
    }

    /// Reads an object with members that have a meaning.
    pub(super) fn model(&'c self) -> Option<Model<'c>> {
        let Value::Object(members) = self.value else {
            return self
                .fault("model_attributes_type", "Input should be a valid dictionary or object to extract fields from");
        };
        Some(Model { at: self, members })
    }

    /// Reads an object with any members.
    pub(super) fn dict(&self) -> Option<&'c Map<String, Value>> {
        self.value.as_object().or_else(|| self.fault("dict_type", "Input should be a valid dictionary"))
    }

    /// Reads a list.
    pub(super) fn list(&self) -> Option<&'c Vec<Value>> {
        self.value.as_array().or_else(|| self.fault("list_type", "Input should be a valid list"))
    }

    /// Reads a text.
    pub(super) fn text(&self) -> Option<&'c str> {
        self.value.as_str().or_else(|| self.fault("string_type", "Input should be a valid string"))
    }

    /// Reads an integer in any form that the contract allows.
    pub(super) fn integer(&self) -> Option<i64> {
        lax::integer(self.value).or_else(|(kind, msg)| self.fault(kind, msg).ok_or(())).ok()
    }

    /// Reads a truth value in any form that the contract allows.
    pub(super) fn boolean(&self) -> Option<bool> {
        lax::boolean(self.value).or_else(|(kind, msg)| self.fault(kind, msg).ok_or(())).ok()
    }

    /// Reads every member of an object with any members.
    pub(super) fn each_member<T>(&self, mut parse: impl FnMut(&str, &Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
        let members = self.dict()?;
        let parsed = members.iter().map(|(name, value)| parse(name, &self.at(At::Name(name), value)));
        all(parsed)
    }

    /// Reads every item of a list.
    pub(super) fn each_item<T>(&self, mut parse: impl FnMut(usize, &Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.list()?;
        let parsed = items.iter().enumerate().map(|(index, value)| parse(index, &self.at(At::Index(index), value)));
        all(parsed)
    }

    /// Asks that `number`, which was read here, keeps a bound of the contract.
    pub(super) fn bound(&self, number: i64, bound: Bound) -> Option<i64> {
        self.broken(number, bound).map_or(Some(number), |fault| {
            self.faults.borrow_mut().shape(|| fault);
            None
        })
    }

    /// Asks that `number`, which was read here, keeps a bound of this service.
    pub(super) fn limit(&self, number: i64, bound: Bound) -> Option<i64> {
        self.broken(number, bound).map_or(Some(number), |fault| self.rule(|| fault))
    }

    fn broken(&self, number: i64, bound: Bound) -> Option<Fault> {
        let (kept, kind, words, key, than) = match bound {
            Bound::GreaterThan(than) => (number > than, "greater_than", "greater than", "gt", than),
            Bound::AtLeast(than) => (number >= than, "greater_than_equal", "greater than or equal to", "ge", than),
            Bound::LessThan(than) => (number < than, "less_than", "less than", "lt", than),
            Bound::AtMost(than) => (number <= than, "less_than_equal", "less than or equal to", "le", than),
        };
        let fault = || Fault::new(kind, self.loc(), format!("Input should be {words} {than}"), self.value);
        (!kept).then(|| fault().with(json!({key: than})))
    }

    /// Notes that the list here has `length` items, fewer than `min`.
    pub(super) fn too_short<T>(&self, min: usize, length: usize) -> Option<T> {
        let items = if min == 1 { "item" } else { "items" };
        let msg = format!("List should have at least {min} {items} after validation, not {length}");
        let ctx = json!({"field_type": "List", "min_length": min, "actual_length": length});
        self.faults.borrow_mut().shape(|| Fault::new("too_short", self.loc(), msg, self.value).with(ctx));
        None
    }

    /// Notes that the list or object here has `length` items, more than the `max` of this service.
    pub(super) fn too_long<T>(&self, max: usize, length: usize) -> Option<T> {
        let what = if self.value.is_array() { "List" } else { "Dictionary" };
        let msg = format!("{what} should have at most {max} items after validation, not {length}");
        let ctx = json!({"field_type": what, "max_length": max, "actual_length": length});
        self.rule(|| Fault::new("too_long", self.loc(), msg, self.value).with(ctx))
    }

    /// Asks that the list or object here has at most the `max` items of this service; it has `length`.
    pub(super) fn at_most(&self, length: usize, max: usize) -> Option<()> {
        if length > max { self.too_long(max, length) } else { Some(()) }
    }

    /// Notes that the text here is none of those that are `expected`.
    pub(super) fn not_one_of<T>(&self, expected: &[&str]) -> Option<T> {
        self.faults.borrow_mut().shape(|| literal_error(self.loc(), expected, self.value));
        None
    }

    /// Notes that the name of the member here is none of those that are `expected`.
    pub(super) fn name_not_one_of<T>(&self, name: &str, expected: &[&str]) -> Option<T> {
        let mut loc = self.loc();
        loc.push("[key]".into());
        self.faults.borrow_mut().shape(|| literal_error(loc, expected, &name.into()));
        None
    }

    /// Notes that the value here breaks a rule of the contract.
    pub(super) fn wrong<T>(&self, why: impl std::fmt::Display) -> Option<T> {
        self.faults.borrow_mut().shape(|| Fault::value_error(self.loc(), why, self.value));
        None
    }

    /// Notes that the value here breaks a rule of this service.
    pub(super) fn refuse<T>(&self, why: impl std::fmt::Display) -> Option<T> {
        self.rule(|| Fault::value_error(self.loc(), why, self.value))
    }

    fn fault<T>(&self, kind: &'static str, msg: &'static str) -> Option<T> {
        self.faults.borrow_mut().shape(|| Fault::new(kind, self.loc(), msg, self.value));
        None
    }

    fn rule<T>(&self, fault: impl FnOnce() -> Fault) -> Option<T> {
        self.faults.borrow_mut().rule(fault);
        None
    }

    fn at<'s>(&'s self, step: At<'s>, value: &'s Value) -> Cursor<'s> {
        Cursor { value, step, parent: Some(self), faults: self.faults }
    }

    fn loc(&self) -> Vec<Step> {
        let mut loc = self.parent.map(Cursor::loc).unwrap_or_default();
        loc.push(match self.step {
            At::Name(name) => name.into(),
            At::Index(index) => index.into(),
        });
        loc
    }
}

/// An object whose members have a meaning. Members that nobody asks for are ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'c> {
    at: &'c Cursor<'c>,
    members: &'c Map<String, Value>,
}

impl Model<'_> {
    /// Reads a member that must be there.
    pub(super) fn required<T>(&self, name: &str, parse: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Option<T> {
        let Some(value) = self.members.get(name) else {
            let mut loc = self.at.loc();
            loc.push(name.into());
            self.at.faults.borrow_mut().shape(|| Fault::missing(loc, self.at.value));
            return None;
        };
        parse(&self.at.at(At::Name(name), value))
    }

    /// Reads a member that may be absent or null: both are `Some(None)`.
    pub(super) fn nullable<T>(&self, name: &str, parse: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Option<Option<T>> {
        match self.members.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => parse(&self.at.at(At::Name(name), value)).map(Some),
        }
    }

    /// Reads a member that may be absent, but not null.
    pub(super) fn or<T>(&self, default: T, name: &str, parse: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Option<T> {
        match self.members.get(name) {
            None => Some(default),
            Some(value) => parse(&self.at.at(At::Name(name), value)),
        }
    }

    /// Whether the member is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }
}

/// All of them, after every one was looked at.
fn all<T>(parsed: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut complete = true;
    let values = parsed.inspect(|value| complete &= value.is_some()).flatten().collect();
    complete.then_some(values)
}

fn literal_error(loc: Vec<Step>, expected: &[&str], input: &Value) -> Fault {
    let quoted: Vec<String> = expected.iter().map(|text| format!("'{text}'")).collect();
    let expected = match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    };
    Fault::new("literal_error", loc, format!("Input should be {expected}"), input).with(json!({"expected": expected}))
}

#[cfg(test)]
mod tests {
    use actix_web::web::Bytes;

    use super::*;

    fn told(body: Body) -> Value {
        json!(body.read(|at| at.model().map(|_| ())).expect_err("refused"))
    }

    #[test]
    fn a_body_must_be_there_and_be_json() {
        assert_eq!(
            told(Body::Missing),
            json!([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": null}])
        );
        let msg = "Input should be a valid dictionary or object to extract fields from";
        assert_eq!(
            told(Body::Other(Bytes::from_static(b"{}"))),
            json!([{"type": "model_attributes_type", "loc": ["body"], "msg": msg, "input": "{}"}])
        );
    }

    #[test]
    fn what_is_no_json_is_told_where() {
        let cases = [
            ("x", 0, "Expecting value"),
            ("{\"a\": }", 6, "Expecting value"),
            ("{\"é\":\n }", 7, "Expecting value"),
            ("{a}", 1, "Expecting property name enclosed in double quotes"),
            ("{\"a\" 1}", 5, "Expecting ':' delimiter"),
            ("[1 2]", 3, "Expecting ',' delimiter"),
            ("{} x", 3, "Extra data"),
            ("[1,", 3, "Expecting value"),
        ];
        for (text, offset, why) in cases {
            let fault = told(Body::Json(Bytes::from_static(text.as_bytes())));
            assert_eq!(
                fault,
                json!([{"type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {},
                    "ctx": {"error": why}}]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(told(Body::Json(Bytes::from(deep)))[0]["type"], "json_invalid");
    }

    #[test]
    fn all_faults_are_told_with_their_place() {
        let document = json!({"list": [1, "x", null], "map": {"private": 1}});
        let faults = read(&document, |at| {
            let model = at.model()?;
            let list = model.required("list", |at| at.each_item(|_, at| at.integer()));
            let map =
                model.required("map", |at| at.each_member(|name, at| at.name_not_one_of::<()>(name, &["a", "b"])));
            let gone = model.required("gone", |at| at.text().map(str::to_owned));
            Some((list?, map?, gone?))
        })
        .expect_err("refused");
        let brief: Vec<Value> = faults.iter().map(|f| json!([f.kind, f.loc])).collect();
        assert_eq!(
            json!(brief),
            json!([
                ["int_parsing", ["body", "list", 1]],
                ["int_type", ["body", "list", 2]],
                ["literal_error", ["body", "map", "private", "[key]"]],
                ["missing", ["body", "gone"]]
            ])
        );
    }

    #[test]
    fn choices_are_listed_in_words() {
        let fault = |expected: &[&str]| literal_error(vec![], expected, &Value::Null).msg;
        assert_eq!(fault(&["a"]), "Input should be 'a'");
        assert_eq!(fault(&["a", "b"]), "Input should be 'a' or 'b'");
        assert_eq!(fault(&["a", "b", "c"]), "Input should be 'a', 'b' or 'c'");
    }
}
