//! Metadata documents in requests: their shape alone. What a document is worth is judged by the worker, which gets it as it came:
//! a member that was left out would change what was signed.

use super::{
    body::Cursor,
    delegation::key,
    fault::is_short,
    limits::{MAX_BUNDLE_BYTES, MAX_KEYID_BYTES, MAX_KEYS, MAX_SIGNATURE_DIGITS, MAX_SIGNATURES},
};
use crate::task::GivenSignature;

/// The members that `signed` of any role may have (TUF §4.3–4.6). Others belong to a vendor.
pub(super) const SIGNED_MEMBERS: [&str; 10] = [
    "_type",
    "version",
    "spec_version",
    "expires",
    "keys",
    "consistent_snapshot",
    "roles",
    "meta",
    "targets",
    "delegations",
];

/// The roles that a root may have keys for.
const ROOT_ROLES: [&str; 5] = ["root", "targets", "snapshot", "timestamp", "bins"];

/// Checks a root as the contract does.
pub(super) fn root(at: &Cursor<'_>, max_bytes: usize) -> Option<()> {
    let document = at.model()?;
    let signatures = document.required("signatures", signatures);
    let signed = document.required("signed", |at| {
        let members = at.dict()?;
        if let Some(name) = members.keys().find(|name| !known(name)) {
            return at.wrong(format_args!(
                "Invalid: `{name}` field name, unrecognized_field must use format x-<vendor>-<name>"
            ));
        }
        let signed = at.model()?;
        let header = header(at);
        let keys = signed.nullable("keys", |at| {
            at.at_most(at.dict()?.len(), MAX_KEYS)?;
            at.each_member(|_, at| key(at))
        });
        let consistent = signed.nullable("consistent_snapshot", |at| at.boolean());
        let roles = signed.nullable("roles", |at| {
            at.each_member(|name, at| match ROOT_ROLES.contains(&name) {
                true => role_keys(at),
                false => at.name_not_one_of(name, &ROOT_ROLES),
            })
        });
        header.and(keys).and(consistent).and(roles).map(|_| ())
    });
    signatures.and(signed).and(not_longer(at, max_bytes))
}

/// Checks the metadata of a delegated role. Members that are not known are nobody's fault here (TUF §4.2.1).
pub(super) fn targets(at: &Cursor<'_>, max_bytes: usize) -> Option<()> {
    let document = at.model()?;
    let signatures = document.required("signatures", signatures);
    let signed = document.required("signed", |at| {
        let header = header(at);
        let targets = at.model()?.required("targets", |at| at.dict().map(|_| ()));
        match at.value()["_type"].as_str() {
            Some("targets") | None => header.and(targets),
            Some(_) => at.refuse("the _type of a delegated role is targets"),
        }
    });
    signatures.and(signed).and(not_longer(at, max_bytes))
}

/// Reads a signature that comes alone.
pub(super) fn signature(at: &Cursor<'_>) -> Option<GivenSignature> {
    let signature = at.model()?;
    let keyid = signature.required("keyid", |at| match at.text()? {
        id if (1..=MAX_KEYID_BYTES).contains(&id.len()) => Some(id.to_owned()),
        _ => at.refuse(format_args!("the id of a key has 1 to {MAX_KEYID_BYTES} bytes")),
    });
    let sig = signature.required("sig", |at| match at.text()? {
        long if long.len() > MAX_SIGNATURE_DIGITS => {
            at.refuse(format_args!("a signature has at most {MAX_SIGNATURE_DIGITS} hexadecimal digits"))
        }
        sig if sig.bytes().all(|b| b.is_ascii_hexdigit()) => Some(sig.to_owned()),
        _ => at.refuse("a signature is written in hexadecimal digits"),
    });
    let bundle = signature.nullable("bundle", |at| {
        at.dict()?;
        match is_short(at.value(), MAX_BUNDLE_BYTES) {
            true => Some(at.value().clone()),
            false => at.refuse(format_args!("a bundle has at most {MAX_BUNDLE_BYTES} bytes as JSON")),
        }
    });
    Some(GivenSignature { keyid: keyid?, sig: sig?, bundle: bundle? })
}

fn signatures(at: &Cursor<'_>) -> Option<()> {
    at.at_most(at.list()?.len(), MAX_SIGNATURES)?;
    at.each_item(|_, at| {
        let signature = at.model()?;
        let keyid = signature.required("keyid", text);
        let sig = signature.required("sig", text);
        let bundle = signature.nullable("bundle", |at| at.dict().map(|_| ()));
        keyid.and(sig).and(bundle).map(|_| ())
    })
    .map(|_| ())
}

/// What all metadata has (TUF §4.2.1).
fn header(at: &Cursor<'_>) -> Option<()> {
    let signed = at.model()?;
    let kind = signed.required("_type", text);
    let version = signed.required("version", |at| at.integer());
    let spec_version = signed.required("spec_version", text);
    let expires = signed.required("expires", text);
    kind.and(version).and(spec_version).and(expires)
}

