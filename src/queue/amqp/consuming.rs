//! Consuming: a bounded number of deliveries is here and unsettled.
//!
//! A delivery belongs to the channel that it came through. When that is lost the broker delivers again, so all that was here
//! is forgotten with it; a settle for it finds nothing and does nothing. Retries wait here, unacknowledged.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, Stream, StreamExt,
    future::join_all,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use lapin::{
    Consumer, message,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{sleep, sleep_until, timeout},
};

use super::{
    options::AmqpOptions,
    publishing::Publishing,
    session::{Session, look, unavailable},
    wire,
};
use crate::queue::{
    Delivery, QueueError, Tag, Verdict,
    here::{Held, Here},
    link::Link,
};

/// How long it may take to connect, declare and subscribe.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks whether the subscription is still one: a consumer may fall silent without an error.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long it may take to send an acknowledgement. The library forgets one that is given while the connection ends, and never
/// answers it.
const ACK_LIMIT: Duration = Duration::from_secs(5);
/// When a delivery that could not be put aside is handed out again.
const REJECT_AGAIN: Duration = Duration::from_secs(1);

/// The consuming side of a broker.
pub(super) struct Consuming {
    options: Arc<AmqpOptions>,
    link: Link<Subscription>,
    here: Mutex<Here<message::Delivery>>,
    /// Told whenever something became ready or got a time.
    changed: Notify,
}

/// The consumers of both queues on one channel.
struct Subscription {
    session: Session,
    incoming: AsyncMutex<BoxStream<'static, Option<message::Delivery>>>,
    arrived: AtomicU64,
    /// What had arrived at the last look that found messages waiting and none here.
    suspicion: Mutex<Option<u64>>,
}

type Delivered = Held<message::Delivery>;

impl Consuming {
    pub(super) fn new(options: Arc<AmqpOptions>) -> Self {
        Self { options, link: Link::default(), here: Mutex::default(), changed: Notify::new() }
    }

