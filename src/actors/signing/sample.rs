//! Small states for the tests of decisions.

use serde_json::{Value, json};

use super::{Decision, State};
use crate::{
    store::ledger::{
        Repository, RepositorySettings,
        charter::{Change, Charter, Chartered},
    },
    task::TaskId,
    tuf::{
        bins::{Bins, Layout},
        key::ONLINE_KEY_URI,
        name::KeyId,
        sample::{self, Signer},
        wire::Metadata,
    },
};

/// The key object of an online key.
pub(crate) fn online_key(signer: &Signer) -> (KeyId, Value) {
    let mut key = signer.key();
    key[ONLINE_KEY_URI] = json!(format!("fn:{}", signer.id()));
    (signer.id(), key)
}

/// What a root signs whose own keys are `signers`.
pub(crate) fn root(number: u64, signers: &[&Signer], threshold: u32, online: &Signer) -> Value {
    let mut signed = sample::root(number, signers, threshold, online);
    let (id, key) = online_key(online);
    signed["keys"][id.as_str()] = key;
    signed
}

/// `targets` delegates to these roles, each with all of these keys.
pub(crate) fn delegations(roles: &[(&str, u32)], keys: &[(KeyId, Value)]) -> Value {
    let ids: Vec<_> = keys.iter().map(|(id, _)| id).collect();
    let role = |(name, threshold): &(&str, u32)| json!({"name": name, "keyids": ids, "threshold": threshold, "terminating": false, "paths": [format!("{name}/*")]});
    let keys: Value =
        keys.iter().map(|(id, key)| (id.to_string(), key.clone())).collect::<serde_json::Map<_, _>>().into();
    json!({ "keys": keys, "roles": roles.iter().map(role).collect::<Vec<_>>() })
}

/// The delegations of four bins.
pub(crate) fn bins(online: &Signer) -> Value {
    Bins::new(4, Layout::Succinct).expect("bins").delegations(&[online_key(online)], 1)
}

/// A state with this charter and no repository.
pub(crate) fn before(charter: Charter) -> State {
    State {
        chartered: Chartered { revision: 1, placement: 1, charter },
        repository: None,
        covering: [].into(),
        published: [].into(),
        unreachable: [].into(),
    }
}

/// A state with the repository of the task `boot`.
pub(crate) fn state(root: &Metadata, delegations: Value, charter: Charter) -> State {
    let settings = RepositorySettings {
        expirations: [("targets".to_owned(), 10)].into(),
        number_of_delegated_bins: None,
        layout: Layout::default(),
        root_num_keys: 1,
    };
    let task = TaskId::from_text("boot");
    let repository = Repository { task, settings, delegations, root: root.to_bytes(), targets: None };
    State { repository: Some(repository), ..before(charter) }
}

/// The state after a decision, as far as it changed the charter.
pub(crate) fn after(state: &State, decision: &Decision) -> State {
    let mut state = state.clone();
    if let Change { charter: Some(charter), .. } = &decision.change {
        state.chartered =
            Chartered { revision: state.chartered.revision + 1, charter: charter.clone(), ..state.chartered };
    }
    state
}

/// Why a decision changes nothing.
pub(crate) fn refusal(decision: &Decision) -> String {
    let Change { charter, create, .. } = &decision.change;
    assert!(!decision.outcome.status && charter.is_none() && create.is_none(), "{decision:?}");
    decision.outcome.error.clone().expect("a reason")
}

/// The details of a decision that is well.
pub(crate) fn details(decision: &Decision) -> Value {
    assert!(decision.outcome.status, "{:?}", decision.outcome);
    decision.outcome.details.clone().unwrap_or_default()
}
