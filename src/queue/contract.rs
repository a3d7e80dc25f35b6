//! What every broker is held to: one case for each promise of [`Broker`].

use std::{collections::BTreeSet, future::pending, sync::Mutex, time::Duration};

use futures_util::future::join_all;
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use super::{Broker, Delivery, Tag, Verdict};
use crate::task::{Job, RemoveArtifacts, TaskId};

/// Where a broker keeps its jobs. Opening it again is what a restart does.
pub(crate) trait Place {
    /// What is opened there.
    type Broker: Broker;
    /// Opens the broker, after the last one was dropped.
    async fn open(&self) -> Self::Broker;
    /// Lets time pass, as far as the broker can tell: for most it has to pass indeed.
    async fn pass(&self, time: Duration) {
        sleep(time).await;
    }
    /// Long enough for this broker to hand out what was just published, and short enough to wait for.
    fn moment(&self) -> Duration {
        Duration::from_secs(1)
    }
    /// How many attempts are told of a delivery after so many restarts: some only know that there were some.
    fn attempts_after(&self, restarts: u32) -> u32 {
        restarts
    }
    /// Puts a body into the closed queue that no publish would make.
    async fn put_raw(&self, id: &TaskId, body: &str);
}

/// The longest that any case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs all cases, each in a place of its own that is empty.
pub(crate) async fn all<P: Place>(fresh: impl Fn() -> P) {
    what_was_published_is_delivered_as_it_was(&fresh()).await;
    a_receive_gives_no_more_than_was_asked_for(&fresh()).await;
    what_was_published_survives_a_restart(&fresh()).await;
    what_is_not_settled_is_delivered_again_after_a_restart(&fresh()).await;
    what_is_settled_is_gone(&fresh()).await;
    a_retry_waits_its_time(&fresh()).await;
    what_cannot_be_read_is_delivered_too(&fresh()).await;
    a_receiver_waits_for_a_job(&fresh()).await;
    a_receiver_that_goes_away_loses_nothing(&fresh()).await;
    many_publish_and_receive_at_once(&fresh()).await;
    to_settle_twice_is_harmless(&fresh()).await;
    the_depth_is_what_nobody_has(&fresh()).await;
}

fn job(path: &str) -> Job {
    Job::RemoveArtifacts(RemoveArtifacts { artifacts: vec![path.to_owned()], publish_artifacts: true })
}

async fn publish(broker: &impl Broker, name: &str) -> TaskId {
    let id = TaskId::from_text(name);
    broker.publish(&id, &job(name)).await.expect("published");
    id
}

/// What comes first: any number.
async fn receive(broker: &impl Broker) -> Vec<Delivery> {
    timeout(PATIENCE, broker.receive(100)).await.expect("something comes").expect("received")
}

/// Exactly so many deliveries, in as many receives as it takes.
async fn gather(broker: &impl Broker, count: usize) -> Vec<Delivery> {
    let mut gathered = Vec::new();
    while gathered.len() < count {
        gathered.extend(receive(broker).await);
    }
    assert_eq!(gathered.len(), count, "{gathered:?}");
    gathered
}

