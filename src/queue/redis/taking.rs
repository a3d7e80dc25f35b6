//! Taking messages so that they are lost with nobody.
//!
//! The layout, after the prefix:
//!
//! | key | what it is |
//! |---|---|
//! | `metadata_repository`, `rstuf_internals` | lists of kombu: producers push left, consumers pop right |
//! | `rstuf:workers` | sorted set: workers by the end of their lease, in milliseconds of Redis's clock |
//! | `rstuf:taken:WORKER` | hash: `NUMBER QUEUE ATTEMPTS` → what the worker has and has not settled; to forget one costs nothing of its size |
//! | `rstuf:inbox:WORKER:QUEUE` | list: what a blocked pop of the worker got, until it takes it |
//! | `rstuf:returned:QUEUE` | list: `ATTEMPTS:` and what a worker without a lease had; taken before all else |
//! | `rstuf_dead_letters` | list: what was put aside, with the reason |
//!
//! A worker renews its lease all the time. Every worker gives back what others have whose lease has ended, in the step
//! that looks at the leases. So a worker that was paused can't take under its old name any more: it begins anew under another,
//! and settles of before find nothing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Client, RedisResult, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, watch},
    time::{interval, sleep, timeout},
};

use super::{
    RedisOptions,
    commands::{Commands, connect, unavailable},
    scripts,
};
use crate::{
    queue::{
        QueueError, RECEIVED_BYTES,
        here::{Held, Here},
        link::back_off,
    },
    task::TaskId,
};

/// How long a pop blocks: so long a message may be held for a worker that wants nothing any more.
const BLOCK: Duration = Duration::from_secs(1);
/// What a server may take longer than that to answer.
const GRACE: Duration = Duration::from_secs(5);
/// Messages of unknown whereabouts that are fetched at once.
const FETCHED: usize = 16;

/// A message and its field among what is taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) field: String,
    pub(super) bytes: Vec<u8>,
}

impl Taken {
    /// The queue that it was taken from.
    pub(super) fn queue<'a>(&self, queues: [&'a str; 2]) -> &'a str {
        match self.field.split(' ').nth(1) {
            Some("2") => queues[1],
            _ => queues[0],
        }
    }

    fn attempts(&self) -> u32 {
        self.field.rsplit(' ').next().and_then(|attempts| attempts.parse().ok()).unwrap_or_default()
    }
}

/// What one worker has, and how it gets more.
pub(super) struct Taking {
    client: Client,
    pub(super) options: RedisOptions,
    pub(super) commands: Commands,
    state: Mutex<State>,
    /// Told whenever something became ready or got a time.
    pub(super) changed: Notify,
    /// Told whenever there may be something to take, or somebody wants it.
    pub(super) asked: Notify,
    /// Whether somebody waits and the queues were found empty.
    hungry: watch::Sender<bool>,
}

pub(super) struct State {
    /// The name under which this takes; a new one after each loss of the lease.
    pub(super) worker: String,
    joined: bool,
    pub(super) here: Here<Taken>,
    /// How many deliveries the waiting receivers would take.
    pub(super) wanted: usize,
    /// Settled, and not known to be forgotten by Redis.
    settled: Vec<String>,
    last_number: u64,
    /// Whether an answer was lost, so that Redis may have given what is not here.
    doubtful: bool,
}

impl Taking {
    pub(super) fn new(client: Client, options: RedisOptions) -> Self {
        let state = State {
            worker: TaskId::random().to_string(),
            joined: false,
            here: Here::default(),
            wanted: 0,
            settled: Vec::new(),
            last_number: 0,
            doubtful: false,
        };
        Self {
            commands: Commands::new(client.clone(), options.limit),
            client,
            options,
            state: Mutex::new(state),
            changed: Notify::new(),
            asked: Notify::new(),
            hungry: watch::channel(false).0,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}rstuf:{name}", self.options.queues.prefix())
    }

    fn inbox(&self, worker: &str, queue: usize) -> String {
        self.key(&format!("inbox:{worker}:{queue}"))
    }

    /// The lists in which messages wait that nobody has.
    pub(super) fn waiting(&self) -> [String; 6] {
        let worker = self.state().worker.clone();
        let [tasks, internals] = self.options.queues.consumed().map(str::to_owned);
        let returned = [1, 2].map(|queue| self.key(&format!("returned:{queue}")));
        let [first, second] = returned;
        [tasks, internals, first, second, self.inbox(&worker, 1), self.inbox(&worker, 2)]
    }

