//! JSON as Python's `json.dumps` writes it: a space after each comma and colon, and ASCII only.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{
    Serializer, Value,
    ser::{CompactFormatter, Formatter},
};

/// The text of a value.
pub fn dumps(value: &Value) -> String {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Python)).expect("a vector takes everything");
    String::from_utf8(bytes).expect("it is ascii")
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            match character {
                ' '..='~' => CompactFormatter.write_string_fragment(writer, character.encode_utf8(&mut [0; 4]))?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_that_of_python() {
        let value = json!({"z": [1, -2.5, null, true, []], "a": {}, "ü\u{7f}": "\"\\/\n\u{0}\u{1f}€😀"});
        assert_eq!(
            dumps(&value),
            r#"{"z": [1, -2.5, null, true, []], "a": {}, "\u00fc\u007f": "\"\\/\n\u0000\u001f\u20ac\ud83d\ude00"}"#
        );
    }
}
