//! The view of root: which keys sign which top-level role (TUF §4.3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::tuf::{
    bins::NAME_PREFIX,
    key::{Key, ONLINE_KEY_ROLE},
    member::{Members, MetadataError, object},
    name::{KeyId, Version},
    wire::{Header, RoleType, SPEC_VERSION, format_expires},
};

/// The keys of a role, and how many of them have to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// The keys, none twice.
    pub keyids: Vec<KeyId>,
    /// How many have to sign: 1 and up.
    pub threshold: u32,
}

impl RoleKeys {
    /// Reads `keyids` and `threshold` of a role, among its other members.
    pub(super) fn view(members: &Map<String, Value>) -> Result<Self, MetadataError> {
        let keyids: Vec<_> = members.texts("keyids")?.into_iter().map(|id| KeyId(id.to_owned())).collect();
        let mut sorted: Vec<_> = keyids.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(MetadataError::field("keyids", "must not name a key twice"));
        }
        let threshold = u32::try_from(members.number("threshold")?).ok().filter(|&t| t > 0);
        let threshold = threshold.ok_or_else(|| MetadataError::field("threshold", "must be from 1 to 4294967295"))?;
        Ok(Self { keyids, threshold })
    }

    /// Whether so many of them are online keys that nobody else has to sign.
    pub fn is_reachable(&self, keys: &BTreeMap<KeyId, Key>) -> bool {
        let online = self.keyids.iter().filter(|id| keys.get(*id).is_some_and(|key| key.online_uri().is_some()));
        online.count() >= self.threshold as usize
    }
}

/// Reads a `keys` member.
pub(super) fn keys(members: &Map<String, Value>) -> Result<BTreeMap<KeyId, Key>, MetadataError> {
    let read = |(id, value): (&String, &Value)| {
        let key = Key::view(value).map_err(|e| e.within(id).within("keys"))?;
        Ok((KeyId(id.clone()), key))
    };
    members.object("keys")?.iter().map(read).collect()
}

/// Writes a `keys` member, sorted by key id.
pub(super) fn render_keys(keys: &[(KeyId, Value)]) -> Value {
    let sorted: BTreeMap<_, _> = keys.iter().map(|(id, key)| (id.as_str(), key)).collect();
    Value::Object(sorted.into_iter().map(|(id, key)| (id.to_owned(), key.clone())).collect())
}

/// A typed view of root.
#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// The version; a client takes no version without the one before it.
    pub version: Version,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// Whether files have their version in their name. We write nothing else, so a repository needs it to be true.
    pub consistent_snapshot: bool,
    /// All keys.
    pub keys: BTreeMap<KeyId, Key>,
    /// The keys of each role. The four top-level roles are always there.
    pub roles: BTreeMap<String, RoleKeys>,
}

const TOP_LEVEL: [RoleType; 4] = [RoleType::Root, RoleType::Timestamp, RoleType::Snapshot, RoleType::Targets];

impl Root {
    /// Reads what root signs.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong; each top-level role must be there.
    pub fn view(signed: &Value) -> Result<Self, MetadataError> {
        let header = Header::of_type(signed, RoleType::Root)?;
        let members = object(signed)?;
        let listed = members.object("roles")?;
        let mut roles = BTreeMap::new();
        for (name, value) in listed {
            let keys = object(value).and_then(RoleKeys::view).map_err(|e| e.within(name).within("roles"))?;
            roles.insert(name.clone(), keys);
        }
        if let Some(missing) = TOP_LEVEL.iter().find(|role| !roles.contains_key(role.as_str())) {
            return Err(MetadataError::field(missing.as_str(), "is missing").within("roles"));
        }
        let consistent_snapshot =
            members.contains_key("consistent_snapshot") && members.truth("consistent_snapshot")?;
        Ok(Self { version: header.version, expires: header.expires, consistent_snapshot, keys: keys(members)?, roles })
    }

    /// The keys of a top-level role.
    pub fn role(&self, role: RoleType) -> &RoleKeys {
        &self.roles[role.as_str()]
    }

    /// The one key that signs `role` online: the first of its keys.
    pub fn online_key(&self, role: RoleType) -> Option<(&KeyId, &Key)> {
        self.keys.get_key_value(self.role(role).keyids.first()?)
    }

    /// The key that signs delegated roles which name no key: the first online key of `timestamp`.
    pub fn key_of_roles(&self) -> Option<(&KeyId, &Key)> {
        let mut keys = self.role(RoleType::Timestamp).keyids.iter().filter_map(|id| self.keys.get_key_value(id));
        keys.find(|(_, key)| key.online_uri().is_some())
    }

