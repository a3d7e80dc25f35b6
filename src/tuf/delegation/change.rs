//! Changes of a `delegations` member. What they don't concern stays as it is, unknown members too; a key stays as long as a role
//! names it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::Delegations;
use crate::tuf::{
    member::{Members, MetadataError, object},
    name::{KeyId, RoleName},
};

/// The `delegations` of a `targets` while they are changed.
#[derive(Debug, Clone)]
pub struct Draft {
    members: Map<String, Value>,
}

/// Keys by the ids of those in whose place they come.
pub type KeySwap = BTreeMap<KeyId, (KeyId, Value)>;

/// Which keys come in the place of others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeySwaps {
    /// In roles with paths.
    pub custom: KeySwap,
    /// In hash bins, of either layout.
    pub bins: KeySwap,
}

/// Which roles a swap of keys concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swapped {
    /// Roles with paths, in their order.
    pub custom: Vec<RoleName>,
    /// Whether it concerned hash bins, of either layout.
    pub bins: bool,
}

impl Swapped {
    /// Whether it concerned no role at all.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && !self.bins
    }
}

/// Delegations to nobody, in the layout that takes roles with names.
pub fn none() -> Value {
    json!({"keys": {}, "roles": []})
}

impl Draft {
    /// A draft that is these delegations so far.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when they are no object with `keys`.
    pub fn of(delegations: &Value) -> Result<Self, MetadataError> {
        let members = object(delegations)?.clone();
        members.object("keys")?;
        Ok(Self { members })
    }

    /// Puts a role in the place of the one of its name, or else behind the other roles with paths and before the hash bins.
    /// Its keys are added; one that is there is replaced.
    ///
    /// # Errors
    /// [`MetadataError::Field`] where there are no `roles`, as besides `succinct_roles`.
    pub fn put(&mut self, role: &Value, keys: &Map<String, Value>) -> Result<(), MetadataError> {
        let roles = self.roles()?;
        match roles.iter_mut().find(|there| there["name"] == role["name"]) {
            Some(there) => *there = role.clone(),
            None => {
                let bins = roles.iter().position(|there| there.get("path_hash_prefixes").is_some());
                roles.insert(bins.unwrap_or(roles.len()), role.clone());
            }
        }
        self.keys()?.extend(keys.clone());
        Ok(())
    }

