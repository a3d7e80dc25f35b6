//! Delegations to roles with names and paths, as they come with a bootstrap or alone.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    body::{Bound, Cursor},
    limits::{MAX_KEYS, MAX_PATTERNS, MAX_ROLES},
    settings::expiration,
};
use crate::tuf::{
    bins::NAME_PREFIX,
    delegation::proposal::{TRUSTED_PREFIX, is_reserved},
    name::{MAX_ARTIFACT_PATH_BYTES, MAX_ROLE_NAME_BYTES, NameError},
};

/// The roles that every repository has: a delegated role of such a name would collide in files and in settings.
const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// The optional members of a key.
const KEY_TEXTS: [&str; 3] = ["name", "x-rstuf-key-name", "x-rstuf-online-key-uri"];

/// The members of a role that are read leniently, so that what is passed on is what was understood.
const POLICY: &str = "x-rstuf-expire-policy";
const PREFIXES: &str = "path_hash_prefixes";

/// Checks delegations. What is given back has the members of keys and roles that are not known here too, but no nulls.
pub(super) fn delegations(at: &Cursor<'_>) -> Option<Value> {
    let delegations = at.model()?;
    let keys = delegations.required("keys", |at| {
        at.at_most(at.dict()?.len(), MAX_KEYS)?;
        at.each_member(|id, at| Some((id.to_owned(), kept_key(at)?)))
    });
    let mut taken: HashSet<String> = TOP_LEVEL.map(str::to_owned).into();
    let roles = delegations.required("roles", |at| {
        at.at_most(at.list()?.len(), MAX_ROLES)?;
        at.each_item(|_, at| role(at, &mut taken))
    });
    let keys: serde_json::Map<String, Value> = keys?.into_iter().collect();
    Some(json!({"keys": keys, "roles": roles?}))
}

/// Checks delegations that are to end: of each role its name, whatever it is. Those that there are not are reported by the worker.
pub(super) fn ended(at: &Cursor<'_>) -> Option<Value> {
    let roles = at.model()?.required("roles", |at| {
        at.at_most(at.list()?.len(), MAX_ROLES)?;
        at.each_item(|_, at| {
            at.model()?.required("name", |at| match at.text()? {
                long if long.len() > MAX_ROLE_NAME_BYTES => at.refuse(NameError::Role),
                name => Some(json!({ "name": name })),
            })
        })
    })?;
    Some(json!({ "roles": roles }))
}

/// Refuses, at the place that the contract has for it, delegations of which a role has a name with a character that no
/// file name should have. The contract looks at the names before everything else.
pub(super) fn well_named(at: &Cursor<'_>, delegations: &Value) -> Option<()> {
    match misnamed(delegations) {
        None => Some(()),
        Some(name) => at.wrong(format_args!(
            "Delegated custom target name {name} not allowed Only a-z, A-Z, 0-9, - and _ characters can be used"
        )),
    }
}

fn misnamed(delegations: &Value) -> Option<&str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut names = delegations["roles"].as_array()?.iter().filter_map(|role| role["name"].as_str());
    names.find(|name| name.is_empty() || !name.bytes().all(allowed))
}

/// Checks a key of delegations or of a root.
pub(super) fn key(at: &Cursor<'_>) -> Option<()> {
    const VALUES: [&str; 3] = ["public", "issuer", "identity"];
    let key = at.model()?;
    let keytype = key.required("keytype", any_text);
    let scheme = key.required("scheme", any_text);
    let keyval = key.required("keyval", |at| {
        at.each_member(|name, at| match VALUES.contains(&name) {
            true => any_text(at),
            false => at.name_not_one_of(name, &VALUES),
        })
    });
    let names = KEY_TEXTS.map(|name| key.nullable(name, any_text));
    keytype.and(scheme).and(keyval).and(names.into_iter().all(|name| name.is_some()).then_some(()))
}

fn kept_key(at: &Cursor<'_>) -> Option<Value> {
    key(at)?;
    let mut kept = at.dict()?.clone();
    kept.retain(|name, value| !(value.is_null() && KEY_TEXTS.contains(&name.as_str())));
    Some(Value::Object(kept))
}

