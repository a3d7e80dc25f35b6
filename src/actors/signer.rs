//! Signs the drafts of one role with its online keys.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use aws_lc_rs::rand::SystemRandom;
use serde_json::Value;
use thiserror::Error;
use tokio::{
    runtime::Handle,
    task::{JoinError, spawn_blocking},
};

use super::supervisor::Lifeline;
use crate::{
    store::keys::KeyStore,
    tuf::{
        key::Key,
        name::KeyId,
        root::RoleKeys,
        wire::{Signature, Unsigned},
    },
};

/// The keys that sign for a role.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SigningKeys {
    /// The keys: each its id and the key object of the metadata, which says where the private half is. Of several objects with one
    /// id the first that can be loaded signs.
    pub keys: Vec<(KeyId, Value)>,
    /// Of which so many must sign, for each of those who check the role.
    pub quorums: Vec<RoleKeys>,
}

impl SigningKeys {
    /// Those keys of a role whose private half this service can reach; as many of them must sign as the role asks for.
    pub fn online(keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> Self {
        let reachable =
            role.keyids.iter().filter_map(|id| keys.get_key_value(id)).filter(|(_, key)| key.online_uri().is_some());
        let keys = reachable.map(|(id, key)| (id.clone(), key.raw.clone())).collect();
        Self { keys, quorums: vec![role.clone()] }
    }

    /// These must sign too.
    pub fn and(mut self, others: Self) -> Self {
        self.quorums.extend(others.quorums);
        self.and_perhaps(Self { quorums: Vec::new(), ..others })
    }

    /// These sign too, as far as they can be loaded.
    pub fn and_perhaps(mut self, others: Self) -> Self {
        for key in others.keys {
            if !self.keys.contains(&key) {
                self.keys.push(key);
            }
        }
        self
    }
}

/// Why a role could not be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// Fewer keys than the threshold can be used.
    #[error("{usable} of the {threshold} online keys that a role needs can be used: {cause}")]
    Threshold {
        /// How many could be loaded.
        usable: usize,
        /// How many are needed.
        threshold: u32,
        /// Why the others could not.
        cause: String,
    },
    /// A key refused to sign.
    #[error("key {0} did not sign: {1}")]
    Key(KeyId, String),
    /// The thread that signed is gone.
    #[error("signing broke off: {0}")]
    Thread(#[from] JoinError),
}

/// So many bytes are signed sooner than another thread begins with them.
const SHORT: usize = 64 * 1024;

/// Signs each draft with as many of the keys as can be used, and returns the files in the order of the drafts.
///
/// Much work is spread over the processors, off the thread of the caller.
///
/// # Errors
/// [`SignError`] when the threshold can't be met; then nothing is returned.
pub async fn sign(store: &Arc<KeyStore>, keys: &SigningKeys, drafts: Vec<Unsigned>) -> Result<Vec<Vec<u8>>, SignError> {
    let mut signers: Vec<(KeyId, Arc<dyn tough::sign::Sign>)> = Vec::new();
    let mut failures: Vec<(&KeyId, String)> = Vec::new();
    for (id, key) in &keys.keys {
        if signers.iter().any(|(known, _)| known == id) {
            continue;
        }
        match store.load(key).await {
            Ok(signer) => signers.push((id.clone(), signer)),
            Err(error) => failures.push((id, error.to_string())),
        }
    }
    for RoleKeys { keyids, threshold } in &keys.quorums {
        let usable = signers.iter().filter(|(id, _)| keyids.contains(id)).count();
        if usable < *threshold as usize {
            let causes: Vec<_> = failures.iter().filter(|(id, _)| keyids.contains(id)).collect();
            let cause = causes.into_iter().map(|(_, cause)| cause.as_str()).collect::<Vec<_>>().join("; ");
            return Err(SignError::Threshold { usable, threshold: *threshold, cause });
        }
    }
    for (id, cause) in failures.iter().filter(|(id, _)| !signers.iter().any(|(known, _)| known == *id)) {
        tracing::warn!(%id, %cause, "an online key is left out, enough others sign");
    }
    if drafts.iter().map(|draft| draft.canonical().len()).sum::<usize>() <= SHORT {
        return sign_share(&signers, drafts).await;
    }
    let signers = Arc::new(signers);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let share = drafts.len().div_ceil(processors).max(1);
    let mut drafts = drafts.into_iter();
    let mut shares = Vec::new();
    loop {
        let part: Vec<Unsigned> = drafts.by_ref().take(share).collect();
        if part.is_empty() {
            break;
        }
        let (signers, handle) = (signers.clone(), Handle::current());
        shares.push(spawn_blocking(move || handle.block_on(sign_share(&signers, part))));
    }
    let mut files = Vec::new();
    for part in shares {
        files.extend(part.await??);
    }
    Ok(files)
}

type Signers = [(KeyId, Arc<dyn tough::sign::Sign>)];

async fn sign_share(signers: &Signers, drafts: Vec<Unsigned>) -> Result<Vec<Vec<u8>>, SignError> {
    let random = SystemRandom::new();
    let mut files = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut signatures = Vec::with_capacity(signers.len());
        for (id, signer) in signers {
            let signature = signer.sign(draft.canonical(), &random).await;
            let signature = signature.map_err(|error| SignError::Key(id.clone(), error.to_string()))?;
            signatures.push(Signature::new(id.clone(), hex::encode(signature)));
        }
        files.push(draft.file(&signatures));
    }
    Ok(files)
}

/// Sign these drafts.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Vec<u8>>, SignError>")]
pub struct Sign {
    /// With these keys.
    pub keys: Arc<SigningKeys>,
    /// What each file signs.
    pub drafts: Vec<Unsigned>,
}

/// The signer of one role. Restarting it loses nothing: keys are loaded again when they are needed.
#[derive(Debug)]
pub struct Signer {
    /// Where private keys are.
    pub store: Arc<KeyStore>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Signer {
    type Context = Context<Self>;
}

impl Handler<Sign> for Signer {
    type Result = ResponseFuture<Result<Vec<Vec<u8>>, SignError>>;

    fn handle(&mut self, message: Sign, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move { sign(&store, &message.keys, message.drafts).await })
    }
}
