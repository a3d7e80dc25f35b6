//! A root ceremony with throw-away keys, and the request that begins a repository with it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rstuf::{
    clock::Clock,
    store::keys::generate::{KeyKind, generate},
    tuf::{
        expiry,
        key::key_id,
        name::Version,
        root::{RoleKeys, Root},
        wire::{Metadata, Signature},
    },
};
use serde_json::json;

/// The body of a bootstrap with `bins` bins in the succinct layout. The online key is put into the new directory `key_dir`.
pub(crate) fn bootstrap(key_dir: &Path, bins: u32) -> anyhow::Result<Vec<u8>> {
    let (person, online) = (generate(KeyKind::Ed25519)?, generate(KeyKind::Ed25519)?);
    fs::create_dir_all(key_dir)?;
    let key = key_dir.join("online.pem");
    fs::write(&key, online.private_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let mut public = online.public.clone();
    public["x-rstuf-online-key-uri"] = json!("fn:online.pem");
    let keys = [(key_id(&person.public)?, person.public.clone()), (key_id(&public)?, public)];
    let [people, service] = [0, 1].map(|i| RoleKeys { keyids: vec![keys[i].0.clone()], threshold: 1 });
    let roles = [("root", people), ("timestamp", service.clone()), ("snapshot", service.clone()), ("targets", service)];
    let expires = expiry::expires(Clock::system().now(), 365);
    let mut root = Metadata::unsigned(Root::render(Version::FIRST, expires, &keys, &roles));
    let signature = person.sign(&root.canonical()?)?;
    root.signatures.push(Signature::new(keys[0].0.clone(), hex::encode(signature)));
    let expiration = json!({ "expiration": 365 });
    Ok(serde_json::to_vec(&json!({
        "settings": { "roles": {
            "root": expiration, "targets": expiration, "snapshot": expiration, "timestamp": expiration,
            "bins": { "expiration": 365, "number_of_delegated_bins": bins, "layout": "succinct" },
        } },
        "metadata": { "root": root.to_value() },
    }))?)
}