    /// Takes a role out; one that is not there is no fault.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&mut self, name: &RoleName) -> Result<(), MetadataError> {
        self.roles()?.retain(|role| role["name"] != name.as_str());
        Ok(())
    }

    /// Puts other keys in the place of these, in all roles and `succinct_roles` that name them, all at once.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when the key ids of a role can't be read.
    pub fn swap(&mut self, keys: &KeySwaps) -> Result<Swapped, MetadataError> {
        let mut swapped = Swapped::default();
        let replaced = |role: &mut Value, keys: &KeySwap| -> Result<bool, MetadataError> {
            let old = object(role)?.texts("keyids")?;
            if !old.iter().any(|id| keys.contains_key(*id)) {
                return Ok(false);
            }
            let mut new: Vec<String> = Vec::with_capacity(old.len());
            for id in old {
                let id = keys.get(id).map_or(id, |(id, _)| id.as_str());
                // A role may have named both keys.
                if !new.iter().any(|there| there == id) {
                    new.push(id.to_owned());
                }
            }
            role["keyids"] = json!(new);
            Ok(true)
        };
        if let Some(bins) = self.members.get_mut("succinct_roles") {
            swapped.bins = replaced(bins, &keys.bins)?;
        }
        if let Some(Value::Array(roles)) = self.members.get_mut("roles") {
            for role in roles {
                let is_bin = role.get("path_hash_prefixes").is_some();
                if !replaced(role, if is_bin { &keys.bins } else { &keys.custom })? {
                    continue;
                }
                match is_bin {
                    true => swapped.bins = true,
                    false => swapped.custom.extend(role["name"].as_str().and_then(|name| RoleName::parse(name).ok())),
                }
            }
        }
        if !swapped.is_empty() {
            let new = keys.custom.values().chain(keys.bins.values()).map(|(id, key)| (id.to_string(), key.clone()));
            self.keys()?.extend(new);
        }
        Ok(swapped)
    }

    /// The delegations, without the keys that no role names.
    ///
    /// # Errors
    /// [`MetadataError::Field`] when no client could read them, or a role has fewer keys than have to sign.
    pub fn finish(mut self) -> Result<Value, MetadataError> {
        let succinct = self.members.get("succinct_roles").into_iter();
        let roles = self.members.get("roles").and_then(Value::as_array).into_iter().flatten();
        let mut named = HashSet::new();
        for role in succinct.chain(roles) {
            let ids = object(role)?.texts("keyids")?;
            if object(role)?.number("threshold")? > ids.len() as u64 {
                return Err(MetadataError::field("threshold", "must not be more than there are keys"));
            }
            named.extend(ids.into_iter().map(str::to_owned));
        }
        let keys = self.keys()?;
        keys.retain(|id, _| named.contains(id));
        keys.sort_keys();
        let delegations = Value::Object(self.members);
        Delegations::view(&delegations)?;
        Ok(delegations)
    }

    fn roles(&mut self) -> Result<&mut Vec<Value>, MetadataError> {
        let roles = self.members.get_mut("roles").and_then(Value::as_array_mut);
        roles.ok_or_else(|| MetadataError::field("roles", "must be there, or else succinct_roles"))
    }

    fn keys(&mut self) -> Result<&mut Map<String, Value>, MetadataError> {
        let keys = self.members.get_mut("keys").and_then(Value::as_object_mut);
        keys.ok_or_else(|| MetadataError::field("keys", "must be an object"))
    }
}

/// The delegations with this role, in the place of the one of its name or else before the hash bins, with its keys, and without keys
/// that no role names.
///
/// # Errors
/// [`MetadataError::Field`] when they can't take a role with a name, or no client could read what comes of it.
pub fn with_role(delegations: &Value, role: &Value, keys: &Map<String, Value>) -> Result<Value, MetadataError> {
    let mut draft = Draft::of(delegations)?;
    draft.put(role, keys)?;
    draft.finish()
}

/// The delegations without this role, and without keys that no other role names.
///
/// # Errors
/// As [`with_role`].
pub fn without_role(delegations: &Value, name: &RoleName) -> Result<Value, MetadataError> {
    let mut draft = Draft::of(delegations)?;
    draft.remove(name)?;
    draft.finish()
}

