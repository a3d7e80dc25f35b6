//! Delegations to roles with names and paths, as they come with a bootstrap.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    body::{Bound, Cursor},
    settings::expiration,
};
use crate::tuf::name::{MAX_ARTIFACT_PATH_BYTES, MAX_ROLE_NAME_BYTES, NameError};

/// The roles that every repository has: a delegated role of such a name would collide in files and in settings.
const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// Checks delegations and gives them as they came: members that are not known here are kept.
pub(super) fn delegations(at: &Cursor<'_>) -> Option<Value> {
    let delegations = at.model()?;
    let keys = delegations.required("keys", |at| at.each_member(|_, at| key(at)));
    let mut taken: HashSet<String> = TOP_LEVEL.map(str::to_owned).into();
    let roles = delegations.required("roles", |at| at.each_item(|_, at| role(at, &mut taken)));
    keys.and(roles).map(|_| at.value().clone())
}

/// The first role whose name has a character that no file name should have. The contract looks at the names before
/// everything else.
pub(super) fn misnamed(delegations: &Value) -> Option<&str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut names = delegations["roles"].as_array()?.iter().filter_map(|role| role["name"].as_str());
    names.find(|name| name.is_empty() || !name.bytes().all(allowed))
}

fn key(at: &Cursor<'_>) -> Option<()> {
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
    let names = ["name", "x-rstuf-key-name", "x-rstuf-online-key-uri"].map(|name| key.nullable(name, any_text));
    keytype.and(scheme).and(keyval).and(names.into_iter().all(|name| name.is_some()).then_some(()))
}

fn role(at: &Cursor<'_>, taken: &mut HashSet<String>) -> Option<()> {
    let role = at.model()?;
    if at.value()["paths"].as_array().is_some_and(|paths| paths.iter().any(|path| path == "")) {
        return at.wrong("No empty strings are allowed as path patterns");
    }
    let name = role.required("name", |at| name(at, taken));
    let terminating = role.required("terminating", |at| at.boolean());
    let keyids = role.required("keyids", |at| at.each_item(|_, at| any_text(at)));
    let threshold = role.required("threshold", |at| at.limit(at.integer()?, Bound::GreaterThan(0)));
    let paths = role.required("paths", |at| match at.list()?.len() {
        0 => at.too_short(1, 0),
        _ => at.each_item(|_, at| pattern(at)),
    });
    let prefixes = role.nullable("path_hash_prefixes", |at| {
        at.refuse::<()>("a role has paths or path_hash_prefixes, and only paths are supported")
    });
    let policy = role.nullable("x-rstuf-expire-policy", expiration);
    name.and(terminating).and(keyids).and(threshold).and(paths).and(prefixes).and(policy).map(|_| ())
}

fn name(at: &Cursor<'_>, taken: &mut HashSet<String>) -> Option<()> {
    let name = at.text()?;
    if name.len() > MAX_ROLE_NAME_BYTES {
        return at.refuse(NameError::Role);
    }
    match taken.insert(name.to_ascii_lowercase()) {
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
    use serde_json::json;

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
    fn faults_name_their_field() {
        let cases: [(&str, Value, &str); 13] = [
            ("/keys/k/keyval", json!({"private": "x"}), "literal_error"),
            ("/keys/k/keyval/public", json!(1), "string_type"),
            ("/keys/k/name", json!(1), "string_type"),
            ("/roles", json!({"a": {}}), "list_type"),
            ("/roles/0/name", json!("Root"), "value_error"),
            ("/roles/0/name", json!("B"), "value_error"),
            ("/roles/0/name", json!("n".repeat(MAX_ROLE_NAME_BYTES + 1)), "value_error"),
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
