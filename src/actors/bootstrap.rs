//! Coordinates a bootstrap: everything that could go wrong later is checked before anything is recorded.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use thiserror::Error;

use super::{
    intake::{Arrived, MAX_EXPIRATION_DAYS},
    publisher::Publisher,
    reporter::{Report, Reporter},
    settings::Settings as Projection,
    signing::{Decision, State, record, tell},
    supervisor::{Lifeline, Post},
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        keys::KeyStore,
        ledger::{
            Ledger, NewRepository, RepositorySettings, Request, Work,
            charter::{Change, End, Founding, Signing},
        },
        results::Results,
        settings::{
            BOOTSTRAP, Settings,
            bootstrap::{BOOTSTRAP_DEADLINE, Claim, Deadline, Holder},
        },
    },
    task::{BinsRole, Bootstrap, BootstrapRoles, Job, Outcome, Progress, TaskId},
    tuf::{
        bins::{Bins, Layout, suggest},
        delegation::{
            change::{self, Draft},
            proposal::{self, Known, Names, Proposal},
        },
        event::{Authority, Event, State as Stands, faults},
        limits::{self, Estimate},
        name::{RoleName, Version},
        root::Root,
        rules,
        wire::Metadata,
    },
};

const ACTION: &str = "bootstrap";

/// Why a bootstrap is refused: the error of its task.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refusal(String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(reason.into()))
}

