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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::tuf::{
        bins::Layout,
        delegation::change,
        sample::{Signer, path},
    };

    fn delegations(bins: Option<Bins>, roles: &[(Vec<&str>, bool)]) -> Delegations {
        let key = Signer::new();
        let mut all = bins.map_or_else(change::none, |bins| bins.delegations(&[key.entry()], 1));
        let keys: Map<_, _> = [(key.id().to_string(), key.key())].into_iter().collect();
        for (i, (paths, terminating)) in roles.iter().enumerate() {
            let role = json!({"name": format!("r{i}"), "keyids": [key.id()], "threshold": 1, "terminating": terminating,
                "paths": paths});
            all = change::with_role(&all, &role, &keys).expect("changed");
        }
        Delegations::view(&all).expect("delegations")
    }

    #[test]
    fn b22_a_path_is_where_the_first_role_of_its_scope_is_now() {
        let bins = Bins::new(4, Layout::PathHashPrefixes).ok();
        let one = [(vec!["a/*"], false)];
        let two = [(vec!["b/*"], false), (vec!["*/*"], false)];
        let at = |roles: &[(Vec<&str>, bool)], text: &str| {
            let role = Placement::of(&delegations(bins, roles), bins).role_for(&path(text));
            role.expect("a role").to_string()
        };
        assert_eq!(at(&one, "a/x"), "r0");
        assert_eq!(at(&two, "a/x"), "r1");
        assert!(at(&[], "a/x").starts_with("bins-"));
        assert!(at(&two, "a/x/y").starts_with("bins-"));
        assert_eq!(Placement::of(&delegations(None, &one), None).role_for(&path("b")), None);
    }

    proptest! {
        #[test]
        fn an_artifact_is_where_a_client_asks_first(
            roles in prop::collection::vec(
                (prop::collection::vec(prop::sample::select(vec!["*", "*/*", "a/*", "?/b", "a", "[ab]/c", "x/y/z"]), 1..3), any::<bool>()),
                0..5,
            ),
            bits in prop::option::of(1..6u32),
            text in "[abc](/[abc]){0,2}",
        ) {
            let bins = bits.map(|bits| Bins::new(1 << bits, Layout::PathHashPrefixes).expect("bins"));
            let delegations = delegations(bins, &roles);
            let first = delegations.roles_for(&path(&text)).into_iter().next().map(|asked| asked.role);
            prop_assert_eq!(Placement::of(&delegations, bins).role_for(&path(&text)), first);
        }
    }

    #[test]
    fn succinct_bins_are_asked_by_the_same_hash() {
        let bins = Bins::new(32, Layout::Succinct).ok();
        let delegations = delegations(bins, &[]);
        for text in ["a", "b/c", "x/y/z"] {
            let first = delegations.roles_for(&path(text)).into_iter().next().map(|asked| asked.role);
            assert_eq!(Placement::of(&delegations, bins).role_for(&path(text)), first);
        }
    }
}
