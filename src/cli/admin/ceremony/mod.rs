//! `rstuf admin ceremony`: people create a repository.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    missing,
    saved::{can_save, rescue, save},
    signature::{Needed, collect},
};
use crate::{
    cli::{api::ApiClient, command::Context, failure::Failure, output::Output, server::ServerArgs},
    clock::Clock,
    tuf::{
        event::{Authority, Missing},
        name::Version,
        root::Root,
        rules,
        wire::Metadata,
    },
};
use plan::Plan;

mod plan;
mod review;
mod script;

#[cfg(test)]
pub(super) use plan::tests as plan_tests;

/// Where the payload goes when `--out` names no file.
const FILE: &str = "ceremony-payload.json";

/// The options.
#[derive(Debug, Args)]
#[command(
    long_about = "\
Create the repository: choose keys and settings, sign the first root, send it.

A ceremony asks how long roles are valid, how artifacts are spread over hash bins or delegated roles, who holds root keys and how many of \
them must sign, and which key the repository signs with by itself. It then shows all of that in plain words, has the people sign who are \
there, and sends the result to the server. Who is not there signs later: the repository begins when enough have signed.

It needs the public key of each person (rstuf key generate makes a pair, the file with .pub is the public half), the public half of the \
online key, and the private keys of those who sign now.",
    after_help = "\
Examples:
  rstuf admin --api-server http://127.0.0.1:8080 ceremony
  rstuf admin --api-server URL --answers ceremony.yml ceremony    without questions
  rstuf admin ceremony --dry-run --out payload.json               on a machine without network
  rstuf admin --api-server URL send bootstrap payload.json        later, where there is one

Next: if signatures are missing, others give them with `rstuf admin metadata sign`; then add artifacts with `rstuf artifact add`."
)]
pub struct CeremonyArgs {
    /// Write the payload to a file, too
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = FILE)]
    out: Option<PathBuf>,
    /// Send nothing
    #[arg(long)]
    dry_run: bool,
    /// How long the server may take to create the repository, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: u64,
}

impl CeremonyArgs {
    pub(in crate::cli) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview } = context;
        let api = if self.dry_run { None } else { server.find(&profile)? };
        if api.is_none() && !self.dry_run && self.out.is_none() {
            return Err(Failure::new("no server is given")
                .remedy("give --api-server URL, or --out FILE to send it later, or --dry-run to send nothing"));
        }
        can_save(self.out.as_deref())?;
        if let Some(api) = &api {
            is_free(&api.get("/api/v1/bootstrap/").await?)?;
        }
        let now = Clock::system().now();
        let plan = interview.hold(async |interview| Box::pin(script::ask(interview, now)).await).await?;
        let mut root = plan.first_root(now);
        let view = plan.check(&root, now)?;
        root.signatures = collect(&mut interview, output, "signatures", &root, &[needed(&view)]).await?;
        interview.finish()?;
        let payload = plan.payload(&root, self.timeout);
        if let Some(file) = &self.out {
            save(output, file, &payload)?;
        }
        let missing = missing::of(&root, &[Authority::root(&view)])?;
        let Some(api) = api else {
            self.tell_unsent(output, &payload, &missing);
            return Ok(());
        };
        let sent = send(&api, &payload, missing, Duration::from_secs(self.timeout), output).await;
        let sent = sent.map_err(|failure| rescue(failure, self.out.as_deref(), FILE, "bootstrap", &payload))?;
        sent.tell(output);
        output.result(&sent.to_value(self.out.as_deref()));
        Ok(())
    }

    fn tell_unsent(&self, output: Output, payload: &Value, missing: &[Missing]) {
        output.say("Nothing was sent.");
        for sentence in missing::sentences(missing) {
            output.say(format_args!("Once it is sent, {sentence}."));
        }
        match &self.out {
            Some(file) => {
                output.say(format_args!("Next: rstuf admin --api-server URL send bootstrap {}", file.display()));
            }
            None => output.say("With --out FILE what was signed would have been kept."),
        }
        output.result(&json!({"state": "not sent", "missing": missing, "file": self.out, "payload": payload}));
    }
}