    /// The key that signs the hash bins: the one that says so, or else that of the roles which name none. A root has no role of the
    /// bins, since clients know of four roles; so it is no role that names the key. Who signs the root answers for it all the same.
    pub fn key_of_bins(&self) -> Option<(&KeyId, &Key)> {
        let says_so = |key: &Key| key.raw.get(ONLINE_KEY_ROLE).and_then(Value::as_str) == Some(NAME_PREFIX);
        let mut keys = self.keys.iter().filter(|(_, key)| key.online_uri().is_some());
        keys.find(|(_, key)| says_so(key)).or_else(|| self.key_of_roles())
    }

    /// Writes what a new root signs.
    pub fn render(version: Version, expires: Timestamp, keys: &[(KeyId, Value)], roles: &[(&str, RoleKeys)]) -> Value {
        let sorted: BTreeMap<_, _> = roles.iter().map(|(name, keys)| (*name, keys)).collect();
        let role = |(name, keys): (&str, &RoleKeys)| {
            (name.to_owned(), json!({"keyids": keys.keyids, "threshold": keys.threshold}))
        };
        json!({
            "_type": "root",
            "consistent_snapshot": true,
            "expires": format_expires(expires),
            "keys": render_keys(keys),
            "roles": Value::Object(sorted.into_iter().map(role).collect()),
            "spec_version": SPEC_VERSION,
            "version": version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        key::ONLINE_KEY_URI,
        sample::{self, Signer},
    };

    #[test]
    fn what_is_rendered_is_read_back() {
        let (a, b) = (Signer::new(), Signer::new());
        let signed = sample::root(3, &[&a, &b], 2, &b);
        let root = Root::view(&signed).expect("a root");
        assert_eq!((root.version.get(), root.consistent_snapshot), (3, true));
        assert_eq!(root.role(RoleType::Root).threshold, 2);
        assert_eq!(root.role(RoleType::Root).keyids, [a.id(), b.id()]);
        assert_eq!(root.online_key(RoleType::Timestamp).expect("a key").0, &b.id());
        assert!(signed.as_object().expect("an object").keys().is_sorted());
    }

    #[test]
    fn refusals_name_the_member() {
        let a = Signer::new();
        let good = sample::root(1, &[&a], 1, &a);
        let id = a.id();
        let wrong = [
            ("/roles/root/threshold", json!(0), "roles.root.threshold: must be from 1 to 4294967295".to_owned()),
            ("/roles/targets/keyids", json!([id, id]), "roles.targets.keyids: must not name a key twice".to_owned()),
            ("/roles/targets/keyids", json!([1]), "roles.targets.keyids: must be a list of strings".to_owned()),
            ("/roles", json!({}), "roles.root: is missing".to_owned()),
            ("/_type", json!("targets"), "_type: must be the type of this role".to_owned()),
            ("/consistent_snapshot", json!(1), "consistent_snapshot: must be true or false".to_owned()),
            (&format!("/keys/{id}"), json!({"scheme": "x"}), format!("keys.{id}.keytype: is missing")),
        ];
        for (pointer, value, why) in wrong {
            let mut signed = good.clone();
            *signed.pointer_mut(pointer).expect("a member") = value;
            assert_eq!(Root::view(&signed).expect_err(pointer).to_string(), why);
        }
    }

    #[test]
    fn bins_have_the_key_that_says_so_or_that_of_timestamp() {
        let (a, online, own) = (Signer::new(), Signer::new(), Signer::new());
        let mut signed = sample::root(1, &[&a], 1, &online);
        let keys = |signed: &Value| {
            let root = Root::view(signed).expect("a root");
            [root.key_of_roles(), root.key_of_bins()].map(|key| key.map(|(id, _)| id.clone()))
        };
        assert_eq!(keys(&signed), [None, None]);
        signed["keys"][online.id().as_str()][ONLINE_KEY_URI] = json!("fn:online");
        assert_eq!(keys(&signed), [Some(online.id()), Some(online.id())]);
        signed["keys"][own.id().as_str()] = own.key();
        signed["keys"][own.id().as_str()][ONLINE_KEY_ROLE] = json!("bins");
        assert_eq!(keys(&signed), [Some(online.id()), Some(online.id())], "it says not where it is kept");
        signed["keys"][own.id().as_str()][ONLINE_KEY_URI] = json!("fn:own");
        assert_eq!(keys(&signed), [Some(online.id()), Some(own.id())]);
        signed["keys"][own.id().as_str()][ONLINE_KEY_ROLE] = json!("other");
        assert_eq!(keys(&signed), [Some(online.id()), Some(online.id())]);
    }

    #[test]
    fn keys_of_unknown_types_survive() {
        let a = Signer::new();
        let mut signed = sample::root(1, &[&a], 1, &a);
        let sigstore =
            json!({"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"issuer": "i", "identity": "j"}});
        signed["keys"]["s"] = sigstore.clone();
        let root = Root::view(&signed).expect("a root");
        assert_eq!(root.keys[&KeyId("s".into())].raw, sigstore);
    }
}
