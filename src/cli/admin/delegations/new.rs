//! `rstuf admin delegations new`: roles that sign for a part of the paths.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::{
    present::Present,
    sending::{Change, Question},
};
use crate::cli::{
    admin::roles::{ask_roles, payload},
    command::Context,
    failure::Failure,
    interview::Interview,
    server::ServerArgs,
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rstuf admin delegations new --api-server https://rstuf.example.com

It asks for the name of each role, its paths and who signs it, and shows what the
server would do before anything is sent.

Next: a role that people sign waits for them whenever its content changes; they
sign with `rstuf admin metadata sign`.")]
pub struct NewArgs {
    /// Write the payload to a file, to be sent with `rstuf admin send delegations`
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "delegations-new.json")]
    out: Option<PathBuf>,
    /// Send nothing
    #[arg(long)]
    dry_run: bool,
}

impl NewArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview, .. } = context;
        let api = if self.dry_run { None } else { Some(server.connect(&profile)?) };
        let taken = match &api {
            Some(api) => Present::told(api).await?.map(|present| present.names()).transpose()?.unwrap_or_default(),
            None => BTreeSet::new(),
        };
        let roles = interview.hold(async |i: &mut Interview| ask_roles(i, "roles", &taken).await).await?;
        let change = Change {
            payload: json!({ "delegations": payload(&roles) }),
            method: Method::POST,
            path: "/api/v1/delegations/",
            out: self.out.as_deref(),
            question: Some(Question { id: "send", message: "Delegate to these roles?", default: true }),
        };
        change.carry_out(api.as_ref(), &mut interview, output).await
    }
}
