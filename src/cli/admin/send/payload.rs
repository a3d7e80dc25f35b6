//! Payload files: which kind one is, and whether it can be right.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    cli::{admin::shown::plain, failure::Failure},
    tuf::{
        delegation::proposal,
        name::RoleName,
        rules,
        verify::tally,
        wire::{Metadata, RoleType, Signature},
    },
};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bootstrap,
    Update,
    Sign,
    Delegations,
    DelegationsUpdate,
    DelegationsDelete,
}

impl Kind {
    fn command(self) -> &'static str {
        match self {
            Kind::Bootstrap => "bootstrap",
            Kind::Update => "update",
            Kind::Sign => "sign",
            Kind::Delegations | Kind::DelegationsUpdate | Kind::DelegationsDelete => "delegations",
        }
    }

    fn of(value: &Value) -> Option<Self> {
        let has = |names: &[&str]| names.iter().all(|name| value.get(*name).is_some());
        match () {
            () if has(&["settings", "metadata"]) => Some(Kind::Bootstrap),
            () if has(&["metadata"]) => Some(Kind::Update),
            () if has(&["signature", "role"]) => Some(Kind::Sign),
            () if has(&["delegations"]) => Some(Kind::Delegations),
            () => None,
        }
    }
}

/// Which root a payload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Its own keys alone sign it.
    First,
    /// Those of the root before it sign it too, and perhaps they alone so far.
    Later,
}

/// Makes sure that a file is of the kind that it is said to be, and that a server could take it. Delegations that were not told apart are told
/// apart by what they have.
///
/// # Errors
/// Says what it is instead, or what is wrong with it.
pub(super) fn check(value: &Value, said: Kind, now: Timestamp) -> Result<Kind, Failure> {
    let found = Kind::of(value).ok_or_else(|| unknown(value, said))?;
    if found.command() != said.command() {
        let (article, found, said) = (article(found), found.command(), said.command());
        return Err(Failure::new(format_args!("this is {article} {found} payload, not one for `send {said}`"))
            .remedy(format_args!("use: rstuf admin send {found} FILE")));
    }
    let checked = match said {
        Kind::Bootstrap => bootstrap(value, now).map(|()| said),
        Kind::Update => root(&value["metadata"]["root"], Position::Later, now).map(|()| said),
        Kind::Sign => sign(value).map(|()| said),
        Kind::Delegations | Kind::DelegationsUpdate | Kind::DelegationsDelete => {
            delegations(&value["delegations"], said)
        }
    };
    checked.map_err(|why| {
        Failure::new(format_args!("the {} payload can't be right: {why}", said.command()))
            .remedy("make it anew; files of this kind are not edited by hand")
    })
}

fn article(kind: Kind) -> &'static str {
    if kind == Kind::Update { "an" } else { "a" }
}

fn unknown(value: &Value, said: Kind) -> Failure {
    let failure = Failure::new(match () {
        () if value["data"]["metadata"].is_object() => "this is what waits for signatures, not a payload",
        () if value["signed"].is_object() => "this is a metadata file, not a payload",
        () => "this is no payload",
    });
    failure.remedy(match said {
        Kind::Bootstrap => "a bootstrap payload is made with: rstuf admin ceremony --out",
        Kind::Update => "an update payload is made with: rstuf admin metadata update --out",
        Kind::Sign => "a sign payload is made with: rstuf admin metadata sign --in FILE --out --dry-run",
        _ => "a delegations payload is made with: rstuf admin delegations new --out",
    })
}

fn bootstrap(value: &Value, now: Timestamp) -> Result<(), String> {
    if !value["settings"]["roles"].is_object() {
        return Err("settings.roles is missing".to_owned());
    }
    root(&value["metadata"]["root"], Position::First, now)
}

/// A root that a client could take.
fn root(value: &Value, position: Position, now: Timestamp) -> Result<(), String> {
    let metadata = Metadata::from_value(value.clone()).map_err(|error| format!("metadata.root: {error}"))?;
    let version = metadata.header().map_err(|error| format!("metadata.root: {error}"))?.version;
    let root = rules::root(&metadata, version, now).map_err(|error| format!("metadata.root: {error}"))?;
    if metadata.signatures.is_empty() {
        return Err("metadata.root: nobody has signed it".to_owned());
    }
    if position == Position::Later {
        return Ok(());
    }
    let tally = tally(&root.keys, root.role(RoleType::Root), &metadata).map_err(|error| error.to_string())?;
    match tally.faults.first() {
        Some((id, why)) => Err(format!("metadata.root: the signature of key {}: {why}", plain(id.as_str()))),
        None => Ok(()),
    }
}

