//! When the published roles expire, and who renews them, as a setting that the API tells.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    store::{
        StoreError,
        ledger::{
            Expiry, Ledger,
            charter::{Charter, Signing},
        },
        settings::{EXPIRING, Settings},
    },
    tuf::{
        name::RoleName,
        root::Root,
        wire::{RoleType, format_expires},
    },
};

/// The setting: what expires first comes first. All hash bins are one.
pub(super) fn setting(mut expiries: BTreeMap<String, Expiry>, root: &Root, charter: &Charter) -> Value {
    expiries.insert("root".to_owned(), Expiry { version: Some(root.version), expires: root.expires });
    let mut roles: Vec<_> = expiries.into_iter().collect();
    roles.sort_by_key(|(_, expiry)| expiry.expires);
    let told = |(role, Expiry { version, expires }): (String, Expiry)| {
        let signed_by = match signing(&role, root, charter) {
            Signing::Online => "online",
            Signing::Offline => "people",
        };
        json!({ "role": role, "version": version, "expires": format_expires(expires), "signed_by": signed_by })
    };
    roles.into_iter().map(told).collect()
}

fn signing(role: &str, root: &Root, charter: &Charter) -> Signing {
    let of_root = |type_| Signing::of(&root.keys, root.role(type_));
    match role {
        "root" => Signing::Offline,
        "targets" => of_root(RoleType::Targets),
        "snapshot" => of_root(RoleType::Snapshot),
        "timestamp" => of_root(RoleType::Timestamp),
        role => {
            let custom = RoleName::parse(role).ok().and_then(|name| charter.roles.get(&name));
            let is_kept = RoleName::parse(role).is_ok_and(|name| charter.kept.contains_key(&name));
            custom.filter(|_| !is_kept).map_or(Signing::Online, |custom| custom.signing)
        }
    }
}

/// Writes the setting anew if it is another one by now: what is renewed online changes without a projection. The root is the one that is projected;
/// where none is there is nothing to tell.
pub(super) async fn renew(ledger: &dyn Ledger, settings: &dyn Settings) -> Result<(), StoreError> {
    let root = settings.get("TRUSTED_ROOT").await?;
    let Ok(root) = Root::view(&root["signed"]) else { return Ok(()) };
    let charter = ledger.charter().await?.charter;
    let now = setting(ledger.expiries().await?, &root, &charter);
    if settings.get(EXPIRING).await? != now {
        settings.put([(EXPIRING.to_owned(), now)].into()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::ledger::charter::CustomRole,
        tuf::{
            key::ONLINE_KEY_URI,
            sample::{self, Signer, at, role, version},
        },
    };

    #[test]
    fn what_expires_first_comes_first_with_who_signs_it() {
        let (a, online) = (Signer::new(), Signer::new());
        let mut root = sample::root(3, &[&a], 1, &online);
        root["keys"][online.id().as_str()][ONLINE_KEY_URI] = json!("fn:online");
        let root = Root::view(&root).expect("a root");
        let custom = |signing| CustomRole { signing, retired: false, announced: None };
        let charter = Charter {
            roles: [(role("Dev"), custom(Signing::Offline)), (role("apps"), custom(Signing::Online))].into(),
            ..Charter::default()
        };
        let expiry = |number, hours| Expiry { version: number, expires: at(hours) };
        let expiries = [
            ("Dev", expiry(Some(version(7)), 5)),
            ("apps", expiry(Some(version(2)), 9)),
            ("bins", expiry(None, 8)),
            ("targets", expiry(Some(version(4)), 6)),
        ];
        let told = setting(expiries.map(|(name, expiry)| (name.to_owned(), expiry)).into(), &root, &charter);
        let all: Vec<_> =
            told.as_array().expect("a list").iter().map(|one| (&one["role"], &one["signed_by"])).collect();
        let expected =
            [("Dev", "people"), ("targets", "online"), ("bins", "online"), ("apps", "online"), ("root", "people")];
        assert_eq!(json!(all), json!(expected));
        assert_eq!(told[0]["version"], 7);
        assert_eq!(told[0]["expires"], "2026-11-22T05:00:00Z");
        assert_eq!((&told[2]["version"], &told[4]["version"]), (&Value::Null, &json!(3)));
    }
}
