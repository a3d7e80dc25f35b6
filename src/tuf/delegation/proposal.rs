//! Roles that people ask for, checked one by one before they become delegations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::DelegatedRole;
use crate::tuf::{
    bins::{Bins, Layout, NAME_PREFIX},
    expiry::MAX_DAYS,
    key::{Key, KeyError, key_id, legacy_key_id},
    member::{Members, MetadataError, object},
    name::{KeyId, MAX_ARTIFACT_PATH_BYTES, NameError, RoleName},
    root::RoleKeys,
};

/// The member of a role that tells for how many days its metadata is valid from each signature on.
pub const EXPIRE_POLICY: &str = "x-rstuf-expire-policy";

/// What a repository has already.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The `delegations` of its `targets`: keys that need not be said again.
    pub delegations: &'a Value,
    /// The online key, which signs the roles that name no key.
    pub online: Option<(&'a KeyId, &'a Key)>,
    /// Its hash bins.
    pub bins: Option<Bins>,
    /// Which names are allowed.
    pub names: Names,
}

/// Which names proposed roles may have.
#[derive(Debug, Clone)]
pub enum Names {
    /// New ones: none of these, upper and lower case being the same. Those of deleted roles are among them.
    Unused(BTreeSet<RoleName>),
    /// Only these.
    Existing(BTreeSet<RoleName>),
}

/// A role that can be delegated to.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Its name.
    pub name: RoleName,
    /// The object of `delegations.roles`: as it came but for its days, with the online key if it named none.
    pub role: Value,
    /// The keys that it names, by their ids, as `delegations.keys` has them or is to have them.
    pub keys: Map<String, Value>,
    /// How the role object is read.
    pub view: DelegatedRole,
    /// The keys, as they are read.
    pub key_views: BTreeMap<KeyId, Key>,
    /// For how many days its metadata is valid; `None` when nothing is said: as long as that of `targets`.
    pub days: Option<u32>,
}

/// A role that can't be delegated to.
#[derive(Debug)]
pub struct Failed {
    /// Its name, as it came.
    pub role: String,
    /// Why.
    pub reason: Reason,
}

/// Why a role can't be delegated to.
#[derive(Debug, Error)]
pub enum Reason {
    /// The name can't be that of a role.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another role has the name for good.
    #[error("the name is reserved")]
    Reserved,
    /// The name comes twice.
    #[error("the name of a role must be its own, upper and lower case being the same")]
    Twice,
    /// The name is or was that of another role.
    #[error("role already exists or name used in the past")]
    Used,
    /// There is no such role.
    #[error("Role '{0}' doesn't exist.")]
    Unknown(String),
    /// A member is missing or wrong.
    #[error(transparent)]
    Member(#[from] MetadataError),
    /// There is no path.
    #[error("paths: must not be empty")]
    NoPaths,
    /// An empty path matches nothing.
    #[error("paths: No empty strings are allowed as path patterns")]
    EmptyPath,
    /// A path that no artifact can have.
    #[error("paths: {0}")]
    Path(NameError),
    /// Prefixes of hashes are for bins alone.
    #[error("a role has paths or path_hash_prefixes, and only paths are supported")]
    Prefixes,
    /// Nobody could sign it.
    #[error("If no keys assigned threshold must be 1")]
    KeylessThreshold,
    /// It names no key, and there is no online key that could sign it.
    #[error("it names no key, and this repository has no online key")]
    NoOnlineKey,
    /// More have to sign than there are keys.
    #[error("threshold: {threshold} keys can't sign, it has {keys}")]
    Threshold {
        /// How many have to sign.
        threshold: u32,
        /// How many keys there are.
        keys: usize,
    },
    /// A key that is nowhere.
    #[error("key {0}: neither the request nor the repository has it")]
    NoKey(KeyId),
    /// A key object that can't be read.
    #[error("key {0}: {1}")]
    KeyMember(KeyId, MetadataError),
    /// A key whose signatures can't be verified.
    #[error("key {0}: {1}")]
    Unusable(KeyId, KeyError),
    /// An id that says nothing of its key.
    #[error("key {0}: the id is not the SHA-256 of the key")]
    KeyId(KeyId),
    /// The id is that of another key.
    #[error("key {0}: the repository has another key of this id")]
    OtherKey(KeyId),
    /// The key would be signed with elsewhere.
    #[error("key {0}: the repository has it without this x-rstuf-online-key-uri; give the role a new key")]
    OtherUri(KeyId),
    /// Two ids of one key would count once.
    #[error("keys {0} and {1} are the same key")]
    SameKey(KeyId, KeyId),
    /// A validity that can't be.
    #[error("x-rstuf-expire-policy: must be a whole number of days from 1 to {MAX_DAYS}")]
    Days,
}

/// Why nothing of a request can be done.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is not what a request looks like.
    #[error("delegations.{0}")]
    Member(#[from] MetadataError),
    /// A role without a name, or with that of another one that every repository has.
    #[error("Delegated roles cannot be empty or use top-level role names")]
    Names,
    /// The repository has hash bins in a layout that takes no other roles.
    #[error(
        "Delegations already using hash-bins, cannot add custom roles: they are written as succinct_roles, beside which TUF \
         allows no roles with names; a repository with bins of the layout path_hash_prefixes can have both"
    )]
    Succinct,
}

