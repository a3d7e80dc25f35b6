//! `rstuf admin metadata stop-sign`: what waits for signatures is given up.

use clap::Args;
use serde_json::json;

use super::waiting::{self, Asked};
use crate::cli::{
    admin::{
        delivery::{Request, deliver},
        pending::{Pending, fetch},
    },
    command::Context,
    failure::Failure,
    interview::Interview,
    server::ServerArgs,
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rstuf admin metadata stop-sign --role root --api-server URL

The role stays as it is published, and the signatures that were given are
dropped. A first root that is given up ends its ceremony.

Next: another root is made with `rstuf admin metadata update`, a first one with
`rstuf admin ceremony`.")]
pub struct StopSignArgs {
    /// The role to give up, where several wait
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

impl StopSignArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview, .. } = context;
        let api = server.connect(&profile)?;
        let pending = Pending::read(&fetch(&api).await?)?;
        let asked = Asked { pending: &pending, role: self.role.as_deref(), message: "Which role do you give up?" };
        let waiting = waiting::choose(&mut interview, output, asked).await?;
        let title = waiting.title();
        if !self.yes {
            let message = format!("Give up {title}, with the signatures that it has?");
            let ask = async |interview: &mut Interview| interview.confirm("stop", &message, false);
            if !interview.hold(ask).await? {
                return Err(Failure::new(format_args!("{title} goes on to wait for signatures"))
                    .remedy("answer yes, or give --yes, to give it up"));
            }
        }
        interview.finish()?;
        let request =
            Request::post("/api/v1/metadata/sign/delete", &json!({"role": waiting.role}), "Metadata sign delete");
        let (task, result) = deliver(&api, output, request).await?;
        output.say(format_args!("Signing process for {} deleted!", waiting.role));
        output.result(&json!({"role": waiting.role, "version": waiting.version(), "task": task, "result": result}));
        Ok(())
    }
}
