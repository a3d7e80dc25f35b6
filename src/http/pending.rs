//! What waits for signatures, as the settings tell it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The setting with the real names of the roles that wait, which our workers write.
pub(super) const EVENTS: &str = "SIGNING_EVENTS";

/// The setting with the delegations that take effect with the roles that wait, which our workers write.
const DELEGATIONS: &str = "SIGNING_DELEGATIONS";

/// What the name of a setting with a waiting document ends with; before it is the role, in upper case.
const SUFFIX: &str = "_SIGNING";

/// The name of the setting that has the document of a role.
pub(super) fn setting(role: &str) -> String {
    format!("{}{SUFFIX}", role.to_uppercase())
}

/// Whether the value of such a setting is a document. A role of which the setting is null waits for nothing.
pub(super) fn waits(value: &Value) -> bool {
    value["signed"].is_object()
}

/// The role as it is really written, out of [`EVENTS`]; as it is when they don't have it.
pub(super) fn real_name<'a>(role: &'a str, events: &'a Value) -> &'a str {
    let mut names = events.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.find(|name| name.eq_ignore_ascii_case(role)).unwrap_or(role)
}

/// All documents that wait, by the real names of their roles, and beside them the trusted metadata that a signature is compared with:
/// `trusted_root` when a root waits, `trusted_targets` when a delegated role does. Each exactly as it is: what is signed must not lose a member.
pub(super) fn pending(settings: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut found: Map<String, Value> = match settings.get(EVENTS) {
        Some(Value::Array(names)) => {
            let named = names.iter().filter_map(Value::as_str);
            named.filter_map(|name| Some((name.to_owned(), document(settings, &setting(name))?.clone()))).collect()
        }
        _ => unnamed(settings),
    };
    let root = found.contains_key("root");
    let targets = found.values().any(|document| document["signed"]["_type"] == "targets");
    for (asked, name) in [(root, "root"), (targets, "targets")] {
        let trusted = asked.then(|| document(settings, &format!("TRUSTED_{}", name.to_uppercase()))).flatten();
        found.extend(trusted.map(|document| (format!("trusted_{name}"), document.clone())));
    }
    found
}

/// The delegations by which waiting roles are signed that `targets` does not have yet, by role. Of all others it has them.
pub(super) fn announced(settings: &BTreeMap<String, Value>, pending: &Map<String, Value>) -> Map<String, Value> {
    let mut announced = settings.get(DELEGATIONS).and_then(Value::as_object).cloned().unwrap_or_default();
    announced.retain(|role, _| pending.contains_key(role));
    announced
}

/// Settings of which nobody tells the real names. A setting is only taken for a document when it is one, so that the settings of a role such
/// as `signing-team` are none.
fn unnamed(settings: &BTreeMap<String, Value>) -> Map<String, Value> {
    let names = Names::of(settings);
    let waiting = settings.iter().filter_map(|(setting, value)| {
        let role = setting.strip_suffix(SUFFIX).filter(|_| waits(value))?;
        Some((names.real(role), value.clone()))
    });
    waiting.collect()
}

/// The real names of roles by those that settings have, which are in upper case.
pub(super) struct Names<'a>(BTreeMap<String, &'a str>);

impl<'a> Names<'a> {
    /// Those of the roles that are delegated to. The names of all others are in lower case.
    pub(super) fn of(settings: &'a BTreeMap<String, Value>) -> Self {
        let delegated = |of: &str, pointer: &str| {
            let roles = settings.get(of).and_then(|value| value.pointer(pointer)).and_then(Value::as_array);
            roles.into_iter().flatten().filter_map(|role| role["name"].as_str())
        };
        let first = delegated("DELEGATIONS", "/roles");
        let names = first.chain(delegated("TRUSTED_TARGETS", "/signed/delegations/roles"));
        Self(names.map(|name| (name.to_uppercase(), name)).collect())
    }

    /// The real name.
    pub(super) fn real(&self, role: &str) -> String {
        self.0.get(role).map_or_else(|| role.to_lowercase(), |name| (*name).to_owned())
    }
}

