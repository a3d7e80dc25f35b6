//! `rstuf admin metadata sign`: a person signs what waits for signatures, after seeing what it changes.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::waiting::{self, Asked};
use crate::{
    cli::{
        admin::{
            acceptable,
            delivery::{Request, deliver, is_pending},
            diff::{self, Change, Length},
            files::read_json,
            pending::{Pending, Waiting, fetch, sentences},
            published::Published,
            saved::{can_save, rescue, save},
            signature, trusted,
        },
        api::ApiClient,
        command::Context,
        failure::Failure,
        output::Output,
        server::ServerArgs,
    },
    clock::Clock,
    tuf::{
        event::Missing,
        root::Root,
        wire::{Metadata, RoleType},
    },
};

/// Where the signature goes when `--out` names no file.
const FILE: &str = "sign-payload.json";

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rstuf admin metadata sign --api-server https://rstuf.example.com

It shows what waits and, in plain words, what that changes, before it asks who
signs. What clients would refuse is not signed.

Where the keys are, there may be no network:
  rstuf admin metadata sign --api-server URL --fetch waiting.json
  rstuf admin metadata sign --in waiting.json --out signature.json --dry-run
  rstuf admin send sign signature.json --api-server URL

Next: when enough have signed, the service publishes it; until then the others
run the same command.")]
pub struct SignArgs {
    /// Read what waits from a file that --fetch made, or that has the reply of GET /api/v1/metadata/sign
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write the signature to a file, to be sent with `rstuf admin send sign`
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = FILE)]
    out: Option<PathBuf>,
    /// Send nothing
    #[arg(long)]
    dry_run: bool,
    /// Only write what waits to a file, to be signed where there is no network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "out", "dry_run"])]
    fetch: Option<PathBuf>,
    /// The role to sign, where several wait
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Where the metadata is published: to see what changes of a delegated role, and whether the server and clients trust the same root
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Show long lists to their end
    #[arg(long)]
    full: bool,
}

impl SignArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview, .. } = context;
        if let Some(file) = &self.fetch {
            can_save(Some(file))?;
            let api = server.connect(&profile)?;
            let reply = self.with_published(fetch(&api).await?).await?;
            return keep(file, &reply, output);
        }
        let api = match (&self.input, self.dry_run) {
            (None, _) => Some(server.connect(&profile)?),
            (Some(_), true) => None,
            (Some(_), false) => server.find(&profile)?,
        };
        can_save(self.out.as_deref())?;
        if api.is_none() && !self.dry_run && self.out.is_none() {
            return Err(Failure::new("there is no server that the signature could be sent to, and no file for it")
                .remedy("give --api-server URL before `metadata`, or --out FILE"));
        }
        let reply = match (&self.input, &api) {
            (Some(file), _) => read_json(file)?.1,
            (None, Some(api)) => fetch(api).await?,
            (None, None) => return Err(Failure::new("there is nothing to read what waits from")),
        };
        let pending = Pending::read(&self.with_published(reply).await?)?;
        let asked = Asked { pending: &pending, role: self.role.as_deref(), message: "Which role do you sign?" };
        let waiting = waiting::choose(&mut interview, output, asked).await?;
        let changes = self.show(&waiting, output)?;
        let needed = waiting.needed();
        let signatures = signature::collect(&mut interview, output, "signatures", &waiting.document, &needed).await?;
        interview.finish()?;
        let payloads: Vec<_> = signatures
            .iter()
            .map(|signature| json!({"signature": signature.to_value(), "role": waiting.role}))
            .collect();
        let files = self.write(&payloads, output)?;
        if api.is_none() && files.is_empty() {
            payloads.iter().for_each(|payload| output.say(format_args!("{payload:#}")));
        }
        let mut signed = waiting.clone();
        signed.document.signatures.retain(|there| signatures.iter().all(|new| new.keyid != there.keyid));
        signed.document.signatures.extend(signatures);
        let (mut tasks, mut missing) = (Vec::new(), signed.missing()?);
        if let Some(api) = api.as_ref().filter(|_| !self.dry_run) {
            unchanged(api, &waiting).await?;
            for payload in &payloads {
                let request = Request::post("/api/v1/metadata/sign", payload, "Metadata sign");
                let sent = deliver(api, output, request).await;
                let sent = sent.map_err(|failure| rescue(failure, self.out.as_deref(), FILE, "sign", payload));
                let (task, result) = sent?;
                tasks.push(task);
                // What is complete takes no more signatures.
                if !is_pending(&result) {
                    break;
                }
            }
            output.say("Metadata Signed and sent to the API!");
            // Others may have signed at the same time.
            let left = Pending::read(&fetch(api).await?)?.find(&waiting)?;
            missing = left.map(|left| left.missing()).transpose()?.unwrap_or_default();
        }
        tell_missing(&waiting, &missing, output);
        output.result(&json!({
            "role": waiting.role,
            "version": waiting.version(),
            "changes": changes.iter().map(Change::to_value).collect::<Vec<_>>(),
            "payloads": payloads,
            "files": files,
            "tasks": tasks,
            "missing": missing,
        }));
        Ok(())
    }

    /// Shows what is to be signed, and refuses what no client would take.
    fn show(&self, waiting: &Waiting, output: Output) -> Result<Vec<Change>, Failure> {
        let now = Clock::system().now();
        acceptable::check(waiting, now)?;
        if waiting.missing()?.is_empty() {
            return Err(Failure::new("Metadata already fully signed.").remedy("the service is about to publish it"));
        }
        let changes = diff::between(waiting.trusted.as_ref().map(|trusted| &trusted.signed), &waiting.document.signed);
        let length = if self.full { Length::Full } else { Length::Bounded };
        output.say("");
        output.say(self.heading(waiting));
        if changes.is_empty() {
            output.say("  nothing but its version");
        }
        diff::lines(&changes, now, length).iter().for_each(|line| output.say(line));
        if waiting.header.type_ == RoleType::Root {
            let root = Root::view(&waiting.document.signed).map_err(|error| Failure::new(error.to_string()))?;
            output.say("");
            output.say(format_args!("Who signs what with {}:", waiting.title()));
            diff::root_lines(&root).iter().for_each(|line| output.say(line));
        }
        let out_of_scope = acceptable::out_of_scope(waiting);
        if !out_of_scope.is_empty() {
            output.say("");
            output.say(format_args!("No client will look in {} for:", waiting.role));
            diff::bounded(&out_of_scope, length).iter().for_each(|line| output.say(line));
        }
        output.say("");
        Ok(changes)
    }

    fn heading(&self, waiting: &Waiting) -> String {
        let title = waiting.title();
        let trusted = waiting.trusted.as_ref().and_then(|trusted| trusted.header().ok());
        match trusted {
            Some(trusted) => format!("What {title} changes since v{}:", trusted.version),
            None if waiting.version().get() == 1 => format!("What {title} says, the first version:"),
            None => format!(
                "What {title} says. The version before it is not known here, so all is shown as\nnew; --metadata-url URL tells what changes:"
            ),
        }
    }

    /// The signatures, a file each.
    fn write(&self, payloads: &[Value], output: Output) -> Result<Vec<PathBuf>, Failure> {
        let Some(out) = &self.out else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for (at, payload) in payloads.iter().enumerate() {
            let file = match at {
                0 => out.clone(),
                _ => {
                    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
                    out.with_file_name(format!("{stem}-{}.json", at + 1))
                }
            };
            save(output, &file, payload)?;
            files.push(file);
        }
        Ok(files)
    }

    /// The reply, with what is published of the delegated roles in it.
    async fn with_published(&self, mut reply: Value) -> Result<Value, Failure> {
        let Some(url) = &self.metadata_url else { return Ok(reply) };
        let pending = Pending::read(&reply)?;
        if let Some(root) = pending.listed_root() {
            same_root(root, &trusted::find(url).await?.metadata)?;
        }
        let published = Published::at(url)?;
        let mut found = Vec::new();
        for waiting in pending.roles().into_iter().filter_map(|(_, waiting)| waiting.ok()) {
            let entry = format!("trusted_{}", waiting.role);
            if waiting.header.type_ == RoleType::Targets
                && reply["data"]["metadata"].get(&entry).is_none()
                && let Some(document) = published.role(&waiting.role).await?
            {
                found.push((entry, document));
            }
        }
        if let Some(metadata) = reply.pointer_mut("/data/metadata").and_then(Value::as_object_mut) {
            metadata.extend(found);
        }
        Ok(reply)
    }
}