/// Makes sure that a repository with these hash bins can have roles with names.
///
/// # Errors
/// [`Unreadable::Succinct`]: a `delegations` has either `succinct_roles` or `roles` (TUF §4.5).
pub fn takes_roles(bins: Option<Bins>) -> Result<(), Unreadable> {
    match bins.is_some_and(|bins| bins.layout() == Layout::Succinct) {
        true => Err(Unreadable::Succinct),
        false => Ok(()),
    }
}

/// Reads `{"keys": {…}, "roles": […]}`: each role is checked by itself, in its order.
///
/// # Errors
/// [`Unreadable`] when nothing of it can be done.
pub fn read(payload: &Value, known: &Known<'_>) -> Result<Vec<Result<Proposal, Failed>>, Unreadable> {
    takes_roles(known.bins)?;
    let (roles, mut seen) = (named(payload)?, BTreeSet::new());
    let empty = Map::new();
    let given = match payload.get("keys") {
        None | Some(Value::Null) => &empty,
        Some(keys) => keys.as_object().ok_or_else(|| MetadataError::field("keys", "must be an object"))?,
    };
    let check = |(text, role): Named<'_>| {
        let checked = name(text, known, &mut seen).and_then(|name| proposal(name, role, given, known));
        checked.map_err(|reason| Failed { role: text.to_owned(), reason })
    };
    Ok(roles.into_iter().map(check).collect())
}

/// A role of a request that was not looked at further: its name and its object.
pub type Named<'a> = (&'a str, &'a Map<String, Value>);

/// The roles of a request.
///
/// # Errors
/// [`Unreadable`] when `roles` is no list of objects with names, or a name is none or that of a top-level role.
pub fn named(payload: &Value) -> Result<Vec<Named<'_>>, Unreadable> {
    const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
    let mut roles = Vec::new();
    for (i, role) in object(payload)?.list("roles")?.iter().enumerate() {
        let read = object(role).and_then(|role| Ok((role.text("name")?, role)));
        roles.push(read.map_err(|error| error.within(&format!("roles[{i}]")))?);
    }
    let reserved = |name: &str| name.is_empty() || TOP_LEVEL.iter().any(|top| top.eq_ignore_ascii_case(name));
    if roles.is_empty() || roles.iter().any(|(name, _)| reserved(name)) {
        return Err(Unreadable::Names);
    }
    Ok(roles)
}

/// What the names of trusted metadata begin with where it is listed beside metadata that waits for signatures.
pub const TRUSTED_PREFIX: &str = "trusted_";

/// Whether a name is, upper and lower case being the same, that of a role that every repository has, of a bin, of all bins, or of what is listed
/// beside pending metadata.
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let bin = |rest: &str| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let top_level = ["root", "targets", "snapshot", "timestamp"].contains(&name.as_str());
    top_level || name.starts_with(TRUSTED_PREFIX) || name.strip_prefix(NAME_PREFIX).is_some_and(bin)
}

fn name(text: &str, known: &Known<'_>, seen: &mut BTreeSet<String>) -> Result<RoleName, Reason> {
    let name = RoleName::parse(text)?;
    let lower = text.to_ascii_lowercase();
    let is_bin = || known.bins.is_some_and(|bins| bins.names().any(|bin| bin.as_str() == lower));
    if lower == NAME_PREFIX || (lower.starts_with(NAME_PREFIX) && is_bin()) {
        return Err(Reason::Reserved);
    }
    match &known.names {
        Names::Unused(taken) if taken.iter().any(|name| name.as_str().eq_ignore_ascii_case(text)) => {
            return Err(Reason::Used);
        }
        Names::Existing(there) if !there.contains(&name) => return Err(Reason::Unknown(text.to_owned())),
        _ => {}
    }
    if seen.insert(lower) { Ok(name) } else { Err(Reason::Twice) }
}