    /// Waits for deliveries. What a caller that goes away would have got is handed to the next.
    pub(super) async fn receive(&self, max: usize, now: impl Fn() -> Timestamp) -> Result<Vec<Delivery>, QueueError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let taken = self.here().take(max.max(1), |delivery| delivery.data.len());
            if !taken.is_empty() {
                return Ok(self.hand_out(taken, &now));
            }
            let subscription = self.subscription().await?;
            let mut incoming = tokio::select! {
                incoming = subscription.incoming.lock() => incoming,
                () = &mut changed => continue,
            };
            let due = self.here().next_due();
            tokio::select! {
                first = incoming.next() => {
                    let mut arrived = Some(first);
                    let mut kept = 0;
                    while let Some(item) = arrived {
                        let Some(Some(delivery)) = item else {
                            self.link.forget(&subscription).await;
                            break;
                        };
                        self.keep(delivery, &subscription);
                        kept += 1;
                        arrived = if kept < max { incoming.next().now_or_never() } else { None };
                    }
                }
                () = &mut changed => {}
                () = sleep_until(due.unwrap_or_else(|| Instant::now() + LOOK_INTERVAL).into()) => {}
                () = sleep(LOOK_INTERVAL) => {
                    if let Err(QueueError(cause)) = self.look(&subscription).await {
                        tracing::warn!(cause, "the subscription is made anew");
                        self.link.forget(&subscription).await;
                    }
                }
            }
        }
    }

    /// Settles what is here; what is put aside is published by `aside` first.
    pub(super) async fn settle(&self, verdicts: Vec<(Tag, Verdict)>, aside: &Publishing) -> Result<(), QueueError> {
        let (acked, rejected) = self.sort(verdicts);
        self.changed.notify_waiters();
        let acked = join_all(acked.iter().map(ack)).await;
        let rejected = rejected.into_iter().map(async |(mut unsettled, reason)| {
            let Some(held) = unsettled.held.as_ref() else { return Ok(()) };
            let properties = wire::put_aside(&held.message, &reason);
            aside.publish(self.options.queues.dead_letters(), &held.message.data, properties).await?;
            match unsettled.held.take() {
                Some(held) => ack(&held.message).await,
                None => Ok(()),
            }
        });
        let rejected = join_all(rejected).await;
        acked.into_iter().chain(rejected).collect()
    }

    /// Ends what the verdicts say, as far as it is still here: what is to be acknowledged, and what to be put aside.
    fn sort(&self, verdicts: Vec<(Tag, Verdict)>) -> (Vec<message::Delivery>, Vec<(Unsettled<'_>, String)>) {
        let (mut acked, mut rejected) = (Vec::new(), Vec::new());
        let mut here = self.here();
        for (tag, verdict) in verdicts {
            let Some(held) = here.settle(tag) else { continue };
            match verdict {
                Verdict::Ack => acked.push(held.message),
                Verdict::Retry(wait) => here.delay(held, wait),
                Verdict::Reject(reason) => rejected.push((Unsettled { consuming: self, held: Some(held) }, reason)),
            }
        }
        (acked, rejected)
    }

    fn here(&self) -> MutexGuard<'_, Here<message::Delivery>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, taken: Vec<Delivered>, now: impl Fn() -> Timestamp) -> Vec<Delivery> {
        // Read without the lock, and only then counted as handed out: there is no await in between.
        let read: Vec<_> =
            taken.iter().map(|held| wire::reading(&held.message, self.options.largest_message)).collect();
        let mut here = self.here();
        let both = taken.into_iter().zip(read);
        both.map(|(held, reading)| {
            let attempts = held.attempts;
            reading.delivered(here.hand_out(held), now(), attempts)
        })
        .collect()
    }

    fn keep(&self, delivery: message::Delivery, subscription: &Subscription) {
        subscription.arrived.fetch_add(1, Ordering::Relaxed);
        let attempts = wire::attempts(&delivery);
        self.here().add(delivery, attempts);
    }

    async fn subscription(&self) -> Result<Arc<Subscription>, QueueError> {
        let connect = async || {
            let subscription = Subscription::open(&self.options).await?;
            self.here().clear();
            Ok(subscription)
        };
        let connection = self.link.connection(|s: &Subscription| s.session.is_alive(), connect);
        let late = |_| Err(QueueError(format!("no connection within {CONNECT_LIMIT:?}")));
        timeout(CONNECT_LIMIT, connection).await.unwrap_or_else(late)
    }

    /// Asks the broker through the same channel whether there is still a consumer, and whether it gives what waits.
    async fn look(&self, subscription: &Subscription) -> Result<(), QueueError> {
        let mut waiting = 0;
        for queue in self.options.queues.consumed() {
            let asked = timeout(LOOK_INTERVAL, look(&subscription.session.channel, queue));
            let queue = asked.await.map_err(|_| QueueError("the broker does not answer".into()))??;
            if queue.consumer_count() == 0 {
                return Err(QueueError(format!("nobody consumes {}", queue.name())));
            }
            waiting += queue.message_count();
        }
        let arrived = subscription.arrived.load(Ordering::Relaxed);
        let suspicious = (waiting > 0 && self.here().messages().next().is_none()).then_some(arrived);
        let before = {
            let mut suspicion = subscription.suspicion.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *suspicion, suspicious)
        };
        match suspicious {
            Some(_) if before == suspicious => Err(QueueError("messages wait, and none is delivered".into())),
            _ => Ok(()),
        }
    }
}

impl Subscription {
    async fn open(options: &AmqpOptions) -> Result<Self, QueueError> {
        let session = Session::open(options, "consumer").await?;
        let channel = &session.channel;
        channel.basic_qos(options.prefetch, BasicQosOptions::default()).await.map_err(unavailable)?;
        let mut consumers = Vec::with_capacity(2);
        for queue in options.queues.consumed() {
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments).await;
            consumers.push(deliveries(consumer.map_err(unavailable)?));
        }
        // In turns, so that no queue starves the other.
        let incoming = stream::select_all(consumers).boxed();
        let incoming = AsyncMutex::new(incoming);
        Ok(Self { session, incoming, arrived: AtomicU64::new(0), suspicion: Mutex::default() })
    }
}

/// What a consumer delivers; then, at its first error or end, `None`.
fn deliveries(consumer: Consumer) -> impl Stream<Item = Option<message::Delivery>> + Send + Unpin {
    consumer
        .map(|delivered| match delivered {
            Ok(delivery) => Some(delivery),
            Err(error) => {
                tracing::warn!(%error, "a consumer failed");
                None
            }
        })
        .chain(stream::iter([None]))
}

async fn ack(delivery: &message::Delivery) -> Result<(), QueueError> {
    // An acker of a channel that is gone does nothing, and says so; the broker delivers again.
    let acked = timeout(ACK_LIMIT, delivery.acker.ack(BasicAckOptions::default())).await;
    let late = |_| QueueError(format!("an acknowledgement was not sent within {ACK_LIMIT:?}"));
    acked.map_err(late)?.map(|_| ()).map_err(unavailable)
}

/// A delivery that is being put aside. If that fails or is dropped, it is handed out again.
struct Unsettled<'a> {
    consuming: &'a Consuming,
    held: Option<Delivered>,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.consuming.here().delay(held, REJECT_AGAIN);
            self.consuming.changed.notify_waiters();
        }
    }
}
