//! `rstuf admin import-artifacts`: millions of artifacts from files, through the API.
//!
//! Batches of lines are sent with `publish_artifacts: false`, several at once, and one publish comes in the end. Of two lines with the same
//! path the later one counts: a batch waits as long as one with a path of its is under way. Batches are settled in the
//! order of the lines, so that one position says how far it is (see [`journal`]).

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use crate::cli::{
    api::{ApiClient, waiting::success},
    command::Context,
    failure::Failure,
    output::Output,
    server::ServerArgs,
};
use bar::Bar;
use journal::{Journal, Progress};
use line::{Format, Place};
use refused::{Book, Refused};
use sending::{Pressure, Sender};
use source::{Batch, Input, Position, Source};
use twice::{Seen, Twice};

mod bar;
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
            output.note(format_args!("going on after {} lines", progress.lines));
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

/// An import that is under way.
struct Import {
    sender: Rc<Sender>,
    lines: RefCell<Lines>,
    output: Output,
    bar: Bar,
}

/// What is done with lines besides sending them.
struct Lines {
    /// Away while it reads.
    source: Option<Source>,
    book: Book,
    /// `None` when it is not known any more.
    seen: Option<Seen>,
}

/// A batch that was sent, until all before it are settled too.
struct Underway {
    number: u64,
    lines: u64,
    end: Position,
    marks: Vec<(u64, Place)>,
    refused: Vec<Refused>,
    is_sent: bool,
}

impl Import {
    fn prepare(
        args: &ImportArgs,
        api: ApiClient,
        journal: Option<PathBuf>,
        progress: Progress,
        mut source: Source,
        output: Output,
    ) -> Result<Self, Failure> {
        let names = source.names();
        let book = Book::open(args.rejects.as_deref(), progress.rejects_bytes, names, output)?;
        let beside = journal.as_ref().map(|path| path.with_added_extension("seen"));
        let seen = Seen::open(beside.as_deref(), progress.accepted).map_err(unwritable)?;
        let bar = Bar::new(source.bytes(), source.bytes_before(progress.settled), progress.lines);
        source.skip_to(progress.settled)?;
        let journal = Journal::of(journal, progress);
        journal.save()?;
        let sender = Sender {
            api,
            journal: RefCell::new(journal),
            pressure: Pressure::new(args.in_flight.into()),
            task_limit: Duration::from_secs(args.timeout),
        };
        let lines = Lines { source: Some(source), book, seen };
        Ok(Self { sender: Rc::new(sender), lines: RefCell::new(lines), output, bar })
    }

    async fn carry_out(&self, skip_publish: bool) -> Result<(), Failure> {
        self.settle_tasks().await?;
        self.send_all().await?;
        self.bar.finish();
        let result = match skip_publish {
            true => Value::Null,
            false => self.publish().await?,
        };
        let twice = self.twice();
        let mut journal = self.sender.journal.borrow_mut();
        journal.progress.finished = true;
        journal.progress.in_flight.clear();
        journal.save()?;
        let progress = &journal.progress;
        self.tell(progress, twice.as_ref(), skip_publish);
        self.output.result(&report(progress, twice.as_ref(), result));
        match progress.refused() {
            0 => Ok(()),
            refused => Err(Failure::new(format_args!("{refused} of {} lines were refused", progress.lines))
                .remedy("put them right in a file of their own, and import that; all others are there")),
        }
    }

    /// Waits for the tasks of a run that was interrupted: what they hold must not come after what is sent now.
    async fn settle_tasks(&self) -> Result<(), Failure> {
        let tasks = std::mem::take(&mut self.sender.journal.borrow_mut().progress.in_flight);
        for task in &tasks {
            self.sender.api.until_ended(task, self.sender.task_limit, |_| {}).await?;
        }
        Ok(())
    }

    async fn send_all(&self) -> Result<(), Failure> {
        let mut sending: JoinSet<(u64, Result<Vec<Refused>, Failure>)> = JoinSet::new();
        let mut underway: VecDeque<Underway> = VecDeque::new();
        let mut paths: HashSet<u64> = HashSet::new();
        let mut number = 0;
        let mut next = self.read().await?;
        while next.is_some() || !sending.is_empty() {
            let fits = next.as_ref().is_some_and(|(_, marks)| {
                sending.len() < self.sender.pressure.allowed() && marks.iter().all(|(path, _)| !paths.contains(path))
            });
            if let Some((Batch { entries, refused, lines, end }, marks)) = next.take_if(|_| fits) {
                paths.extend(marks.iter().map(|(path, _)| *path));
                underway.push_back(Underway { number, lines, end, marks, refused, is_sent: false });
                let sender = self.sender.clone();
                sending.spawn_local(async move { (number, sender.send(entries).await) });
                number += 1;
                next = self.read().await?;
                continue;
            }
            let Some(sent) = sending.join_next().await else { continue };
            let (number, refused) = sent.map_err(|error| Failure::new(format_args!("sending broke: {error}")))?;
            if let Some(batch) = underway.iter_mut().find(|batch| batch.number == number) {
                batch.refused.extend(refused?);
                batch.is_sent = true;
                for (path, _) in &batch.marks {
                    paths.remove(path);
                }
            }
            while let Some(batch) = underway.pop_front_if(|batch| batch.is_sent) {
                self.settle(batch)?;
            }
        }
        Ok(())
    }

