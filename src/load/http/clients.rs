//! The clients: each sends a request, waits for its task, and sends the next.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    api::{Answer, Api, State},
    pace::Pace,
};
use crate::load::{
    artifacts::{Artifact, Kind},
    check::{Change, Claim},
    times::Times,
    visible::{StateIndex, Watch},
};

/// The pause of a client whose request was not accepted.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// Complaints that are told.
const TOLD: usize = 5;
/// How often it is tried to see the repository after a success.
const LOOKS: usize = 3;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    /// So many requests.
    Requests(u64),
    /// As many as begin within this time.
    Time(Duration),
}

/// What the clients do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) clients: usize,
    /// Of each request.
    pub(super) artifacts: usize,
    pub(super) amount: Amount,
    /// Of the requests.
    pub(super) delete_share: f64,
    /// Of the requests.
    pub(super) check_share: f64,
    /// For each task.
    pub(super) limit: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    /// Requests that were answered with another status than 202.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Requests that had no answer.
    pub(super) unreachable: u64,
    pub(super) success: u64,
    /// Tasks that ended otherwise.
    pub(super) failed: u64,
    /// Tasks that did not end in time.
    pub(super) lost: u64,
    /// Artifacts of the tasks that succeeded.
    pub(super) artifacts: u64,
    pub(super) polls: u64,
    pub(super) failed_polls: u64,
    /// Successes that could not be held against the repository, because it could not be read.
    pub(super) unseen: u64,
    /// What the successes say.
    pub(super) claims: Vec<Claim>,
    /// What the lost tasks would have said at the end.
    pub(super) lost_claims: Vec<Claim>,
    pub(super) to_answer: Option<Times>,
    pub(super) to_success: Option<Times>,
    pub(super) first_post: Option<Instant>,
    pub(super) last_success: Option<Instant>,
    /// In words.
    pub(super) complaints: Vec<String>,
}

impl Tally {
    fn complain(&mut self, text: String) {
        if self.complaints.len() < TOLD {
            self.complaints.push(text);
        }
    }

    /// Requests that the server should have accepted and did not.
    pub(super) fn false_answers(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.unreachable
    }
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    api: Rc<Api>,
    kind: Rc<Kind>,
    watch: Rc<Watch>,
    pace: Pace,
    plan: Plan,
    begin: Instant,
    begun: Cell<u64>,
    tally: RefCell<Tally>,
}

/// A request that was accepted.
struct Sent {
    task: String,
    change: Change,
    artifacts: Vec<Artifact>,
    posted: Instant,
    before: Option<StateIndex>,
}

/// How the wait for a task ended.
enum End {
    /// With a success that was read at this time.
    Success(Instant),
    Failed,
    Lost,
}

impl Clients {
    pub(super) fn new(api: Rc<Api>, kind: Rc<Kind>, watch: Rc<Watch>, pace: Pace, plan: Plan) -> anyhow::Result<Self> {
        let tally = Tally { to_answer: Some(Times::new()?), to_success: Some(Times::new()?), ..Tally::default() };
        let (begin, begun, tally) = (Instant::now(), Cell::new(0), RefCell::new(tally));
        Ok(Self { api, kind, watch, pace, plan, begin, begun, tally })
    }

    pub(super) fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    /// What came of it.
    pub(super) fn tally(&self) -> Tally {
        self.tally.take()
    }

    /// How far it is, in a line.
    pub(super) fn progress(&self) -> String {
        let tally = self.tally.borrow();
        format!(
            "{} accepted, {} false answers, {} SUCCESS, {} ended otherwise, {} lost",
            tally.accepted,
            tally.false_answers(),
            tally.success,
            tally.failed,
            tally.lost
        )
    }

    /// Does all that is to be done.
    pub(super) async fn work(&self) {
        join_all((0..self.plan.clients).map(|_| self.client())).await;
        // What did not end may be visible all the same.
        if let Ok(Some(last)) = self.watch.look().await {
            self.tally.borrow_mut().lost_claims.iter_mut().for_each(|claim| claim.told = last);
        }
    }

    fn goes_on(&self) -> bool {
        let begun = self.begun.get();
        self.begun.set(begun + 1);
        match self.plan.amount {
            Amount::Requests(requests) => begun < requests,
            Amount::Time(time) => self.begin.elapsed() < time,
        }
    }

