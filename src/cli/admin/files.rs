//! The files that come from elsewhere: replies to be signed, payloads to be sent.

use std::{fs, path::Path};

use serde_json::Value;

use crate::cli::failure::Failure;

/// Reads a JSON document.
///
/// # Errors
/// When the file can't be read, or is no JSON.
pub fn read_json(path: &Path) -> Result<(String, Value), Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::new(format_args!("can't read {name}: {error}")))?;
    let value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format_args!("{name} is not JSON: {error}")).remedy("is it the right file?"))?;
    Ok((text, value))
}