impl Plan {
    /// Refuses what the server would refuse.
    fn check(&self, root: &Metadata, now: Timestamp) -> Result<Root, Failure> {
        for (key, _) in self.online.by_key() {
            if let Some(person) = self.root.iter().find(|person| person.is_same(&key.object)) {
                return Err(Failure::new(format_args!(
                    "{} is a root key, it can't be the online key {}",
                    person.name, key.name
                ))
                .remedy("make a key of its own for the repository: rstuf key generate"));
            }
        }
        rules::root(root, Version::FIRST, now)
            .map_err(|error| Failure::new(format_args!("clients would refuse this root: {error}")))
    }
}

/// Makes sure that there is no repository, and none on its way.
fn is_free(answer: &Value) -> Result<(), Failure> {
    let data = &answer["data"];
    let id = data["id"].as_str().unwrap_or_default();
    match data["state"].as_str() {
        Some("pre") => Err(Failure::new("another bootstrap waits for a worker of this server")
            .remedy(format_args!("see how it goes: rstuf task info {id}"))),
        Some("signing") => Err(Failure::new("the root of another ceremony waits for signatures on this server")
            .remedy("sign it: rstuf admin metadata sign; or give it up: rstuf admin metadata stop-sign")),
        Some("finished") => Err(Failure::new("there is a repository on this server already")
            .remedy("change it: rstuf admin metadata update, rstuf admin delegations, rstuf admin config set")),
        _ => Ok(()),
    }
}

fn needed(root: &Root) -> Needed {
    Needed { by: "the first root".to_owned(), keys: root.keys.clone(), role: root.roles["root"].clone() }
}

/// How the server has it.
#[derive(Debug)]
struct Sent {
    task_id: String,
    complete: bool,
    missing: Vec<Missing>,
    notes: Vec<String>,
}

/// Submits it, and waits until the server has it.
async fn send(
    api: &ApiClient,
    payload: &Value,
    missing: Vec<Missing>,
    limit: Duration,
    output: Output,
) -> Result<Sent, Failure> {
    let task_id = api.submit("/api/v1/bootstrap/", payload).await?;
    output.say(format_args!("Bootstrap status: ACCEPTED ({task_id})"));
    let result = api.finish(&task_id, limit, |state| output.say(format_args!("Bootstrap status: {state}"))).await?;
    let details = &result["details"];
    let complete = details["bootstrap"].as_str().is_some_and(|text| text.starts_with("Bootstrap finished"));
    let notes = details["notes"].as_array().into_iter().flatten().filter_map(|note| note.as_str().map(str::to_owned));
    let told = missing::told(details);
    // The service in Python does not tell who is missing.
    let missing = if told.is_empty() && !complete { missing } else { told };
    Ok(Sent { task_id, complete, missing, notes: notes.collect() })
}

impl Sent {
    fn tell(&self, output: Output) {
        output.say("");
        if self.complete {
            output.say("Bootstrap completed: the repository is there, and clients can start from its 1.root.json.");
            for note in &self.notes {
                output.say(format_args!("Note: {note}."));
            }
            output.say("Next: rstuf artifact add FILE --wait");
            return;
        }
        output.say("The repository is not there yet, its root waits for signatures.");
        for sentence in missing::sentences(&self.missing) {
            output.say(format_args!("{sentence}."));
        }
        output.say("Next: each of them runs `rstuf admin metadata sign`; the last signature creates the repository.");
    }

    fn to_value(&self, file: Option<&Path>) -> Value {
        json!({
            "state": if self.complete { "finished" } else { "signing" },
            "task_id": self.task_id,
            "missing": self.missing,
            "notes": self.notes,
            "file": file,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_without_repository_is_asked_to_make_one() {
        assert!(is_free(&json!({"data": {"bootstrap": false}})).is_ok());
        for state in ["pre", "signing", "finished"] {
            let taken = is_free(&json!({"data": {"bootstrap": state == "finished", "state": state, "id": "t"}}));
            assert!(taken.expect_err(state).remedy.is_some());
        }
    }

    #[test]
    fn a_root_key_is_no_online_key() {
        let mut plan = plan::tests::plan();
        let now = Clock::system().now();
        assert!(plan.check(&plan.first_root(now), now).is_ok());
        let mut person = plan.root[1].clone();
        person.object["x-rstuf-online-key-uri"] = json!("fn:grace.pem");
        plan.online = plan::OnlineKeys::one(person);
        let refused = plan.check(&plan.first_root(now), now).expect_err("refused");
        assert_eq!(refused.cause, "Grace is a root key, it can't be the online key Grace");
    }
}
