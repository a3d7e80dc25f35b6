//! `rstuf admin config`: the settings of a repository.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    cli::{command::Context, failure::Failure, server::ServerArgs},
    tuf::delegation::Delegations,
};

mod set;
mod show;

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rstuf admin --api-server http://127.0.0.1:8080 config show
  rstuf admin --api-server http://127.0.0.1:8080 config set timestamp=2 bins=7")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show for how long roles are valid, who signs them, and what waits for signatures
    Show(show::ShowArgs),
    /// Change for how many days roles are valid
    Set(set::SetArgs),
}

impl ConfigArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        match self.command {
            Command::Show(args) => args.run(server, context).await,
            Command::Set(args) => args.run(server, context).await,
        }
    }
}

/// Where the settings are.
const PATH: &str = "/api/v1/config/";

/// The settings of a repository, as a server lists them: names in lower case.
#[derive(Debug)]
struct Settings(Value);

impl Settings {
    /// Those that are in the answer of a server.
    fn of(answer: &Value) -> Self {
        Self(answer["data"].clone())
    }

    /// Days of validity by the real name of the role.
    fn expirations(&self) -> BTreeMap<String, u32> {
        let names = self.delegated_names();
        let days = self.0.as_object().into_iter().flatten().filter_map(|(setting, days)| {
            let lower = setting.strip_suffix("_expiration")?;
            let real = names.iter().find(|name| name.eq_ignore_ascii_case(lower));
            let role = real.cloned().unwrap_or_else(|| lower.to_owned());
            Some((role, u32::try_from(days.as_u64()?).ok()?))
        });
        days.collect()
    }

    fn delegated_names(&self) -> Vec<String> {
        let roles = &self.0["trusted_targets"]["signed"]["delegations"]["roles"];
        roles.as_array().into_iter().flatten().filter_map(|role| role["name"].as_str().map(str::to_owned)).collect()
    }

    fn delegations(&self) -> Option<Delegations> {
        Delegations::view(&self.0["trusted_targets"]["signed"]["delegations"]).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_have_their_real_names() {
        let settings = Settings::of(&json!({"data": {
            "bootstrap": "a", "timestamp_expiration": 1, "dev_team_expiration": 7, "gone_expiration": null,
            "trusted_targets": {"signed": {"delegations": {"keys": {}, "roles": [{"name": "Dev_Team"}]}}}}}));
        let expected = [("Dev_Team".to_owned(), 7), ("timestamp".to_owned(), 1)];
        assert_eq!(settings.expirations().into_iter().collect::<Vec<_>>(), expected);
    }
}
