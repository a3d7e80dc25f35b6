//! Drafts what people are to sign: the next versions of the roles that this service can't sign alone.
//!
//! One function, [`draft`], from top to bottom: what is wanted, what it lists, what is there already, the signatures of online keys, and
//! one amendment for all of it. What is true between the steps:
//!
//! - Until the *amendment* nothing has happened but that versions were given out.
//! - After it the roles have events, and whoever starts next finds nothing wanted. If two workers draft at once, the charter of
//!   one has moved, and it looks again.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::{
    bins::{TooLarge, UpdateError},
    round::Parts,
    signer::SigningKeys,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            Ledger, Repository,
            charter::{Amended, Amendment, Change, Charter, Chartered, Due, Reason, Wanted},
        },
    },
    task::{Progress, TaskId},
    tuf::{
        change,
        delegation::Delegations,
        event::{Authority, Event, EventError, Missing, State},
        expiry,
        limits::{self, Length},
        name::RoleName,
        root::{RoleKeys, Root},
        targets,
        wire::{Metadata, MetadataError, Unsigned},
    },
};

/// What a signature adds to a file at most: one by an RSA key of 4096 bits, in hexadecimal digits, with its key id.
const SIGNATURE_BYTES: usize = 1_200;
/// So many tasks of a role are told who is missing; the others are told when it has been published.
const TOLD: usize = 1_000;
/// A draft that has less of its life left is not worth signing: an eighth, and no more than a day.
const LIFE_PARTS: i32 = 8;
const LAST_DAY: SignedDuration = SignedDuration::from_hours(24);

/// What became of drafting.
#[derive(Debug)]
pub enum Drafted {
    /// Nothing is wanted that can be drafted.
    Nothing,
    /// These roles wait for people now.
    Opened(Vec<RoleName>),
    /// Somebody else was first: look again.
    Moved,
    /// A task asked for more than clients read; it was finished as refused. Look again.
    Refused(TaskId),
}