    /// Reads the next batch, away from the thread that talks to the server.
    async fn read(&self) -> Result<Option<(Batch, Vec<(u64, Place)>)>, Failure> {
        let Some(mut source) = self.lines.borrow_mut().source.take() else { return Ok(None) };
        let read = spawn_blocking(move || {
            let batch = source.batch()?;
            Ok::<_, Failure>((source, batch.map(|batch| (twice::marks(&batch.entries), batch))))
        });
        let (source, batch) = read.await.map_err(|error| Failure::new(format_args!("reading broke: {error}")))??;
        self.lines.borrow_mut().source = Some(source);
        Ok(batch.map(|(marks, batch)| (batch, marks)))
    }

    /// Notes a batch before which all is settled. First what the journal then speaks of, then the journal.
    fn settle(&self, mut batch: Underway) -> Result<(), Failure> {
        let mut lines = self.lines.borrow_mut();
        batch.refused.sort_by_key(|refused| refused.place);
        self.bar.aside(|| lines.book.write(&batch.refused))?;
        let refused: HashSet<_> = batch.refused.iter().map(|refused| refused.place).collect();
        batch.marks.retain(|(_, place)| !refused.contains(place));
        if let Some(seen) = &mut lines.seen {
            seen.note(&batch.marks).map_err(unwritable)?;
        }
        let mut journal = self.sender.journal.borrow_mut();
        let progress = &mut journal.progress;
        progress.settled = batch.end;
        progress.lines += batch.lines;
        progress.accepted += batch.marks.len() as u64;
        refused::count(&mut progress.refused, &batch.refused);
        progress.rejects_bytes = lines.book.bytes();
        if let Some(source) = &lines.source {
            self.bar.show(source.bytes_before(batch.end), progress.lines);
        }
        journal.save()
    }

    /// Makes clients see all of it.
    async fn publish(&self) -> Result<Value, Failure> {
        self.output.say("publishing");
        let api = &self.sender.api;
        let task = api.submit("/api/v1/artifacts/publish/", &Value::Null).await?;
        let data = api.until_ended(&task, self.sender.task_limit, |_| {}).await?;
        let again = "all lines are held back by the server; when that is put right: rstuf artifact publish --wait";
        success(&data).map_err(|failure| failure.remedy(again))?;
        Ok(data)
    }

    fn twice(&self) -> Option<Twice> {
        self.lines.borrow_mut().seen.as_mut()?.twice().ok()
    }

    fn tell(&self, progress: &Progress, twice: Option<&Twice>, skip_publish: bool) {
        let say = |line: std::fmt::Arguments<'_>| self.output.say(line);
        let replaced = twice.map_or(0, |twice| twice.replaced);
        say(format_args!("{} lines, {} artifacts", progress.lines, progress.accepted - replaced));
        if let Some(twice) = twice.filter(|twice| twice.replaced > 0) {
            say(format_args!("{replaced} lines have a path that a later line has too; the last one counts"));
            let names = self.lines.borrow().source.as_ref().map(Source::names).unwrap_or_default();
            let at = |place: &Place| format!("{}:{}", names[usize::from(place.file)], place.line);
            for (first, last) in &twice.examples {
                say(format_args!("  {} is replaced by {}", at(first), at(last)));
            }
        }
        for (why, count) in &progress.refused {
            say(format_args!("{count} refused: {why}"));
        }
        match skip_publish {
            true => say(format_args!("held back; clients see it after: rstuf artifact publish")),
            false => say(format_args!("published")),
        }
    }

    /// What is told after Ctrl-C.
    fn stopped(&self) -> Failure {
        self.bar.finish();
        let journal = self.sender.journal.borrow();
        let failure = Failure::new(format_args!("stopped after {} lines", journal.progress.lines));
        failure.remedy("run the same command again: it goes on from there")
    }
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::new(format_args!("can't write beside the journal: {error}"))
        .remedy("name a place for it with --journal, then run the same command again")
}

fn report(progress: &Progress, twice: Option<&Twice>, publish: Value) -> Value {
    json!({
        "lines": progress.lines,
        "accepted": progress.accepted,
        "replaced": twice.map(|twice| twice.replaced),
        "refused": progress.refused(),
        "reasons": progress.refused,
        "publish": publish,
    })
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
