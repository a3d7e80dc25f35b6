//! The queue in Redis, with the lists and the envelope of Celery's transport.
//!
//! What waits in Redis is as durable as Redis is: for the promise of [`publish`](Broker::publish) it has to run with `appendonly yes`, and with
//! `appendfsync always` if a power cut is to lose nothing (`everysec` may lose a second of it). A server that was restarted
//! empty is no error; what it has lost is not delivered.
//!
//! Needs Redis 6.2. The head of `taking.rs` has the layout of the keys, and how a message is never lost with its worker.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::redis::{Client, aio::MultiplexedConnection, cmd, pipe};
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{sleep, sleep_until},
};

use crate::{
    clock::Clock,
    queue::{
        Broker, Delivery, QueueError, Role, Tag, Verdict,
        celery::{LARGEST_MESSAGE, Sender},
        here::Held,
        routing::Queues,
    },
    task::{Job, TaskId},
};

mod commands;
mod envelope;
mod scripts;
mod taking;

use taking::{Taken, Taking};

/// When a delivery that could not be put aside is handed out again.
const REJECT_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait of a receiver before it looks again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a Redis is used as a broker.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The names of the queues.
    pub queues: Queues,
    /// How long a worker that says nothing keeps what it has taken.
    pub lease: Duration,
    /// How long a publish or another command may take, with everything that has to be done anew for it.
    pub limit: Duration,
    /// The largest message that is read, in bytes.
    pub largest_message: usize,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            queues: Queues::default(),
            lease: Duration::from_secs(10),
            limit: Duration::from_secs(5),
            largest_message: LARGEST_MESSAGE,
        }
    }
}

/// A [`Broker`] in Redis.
pub struct RedisBroker {
    role: Role,
    clock: Clock,
    sender: Sender,
    taking: Arc<Taking>,
    tasks: OnceLock<Vec<AbortHandle>>,
}

impl RedisBroker {
    /// A broker that connects when it is first used, on the tokio runtime that uses it.
    pub fn new(client: Client, options: RedisOptions, role: Role, clock: Clock) -> Self {
        let taking = Arc::new(Taking::new(client, options));
        Self { role, clock, sender: Sender::default(), taking, tasks: OnceLock::new() }
    }

    fn consume(&self) -> Result<(), QueueError> {
        if self.role == Role::Publisher {
            return Err(QueueError("this instance only publishes".into()));
        }
        self.tasks.get_or_init(|| {
            let taking = || Arc::clone(&self.taking);
            vec![
                tokio::spawn(taking().renew_for_ever()).abort_handle(),
                tokio::spawn(taking().take_for_ever()).abort_handle(),
                tokio::spawn(taking().watch_for_ever(1)).abort_handle(),
                tokio::spawn(taking().watch_for_ever(2)).abort_handle(),
            ]
        });
        Ok(())
    }

    fn hand_out(&self, taken: Vec<Held<Taken>>) -> Vec<Delivery> {
        let limit = self.taking.options.largest_message;
        let read: Vec<_> = taken.iter().map(|held| envelope::read(&held.message.bytes, limit)).collect();
        let mut state = self.taking.state();
        let both = taken.into_iter().zip(read);
        let deliveries = both.map(|(held, reading)| {
            let attempts = held.attempts;
            reading.delivered(state.here.hand_out(held), self.clock.now(), attempts)
        });
        deliveries.collect()
    }

    /// Ends what the verdicts say, as far as it is still here; what is to be put aside.
    fn sort(&self, verdicts: Vec<(Tag, Verdict)>) -> Vec<(Unsettled<'_>, String)> {
        let mut rejected = Vec::new();
        let mut state = self.taking.state();
        for (tag, verdict) in verdicts {
            let Some(held) = state.here.settle(tag) else { continue };
            match verdict {
                Verdict::Ack => Taking::acknowledge(&mut state, held),
                Verdict::Retry(wait) => state.here.delay(held, wait),
                Verdict::Reject(reason) => {
                    let unsettled = Unsettled { taking: &self.taking, worker: state.worker.clone(), held: Some(held) };
                    rejected.push((unsettled, reason));
                }
            }
        }
        rejected
    }

