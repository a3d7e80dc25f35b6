//! The view of delegations: which role answers for which paths, and whose keys sign it (TUF §4.5, TAP 15).

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::tuf::{
    bins::{bin_index, bin_name},
    key::Key,
    member::{Members, MetadataError, object},
    name::{ArtifactPath, KeyId, RoleName},
    pattern::PathPattern,
    root::{RoleKeys, keys},
};

pub mod change;
pub mod proposal;

/// A typed view of the delegations of a targets role.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegations {
    /// All keys.
    pub keys: BTreeMap<KeyId, Key>,
    /// The roles.
    pub roles: DelegatedRoles,
    by_name: HashMap<RoleName, usize>,
}

/// The roles, one by one or as hash bins.
#[derive(Debug, Clone, PartialEq)]
pub enum DelegatedRoles {
    /// 2^`bit_length` bins with equal keys.
    Succinct(Succinct),
    /// Roles in the order in which they are asked.
    Roles(Vec<DelegatedRole>),
}

/// Hash bins in one object (TAP 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succinct {
    /// How many bits of a path's hash choose its bin: 1 to 32.
    pub bit_length: u32,
    /// What the names of all bins begin with.
    pub name_prefix: RoleName,
    /// The keys of each bin.
    pub keys: RoleKeys,
}

/// A delegated role with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegatedRole {
    /// Its name.
    pub name: RoleName,
    /// Its keys.
    pub keys: RoleKeys,
    /// Whether no other role is asked for a path of its scope.
    pub terminating: bool,
    /// The paths that it answers for.
    pub scope: Scope,
}

/// The paths that a delegated role answers for.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    /// Those that match a pattern.
    Paths(Vec<PathPattern>),
    /// Those whose SHA-256, in lower-case hexadecimal digits, begins with one of these.
    PathHashPrefixes(Vec<String>),
}

/// A role that answers for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// The role.
    pub role: RoleName,
    /// Its keys.
    pub keys: RoleKeys,
    /// Whether no other role is asked after it.
    pub terminating: bool,
}

impl Delegations {
    /// Reads a `delegations` member.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong; exactly one of `roles` and
    /// `succinct_roles` must be there, and no name twice or that of a top-level role.
    pub fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let roles = match (members.get("roles"), members.get("succinct_roles")) {
            (Some(_), None) => {
                let read =
                    |(i, role)| DelegatedRole::view(role).map_err(|e: MetadataError| e.within(&format!("roles[{i}]")));
                DelegatedRoles::Roles(members.list("roles")?.iter().enumerate().map(read).collect::<Result<_, _>>()?)
            }
            (None, Some(succinct)) => {
                DelegatedRoles::Succinct(Succinct::view(succinct).map_err(|e| e.within("succinct_roles"))?)
            }
            _ => return Err(MetadataError::field("roles", "must be there, or else succinct_roles")),
        };
        let mut by_name = HashMap::new();
        if let DelegatedRoles::Roles(roles) = &roles {
            for (i, role) in roles.iter().enumerate() {
                let top_level = matches!(role.name.as_str(), "root" | "timestamp" | "snapshot" | "targets");
                if top_level || by_name.insert(role.name.clone(), i).is_some() {
                    let wrong = MetadataError::field("name", "must be no other role's");
                    return Err(wrong.within(&format!("roles[{i}]")));
                }
            }
        }
        Ok(Self { keys: keys(members)?, roles, by_name })
    }

    /// The keys of a role, `None` when it is not delegated to.
    pub fn role(&self, name: &RoleName) -> Option<&RoleKeys> {
        match &self.roles {
            DelegatedRoles::Succinct(succinct) => succinct.contains(name).then_some(&succinct.keys),
            DelegatedRoles::Roles(roles) => Some(&roles[*self.by_name.get(name)?].keys),
        }
    }

    /// Whether a role answers for a path, no matter which others do.
    pub fn covers(&self, role: &RoleName, path: &ArtifactPath) -> bool {
        match &self.roles {
            DelegatedRoles::Succinct(succinct) => succinct.role_for(path).is_some_and(|bin| bin.role == *role),
            DelegatedRoles::Roles(roles) => self.by_name.get(role).is_some_and(|i| {
                let hash = hex::encode(digest(&SHA256, path.as_str().as_bytes()));
                roles[*i].scope.contains(path, &hash)
            }),
        }
    }

    /// The roles that answer for a path, in the order in which they are asked.
    ///
    /// What comes after a terminating role is listed too: a search that honours it stops there.
    pub fn roles_for(&self, path: &ArtifactPath) -> Vec<Delegated> {
        match &self.roles {
            DelegatedRoles::Succinct(succinct) => succinct.role_for(path).into_iter().collect(),
            DelegatedRoles::Roles(roles) => {
                let hash = hex::encode(digest(&SHA256, path.as_str().as_bytes()));
                roles.iter().filter(|role| role.scope.contains(path, &hash)).map(DelegatedRole::delegated).collect()
            }
        }
    }
}

