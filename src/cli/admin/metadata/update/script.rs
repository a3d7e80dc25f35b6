//! The questions of an update.

use jiff::Timestamp;

use super::{
    change::{Change, ONLINE, check, keys_of, names_of},
    review,
};
use crate::{
    cli::{
        admin::{
            keys::{NamedKey, ask_online, ask_person},
            numbers::{ask_days, ask_threshold_of},
            review::any_of,
            trusted::TrustedRoot,
        },
        failure::Failure,
        interview::{Choice, Interview, List, Stop},
    },
    task::Rotation,
    tuf::{
        expiry::expires,
        root::Root,
        wire::{Metadata, format_expires},
    },
};

const DEFAULT_DAYS: u32 = 365;
const LEAST_THRESHOLD: u32 = 2;

/// What was decided, and the document that says it.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) next: Metadata,
    pub(super) root: Root,
    pub(super) rotation: Rotation,
}

/// Asks what changes, and shows it before it ends. `rotation` is what an option says already; `warnings` are told with the rest.
pub(super) async fn ask(
    interview: &mut Interview,
    trusted: &TrustedRoot,
    rotation: Option<Rotation>,
    warnings: &[String],
    now: Timestamp,
) -> Result<Decided, Stop> {
    let root = &trusted.root;
    introduce(interview, root, now);
    let mut change = Change { expiry: ask_expiry(interview, root, now)?, ..Change::default() };
    Box::pin(ask_people(interview, root, &mut change)).await?;
    change.online = Box::pin(ask_online_keys(interview, root, &change)).await?;
    let rotation = match (change.online.is_empty(), rotation) {
        (true, _) => Rotation::default(),
        (false, Some(rotation)) => rotation,
        (false, None) => ask_rotation(interview)?,
    };
    if change.is_empty() {
        return Err(Failure::new("nothing changes, so there is no next root to sign").into());
    }
    let next = change.apply(&trusted.metadata, root);
    let view = check(root, &next, now)?;
    for line in review::lines(root, &view, rotation, warnings) {
        interview.tell(line);
    }
    match interview.confirm("confirm", "Is this the root that you want? It is signed next.", true)? {
        true => Ok(Decided { next, root: view, rotation }),
        false => Err(Failure::new("not confirmed, nothing was signed or sent").into()),
    }
}

fn introduce(interview: &Interview, root: &Root, now: Timestamp) {
    let people = names_of(root, "root");
    let people: Vec<_> = people.iter().map(String::as_str).collect();
    let threshold = root.roles["root"].threshold;
    interview.tell(format_args!(
        "The trusted root is version {}, signed by {}.",
        root.version,
        any_of(threshold, &people)
    ));
    let expires = format_expires(root.expires);
    match root.expires <= now {
        true => interview.tell(format_args!("It expired at {expires}: clients refuse it until there is a new one.")),
        false => interview.tell(format_args!("It is valid until {expires}.")),
    }
}

fn ask_expiry(interview: &mut Interview, root: &Root, now: Timestamp) -> Result<Option<(u32, Timestamp)>, Stop> {
    if root.expires > now && !interview.confirm("root.renew", "Does it get a new expiry?", true)? {
        return Ok(None);
    }
    let days = ask_days(interview, "root.days", "Days for which root is valid:", DEFAULT_DAYS)?;
    Ok(Some((days, expires(now, days))))
}

async fn ask_people(interview: &mut Interview, root: &Root, change: &mut Change) -> Result<(), Stop> {
    let there = keys_of(root, "root");
    let role = &root.roles["root"];
    let least = LEAST_THRESHOLD.min(role.threshold);
    let names: Vec<_> = there.iter().map(|key| key.name.clone()).collect();
    let gone = interview.pick_any("root.remove", "Which root keys go? Enter for none.", &names)?;
    change.removed = gone.iter().map(|&index| there[index].id.clone()).collect();
    let kept: Vec<NamedKey> = there.iter().filter(|key| !change.removed.contains(&key.id)).cloned().collect();
    let online = ONLINE.iter().flat_map(|role| keys_of(root, role));
    let taken: Vec<NamedKey> = there.iter().cloned().chain(online).collect();
    let list = List { id: "root.add", one: "new root key", at_least: (least as usize).saturating_sub(kept.len()) };
    let ask = async |interview: &mut Interview, id: String, more: &[NamedKey]| {
        let taken: Vec<_> = taken.iter().chain(more).cloned().collect();
        ask_person(interview, &id, &taken).await
    };
    change.added = interview.list(list, |key: &NamedKey| key.name.clone(), ask).await?;
    let keys = u32::try_from(kept.len() + change.added.len()).unwrap_or(u32::MAX);
    let default = role.threshold.min(keys);
    let message = format!("How many of the {keys} must sign root?");
    let threshold = ask_threshold_of(interview, "root.threshold", &message, least..=keys, default)?;
    change.threshold = (threshold != role.threshold).then_some(threshold);
    Ok(())
}

async fn ask_online_keys(
    interview: &mut Interview,
    root: &Root,
    change: &Change,
) -> Result<Vec<(&'static str, NamedKey)>, Stop> {
    let told = ONLINE.map(|role| format!("{role} by {}", names_of(root, role).join(", "))).join(", ");
    interview.tell(format_args!("Signed online are {told}."));
    let names = ONLINE.map(str::to_owned);
    let chosen = interview.pick_any("online.roles", "Which of them get another online key? Enter for none.", &names)?;
    let roles: Vec<&'static str> = chosen.into_iter().map(|index| ONLINE[index]).collect();
    let mut taken: Vec<_> =
        ["root", "timestamp", "snapshot", "targets"].iter().flat_map(|role| keys_of(root, role)).collect();
    taken.extend(change.added.iter().cloned());
    let choices = vec![
        Choice { key: "one", label: "one for all of these".to_owned(), value: false },
        Choice { key: "each", label: "one for each".to_owned(), value: true },
    ];
    if roles.len() < 2 || !interview.choose("online.keys", "How many new online keys are there?", choices)? {
        return match roles.is_empty() {
            true => Ok(Vec::new()),
            false => {
                let key = ask_online(interview, "online.key", &taken).await?;
                Ok(roles.into_iter().map(|role| (role, key.clone())).collect())
            }
        };
    }
    let mut keys = Vec::new();
    for role in roles {
        interview.tell(format_args!("The new key of {role}:"));
        let key = ask_online(interview, &format!("online.{role}"), &taken).await?;
        taken.push(key.clone());
        keys.push((role, key));
    }
    Ok(keys)
}

fn ask_rotation(interview: &mut Interview) -> Result<Rotation, Stop> {
    let seamless = "seamless: the old key signs for a while, too; no client notices";
    let immediate = "immediate: the old key never signs again, because others may have it";
    let choices = vec![
        Choice { key: "seamless", label: seamless.to_owned(), value: Rotation::Seamless },
        Choice { key: "immediate", label: immediate.to_owned(), value: Rotation::Immediate },
    ];
    interview.choose("rotation", "How do the online keys change?", choices)
}
