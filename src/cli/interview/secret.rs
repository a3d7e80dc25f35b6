//! Where an answers file says that a secret is.

use std::{fs::File, io::Read};

use secrecy::SecretString;
use serde_json::Value;
use zeroize::Zeroizing;

const MAX_BYTES: u64 = 4096;

/// Reads a secret: the text itself, `{file: PATH}`, or `{fd: NUMBER}` of a descriptor that is open already. One line end is cut off.
///
/// # Errors
/// Why there is none. The text does not have it.
pub(in crate::cli) fn read(value: &Value) -> Result<SecretString, String> {
    if let Some(text) = value.as_str() {
        return Ok(SecretString::from(text));
    }
    if let Some(path) = value["file"].as_str() {
        let file = File::open(path).map_err(|error| format!("can't read {path}: {error}"))?;
        return from(file);
    }
    if let Some(number) = value["fd"].as_u64() {
        let path = format!("/dev/fd/{number}");
        let file = File::open(&path).map_err(|error| format!("can't read descriptor {number}: {error}"))?;
        return from(file);
    }
    Err("must be a text, {file: PATH} or {fd: NUMBER}".to_owned())
}

fn from(file: File) -> Result<SecretString, String> {
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}