fn role_keys(at: &Cursor<'_>) -> Option<()> {
    let role = at.model()?;
    let keyids = role.required("keyids", |at| {
        at.at_most(at.list()?.len(), MAX_KEYS)?;
        at.each_item(|_, at| text(at))
    });
    let threshold = role.required("threshold", |at| at.integer());
    keyids.and(threshold).map(|_| ())
}

/// Here, other than in a bootstrap, the contract asks no more of a vendor's member than how it begins.
fn known(name: &str) -> bool {
    SIGNED_MEMBERS.contains(&name) || name.starts_with('x')
}

fn not_longer(at: &Cursor<'_>, max_bytes: usize) -> Option<()> {
    match is_short(at.value(), max_bytes) {
        true => Some(()),
        false => at.refuse(format_args!("the document has more than {max_bytes} bytes, which not all clients read")),
    }
}

fn text(at: &Cursor<'_>) -> Option<()> {
    at.text().map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::body::read, *};

    fn document(type_: &str) -> Value {
        json!({
            "signatures": [{"keyid": "k", "sig": "00", "other": 1}],
            "signed": {"_type": type_, "version": 2, "spec_version": "1.0.31", "expires": "2027-01-01T00:00:00Z",
                "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}, "y": 1}},
                "roles": {"root": {"keyids": ["k"], "threshold": 1}}, "targets": {}}
        })
    }

    fn kind(found: Result<(), Vec<super::super::fault::Fault>>) -> &'static str {
        found.map_or_else(|faults| faults[0].kind, |()| "")
    }

    #[test]
    fn a_root_has_the_shape_of_the_contract() {
        let cases: [(&str, Value, &str); 13] = [
            ("/signed/version", json!("2"), ""),
            ("/signed/roles", Value::Null, ""),
            ("/signatures", json!([]), ""),
            ("/signatures", Value::Null, "list_type"),
            ("/signatures/0", json!({"keyid": "k"}), "missing"),
            ("/signatures/0/sig", json!(1), "string_type"),
            ("/signed", json!({}), "missing"),
            ("/signed", json!([]), "dict_type"),
            ("/signed/expires", json!(1), "string_type"),
            ("/signed/keys/k", json!({}), "missing"),
            ("/signed/keys/k/keyval", json!({"private": "x"}), "literal_error"),
            ("/signed/roles/root/threshold", json!("x"), "int_parsing"),
            ("/signed/targets", json!({"a": "b".repeat(10_000)}), "value_error"),
        ];
        for (pointer, value, expected) in cases {
            let mut document = document("root");
            *document.pointer_mut(pointer).expect(pointer) = value;
            assert_eq!(kind(read(&document, |at| root(at, 10_000))), expected, "{pointer}");
        }
        for (name, expected) in [("x-vendor-name", ""), ("x-y", ""), ("foo", "value_error"), ("", "value_error")] {
            let mut document = document("root");
            document["signed"][name] = json!(1);
            assert_eq!(kind(read(&document, |at| root(at, 10_000))), expected, "{name}");
        }
    }

    #[test]
    fn the_metadata_of_a_delegated_role_may_have_other_members() {
        let with = |pointer: &str, value: Value| {
            let mut document = document("targets");
            document["signed"]["foo"] = json!(1);
            *document.pointer_mut(pointer).expect(pointer) = value;
            kind(read(&document, |at| targets(at, 10_000)))
        };
        assert_eq!(with("/signed/foo", json!(2)), "");
        assert_eq!(with("/signed/_type", json!("root")), "value_error");
        assert_eq!(with("/signed/_type", json!(1)), "string_type");
        assert_eq!(with("/signed/targets", json!([])), "dict_type");
        assert_eq!(with("/signed/targets", json!({"a": "b".repeat(10_000)})), "value_error");
        assert_eq!(kind(read(&json!("x"), |at| targets(at, 10))), "model_attributes_type");
    }

    #[test]
    fn a_signature_is_bounded() {
        let read = |value: Value| read(&value, signature);
        let given = read(json!({"keyid": "ab", "sig": "cd", "bundle": {"b": 1}, "more": 1})).expect("accepted");
        assert_eq!(given, GivenSignature { keyid: "ab".into(), sig: "cd".into(), bundle: Some(json!({"b": 1})) });
        assert!(read(json!({"keyid": "ab", "sig": "", "bundle": null})).expect("accepted").bundle.is_none());
        for (wrong, kind) in [
            (json!({"keyid": "", "sig": "cd"}), "value_error"),
            (json!({"keyid": "a".repeat(MAX_KEYID_BYTES + 1), "sig": "cd"}), "value_error"),
            (json!({"keyid": "ab", "sig": "xy"}), "value_error"),
            (json!({"keyid": "ab", "sig": "a".repeat(MAX_SIGNATURE_DIGITS + 1)}), "value_error"),
            (json!({"keyid": "ab", "sig": "cd", "bundle": []}), "dict_type"),
            (json!({"keyid": "ab", "sig": "cd", "bundle": {"b": "x".repeat(MAX_BUNDLE_BYTES)}}), "value_error"),
            (json!({"keyid": 1, "sig": "cd"}), "string_type"),
        ] {
            assert_eq!(read(wrong).expect_err(kind)[0].kind, kind);
        }
    }
}
