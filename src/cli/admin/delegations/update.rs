//! `rstuf admin delegations update`: other keys, paths or days for a role.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::{
    changed::ask_changes,
    present::Present,
    sending::{Change, Question},
};
use crate::cli::{
    admin::roles::{AskedRole, payload},
    command::Context,
    failure::Failure,
    interview::{Interview, List, Stop},
    server::ServerArgs,
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rstuf admin delegations update --api-server https://rstuf.example.com

It asks which role changes, and then for all of it, with what it is now as the
answer of who just presses Enter.

Next: where people sign the role, the change takes effect with the first metadata
that its new keys have signed: `rstuf admin metadata sign`.")]
pub struct UpdateArgs {
    /// Where the metadata is published, where the server does not tell what is delegated
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Write the payload to a file, to be sent with `rstuf admin send delegations --update`
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "delegations-update.json")]
    out: Option<PathBuf>,
    /// Send nothing
    #[arg(long)]
    dry_run: bool,
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview, .. } = context;
        let present = match &self.metadata_url {
            Some(url) => Present::published(url).await?,
            None => Present::at(&server.connect(&profile)?).await?,
        };
        let api = if self.dry_run { None } else { Some(server.connect(&profile)?) };
        let there = present.roles()?;
        if there.is_empty() {
            return Err(
                Failure::new("there are no delegated roles with names").remedy("make one: rstuf admin delegations new")
            );
        }
        let roles = interview.hold(async |i: &mut Interview| ask(i, &there).await).await?;
        let change = Change {
            payload: json!({ "delegations": payload(&roles) }),
            method: Method::PUT,
            path: "/api/v1/delegations/",
            out: self.out.as_deref(),
            question: Some(Question { id: "send", message: "Change these delegations?", default: true }),
        };
        change.carry_out(api.as_ref(), &mut interview, output).await
    }
}

/// Asks which roles change, and how: `roles[n].name` and all that is asked of a new one.
async fn ask(interview: &mut Interview, there: &[(AskedRole, Option<u32>)]) -> Result<Vec<AskedRole>, Stop> {
    let one = async |interview: &mut Interview, id: String, asked: &[AskedRole]| {
        let left = there.iter().filter(|(role, _)| asked.iter().all(|other| other.name != role.name));
        let left: Vec<_> = left.collect();
        let names: Vec<_> = left.iter().map(|(role, _)| role.name.to_string()).collect();
        if names.is_empty() {
            return Err(Failure::new("all roles are changed already").into());
        }
        let at = interview.pick(&format!("{id}.name"), "Which role changes?", &names)?;
        let (role, days) = left[at];
        ask_changes(interview, &id, role, *days).await
    };
    let list = List { id: "roles", one: "delegated role", at_least: 1 };
    interview.list(list, |role: &AskedRole| role.name.to_string(), one).await
}