/// Why nothing was drafted. Another try is safe.
#[derive(Debug, Error)]
pub enum DraftError {
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event can't be made.
    #[error(transparent)]
    Event(#[from] EventError),
}

/// Opens the signing events that are wanted, and brings the open ones up to date.
///
/// # Errors
/// [`DraftError`]; then nothing was changed.
pub async fn draft(parts: &Parts) -> Result<Drafted, DraftError> {
    let (ledger, now) = (parts.ledger.as_ref(), parts.clock.now());
    let wanted = ledger.wanted(now).await?;
    if wanted.is_empty() {
        return Ok(Drafted::Nothing);
    }
    let Chartered { revision, mut charter, .. } = ledger.charter().await?;
    let Some(repository) = ledger.repository().await? else { return Ok(Drafted::Nothing) };
    let delegations = Delegations::view(&repository.delegations).map_err(stored)?;
    let listed = ledger.artifacts(wanted.iter().map(|wanted| wanted.role.clone()).collect()).await?;

    let mut opened = Vec::new();
    for (wanted, listed) in wanted.iter().zip(listed) {
        let Wanted { role, version, reason, changes, through } = wanted;
        let Some(authority) = authority(&charter, &delegations, role)? else {
            tracing::warn!(%role, "nobody delegates to a role that people are to sign; it is left out");
            continue;
        };
        let expires = expiry::expires(now, repository.settings.days(role));
        let listed = change::apply(listed, changes).into_iter().map(|(path, info)| (path, info.to_value()));
        let signed = targets::render(*version, expires, &listed.collect::<Vec<_>>(), None);
        match charter.events.get_mut(role) {
            // What was wanted is older than this event.
            Some(event) if event.state == State::Complete || event.version > *version || event.through > *through => {
                return Ok(Drafted::Moved);
            }
            Some(event) if *reason == Reason::Content && event.document.signed["targets"] == signed["targets"] => {
                event.through = *through;
                opened.push(role.clone());
                continue;
            }
            Some(_) | None => {}
        }
        let document = Metadata::unsigned(signed);
        if let Some(too_large) = too_large(role, &document, &authority) {
            match ledger.refuse(role, *through, too_large.to_string(), now).await? {
                Some(task) => return Ok(Drafted::Refused(task)),
                None => tracing::error!(error = %too_large, "people can't be asked to sign a role"),
            }
            continue;
        }
        let document = match with_online_signatures(parts, role, document, &authority).await {
            Ok(document) => document,
            // The people alone are too few for it. A key that comes back signs the next draft.
            Err(error) => {
                tracing::error!(%role, %error, "people are not asked to sign a role before its online keys do");
                continue;
            }
        };
        let event = Event::open(document, std::slice::from_ref(&authority), *through)?;
        let missing = event.missing(std::slice::from_ref(&authority))?;
        tracing::info!(%role, %version, %expires, missing = %in_words(&missing), "a role waits for signatures");
        charter.events.insert(role.clone(), event);
        opened.push(role.clone());
    }
    if opened.is_empty() {
        return Ok(Drafted::Nothing);
    }

    let change = Change { charter: Some(charter), ..Change::default() };
    Ok(match ledger.amend(Amendment { base: revision, task: None, change }, now).await? {
        Amended::Recorded => Drafted::Opened(opened),
        Amended::Moved => Drafted::Moved,
    })
}

/// Drops the events of delegated roles that would expire soon after people had signed them, and has new ones drafted. The signatures that
/// were given are lost. Returns the roles.
///
/// # Errors
/// Those of the ledger.
pub async fn drop_stale(
    ledger: &dyn Ledger,
    chartered: Chartered,
    now: Timestamp,
) -> Result<Vec<RoleName>, StoreError> {
    let Chartered { revision, mut charter, .. } = chartered;
    let Some(settings) = ledger.settings().await? else { return Ok(Vec::new()) };
    let is_stale = |(role, event): (&RoleName, &Event)| {
        let needed = (SignedDuration::from_hours(24) * i32::try_from(settings.days(role)).unwrap_or(i32::MAX)
            / LIFE_PARTS)
            .min(LAST_DAY);
        let expires = event.document.header().map_or(Timestamp::MIN, |header| header.expires);
        let of_delegated = !role.is_top_level() && event.state == State::Collecting;
        (of_delegated && expires.duration_since(now) < needed).then(|| role.clone())
    };
    let stale: Vec<_> = charter.events.iter().filter_map(is_stale).collect();
    if stale.is_empty() {
        return Ok(stale);
    }
    for role in &stale {
        charter.events.remove(role);
    }
    let change = Change { charter: Some(charter), due: Due::Roles(stale.clone()), ..Change::default() };
    match ledger.amend(Amendment { base: revision, task: None, change }, now).await? {
        Amended::Recorded => Ok(stale),
        Amended::Moved => Ok(Vec::new()),
    }
}

/// What is missing of people's signatures, by the role of each event that collects them.
///
/// # Errors
/// [`StoreError::Broken`] when what is stored can't be read.
pub fn missing(
    charter: &Charter,
    repository: Option<&Repository>,
) -> Result<BTreeMap<RoleName, Vec<Missing>>, StoreError> {
    let mut all = BTreeMap::new();
    let collecting: Vec<_> = charter.events.iter().filter(|(_, event)| event.state == State::Collecting).collect();
    if collecting.is_empty() {
        return Ok(all);
    }
    let delegations =
        repository.map(|repository| Delegations::view(&repository.delegations)).transpose().map_err(stored)?;
    for (role, event) in collecting {
        let authorities = if *role == RoleName::root() {
            let trusted = repository.map(|repository| Metadata::parse(&repository.root)).transpose().map_err(stored)?;
            let roots = trusted.iter().chain([&event.document]);
            let authority = |root: &Metadata| Ok(Authority::root(&Root::view(&root.signed)?));
            roots.map(authority).collect::<Result<Vec<_>, _>>().map_err(stored)?
        } else {
            let Some(delegations) = &delegations else { continue };
            authority(charter, delegations, role)?.into_iter().collect()
        };
        let missing = event.missing(&authorities).map_err(|error| StoreError::Broken(error.to_string()))?;
        all.insert(role.clone(), missing);
    }
    Ok(all)
}

/// The tasks that wait for people, each with who is missing.
///
/// # Errors
/// Those of the ledger.
pub async fn waiting(ledger: &dyn Ledger, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError> {
    let charter = ledger.charter().await?.charter;
    if charter.events.is_empty() {
        return Ok(Vec::new());
    }
    let missing = missing(&charter, ledger.repository().await?.as_ref())?;
    let mut tasks = BTreeMap::<TaskId, Vec<&RoleName>>::new();
    for role in charter.events.keys().filter(|role| !role.is_top_level()) {
        for task in ledger.waiting(role, TOLD).await? {
            tasks.entry(task).or_default().push(role);
        }
    }
    let progress = |(task, roles): (TaskId, Vec<&RoleName>)| {
        let of_role = |role: &&RoleName| Some((role.to_string(), missing.get(*role)?.clone()));
        let running = Progress::Running {
            roles_to_publish: roles.iter().map(ToString::to_string).collect(),
            missing: roles.iter().filter_map(of_role).collect(),
            last_update: now,
        };
        (task, running)
    };
    Ok(tasks.into_iter().map(progress).collect())
}

/// Who is to sign a delegated role: what was announced of it counts.
fn authority(charter: &Charter, delegations: &Delegations, role: &RoleName) -> Result<Option<Authority>, StoreError> {
    let announced = charter.roles.get(role).and_then(|custom| custom.announced.as_ref());
    match announced {
        Some(announced) => Authority::announced(&announced.role, &announced.keys).map(Some).map_err(stored),
        None => Ok(Authority::delegation(delegations, role)),
    }
}

/// Refuses what would be too large for some client with all its signatures.
fn too_large(role: &RoleName, document: &Metadata, authority: &Authority) -> Option<TooLarge> {
    let bytes = document.to_bytes().len() + authority.role.keyids.len() * SIGNATURE_BYTES;
    let clients = limits::too_large(role, bytes as u64, Length::Unsigned);
    (!clients.is_empty()).then(|| TooLarge { role: role.clone(), bytes, clients: clients.join(", ") })
}

/// Signs a draft with those keys of its role that are online.
async fn with_online_signatures(
    parts: &Parts,
    role: &RoleName,
    document: Metadata,
    authority: &Authority,
) -> Result<Metadata, UpdateError> {
    let online = SigningKeys::online(&authority.keys, &authority.role);
    let keyids: Vec<_> = online.keys.iter().map(|(id, _)| id.clone()).collect();
    if keyids.is_empty() {
        return Ok(document);
    }
    let people = u32::try_from(authority.role.keyids.len() - keyids.len()).unwrap_or(u32::MAX);
    let quorum = RoleKeys { keyids, threshold: authority.role.threshold.saturating_sub(people) };
    let keys = Arc::new(SigningKeys { quorums: vec![quorum], ..online });
    let file = parts.hands.sign(role, keys, Unsigned::of(&document.signed)?).await?;
    let signed = Metadata::parse(&file).map_err(stored)?;
    Ok(Metadata { signatures: signed.signatures, ..document })
}

/// What is missing, for the log.
fn in_words(missing: &[Missing]) -> String {
    let one = |missing: &Missing| format!("{} of {}", missing.signatures, missing.of.join(", "));
    missing.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn stored(error: MetadataError) -> StoreError {
    StoreError::Broken(format!("the ledger holds metadata that can't be read: {error}"))
}
