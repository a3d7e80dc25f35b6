//! Projects what the ledger knows into the settings that the API reads.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use serde_json::{Value, json};

use super::supervisor::Lifeline;
use crate::{
    store::{
        StoreError,
        ledger::{Ledger, Repository},
        settings::{self, BOOTSTRAP},
    },
    tuf::{
        root::Root,
        wire::{Metadata, MetadataError, RoleType},
    },
};

/// Writes the settings of the repository, under the names of the contract. Does nothing before the first publication.
///
/// # Errors
/// Those of the two stores; the next call writes everything again.
pub async fn project(ledger: &dyn Ledger, settings: &dyn settings::Settings) -> Result<(), StoreError> {
    if ledger.head().await?.is_none() {
        return Ok(());
    }
    let Some(repository) = ledger.repository().await? else { return Ok(()) };
    let fields = fields(&repository)
        .map_err(|error| StoreError::Broken(format!("the ledger holds metadata that can't be read: {error}")))?;
    settings.put(fields).await
}

fn fields(repository: &Repository) -> Result<BTreeMap<String, Value>, MetadataError> {
    let metadata = Metadata::parse(&repository.root)?;
    let root = Root::view(&metadata.signed)?;
    let settings = &repository.settings;
    let mut fields = BTreeMap::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    for (role, days) in &settings.expirations {
        set(&format!("{}_EXPIRATION", role.to_uppercase()), json!(days));
    }
    for role in ["TARGETS", "SNAPSHOT", "TIMESTAMP", "BINS"] {
        set(&format!("{role}_THRESHOLD"), json!(1));
        set(&format!("{role}_NUM_KEYS"), json!(1));
    }
    set("ROOT_THRESHOLD", json!(root.role(RoleType::Root).threshold));
    set("ROOT_NUM_KEYS", json!(settings.root_num_keys));
    set("NUMBER_OF_DELEGATED_BINS", json!(settings.number_of_delegated_bins));
    set("BINS_LAYOUT", json!(settings.layout));
    set("TARGETS_ONLINE_KEY", json!(true));
    if let Some((id, key)) = root.online_key(RoleType::Timestamp) {
        let mut key = key.raw.clone();
        key["keyid"] = json!(id);
        set("ONLINE_KEY", key);
    }
    set("ROOT_SIGNING", Value::Null);
    set("TRUSTED_ROOT", metadata.to_value());
    if let Some(targets) = &repository.targets {
        set("TRUSTED_TARGETS", Metadata::parse(targets)?.to_value());
    }
    set(BOOTSTRAP, json!(repository.task));
    Ok(fields)
}

/// Write the settings anew.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Project;

/// The settings actor. Restarting it loses nothing: it writes all settings again when it starts.
pub struct Settings {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// What the API reads.
    pub settings: Arc<dyn settings::Settings>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Settings {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.notify(Project);
    }
}

impl Handler<Project> for Settings {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Project, _: &mut Self::Context) -> Self::Result {
        let (ledger, settings) = (self.ledger.clone(), self.settings.clone());
        let work = async move {
            if let Err(error) = project(ledger.as_ref(), settings.as_ref()).await {
                tracing::warn!(%error, "the settings will be projected later");
            }
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}
