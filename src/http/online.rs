//! `/metadata/online`: new versions of what is signed online.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::{
    Api,
    body::Cursor,
    error::Refusal,
    limits::MAX_ROLES,
    metadata::{NOT_ACCEPTED, REQUIRES},
    openapi::Submitted,
};
use crate::{
    task::{ForceOnline, Job},
    tuf::{
        bins::NAME_PREFIX,
        name::{MAX_ROLE_NAME_BYTES, NameError},
    },
};

/// The member that says where a private key is kept: who has it signs online.
const KEY_URI: &str = "x-rstuf-online-key-uri";

/// Publish roles anew.
///
/// New versions with new expirations of these roles, and of all that list them: of `targets` and delegated roles, then snapshot, then timestamp. `bins` stands
/// for all hash bins; no role at all for everything that is signed online.
#[utoipa::path(post, operation_id = "update_online_metadata", path = "/api/v1/metadata/online", tag = "Metadata",
    request_body(content = ForceOnline, example = json!({"roles": ["targets", "bins"]})), responses(Submitted))]
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let (asked, _place) = api.read(&request, payload, online).await?;
    api.bootstrapped(NOT_ACCEPTED, REQUIRES).await?;
    let roles = Signers::of(&api.settings.all().await?)
        .allow(asked.roles)
        .map_err(|error| Refusal::NotNow { message: NOT_ACCEPTED.into(), error })?;
    api.submit(Job::ForceOnlineMetadataUpdate(ForceOnline { roles }), "Force online metadata update accepted.").await
}

/// Reads which roles are asked for.
pub(super) fn online(at: &Cursor<'_>) -> Option<ForceOnline> {
    let roles = at.model()?.required("roles", |at| {
        at.at_most(at.list()?.len(), MAX_ROLES)?;
        at.each_item(|_, at| match at.text()? {
            long if long.len() > MAX_ROLE_NAME_BYTES => at.refuse(NameError::Role),
            role => Some(role.to_owned()),
        })
    })?;
    Some(ForceOnline { roles })
}

/// Who signs what, as the settings tell it.
#[derive(Debug)]
struct Signers {
    targets: Signer,
    bins: bool,
    /// Delegated roles with names of their own, in their order.
    named: Vec<(String, Signer)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    Online,
    People,
}