fn proposal(
    name: RoleName,
    role: &Map<String, Value>,
    given: &Map<String, Value>,
    known: &Known<'_>,
) -> Result<Proposal, Reason> {
    let mut role = role.clone();
    // What is explicitly nothing is as good as not there; metadata has no such members.
    role.retain(|_, value| !value.is_null());
    if role.contains_key("path_hash_prefixes") {
        return Err(Reason::Prefixes);
    }
    paths(&role)?;
    // It is for this service alone: tough can't verify a targets role whose delegated roles have members that it does not know.
    let days = role.remove(EXPIRE_POLICY).as_ref().map(days).transpose()?;
    if role.get("keyids").is_none_or(|ids| ids.as_array().is_some_and(Vec::is_empty)) {
        if role.get("threshold").and_then(Value::as_u64) != Some(1) {
            return Err(Reason::KeylessThreshold);
        }
        let (id, _) = known.online.ok_or(Reason::NoOnlineKey)?;
        role.insert("keyids".to_owned(), json!([id]));
    }
    let role = Value::Object(role);
    let view = DelegatedRole::view(&role)?;
    let RoleKeys { keyids, threshold } = &view.keys;
    if *threshold as usize > keyids.len() {
        return Err(Reason::Threshold { threshold: *threshold, keys: keyids.len() });
    }
    let key_views = keyids.iter().map(|id| Ok((id.clone(), key(id, given, known)?))).collect::<Result<_, Reason>>()?;
    differ(&key_views)?;
    let keys = key_views.iter().map(|(id, key)| (id.to_string(), key.raw.clone())).collect();
    Ok(Proposal { name, role, keys, view, key_views, days })
}

fn paths(role: &Map<String, Value>) -> Result<(), Reason> {
    let paths = role.texts("paths")?;
    match paths.iter().find(|path| path.is_empty() || path.len() > MAX_ARTIFACT_PATH_BYTES) {
        _ if paths.is_empty() => Err(Reason::NoPaths),
        Some(&"") => Err(Reason::EmptyPath),
        Some(_) => Err(Reason::Path(NameError::PathLength(MAX_ARTIFACT_PATH_BYTES))),
        None => Ok(()),
    }
}

fn days(value: &Value) -> Result<u32, Reason> {
    let days = value.as_u64().and_then(|days| u32::try_from(days).ok());
    days.filter(|days| (1..=MAX_DAYS).contains(days)).ok_or(Reason::Days)
}

/// The key of this id. One that the repository has stays as it is; of the online key it is root that knows all.
fn key(id: &KeyId, given: &Map<String, Value>, known: &Known<'_>) -> Result<Key, Reason> {
    let read = |value: &Value| Key::view(value).map_err(|error| Reason::KeyMember(id.clone(), error));
    let listed = known.delegations.get("keys").and_then(|keys| keys.get(id.as_str())).map(read).transpose()?;
    let online = known.online.filter(|(online, _)| *online == id).map(|(_, key)| key.clone());
    let there = online.or(listed);
    let new = given.get(id.as_str()).map(|value| {
        let mut value = value.clone();
        if let Value::Object(members) = &mut value {
            members.retain(|_, member| !member.is_null());
        }
        read(&value)
    });
    let key = match (there, new.transpose()?) {
        (None, None) => return Err(Reason::NoKey(id.clone())),
        (Some(there), None) => there,
        (Some(there), Some(new)) => {
            let same = ["keytype", "scheme", "keyval"].iter().all(|member| there.raw[member] == new.raw[member]);
            match new.online_uri() {
                _ if !same => return Err(Reason::OtherKey(id.clone())),
                // Other roles may have it: where it is reached must not change below them.
                Some(uri) if there.online_uri() != Some(uri) => return Err(Reason::OtherUri(id.clone())),
                _ => there,
            }
        }
        (None, Some(new)) if is_id_of(id, &new.raw) => new,
        (None, Some(_)) => return Err(Reason::KeyId(id.clone())),
    };
    key.usable().map_err(|error| Reason::Unusable(id.clone(), error))?;
    Ok(key)
}

