//! `rstuf admin import-artifacts`: millions of artifacts from files, through the API.
//!
//! Batches of lines are sent with `publish_artifacts: false`, several at once, and one publish comes in the end. Of two lines with the same
//! path the later one counts: a batch waits as long as one with a path of its is under way. Batches are settled in the
//! order of the lines, so that one position says how far it is (see `journal.rs`).

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use crate::cli::{admin::shown::count, api::ApiClient, command::Context, failure::Failure, server::ServerArgs};
use carrying::{Import, report};
use journal::{Journal, Progress};
use line::Format;
use source::{Input, Source};

mod bar;
mod carrying;
mod journal;
mod line;
mod refused;
mod sending;
mod source;
mod twice;

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rstuf admin --api-server URL import-artifacts --csv all.csv
  rstuf admin --api-server URL import-artifacts --jsonl all.jsonl --rejects wrong.jsonl

A line of CSV, without a header: path;size;hash-type;hash
  releases/tool-1.0.tar.gz;11342;sha256;9f86d081…0f00a08
A JSON line: {\"path\": \"a/b\", \"length\": 11342, \"hashes\": {\"sha256\": \"…\"}, \"custom\": {}}; custom can be left out.

Lines that are wrong are told and left out. Of lines with the same path the last one counts.
After any interruption run the same command again: a journal beside the first file says where it goes on.
Clients see all at once, by the publish in the end. What comes next: rstuf artifact download.")]
pub struct ImportArgs {
    /// Files with lines path;size;hash-type;hash; - is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "jsonl")]
    csv: Vec<PathBuf>,
    /// Files with a JSON object a line; - is standard input
    #[arg(long, value_name = "FILE", num_args = 1..)]
    jsonl: Vec<PathBuf>,
    /// Leave the publish to "rstuf artifact publish"
    #[arg(long)]
    skip_publish_artifacts: bool,
    /// Write refused lines here: file, line and reason as JSON lines
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The most lines of one request
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// The most requests under way at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    in_flight: u8,
    /// Where to keep how far it is; beside the first file if not given
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long to wait for each task
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    /// Not needed any more: the database is the service's own
    #[arg(long, value_name = "URI", hide = true)]
    db_uri: Option<String>,
}

impl ImportArgs {
    pub(in crate::cli) async fn run(
        self,
        server: ServerArgs,
        Context { profile, output, interview }: Context,
    ) -> Result<(), Failure> {
        interview.finish()?;
        if self.db_uri.is_some() {
            output.note("--db-uri is not needed: artifacts go through the API");
        }
        let api = server.connect(&profile)?;
        let repository = bootstrapped(&api).await?;
        let source = Source::open(self.inputs()?, self.batch as usize)?;
        let journal = self.journal();
        if journal.is_none() {
            output.note("without --journal FILE what comes from standard input can't go on after an interruption");
        }
        let before = Journal::open(journal.clone())?;
        let fresh = Progress { repository, inputs: source.identities(), ..Progress::default() };
        let progress = match begin(before, fresh) {
            Begin::With(progress) => progress,
            Begin::Done(progress) => {
                let lines = progress.lines;
                output.say(format_args!("all {lines} lines of these files were imported before; nothing is sent"));
                output.say("if they were held back, clients see them after: rstuf artifact publish");
                output.result(&report(&progress, None, Value::Null));
                return Ok(());
            }
            Begin::Not(what) => {
                let path = journal.unwrap_or_default();
                return Err(Failure::new(format_args!("the journal {} is of another import: {what}", path.display()))
                    .remedy("name another one with --journal, or remove it to import from the beginning"));
            }
        };
        if progress.lines > 0 {
            output.note(format_args!("going on after {}", count(progress.lines, "line")));
        }
        let import = Import::prepare(&self, api, journal, progress, source, output)?;
        tokio::select! {
            done = import.carry_out(self.skip_publish_artifacts) => done,
            _ = tokio::signal::ctrl_c() => Err(import.stopped()),
        }
    }

    fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let of = |paths: &[PathBuf], format| {
            paths.iter().map(move |path| Input { path: path.clone(), format }).collect::<Vec<_>>()
        };
        let inputs = [of(&self.csv, Format::Csv), of(&self.jsonl, Format::Jsonl)].concat();
        let mut met = HashSet::new();
        if let Some(twice) = inputs.iter().find(|input| !met.insert(&input.path)) {
            return Err(Failure::new(format_args!("{} is named twice", twice.name())).remedy("name it once"));
        }
        match u16::try_from(inputs.len()) {
            Ok(_) => Ok(inputs),
            Err(_) => Err(Failure::new("too many files are named").remedy("join them, or import them in parts")),
        }
    }

    /// Where the journal is; nothing is beside standard input.
    fn journal(&self) -> Option<PathBuf> {
        let first = self.csv.iter().chain(&self.jsonl).next().filter(|path| *path != Path::new("-"));
        let beside = first.map(|path| {
            let mut path = path.clone().into_os_string();
            path.push(".rstuf-import");
            PathBuf::from(path)
        });
        self.journal.clone().or(beside)
    }
}

/// The task that created the repository.
async fn bootstrapped(api: &ApiClient) -> Result<String, Failure> {
    let answer = api.get("/api/v1/bootstrap/").await?;
    if answer["data"]["bootstrap"] != true {
        let message = answer["message"].as_str().unwrap_or_default();
        return Err(Failure::new(format_args!("`import-artifacts` requires bootstrap process done. {message}"))
            .remedy("create the repository first: rstuf admin ceremony"));
    }
    Ok(answer["data"]["id"].as_str().unwrap_or_default().to_owned())
}

enum Begin {
    With(Progress),
    Done(Progress),
    Not(&'static str),
}

fn begin(before: Option<Progress>, fresh: Progress) -> Begin {
    match before {
        None => Begin::With(fresh),
        Some(before) => match (before.repository == fresh.repository, before.inputs == fresh.inputs) {
            (true, true) if before.finished => Begin::Done(before),
            (true, true) => Begin::With(before),
            _ if before.finished => Begin::With(fresh),
            (false, _) => Begin::Not("the server has another repository"),
            (true, false) => Begin::Not("the files are others, or were changed"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_goes_on_only_where_it_began() {
        let fresh = |repository: &str| Progress { repository: repository.to_owned(), ..Progress::default() };
        let interrupted = Progress { lines: 5, ..fresh("a") };
        assert!(matches!(begin(None, fresh("a")), Begin::With(progress) if progress.lines == 0));
        assert!(matches!(begin(Some(interrupted.clone()), fresh("a")), Begin::With(progress) if progress.lines == 5));
        assert!(matches!(begin(Some(interrupted.clone()), fresh("b")), Begin::Not(_)));
        let finished = Progress { finished: true, ..interrupted };
        assert!(matches!(begin(Some(finished.clone()), fresh("a")), Begin::Done(_)));
        assert!(matches!(begin(Some(finished), fresh("b")), Begin::With(progress) if progress.lines == 0));
    }
}