/// Waits until the broker tells this depth.
async fn depth_becomes(broker: &impl Broker, depth: u64) {
    let told = async {
        while broker.depth().await.expect("told") != depth {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("the depth is told");
}

async fn settle(broker: &impl Broker, tag: Tag, verdict: Verdict) {
    broker.settle(vec![(tag, verdict)]).await.expect("settled");
}

/// Names of the deliveries, and how often each was handed out before.
fn told(deliveries: &[Delivery]) -> Vec<(&str, u32)> {
    deliveries.iter().map(|d| (d.id.as_str(), d.attempts)).collect()
}

/// The same by name: what is delivered again may come behind what is new.
fn sorted(deliveries: &[Delivery]) -> Vec<(&str, u32)> {
    let mut told = told(deliveries);
    told.sort_unstable();
    told
}

async fn what_was_published_is_delivered_as_it_was(place: &impl Place) {
    let broker = place.open().await;
    for name in ["a", "b ü\n\"", "c"] {
        publish(&broker, name).await;
    }
    let deliveries = gather(&broker, 3).await;
    assert_eq!(told(&deliveries), [("a", 0), ("b ü\n\"", 0), ("c", 0)]);
    for delivery in &deliveries {
        assert_eq!(delivery.job.as_ref().expect("a job"), &job(delivery.id.as_str()));
    }
    assert!(deliveries[0].accepted_at <= deliveries[2].accepted_at);
}

async fn a_receive_gives_no_more_than_was_asked_for(place: &impl Place) {
    let broker = place.open().await;
    for name in ["a", "b", "c"] {
        publish(&broker, name).await;
    }
    let mut received = Vec::new();
    while received.len() < 3 {
        let some = broker.receive(2).await.expect("received");
        assert!((1..=2).contains(&some.len()), "{some:?}");
        received.extend(some);
    }
    assert_eq!(told(&received), [("a", 0), ("b", 0), ("c", 0)]);
}

async fn what_was_published_survives_a_restart(place: &impl Place) {
    let broker = place.open().await;
    publish(&broker, "a").await;
    drop(broker);
    let broker = place.open().await;
    publish(&broker, "b").await;
    assert_eq!(sorted(&gather(&broker, 2).await), [("a", 0), ("b", 0)]);
}

async fn what_is_not_settled_is_delivered_again_after_a_restart(place: &impl Place) {
    for restarts in 0..3 {
        let broker = place.open().await;
        if restarts == 0 {
            publish(&broker, "a").await;
        }
        assert_eq!(told(&receive(&broker).await), [("a", place.attempts_after(restarts))]);
    }
}

async fn what_is_settled_is_gone(place: &impl Place) {
    let broker = place.open().await;
    for name in ["acked", "rejected"] {
        publish(&broker, name).await;
    }
    let deliveries = gather(&broker, 2).await;
    settle(&broker, deliveries[0].tag, Verdict::Ack).await;
    settle(&broker, deliveries[1].tag, Verdict::Reject("never".into())).await;
    drop(broker);
    let broker = place.open().await;
    publish(&broker, "next").await;
    assert_eq!(told(&receive(&broker).await), [("next", 0)]);
}

async fn a_retry_waits_its_time(place: &impl Place) {
    let broker = place.open().await;
    publish(&broker, "a").await;
    let tag = receive(&broker).await[0].tag;
    settle(&broker, tag, Verdict::Retry(place.moment())).await;
    publish(&broker, "b").await;
    assert_eq!(told(&receive(&broker).await), [("b", 0)], "its time has not come");
    place.pass(place.moment()).await;
    assert_eq!(told(&receive(&broker).await), [("a", 1)]);
}

async fn what_cannot_be_read_is_delivered_too(place: &impl Place) {
    let bodies =
        ["", "not json", "{}", r#"{"action":"explode","payload":{}}"#, r#"{"action":"add_artifacts","payload":[]}"#];
    for (n, body) in bodies.iter().enumerate() {
        place.put_raw(&TaskId::from_text(n.to_string()), body).await;
    }
    let broker = place.open().await;
    let deliveries = gather(&broker, bodies.len()).await;
    for delivery in deliveries {
        assert!(delivery.job.is_err(), "{delivery:?}");
        settle(&broker, delivery.tag, Verdict::Reject("unreadable".into())).await;
    }
    publish(&broker, "good").await;
    assert_eq!(told(&receive(&broker).await), [("good", 0)]);
}

async fn a_receiver_waits_for_a_job(place: &impl Place) {
    let broker = place.open().await;
    for name in ["a", "b"] {
        let (deliveries, _) = tokio::join!(receive(&broker), publish(&broker, name));
        assert_eq!(told(&deliveries), [(name, 0)]);
    }
}

async fn a_receiver_that_goes_away_loses_nothing(place: &impl Place) {
    let broker = place.open().await;
    for patience in 0..20 {
        publish(&broker, &patience.to_string()).await;
        tokio::select! {
            biased;
            deliveries = receive(&broker) => {
                for delivery in deliveries {
                    settle(&broker, delivery.tag, Verdict::Retry(Duration::ZERO)).await;
                }
            }
            () = async { for _ in 0..patience { yield_now().await } } => {}
        }
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.extend(receive(&broker).await.into_iter().map(|d| d.id));
    }
}

async fn many_publish_and_receive_at_once(place: &impl Place) {
    let broker = place.open().await;
    let names: Vec<_> = (0..200).map(|n| format!("{n:03}")).collect();
    let seen = Mutex::new(Vec::new());
    let publishers = async {
        join_all(names.iter().map(|name| publish(&broker, name))).await;
        pending().await
    };
    let receiver = async || {
        loop {
            let deliveries = broker.receive(7).await.expect("received");
            let verdicts = deliveries.iter().map(|d| (d.tag, Verdict::Ack)).collect();
            broker.settle(verdicts).await.expect("settled");
            let mut seen = seen.lock().expect("not poisoned");
            seen.extend(deliveries.into_iter().map(|d| d.id.to_string()));
            if seen.len() >= names.len() {
                break;
            }
        }
    };
    tokio::select! { () = publishers => {}, () = receiver() => {}, () = receiver() => {} }
    let mut seen = seen.into_inner().expect("not poisoned");
    seen.sort();
    assert_eq!(seen, names, "each is handed out once");
}

async fn to_settle_twice_is_harmless(place: &impl Place) {
    let broker = place.open().await;
    publish(&broker, "a").await;
    let tag = receive(&broker).await[0].tag;
    settle(&broker, tag, Verdict::Ack).await;
    settle(&broker, tag, Verdict::Ack).await;
    publish(&broker, "b").await;
    assert_eq!(told(&receive(&broker).await), [("b", 0)]);
}

async fn the_depth_is_what_nobody_has(place: &impl Place) {
    let broker = place.open().await;
    depth_becomes(&broker, 0).await;
    for name in ["a", "b"] {
        publish(&broker, name).await;
    }
    depth_becomes(&broker, 2).await;
    let taken = gather(&broker, 2).await;
    depth_becomes(&broker, 0).await;
    settle(&broker, taken[0].tag, Verdict::Ack).await;
    drop(broker);
    let broker = place.open().await;
    publish(&broker, "c").await;
    assert_eq!(sorted(&gather(&broker, 2).await), [("b", place.attempts_after(1)), ("c", 0)]);
}

/// Bodies that are no jobs: random bytes, wrong types, actions that nobody knows, and huge lists.
pub(crate) fn poison(count: usize) -> Vec<Vec<u8>> {
    let mut chance = fastrand::Rng::with_seed(7);
    let one = |n| match n % 5 {
        0 => (0..chance.usize(..2000)).map(|_| chance.u8(..)).collect(),
        1 => format!(r#"[[],{{"action":{n},"payload":"x"}},{{}}]"#).into_bytes(),
        2 => format!(r#"[[],{{"action":"explode {n}","payload":{{}}}},{{}}]"#).into_bytes(),
        3 => format!("[[{}0],{{}},{{}}]", "0,".repeat(n * 10)).into_bytes(),
        _ => format!("{}{n}", "[".repeat(n * 10)).into_bytes(),
    };
    (0..count).map(one).collect()
}

/// Receives so many deliveries, none of which is a job, and rejects them for what the broker says of them.
pub(crate) async fn reject_poison(broker: &impl Broker, count: usize) {
    let mut rejected = 0;
    while rejected < count {
        let deliveries = receive(broker).await;
        rejected += deliveries.len();
        let verdict = |d: Delivery| (d.tag, Verdict::Reject(d.job.expect_err("no job")));
        broker.settle(deliveries.into_iter().map(verdict).collect()).await.expect("settled");
    }
}

/// Receives and acknowledges until so many different tasks were seen.
pub(crate) async fn receive_all(broker: &impl Broker, count: usize) -> BTreeSet<TaskId> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let deliveries = match timeout(PATIENCE, broker.receive(100)).await.expect("something comes") {
            Ok(deliveries) => deliveries,
            Err(_) => continue,
        };
        let verdicts = deliveries.iter().map(|d| (d.tag, Verdict::Ack)).collect();
        seen.extend(deliveries.into_iter().map(|d| d.id));
        // What is not settled comes again.
        let _ = broker.settle(verdicts).await;
    }
    seen
}

/// Publishes and receives all the time while `disturb` runs and a little longer; then all that was accepted must have come.
pub(crate) async fn nothing_is_lost_while(broker: &impl Broker, disturb: impl Future<Output = ()>) {
    let accepted = Mutex::new(BTreeSet::new());
    let seen = Mutex::new(BTreeSet::new());
    let publishers = join_all((0..8).map(async |publisher| {
        for n in 0.. {
            let id = TaskId::from_text(format!("{publisher}.{n}"));
            if broker.publish(&id, &job("a")).await.is_ok() {
                accepted.lock().expect("not poisoned").insert(id);
            }
            sleep(Duration::from_millis(2)).await;
        }
    }));
    let receiver = async {
        loop {
            let Ok(deliveries) = broker.receive(50).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            seen.lock().expect("not poisoned").extend(deliveries.iter().map(|d| d.id.clone()));
            let verdicts = deliveries.iter().map(|d| (d.tag, Verdict::Ack)).collect();
            // What is not settled comes again.
            let _ = broker.settle(verdicts).await;
        }
    };
    let disturbed = async {
        more(&accepted, 100).await;
        disturb.await;
        more(&accepted, 100).await;
    };
    let missing = || -> Vec<TaskId> {
        let seen = seen.lock().expect("not poisoned");
        accepted.lock().expect("not poisoned").difference(&seen).cloned().collect()
    };
    tokio::pin!(receiver);
    tokio::select! { () = disturbed => {}, _ = publishers => {}, () = &mut receiver => {} }
    let complete = async {
        while !missing().is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let complete = async { timeout(PATIENCE, complete).await.is_ok() };
    let complete = tokio::select! { complete = complete => complete, () = &mut receiver => false };
    assert!(complete, "accepted and never delivered: {:?}", missing());
}

/// Waits until so many more jobs were accepted.
async fn more(accepted: &Mutex<BTreeSet<TaskId>>, count: usize) {
    let accepted = || accepted.lock().expect("not poisoned").len();
    let before = accepted();
    let grown = async {
        while accepted() < before + count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE * 2, grown).await.expect("jobs are accepted");
}