fn role(at: &Cursor<'_>, taken: &mut HashSet<String>) -> Option<Value> {
    let role = at.model()?;
    if at.value()["paths"].as_array().is_some_and(|paths| paths.iter().any(|path| path == "")) {
        return at.wrong("No empty strings are allowed as path patterns");
    }
    let name = role.required("name", |at| name(at, taken));
    let terminating = role.required("terminating", |at| at.boolean());
    let keyids = role.required("keyids", |at| {
        at.at_most(at.list()?.len(), MAX_KEYS)?;
        at.each_item(|_, at| any_text(at))
    });
    let threshold = role.required("threshold", |at| at.limit(at.integer()?, Bound::GreaterThan(0)));
    let paths = role.required("paths", |at| match at.list()?.len() {
        0 => at.too_short(1, 0),
        length => {
            at.at_most(length, MAX_PATTERNS)?;
            at.each_item(|_, at| pattern(at))
        }
    });
    let prefixes = role.nullable(PREFIXES, |at| {
        at.refuse::<()>("a role has paths or path_hash_prefixes, and only paths are supported")
    });
    let policy = role.nullable(POLICY, expiration);
    name.and(keyids).and(paths).and(prefixes)?;
    let mut kept = at.dict()?.clone();
    kept.insert("terminating".to_owned(), json!(terminating?));
    kept.insert("threshold".to_owned(), json!(threshold?));
    kept.shift_remove(PREFIXES);
    match policy? {
        Some(days) => kept.insert(POLICY.to_owned(), json!(days)),
        None => kept.shift_remove(POLICY),
    };
    Some(Value::Object(kept))
}

fn name(at: &Cursor<'_>, taken: &mut HashSet<String>) -> Option<()> {
    let name = at.text()?;
    if name.len() > MAX_ROLE_NAME_BYTES {
        return at.refuse(NameError::Role);
    }
    let lower = name.to_ascii_lowercase();
    if !TOP_LEVEL.contains(&lower.as_str()) && is_reserved(&lower) {
        return at.refuse(format_args!(
            "the names {NAME_PREFIX}, {NAME_PREFIX}- with hexadecimal digits, and {TRUSTED_PREFIX} with anything are reserved"
        ));
    }
    match taken.insert(lower) {
        true => Some(()),
        false => at.refuse("the name of a role must be its own, upper and lower case being the same"),
    }
}

fn pattern(at: &Cursor<'_>) -> Option<()> {
    match at.text()?.len() {
        long if long > MAX_ARTIFACT_PATH_BYTES => at.refuse(NameError::PathLength(MAX_ARTIFACT_PATH_BYTES)),
        _ => Some(()),
    }
}

