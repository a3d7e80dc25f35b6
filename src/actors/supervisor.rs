//! Keeps the actors alive: factories, fresh state after a failure, growing pauses, ordered shutdown.
//!
//! The framework's own supervisor does not survive a panic and restarts the same instance, so this is ours. Every
//! supervised actor owns a [`Lifeline`]; when the actor is dropped, for whatever reason, its lifeline tells the supervisor, which makes
//! a new one from the factory, or ends the process where to go on could do harm.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use actix::{dev::ToEnvelope, prelude::*};
use thiserror::Error;

use crate::telemetry::metrics::{ActorMetrics, Metrics};

/// The pause before the first restart; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An actor that lived for so long has recovered: the next failure counts as its first.
const RECOVERED: Duration = Duration::from_secs(60);
/// The exit code of a process that must not go on.
pub const EXIT_CANNOT_GO_ON: i32 = 70;

/// What a failure of an actor means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// A new one with fresh state takes its place.
    Restart,
    /// The process ends with [`EXIT_CANNOT_GO_ON`]: whoever starts it again starts from what is stored.
    EndProcess,
}

/// An actor could not be asked: it is being restarted, is overloaded, or did not answer in time.
#[derive(Debug, Error)]
#[error("the {actor} actor {cause}")]
pub struct Unreachable {
    actor: &'static str,
    cause: Cause,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Cause {
    #[error("is not there yet")]
    NotThere,
    #[error("stopped before it answered")]
    Stopped,
    #[error("did not answer in time")]
    TooSlow,
}

impl Unreachable {
    /// Whether the actor broke off while it had the message: perhaps because of it.
    pub fn stopped(&self) -> bool {
        self.cause == Cause::Stopped
    }
}

/// Where an actor is reached, whichever instance of it lives now.
pub struct Post<A: Actor> {
    name: &'static str,
    address: Arc<RwLock<Option<Addr<A>>>>,
    metrics: ActorMetrics,
}

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self { name: self.name, address: self.address.clone(), metrics: self.metrics.clone() }
    }
}

impl<A: Actor> fmt::Debug for Post<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({})", self.name)
    }
}

impl<A: Actor> Post<A> {
    fn new(name: &'static str, metrics: ActorMetrics) -> Self {
        Self { name, address: Arc::default(), metrics }
    }

    fn address(&self) -> Result<Addr<A>, Unreachable> {
        let address = self.address.read().unwrap_or_else(PoisonError::into_inner).clone();
        address.ok_or(Unreachable { actor: self.name, cause: Cause::NotThere })
    }

    /// Sends a message that nobody waits for, such as a wake: when it can't be delivered it is dropped, and a tick
    /// will do the same later.
    pub fn tell<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let sent = self.address().map(|address| address.try_send(message));
        if !matches!(sent, Ok(Ok(()))) {
            self.metrics.dropped();
            tracing::debug!(actor = self.name, "a message was dropped");
        }
    }

    /// Sends a message and waits for the answer, at most so long. The message may have been handled even when this fails.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no answer.
    pub async fn ask<M>(&self, message: M, limit: Duration) -> Result<M::Result, Unreachable>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let address = self.address()?;
        let _pending = self.metrics.pending();
        address.send(message).timeout(limit).await.map_err(|error| {
            let cause = match error {
                MailboxError::Closed => Cause::Stopped,
                MailboxError::Timeout => Cause::TooSlow,
            };
            Unreachable { actor: self.name, cause }
        })
    }
}

/// Ties an actor to its supervisor.
#[derive(Debug)]
pub struct Lifeline {
    name: &'static str,
    supervisor: Addr<Supervisor>,
}

