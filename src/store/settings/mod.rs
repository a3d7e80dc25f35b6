//! The settings that all instances share, under the names of the contract (`BOOTSTRAP`, `TARGETS_EXPIRATION`, …).

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::store::StoreError;

pub mod bootstrap;
#[cfg(test)]
pub(crate) mod contract;
mod dynaconf;
pub mod redis;
pub mod sqlite;

/// The name of the setting that tells the state of the bootstrap.
pub const BOOTSTRAP: &str = "BOOTSTRAP";

/// The name of the setting that lists the roles that wait for signatures, by their real names.
pub const SIGNING_EVENTS: &str = "SIGNING_EVENTS";

/// The setting with the delegations that take effect when people have signed their roles: `{"keys", "roles"}` by role.
pub const SIGNING_DELEGATIONS: &str = "SIGNING_DELEGATIONS";
/// The name of the setting that lists when the published roles expire.
pub const EXPIRING: &str = "EXPIRING";

/// The name of the setting that tells which charter of the ledger is projected.
pub const CHARTER_REVISION: &str = "CHARTER_REVISION";

/// The settings of the repository, projected from the ledger by the workers and read by the API.
///
/// What a backend promises: fields are written one by one, so that two writers of different fields never undo each
/// other; a `put` of several fields is seen whole or not at all; [`swap`](Settings::swap) is atomic against every other
/// writer. Losing everything is harmless: a worker projects the ledger again.
#[async_trait]
pub trait Settings: Send + Sync {
    /// All settings by their upper-case names. A field that was set to null is listed as null.
    async fn all(&self) -> Result<BTreeMap<String, Value>, StoreError>;

    /// One setting, null when it was never set.
    async fn get(&self, name: &str) -> Result<Value, StoreError>;

    /// Sets these fields and leaves all others alone.
    async fn put(&self, fields: BTreeMap<String, Value>) -> Result<(), StoreError>;

    /// Sets one field to `new` if it is `expected` now (null stands for absent too), and says whether it did.
    async fn swap(&self, name: &str, expected: &Value, new: Value) -> Result<bool, StoreError>;
}
