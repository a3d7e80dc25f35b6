//! Values as the texts that Dynaconf keeps in Redis, so that programs in Python share them.
//!
//! Numbers, booleans, null, lists and objects are written with the name of their type before them. Everything else is a
//! text as it is; but Dynaconf reads such a text as TOML where it can, so that a text that looks like a number comes back as
//! one. What would not come back as it is, is written as a string of TOML.

use serde_json::{Map, Value};

use crate::store::redis::python;

/// What Dynaconf takes for true after `@bool`.
const TRUE: [&str; 6] = ["t", "true", "enabled", "1", "on", "yes"];

/// The text of a value. A string that begins with the name of a type is read by our side alone as it was.
pub(super) fn encode(value: &Value) -> String {
    match value {
        Value::Null => "@none ".into(),
        Value::Bool(true) => "@bool True".into(),
        Value::Bool(false) => "@bool False".into(),
        Value::Number(number) if number.is_f64() => format!("@float {number}"),
        Value::Number(number) => format!("@int {number}"),
        Value::String(text) if decode(text) == *value => text.clone(),
        // A string of JSON is one of TOML, but for one character.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        Value::Array(_) | Value::Object(_) => format!("@json {}", python::dumps(value)),
    }
}

/// The value of a text. What can't be read is the text itself, and so are times and numbers that JSON does not have.
pub(super) fn decode(text: &str) -> Value {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let value = match kind {
        "@none" | "@null" | "@note" | "@comment" => Some(Value::Null),
        "@bool" => Some(TRUE.contains(&rest.trim().to_lowercase().as_str()).into()),
        "@int" => integer(rest.trim()),
        "@float" => rest.trim().parse::<f64>().ok().and_then(float),
        "@json" => serde_json::from_str(rest).ok(),
        "@str" => Some(rest.into()),
        _ => toml::from_str::<toml::Table>(&format!("key={text}"))
            .ok()
            .and_then(|mut table| table.remove("key"))
            .and_then(from_toml),
    };
    value.unwrap_or_else(|| text.into())
}

fn integer(text: &str) -> Option<Value> {
    text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok()
}

fn float(number: f64) -> Option<Value> {
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn from_toml(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => float(number)?,
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(items) => Value::Array(items.into_iter().map(from_toml).collect::<Option<_>>()?),
        toml::Value::Table(members) => {
            let members = members.into_iter().map(|(name, value)| Some((name, from_toml(value)?)));
            Value::Object(members.collect::<Option<Map<_, _>>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_read_as_dynaconf_does() {
        let cases: Vec<(String, Value)> =
            serde_json::from_str(include_str!("../../../tests/fixtures/settings-texts.json")).expect("a fixture");
        assert!(cases.len() > 60);
        for (text, value) in cases {
            assert_eq!(decode(&text), value, "{text:?}");
        }
    }

    #[test]
    fn what_was_recorded_is_written_as_it_was() {
        for recorded in [
            include_str!("../../../tests/fixtures/redis/settings-signing.json"),
            include_str!("../../../tests/fixtures/redis/settings-rotated.json"),
            include_str!("../../../tests/fixtures/redis/settings-custom.json"),
        ] {
            let recorded: BTreeMap<String, String> = serde_json::from_str(recorded).expect("a fixture");
            for (name, text) in &recorded {
                assert_eq!(encode(&decode(text)), *text, "{name}");
            }
            assert_eq!(decode(&recorded["ROOT_NUM_KEYS"]), json!(1));
            assert_eq!(decode(&recorded["TARGETS_ONLINE_KEY"]), json!(true));
            assert!(decode(&recorded["BOOTSTRAP"]).is_string());
        }
    }

    #[test]
    fn strings_that_look_like_something_else_are_quoted() {
        for (text, written) in [
            ("27b2c952555b4abcb1acbfb62e7318e8", "27b2c952555b4abcb1acbfb62e7318e8"),
            ("12345678901234567e01234567890123", "12345678901234567e01234567890123"),
            ("1234e5", "\"1234e5\""),
            ("5", "\"5\""),
            ("true", "\"true\""),
            ("'a'", "\"'a'\""),
            ("@none ", "\"@none \""),
        ] {
            assert_eq!(encode(&json!(text)), written);
        }
    }

    #[test]
    fn what_is_broken_is_a_text() {
        for text in ["@json {", "@int x", "@float x", "2026-11-22", "inf", "[nan]"] {
            assert_eq!(decode(text), json!(text));
        }
    }

    proptest! {
        #[test]
        fn every_string_comes_back(text in any::<String>()) {
            prop_assert_eq!(decode(&encode(&json!(text))), json!(text));
        }

        #[test]
        fn every_string_that_looks_like_toml_comes_back(text in "[-+@\"'\\[\\]{}=#0-9aex_., \n\u{7f}]{0,8}") {
            prop_assert_eq!(decode(&encode(&json!(text))), json!(text));
        }
    }
}
