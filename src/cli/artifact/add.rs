//! `rstuf artifact add`: files become artifacts.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use super::{
    digests::{self, Algorithm},
    files::{self, Found, Links},
    tasks::{Asking, Sending, Task},
};
use crate::{
    cli::{command::Context, failure::Failure, output::Output, server::ServerArgs},
    tuf::name::ArtifactPath,
};

/// The most bytes of a request, well below what a server takes by default.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The most faults of files that are told.
const MOST_TOLD: usize = 50;

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rstuf artifact add dist/tool-1.0.tar.gz -p releases --wait    the artifact releases/tool-1.0.tar.gz
  rstuf artifact add dist/ --custom '{\"channel\": \"stable\"}'     all files below dist, by their place there

The server gets path, length and digests, never the files: put them on your download server yourself.
By default sha256 is sent, which all clients know. A client must know every digest that is sent: tuf-js knows no
blake2b-256, which the Python command line sends.
What comes next: rstuf task info ID, then rstuf artifact download.")]
pub struct AddArgs {
    /// Files, directories with all that is in them, and patterns such as 'dist/*.gz'
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// The directory of the artifacts in the repository
    #[arg(short, long, value_name = "DIR")]
    path: Option<String>,
    /// What else to say of each artifact: a JSON object, or @FILE that has it
    #[arg(long, value_name = "JSON")]
    custom: Option<String>,
    /// A digest to compute; can be given several times
    #[arg(long = "hash", value_name = "ALGORITHM", default_values = ["sha256"])]
    hashes: Vec<Algorithm>,
    /// What to do with symbolic links inside directories
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    links: Links,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    server: ServerArgs,
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, Context { profile, output, interview }: Context) -> Result<(), Failure> {
        interview.finish()?;
        let api = self.server.connect(&profile)?;
        let custom = self.custom.as_deref().map(read_custom).transpose()?;
        let found =
            files::find(&self.files, self.path.as_deref(), self.links).map_err(|faults| unfit(output, &faults))?;
        if found.is_empty() {
            return Err(
                Failure::new("there is no file in what was named").remedy("name files, or a directory with some")
            );
        }
        let artifacts = self.digest(output, found, custom.as_ref()).await?;
        let bodies = bodies(&artifacts, self.sending.most(), self.sending.publishes());
        let name = "Artifact Addition";
        let asking = Asking { api: &api, output, name, path: "/api/v1/artifacts/", waiting: self.sending.waiting };
        let tasks = asking.all(bodies).await?;
        output.result(&json!({"artifacts": artifacts, "tasks": tasks.iter().map(Task::to_value).collect::<Vec<_>>()}));
        let invalid: Vec<_> = tasks.iter().flat_map(|task| task.listed("invalid_paths")).collect();
        if !invalid.is_empty() {
            return Err(Failure::new(format_args!("no role of the repository lists {}", invalid.join(", ")))
                .remedy("choose paths that a delegated role is for: -p DIR"));
        }
        self.tell(output, artifacts.len());
        Ok(())
    }

    async fn digest(
        &self,
        output: Output,
        found: BTreeMap<ArtifactPath, Found>,
        custom: Option<&Map<String, Value>>,
    ) -> Result<Vec<Value>, Failure> {
        let mut algorithms = self.hashes.clone();
        algorithms.sort_unstable();
        algorithms.dedup();
        let bar = bar(found.values().map(|found| found.bytes).sum());
        let files = found.values().map(|found| found.file.clone()).collect();
        let reader = bar.clone();
        let digested = digests::all(files, &algorithms, move |bytes| reader.inc(bytes)).await;
        bar.finish_and_clear();
        let mut artifacts = Vec::with_capacity(found.len());
        let mut faults = Vec::new();
        for ((path, found), digested) in found.iter().zip(digested) {
            match digested {
                Ok(file) => {
                    let info = json!({"length": file.length, "hashes": file.hashes, "custom": custom});
                    artifacts.push(json!({"info": info, "path": path}));
                }
                Err(error) => faults.push(format!("{}: {error}", found.file.display())),
            }
        }
        if faults.is_empty() { Ok(artifacts) } else { Err(unfit(output, &faults)) }
    }

    fn tell(&self, output: Output, artifacts: usize) {
        if artifacts > 1 {
            output.say(format_args!("{artifacts} artifacts"));
        }
        self.sending.tell(output);
    }
}

/// Requests of at most so many artifacts, none too large.
fn bodies(artifacts: &[Value], most: usize, publish: bool) -> Vec<Value> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for artifact in artifacts {
        let length = artifact.to_string().len();
        if let Some(batch) =
            batches.last_mut().filter(|batch| batch.is_empty() || batch.len() < most && bytes + length <= MOST_BYTES)
        {
            batch.push(artifact);
            bytes += length;
        } else {
            batches.push(vec![artifact]);
            bytes = length;
        }
    }
    let body =
        |batch: Vec<&Value>| json!({"artifacts": batch, "add_task_id_to_custom": false, "publish_artifacts": publish});
    batches.into_iter().map(body).collect()
}

fn read_custom(text: &str) -> Result<Map<String, Value>, Failure> {
    let json = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format_args!("can't read --custom {file}: {error}")))?,
        None => text.to_owned(),
    };
    match serde_json::from_str(&json) {
        Ok(Value::Object(custom)) => Ok(custom),
        Ok(_) => Err("it is no object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|why| {
        Failure::new(format_args!("--custom can't be used: {why}"))
            .remedy("write it as '{\"channel\": \"stable\"}', or put that into a file and give @FILE")
    })
}

/// Names what is wrong with each file.
fn unfit(output: Output, faults: &[String]) -> Failure {
    for fault in faults.iter().take(MOST_TOLD) {
        output.note(fault);
    }
    if let more @ 1.. = faults.len().saturating_sub(MOST_TOLD) {
        output.note(format_args!("and {more} more"));
    }
    let files = if faults.len() == 1 { "a file" } else { "some files" };
    Failure::new(format_args!("{files} can't be added"))
        .remedy("nothing was sent; leave out what is named, or put it right")
}

/// How far the reading is, at a terminal.
fn bar(bytes: u64) -> ProgressBar {
    let template = "reading {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    // A template without faults is a style.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style.progress_chars("=> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_by_number_and_by_size() {
        let artifacts: Vec<_> = (0..25).map(|number| json!({"path": format!("{number:02}")})).collect();
        let sizes = |most| {
            let bodies = bodies(&artifacts, most, false);
            assert!(bodies.iter().all(|body| body["publish_artifacts"] == false));
            bodies.iter().map(|body| body["artifacts"].as_array().expect("a list").len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(10), [10, 10, 5]);
        assert_eq!(sizes(25), [25]);
        let large = vec![json!("x".repeat(MOST_BYTES / 2)); 3];
        assert_eq!(bodies(&large, 100, true).len(), 3);
    }

    #[test]
    fn custom_is_an_object() {
        assert!(read_custom("{\"a\": 1}").is_ok());
        for bad in ["[]", "{", "@/no/such/file"] {
            assert!(read_custom(bad).is_err(), "{bad}");
        }
    }
}