/// Whether this is how a known program computes the id: over the whole object (tough), over what the key is made of (the Python tools,
/// to which names and addresses are no part of it), or over that with the hash algorithms (older Python tools). No others are taken, since
/// an id that is not computed could be given to two keys.
fn is_id_of(id: &KeyId, key: &Value) -> bool {
    let mut older = json!({"keytype": key["keytype"], "scheme": key["scheme"], "keyval": key["keyval"]});
    older["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
    let computed = [key_id(key), legacy_key_id(key), key_id(&older)];
    computed.into_iter().any(|computed| computed.is_ok_and(|computed| computed == *id))
}

fn differ(keys: &BTreeMap<KeyId, Key>) -> Result<(), Reason> {
    let mut seen = BTreeMap::new();
    for (id, key) in keys {
        if let Some(other) = key.identity().and_then(|identity| seen.insert(identity, id)) {
            return Err(Reason::SameKey(other.clone(), id.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        delegation::change,
        key::ONLINE_KEY_URI,
        sample::{Signer, role},
    };

    /// Two keys of people, an online key of the repository.
    struct Case {
        a: Signer,
        b: Signer,
        online: Signer,
    }

    impl Case {
        fn new() -> Self {
            Self { a: Signer::new(), b: Signer::new(), online: Signer::new() }
        }

        fn payload(&self) -> Value {
            let keys: Map<_, _> = [&self.a, &self.b].iter().map(|k| (k.id().to_string(), k.key())).collect();
            let role = json!({"name": "r", "keyids": [self.a.id(), self.b.id()], "threshold": 2, "terminating": true,
                "paths": ["a/*"], "x-rstuf-expire-policy": 7, "x-own-thing": [1]});
            json!({"keys": keys, "roles": [role]})
        }

        fn read(&self, payload: &Value, names: Names) -> Result<Vec<Result<Proposal, Failed>>, Unreadable> {
            let mut online = self.online.key();
            online[ONLINE_KEY_URI] = json!("fn:online");
            let (id, key) = (self.online.id(), Key::view(&online).expect("a key"));
            let bins = Bins::new(16, Layout::PathHashPrefixes).ok();
            let known = Known { delegations: &change::none(), online: Some((&id, &key)), bins, names };
            read(payload, &known)
        }

        fn with(&self, pointer: &str, value: Value) -> Result<Proposal, String> {
            let mut payload = self.payload();
            *payload.pointer_mut(pointer).expect(pointer) = value;
            self.first(&payload)
        }

        fn first(&self, payload: &Value) -> Result<Proposal, String> {
            let taken = [role("used")].into();
            let mut all = self.read(payload, Names::Unused(taken)).map_err(|error| error.to_string())?;
            all.swap_remove(0).map_err(|failed| failed.reason.to_string())
        }
    }

    #[test]
    fn a_role_is_kept_as_it_came_but_for_its_days() {
        let case = Case::new();
        let payload = case.payload();
        let read = case.first(&payload).expect("accepted");
        let mut kept = payload["roles"][0].clone();
        kept.as_object_mut().expect("an object").remove(EXPIRE_POLICY);
        assert_eq!((&read.role, read.days), (&kept, Some(7)));
        assert_eq!(read.keys.len(), 2);
        let mut nulls = payload.clone();
        nulls["roles"][0]["path_hash_prefixes"] = Value::Null;
        nulls["keys"][case.a.id().as_str()]["name"] = Value::Null;
        assert_eq!(case.first(&nulls).expect("accepted"), read);
        assert_eq!(case.with("/roles/0/x-rstuf-expire-policy", Value::Null).expect("accepted").days, None);
    }

    #[test]
    fn b14_names_are_checked() {
        let case = Case::new();
        let whole = "Delegated roles cannot be empty or use top-level role names";
        let reserved = "the name is reserved";
        let pattern = NameError::Role.to_string();
        let refused = [
            ("", whole),
            ("root", whole),
            ("Targets", whole),
            ("a/b", &pattern),
            ("a.b", &pattern),
            ("bins", reserved),
            ("BINS", reserved),
            ("bins-0", reserved),
            ("Bins-F", reserved),
            ("used", "role already exists or name used in the past"),
            ("USED", "role already exists or name used in the past"),
        ];
        for (name, why) in refused {
            assert_eq!(case.with("/roles/0/name", json!(name)).expect_err(name), why, "{name}");
        }
        for name in ["2fa", "bins-00", "bins-g", "binsen", "a_B"] {
            assert_eq!(case.with("/roles/0/name", json!(name)).expect(name).name, role(name));
        }
        let mut twice = case.payload();
        let mut second = twice["roles"][0].clone();
        second["name"] = json!("R");
        twice["roles"].as_array_mut().expect("roles").push(second);
        let both = case.read(&twice, Names::Unused([].into())).expect("read");
        assert!(both[0].is_ok());
        assert!(matches!(&both[1], Err(Failed { role, reason: Reason::Twice }) if role == "R"));
    }

    #[test]
    fn b20_a_role_without_keys_is_signed_by_the_online_key_alone() {
        let case = Case::new();
        let why = case.with("/roles/0/keyids", json!([])).expect_err("threshold 2");
        assert_eq!(why, "If no keys assigned threshold must be 1");
        let mut payload = case.payload();
        payload["roles"][0]["keyids"] = json!([]);
        payload["roles"][0]["threshold"] = json!(1);
        let read = case.first(&payload).expect("accepted");
        assert_eq!(read.view.keys.keyids, [case.online.id()]);
        assert_eq!(read.keys[case.online.id().as_str()][ONLINE_KEY_URI], "fn:online");
    }

    #[test]
    fn what_can_not_be_is_told() {
        let case = Case::new();
        let (a, b) = (case.a.id(), case.b.id());
        let key = format!("/keys/{a}");
        let refused = [
            ("/roles/0/paths", json!([]), "paths: must not be empty".to_owned()),
            ("/roles/0/paths", json!(["a", ""]), "paths: No empty strings are allowed as path patterns".to_owned()),
            ("/roles/0/paths", json!(1), "paths: must be a list".to_owned()),
            ("/roles/0/terminating", json!("no"), "terminating: must be true or false".to_owned()),
            ("/roles/0/threshold", json!(0), "threshold: must be from 1 to 4294967295".to_owned()),
            ("/roles/0/threshold", json!(3), "threshold: 3 keys can't sign, it has 2".to_owned()),
            ("/roles/0/keyids", json!([a, a]), "keyids: must not name a key twice".to_owned()),
            ("/roles/0/keyids", json!([a, "x"]), "key x: neither the request nor the repository has it".to_owned()),
            ("/roles/0/x-rstuf-expire-policy", json!(0), Reason::Days.to_string()),
            ("/roles/0/x-rstuf-expire-policy", json!(36_501), Reason::Days.to_string()),
            (&key, json!({"scheme": "x"}), format!("key {a}: keytype: is missing")),
            (&key, case.b.key(), format!("key {a}: the id is not the SHA-256 of the key")),
            ("/roles", json!([]), "Delegated roles cannot be empty or use top-level role names".to_owned()),
            ("/roles", json!([1]), "delegations.roles[0]: must be an object".to_owned()),
            ("/keys", json!([1]), "delegations.keys: must be an object".to_owned()),
        ];
        for (pointer, value, why) in refused {
            assert_eq!(case.with(pointer, value).expect_err(pointer), why);
        }
        let mut other = case.payload();
        let mut again = case.b.key();
        again["x-more-here"] = json!(1);
        let id = key_id(&again).expect("an id");
        other["keys"][id.as_str()] = again;
        other["roles"][0]["keyids"] = json!([b, id]);
        assert!(case.first(&other).expect_err("the same key").ends_with("are the same key"));
    }

    #[test]
    fn keys_of_the_repository_stay_as_they_are() {
        let case = Case::new();
        let mut payload = case.payload();
        let mut there = case.a.key();
        there["x-rstuf-key-name"] = json!("Ann");
        let delegations = json!({"keys": {case.a.id().as_str(): there}, "roles": []});
        let first = |payload: &Value| {
            let known = Known { delegations: &delegations, online: None, bins: None, names: Names::Unused([].into()) };
            let read = read(payload, &known).expect("read").swap_remove(0);
            read.map_err(|failed| failed.reason.to_string())
        };
        assert_eq!(first(&payload).expect("accepted").keys[case.a.id().as_str()], there);
        payload["keys"][case.a.id().as_str()][ONLINE_KEY_URI] = json!("fn:mine");
        assert!(first(&payload).expect_err("another place").contains("give the role a new key"));
        payload["keys"][case.a.id().as_str()] = case.b.key();
        assert!(first(&payload).expect_err("another key").ends_with("the repository has another key of this id"));
        drop(payload["keys"].as_object_mut().map(|keys| keys.remove(case.a.id().as_str())));
        assert_eq!(first(&payload).expect("accepted").keys[case.a.id().as_str()], there);
    }

    #[test]
    fn b19_only_what_was_asked_for_fails() {
        let case = Case::new();
        let payload = case.payload();
        let update = |names: &[&str]| {
            let there = names.iter().map(|name| role(name)).collect();
            case.read(&payload, Names::Existing(there)).expect("read")
        };
        let there = update(&["r", "s", "t"]);
        assert!(there.len() == 1 && there[0].is_ok());
        let reasons: Vec<_> =
            update(&["s"]).into_iter().map(|read| read.expect_err("unknown").reason.to_string()).collect();
        assert_eq!(reasons, ["Role 'r' doesn't exist."]);
    }
}