fn any_text(at: &Cursor<'_>) -> Option<()> {
    at.text().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::{super::body::read, *};

    fn with(change: impl FnOnce(&mut Value)) -> Result<Value, Value> {
        let mut document = json!({
            "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}, "name": "n", "x": 1}},
            "roles": [
                {"name": "a", "terminating": true, "keyids": ["k"], "threshold": 1, "paths": ["a/*"]},
                {"name": "b", "terminating": false, "keyids": [], "threshold": 1, "paths": ["*"],
                    "x-rstuf-expire-policy": 7}
            ]
        });
        change(&mut document);
        read(&document, delegations).map_err(|faults| json!(faults))
    }

    #[test]
    fn unknown_members_survive() {
        assert_eq!(with(|_| ()).expect("accepted")["keys"]["k"]["x"], 1);
    }

    #[test]
    fn what_was_understood_is_passed_on() {
        let kept = with(|document| {
            document["keys"]["k"]["x-rstuf-online-key-uri"] = Value::Null;
            document["roles"][0]["terminating"] = json!("yes");
            document["roles"][0]["threshold"] = json!("2");
            document["roles"][0]["path_hash_prefixes"] = Value::Null;
            document["roles"][0]["x-rstuf-expire-policy"] = Value::Null;
            document["roles"][0]["name"] = json!("bins-and-more");
            document["succinct_roles"] = Value::Null;
        })
        .expect("accepted");
        assert_eq!(kept["keys"]["k"].as_object().map(serde_json::Map::len), Some(5));
        assert_eq!(
            kept["roles"][0],
            json!({"name": "bins-and-more", "terminating": true, "keyids": ["k"], "threshold": 2, "paths": ["a/*"]})
        );
        assert_eq!(kept["succinct_roles"], Value::Null);
    }

    #[test]
    fn only_the_names_of_what_ends_are_passed_on() {
        let kept = read(&json!({"keys": {}, "roles": [{"name": "a/b", "paths": []}]}), ended);
        assert_eq!(kept, Ok(json!({"roles": [{"name": "a/b"}]})));
        for (wrong, kind) in [
            (json!({}), "missing"),
            (json!({"roles": {"name": "a"}}), "list_type"),
            (json!({"roles": [{}]}), "missing"),
            (json!({"roles": ["a"]}), "model_attributes_type"),
            (json!({"roles": [{"name": 1}]}), "string_type"),
            (json!({"roles": [{"name": "n".repeat(MAX_ROLE_NAME_BYTES + 1)}]}), "value_error"),
            (json!({"roles": vec![json!({"name": "n"}); MAX_ROLES + 1]}), "too_long"),
        ] {
            assert_eq!(read(&wrong, ended).expect_err(kind)[0].kind, kind);
        }
    }

    #[test]
    fn faults_name_their_field() {
        let cases: [(&str, Value, &str); 17] = [
            ("/keys/k/keyval", json!({"private": "x"}), "literal_error"),
            ("/keys/k/keyval/public", json!(1), "string_type"),
            ("/keys/k/name", json!(1), "string_type"),
            ("/roles", json!({"a": {}}), "list_type"),
            ("/roles/0/name", json!("Root"), "value_error"),
            ("/roles/0/name", json!("B"), "value_error"),
            ("/roles/0/name", json!("n".repeat(MAX_ROLE_NAME_BYTES + 1)), "value_error"),
            ("/roles/0/name", json!("Bins"), "value_error"),
            ("/roles/0/name", json!("bins-0F"), "value_error"),
            ("/roles/0/name", json!("Trusted_root"), "value_error"),
            ("/roles/0/paths", json!(vec!["*"; MAX_PATTERNS + 1]), "too_long"),
            ("/roles/0/paths", json!([]), "too_short"),
            ("/roles/0/paths", json!([""]), "value_error"),
            ("/roles/0/paths", json!("*"), "list_type"),
            ("/roles/0/threshold", json!(0), "greater_than"),
            ("/roles/1/x-rstuf-expire-policy", json!(0), "greater_than"),
            ("/roles/1/keyids", json!([1]), "string_type"),
        ];
        for (pointer, value, kind) in cases {
            let faults = with(|document| *document.pointer_mut(pointer).expect(pointer) = value);
            assert_eq!(faults.expect_err(pointer)[0]["type"], kind, "{pointer}");
        }
        let missing = with(|document| drop(document["roles"][0].as_object_mut().map(|role| role.remove("paths"))));
        assert_eq!(missing.expect_err("no paths")[0]["loc"], json!(["body", "roles", 0, "paths"]));
        let prefixes = with(|document| document["roles"][0]["path_hash_prefixes"] = json!(["a"]));
        assert_eq!(prefixes.expect_err("prefixes")[0]["type"], "value_error");
    }

    #[test]
    fn names_are_looked_at_first() {
        assert_eq!(misnamed(&json!({"roles": [{"name": "a"}, {"name": "a/b"}]})), Some("a/b"));
        assert_eq!(misnamed(&json!({"roles": [{"name": ""}]})), Some(""));
        assert_eq!(misnamed(&json!({"roles": [{"name": 1}, "x"]})), None);
        assert_eq!(misnamed(&json!({"roles": {"a": {}}})), None);
        assert_eq!(misnamed(&Value::Null), None);
    }
}
