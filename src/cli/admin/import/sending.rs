//! One batch, until the repository has each of its lines, or has refused it.
//!
//! One bad line fails a whole request. Where the server names it, it is taken out; where it does not, the request is cut in two until it
//! is alone.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;

use super::{journal::Journal, line::Entry, refused::Refused};
use crate::cli::{
    api::{ApiClient, Fault, Refusal, jittered},
    failure::Failure,
};

/// For how long a server may be away, or have no room, before the import stops.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(15);
/// So many requests in a row that fail without naming a line are not the fault of the lines.
const MOST_FAILURES: u32 = 64;

/// How many batches may be under way: half as many when the server has no room, one more when it took one.
#[derive(Debug)]
pub(super) struct Pressure {
    allowed: Cell<usize>,
    most: usize,
    failures: Cell<u32>,
}

impl Pressure {
    pub(super) fn new(most: usize) -> Self {
        Self { allowed: Cell::new(most), most, failures: Cell::new(0) }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed.get()
    }

    fn refused(&self) {
        self.allowed.set((self.allowed.get() / 2).max(1));
    }

    fn taken(&self) {
        self.allowed.set((self.allowed.get() + 1).min(self.most));
        self.failures.set(0);
    }
}

/// Who sends.
pub(super) struct Sender {
    pub(super) api: ApiClient,
    pub(super) journal: RefCell<Journal>,
    pub(super) pressure: Pressure,
    pub(super) task_limit: Duration,
}

/// What became of a task.
enum Ended {
    /// All is there, but for these paths, which no role is for.
    Added(HashSet<String>),
    /// Nothing is there, for this reason.
    Not(String),
    /// It was never done.
    Never,
}