    async fn client(&self) {
        let mut removable: Vec<Vec<Artifact>> = Vec::new();
        while self.goes_on() {
            let removes = fastrand::f64() < self.plan.delete_share;
            let (change, artifacts) = match removable.pop().filter(|_| removes) {
                Some(artifacts) => (Change::Removed, artifacts),
                None => (Change::Added, (0..self.plan.artifacts).map(|_| Artifact::fresh()).collect()),
            };
            let Some(sent) = self.send(change, artifacts).await else {
                tokio::time::sleep(AFTER_REFUSAL).await;
                continue;
            };
            let end = self.wait(&sent).await;
            if matches!(end, End::Success(_)) && change == Change::Added {
                removable = vec![sent.artifacts.clone()];
            }
            self.note(sent, end).await;
        }
    }

    async fn send(&self, change: Change, artifacts: Vec<Artifact>) -> Option<Sent> {
        let (path, body) = match change {
            Change::Added => ("/artifacts/", self.kind.addition(&artifacts)),
            Change::Removed => ("/artifacts/delete", self.kind.removal(&artifacts)),
        };
        let before = self.watch.newest();
        let posted = Instant::now();
        self.tally.borrow_mut().first_post.get_or_insert(posted);
        let answer = self.api.post(path, body).await;
        let mut tally = self.tally.borrow_mut();
        match answer {
            Answer::Accepted(task) => {
                tally.accepted += 1;
                tally.to_answer.iter_mut().for_each(|times| times.record(posted.elapsed()));
                return Some(Sent { task, change, artifacts, posted, before });
            }
            Answer::Refused(status, text) => {
                *tally.refused.entry(status.as_u16()).or_default() += 1;
                tally.complain(format!("{path} is answered with {status}: {text}"));
            }
            Answer::Unreachable(error) => {
                tally.unreachable += 1;
                tally.complain(format!("{path} is not answered: {error}"));
            }
        }
        None
    }

    async fn wait(&self, sent: &Sent) -> End {
        loop {
            tokio::time::sleep(self.pace.pause(sent.posted.elapsed())).await;
            let state = self.api.state(&sent.task).await;
            let now = Instant::now();
            self.tally.borrow_mut().polls += 1;
            match state {
                Ok(State::Success) => {
                    self.pace.learn(now - sent.posted);
                    return End::Success(now);
                }
                Ok(State::Failed(text)) => {
                    self.tally.borrow_mut().complain(format!("task {} ended with {text}", sent.task));
                    return End::Failed;
                }
                Ok(State::Waiting) => {}
                Err(error) => {
                    let mut tally = self.tally.borrow_mut();
                    tally.failed_polls += 1;
                    tally.complain(format!("{error:#}"));
                }
            }
            if now - sent.posted > self.plan.limit {
                self.tally.borrow_mut().complain(format!("task {} does not end", sent.task));
                return End::Lost;
            }
        }
    }

    async fn note(&self, sent: Sent, end: End) {
        // The look begins after the success was read: it is what a client sees that believes it.
        let told = match end {
            End::Success(_) if self.is_checked() => self.look().await,
            _ => None,
        };
        let Sent { change, artifacts, posted, before, .. } = sent;
        let mut tally = self.tally.borrow_mut();
        match end {
            End::Success(at) => {
                tally.success += 1;
                tally.artifacts += artifacts.len() as u64;
                tally.to_success.iter_mut().for_each(|times| times.record(at - posted));
                tally.last_success = tally.last_success.max(Some(at));
                match told {
                    Some(told) => tally.claims.push(Claim { change, artifacts, posted, before, told }),
                    None => tally.unseen += 1,
                }
            }
            End::Failed => tally.failed += 1,
            End::Lost => {
                tally.lost += 1;
                tally.lost_claims.push(Claim { change, artifacts, posted, before, told: 0 });
            }
        }
    }

    fn is_checked(&self) -> bool {
        self.plan.check_share >= 1.0 || fastrand::f64() < self.plan.check_share
    }

    async fn look(&self) -> Option<StateIndex> {
        for _ in 0..LOOKS {
            if let Ok(seen) = self.watch.look().await {
                return seen;
            }
        }
        None
    }
}
