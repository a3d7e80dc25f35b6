//! `rstuf admin metadata bump`: the online roles are signed anew at once.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
#[command(
    long_about = "\
Have online roles signed anew at once, with new versions and new expirations.

The repository renews what it signs by itself, long before it expires; this is for who does not want to wait for that: after a change of expirations, or \
to see that signing works. Roles that people sign are not concerned: `rstuf admin metadata update` makes a new root.",
    after_help = "\
Examples:
  rstuf admin --api-server http://127.0.0.1:8080 metadata bump              all online roles
  rstuf admin --api-server http://127.0.0.1:8080 metadata bump targets bins

Next: clients see the new versions as soon as the command has ended."
)]
pub struct BumpArgs {
    /// The roles: timestamp, snapshot, targets, bins (all of them), delegated roles; all that are signed online if none is named
    #[arg(value_name = "ROLE")]
    roles: Vec<String>,
    /// How long to wait for the server, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

impl BumpArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let output = context.output;
        let api = server.connect(&context.profile)?;
        context.interview.finish()?;
        let task_id = api.submit("/api/v1/metadata/online", &json!({"roles": self.roles})).await?;
        output.say(format_args!("Metadata bump status: ACCEPTED ({task_id})"));
        let limit = Duration::from_secs(self.timeout);
        let result =
            api.finish(&task_id, limit, |state| output.say(format_args!("Metadata bump status: {state}"))).await?;
        let updated = result["details"]["updated_roles"].clone();
        let names: Vec<_> = updated.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
        output.say(format_args!("Published anew: {}", names.join(", ")));
        output.result(&json!({"state": "published", "task_id": task_id, "updated_roles": updated}));
        Ok(())
    }
}