/// Makes sure that changes are told from the root that clients have. From another one, whoever holds its keys could make them look harmless.
fn same_root(listed: &Metadata, published: &Metadata) -> Result<(), Failure> {
    let canonical = |root: &Metadata| root.canonical().map_err(Failure::new);
    match canonical(listed)? == canonical(published)? {
        true => Ok(()),
        false => Err(Failure::new("the root that the server calls trusted is not the newest one that is published")
            .remedy("do not sign: ask who runs the server, and compare both")),
    }
}

/// Keeps a reply for who signs without a network.
fn keep(file: &std::path::Path, reply: &Value, output: Output) -> Result<(), Failure> {
    let pending = Pending::read(reply)?;
    let told = waiting::tell(&pending, output)?;
    save(output, file, reply)?;
    output.say("");
    output.say("Take it to who signs, who does:");
    output.say(format_args!("  rstuf admin metadata sign --in {} --out --dry-run", file.display()));
    output.say("and brings back sign-payload.json, which you send:");
    output.say("  rstuf admin send sign sign-payload.json");
    output.result(&json!({"file": file, "waiting": told}));
    Ok(())
}

/// Makes sure that what waits is still what was shown and signed.
async fn unchanged(api: &ApiClient, shown: &Waiting) -> Result<(), Failure> {
    let now = Pending::read(&fetch(api).await?)?;
    let canonical = |waiting: &Waiting| waiting.document.canonical().map_err(|error| Failure::new(error.to_string()));
    let same = match now.find(shown)? {
        Some(there) => canonical(&there)? == canonical(shown)?,
        None => false,
    };
    match same {
        true => Ok(()),
        false => Err(Failure::new(format_args!(
            "{} does not wait any more as it was shown; nothing was sent",
            shown.title()
        ))
        .remedy("look at what waits now, and sign that: rstuf admin metadata sign")),
    }
}

fn tell_missing(waiting: &Waiting, missing: &[Missing], output: Output) {
    match missing.is_empty() {
        true => output.say(format_args!("{} has all signatures that it needs.", waiting.title())),
        false => {
            output.say(format_args!("{} still needs signatures:", waiting.title()));
            let sentences = sentences(&waiting.role, missing);
            sentences.iter().for_each(|sentence| output.say(format_args!("  {sentence}.")));
        }
    }
}
