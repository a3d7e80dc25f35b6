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
    // A number would have lost zeros in front.
    Err("must be a text in quotes, {file: PATH} or {fd: NUMBER}".to_owned())
}

fn from(file: File) -> Result<SecretString, String> {
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.is_empty() {
        return Err("there is nothing in it, or it was read before".to_owned());
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::AsRawFd};

    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn secret(value: &Value) -> Result<String, String> {
        read(value).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn secrets_are_read_from_where_they_are() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b" two words \r\n").expect("written");
        assert_eq!(secret(&json!("text\n")), Ok("text\n".to_owned()));
        assert_eq!(secret(&json!({"file": file.path()})), Ok(" two words ".to_owned()));
        assert_eq!(secret(&json!({"fd": file.as_raw_fd()})), Ok(" two words ".to_owned()));
    }

    #[test]
    fn what_has_no_secret_is_refused() {
        let empty = tempfile::NamedTempFile::new().expect("a file");
        for value in [
            json!(1234),
            json!({"path": "a"}),
            json!({"file": empty.path()}),
            json!({"fd": 999}),
            json!({"file": "/no"}),
        ] {
            assert!(secret(&value).is_err(), "{value}");
        }
    }
}