impl Lifeline {
    /// Ends the process, because this actor met something that it must not go on with.
    pub fn end_process(&self, cause: &dyn fmt::Display) {
        tracing::error!(actor = self.name, %cause, "cannot go on");
        self.supervisor.do_send(EndProcess);
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // A supervisor's own mailbox must take this whatever its capacity: an actor that is gone and not known
        // to be gone would never come back.
        self.supervisor.do_send(Gone(self.name));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Gone(&'static str);

#[derive(Message)]
#[rtype(result = "()")]
struct EndProcess;

/// No actor is restarted from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StandDown;

struct Child {
    start: Box<dyn Fn(Lifeline)>,
    on_failure: OnFailure,
    failures: u32,
    started: Instant,
    metrics: ActorMetrics,
}

/// Starts actors and starts them again.
pub struct Supervisor {
    metrics: Metrics,
    children: HashMap<&'static str, Child>,
    order: Vec<&'static str>,
    stands_down: bool,
}

impl Supervisor {
    /// A supervisor of no actors.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, children: HashMap::new(), order: Vec::new(), stands_down: false }
    }

    /// Adds an actor, which starts with the supervisor, after those that were added before it.
    pub fn child<A>(
        &mut self,
        name: &'static str,
        on_failure: OnFailure,
        factory: impl Fn(Lifeline) -> A + 'static,
    ) -> Post<A>
    where
        A: Actor<Context = Context<A>>,
    {
        let metrics = self.metrics.actor(name);
        let post = Post::new(name, metrics.clone());
        let address = post.address.clone();
        let start = Box::new(move |lifeline: Lifeline| {
            let started = factory(lifeline).start();
            *address.write().unwrap_or_else(PoisonError::into_inner) = Some(started);
        });
        self.children.insert(name, Child { start, on_failure, failures: 0, started: Instant::now(), metrics });
        self.order.push(name);
        post
    }

    fn start_child(&mut self, name: &'static str, supervisor: Addr<Supervisor>) {
        if let Some(child) = self.children.get_mut(name) {
            child.started = Instant::now();
            (child.start)(Lifeline { name, supervisor });
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for name in self.order.clone() {
            self.start_child(name, context.address());
        }
    }
}

impl Handler<Gone> for Supervisor {
    type Result = ();

    fn handle(&mut self, Gone(name): Gone, context: &mut Self::Context) {
        if self.stands_down {
            return;
        }
        let Some(child) = self.children.get_mut(name) else { return };
        if child.on_failure == OnFailure::EndProcess {
            tracing::error!(actor = name, "an actor failed that can't be replaced while the process lives");
            System::current().stop_with_code(EXIT_CANNOT_GO_ON);
            return;
        }
        if child.started.elapsed() > RECOVERED {
            child.failures = 0;
        }
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(child.failures)).min(LONGEST_PAUSE);
        child.failures = child.failures.saturating_add(1);
        child.metrics.restarted();
        tracing::error!(
            actor = name,
            failures = child.failures,
            pause_ms = pause.as_millis(),
            "an actor failed; it is restarted"
        );
        context.run_later(pause, move |supervisor, context| supervisor.start_child(name, context.address()));
    }
}

impl Handler<EndProcess> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: EndProcess, _: &mut Self::Context) {
        self.stands_down = true;
        System::current().stop_with_code(EXIT_CANNOT_GO_ON);
    }
}

impl Handler<StandDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: StandDown, _: &mut Self::Context) {
        self.stands_down = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Fragile {
        born: u32,
        _lifeline: Lifeline,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Number;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Break;

    impl Handler<Number> for Fragile {
        type Result = u32;
        fn handle(&mut self, _: Number, _: &mut Self::Context) -> u32 {
            self.born
        }
    }

    impl Handler<Break> for Fragile {
        type Result = ();
        fn handle(&mut self, _: Break, _: &mut Self::Context) {
            panic!("told to");
        }
    }

    fn fragile(on_failure: OnFailure, metrics: &Metrics) -> Post<Fragile> {
        let born = AtomicU32::new(0);
        let mut supervisor = Supervisor::new(metrics.clone());
        let post = supervisor.child("fragile", on_failure, move |lifeline| Fragile {
            born: born.fetch_add(1, Ordering::Relaxed) + 1,
            _lifeline: lifeline,
        });
        supervisor.start();
        post
    }

    #[test]
    fn an_actor_that_panics_is_replaced_by_a_fresh_one() {
        let metrics = Metrics::default();
        System::new().block_on(async {
            let post = fragile(OnFailure::Restart, &metrics);
            let wait = Duration::from_secs(1);
            while post.ask(Number, wait).await.ok() != Some(1) {
                tokio::task::yield_now().await;
            }
            assert!(post.ask(Break, wait).await.is_err());
            while post.ask(Number, wait).await.ok() != Some(2) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let text = metrics.text(jiff::Timestamp::UNIX_EPOCH);
        assert!(text.contains("rstuf_actor_restarts_total{actor=\"fragile\"} 1"), "{text}");
        assert!(text.contains("rstuf_actor_mailbox_messages{actor=\"fragile\"} 0"), "{text}");
    }

    #[test]
    fn an_actor_that_must_not_be_replaced_ends_the_process_with_a_code() {
        let system = System::new();
        let post = system.block_on(async { fragile(OnFailure::EndProcess, &Metrics::default()) });
        system.runtime().spawn(async move {
            while post.ask(Number, Duration::from_secs(1)).await.is_err() {
                tokio::task::yield_now().await;
            }
            post.tell(Break);
        });
        assert_eq!(system.run_with_code().expect("the system ran"), EXIT_CANNOT_GO_ON);
    }
}
