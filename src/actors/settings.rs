//! Projects what the ledger knows into the settings that the API reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    reporter::{Again, Reporter},
    supervisor::{Lifeline, Post},
};
use crate::{
    store::{
        StoreError,
        ledger::{
            Ledger, NewRepository, Repository, RepositorySettings,
            charter::{Announced, Charter, Chartered, Founding, Signing},
        },
        settings::{
            self, BOOTSTRAP, CHARTER_REVISION, EXPIRING, SIGNING_DELEGATIONS, SIGNING_EVENTS, bootstrap::Holder,
        },
    },
    task::TaskId,
    telemetry::metrics::Metrics,
    tuf::{
        event,
        name::{RoleName, Version},
        root::Root,
        wire::{Metadata, MetadataError, RoleType},
    },
};

mod expiring;

/// Between two looks at when roles expire.
const EXPIRING_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks whether the settings are still there.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long the reporter may take to note what it has to do.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Writes the settings of the repository, or of the one that waits for the signatures of its first root, under the names of the
/// contract. Does nothing between the last of these signatures and the first publication.
///
/// # Errors
/// Those of the two stores; the next call writes everything again.
pub async fn project(ledger: &dyn Ledger, settings: &dyn settings::Settings) -> Result<(), StoreError> {
    // Before the ledger: what is projected of a founding that the ledger does not know was given up since.
    let there = settings.all().await?;
    let chartered = ledger.charter().await?;
    let broken =
        |error: MetadataError| StoreError::Broken(format!("the ledger holds metadata that can't be read: {error}"));
    let mut fields = match ledger.repository().await? {
        Some(_) if ledger.head().await?.is_none() => return Ok(()),
        Some(repository) => {
            let mut fields = of_repository(&repository, &chartered.charter).map_err(broken)?;
            let root = repository.trusted_root().map_err(broken)?;
            let told = expiring::setting(ledger.expiries().await?, &root, &chartered.charter);
            fields.insert(EXPIRING.to_owned(), told);
            fields
        }
        None => match &chartered.charter.founding {
            Some(founding) => of_founding(founding, &chartered.charter).map_err(broken)?,
            None => return give_up(settings, there).await,
        },
    };
    fields.insert(CHARTER_REVISION.to_owned(), json!(chartered.revision));
    fields.extend(outdated(&there, &fields));
    settings.put(fields).await
}

/// The settings of a founding that was given up become null, and a new bootstrap may be asked for.
async fn give_up(settings: &dyn settings::Settings, there: BTreeMap<String, Value>) -> Result<(), StoreError> {
    let Some(lock) = there.get(BOOTSTRAP).filter(|lock| Holder::founding(lock).is_some()) else { return Ok(()) };
    let mut fields = outdated(&there, &BTreeMap::new());
    fields.remove(BOOTSTRAP);
    if !fields.is_empty() {
        settings.put(fields).await?;
    }
    // The last: until then another look finds it again.
    settings.swap(BOOTSTRAP, lock, Value::Null).await.map(drop)
}

/// Nulls for those projected settings that do not apply any more: fields are never deleted.
fn outdated(there: &BTreeMap<String, Value>, fields: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let gone =
        there.iter().filter(|(name, value)| is_projected(name) && !value.is_null() && !fields.contains_key(*name));
    gone.map(|(name, _)| (name.clone(), Value::Null)).collect()
}

/// Whether a setting is one of those that come from the ledger alone.
fn is_projected(name: &str) -> bool {
    let fixed = [
        "NUMBER_OF_DELEGATED_BINS",
        "BINS_LAYOUT",
        "TARGETS_ONLINE_KEY",
        "ONLINE_KEY",
        "TRUSTED_ROOT",
        "TRUSTED_TARGETS",
        SIGNING_EVENTS,
        SIGNING_DELEGATIONS,
        EXPIRING,
        CHARTER_REVISION,
    ];
    let endings = ["_EXPIRATION", "_THRESHOLD", "_NUM_KEYS", "_SIGNING"];
    fixed.contains(&name) || endings.iter().any(|ending| name.ends_with(ending))
}

fn of_repository(repository: &Repository, charter: &Charter) -> Result<BTreeMap<String, Value>, MetadataError> {
    let metadata = Metadata::parse(&repository.root)?;
    let custom = charter.roles.iter().filter(|(_, role)| !role.retired).map(|(role, _)| role.as_str());
    let mut fields = common(&repository.settings, custom, &metadata)?;
    fields.extend(events(charter));
    fields.insert("TRUSTED_ROOT".to_owned(), metadata.to_value());
    if let Some(targets) = &repository.targets {
        fields.insert("TRUSTED_TARGETS".to_owned(), Metadata::parse(targets)?.to_value());
    }
    fields.insert(BOOTSTRAP.to_owned(), json!(repository.task));
    Ok(fields)
}

