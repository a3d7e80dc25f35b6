//! The setting `BOOTSTRAP`: who may create a repository, and whether there is one.

use std::fmt;

use serde_json::Value;

use super::{Api, error::Refusal};
use crate::store::settings::BOOTSTRAP;

/// The state of the bootstrap, read from the setting. `<id>` is the task that asked for it.
///
/// | setting | state | a bootstrap may be asked for |
/// |---|---|---|
/// | null | none | yes |
/// | `pre-<id>` | `pre` | no: one waits for a worker |
/// | `signing-<id>` | `signing` | no: its root waits for signatures |
/// | `<id>` | `finished` | no: there is a repository |
/// | `<other>-<id>` | `<other>` | yes |
/// | anything else | `unknown` | yes |
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lock(Value);

impl Lock {
    /// The setting itself.
    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// The state as the contract names it.
    pub(super) fn state(&self) -> Option<&str> {
        self.read().0
    }

    /// The task that asked for the bootstrap.
    pub(super) fn id(&self) -> Option<&str> {
        self.read().1
    }

    /// Whether there is a repository.
    pub(super) fn finished(&self) -> bool {
        self.state() == Some("finished")
    }

    /// Whether there is a repository, or one that waits for the signatures of its root.
    pub(super) fn begun(&self) -> bool {
        matches!(self.state(), Some("finished" | "signing"))
    }

    /// Whether no bootstrap may be asked for.
    pub(super) fn locked(&self) -> bool {
        matches!(self.state(), Some("finished" | "pre" | "signing"))
    }

    fn read(&self) -> (Option<&str>, Option<&str>) {
        let Value::String(text) = &self.0 else {
            return (if self.0.is_null() { None } else { Some("unknown") }, None);
        };
        let mut parts = text.split('-');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(id), None, _) if !id.is_empty() => (Some("finished"), Some(id)),
            (Some(state), Some(id), None) if !state.is_empty() => (Some(state), Some(id)),
            _ => (Some("unknown"), None),
        }
    }
}

/// The state, or the word that the contract has for none.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state().unwrap_or("None"))
    }
}

impl Api {
    /// Reads the state of the bootstrap.
    pub(super) async fn lock(&self) -> Result<Lock, Refusal> {
        let lock = Lock(self.settings.get(BOOTSTRAP).await?);
        if lock.state() == Some("unknown") {
            tracing::warn!(value = %lock.value(), "unknown state of the bootstrap");
        }
        Ok(lock)
    }

    /// Refuses unless there is a repository: `message` says what is refused, `requires` why.
    pub(super) async fn bootstrapped(&self, message: &'static str, requires: &str) -> Result<(), Refusal> {
        match self.lock().await? {
            lock if lock.finished() => Ok(()),
            lock => Err(Refusal::NotNow { message: message.into(), error: format!("{requires} State: {lock}") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_its_state() {
        let cases = [
            (json!(null), None, None, false),
            (json!("pre-1a"), Some("pre"), Some("1a"), true),
            (json!("signing-1a"), Some("signing"), Some("1a"), true),
            (json!("1a"), Some("finished"), Some("1a"), true),
            (json!("other-1a"), Some("other"), Some("1a"), false),
            (json!("a-b-c"), Some("unknown"), None, false),
            (json!(""), Some("unknown"), None, false),
            (json!(5), Some("unknown"), None, false),
        ];
        for (value, state, id, locked) in cases {
            let lock = Lock(value.clone());
            assert_eq!((lock.state(), lock.id(), lock.locked()), (state, id, locked), "{value}");
            assert_eq!(lock.to_string(), state.unwrap_or("None"));
        }
    }
}