    /// Takes whenever somebody waits and nothing is ready.
    pub(super) async fn take_for_ever(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            let wanted = {
                let state = self.state();
                if state.here.any_ready() { 0 } else { state.wanted }
            };
            if wanted == 0 {
                self.hungry.send_replace(false);
                self.asked.notified().await;
                continue;
            }
            match self.take(wanted).await {
                Ok(true) => {
                    failures = 0;
                    self.changed.notify_waiters();
                }
                Ok(false) => {
                    failures = 0;
                    self.hungry.send_replace(true);
                    // What another worker gave back does not wake this one.
                    let _ = timeout(BLOCK, self.asked.notified()).await;
                }
                Err(QueueError(cause)) => {
                    tracing::warn!(cause, "no messages can be taken");
                    self.state().doubtful = true;
                    sleep(back_off(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// Takes up to `most` messages; says whether there were any.
    async fn take(&self, most: usize) -> Result<bool, QueueError> {
        if !self.state().joined {
            self.join().await?;
        }
        if self.state().doubtful {
            return self.find().await;
        }
        let (worker, last_number) = {
            let mut state = self.state();
            let last = state.last_number;
            state.last_number += most as u64;
            (state.worker.clone(), last)
        };
        let [tasks, internals, first, second, inbox, other_inbox] = self.waiting();
        let keys = [self.key("workers"), self.key(&format!("taken:{worker}")), inbox, other_inbox];
        let keys: Vec<_> = keys.into_iter().chain([first, second, tasks, internals]).collect();
        let lease = millis(self.options.lease);
        let answer: Option<Vec<(String, Vec<u8>)>> = self
            .commands
            .once(async |mut connection: MultiplexedConnection| {
                let mut script = scripts::TAKE.prepare_invoke();
                script.key(&keys).arg(&worker).arg(lease).arg(most).arg(RECEIVED_BYTES).arg(last_number);
                script.invoke_async(&mut connection).await
            })
            .await?;
        let Some(answer) = answer else {
            self.lose(&worker);
            return Ok(false);
        };
        Ok(self.keep(answer))
    }

    /// Looks for what Redis gave and the answer that brought it was lost.
    async fn find(&self) -> Result<bool, QueueError> {
        let worker = self.state().worker.clone();
        let taken = self.key(&format!("taken:{worker}"));
        let fields: Vec<String> = self
            .commands
            .run(async |mut c: MultiplexedConnection| cmd("hkeys").arg(&taken).query_async(&mut c).await)
            .await?;
        let unknown: Vec<_> = {
            let mut state = self.state();
            let known: std::collections::HashSet<_> =
                state.here.messages().map(|taken| &taken.field).chain(&state.settled).cloned().collect();
            let unknown = fields.into_iter().filter(|field| !known.contains(field)).take(FETCHED).collect::<Vec<_>>();
            state.doubtful = !unknown.is_empty();
            unknown
        };
        if unknown.is_empty() {
            return Ok(true);
        }
        let mut found = Vec::new();
        for field in unknown {
            let get =
                async |mut c: MultiplexedConnection| cmd("hget").arg(&taken).arg(&field).query_async(&mut c).await;
            let message: Option<Vec<u8>> = self.commands.run(get).await?;
            found.extend(message.map(|bytes| (field, bytes)));
        }
        Ok(self.keep(found))
    }

    fn keep(&self, messages: Vec<(String, Vec<u8>)>) -> bool {
        let mut state = self.state();
        let any = !messages.is_empty();
        for (field, bytes) in messages {
            let taken = Taken { field, bytes };
            let attempts = taken.attempts();
            state.here.add(taken, attempts);
        }
        any
    }

    /// Begins anew: what was here is with others by now, or with nobody if Redis has lost it.
    fn lose(&self, worker: &str) {
        let mut state = self.state();
        if state.joined && state.worker == worker {
            tracing::warn!(worker, "the lease was lost; what was taken under it is delivered again");
            state.joined = false;
            state.worker = TaskId::random().to_string();
            state.here.clear();
            state.settled.clear();
        }
    }

    async fn join(&self) -> Result<(), QueueError> {
        let worker = self.state().worker.clone();
        self.commands.run(async |connection| self.tend(connection, &worker, "join").await).await?;
        self.state().joined = true;
        Ok(())
    }

    /// Runs [`scripts::TEND`]; says whether the worker has a lease.
    async fn tend(&self, mut connection: MultiplexedConnection, worker: &str, wish: &str) -> RedisResult<bool> {
        let mut script = scripts::TEND.prepare_invoke();
        script.key(self.key("workers")).arg(worker).arg(millis(self.options.lease)).arg(wish);
        script.arg(self.key("")).arg(self.options.queues.consumed().as_slice());
        let (mine, given_back): (u32, u32) = script.invoke_async(&mut connection).await?;
        if given_back > 0 {
            tracing::info!(given_back, "messages of a worker that is gone are delivered again");
            self.asked.notify_one();
        }
        Ok(mine == 1)
    }

    /// Renews the lease, on a connection of its own: the answers on the other may be large.
    pub(super) async fn renew_for_ever(self: Arc<Self>) {
        let heart = Commands::new(self.client.clone(), self.options.lease / 4);
        let mut interval = interval(self.options.lease / 4);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let (worker, joined) = {
                let state = self.state();
                (state.worker.clone(), state.joined)
            };
            match heart.run(async |connection| self.tend(connection, &worker, "renew").await).await {
                Ok(true) => {}
                Ok(false) if joined => {
                    self.lose(&worker);
                    self.changed.notify_waiters();
                    self.asked.notify_one();
                }
                Ok(false) => {}
                Err(QueueError(cause)) => tracing::warn!(cause, "the lease can't be renewed"),
            }
            // What a settle could not have forgotten is tried again; the next one says what is wrong.
            let _ = self.forget().await;
        }
    }

    /// Ends the lease, so that others need not wait for its end.
    pub(super) async fn leave(self: Arc<Self>) {
        let worker = self.state().worker.clone();
        if let Err(QueueError(cause)) = self.commands.run(async |c| self.tend(c, &worker, "leave").await).await {
            tracing::warn!(cause, "the lease can't be ended; it runs out");
        }
    }

    /// Waits in Redis for a message in a queue while somebody waits for one here.
    pub(super) async fn watch_for_ever(self: Arc<Self>, queue: usize) {
        let mut hungry = self.hungry.subscribe();
        let source = self.options.queues.consumed()[queue - 1].to_owned();
        let mut connection = None;
        let mut failures = 0;
        loop {
            if hungry.wait_for(|hungry| *hungry).await.is_err() {
                return;
            }
            let inbox = self.inbox(&self.state().worker, queue);
            let moved = async {
                let connection = match &mut connection {
                    Some(connection) => connection,
                    None => connection.insert(connect(&self.client, BLOCK + GRACE).await?),
                };
                let mut blocked = cmd("blmove");
                blocked.arg(&source).arg(inbox).arg("right").arg("left").arg(BLOCK.as_secs_f64());
                blocked.query_async::<Option<Vec<u8>>>(connection).await.map_err(unavailable)
            };
            match moved.await {
                Ok(None) => failures = 0,
                Ok(Some(_)) => {
                    failures = 0;
                    self.hungry.send_replace(false);
                    self.asked.notify_one();
                }
                Err(QueueError(cause)) => {
                    tracing::debug!(cause, "no message can be waited for");
                    connection = None;
                    sleep(back_off(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// What a settle has acknowledged.
    pub(super) fn acknowledge(state: &mut State, held: Held<Taken>) {
        state.settled.push(held.message.field);
    }

    /// Has Redis forget what is settled. It is kept in mind until that is known.
    pub(super) async fn forget(&self) -> Result<(), QueueError> {
        let (worker, settled) = {
            let state = self.state();
            (state.worker.clone(), state.settled.clone())
        };
        if settled.is_empty() {
            return Ok(());
        }
        let taken = self.key(&format!("taken:{worker}"));
        let forget = async |mut c: MultiplexedConnection| {
            cmd("hdel").arg(&taken).arg(settled.as_slice()).query_async::<()>(&mut c).await
        };
        self.commands.run(forget).await?;
        let settled: std::collections::HashSet<_> = settled.into_iter().collect();
        self.state().settled.retain(|field| !settled.contains(field));
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