fn of_founding(founding: &Founding, charter: &Charter) -> Result<BTreeMap<String, Value>, MetadataError> {
    let NewRepository { settings, root, custom, .. } = &founding.repository;
    let mut fields = common(settings, custom.keys().map(RoleName::as_str), root)?;
    fields.extend(events(charter));
    fields.insert(BOOTSTRAP.to_owned(), Holder::founded_by(&founding.task));
    Ok(fields)
}

/// What a repository has of settings whether it is published or not.
fn common<'a>(
    settings: &RepositorySettings,
    custom: impl Iterator<Item = &'a str>,
    root: &Metadata,
) -> Result<BTreeMap<String, Value>, MetadataError> {
    let view = Root::view(&root.signed)?;
    let mut fields = BTreeMap::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let bins = settings.number_of_delegated_bins.map(|_| "bins");
    for role in ["root", "targets", "snapshot", "timestamp"].into_iter().chain(bins).chain(custom) {
        if let Some(days) = settings.expirations.get(role) {
            set(&format!("{}_EXPIRATION", role.to_uppercase()), json!(days));
        }
    }
    for role in ["TARGETS", "SNAPSHOT", "TIMESTAMP"].into_iter().chain(bins.map(|_| "BINS")) {
        set(&format!("{role}_THRESHOLD"), json!(1));
        set(&format!("{role}_NUM_KEYS"), json!(1));
    }
    let of_root = view.role(RoleType::Root);
    set("ROOT_THRESHOLD", json!(of_root.threshold));
    let signatures =
        if view.version == Version::FIRST { settings.root_num_keys as usize } else { root.signatures.len() };
    set("ROOT_NUM_KEYS", json!(signatures));
    if let Some(number) = settings.number_of_delegated_bins {
        set("NUMBER_OF_DELEGATED_BINS", json!(number));
        set("BINS_LAYOUT", json!(settings.layout));
    }
    let is_online = |role| Signing::of(&view.keys, view.role(role)) == Signing::Online;
    set("TARGETS_ONLINE_KEY", json!(is_online(RoleType::Targets)));
    if let Some((id, key)) = view.online_key(RoleType::Timestamp) {
        let mut key = key.raw.clone();
        key["keyid"] = json!(id);
        set("ONLINE_KEY", key);
    }
    Ok(fields)
}

/// What waits for signatures: the document of each role, the names of the roles, which those of the settings do not tell, and by
/// which delegation a role is signed that `targets` does not have yet.
fn events(charter: &Charter) -> BTreeMap<String, Value> {
    let collecting: BTreeMap<_, _> =
        charter.events.iter().filter(|(_, event)| event.state == event::State::Collecting).collect();
    let document = |role: &RoleName| collecting.get(role).map_or(Value::Null, |event| event.document.to_value());
    let roles =
        charter.roles.keys().cloned().chain([RoleName::root()]).chain(collecting.keys().map(|role| (*role).clone()));
    let mut fields: BTreeMap<_, _> =
        roles.map(|role| (format!("{}_SIGNING", role.as_str().to_uppercase()), document(&role))).collect();
    fields.insert(SIGNING_EVENTS.to_owned(), json!(collecting.keys().collect::<Vec<_>>()));
    let announced: Map<_, _> = collecting
        .keys()
        .filter_map(|role| {
            let Announced { role: object, keys } = charter.roles.get(*role)?.announced.as_ref()?;
            Some((role.to_string(), json!({"keys": keys, "roles": [object]})))
        })
        .collect();
    if !announced.is_empty() {
        fields.insert(SIGNING_DELEGATIONS.to_owned(), Value::Object(announced));
    }
    fields
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
    /// The bootstrap of the ledger, or its last signature, is not projected yet.
    Before,
    /// It is missing or wrong: what held it lost it.
    Lost,
}

/// Compares the setting [`BOOTSTRAP`] with the task that created the repository.
pub fn compare(setting: &Value, task: &TaskId) -> Seen {
    match setting.as_str() {
        Some(text) if text == task.as_str() => Seen::Right,
        Some(_) => match Holder::read(setting) {
            Holder::Waiting(waiting) | Holder::Taken(waiting) if waiting == *task => Seen::Before,
            _ => Seen::Lost,
        },
        None => Seen::Lost,
    }
}

