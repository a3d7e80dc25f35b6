//! What a root must be that clients are to take from this service.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::tuf::{
    key::Key,
    limits::{self, Length},
    name::{RoleName, Version},
    root::Root,
    wire::{Metadata, RoleType, format_expires},
};

/// Reads a root and makes sure that it has this version, has not expired, can be signed by as many as it wants, and that its size suits
/// clients. Its signatures are not looked at.
///
/// # Errors
/// Says what is wrong.
pub fn root(metadata: &Metadata, version: Version, now: Timestamp) -> Result<Root, String> {
    let found = metadata.header().map_err(|error| error.to_string())?.type_;
    if found != RoleType::Root {
        return Err(format!("Expected 'root', got '{}'", found.as_str()));
    }
    let root = Root::view(&metadata.signed).map_err(|error| error.to_string())?;
    if root.version != version {
        return Err(format!("Expected root version {version} instead got version {}", root.version));
    }
    if !root.consistent_snapshot {
        return Err("consistent_snapshot must be true, this service writes no other files".to_owned());
    }
    if root.expires <= now {
        return Err(format!("it expired at {}, clients would refuse it", format_expires(root.expires)));
    }
    let own = root.role(RoleType::Root);
    let keys: Vec<&Key> = own.keyids.iter().filter_map(|id| root.keys.get(id)).collect();
    let able = keys.iter().filter(|key| key.usable().is_ok());
    let able: BTreeSet<_> = able.filter_map(|key| key.public()).collect();
    if able.len() < own.threshold as usize {
        return Err(format!(
            "root needs signatures of {} keys, and {} of its own can make any",
            own.threshold,
            able.len()
        ));
    }
    metadata.canonical().map_err(|error| error.to_string())?;
    let clients = limits::too_large(&RoleName::root(), metadata.to_bytes().len() as u64, Length::Unsigned);
    if !clients.is_empty() {
        return Err(format!("it is too large for {}", clients.join(", ")));
    }
    Ok(root)
}
