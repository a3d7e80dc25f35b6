//! `rstuf admin config show`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::{PATH, Settings};
use crate::{
    cli::{
        admin::{
            keys::name_of,
            review::{any_of, days, table},
        },
        command::Context,
        failure::Failure,
        server::ServerArgs,
    },
    tuf::{
        bins::NAME_PREFIX,
        delegation::DelegatedRoles,
        key::Key,
        name::KeyId,
        root::{RoleKeys, Root},
    },
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf admin --api-server http://127.0.0.1:8080 config show

With --json all settings are printed as the server lists them. Next: `rstuf admin config set` changes expirations, `rstuf admin metadata update` the \
root, `rstuf admin delegations` the delegated roles.")]
pub(super) struct ShowArgs {}

impl ShowArgs {
    pub(super) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let api = server.connect(&context.profile)?;
        context.interview.finish()?;
        let settings = Settings::of(&api.get(PATH).await?);
        for line in settings.lines() {
            context.output.say(line);
        }
        context.output.result(&settings.0);
        Ok(())
    }
}

/// The roles that come first, in this order.
const FIRST: [&str; 5] = ["root", "timestamp", "snapshot", "targets", NAME_PREFIX];

impl Settings {
    fn lines(&self) -> Vec<String> {
        let mut roles: Vec<_> = self.expirations().into_iter().collect();
        roles.sort_by_key(|(role, _)| FIRST.iter().position(|first| first == role).unwrap_or(FIRST.len()));
        let rows = roles.into_iter().map(|(role, valid)| vec![self.signers(&role), role, days(valid)]);
        let rows = rows.map(|row| vec![row[1].clone(), row[2].clone(), row[0].clone()]).collect();
        let mut lines = table(&["Role", "Valid", "Signed by"], rows);
        if let Some(number) = self.0["number_of_delegated_bins"].as_u64() {
            let layout = self.0["bins_layout"].as_str().unwrap_or("succinct");
            lines.push(format!("Hash bins: {number}, written as {layout}"));
        }
        let waiting = self.waiting();
        if !waiting.is_empty() {
            lines.push(format!("Waiting for signatures: {}; see `rstuf admin metadata sign`", waiting.join(", ")));
        }
        lines
    }

    /// Who signs a role, as far as it is known.
    fn signers(&self, role: &str) -> String {
        let root = Root::view(&self.0["trusted_root"]["signed"]).ok();
        if let Some((root, keys)) = root.as_ref().and_then(|root| Some((root, root.roles.get(role)?))) {
            return named(keys, &root.keys);
        }
        let delegations = self.delegations();
        let of_role = delegations.as_ref().and_then(|all| match &all.roles {
            DelegatedRoles::Succinct(bins) => (role == NAME_PREFIX).then_some(&bins.keys),
            DelegatedRoles::Roles(roles) => {
                let found = roles.iter().find(|there| there.name.as_str() == role);
                let bin = || roles.iter().find(|there| role == NAME_PREFIX && is_bin(there.name.as_str()));
                found.or_else(bin).map(|found| &found.keys)
            }
        });
        match (delegations.as_ref(), of_role) {
            (Some(all), Some(keys)) => named(keys, &all.keys),
            _ => String::new(),
        }
    }

    fn waiting(&self) -> Vec<String> {
        let names = self.delegated_names();
        let of = |(setting, document): (&String, &Value)| {
            let lower = setting.strip_suffix("_signing").filter(|_| document["signed"].is_object())?;
            let real = names.iter().find(|name| name.eq_ignore_ascii_case(lower));
            let version = &document["signed"]["version"];
            Some(format!("{} v{version}", real.map_or(lower, String::as_str)))
        };
        self.0.as_object().into_iter().flatten().filter_map(of).collect()
    }
}

fn is_bin(name: &str) -> bool {
    name.strip_prefix(NAME_PREFIX).is_some_and(|rest| rest.starts_with('-'))
}

fn named(role: &RoleKeys, keys: &BTreeMap<KeyId, Key>) -> String {
    let names: Vec<_> = role.keyids.iter().filter_map(|id| Some(name_of(id, keys.get(id)?))).collect();
    any_of(role.threshold, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RECORDED: &str = include_str!("../../../../tests/fixtures/recorded/before/1.root.json");

    #[test]
    fn settings_are_told_in_words() {
        let root: Value = serde_json::from_str(RECORDED).expect("json");
        let settings = Settings::of(&json!({"data": {
            "root_expiration": 365, "timestamp_expiration": 1, "bins_expiration": 1, "zeta_expiration": 30,
            "number_of_delegated_bins": 2, "trusted_root": root, "root_signing": {"signed": {"version": 2}, "signatures": []},
            "trusted_targets": {"signed": {"delegations": {
                "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": ""}, "x-rstuf-key-name": "Zoe"}},
                "roles": [{"name": "zeta", "keyids": ["k"], "threshold": 1, "terminating": true, "paths": ["z"]}]}}},
        }}));
        let told = settings.lines().join("\n");
        for words in [
            "any 2 of JanisJoplin, JimiHendrix and JoeCocker",
            "365 days",
            "Zoe",
            "Hash bins: 2, written as succinct",
            "Waiting for signatures: root v2",
        ] {
            assert!(told.contains(words), "{words:?} is not in\n{told}");
        }
        assert!(told.find("root").expect("told") < told.find("timestamp").expect("told"));
    }
}