impl Sender {
    /// Sends lines. Returns those that were refused.
    ///
    /// # Errors
    /// When the server is away for too long, or does not do what it should: then nothing is known of the rest.
    pub(super) async fn send(&self, entries: Vec<Entry>) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        // The last of these is sent first: what comes first in the files stays first.
        let mut pieces = vec![entries];
        while let Some(mut piece) = pieces.pop() {
            if piece.is_empty() {
                continue;
            }
            let why = match self.submit(&piece).await? {
                Ok(task) => match self.ended(&task).await? {
                    Ended::Added(nowhere) => {
                        self.pressure.taken();
                        refuse(&mut piece, &mut refused, |entry| {
                            let is_nowhere = nowhere.contains(&*entry.path);
                            is_nowhere.then(|| "path: no role of the repository lists it".to_owned())
                        });
                        continue;
                    }
                    Ended::Never => {
                        self.failed("tasks are revoked")?;
                        pieces.push(piece);
                        continue;
                    }
                    Ended::Not(why) => {
                        let of = |entry: &Entry| Some(why.strip_prefix(&*entry.path)?.strip_prefix(": ")?.to_owned());
                        if refuse(&mut piece, &mut refused, of) {
                            pieces.push(piece);
                            continue;
                        }
                        why
                    }
                },
                Err(Unfit::Lines(faults)) => {
                    let mut index = 0;
                    let known = refuse(&mut piece, &mut refused, |_| {
                        let why = faults.iter().find(|(at, _)| *at == index).map(|(_, why)| why.clone());
                        index += 1;
                        why
                    });
                    if known {
                        pieces.push(piece);
                        continue;
                    }
                    "the server refuses it and does not say why".to_owned()
                }
                Err(Unfit::Whole(why)) => why,
            };
            self.failed(&why)?;
            if piece.len() == 1 {
                refuse(&mut piece, &mut refused, |_| Some(why.clone()));
            } else {
                let second = piece.split_off(piece.len() / 2);
                pieces.extend([second, piece]);
            }
        }
        Ok(refused)
    }

    fn failed(&self, why: &str) -> Result<(), Failure> {
        let failures = self.pressure.failures.get() + 1;
        self.pressure.failures.set(failures);
        match failures > MOST_FAILURES {
            true => Err(Failure::new(format_args!("the server refuses whatever is sent: {why}"))
                .remedy("put that right, then run the same command again: it goes on")),
            false => Ok(()),
        }
    }

    /// Submits a request until it is accepted or found to be unfit.
    async fn submit(&self, piece: &[Entry]) -> Result<Result<String, Unfit>, Failure> {
        let body = body(piece);
        let mut since = None;
        let mut rest = FIRST_REST;
        loop {
            match self.api.try_submit(Method::POST, "/api/v1/artifacts/", body.clone()).await {
                Ok(task) => {
                    let mut journal = self.journal.borrow_mut();
                    journal.progress.in_flight.insert(task.clone());
                    journal.save()?;
                    return Ok(Ok(task));
                }
                Err(Refusal { fault: Fault::Invalid(faults), .. }) => return Ok(Err(unfit(&faults))),
                Err(Refusal { fault: Fault::TooLarge, failure }) => return Ok(Err(Unfit::Whole(failure.cause))),
                Err(refusal) if matches!(refusal.fault, Fault::Busy(_) | Fault::Unreachable) => {
                    self.pressure.refused();
                    let pause = refusal.rest().unwrap_or(rest).min(LONGEST_REST);
                    if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(
                            Failure::from(refusal).remedy("run the same command again when it is there: it goes on")
                        );
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    rest = (rest * 2).min(LONGEST_REST);
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    async fn ended(&self, task: &str) -> Result<Ended, Failure> {
        let data = self.api.until_ended(task, self.task_limit, |_| {}).await.map_err(|Failure { cause, .. }| {
            Failure::new(cause).remedy("when that is put right, run the same command again: it goes on")
        })?;
        self.journal.borrow_mut().progress.in_flight.remove(task);
        let result = &data["result"];
        let why = || result["error"].as_str().or(result["message"].as_str()).unwrap_or("it is not said why").to_owned();
        Ok(match data["state"].as_str() {
            Some("SUCCESS") if result["status"] != false => {
                let nowhere = result["details"]["invalid_paths"].as_array().into_iter().flatten();
                Ended::Added(nowhere.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some("REVOKED") => Ended::Never,
            _ => Ended::Not(why()),
        })
    }
}

/// A request that is not accepted.
enum Unfit {
    /// Because of these lines, by their place in it.
    Lines(Vec<(usize, String)>),
    /// As it is.
    Whole(String),
}

/// Faults by line; where one is about no line, the request as a whole.
fn unfit(faults: &[(Vec<Value>, String)]) -> Unfit {
    let line = |(place, why): &(Vec<Value>, String)| {
        let at = place.get(2)?.as_u64()?;
        let fields: Vec<_> = place[3..].iter().filter_map(Value::as_str).filter(|name| *name != "info").collect();
        let why = if fields.is_empty() { why.clone() } else { format!("{}: {why}", fields.join(".")) };
        Some((usize::try_from(at).ok()?, why))
    };
    match faults.iter().map(line).collect::<Option<Vec<_>>>() {
        Some(lines) if !lines.is_empty() => Unfit::Lines(lines),
        _ => Unfit::Whole(faults.first().map_or_else(|| "it is not said why".to_owned(), |(_, why)| why.clone())),
    }
}

/// Takes the lines out for which `why` has a reason. Whether there were any.
fn refuse(piece: &mut Vec<Entry>, refused: &mut Vec<Refused>, mut why: impl FnMut(&Entry) -> Option<String>) -> bool {
    let before = refused.len();
    piece.retain(|entry| match why(entry) {
        Some(why) => {
            refused.push(Refused { place: entry.place, why });
            false
        }
        None => true,
    });
    refused.len() > before
}

fn body(piece: &[Entry]) -> String {
    let artifacts: Vec<_> = piece.iter().map(|entry| &*entry.json).collect();
    format!("{{\"artifacts\":[{}],\"add_task_id_to_custom\":false,\"publish_artifacts\":false}}", artifacts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::line::Place, *};

    fn entry(line: u64) -> Entry {
        Entry { place: Place { file: 0, line }, path: line.to_string().into(), json: "{}".into() }
    }

    #[test]
    fn faults_are_those_of_lines_or_of_the_request() {
        let at = |place: Value| (place.as_array().cloned().unwrap_or_default(), "why".to_owned());
        let of_line = at(json!(["body", "artifacts", 7, "info", "hashes", "sha256"]));
        assert!(matches!(unfit(std::slice::from_ref(&of_line)), Unfit::Lines(lines)
            if lines == [(7, "hashes.sha256: why".to_owned())]));
        assert!(matches!(unfit(&[of_line, at(json!(["body", "artifacts"]))]), Unfit::Whole(_)));
        assert!(matches!(unfit(&[]), Unfit::Whole(_)));
    }

    #[test]
    fn refused_lines_are_taken_out() {
        let mut piece = vec![entry(1), entry(2), entry(3)];
        let mut refused = Vec::new();
        let even = |entry: &Entry| (entry.place.line.is_multiple_of(2)).then(|| "even".to_owned());
        assert!(refuse(&mut piece, &mut refused, even));
        assert!(!refuse(&mut piece, &mut refused, even));
        assert_eq!((piece.len(), refused.len(), refused[0].place.line), (2, 1, 2));
        let sent: Value = serde_json::from_str(&body(&piece)).expect("JSON");
        assert_eq!(sent["artifacts"], json!([{}, {}]));
        assert_eq!(sent["publish_artifacts"], false);
    }

    #[test]
    fn a_server_without_room_gets_less_at_once() {
        let pressure = Pressure::new(4);
        pressure.refused();
        pressure.refused();
        pressure.refused();
        assert_eq!(pressure.allowed(), 1);
        (0..9).for_each(|_| pressure.taken());
        assert_eq!(pressure.allowed(), 4);
    }
}
