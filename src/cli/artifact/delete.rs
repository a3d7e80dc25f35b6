//! `rstuf artifact delete`: artifacts are forgotten.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::tasks::{Asking, Sending, Task};
use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf artifact delete releases/tool-1.0.tar.gz --wait

Clients no longer find these paths. The files on your download server are not touched.
With --wait it is told which paths the repository did not have.

Next: rstuf task info ID, if you did not wait.")]
pub struct DeleteArgs {
    /// Paths in the repository
    #[arg(required_unless_present = "from_file", value_name = "PATH")]
    paths: Vec<String>,
    /// Read paths from a file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    server: ServerArgs,
}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, Context { profile, output, interview }: Context) -> Result<(), Failure> {
        interview.finish()?;
        let api = self.server.connect(&profile)?;
        let mut paths = self.paths;
        if let Some(file) = &self.from_file {
            paths.extend(read(file)?);
        }
        let mut met = BTreeSet::new();
        paths.retain(|path| met.insert(path.clone()));
        if paths.is_empty() {
            return Err(Failure::new("no path is named").remedy("name at least one, as an argument or in --from-file"));
        }
        let body = |paths: &[String]| json!({"artifacts": paths, "publish_artifacts": self.sending.publishes()});
        let bodies = paths.chunks(self.sending.most()).map(body).collect();
        let name = "Artifact Deletion";
        let asking =
            Asking { api: &api, output, name, path: "/api/v1/artifacts/delete", waiting: self.sending.waiting };
        let tasks = asking.all(bodies).await?;
        output.result(&json!({"artifacts": paths, "tasks": tasks.iter().map(Task::to_value).collect::<Vec<_>>()}));
        for path in tasks.iter().flat_map(|task| task.listed("not_found_artifacts")) {
            output.say(format_args!("the repository did not have {path}"));
        }
        self.sending.tell(output);
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<String>, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::new(format_args!("can't read {}: {error}", file.display())))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
