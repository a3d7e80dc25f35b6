//! What every broker is held to: one case for each promise of [`Broker`].

use std::{collections::BTreeSet, future::pending, sync::Mutex, time::Duration};

use futures_util::future::join_all;
use tokio::task::yield_now;

use super::{Broker, Delivery, Tag, Verdict};
use crate::task::{Job, RemoveArtifacts, TaskId};

/// Where a broker keeps its jobs. Opening it again is what a restart does.
pub(crate) trait Place {
    /// What is opened there.
    type Broker: Broker;
    /// Opens the broker, after the last one was dropped.
    async fn open(&self) -> Self::Broker;
    /// Lets time pass, as far as the broker can tell.
    async fn pass(&self, time: Duration);
    /// Puts a body into the closed queue that no publish would make.
    async fn put_raw(&self, id: &TaskId, body: &str);
}

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

async fn receive(broker: &impl Broker) -> Vec<Delivery> {
    broker.receive(100).await.expect("received")
}

async fn settle(broker: &impl Broker, tag: Tag, verdict: Verdict) {
    broker.settle(vec![(tag, verdict)]).await.expect("settled");
}

/// Names of the deliveries, and how often each was handed out before.
fn told(deliveries: &[Delivery]) -> Vec<(&str, u32)> {
    deliveries.iter().map(|d| (d.id.as_str(), d.attempts)).collect()
}

async fn what_was_published_is_delivered_as_it_was(place: &impl Place) {
    let broker = place.open().await;
    for name in ["a", "b ü\n\"", "c"] {
        publish(&broker, name).await;
    }
    let deliveries = receive(&broker).await;
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
    assert_eq!(told(&broker.receive(2).await.expect("received")), [("a", 0), ("b", 0)]);
    assert_eq!(told(&broker.receive(2).await.expect("received")), [("c", 0)]);
}

async fn what_was_published_survives_a_restart(place: &impl Place) {
    let broker = place.open().await;
    publish(&broker, "a").await;
    drop(broker);
    let broker = place.open().await;
    publish(&broker, "b").await;
    assert_eq!(told(&receive(&broker).await), [("a", 0), ("b", 0)]);
}

async fn what_is_not_settled_is_delivered_again_after_a_restart(place: &impl Place) {
    for attempts in 0..3 {
        let broker = place.open().await;
        if attempts == 0 {
            publish(&broker, "a").await;
        }
        assert_eq!(told(&receive(&broker).await), [("a", attempts)]);
    }
}

async fn what_is_settled_is_gone(place: &impl Place) {
    let broker = place.open().await;
    for name in ["acked", "rejected"] {
        publish(&broker, name).await;
    }
    let deliveries = receive(&broker).await;
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
    settle(&broker, tag, Verdict::Retry(Duration::from_secs(2))).await;
    publish(&broker, "b").await;
    assert_eq!(told(&receive(&broker).await), [("b", 0)], "its time has not come");
    place.pass(Duration::from_secs(2)).await;
    assert_eq!(told(&receive(&broker).await), [("a", 1)]);
}

async fn what_cannot_be_read_is_delivered_too(place: &impl Place) {
    let bodies =
        ["", "not json", "{}", r#"{"action":"explode","payload":{}}"#, r#"{"action":"add_artifacts","payload":[]}"#];
    for (n, body) in bodies.iter().enumerate() {
        place.put_raw(&TaskId::from_text(n.to_string()), body).await;
    }
    let broker = place.open().await;
    let deliveries = receive(&broker).await;
    assert_eq!(deliveries.len(), bodies.len());
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
    assert_eq!(broker.depth().await.expect("told"), 0);
    for name in ["a", "b"] {
        publish(&broker, name).await;
    }
    assert_eq!(broker.depth().await.expect("told"), 2);
    let taken = receive(&broker).await;
    assert_eq!(broker.depth().await.expect("told"), 0);
    settle(&broker, taken[0].tag, Verdict::Ack).await;
    drop(broker);
    let broker = place.open().await;
    publish(&broker, "c").await;
    assert_eq!(told(&receive(&broker).await), [("b", 1), ("c", 0)]);
}
