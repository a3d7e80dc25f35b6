//! `rstuf admin metadata update`: people make the next root.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        admin::{
            missing,
            preview::{Preview, preview},
            saved::{can_save, rescue, save},
            signature::{Needed, collect},
            trusted::{self, TrustedRoot},
        },
        api::ApiClient,
        command::Context,
        failure::Failure,
        interview::{Interview, Text},
        output::Output,
        server::ServerArgs,
    },
    clock::Clock,
    task,
    tuf::{
        event::{Authority, Missing},
        root::Root,
    },
};
use script::Decided;

mod change;
mod review;
mod script;

/// Where the payload goes when `--out` names no file.
const FILE: &str = "update-payload.json";
const PATH: &str = "/api/v1/metadata/";

/// The options.
#[derive(Debug, Args)]
#[command(
    long_about = "\
Make the next root: other keys, thresholds, expiry.

The newest root is read from a file or from where clients read it, and verified as a client does. What is to change is asked, shown beside what there is, and \
signed by keys of the old root and of the new one. The next root is published as soon as both thresholds are met; until then it waits for the others, who sign it with \
`rstuf admin metadata sign`.",
    after_help = "\
Examples:
  rstuf admin --api-server URL metadata update --metadata-url METADATA_URL
  rstuf admin metadata update --in 3.root.json --dry-run --out update.json    on a machine without network
  rstuf admin --api-server URL send update update.json                        later, where there is one

Next: if signatures are missing, others give them with `rstuf admin metadata sign`."
)]
pub struct UpdateArgs {
    /// The newest root, as a file
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where clients find the metadata: the newest root is found from 1.root.json on; wins over --in
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Write the payload to a file, too
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = FILE)]
    out: Option<PathBuf>,
    /// Send nothing; a server that is given tells what would change
    #[arg(long)]
    dry_run: bool,
    /// How other online keys take over; asked if not given
    #[arg(long, value_name = "HOW")]
    rotation: Option<Rotation>,
    /// How long to wait for the server, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// How online keys change.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rotation {
    /// Old and new keys sign for a while: no client notices
    Seamless,
    /// The old keys never sign again: for keys that others may have
    Immediate,
}

impl From<Rotation> for task::Rotation {
    fn from(rotation: Rotation) -> Self {
        match rotation {
            Rotation::Seamless => Self::Seamless,
            Rotation::Immediate => Self::Immediate,
        }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview } = context;
        let api = self.reachable(server.find(&profile)?, output).await;
        if api.is_none() && !self.dry_run && self.out.is_none() {
            return Err(Failure::new("no server is given")
                .remedy("give --api-server URL, or --out FILE to send it later, or --dry-run to send nothing"));
        }
        can_save(self.out.as_deref())?;
        let trusted = self.trusted(&mut interview).await?;
        let warnings = match &api {
            Some(api) => pending(api).await?,
            None => Vec::new(),
        };
        let (now, rotation) = (Clock::system().now(), self.rotation.map(task::Rotation::from));
        let decided = interview
            .hold(async |interview| Box::pin(script::ask(interview, &trusted, rotation, &warnings, now)).await)
            .await?;
        let Decided { mut next, root, rotation } = decided;
        let needed = [needed("the root before it", &trusted.root), needed("the next root", &root)];
        next.signatures = collect(&mut interview, output, "signatures", &next, &needed).await?;
        interview.finish()?;
        let mut payload = json!({"metadata": {"root": next.to_value()}});
        if rotation == task::Rotation::Immediate {
            payload["rotation"] = json!("immediate");
        }
        if let Some(file) = &self.out {
            save(output, file, &payload)?;
        }
        let missing = missing::of(&next, &[Authority::root(&trusted.root), Authority::root(&root)])?;
        let done = match &api {
            Some(api) => self.deliver(api, &payload, missing, output).await,
            None => Ok(Done { state: "not sent", task_id: None, missing, preview: None }),
        };
        let done = done.map_err(|failure| rescue(failure, self.out.as_deref(), FILE, "update", &payload))?;
        done.tell(output, &root, self.out.as_deref());
        output.result(&done.to_value(&root, &payload, self.out.as_deref()));
        Ok(())
    }

    /// A dry run needs no server: one of the configuration file may be out of reach.
    async fn reachable(&self, api: Option<ApiClient>, output: Output) -> Option<ApiClient> {
        let api = api?;
        if self.dry_run
            && let Err(failure) = api.get("/api/v1/bootstrap/").await
        {
            output.note(format_args!("no server tells what would change: {}", failure.cause));
            return None;
        }
        Some(api)
    }

    async fn trusted(&self, interview: &mut Interview) -> Result<TrustedRoot, Failure> {
        if let Some(url) = &self.metadata_url {
            return trusted::from_url(url).await;
        }
        if let Some(file) = &self.input {
            return trusted::from_file(file);
        }
        let question = Text {
            id: "trusted",
            message: "Where is the newest root? The address of the metadata, or a file:",
            help: Some("such as https://example.com/metadata, or 3.root.json"),
            default: None,
        };
        let read = |text: &str| match text.is_empty() {
            true => Err("must be an address or a file".to_owned()),
            false => Ok(text.to_owned()),
        };
        let place = interview.hold(async |interview| interview.text(question, read)).await?;
        trusted::find(&place).await
    }

    /// Has the server look at it, and unless this is a dry run, take it.
    async fn deliver(
        &self,
        api: &ApiClient,
        payload: &Value,
        missing: Vec<Missing>,
        output: Output,
    ) -> Result<Done, Failure> {
        let preview = preview(api, Method::POST, PATH, payload).await?;
        if let Some(preview) = &preview {
            preview.possible()?;
        }
        if self.dry_run {
            return Ok(Done { state: "not sent", task_id: None, missing, preview });
        }
        let task_id = api.submit(PATH, payload).await?;
        output.say(format_args!("Metadata Update status: ACCEPTED ({task_id})"));
        let limit = Duration::from_secs(self.timeout);
        let result =
            api.finish(&task_id, limit, |state| output.say(format_args!("Metadata Update status: {state}"))).await?;
        let details = &result["details"];
        let state = if details["update"].is_string() { "signing" } else { "published" };
        // The service in Python does not tell who is missing.
        let told = missing::told(details);
        let missing = if told.is_empty() && state == "signing" { missing } else { told };
        Ok(Done { state, task_id: Some(task_id), missing, preview })
    }
}

