//! Numbers and truth values as the contract reads them: `630`, `630.0`, `"630"`, `" 6_30 "` are the same integer.

use serde_json::Value;

/// Why a value can't be read: the type and the sentence of its fault.
pub(super) type Refusal = (&'static str, &'static str);

const INT_TYPE: Refusal = ("int_type", "Input should be a valid integer");
const INT_PARSING: Refusal = ("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
const INT_FROM_FLOAT: Refusal =
    ("int_from_float", "Input should be a valid integer, got a number with a fractional part");
const BOOL_TYPE: Refusal = ("bool_type", "Input should be a valid boolean");
const BOOL_PARSING: Refusal = ("bool_parsing", "Input should be a valid boolean, unable to interpret input");

/// Reads an integer. What is beyond 64 bits becomes the nearest that isn't: bounds refuse it with the right words.
pub(super) fn integer(value: &Value) -> Result<i64, Refusal> {
    match value {
        Value::Bool(truth) => Ok(i64::from(*truth)),
        Value::String(text) => integer_of_text(text).ok_or(INT_PARSING),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole),
            (None, _) if number.is_u64() => Ok(i64::MAX),
            (None, Some(float)) if float.fract() == 0.0 => Ok(float as i64),
            _ => Err(INT_FROM_FLOAT),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(INT_TYPE),
    }
}

/// `[+-]digits`, with single underscores between digits, a fraction of zeros, and white space around.
fn integer_of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (negative, digits) = match whole.as_bytes().first()? {
        b'-' => (true, &whole[1..]),
        b'+' => (false, &whole[1..]),
        _ => (false, whole),
    };
    if !fraction.bytes().all(|b| b == b'0') || digits.split('_').any(str::is_empty) {
        return None;
    }
    digits.bytes().filter(|b| *b != b'_').try_fold(0i64, |sum, b| {
        let digit = i64::from(char::from(b).to_digit(10)?);
        let sum = sum.saturating_mul(10);
        Some(if negative { sum.saturating_sub(digit) } else { sum.saturating_add(digit) })
    })
}

/// Reads a truth value.
pub(super) fn boolean(value: &Value) -> Result<bool, Refusal> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "y" | "yes" | "on" => Ok(true),
            "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
            _ => Err(BOOL_PARSING),
        },
        Value::Number(_) => match integer(value) {
            Ok(0) => Ok(false),
            Ok(1) => Ok(true),
            Ok(_) => Err(BOOL_PARSING),
            Err(_) => Err(BOOL_TYPE),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(BOOL_TYPE),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_come_in_many_forms() {
        let accepted = [
            (json!(12), 12),
            (json!(12.0), 12),
            (json!(-0.0), 0),
            (json!("12"), 12),
            (json!(" 12\n"), 12),
            (json!("1_0"), 10),
            (json!("-5"), -5),
            (json!("+5"), 5),
            (json!("007"), 7),
            (json!("12.000"), 12),
            (json!(true), 1),
            (json!(u64::MAX), i64::MAX),
            (json!(1e300), i64::MAX),
            (json!("-99999999999999999999999"), i64::MIN),
        ];
        for (value, expected) in accepted {
            assert_eq!(integer(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_integer_is_told_why() {
        for text in ["", " ", "x", "1.5", "1__0", "_1", "1_", "+", "-", "0x1", "1 2", "1e3", "--1", "٣"] {
            assert_eq!(integer(&json!(text)), Err(INT_PARSING), "{text:?}");
        }
        assert_eq!(integer(&json!(1.5)), Err(INT_FROM_FLOAT));
        for value in [json!(null), json!([]), json!({})] {
            assert_eq!(integer(&value), Err(INT_TYPE), "{value}");
        }
    }

    #[test]
    fn truth_comes_in_many_forms() {
        for value in [json!(true), json!(1), json!(1.0), json!("1"), json!("Yes"), json!("on"), json!("T")] {
            assert_eq!(boolean(&value), Ok(true), "{value}");
        }
        for value in [json!(false), json!(0), json!(0.0), json!("OFF"), json!("no"), json!("f")] {
            assert_eq!(boolean(&value), Ok(false), "{value}");
        }
        for value in [json!("maybe"), json!(""), json!(" yes"), json!(2), json!(-1)] {
            assert_eq!(boolean(&value), Err(BOOL_PARSING), "{value}");
        }
        for value in [json!(null), json!(1.5), json!([]), json!({})] {
            assert_eq!(boolean(&value), Err(BOOL_TYPE), "{value}");
        }
    }
}
