//! What clients would refuse is not signed, however many sign it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::pending::{Waiting, unsignable};
use crate::{
    cli::failure::Failure,
    tuf::{
        event::Authority,
        limits,
        name::{ArtifactPath, Version},
        root::{RoleKeys, Root},
        rules,
        targets::Targets,
        wire::{RoleType, format_expires},
    },
};

/// Makes sure that clients would take a document once enough have signed it.
///
/// # Errors
/// Says why they would not.
pub fn check(waiting: &Waiting, now: Timestamp) -> Result<(), Failure> {
    let judged = match waiting.header.type_ {
        RoleType::Root => root(waiting, now),
        _ => targets(waiting, now),
    };
    judged.map_err(|why| {
        Failure::new(format_args!("{} would be refused by clients: {why}", waiting.title())).remedy(format_args!(
            "do not sign it; give it up with: rstuf admin metadata stop-sign --role {}",
            waiting.role
        ))
    })
}

fn root(waiting: &Waiting, now: Timestamp) -> Result<(), String> {
    if waiting.role.as_str() != "root" {
        return Err(format!("it is a root, listed as {}", waiting.role));
    }
    let view = |document| Root::view(document).map_err(|error| error.to_string());
    let trusted = waiting.trusted.as_ref().map(|trusted| view(&trusted.signed)).transpose()?;
    let next = trusted.as_ref().map_or(Version::FIRST, |trusted| trusted.version.next());
    let root = rules::root(&waiting.document, next, now)?;
    if let Some(trusted) = trusted {
        reachable("the root before it", &Authority::root(&trusted))?;
    }
    for role in [RoleType::Timestamp, RoleType::Snapshot, RoleType::Targets] {
        let role = (role.as_str(), root.role(role).clone());
        reachable(role.0, &Authority { name: role.0.to_owned(), keys: root.keys.clone(), role: role.1 })?;
    }
    Ok(())
}

fn targets(waiting: &Waiting, now: Timestamp) -> Result<(), String> {
    if waiting.role.as_str() == "root" {
        return Err(format!("it is of the type {}", waiting.header.type_.as_str()));
    }
    Targets::view(&waiting.document.signed).map_err(|error| error.to_string())?;
    let found = waiting.version();
    if let Some(trusted) = waiting.trusted.as_ref().and_then(|trusted| trusted.header().ok())
        && found <= trusted.version
    {
        return Err(format!("clients have version {} already", trusted.version));
    }
    if waiting.is_expired(now) {
        return Err(format!("it expired at {}", format_expires(waiting.header.expires)));
    }
    for authority in &waiting.authorities {
        reachable(waiting.role.as_str(), authority)?;
    }
    waiting.document.canonical().map_err(|error| unsignable(error).cause)?;
    let (bytes, limit) = (waiting.document.to_bytes().len() as u64, limits::strictest(&waiting.role));
    match bytes > limit {
        true => Err(format!("it has {bytes} bytes, and some read no more than {limit}")),
        false => Ok(()),
    }
}

/// Makes sure that so many different keys can sign as have to.
fn reachable(what: &str, authority: &Authority) -> Result<(), String> {
    let RoleKeys { keyids, threshold } = &authority.role;
    let keys = keyids.iter().filter_map(|id| authority.keys.get(id)).filter(|key| key.usable().is_ok());
    let able: BTreeSet<_> = keys.filter_map(|key| key.public()).collect();
    match able.len() < *threshold as usize {
        true => Err(format!("{what} needs signatures of {threshold} keys, and {} can make any", able.len())),
        false => Ok(()),
    }
}

/// The artifacts of a delegated role that no client would look for in it, because nobody delegates their paths to it.
pub fn out_of_scope(waiting: &Waiting) -> Vec<String> {
    let (Some(delegation), Ok(targets)) = (&waiting.delegation, Targets::view(&waiting.document.signed)) else {
        return Vec::new();
    };
    let is_out = |path: &&String| !ArtifactPath::parse(path).is_ok_and(|path| delegation.covers(&waiting.role, &path));
    let mut out: Vec<_> = targets.targets.keys().filter(is_out).cloned().collect();
    out.sort();
    out
}