/// Checks a bootstrap and makes the repository that it asks for. Signatures of its root may be missing.
///
/// # Errors
/// [`Refusal`] with a sentence that names what is wrong.
pub fn prepare(bootstrap: &Bootstrap, now: Timestamp) -> Result<NewRepository, Refusal> {
    let Some(root) = bootstrap.metadata.get("root") else {
        return refuse("No 'metadata' in the payload: it has no 'root'");
    };
    let metadata = Metadata::from_value(root.clone()).map_err(|error| Refusal(format!("metadata.root: {error}")))?;
    let root = check_root(&metadata, now)?;
    let roles = &bootstrap.settings.roles;
    let bins = roles.bins.as_ref().map(check_bins).transpose()?;
    let proposals = match &roles.delegations {
        Some(asked) => propose(asked, &root, bins)?,
        None if bins.is_none() => return refuse("settings.roles: one of 'bins' and 'delegations' must be set"),
        None => Vec::new(),
    };
    let top_level = [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
    let own = proposals.iter().map(|proposal| proposal.name.clone());
    let names = own.chain(bins.into_iter().flat_map(Bins::names)).chain(top_level).collect();
    Ok(NewRepository {
        settings: RepositorySettings {
            expirations: expirations(roles, &proposals)?,
            number_of_delegated_bins: roles.bins.map(|bins| bins.number_of_delegated_bins),
            layout: roles.bins.map(|bins| bins.layout).unwrap_or_default(),
            root_num_keys: u32::try_from(metadata.signatures.len()).unwrap_or(u32::MAX),
        },
        delegations: delegations(&root, bins, &proposals)?,
        notes: bins.map(notes).unwrap_or_default(),
        root: metadata,
        custom: proposals.iter().map(|own| (own.name.clone(), Signing::of(&own.key_views, &own.view.keys))).collect(),
        roles: names,
    })
}

/// What is asked of a first root (TUF §5.3): that clients can take it when it is fully signed, and a valid signature at least.
fn check_root(metadata: &Metadata, now: Timestamp) -> Result<Root, Refusal> {
    let within = |error| Refusal(format!("metadata.root: {error}"));
    let root = rules::root(metadata, Version::FIRST, now).map_err(within)?;
    if metadata.signatures.is_empty() {
        return refuse("Metadata requires at least one valid signature");
    }
    let faults = faults(metadata, &[Authority::root(&root)]).map_err(|error| within(error.to_string()))?;
    if let Some((id, fault)) = faults.first() {
        return refuse(format!("Bootstrap has invalid signature(s): key {id}: {fault}"));
    }
    Ok(root)
}

fn check_bins(BinsRole { number_of_delegated_bins, layout, .. }: &BinsRole) -> Result<Bins, Refusal> {
    let bins = Bins::new(*number_of_delegated_bins, *layout).map_err(|error| Refusal(error.to_string()))?;
    if let Some((role, bytes, clients)) = Estimate::of(bins, 0).too_large().first() {
        let clients = clients.join(", ");
        return refuse(format!("with {} bins {role} would have {bytes} bytes, too large for {clients}", bins.count()));
    }
    Ok(bins)
}

/// Reads the custom roles. Another program than our API may have sent them, so all of their rules are checked.
fn propose(asked: &Value, root: &Root, bins: Option<Bins>) -> Result<Vec<Proposal>, Refusal> {
    if bins.is_some_and(|bins| bins.layout() == Layout::Succinct) {
        return refuse(
            "Bootstrap cannot use both hash bin delegation and custom target delegations: in the layout 'succinct' TUF \
             has no place for both, as 'succinct_roles' stands instead of 'roles'; the layout 'path_hash_prefixes' takes both",
        );
    }
    let none = change::none();
    let online = root.key_of_roles();
    let known = Known { delegations: &none, online, bins, names: Names::Unused([].into()) };
    let within = |error: String| Refusal(format!("settings.roles.delegations: {error}"));
    let read = proposal::read(asked, &known).map_err(|error| within(error.to_string()))?;
    let proposals = read.into_iter().collect::<Result<Vec<_>, _>>();
    proposals.map_err(|failed| within(format!("{}: {}", failed.role, failed.reason)))
}

/// The `delegations` of `targets`: custom roles first, and the bins for everything else.
fn delegations(root: &Root, bins: Option<Bins>, proposals: &[Proposal]) -> Result<Value, Refusal> {
    let key: Vec<_> = root.key_of_bins().map(|(id, key)| (id.clone(), key.raw.clone())).into_iter().collect();
    let bins = bins.map_or_else(change::none, |bins| bins.delegations(&key, 1));
    if proposals.is_empty() {
        return Ok(bins);
    }
    let within = |error| Refusal(format!("settings.roles.delegations: {error}"));
    let mut draft = Draft::of(&bins).map_err(within)?;
    for proposal in proposals {
        draft.put(&proposal.role, &proposal.keys).map_err(within)?;
    }
    draft.finish().map_err(within)
}

/// Days of validity by role. A custom role that says nothing of it has those of `targets`.
fn expirations(roles: &BootstrapRoles, proposals: &[Proposal]) -> Result<BTreeMap<String, u32>, Refusal> {
    let mut expirations = BTreeMap::from([
        ("root".to_owned(), roles.root.expiration),
        ("targets".to_owned(), roles.targets.expiration),
        ("snapshot".to_owned(), roles.snapshot.expiration),
        ("timestamp".to_owned(), roles.timestamp.expiration),
    ]);
    expirations.extend(roles.bins.map(|bins| ("bins".to_owned(), bins.expiration)));
    let days = |own: &Proposal| (own.name.to_string(), own.days.unwrap_or(roles.targets.expiration));
    expirations.extend(proposals.iter().map(days));
    // Another program than our API may have made this: a role that is never valid would stop every round.
    if let Some((role, days)) = expirations.iter().find(|(_, days)| !(1..=MAX_EXPIRATION_DAYS).contains(*days)) {
        return refuse(format!("{role} can't be valid for {days} days: 1 to {MAX_EXPIRATION_DAYS} are possible"));
    }
    Ok(expirations)
}

/// Founds the repository, or lets it wait until enough have signed its root.
pub fn decide(state: &State, task: &TaskId, new: &NewRepository, now: Timestamp) -> Decision {
    let charter = &state.chartered.charter;
    let holder = match (&state.repository, &charter.founding) {
        (Some(there), _) => Some(there.task.to_string()),
        (None, founding) => founding.as_ref().map(|founding| format!("signing-{}", founding.task)),
    };
    if let Some(holder) = holder {
        return Decision::refused(ACTION, format!("Bootstrap state is {holder}"), now);
    }
    found(state, task, new, now).unwrap_or_else(|error| Decision::refused(ACTION, error, now))
}

fn found(state: &State, task: &TaskId, new: &NewRepository, now: Timestamp) -> Result<Decision, String> {
    let mut charter = state.chartered.charter.clone();
    let role = RoleName::root();
    let authorities = state.authorities(&role, &new.root).map_err(|error| error.to_string())?;
    let event = Event::open(new.root.clone(), &authorities, 0).map_err(|error| error.to_string())?;
    if event.state == Stands::Complete {
        let outcome = Outcome::bootstrapped(task.as_str(), &new.notes, now);
        return Ok(Decision { outcome, end: End::Visible, change: Change::founds(charter, new.clone()) });
    }
    let missing = event.missing(&authorities).map_err(|error| error.to_string())?;
    let outcome = Outcome::bootstrap_signing(event.version, &missing, now);
    charter.events.insert(role, event);
    charter.founding = Some(Founding { task: task.clone(), repository: new.clone() });
    Ok(Decision { outcome, end: End::Now, change: Change { charter: Some(charter), ..Change::default() } })
}

/// What the operator should know of these bins: who can read them, and for how many artifacts they are made.
fn notes(bins: Bins) -> Vec<String> {
    let mut notes = Vec::new();
    let unreadable = limits::unreadable(bins.layout());
    if !unreadable.is_empty() {
        let clients = unreadable.join(", ");
        notes.push(format!("{clients} can't read this layout; with the layout 'path_hash_prefixes' it could"));
    }
    let sizes = Estimate::of(bins, 0);
    let mut most = 1u64;
    while suggest(most * 2, bins.layout()) <= bins.count() && most < 1 << 40 {
        most *= 2;
    }
    notes.push(format!(
        "{} bins suit up to about {most} artifacts; a client reads about {} KB of snapshot and {} KB of targets",
        bins.count(),
        sizes.snapshot.div_ceil(1000),
        sizes.targets.div_ceil(1000),
    ));
    notes
}

/// Begin this bootstrap.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Begin(pub Arrived);

/// The bootstrap coordinator. Restarting it loses nothing: what was not recorded is delivered again.
pub struct Coordinator {
    /// Where the repository is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where the lock of the bootstrap is.
    pub shared: Arc<dyn Settings>,
    /// Where it is told which bootstraps were revoked.
    pub results: Arc<dyn Results>,
    /// Where online keys are.
    pub keys: Arc<KeyStore>,
    /// The time.
    pub clock: Clock,
    /// Shows what waits for signatures.
    pub settings: Post<Projection>,
    /// Publishes the repository.
    pub publisher: Post<Publisher>,
    /// Tells how the task goes.
    pub reporter: Post<Reporter>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Coordinator {
    type Context = Context<Self>;
}

impl Handler<Begin> for Coordinator {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Begin(arrived): Begin, _: &mut Self::Context) -> Self::Result {
        let (ledger, shared, results) = (self.ledger.clone(), self.shared.clone(), self.results.clone());
        let (keys, now) = (self.keys.clone(), self.clock.now());
        let (settings, publisher, reporter) = (self.settings.clone(), self.publisher.clone(), self.reporter.clone());
        let work = async move {
            let with_api = Shared { settings: shared.as_ref(), results: results.as_ref() };
            let begun = begin(ledger.as_ref(), with_api, &keys, &arrived, now).await?;
            settle_lock(ledger.as_ref(), shared.as_ref(), &arrived.task).await?;
            match begun {
                Some(decision) => {
                    tell(&decision, &arrived.task, results.as_ref(), &settings, &reporter, &publisher).await;
                }
                None => reporter.tell(Report),
            }
            Ok(())
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// Swaps the lock of a bootstrap that was recorded: to `signing-<id>` while its root waits for signatures, and to nothing when there
/// is nothing of it: it was refused, revoked or stopped. That of a repository is written with its settings.
///
/// The process may end between the record and this: the task is delivered again then, and this does what is missing. Where a bootstrap
/// is stopped meanwhile, the lock `signing-<id>` is freed by the next projection, which looks for it.
async fn settle_lock(ledger: &dyn Ledger, settings: &dyn Settings, task: &TaskId) -> Result<(), StoreError> {
    let (waiting, signing) = (Holder::waiting(task), Holder::founded_by(task));
    if ledger.charter().await?.charter.founding.is_some_and(|founding| founding.task == *task) {
        settings.swap(BOOTSTRAP, &waiting, signing).await?;
    } else if ledger.repository().await?.is_none_or(|repository| repository.task != *task) {
        // In this order, as the lock goes from the first to the second.
        settings.swap(BOOTSTRAP, &waiting, Value::Null).await?;
        settings.swap(BOOTSTRAP, &signing, Value::Null).await?;
    }
    Ok(())
}

/// What is shared with the API.
#[derive(Clone, Copy)]
struct Shared<'a> {
    settings: &'a dyn Settings,
    results: &'a dyn Results,
}

/// Whether a bootstrap that was delivered is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    /// It is: no API revokes it from here on.
    Ours,
    /// It was revoked, or another one came instead.
    Revoked,
}

/// Claims the bootstrap `task`, which may wait until `deadline` if nobody else knows for how long. Every step may have been done
/// by an earlier delivery.
async fn claim(shared: Shared<'_>, task: &TaskId, deadline: Timestamp, now: Timestamp) -> Result<Claimed, StoreError> {
    let Shared { settings, results } = shared;
    loop {
        // In this order: the lock of a task is there before its deadline.
        let there = settings.get(BOOTSTRAP_DEADLINE).await?;
        let lock = settings.get(BOOTSTRAP).await?;
        match Deadline::read(&there).claim(&Holder::read(&lock), task) {
            Claim::Held => return Ok(Claimed::Ours),
            Claim::Revoked => return Ok(Claimed::Revoked),
            Claim::Swap => {
                let claimed = Deadline::Claimed(task.clone()).to_value();
                if settings.swap(BOOTSTRAP_DEADLINE, &there, claimed).await? {
                    return Ok(Claimed::Ours);
                }
            }
            Claim::Retake => {
                if now > deadline || results.get(task).await? == Some(Progress::Revoked) {
                    return Ok(Claimed::Revoked);
                }
                settings.swap(BOOTSTRAP, &lock, Holder::waiting(task)).await?;
            }
        }
    }
}

/// Records the bootstrap, or why it is none. `None` when it was revoked.
async fn begin(
    ledger: &dyn Ledger,
    shared: Shared<'_>,
    keys: &KeyStore,
    arrived: &Arrived,
    now: Timestamp,
) -> Result<Option<Decision>, StoreError> {
    let Arrived { task, accepted_at, job } = arrived;
    let Job::Bootstrap(bootstrap) = job else {
        return Err(StoreError::Broken(format!("{} was sent to the bootstrap coordinator", job.action())));
    };
    let deadline = accepted_at.saturating_add(SignedDuration::from_secs(bootstrap.timeout)).unwrap_or(Timestamp::MAX);
    if claim(shared, task, deadline, now).await? == Claimed::Revoked {
        let work = Work::Nothing { action: ACTION, progress: Progress::Revoked };
        ledger.stage(vec![Request { task: task.clone(), accepted_at: *accepted_at, work }], now).await?;
        return Ok(None);
    }
    let new = prepare(bootstrap, now);
    let decision = record(ledger, keys, arrived, now, |state| match &new {
        Ok(new) => decide(state, task, new, now),
        Err(refusal) => Decision::refused(ACTION, &refusal.0, now),
    });
    decision.await.map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        actors::signing::sample::{after, before, details, online_key, refusal, root},
        store::{
            ledger::charter::Charter,
            results::{DEFAULT_EXPIRY, sqlite::SqliteResults},
            settings::sqlite::SqliteSettings,
            shared::SharedDatabase,
        },
        tuf::{
            delegation::Delegations,
            key::key_id,
            sample::{Signer, at, role, sign},
        },
    };

    /// A root of `a` and `b` that both must sign, with an online key.
    struct Case {
        a: Signer,
        b: Signer,
        online: Signer,
    }

    impl Case {
        fn new() -> Self {
            Self { a: Signer::new(), b: Signer::new(), online: Signer::new() }
        }

        fn root(&self) -> Value {
            root(1, &[&self.a, &self.b], 2, &self.online)
        }

        fn signed(&self) -> Metadata {
            sign(self.root(), &[&self.a, &self.b])
        }

        fn prepare(&self, root: &Metadata, more: Value) -> Result<NewRepository, String> {
            let mut roles = json!({
                "root": {"expiration": 365},
                "targets": {"expiration": 30},
                "snapshot": {"expiration": 1},
                "timestamp": {"expiration": 1},
            });
            roles.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let payload = json!({"settings": {"roles": roles}, "metadata": {"root": root.to_value()}, "timeout": 300});
            let bootstrap: Bootstrap = serde_json::from_value(payload).expect("a bootstrap");
            prepare(&bootstrap, at(0)).map_err(|refusal| refusal.0)
        }
    }

    fn bins(layout: &str) -> Value {
        json!({"expiration": 7, "number_of_delegated_bins": 4, "layout": layout})
    }

    /// Roles: `auto` names no key, `dev` has a key of a person, `mixed` that and an online key, and both must sign.
    fn custom(person: &Signer, online: &Signer) -> Value {
        // With its address in it, so that its id says so too.
        let (_, key) = online_key(online);
        let id = key_id(&key).expect("an id");
        let named = |name: &str, keyids: Value, threshold: u32| {
            json!({
                "name": name, "keyids": keyids, "threshold": threshold, "terminating": true, "paths": [format!("{name}/*")],
            })
        };
        let mut mixed = named("mixed", json!([person.id(), id]), 2);
        mixed["x-rstuf-expire-policy"] = json!(90);
        json!({
            "keys": {person.id().as_str(): person.key(), id.as_str(): key},
            "roles": [named("auto", json!([]), 1), named("dev", json!([person.id()]), 1), mixed],
        })
    }

    fn task(id: &str) -> TaskId {
        TaskId::from_text(id)
    }

    #[test]
    fn a_root_that_all_have_signed_founds_the_repository() {
        let case = Case::new();
        let new = case.prepare(&case.signed(), json!({"bins": bins("succinct")})).expect("prepared");
        let decision = decide(&before(Charter::default()), &task("a"), &new, at(0));
        assert_eq!(details(&decision)["bootstrap"], "Bootstrap finished a");
        assert_eq!(decision.end, End::Visible);
        assert_eq!(decision.change.create.as_deref(), Some(&new));
        assert_eq!((new.roles.len(), new.custom.len(), new.settings.root_num_keys), (7, 0, 2));
        assert_eq!(new.delegations["succinct_roles"]["keyids"], json!([case.online.id()]));
    }

    #[test]
    fn a_root_that_lacks_signatures_waits_and_nobody_else_may_begin() {
        let case = Case::new();
        let root = sign(case.root(), &[&case.a]);
        let new = case.prepare(&root, json!({"bins": bins("succinct")})).expect("prepared");
        let state = before(Charter::default());
        let decision = decide(&state, &task("a"), &new, at(0));
        assert_eq!(details(&decision)["bootstrap"], "Root v1 is pending signature");
        let missing = json!([{"authority": "root v1", "signatures": 1, "of": [case.b.id()]}]);
        assert_eq!((&details(&decision)["missing"], decision.end), (&missing, End::Now));
        let charter = decision.change.charter.clone().expect("changed");
        assert_eq!(charter.founding, Some(Founding { task: task("a"), repository: new.clone() }));
        assert_eq!(charter.events[&RoleName::root()].document, root);
        let later = decide(&after(&state, &decision), &task("b"), &new, at(0));
        assert_eq!(refusal(&later), "Bootstrap state is signing-a");
        let there = crate::actors::signing::sample::state(&root, json!({}), Charter::default());
        assert_eq!(refusal(&decide(&there, &task("b"), &new, at(0))), "Bootstrap state is boot");
    }

    #[test]
    fn a_root_that_can_not_begin_a_repository_is_refused() {
        let case = Case::new();
        let refused = |root: &Metadata| case.prepare(root, json!({"bins": bins("succinct")})).expect_err("refused");
        let unsigned = Metadata::unsigned(case.root());
        assert_eq!(refused(&unsigned), "Metadata requires at least one valid signature");
        let mut wrong = case.signed();
        wrong.signatures[0].sig = case.b.sign(&unsigned).sig;
        let fault = format!("key {}: the signature is not by this key over this content", case.a.id());
        assert_eq!(refused(&wrong), format!("Bootstrap has invalid signature(s): {fault}"));
        let second = sign(root(2, &[&case.a], 1, &case.online), &[&case.a]);
        assert_eq!(refused(&second), "metadata.root: Expected root version 1 instead got version 2");
        // B32
        let mut expired = case.root();
        expired["expires"] = json!("2026-11-21T00:00:00Z");
        let why = "metadata.root: it expired at 2026-11-21T00:00:00Z, clients would refuse it";
        assert_eq!(refused(&sign(expired, &[&case.a])), why);
    }

    #[test]
    fn roles_with_names_are_delegated_in_their_order() {
        let case = Case::new();
        let (person, online) = (Signer::new(), Signer::new());
        let new = case.prepare(&case.signed(), json!({"delegations": custom(&person, &online)})).expect("prepared");
        let signing = [("auto", Signing::Online), ("dev", Signing::Offline), ("mixed", Signing::Offline)];
        assert_eq!(new.custom, signing.map(|(name, signing)| (role(name), signing)).into());
        let expirations = ["auto", "dev", "mixed", "bins"].map(|role| new.settings.expirations.get(role).copied());
        assert_eq!(expirations, [Some(30), Some(30), Some(90), None]);
        assert_eq!((new.roles.len(), new.settings.number_of_delegated_bins), (6, None));
        let view = Delegations::view(&new.delegations).expect("delegations");
        assert_eq!(view.role(&role("auto")).expect("a role").keyids, [case.online.id()]);
        assert_eq!(view.keys.len(), 3);
        assert_eq!(new.delegations["roles"][2].get("x-rstuf-expire-policy"), None);
    }

    #[test]
    fn bins_take_what_roles_with_names_leave_where_the_layout_has_a_place_for_both() {
        let case = Case::new();
        let delegations = custom(&Signer::new(), &Signer::new());
        let both = |layout| json!({"bins": bins(layout), "delegations": delegations});
        let new = case.prepare(&case.signed(), both("path_hash_prefixes")).expect("prepared");
        let names: Vec<_> =
            new.delegations["roles"].as_array().expect("roles").iter().map(|role| &role["name"]).collect();
        assert_eq!(names, ["auto", "dev", "mixed", "bins-0", "bins-1", "bins-2", "bins-3"]);
        assert_eq!((new.roles.len(), new.custom.len()), (10, 3));
        let refused = case.prepare(&case.signed(), both("succinct")).expect_err("refused");
        let sentence = "Bootstrap cannot use both hash bin delegation and custom target delegations: ";
        assert!(refused.starts_with(sentence) && refused.contains("TUF"), "{refused}");
        let neither = case.prepare(&case.signed(), json!({})).expect_err("refused");
        assert_eq!(neither, "settings.roles: one of 'bins' and 'delegations' must be set");
    }

    /// The API checks the same; another program may not.
    #[test]
    fn roles_that_can_not_be_are_refused() {
        let case = Case::new();
        let (person, online) = (Signer::new(), Signer::new());
        let refused = |pointer: &str, value: Value| {
            let mut delegations = custom(&person, &online);
            *delegations.pointer_mut(pointer).expect("a member") = value;
            case.prepare(&case.signed(), json!({"delegations": delegations})).expect_err(pointer)
        };
        let of = |what: &str| format!("settings.roles.delegations: {what}");
        assert_eq!(refused("/roles/0/threshold", json!(2)), of("auto: If no keys assigned threshold must be 1"));
        assert_eq!(
            refused("/roles/1/name", json!("Root")),
            of("Delegated roles cannot be empty or use top-level role names")
        );
        assert!(refused("/roles/1/name", json!("a/b")).starts_with(&of("a/b: ")));
        assert!(refused("/roles/1/name", json!("AUTO")).starts_with(&of("AUTO: ")));
        assert!(refused("/roles/1/name", json!("bins")).starts_with(&of("bins: ")));
        assert!(refused("/roles/1/threshold", json!(2)).starts_with(&of("dev: threshold")));
        assert!(refused("/roles/1/keyids", json!(["nobody"])).starts_with(&of("dev: key nobody")));
        assert!(refused("/roles/1/paths", json!([""])).starts_with(&of("dev: paths")));
        let days = "mixed: x-rstuf-expire-policy";
        assert!(refused("/roles/2/x-rstuf-expire-policy", json!(0)).starts_with(&of(days)));
        let key = format!("/keys/{}", person.id());
        assert!(refused(&key, Signer::new().key()).starts_with(&of(&format!("dev: key {}", person.id()))));
    }

    /// What a worker makes of the task `a` whose time is over at `deadline`, and what it leaves.
    async fn claimed(lock: Value, there: Value, known: Option<Progress>, deadline: i64) -> (Claimed, Value, Value) {
        let home = tempfile::tempdir().expect("a directory");
        let shared = SharedDatabase::open(home.path().join("shared.db")).expect("a database");
        let settings = SqliteSettings::new(&shared);
        let results = SqliteResults::new(&shared, Clock::fixed(Timestamp::UNIX_EPOCH), DEFAULT_EXPIRY);
        let fields = [(BOOTSTRAP.to_owned(), lock), (BOOTSTRAP_DEADLINE.to_owned(), there)];
        settings.put(fields.into()).await.expect("put");
        let task = TaskId::from_text("a");
        results.put(known.map(|known| (task.clone(), known)).into_iter().collect()).await.expect("put");
        let deadline = Timestamp::from_second(deadline).expect("a time");
        let shared = Shared { settings: &settings, results: &results };
        let claimed = claim(shared, &task, deadline, Timestamp::UNIX_EPOCH).await.expect("answered");
        let left = async |name| settings.get(name).await.expect("read");
        (claimed, left(BOOTSTRAP).await, left(BOOTSTRAP_DEADLINE).await)
    }

    #[tokio::test]
    async fn a_bootstrap_that_waits_is_claimed_however_late_it_is() {
        let ours = (Claimed::Ours, json!("pre-a"), json!("claimed a"));
        for there in [json!("a 60"), json!("claimed a"), Value::Null, json!("b 60"), json!("revoked b")] {
            assert_eq!(claimed(json!("pre-a"), there, None, -1).await, ours);
        }
        assert_eq!(claimed(json!("a"), Value::Null, None, -1).await, (Claimed::Ours, json!("a"), Value::Null));
    }

    #[tokio::test]
    async fn a_bootstrap_of_which_nothing_is_known_takes_its_lock_again_in_time() {
        let free = Value::Null;
        let ours = (Claimed::Ours, json!("pre-a"), json!("claimed a"));
        assert_eq!(claimed(free.clone(), free.clone(), None, 0).await, ours);
        assert_eq!(claimed(free.clone(), json!("a 60"), None, 0).await, ours);
        let revoked = (Claimed::Revoked, free.clone(), free.clone());
        assert_eq!(claimed(free.clone(), free.clone(), None, -1).await, revoked);
        assert_eq!(claimed(free.clone(), free, Some(Progress::Revoked), 0).await, revoked);
    }

    #[tokio::test]
    async fn a_bootstrap_that_was_revoked_or_replaced_is_left() {
        for (lock, there) in [
            (json!("pre-a"), json!("revoked a")),
            (json!("pre-b"), json!("b 60")),
            (json!("pre-b"), Value::Null),
            (json!("b"), Value::Null),
        ] {
            let left = (Claimed::Revoked, lock.clone(), there.clone());
            assert_eq!(claimed(lock, there, None, 60).await, left);
        }
    }
}