/// The delegations with other keys in the place of these wherever they are named, and which roles that concerns.
///
/// # Errors
/// As [`with_role`]; a role that named an old and its new key may have too few keys then.
pub fn with_keys_swapped(delegations: &Value, keys: &KeySwaps) -> Result<(Value, Swapped), MetadataError> {
    let mut draft = Draft::of(delegations)?;
    let swapped = draft.swap(keys)?;
    Ok((draft.finish()?, swapped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tuf::{
        bins::{Bins, Layout},
        sample::{Signer, role},
    };

    fn named(name: &str, keyids: &[&str], threshold: u32) -> Value {
        json!({"name": name, "keyids": keyids, "threshold": threshold, "terminating": false, "paths": ["*"], "x-a-b": 1})
    }

    fn keys(ids: &[&str]) -> Map<String, Value> {
        let key = |id: &&str| {
            let key = json!({"keytype": "k", "scheme": "s", "keyval": {}, "x-of": id});
            ((*id).to_owned(), key)
        };
        ids.iter().map(key).collect()
    }

    fn everywhere(keys: KeySwap) -> KeySwaps {
        KeySwaps { bins: keys.clone(), custom: keys }
    }

    fn names(delegations: &Value) -> Vec<&str> {
        let roles = delegations["roles"].as_array().expect("roles");
        roles.iter().map(|role| role["name"].as_str().expect("a name")).collect()
    }

    fn ids(delegations: &Value) -> Vec<&str> {
        delegations["keys"].as_object().expect("keys").keys().map(String::as_str).collect()
    }

    #[test]
    fn a_new_role_stands_behind_other_roles_and_before_the_bins() {
        let key = Signer::new();
        let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins").delegations(&[key.entry()], 1);
        let one = with_role(&bins, &named("a", &["x"], 1), &keys(&["x", "unused"])).expect("changed");
        let two = with_role(&one, &named("b", &["y"], 1), &keys(&["y"])).expect("changed");
        assert_eq!(names(&two), ["a", "b", "bins-0", "bins-1"]);
        let mut expected = vec![key.id().to_string(), "x".into(), "y".into()];
        expected.sort();
        assert_eq!(ids(&two), expected);
        let replaced = with_role(&two, &named("a", &["y"], 1), &keys(&["y"])).expect("changed");
        assert_eq!(names(&replaced), ["a", "b", "bins-0", "bins-1"]);
        assert!(!ids(&replaced).contains(&"x"));
        assert_eq!(replaced["roles"][1], two["roles"][1]);
        let gone = without_role(&without_role(&replaced, &role("a")).expect("changed"), &role("b")).expect("changed");
        assert_eq!(gone, bins);
    }

    #[test]
    fn b21_keys_go_with_the_last_role_that_names_them() {
        let one = with_role(&none(), &named("a", &["x", "y"], 2), &keys(&["x", "y"])).expect("changed");
        let two = with_role(&one, &named("b", &["y"], 1), &keys(&["y"])).expect("changed");
        assert_eq!(ids(&without_role(&two, &role("a")).expect("changed")), ["y"]);
        assert_eq!(ids(&without_role(&two, &role("b")).expect("changed")), ["x", "y"]);
    }

    #[test]
    fn members_of_others_survive() {
        let mut start = with_role(&none(), &named("a", &["x"], 1), &keys(&["x"])).expect("changed");
        start["x-more"] = json!({"b": 1});
        let changed = with_role(&start, &named("b", &["x"], 1), &Map::new()).expect("changed");
        assert_eq!((&changed["x-more"], &changed["roles"][0]), (&start["x-more"], &start["roles"][0]));
        assert_eq!(changed["keys"]["x"]["x-of"], "x");
    }

    #[test]
    fn succinct_roles_take_no_others() {
        let bins = Bins::new(2, Layout::Succinct).expect("bins").delegations(&[Signer::new().entry()], 1);
        let refused = with_role(&bins, &named("a", &["x"], 1), &keys(&["x"])).expect_err("refused");
        assert_eq!(refused.to_string(), "roles: must be there, or else succinct_roles");
    }

    #[test]
    fn keys_are_swapped_wherever_they_are_named() {
        let old = Signer::new();
        let new = Signer::new();
        for layout in [Layout::Succinct, Layout::PathHashPrefixes] {
            let bins = Bins::new(2, layout).expect("bins").delegations(&[old.entry()], 1);
            let swaps = everywhere([(old.id(), new.entry())].into());
            let (changed, swapped) = with_keys_swapped(&bins, &swaps).expect("changed");
            assert_eq!(swapped, Swapped { custom: vec![], bins: true });
            assert_eq!(ids(&changed), [new.id().as_str()]);
            let view = Delegations::view(&changed).expect("delegations");
            assert_eq!(view.role(&role("bins-1")).expect("a bin").keyids, [new.id()]);
            let (same, none) = with_keys_swapped(&changed, &swaps).expect("changed");
            assert_eq!((&same, none.is_empty()), (&changed, true));
        }
    }

    #[test]
    fn bins_and_other_roles_part() {
        let (old, new, own) = (Signer::new(), Signer::new(), Signer::new());
        let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins").delegations(&[old.entry()], 1);
        let start = with_role(&bins, &named("a", &[old.id().as_str()], 1), &Map::new()).expect("changed");
        let to = |signer: &Signer| [(old.id(), signer.entry())].into();
        let swaps = KeySwaps { custom: to(&new), bins: to(&own) };
        let (changed, swapped) = with_keys_swapped(&start, &swaps).expect("changed");
        assert_eq!(swapped, Swapped { custom: vec![role("a")], bins: true });
        let view = Delegations::view(&changed).expect("delegations");
        let key_of = |name: &str| view.role(&role(name)).expect("a role").keyids.clone();
        assert_eq!((key_of("a"), key_of("bins-0")), (vec![new.id()], vec![own.id()]));
        assert_eq!(ids(&changed).len(), 2);
    }

    #[test]
    fn two_keys_change_places() {
        let mut start = with_role(&none(), &named("a", &["x"], 1), &keys(&["x"])).expect("changed");
        start = with_role(&start, &named("b", &["y", "z"], 2), &keys(&["y", "z"])).expect("changed");
        let id = |text: &str| KeyId(text.to_owned());
        let key = |text: &str| (id(text), keys(&[text])[text].clone());
        let swaps = everywhere([(id("x"), key("y")), (id("y"), key("x"))].into());
        let (changed, swapped) = with_keys_swapped(&start, &swaps).expect("changed");
        assert_eq!(swapped, Swapped { custom: vec![role("a"), role("b")], bins: false });
        assert_eq!(changed["roles"][0]["keyids"], json!(["y"]));
        assert_eq!(changed["roles"][1]["keyids"], json!(["x", "z"]));
        let both = everywhere([(id("z"), key("x"))].into());
        let refused = with_keys_swapped(&changed, &both).expect_err("refused");
        assert_eq!(refused.to_string(), "threshold: must not be more than there are keys");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(&'static str, Vec<&'static str>),
        Remove(&'static str),
        Swap(&'static str, &'static str),
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
        let key = || prop::sample::select(vec!["k", "l", "m", "n"]);
        let some = prop::sample::subsequence(vec!["k", "l", "m", "n"], 1..=4);
        prop_oneof![
            (name(), some).prop_map(|(name, keys)| Step::Put(name, keys)),
            name().prop_map(Step::Remove),
            (key(), key()).prop_map(|(old, new)| Step::Swap(old, new)),
        ]
    }

    proptest! {
        #[test]
        fn any_sequence_stays_readable_with_the_fewest_keys(steps in prop::collection::vec(step(), 0..30), bins: bool) {
            let own = Signer::new();
            let mut now = match bins {
                true => Bins::new(4, Layout::PathHashPrefixes).expect("bins").delegations(&[own.entry()], 1),
                false => none(),
            };
            let mut expected: Vec<&str> = Vec::new();
            for step in steps {
                now = match step {
                    Step::Put(name, ids) => {
                        if !expected.contains(&name) {
                            expected.push(name);
                        }
                        with_role(&now, &named(name, &ids, 1), &keys(&["k", "l", "m", "n"])).expect("changed")
                    }
                    Step::Remove(name) => {
                        expected.retain(|there| *there != name);
                        without_role(&now, &role(name)).expect("changed")
                    }
                    Step::Swap(old, new) => {
                        let swaps = everywhere([(KeyId(old.into()), (KeyId(new.into()), keys(&[new])[new].clone()))].into());
                        with_keys_swapped(&now, &swaps).expect("changed").0
                    }
                };
                let view = Delegations::view(&now).expect("readable");
                let mut named: Vec<_> = now["roles"].as_array().expect("roles").iter()
                    .flat_map(|role| role["keyids"].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id")))
                    .collect();
                named.sort_unstable();
                named.dedup();
                prop_assert_eq!(ids(&now), named);
                prop_assert_eq!(view.keys.len(), ids(&now).len());
                let all = names(&now);
                prop_assert_eq!(&all[..expected.len()], &expected[..]);
                prop_assert_eq!(all.len(), expected.len() + if bins { 4 } else { 0 });
            }
        }
    }
}