impl Succinct {
    fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let bit_length = u32::try_from(members.number("bit_length")?).ok().filter(|bits| (1..=32).contains(bits));
        let bit_length = bit_length.ok_or_else(|| MetadataError::field("bit_length", "must be from 1 to 32"))?;
        Ok(Self {
            bit_length,
            name_prefix: role_name(members.text("name_prefix")?, "name_prefix")?,
            keys: RoleKeys::view(members)?,
        })
    }

    fn contains(&self, name: &RoleName) -> bool {
        let index = name.as_str().strip_prefix(self.name_prefix.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let index = index.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let in_range = |index: &u32| u64::from(*index) < 1 << self.bit_length;
        // Compared as text, so that only the one way to write the index counts.
        index.filter(in_range).is_some_and(|i| bin_name(self.name_prefix.as_str(), self.bit_length, i) == name.as_str())
    }

    fn role_for(&self, path: &ArtifactPath) -> Option<Delegated> {
        let index = bin_index(path.as_str(), self.bit_length);
        let role = RoleName::parse(&bin_name(self.name_prefix.as_str(), self.bit_length, index)).ok()?;
        Some(Delegated { role, keys: self.keys.clone(), terminating: true })
    }
}

impl DelegatedRole {
    fn view(value: &Value) -> Result<Self, MetadataError> {
        let members = object(value)?;
        let scope = Scope::of(members)?;
        Ok(Self {
            name: role_name(members.text("name")?, "name")?,
            keys: RoleKeys::view(members)?,
            terminating: members.truth("terminating")?,
            scope,
        })
    }

    fn delegated(&self) -> Delegated {
        Delegated { role: self.name.clone(), keys: self.keys.clone(), terminating: self.terminating }
    }
}

impl Scope {
    /// Reads the scope of a role object.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when it has not exactly one of `paths` and `path_hash_prefixes`, or that is no list of texts.
    pub fn of(role: &Map<String, Value>) -> Result<Self, MetadataError> {
        match (role.get("paths"), role.get("path_hash_prefixes")) {
            (Some(_), None) => Ok(Scope::Paths(role.texts("paths")?.into_iter().map(PathPattern::new).collect())),
            (None, Some(_)) => {
                let prefixes = role.texts("path_hash_prefixes")?;
                Ok(Scope::PathHashPrefixes(prefixes.into_iter().map(str::to_owned).collect()))
            }
            _ => Err(MetadataError::field("paths", "must be there, or else path_hash_prefixes")),
        }
    }

    /// Whether it has this path.
    pub fn has(&self, path: &ArtifactPath) -> bool {
        match self {
            Scope::Paths(_) => self.contains(path, ""),
            Scope::PathHashPrefixes(_) => self.contains(path, &hex::encode(digest(&SHA256, path.as_str().as_bytes()))),
        }
    }