fn needed(by: &str, root: &Root) -> Needed {
    Needed { by: by.to_owned(), keys: root.keys.clone(), role: root.roles["root"].clone() }
}

/// What a next root that waits already means for this one.
async fn pending(api: &ApiClient) -> Result<Vec<String>, Failure> {
    let waiting = api.get("/api/v1/metadata/sign").await?;
    let version = &waiting["data"]["metadata"]["root"]["signed"]["version"];
    Ok(match version.is_null() {
        true => Vec::new(),
        false => {
            vec![format!("Warning: root v{version} waits for signatures on the server; this one will take its place.")]
        }
    })
}

/// How it is now.
#[derive(Debug)]
struct Done {
    state: &'static str,
    task_id: Option<String>,
    missing: Vec<Missing>,
    preview: Option<Preview>,
}

impl Done {
    fn tell(&self, output: Output, root: &Root, file: Option<&Path>) {
        output.say("");
        let again = self.preview.as_ref().map(|preview| preview.data()["signed_again"].clone()).unwrap_or_default();
        let again: Vec<_> = again.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match self.state {
            "published" => {
                output.say(format_args!("Root v{} is published, clients take it from now on.", root.version))
            }
            "signing" => {
                output.say(format_args!("Root v{} is not published yet, it waits for signatures.", root.version))
            }
            _ => output.say("Nothing was sent."),
        }
        if !again.is_empty() && self.state != "published" {
            output.say(format_args!("With it the server publishes anew: {}.", again.join(", ")));
        }
        for sentence in missing::sentences(&self.missing) {
            output.say(format_args!("{sentence}."));
        }
        match (self.state, file) {
            ("signing", _) => {
                output.say("Next: each of them runs `rstuf admin metadata sign`; the last signature publishes it.");
            }
            ("not sent", Some(file)) => {
                output.say(format_args!("Next: rstuf admin --api-server URL send update {}", file.display()));
            }
            ("not sent", None) => output.say("With --out FILE what was signed would have been kept."),
            _ => {}
        }
    }

    fn to_value(&self, root: &Root, payload: &Value, file: Option<&Path>) -> Value {
        let mut told = json!({
            "state": self.state,
            "version": root.version,
            "task_id": self.task_id,
            "missing": self.missing,
            "file": file,
            "preview": self.preview.as_ref().map(Preview::data),
        });
        if self.state == "not sent" {
            told["payload"] = payload.clone();
        }
        told
    }
}
