//! A root ceremony with throw-away keys: what people do at a table, in a second.

use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    store::keys::generate::{Generated, KeyKind, generate},
    tuf::{
        bins::Layout,
        expiry,
        key::key_id,
        name::{KeyId, Version},
        root::{RoleKeys, Root},
        wire::{Metadata, Signature},
    },
};

/// The people of the demonstration, who hold the root keys.
pub(super) const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const DAYS: u32 = 365;

/// Makes three root keys, two of which sign, and an online key whose private half is put into `key_dir`. Returns the body of the bootstrap.
///
/// # Errors
/// When the online key can't be written.
pub fn hold(key_dir: &Path, bins: u32, layout: Layout, now: Timestamp) -> anyhow::Result<Value> {
    let mut keys: Vec<(KeyId, Value)> = Vec::new();
    let mut people = Vec::new();
    for name in PEOPLE {
        let key = generate(KeyKind::Ed25519)?;
        let mut public = key.public.clone();
        public["x-rstuf-key-name"] = json!(name);
        let id = key_id(&public)?;
        keys.push((id.clone(), public));
        people.push((id, key));
    }
    let online = generate(KeyKind::Ed25519)?;
    let mut public = online.public.clone();
    public["x-rstuf-key-name"] = json!("online");
    public["x-rstuf-online-key-uri"] = json!("fn:online.pem");
    write_private(&key_dir.join("online.pem"), &online)?;
    let online = key_id(&public)?;
    keys.push((online.clone(), public));

    let by_people = RoleKeys { keyids: people.iter().map(|(id, _)| id.clone()).collect(), threshold: 2 };
    let by_service = RoleKeys { keyids: vec![online], threshold: 1 };
    let roles = [
        ("root", by_people),
        ("timestamp", by_service.clone()),
        ("snapshot", by_service.clone()),
        ("targets", by_service),
    ];
    let mut root = Metadata::unsigned(Root::render(Version::FIRST, expiry::expires(now, DAYS), &keys, &roles));
    let message = root.canonical()?;
    for (id, key) in people.iter().take(2) {
        root.signatures.push(Signature::new(id.clone(), hex::encode(key.sign(&message)?)));
    }
    Ok(json!({
        "settings": { "roles": {
            "root": { "expiration": DAYS },
            "targets": { "expiration": DAYS },
            "snapshot": { "expiration": 1 },
            "timestamp": { "expiration": 1 },
            "bins": { "expiration": 7, "number_of_delegated_bins": bins, "layout": layout },
        } },
        "metadata": { "root": root.to_value() },
    }))
}

fn write_private(path: &Path, key: &Generated) -> anyhow::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path);
    file.as_mut()
        .map_err(|error| std::io::Error::new(error.kind(), error.to_string()))
        .and_then(|file| file.write_all(key.private_pem().as_bytes()))
        .with_context(|| format!("can't write the online key {}", path.display()))
}
