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
        key::{ONLINE_KEY_URI, key_id},
        name::{KeyId, Version},
        root::{RoleKeys, Root},
        wire::{Metadata, Signature},
    },
};

/// The people of the demonstration, who hold the root keys.
pub(super) const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const DAYS: u32 = 365;

/// Who hold the root keys; two of the three sign.
#[derive(Debug)]
pub struct Table(Vec<Seat>);

#[derive(Debug)]
struct Seat {
    id: KeyId,
    public: Value,
    key: Generated,
}

impl Table {
    /// Makes their keys.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sit_down() -> anyhow::Result<Self> {
        let seat = |name: &str| {
            let key = generate(KeyKind::Ed25519)?;
            let public = named(&key, name);
            Ok(Seat { id: key_id(&public)?, public, key })
        };
        PEOPLE.into_iter().map(seat).collect::<anyhow::Result<_>>().map(Self)
    }

    /// A root in which this key signs all that is online, signed by two.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn root(&self, version: Version, online: (KeyId, Value), now: Timestamp) -> anyhow::Result<Metadata> {
        let by_people = RoleKeys { keyids: self.0.iter().map(|seat| seat.id.clone()).collect(), threshold: 2 };
        let by_service = RoleKeys { keyids: vec![online.0.clone()], threshold: 1 };
        let keys: Vec<_> = self.0.iter().map(|seat| (seat.id.clone(), seat.public.clone())).chain([online]).collect();
        let roles = [
            ("root", by_people),
            ("timestamp", by_service.clone()),
            ("snapshot", by_service.clone()),
            ("targets", by_service),
        ];
        let mut root = Metadata::unsigned(Root::render(version, expiry::expires(now, DAYS), &keys, &roles));
        let message = root.canonical()?;
        for seat in self.0.iter().take(2) {
            root.signatures.push(Signature::new(seat.id.clone(), hex::encode(seat.key.sign(&message)?)));
        }
        Ok(root)
    }
}

/// Makes an online key, whose private half is put into `key_dir` as `<name>.pem`.
///
/// # Errors
/// When it can't be written.
pub fn online_key(key_dir: &Path, name: &str) -> anyhow::Result<(KeyId, Value)> {
    let key = generate(KeyKind::Ed25519)?;
    let file = format!("{name}.pem");
    let mut public = named(&key, name);
    public[ONLINE_KEY_URI] = json!(format!("fn:{file}"));
    write_private(&key_dir.join(file), &key)?;
    Ok((key_id(&public)?, public))
}

/// A public key with a name that people know it by.
fn named(key: &Generated, name: &str) -> Value {
    let mut public = key.public.clone();
    public["x-rstuf-key-name"] = json!(name);
    public
}

/// Makes three root keys, two of which sign, and an online key whose private half is put into `key_dir`. Returns the body of the bootstrap.
///
/// # Errors
/// When the online key can't be written.
pub fn hold(key_dir: &Path, bins: u32, layout: Layout, now: Timestamp) -> anyhow::Result<Value> {
    let root = Table::sit_down()?.root(Version::FIRST, online_key(key_dir, "online")?, now)?;
    Ok(bootstrap(&root, bins, layout))
}

/// The body of a bootstrap with this root.
pub fn bootstrap(root: &Metadata, bins: u32, layout: Layout) -> Value {
    json!({
        "settings": { "roles": {
            "root": { "expiration": DAYS },
            "targets": { "expiration": DAYS },
            "snapshot": { "expiration": 1 },
            "timestamp": { "expiration": 1 },
            "bins": { "expiration": 7, "number_of_delegated_bins": bins, "layout": layout },
        } },
        "metadata": { "root": root.to_value() },
    })
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
