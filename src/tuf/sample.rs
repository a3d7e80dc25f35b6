//! Small values for the tests of this module: keys, names, times.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::tuf::{
    key::key_id,
    name::{ArtifactPath, KeyId, RoleName, Version},
    root::{RoleKeys, Root},
    wire::{Metadata, Signature},
};

/// An ed25519 key that signs.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self { pair: Ed25519KeyPair::generate().expect("random numbers") }
    }

    pub(crate) fn key(&self) -> Value {
        let public = hex::encode(self.pair.public_key());
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}})
    }

    pub(crate) fn id(&self) -> KeyId {
        key_id(&self.key()).expect("an id")
    }

    pub(crate) fn entry(&self) -> (KeyId, Value) {
        (self.id(), self.key())
    }

    pub(crate) fn sign(&self, metadata: &Metadata) -> Signature {
        self.sign_as(self.id(), metadata)
    }

    pub(crate) fn sign_as(&self, id: KeyId, metadata: &Metadata) -> Signature {
        let message = metadata.canonical().expect("canonical");
        Signature::new(id, hex::encode(self.pair.sign(&message)))
    }
}

/// `signed` with the signatures of these keys.
pub(crate) fn sign(signed: Value, signers: &[&Signer]) -> Metadata {
    let mut metadata = Metadata::unsigned(signed);
    metadata.signatures = signers.iter().map(|s| s.sign(&metadata)).collect();
    metadata
}

/// What a root signs whose own keys are `signers`, with one online key for all other roles.
pub(crate) fn root(number: u64, signers: &[&Signer], threshold: u32, online: &Signer) -> Value {
    let keys: Vec<_> = signers.iter().chain([&online]).map(|s| s.entry()).collect();
    let one = RoleKeys { keyids: vec![online.id()], threshold: 1 };
    let own = RoleKeys { keyids: signers.iter().map(|s| s.id()).collect(), threshold };
    let roles = [("root", own), ("timestamp", one.clone()), ("snapshot", one.clone()), ("targets", one)];
    Root::render(version(number), at(1000), &keys, &roles)
}

/// A time, in hours after the start of the tests' time.
pub(crate) fn at(hours: i64) -> Timestamp {
    let start: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a time");
    start + SignedDuration::from_hours(hours)
}

pub(crate) fn version(number: u64) -> Version {
    Version::new(number).expect("a version")
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::parse(name).expect("a role name")
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("a path")
}
