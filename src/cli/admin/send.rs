//! `rstuf admin send`: what was made and signed offline goes to the server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    delegations::told,
    delivery::{Request, deliver, pending_words},
    files::read_json,
    missing,
    pending::sentences,
};
use crate::{
    cli::{command::Context, failure::Failure, output::Output, server::ServerArgs},
    clock::Clock,
    tuf::name::RoleName,
};
use payload::Kind;

mod payload;

/// The options.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    after_help = "\
Example:
  rstuf admin send sign sign-payload.json --api-server https://rstuf.example.com

The file goes to the server exactly as it is, after a look at whether it can be
right.

Next: the --help of each of these commands tells who makes its file."
)]
pub struct SendArgs {
    #[command(subcommand)]
    command: Command,
}

/// What is sent.
#[derive(Debug, Subcommand)]
enum Command {
    /// Create the repository: what `rstuf admin ceremony --out` wrote
    #[command(after_help = "\
Example:
  rstuf admin send bootstrap ceremony-payload.json --api-server URL

Next: if its root needs more signatures, others give them with
`rstuf admin metadata sign`; then add artifacts with `rstuf artifact add`.")]
    Bootstrap(FileArgs),
    /// Replace the root: what `rstuf admin metadata update --out` wrote
    #[command(after_help = "\
Example:
  rstuf admin send update update-payload.json --api-server URL

Next: if it needs more signatures, others give them with
`rstuf admin metadata sign`.")]
    Update(FileArgs),
    /// Add a signature: what `rstuf admin metadata sign --out` wrote
    #[command(after_help = "\
Example:
  rstuf admin send sign sign-payload.json --api-server URL

Next: the last signature that is needed publishes the role; until then the others
sign with `rstuf admin metadata sign`.")]
    Sign(FileArgs),
    /// Change delegations: what `rstuf admin delegations … --out` wrote
    #[command(after_help = "\
Examples:
  rstuf admin send delegations delegations-new.json --api-server URL
  rstuf admin send delegations --update delegations-update.json --api-server URL

Next: a role that people sign waits for them; they sign with
`rstuf admin metadata sign`.")]
    Delegations(DelegationsArgs),
}

/// A file.
#[derive(Debug, Args)]
struct FileArgs {
    /// The payload
    file: PathBuf,
}

/// Delegations.
#[derive(Debug, Args)]
struct DelegationsArgs {
    /// The payload
    file: PathBuf,
    /// It changes roles that there are; without this, roles with paths are new ones
    #[arg(long, conflicts_with = "delete")]
    update: bool,
    /// It deletes roles; a list of names alone is known for that anyway
    #[arg(long)]
    delete: bool,
}

impl SendArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, .. } = context;
        let (file, kind, method, path, title) = match &self.command {
            Command::Bootstrap(args) => (&args.file, Kind::Bootstrap, Method::POST, "/api/v1/bootstrap/", "Bootstrap"),
            Command::Update(args) => (&args.file, Kind::Update, Method::POST, "/api/v1/metadata/", "Metadata Update"),
            Command::Sign(args) => (&args.file, Kind::Sign, Method::POST, "/api/v1/metadata/sign", "Metadata sign"),
            Command::Delegations(args) => {
                (&args.file, args.kind(), Method::POST, "/api/v1/delegations/", "Delegations")
            }
        };
        let (text, value) = read_json(file)?;
        let kind = payload::check(&value, kind, Clock::system().now())?;
        let (method, path) = match kind {
            Kind::DelegationsUpdate => (Method::PUT, path),
            Kind::DelegationsDelete => (Method::POST, "/api/v1/delegations/delete"),
            _ => (method, path),
        };
        let api = server.connect(&profile)?;
        let (task, result) = deliver(&api, output, Request { method, path, body: text, title }).await?;
        output.result(&json!({"task": task, "result": result}));
        let role = value["role"].as_str().and_then(|role| RoleName::parse(role).ok()).unwrap_or_else(RoleName::root);
        match kind {
            Kind::Bootstrap => finished(output, &role, &result, "Bootstrap completed."),
            Kind::Update => finished(output, &role, &result, "Root metadata update completed."),
            Kind::Sign => finished(output, &role, &result, "Metadata Signed!"),
            _ => return told::result(output, &result),
        }
        Ok(())
    }
}

impl DelegationsArgs {
    /// What the options say; without them it is what the payload looks like.
    fn kind(&self) -> Kind {
        match (self.update, self.delete) {
            (true, _) => Kind::DelegationsUpdate,
            (_, true) => Kind::DelegationsDelete,
            _ => Kind::Delegations,
        }
    }
}

/// Says that it is done, or who has to sign yet.
fn finished(output: Output, role: &RoleName, result: &Value, done: &str) {
    match pending_words(result) {
        None => output.say(done),
        Some(pending) => {
            if done.starts_with("Metadata Signed") {
                output.say(done);
            }
            output.say(format_args!("{pending}."));
            let missing = missing::told(&result["details"]);
            sentences(role, &missing).iter().for_each(|sentence| output.say(format_args!("  {sentence}.")));
            output.say("Who has to sign goes on with: rstuf admin metadata sign");
        }
    }
}
