//! Reading the members of a JSON object as what they have to be, with refusals that name the member.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::tuf::name::Version;

/// Why metadata can't be read. The text names the member that is wrong.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// Not JSON at all.
    #[error("not json: {0}")]
    Json(#[from] serde_json::Error),
    /// A member is missing or not what it has to be.
    #[error("{field}: {expected}")]
    Field {
        /// The member, with those that it is in: `signed.roles.root.threshold`.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
}

impl MetadataError {
    /// Says that `field` has to be what `expected` tells.
    pub(super) fn field(field: impl Into<String>, expected: &'static str) -> Self {
        MetadataError::Field { field: field.into(), expected }
    }

    /// The same refusal, seen from the object that has the member `outer`.
    pub(super) fn within(self, outer: &str) -> Self {
        match self {
            MetadataError::Field { field, expected } if field.is_empty() => Self::field(outer, expected),
            MetadataError::Field { field, expected } => Self::field(format!("{outer}.{field}"), expected),
            json => json,
        }
    }
}

/// The object that `value` has to be; the refusal names no member yet: see [`MetadataError::within`].
pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, MetadataError> {
    value.as_object().ok_or_else(|| MetadataError::field("", "must be an object"))
}

/// Typed reading of members.
pub(super) trait Members {
    /// A member that must be there, of any type.
    fn required(&self, name: &str) -> Result<&Value, MetadataError>;

    /// A text.
    fn text(&self, name: &str) -> Result<&str, MetadataError>;

    /// A whole number from 0.
    fn number(&self, name: &str) -> Result<u64, MetadataError>;

    /// A whole number from 0, or nothing.
    fn optional_number(&self, name: &str) -> Result<Option<u64>, MetadataError>;

    /// A version.
    fn version(&self, name: &str) -> Result<Version, MetadataError>;

    /// True or false.
    fn truth(&self, name: &str) -> Result<bool, MetadataError>;

    /// An object.
    fn object(&self, name: &str) -> Result<&Map<String, Value>, MetadataError>;

    /// A list.
    fn list(&self, name: &str) -> Result<&Vec<Value>, MetadataError>;

    /// A list of texts.
    fn texts(&self, name: &str) -> Result<Vec<&str>, MetadataError>;
}

impl Members for Map<String, Value> {
    fn required(&self, name: &str) -> Result<&Value, MetadataError> {
        self.get(name).ok_or_else(|| MetadataError::field(name, "is missing"))
    }

    fn text(&self, name: &str) -> Result<&str, MetadataError> {
        self.required(name)?.as_str().ok_or_else(|| MetadataError::field(name, "must be a string"))
    }

    fn number(&self, name: &str) -> Result<u64, MetadataError> {
        self.required(name)?.as_u64().ok_or_else(|| MetadataError::field(name, "must be a whole number from 0"))
    }

    fn optional_number(&self, name: &str) -> Result<Option<u64>, MetadataError> {
        self.contains_key(name).then(|| self.number(name)).transpose()
    }

    fn version(&self, name: &str) -> Result<Version, MetadataError> {
        let wrong = || MetadataError::field(name, "must be a whole number from 1");
        Version::new(self.required(name)?.as_u64().ok_or_else(wrong)?).map_err(|_| wrong())
    }

    fn truth(&self, name: &str) -> Result<bool, MetadataError> {
        self.required(name)?.as_bool().ok_or_else(|| MetadataError::field(name, "must be true or false"))
    }

    fn object(&self, name: &str) -> Result<&Map<String, Value>, MetadataError> {
        self.required(name)?.as_object().ok_or_else(|| MetadataError::field(name, "must be an object"))
    }

    fn list(&self, name: &str) -> Result<&Vec<Value>, MetadataError> {
        self.required(name)?.as_array().ok_or_else(|| MetadataError::field(name, "must be a list"))
    }

    fn texts(&self, name: &str) -> Result<Vec<&str>, MetadataError> {
        let texts = self.list(name)?.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        texts.ok_or_else(|| MetadataError::field(name, "must be a list of strings"))
    }
}
