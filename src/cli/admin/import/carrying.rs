//! An import that is under way: batches are read, sent, and settled in their order.

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use super::{
    ImportArgs,
    bar::Bar,
    journal::{Journal, Progress},
    line::Place,
    refused::{self, Book, Refused},
    sending::{Pressure, Sender},
    source::{Batch, Position, Source},
    twice::{self, Seen, Twice},
};
use crate::cli::{
    admin::shown::count,
    api::{ApiClient, waiting::success},
    failure::Failure,
    output::Output,
};

/// An import that is under way.
pub(super) struct Import {
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
    /// Opens all that it needs, and skips what an earlier run has settled.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub(super) fn prepare(
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

    /// Does all of it.
    ///
    /// # Errors
    /// Why it can't go on now, or that lines were refused.
    pub(super) async fn carry_out(&self, skip_publish: bool) -> Result<(), Failure> {
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
            refused => Err(Failure::new(format_args!("{refused} of {} refused", count(progress.lines, "line")))
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
            while underway.front().is_some_and(|batch| batch.is_sent)
                && let Some(batch) = underway.pop_front()
            {
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
        let artifacts = count(progress.accepted - replaced, "artifact");
        say(format_args!("{}, {artifacts}", count(progress.lines, "line")));
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
    pub(super) fn stopped(&self) -> Failure {
        self.bar.finish();
        let journal = self.sender.journal.borrow();
        let failure = Failure::new(format_args!("stopped after {}", count(journal.progress.lines, "line")));
        failure.remedy("run the same command again: it goes on from there")
    }
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::new(format_args!("can't write beside the journal: {error}"))
        .remedy("name a place for it with --journal, then run the same command again")
}

/// As JSON.
pub(super) fn report(progress: &Progress, twice: Option<&Twice>, publish: Value) -> Value {
    json!({
        "lines": progress.lines,
        "accepted": progress.accepted,
        "replaced": twice.map(|twice| twice.replaced),
        "refused": progress.refused(),
        "reasons": progress.refused,
        "publish": publish,
    })
}
