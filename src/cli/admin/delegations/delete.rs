//! `rstuf admin delegations delete`: roles that sign no more.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    present::Present,
    sending::{Change, Question},
};
use crate::{
    cli::{command::Context, failure::Failure, interview::Interview, server::ServerArgs},
    tuf::name::RoleName,
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rstuf admin delegations delete release --api-server URL

Artifacts of a role that ends move to the roles that clients ask next; where
there are none, clients do not find them any more.

Next: the name of the role is never used again; other roles are made with
`rstuf admin delegations new`.")]
pub struct DeleteArgs {
    /// The roles; they are asked for when none is named
    roles: Vec<String>,
    /// Where the metadata is published, where the server does not tell what is delegated
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Write the payload to a file, to be sent with `rstuf admin send delegations`
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "delegations-delete.json")]
    out: Option<PathBuf>,
    /// Send nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview, .. } = context;
        let found = server.find(&profile)?;
        let present = match (&self.metadata_url, &found) {
            (Some(url), _) => Some(Present::published(url).await?),
            (None, Some(api)) => Some(Present::at(api).await?),
            (None, None) => None,
        };
        let names = match &present {
            Some(present) => self.among(present, &mut interview).await?,
            // Nobody can tell which roles there are.
            None if self.dry_run && !self.roles.is_empty() => self.roles.clone(),
            None => {
                server.connect(&profile)?;
                Vec::new()
            }
        };
        let roles: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        let question = Question { id: "delete", message: "End these delegations, for good?", default: false };
        let change = Change {
            payload: json!({ "delegations": { "roles": Value::from(roles) } }),
            method: Method::POST,
            path: "/api/v1/delegations/delete",
            out: self.out.as_deref(),
            question: (!self.yes).then_some(question),
        };
        let api = if self.dry_run { None } else { Some(server.connect(&profile)?) };
        change.carry_out(api.as_ref(), &mut interview, output).await
    }

    /// The roles that are meant, of those that there are.
    async fn among(&self, present: &Present, interview: &mut Interview) -> Result<Vec<String>, Failure> {
        let there: Vec<_> = present.names()?.iter().map(RoleName::to_string).collect();
        if there.is_empty() {
            return Err(Failure::new("there are no delegated roles with names"));
        }
        if let Some(unknown) = self.roles.iter().find(|name| !there.contains(name)) {
            return Err(Failure::new(format_args!("there is no delegated role {unknown}"))
                .remedy(format_args!("these are delegated to: {}", there.join(", "))));
        }
        if !self.roles.is_empty() {
            return Ok(self.roles.clone());
        }
        let ask = async |i: &mut Interview| i.pick_many("roles", "Which delegations end?", &there);
        Ok(interview.hold(ask).await?.into_iter().map(|at| there[at].clone()).collect())
    }
}