/// The same while the first root waits for signatures.
fn compare_founding(setting: &Value, task: &TaskId) -> Seen {
    match Holder::read(setting) {
        Holder::Waiting(waiting) if waiting == *task => Seen::Before,
        _ if *setting == Holder::founded_by(task) => Seen::Right,
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
        let created_by = match self.created_by.get() {
            Some(task) => Some(task),
            None if self.ledger.head().await?.is_none() => None,
            None => {
                let repository = self.ledger.repository().await?;
                repository.map(|repository| self.created_by.get_or_init(|| repository.task))
            }
        };
        // In this order, as when they are projected.
        let (lock, projected) = (self.settings.get(BOOTSTRAP).await?, self.settings.get(CHARTER_REVISION).await?);
        let Chartered { revision, charter, .. } = self.ledger.charter().await?;
        let seen = match (created_by, &charter.founding) {
            (Some(task), _) => compare(&lock, task),
            (None, Some(founding)) => compare_founding(&lock, &founding.task),
            // A founding may have been given up.
            (None, None) if Holder::founding(&lock).is_some() => Seen::Before,
            (None, None) => return Ok(()),
        };
        match seen {
            Seen::Right if projected == json!(revision) => return Ok(()),
            // Of two workers the one that had read less wrote later, or the one that decided ended before it wrote.
            Seen::Right => {}
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

    /// The next look at when roles expire follows the last one, too.
    fn tell_expiries(&self, context: &mut Context<Self>) {
        let (ledger, settings) = (self.ledger.clone(), self.settings.clone());
        let work = async move {
            if let Err(error) = expiring::renew(ledger.as_ref(), settings.as_ref()).await {
                tracing::debug!(%error, "when roles expire will be told later");
            }
        };
        context.spawn(work.into_actor(self).map(|(), _, context: &mut Context<Self>| {
            context.run_later(EXPIRING_INTERVAL, |settings, context| settings.tell_expiries(context));
        }));
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
        context.run_later(EXPIRING_INTERVAL, |settings, context| settings.tell_expiries(context));
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        store::{
            ledger::{
                charter::{Amended, Amendment, Change, CustomRole},
                sqlite::SqliteLedger,
            },
            settings::{Settings as _, sqlite::SqliteSettings},
            shared::SharedDatabase,
        },
        tuf::{
            event::{Authority, Event},
            sample::{self, Signer, role},
        },
    };

    fn founding(task: &str, custom: &[&str]) -> (Founding, Event) {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let root = sample::sign(sample::root(1, &[&a, &b], 2, &online), &[&a]);
        let authority = Authority::root(&Root::view(&root.signed).expect("a root"));
        let event = Event::open(root.clone(), &[authority], 0).expect("an event");
        let settings = RepositorySettings {
            expirations: ["root", "targets", "snapshot", "timestamp", "Docs"].map(|role| (role.to_owned(), 7)).into(),
            number_of_delegated_bins: None,
            layout: Default::default(),
            root_num_keys: 1,
        };
        let repository = NewRepository {
            settings,
            delegations: json!({"keys": {}, "roles": []}),
            notes: Vec::new(),
            root,
            roles: Vec::new(),
            custom: custom.iter().map(|name| (role(name), Signing::Offline)).collect(),
        };
        (Founding { task: TaskId::from_text(task), repository }, event)
    }

    async fn amend(ledger: &SqliteLedger, change: impl FnOnce(&mut Charter)) {
        let Chartered { revision, mut charter, .. } = ledger.charter().await.expect("read");
        change(&mut charter);
        let change = Change { charter: Some(charter), ..Change::default() };
        let amendment = Amendment { base: revision, task: None, change };
        let now = sample::at(0);
        assert_eq!(ledger.amend(amendment, now).await.expect("amended"), Amended::Recorded);
    }

    #[actix::test]
    async fn a_founding_is_projected_and_taken_back_when_it_is_given_up() {
        let home = TempDir::new().expect("a directory");
        let ledger = SqliteLedger::open(&home.path().join("ledger.db")).expect("the ledger opens");
        let shared = SharedDatabase::open(home.path().join("shared.db")).expect("the shared database opens");
        let settings = SqliteSettings::new(&shared);
        settings.put([(BOOTSTRAP.to_owned(), json!("pre-7"))].into()).await.expect("put");
        project(&ledger, &settings).await.expect("projected");
        assert_eq!(settings.get(BOOTSTRAP).await.expect("read"), json!("pre-7"), "it waits for a worker");

        let (founding, event) = founding("7", &["Docs"]);
        let document = event.document.to_value();
        amend(&ledger, |charter| {
            charter.founding = Some(founding);
            charter.events.insert(RoleName::root(), event);
        })
        .await;
        // Twice, the second time after everything was lost.
        for _ in 0..2 {
            project(&ledger, &settings).await.expect("projected");
            let all = settings.all().await.expect("read");
            assert_eq!(all[BOOTSTRAP], json!("signing-7"));
            assert_eq!(all["ROOT_SIGNING"], document);
            assert_eq!((&all["DOCS_EXPIRATION"], &all["ROOT_THRESHOLD"]), (&json!(7), &json!(2)));
            assert_eq!(all[SIGNING_EVENTS], json!(["root"]));
            for absent in ["TRUSTED_ROOT", "TRUSTED_TARGETS", "NUMBER_OF_DELEGATED_BINS", "BINS_EXPIRATION"] {
                assert!(all.get(absent).is_none_or(Value::is_null), "{absent}");
            }
            settings.put(all.into_keys().map(|name| (name, Value::Null)).collect()).await.expect("put");
        }
        project(&ledger, &settings).await.expect("projected");

        amend(&ledger, |charter| *charter = Charter::default()).await;
        project(&ledger, &settings).await.expect("projected");
        let all = settings.all().await.expect("read");
        assert!(all.values().all(Value::is_null), "{all:?}");
    }

    #[test]
    fn events_are_told_by_the_names_of_the_settings_and_by_their_own() {
        let (_, event) = founding("7", &[]);
        let custom = CustomRole { signing: Signing::Offline, retired: false, announced: None };
        let mut charter = Charter {
            roles: ["Docs", "other"].map(|name| (role(name), custom.clone())).into(),
            events: [(role("Docs"), event.clone())].into(),
            ..Charter::default()
        };
        let fields = events(&charter);
        assert_eq!(fields["DOCS_SIGNING"], event.document.to_value());
        assert_eq!((&fields["OTHER_SIGNING"], &fields["ROOT_SIGNING"]), (&Value::Null, &Value::Null));
        assert_eq!((&fields[SIGNING_EVENTS], fields.get(SIGNING_DELEGATIONS)), (&json!(["Docs"]), None));
        let announced = Announced { role: json!({"name": "Docs"}), keys: Map::new() };
        charter.roles.values_mut().for_each(|role| role.announced = Some(announced.clone()));
        let told = json!({"Docs": {"keys": {}, "roles": [{"name": "Docs"}]}});
        assert_eq!(events(&charter)[SIGNING_DELEGATIONS], told);
        charter.events.get_mut(&role("Docs")).expect("an event").state = event::State::Complete;
        let fields = events(&charter);
        assert_eq!((&fields["DOCS_SIGNING"], &fields[SIGNING_EVENTS]), (&Value::Null, &json!([])));
    }

    #[test]
    fn what_does_not_apply_any_more_becomes_null() {
        let there = [("GONE_EXPIRATION", json!(1)), ("GONE_SIGNING", json!({})), ("NULL_SIGNING", Value::Null)];
        let there = there.into_iter().chain([("BOOTSTRAP_DEADLINE", json!("x")), ("ROOT_EXPIRATION", json!(1))]);
        let there = there.map(|(name, value)| (name.to_owned(), value)).collect();
        let fields = [("ROOT_EXPIRATION".to_owned(), json!(2))].into();
        let expected = ["GONE_EXPIRATION", "GONE_SIGNING"].map(|name| (name.to_owned(), Value::Null));
        assert_eq!(outdated(&there, &fields), expected.into());
    }

    #[test]
    fn a_lock_tells_what_is_projected() {
        let task = TaskId::from_text("7");
        for (lock, of_repository, of_founding) in [
            ("7", Seen::Right, Seen::Lost),
            ("pre-7", Seen::Before, Seen::Before),
            ("signing-7", Seen::Before, Seen::Right),
            ("signing-8", Seen::Lost, Seen::Lost),
        ] {
            let lock = json!(lock);
            assert_eq!((compare(&lock, &task), compare_founding(&lock, &task)), (of_repository, of_founding), "{lock}");
        }
        assert_eq!((compare(&Value::Null, &task), compare_founding(&Value::Null, &task)), (Seen::Lost, Seen::Lost));
    }
}
