//! The URI of a key in a token (RFC 7512): `pkcs11:token=root;object=ada;id=%01?module-path=/usr/lib/libykcs11.so`.

use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Which token, which key in it, and through which module. What is not said matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) model: Option<String>,
    pub(super) slot: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module: Option<PathBuf>,
}

impl Uri {
    /// Reads a URI.
    ///
    /// # Errors
    /// Names the attribute that is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("pkcs11:").ok_or("must begin with pkcs11:")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, ';')? {
            let text = || String::from_utf8(value.clone()).map_err(|_| format!("{name} is not UTF-8"));
            match name {
                "token" => uri.token = Some(text()?),
                "manufacturer" => uri.manufacturer = Some(text()?),
                "serial" => uri.serial = Some(text()?),
                "model" => uri.model = Some(text()?),
                "slot-id" => uri.slot = Some(text()?.parse().map_err(|_| "slot-id must be a number".to_owned())?),
                "object" => uri.object = Some(text()?),
                "id" => uri.id = Some(value),
                // Both halves of a key have the same label and id, and which of them is wanted is known.
                "type" => {}
                _ => return Err(format!("{name} is not known in a pkcs11: URI")),
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name {
                "module-path" => {
                    let path = String::from_utf8(value).map_err(|_| "module-path is not UTF-8".to_owned())?;
                    uri.module = Some(path.into());
                }
                "pin-value" | "pin-source" => {
                    return Err(
                        "a PIN does not belong into a URI: it is asked for, or read from the answers".to_owned()
                    );
                }
                _ => return Err(format!("{name} is not known in a pkcs11: URI")),
            }
        }
        Ok(uri)
    }
}

/// Writes the part of a URI that names a key.
pub(super) fn key_part(label: &str, id: &[u8]) -> String {
    // Every byte of an id is escaped, as RFC 7512 advises.
    let id: String = id.iter().map(|byte| format!("%{byte:02X}")).collect();
    format!("object={};id={id}", percent_encode(label.as_bytes(), NON_ALPHANUMERIC))
}

fn attributes(text: &str, separator: char) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let read = |part| {
        let (name, value) = str::split_once(part, '=').ok_or_else(|| format!("{part:?} must be name=value"))?;
        Ok((name, percent_decode_str(value).collect()))
    };
    text.split(separator).filter(|part| !part.is_empty()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_token_key_and_module() {
        let uri = Uri::parse("pkcs11:token=My%20token;object=ada;id=%01%ff;type=private?module-path=/lib/a.so");
        let expected = Uri {
            token: Some("My token".to_owned()),
            object: Some("ada".to_owned()),
            id: Some(vec![1, 0xff]),
            module: Some("/lib/a.so".into()),
            ..Uri::default()
        };
        assert_eq!(uri, Ok(expected));
        assert_eq!(Uri::parse("pkcs11:"), Ok(Uri::default()));
        let again = Uri::parse(&format!("pkcs11:{}", key_part("Ada's", &[0, 0x7f]))).expect("a uri");
        assert_eq!((again.object.as_deref(), again.id.as_deref()), (Some("Ada's"), Some(&[0, 0x7f][..])));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, word) in [
            ("pkcs11:tokn=a", "tokn"),
            ("pkcs11:token", "name=value"),
            ("pkcs11:token=%ff", "UTF-8"),
            ("pkcs11:slot-id=x", "slot-id"),
            ("pkcs11:token=a?pin-value=1234", "does not belong"),
            ("pkcs11:token=a?module-name=x", "module-name"),
        ] {
            let why = Uri::parse(text).expect_err("refused");
            assert!(why.contains(word) && !why.contains("1234"), "{why}");
        }
    }
}
