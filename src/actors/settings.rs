//! Projects what the ledger knows into the settings that the API reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix::prelude::*;
use serde_json::{Value, json};

use super::{
    reporter::{Again, Reporter},
    supervisor::{Lifeline, Post},
};
use crate::{
    store::{
        StoreError,
        ledger::{Ledger, Repository},
        settings::{self, BOOTSTRAP},
    },
    task::TaskId,
    telemetry::metrics::Metrics,
    tuf::{
        root::Root,
        wire::{Metadata, MetadataError, RoleType},
    },
};

/// Between two looks whether the settings are still there.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long the reporter may take to note what it has to do.
const ASK_LIMIT: Duration = Duration::from_secs(5);

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

/// How the setting [`BOOTSTRAP`] compares with the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is what the ledger says.
    Right,
    /// The bootstrap of the ledger is not projected yet.
    Before,
    /// It is missing or wrong: what held it lost it.
    Lost,
}

/// Compares the setting [`BOOTSTRAP`] with the task that created the repository.
pub fn compare(setting: &Value, task: &TaskId) -> Seen {
    match setting.as_str() {
        Some(text) if text == task.as_str() => Seen::Right,
        Some(text) if text.strip_prefix("pre-") == Some(task.as_str()) => Seen::Before,
        _ => Seen::Lost,
    }
}

/// The settings actor. Restarting it loses nothing: it looks at the settings again when it starts, and at every tick.
pub struct Settings {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// What the API reads.
    pub settings: Arc<dyn settings::Settings>,
    /// Has the results that may have been lost too.
    pub reporter: Post<Reporter>,
    /// Where losses are counted.
    pub metrics: Metrics,
    /// The task that created the published repository, once there is one; it never changes.
    pub created_by: Arc<OnceLock<TaskId>>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

/// What a look at the settings needs.
struct Look {
    ledger: Arc<dyn Ledger>,
    settings: Arc<dyn settings::Settings>,
    reporter: Post<Reporter>,
    metrics: Metrics,
    created_by: Arc<OnceLock<TaskId>>,
}

impl Look {
    async fn look(&self) -> Result<(), StoreError> {
        let task = match self.created_by.get() {
            Some(task) => task,
            None => {
                if self.ledger.head().await?.is_none() {
                    return Ok(());
                }
                let Some(repository) = self.ledger.repository().await? else { return Ok(()) };
                self.created_by.get_or_init(|| repository.task)
            }
        };
        match compare(&self.settings.get(BOOTSTRAP).await?, task) {
            Seen::Right => return Ok(()),
            Seen::Before => {}
            Seen::Lost => {
                // Before the settings are there again: if this process ends meanwhile, another look finds the loss.
                if let Err(error) = self.reporter.ask(Again, ASK_LIMIT).await {
                    return Err(StoreError::unavailable("results", error));
                }
                self.metrics.settings_lost();
                tracing::warn!("the settings were lost; they are projected again");
            }
        }
        project(self.ledger.as_ref(), self.settings.as_ref()).await
    }
}

impl Settings {
    fn look(&self) -> impl Future<Output = ()> + use<> {
        let look = Look {
            ledger: self.ledger.clone(),
            settings: self.settings.clone(),
            reporter: self.reporter.clone(),
            metrics: self.metrics.clone(),
            created_by: self.created_by.clone(),
        };
        async move {
            if let Err(error) = look.look().await {
                tracing::warn!(%error, "the settings will be looked at later");
            }
        }
    }

    /// The next look follows the last one, however long that took.
    fn look_on(&self, context: &mut Context<Self>) {
        let look = self.look().into_actor(self);
        context.spawn(look.map(|(), _, context: &mut Context<Self>| {
            context.run_later(INTERVAL, |settings, context| settings.look_on(context));
        }));
    }
}

impl Actor for Settings {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // A loss is only seen before the settings are written.
        let look = self.look().into_actor(self);
        context.wait(look.map(|(), _, context: &mut Context<Self>| context.notify(Project)));
        context.run_later(INTERVAL, |settings, context| settings.look_on(context));
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