    pub(super) fn contains(&self, path: &ArtifactPath, hash: &str) -> bool {
        match self {
            Scope::Paths(patterns) => patterns.iter().any(|pattern| pattern.matches(path.as_str())),
            Scope::PathHashPrefixes(prefixes) => prefixes.iter().any(|prefix| hash.starts_with(prefix)),
        }
    }
}

fn role_name(text: &str, field: &str) -> Result<RoleName, MetadataError> {
    RoleName::parse(text).map_err(|_| MetadataError::field(field, "must be of the characters a-z, A-Z, 0-9, - and _"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::sample::{path, role};
    use serde_json::json;

    fn named(name: &str, terminating: bool, paths: &[&str]) -> Value {
        json!({"name": name, "keyids": ["k"], "threshold": 1, "terminating": terminating, "paths": paths, "x-more": 1})
    }

    fn view(roles: Value) -> Result<Delegations, MetadataError> {
        Delegations::view(&json!({"keys": {}, "roles": roles}))
    }

    fn succinct(bit_length: u32) -> Delegations {
        let bins = json!({"bit_length": bit_length, "name_prefix": "bins", "keyids": [], "threshold": 1});
        Delegations::view(&json!({"keys": {}, "succinct_roles": bins})).expect("delegations")
    }

    #[test]
    fn roles_are_asked_in_their_order() {
        let roles = json!([named("b", false, &["x/*"]), named("a", true, &["x/y", "z"]), named("c", false, &["*/*"])]);
        let delegations = view(roles).expect("delegations");
        let asked = |text| -> Vec<_> {
            delegations.roles_for(&path(text)).into_iter().map(|d| (d.role.to_string(), d.terminating)).collect()
        };
        assert_eq!(asked("x/y"), [("b".into(), false), ("a".into(), true), ("c".into(), false)]);
        assert_eq!(asked("z"), [("a".into(), true)]);
        assert_eq!(asked("x/y/z"), []);
        assert!(delegations.covers(&role("c"), &path("x/y")) && !delegations.covers(&role("b"), &path("z")));
        assert!(!delegations.covers(&role("d"), &path("z")));
        assert_eq!(delegations.role(&role("a")).expect("a role").threshold, 1);
        assert_eq!(delegations.role(&role("d")), None);
    }

    #[test]
    fn only_the_names_of_bins_are_bins() {
        let bins = succinct(5);
        for name in ["bins-00", "bins-1f"] {
            assert!(bins.role(&role(name)).is_some(), "{name}");
        }
        for name in ["bins-20", "bins-0", "bins-000", "bins-1F", "bins", "bins-", "bin-00", "targets"] {
            assert!(bins.role(&role(name)).is_none(), "{name}");
        }
        assert!(succinct(32).role(&role("bins-ffffffff")).is_some());
        let bin = bins.roles_for(&path("a")).swap_remove(0).role;
        assert!(bins.covers(&bin, &path("a")) && !bins.covers(&role("targets"), &path("a")));
    }

    #[test]
    fn refusals_name_the_member() {
        let with = |name: &str, value: Value| {
            let mut role = named("a", false, &["*"]);
            role[name] = value;
            view(json!([role])).expect_err(name).to_string()
        };
        assert_eq!(with("name", json!("a/b")), "roles[0].name: must be of the characters a-z, A-Z, 0-9, - and _");
        assert_eq!(with("name", json!("targets")), "roles[0].name: must be no other role's");
        assert_eq!(with("terminating", json!(1)), "roles[0].terminating: must be true or false");
        assert_eq!(with("path_hash_prefixes", json!([])), "roles[0].paths: must be there, or else path_hash_prefixes");
        let twice = view(json!([named("a", false, &["*"]), named("a", false, &["*"])])).expect_err("refused");
        assert_eq!(twice.to_string(), "roles[1].name: must be no other role's");
        let none = Delegations::view(&json!({"keys": {}})).expect_err("refused");
        assert_eq!(none.to_string(), "roles: must be there, or else succinct_roles");
    }
}