fn document<'a>(settings: &'a BTreeMap<String, Value>, setting: &str) -> Option<&'a Value> {
    settings.get(setting).filter(|value| waits(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(type_: &str, mark: u32) -> Value {
        json!({"signatures": [], "signed": {"_type": type_, "z": mark, "a": {"x-rstuf-online-key-uri": "fn:k"}}})
    }

    fn settings(more: impl IntoIterator<Item = (&'static str, Value)>) -> BTreeMap<String, Value> {
        let mut targets = document("targets", 9);
        targets["signed"]["delegations"] = json!({"roles": [{"name": "Dev_Team"}, {"name": "signing-team"}]});
        let base = [
            ("TRUSTED_ROOT", document("root", 8)),
            ("TRUSTED_TARGETS", targets),
            ("SIGNING-TEAM_EXPIRATION", json!(7)),
            ("DEV_TEAM_SIGNING_EXPIRATION", json!(7)),
            ("ROOT_SIGNING", Value::Null),
        ];
        base.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn names(found: &Map<String, Value>) -> Vec<&str> {
        found.keys().map(String::as_str).collect()
    }

    #[test]
    fn all_that_waits_is_listed_under_its_real_name() {
        let events = (EVENTS, json!(["root", "Dev_Team", "gone"]));
        let all =
            settings([events, ("ROOT_SIGNING", document("root", 1)), ("DEV_TEAM_SIGNING", document("targets", 2))]);
        let found = pending(&all);
        assert_eq!(names(&found), ["root", "Dev_Team", "trusted_root", "trusted_targets"]);
        assert_eq!(found["Dev_Team"].to_string(), all["DEV_TEAM_SIGNING"].to_string());
        assert_eq!(found["trusted_root"], all["TRUSTED_ROOT"]);
    }

    #[test]
    fn names_are_those_of_delegations_where_nobody_tells_them() {
        let found = pending(&settings([
            ("DEV_TEAM_SIGNING", document("targets", 2)),
            ("SIGNING-TEAM_SIGNING", document("targets", 3)),
            ("EARLY_SIGNING", document("targets", 4)),
            ("DELEGATIONS", json!({"roles": [{"name": "Early"}]})),
            ("OTHER_SIGNING", json!("text")),
        ]));
        assert_eq!(names(&found), ["Dev_Team", "Early", "signing-team", "trusted_targets"]);
        let root = pending(&settings([("ROOT_SIGNING", document("root", 1)), ("X_SIGNING", document("targets", 5))]));
        assert_eq!(names(&root), ["root", "x", "trusted_root", "trusted_targets"]);
    }

    #[test]
    fn what_is_trusted_is_listed_for_what_needs_it() {
        assert!(pending(&settings([])).is_empty());
        assert!(pending(&settings([(EVENTS, json!([]))])).is_empty());
        assert_eq!(names(&pending(&settings([("ROOT_SIGNING", document("root", 1))]))), ["root", "trusted_root"]);
        let first = [("ROOT_SIGNING".to_owned(), document("root", 1))].into();
        assert_eq!(names(&pending(&first)), ["root"]);
    }

    #[test]
    fn what_is_announced_is_listed_for_what_waits() {
        let delegation = json!({"keys": {}, "roles": [{"name": "Dev_Team"}]});
        let all = settings([
            (EVENTS, json!(["Dev_Team"])),
            ("DEV_TEAM_SIGNING", document("targets", 2)),
            (DELEGATIONS, json!({"Dev_Team": delegation, "gone": {}})),
        ]);
        assert_eq!(json!(announced(&all, &pending(&all))), json!({"Dev_Team": delegation}));
        assert!(announced(&settings([(DELEGATIONS, Value::Null)]), &Map::new()).is_empty());
    }

    #[test]
    fn case_does_not_matter_for_what_is_given_up() {
        assert_eq!(real_name("dev_team", &json!(["root", "Dev_Team"])), "Dev_Team");
        assert_eq!(real_name("other", &json!(["root"])), "other");
        assert_eq!(real_name("root", &Value::Null), "root");
    }
}
