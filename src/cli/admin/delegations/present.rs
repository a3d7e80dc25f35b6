//! The delegations that there are, as the server or the published metadata tells them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    cli::{
        admin::{
            keys::NamedKey,
            pending::{self, Pending},
            published::Published,
            roles::{AskedRole, Signers},
        },
        api::ApiClient,
        failure::Failure,
    },
    tuf::{
        delegation::{DelegatedRole, DelegatedRoles, Delegations, Scope, proposal::EXPIRE_POLICY},
        event::name_of,
        key::ONLINE_KEY_URI,
        name::{KeyId, RoleName},
    },
};

const EXPIRATION: &str = "_expiration";

/// The delegations that there are.
#[derive(Debug)]
pub(super) struct Present {
    /// The `delegations` of `targets`, with what takes effect with the next signatures.
    delegations: Value,
    /// Days of validity by the name of the role in lower case.
    days: BTreeMap<String, u32>,
    /// The online key of the repository.
    online: Option<KeyId>,
}

impl Present {
    /// As the server tells them, `None` when it does not.
    ///
    /// # Errors
    /// When it can't be asked, or roles with names are not possible.
    pub(super) async fn told(api: &ApiClient) -> Result<Option<Self>, Failure> {
        let config = api.get("/api/v1/config/").await?;
        let waits = Pending::read(&pending::fetch(api).await?)?;
        match config["data"]["trusted_targets"]["signed"].is_object() {
            true => Self::of_config(&config["data"], &waits).map(Some),
            false => Ok(None),
        }
    }

    /// As the server tells them.
    ///
    /// # Errors
    /// As [`told`](Self::told), and when it does not tell them.
    pub(super) async fn at(api: &ApiClient) -> Result<Self, Failure> {
        Self::told(api).await?.ok_or_else(|| {
            Failure::new("the server does not tell what is delegated now")
                .remedy("say where the metadata is published: --metadata-url URL")
        })
    }

    fn of_config(config: &Value, waits: &Pending) -> Result<Self, Failure> {
        let days = config.as_object().into_iter().flatten().filter_map(|(name, days)| {
            Some((name.strip_suffix(EXPIRATION)?.to_owned(), u32::try_from(days.as_u64()?).ok()?))
        });
        let days = days.collect();
        let online = config["online_key"]["keyid"].as_str().map(|id| KeyId(id.to_owned()));
        let mut present = Self::of_targets(&config["trusted_targets"], online)?;
        present.days = days;
        for (keys, role) in waits.announced() {
            present.put(keys, role);
        }
        Ok(present)
    }

    /// As they are published.
    ///
    /// # Errors
    /// When they can't be read, or roles with names are not possible.
    pub(super) async fn published(url: &str) -> Result<Self, Failure> {
        let targets = Published::at(url)?.role(&RoleName::targets()).await?.unwrap_or_default();
        Self::of_targets(&targets, None)
    }

    fn of_targets(targets: &Value, online: Option<KeyId>) -> Result<Self, Failure> {
        let delegations =
            targets["signed"].get("delegations").cloned().unwrap_or_else(crate::tuf::delegation::change::none);
        if delegations.get("succinct_roles").is_some() {
            return Err(Failure::new("Metadata uses succinct roles, not allowed.").remedy(
                "beside them TUF allows no roles with names; bins of the layout path_hash_prefixes take them",
            ));
        }
        Ok(Self { delegations, days: BTreeMap::new(), online })
    }

    fn put(&mut self, keys: &Map<String, Value>, role: &Value) {
        if let Some(known) = self.delegations["keys"].as_object_mut() {
            known.extend(keys.clone());
        }
        if let Some(roles) = self.delegations["roles"].as_array_mut() {
            match roles.iter_mut().find(|there| there["name"] == role["name"]) {
                Some(there) => *there = role.clone(),
                None => roles.push(role.clone()),
            }
        }
    }

    fn view(&self) -> Result<(Delegations, Vec<DelegatedRole>), Failure> {
        let view = Delegations::view(&self.delegations)
            .map_err(|error| Failure::new(format_args!("what is delegated now can't be read: {error}")))?;
        let custom = match &view.roles {
            DelegatedRoles::Roles(roles) => {
                roles.iter().filter(|role| matches!(role.scope, Scope::Paths(_))).cloned().collect()
            }
            DelegatedRoles::Succinct(_) => Vec::new(),
        };
        Ok((view, custom))
    }

    /// The names of the roles, hash bins not among them.
    pub(super) fn names(&self) -> Result<BTreeSet<RoleName>, Failure> {
        Ok(self.view()?.1.into_iter().map(|role| role.name).collect())
    }

    /// The roles in their order, hash bins not among them. Of some it is not known for how many days they are valid.
    pub(super) fn roles(&self) -> Result<Vec<(AskedRole, Option<u32>)>, Failure> {
        let (view, custom) = self.view()?;
        Ok(custom.into_iter().map(|role| self.asked(&view, role)).collect())
    }

    fn asked(&self, view: &Delegations, role: DelegatedRole) -> (AskedRole, Option<u32>) {
        let days = self.days_of(&role.name);
        let is_online = |id: &KeyId| match &self.online {
            Some(online) => online == id,
            None => self.delegations["keys"][id.as_str()].get(ONLINE_KEY_URI).is_some(),
        };
        let signers = match role.keys.keyids.as_slice() {
            [only] if is_online(only) => Signers::Online,
            ids => {
                let named = |id: &KeyId| {
                    let key = view.keys.get(id)?;
                    Some(NamedKey { id: id.clone(), object: key.raw.clone(), name: name_of(id, key) })
                };
                Signers::People { keys: ids.iter().filter_map(named).collect(), threshold: role.keys.threshold }
            }
        };
        let paths = match role.scope {
            Scope::Paths(paths) => paths.iter().map(|path| path.as_str().to_owned()).collect(),
            Scope::PathHashPrefixes(prefixes) => prefixes,
        };
        let terminating = role.terminating;
        (AskedRole { name: role.name, days: days.unwrap_or_default(), paths, terminating, signers }, days)
    }

    fn days_of(&self, name: &RoleName) -> Option<u32> {
        let roles = self.delegations["roles"].as_array().into_iter().flatten();
        let mut object = roles.filter(|role| role["name"] == name.as_str());
        let written = object.find_map(|role| u32::try_from(role[EXPIRE_POLICY].as_u64()?).ok());
        self.days.get(&name.as_str().to_lowercase()).copied().or(written)
    }
}