    async fn put_aside(&self, mut unsettled: Unsettled<'_>, reason: String) -> Result<(), QueueError> {
        let Some(held) = &unsettled.held else { return Ok(()) };
        let queues = &self.taking.options.queues;
        let taken = self.taking.key(&format!("taken:{}", unsettled.worker));
        let Taken { field, bytes } = &held.message;
        let queue = held.message.queue(queues.consumed());
        let letter = envelope::dead_letter(bytes, &reason, queue, self.clock.now());
        let put = async |mut connection: MultiplexedConnection| {
            let mut script = scripts::PUT_ASIDE.prepare_invoke();
            script.key(&taken).key(queues.dead_letters()).arg(field).arg(&letter);
            script.invoke_async::<()>(&mut connection).await
        };
        self.taking.commands.run(put).await?;
        unsettled.held = None;
        Ok(())
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn publish(&self, id: &TaskId, job: &Job) -> Result<(), QueueError> {
        let message = self.sender.message(id, job, self.clock.now()).map_err(|e| QueueError(e.to_string()))?;
        let queue = self.taking.options.queues.of(job);
        let envelope = envelope::write(&message, queue);
        let push = async |mut connection: MultiplexedConnection| {
            cmd("lpush").arg(queue).arg(&envelope).query_async::<()>(&mut connection).await
        };
        self.taking.commands.run(push).await
    }

    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.consume()?;
        let max = max.max(1);
        loop {
            let changed = self.taking.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (taken, due) = {
                let mut state = self.taking.state();
                (state.here.take(max, |taken| taken.bytes.len()), state.here.next_due())
            };
            if !taken.is_empty() {
                // Another receiver may wait for more.
                self.taking.asked.notify_one();
                return Ok(self.hand_out(taken));
            }
            let _waiting = Waiting::new(&self.taking, max);
            match due {
                Some(due) => tokio::select! { () = changed => {}, () = sleep_until(due.into()) => {} },
                None => tokio::select! { () = changed => {}, () = sleep(LONGEST_WAIT) => {} },
            }
        }
    }

    async fn settle(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), QueueError> {
        let rejected = self.sort(verdicts);
        self.taking.changed.notify_waiters();
        let rejected = rejected.into_iter().map(|(unsettled, reason)| self.put_aside(unsettled, reason));
        let (forgotten, rejected) = futures_util::future::join(self.taking.forget(), join_all(rejected)).await;
        forgotten.and(rejected.into_iter().collect())
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        let lists = self.taking.waiting();
        let ask = async |mut connection: MultiplexedConnection| {
            let mut lengths = pipe();
            for list in &lists {
                lengths.cmd("llen").arg(list);
            }
            lengths.query_async::<Vec<u64>>(&mut connection).await
        };
        Ok(self.taking.commands.run(ask).await?.into_iter().sum())
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        let Some(tasks) = self.tasks.get() else { return };
        for task in tasks {
            task.abort();
        }
        // Without a runtime, or if it ends first, the lease runs out.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(Arc::clone(&self.taking).leave());
        }
    }
}

/// A receiver that waits.
struct Waiting<'a> {
    taking: &'a Taking,
    max: usize,
}

impl<'a> Waiting<'a> {
    fn new(taking: &'a Taking, max: usize) -> Self {
        taking.state().wanted += max;
        taking.asked.notify_one();
        Self { taking, max }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.taking.state().wanted -= self.max;
    }
}

/// A delivery that is being put aside. If that fails or is dropped, it is handed out again.
struct Unsettled<'a> {
    taking: &'a Taking,
    worker: String,
    held: Option<Held<Taken>>,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let mut state = self.taking.state();
        // Under another name it is delivered by who has it now.
        if state.worker == self.worker {
            state.here.delay(held, REJECT_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests;