impl Signers {
    fn of(settings: &BTreeMap<String, Value>) -> Self {
        let targets = match settings.get("TARGETS_ONLINE_KEY") {
            Some(Value::Bool(false)) => Signer::People,
            _ => Signer::Online,
        };
        let delegations = settings.get("TRUSTED_TARGETS").map(|targets| &targets["signed"]["delegations"]);
        let Some(delegations) = delegations.filter(|delegations| delegations.is_object()) else {
            let bins = settings.get("NUMBER_OF_DELEGATED_BINS").is_some_and(|bins| !bins.is_null());
            return Self { targets, bins, named: Vec::new() };
        };
        let roles = delegations["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (bins, own): (Vec<_>, Vec<_>) = roles.iter().partition(|role| role["path_hash_prefixes"].is_array());
        let none = Map::new();
        let keys = delegations["keys"].as_object().unwrap_or(&none);
        let named = own.into_iter().filter_map(|role| Some((role["name"].as_str()?.to_owned(), signer(role, keys))));
        Self { targets, bins: delegations["succinct_roles"].is_object() || !bins.is_empty(), named: named.collect() }
    }

    /// The roles of a task for those that are asked for: all that are signed online when none is.
    ///
    /// # Errors
    /// Why one of them can't be published anew, in the words of the contract where it has any.
    fn allow(&self, asked: Vec<String>) -> Result<Vec<String>, String> {
        if asked.is_empty() {
            return Ok(self.all());
        }
        asked.iter().try_for_each(|role| self.check(role))?;
        Ok(asked)
    }

    fn all(&self) -> Vec<String> {
        let targets = (self.targets == Signer::Online).then_some("targets");
        let bins = self.bins.then_some(NAME_PREFIX);
        let named = self.named.iter().filter(|(_, signer)| *signer == Signer::Online).map(|(name, _)| name.as_str());
        ["snapshot", "timestamp"].into_iter().chain(targets).chain(bins).chain(named).map(str::to_owned).collect()
    }

    fn check(&self, role: &str) -> Result<(), String> {
        let named = self.named.iter().find(|(name, _)| name == role).map(|(_, signer)| *signer);
        match (role, named) {
            ("targets", _) if self.targets == Signer::People => {
                Err("Targets is an offline role - use other endpoint to update".to_owned())
            }
            ("root" | "targets" | "snapshot" | "timestamp", _) | (_, Some(Signer::Online)) => Ok(()),
            (_, Some(Signer::People)) => Err(format!("{role} is an offline role - use other endpoint to update")),
            (NAME_PREFIX, None) if self.bins => Ok(()),
            (NAME_PREFIX, None) => Err("Custom target delegation used and bins cannot be bumped".to_owned()),
            _ if self.bins && self.named.is_empty() => Err(
                "Hash bin delegation is used and only root, targets, snapshot, timestamp and bins roles can be bumped"
                    .to_owned(),
            ),
            _ => Err(format!("{role} is not a role of this repository")),
        }
    }
}

/// Who signs a role: the repository itself when enough of its keys are online.
fn signer(role: &Value, keys: &Map<String, Value>) -> Signer {
    let ids = role["keyids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let online =
        ids.iter().filter_map(Value::as_str).filter(|id| keys.get(*id).is_some_and(|k| k[KEY_URI].is_string()));
    match u64::try_from(online.count()).is_ok_and(|count| role["threshold"].as_u64().is_some_and(|t| count >= t)) {
        true => Signer::Online,
        false => Signer::People,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bins() -> Value {
        json!({"name": "bins-0", "keyids": ["on"], "threshold": 1, "path_hash_prefixes": ["0"]})
    }

    fn named() -> Vec<Value> {
        vec![
            json!({"name": "fast", "keyids": ["on"], "threshold": 1, "paths": ["a/*"]}),
            json!({"name": "mixed", "keyids": ["on", "off"], "threshold": 2, "paths": ["b/*"]}),
            json!({"name": "slow", "keyids": ["off"], "threshold": 1, "paths": ["c/*"]}),
        ]
    }

    fn with_bins() -> Vec<Value> {
        named().into_iter().chain([bins()]).collect()
    }

    fn asked(delegations: Value, more: Option<(&str, Value)>, roles: &[&str]) -> Result<Vec<String>, String> {
        let mut settings = BTreeMap::new();
        let mut delegations = delegations;
        delegations["keys"] = json!({"on": {"x-rstuf-online-key-uri": "fn:on"}, "off": {}});
        settings.insert("TRUSTED_TARGETS".to_owned(), json!({"signed": {"delegations": delegations}}));
        settings.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Signers::of(&settings).allow(roles.iter().map(|role| (*role).to_owned()).collect())
    }

    #[test]
    fn b11_nothing_asked_for_is_all_that_is_online() {
        let succinct = || json!({"succinct_roles": {"bit_length": 1}});
        assert_eq!(asked(succinct(), None, &[]).expect("all"), ["snapshot", "timestamp", "targets", "bins"]);
        let offline = Some(("TARGETS_ONLINE_KEY", json!(false)));
        assert_eq!(asked(succinct(), offline, &[]).expect("all"), ["snapshot", "timestamp", "bins"]);
        let custom = json!({"roles": named()});
        assert_eq!(asked(custom, None, &[]).expect("all"), ["snapshot", "timestamp", "targets", "fast"]);
        let both = json!({"roles": with_bins()});
        assert_eq!(asked(both, None, &[]).expect("all"), ["snapshot", "timestamp", "targets", "bins", "fast"]);
    }

    #[test]
    fn b11_names_are_those_of_roles_that_are_signed_online() {
        let succinct = || json!({"succinct_roles": {"bit_length": 1}});
        let custom = || json!({"roles": named()});
        let both = || json!({"roles": with_bins()});
        let only_bins = || json!({"roles": [bins()]});
        let hash =
            "Hash bin delegation is used and only root, targets, snapshot, timestamp and bins roles can be bumped";
        for (delegations, role, expected) in [
            (succinct(), "root", Ok(())),
            (succinct(), "bins", Ok(())),
            (succinct(), "fast", Err(hash)),
            (only_bins(), "bins", Ok(())),
            (only_bins(), "bins-0", Err(hash)),
            (custom(), "bins", Err("Custom target delegation used and bins cannot be bumped")),
            (custom(), "fast", Ok(())),
            (custom(), "slow", Err("slow is an offline role - use other endpoint to update")),
            (custom(), "mixed", Err("mixed is an offline role - use other endpoint to update")),
            (custom(), "other", Err("other is not a role of this repository")),
            (both(), "bins", Ok(())),
            (both(), "fast", Ok(())),
            (both(), "bins-0", Err("bins-0 is not a role of this repository")),
        ] {
            let found = asked(delegations, None, &["snapshot", role]);
            assert_eq!(found.map(|_| ()), expected.map_err(str::to_owned), "{role}");
        }
        let offline = Some(("TARGETS_ONLINE_KEY", json!(false)));
        let told = asked(succinct(), offline, &["targets"]).expect_err("offline");
        assert_eq!(told, "Targets is an offline role - use other endpoint to update");
    }

    #[test]
    fn the_setting_tells_of_bins_where_no_targets_do() {
        let settings = [("NUMBER_OF_DELEGATED_BINS".to_owned(), json!(2))].into();
        assert!(Signers::of(&settings).check("bins").is_ok());
        assert!(Signers::of(&BTreeMap::new()).check("bins").is_err());
    }
}
