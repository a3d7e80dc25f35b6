//! Which role lists an artifact: the one that a client asks first.

use crate::tuf::{
    bins::Bins,
    delegation::{DelegatedRoles, Delegations, Scope},
    name::{ArtifactPath, RoleName},
};

/// Where artifacts are listed: roles with names and paths in the order in which they are asked, and behind them the bins, which take
/// everything else.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    roles: Vec<(RoleName, Scope)>,
    bins: Option<Bins>,
}

impl Placement {
    /// The placement of these delegations, of which the roles that `bins` names are the bins.
    pub fn of(delegations: &Delegations, bins: Option<Bins>) -> Self {
        let roles = match &delegations.roles {
            DelegatedRoles::Succinct(_) => Vec::new(),
            DelegatedRoles::Roles(roles) => {
                let own = roles.iter().filter(|role| !matches!(role.scope, Scope::PathHashPrefixes(_)));
                own.map(|role| (role.name.clone(), role.scope.clone())).collect()
            }
        };
        Self { roles, bins }
    }

    /// The role that a client asks first for this path, `None` when it asks none.
    pub fn role_for(&self, path: &ArtifactPath) -> Option<RoleName> {
        let named = self.roles.iter().find(|(_, scope)| scope.contains(path, ""));
        named.map(|(role, _)| role.clone()).or_else(|| self.bins.map(|bins| bins.role_for(path)))
    }

    /// The bin of this path, whatever role comes before it.
    pub fn bin_for(&self, path: &ArtifactPath) -> Option<RoleName> {
        self.bins.map(|bins| bins.role_for(path))
    }
}
