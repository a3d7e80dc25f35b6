//! A repository with delegated roles, for the tests of what people decide about them.

use serde_json::{Map, Value, json};

use super::State;
use crate::{
    store::ledger::{
        Repository, RepositorySettings,
        charter::{Charter, Chartered, CustomRole, Signing},
    },
    task::{DelegationAction, MetadataDelegation, TaskId},
    tuf::{
        bins::{Bins, Layout},
        delegation::change,
        key::ONLINE_KEY_URI,
        sample::{self, Signer, role, sign},
    },
};

/// A repository, its online key and those of two people.
pub(super) struct Scene {
    pub(super) online: Signer,
    pub(super) ann: Signer,
    pub(super) bob: Signer,
    pub(super) state: State,
}

impl Scene {
    /// With explicit bins if there are any.
    pub(super) fn new(bins: Option<Layout>) -> Self {
        let (online, ann, bob) = (Signer::new(), Signer::new(), Signer::new());
        let mut root = sample::root(1, &[&ann], 1, &online);
        root["keys"][online.id().as_str()][ONLINE_KEY_URI] = json!("fn:online");
        let layout = bins.unwrap_or_default();
        let number_of_delegated_bins = bins.map(|_| 4);
        let delegations = match bins {
            Some(layout) => Bins::new(4, layout).expect("bins").delegations(&[(online.id(), reachable(&online))], 1),
            None => change::none(),
        };
        let expirations = [("targets".to_owned(), 9), ("bins".to_owned(), 1)].into();
        let repository = Repository {
            task: TaskId::random(),
            settings: RepositorySettings { expirations, number_of_delegated_bins, layout, root_num_keys: 1 },
            delegations,
            root: sign(root, &[&ann]).to_bytes(),
            targets: None,
        };
        let chartered = Chartered { revision: 1, placement: 1, charter: Charter::default() };
        let state = State {
            chartered,
            repository: Some(repository),
            covering: [].into(),
            published: [].into(),
            unreachable: [].into(),
        };
        Self { online, ann, bob, state }
    }

    /// With a role that is delegated already.
    pub(super) fn with(mut self, name: &str, signing: Signing, threshold: u32, paths: &[&str]) -> Self {
        let signers = match signing {
            Signing::Online => vec![(&self.online, reachable(&self.online))],
            Signing::Offline => [&self.ann, &self.bob].map(|signer| (signer, signer.key())).into(),
        };
        let keys: Map<_, _> = signers.iter().map(|(signer, key)| (signer.id().to_string(), key.clone())).collect();
        let signers: Vec<_> = signers.into_iter().map(|(signer, _)| signer).collect();
        let object = object(name, &signers, threshold, paths);
        let repository = self.state.repository.as_mut().expect("a repository");
        repository.delegations = change::with_role(&repository.delegations, &object, &keys).expect("changed");
        repository.settings.expirations.insert(name.to_owned(), 5);
        let custom = CustomRole { signing, retired: false, announced: None };
        self.state.chartered.charter.roles.insert(role(name), custom);
        self
    }

    pub(super) fn delegations(&self) -> &Value {
        &self.state.repository.as_ref().expect("a repository").delegations
    }

    /// A request with the keys of both people.
    pub(super) fn job(&self, action: DelegationAction, roles: &[Value]) -> MetadataDelegation {
        let keys: Map<_, _> = [&self.ann, &self.bob].iter().map(|key| (key.id().to_string(), key.key())).collect();
        MetadataDelegation { action, delegations: json!({"keys": keys, "roles": roles}) }
    }
}

/// A key with the place of its private half.
fn reachable(signer: &Signer) -> Value {
    let mut key = signer.key();
    key[ONLINE_KEY_URI] = json!("fn:online");
    key
}

/// A role object.
pub(super) fn object(name: &str, signers: &[&Signer], threshold: u32, paths: &[&str]) -> Value {
    let keyids: Vec<_> = signers.iter().map(|signer| signer.id()).collect();
    json!({"name": name, "keyids": keyids, "threshold": threshold, "terminating": false, "paths": paths})
}