fn sign(value: &Value) -> Result<(), String> {
    let role = value["role"].as_str().ok_or("role must be a string")?;
    RoleName::parse(role).map_err(|error| format!("role: {error}"))?;
    let signature = Signature::view(&value["signature"]).map_err(|error| format!("signature: {error}"))?;
    match hex::decode(&signature.sig) {
        Ok(_) => Ok(()),
        Err(_) => Err("signature.sig is not hexadecimal".to_owned()),
    }
}

fn delegations(value: &Value, said: Kind) -> Result<Kind, String> {
    let roles = proposal::named(value).map_err(|error| error.to_string())?;
    let bare = roles.iter().filter(|(_, role)| role.len() == 1).count();
    let found = match bare {
        0 => Kind::Delegations,
        bare if bare == roles.len() => Kind::DelegationsDelete,
        _ => return Err("some of its roles have paths, and others a name alone".to_owned()),
    };
    match (said, found) {
        (Kind::Delegations, found) => Ok(found),
        (Kind::DelegationsUpdate, Kind::DelegationsDelete) => {
            Err("its roles have names alone: it deletes them".to_owned())
        }
        (Kind::DelegationsDelete, Kind::Delegations) => Err("its roles have paths: it does not delete them".to_owned()),
        (said, _) => Ok(said),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tuf::sample::{self, Signer, at};

    fn refused(value: &Value, said: Kind) -> String {
        check(value, said, at(0)).expect_err("refused").to_string()
    }

    #[test]
    fn kinds_are_told_apart() {
        let (a, online) = (Signer::new(), Signer::new());
        let root = sample::sign(sample::root(1, &[&a], 1, &online), &[&a]).to_value();
        let bootstrap = json!({"settings": {"roles": {}}, "metadata": {"root": root}});
        let update = json!({"metadata": {"root": root}});
        let sign = json!({"signature": {"keyid": "a", "sig": "00"}, "role": "root"});
        let new = json!({"delegations": {"keys": {}, "roles": [{"name": "r", "paths": ["a"]}]}});
        let delete = json!({"delegations": {"roles": [{"name": "r"}]}});
        for (value, said, kind) in [
            (&bootstrap, Kind::Bootstrap, Kind::Bootstrap),
            (&update, Kind::Update, Kind::Update),
            (&sign, Kind::Sign, Kind::Sign),
            (&new, Kind::Delegations, Kind::Delegations),
            (&new, Kind::DelegationsUpdate, Kind::DelegationsUpdate),
            (&delete, Kind::Delegations, Kind::DelegationsDelete),
            (&delete, Kind::DelegationsDelete, Kind::DelegationsDelete),
        ] {
            assert_eq!(check(value, said, at(0)).expect("accepted"), kind);
        }
        let expected =
            "error: this is a sign payload, not one for `send bootstrap`\n help: use: rstuf admin send sign FILE";
        assert_eq!(refused(&sign, Kind::Bootstrap), expected);
        assert!(refused(&update, Kind::Sign).starts_with("error: this is an update payload"));
        assert!(refused(&root, Kind::Update).starts_with("error: this is a metadata file"));
        assert!(refused(&json!({"data": {"metadata": {}}}), Kind::Sign).contains("what waits for signatures"));
        assert!(refused(&delete, Kind::DelegationsUpdate).contains("names alone"));
    }

    #[test]
    fn what_can_not_be_right_is_refused() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let good = sample::sign(sample::root(1, &[&a], 1, &online), &[&a]).to_value();
        let bootstrap = |root: &Value| json!({"settings": {"roles": {}}, "metadata": {"root": root}});
        let mut unsigned = good.clone();
        unsigned["signatures"] = json!([]);
        assert!(refused(&bootstrap(&unsigned), Kind::Bootstrap).contains("nobody has signed it"));
        let other = sample::sign(sample::root(1, &[&a], 1, &online), &[&b]).to_value();
        assert!(refused(&bootstrap(&other), Kind::Bootstrap).contains("the key is none of this role"));
        let mut changed = good.clone();
        changed["signed"]["expires"] = json!("2031-01-01T00:00:00Z");
        assert!(refused(&bootstrap(&changed), Kind::Bootstrap).contains("not by this key over this content"));
        let late = check(&bootstrap(&good), Kind::Bootstrap, at(2000)).expect_err("expired").to_string();
        assert!(late.contains("expired"), "{late}");
        let sign = json!({"signature": {"keyid": "a", "sig": "zz"}, "role": "root"});
        assert!(refused(&sign, Kind::Sign).contains("not hexadecimal"));
        let mixed = json!({"delegations": {"roles": [{"name": "r"}, {"name": "s", "paths": []}]}});
        assert!(refused(&mixed, Kind::Delegations).contains("a name alone"));
    }
}
