use std::{env, time::Duration};

use serde_json::Value;

use super::*;
use crate::queue::{
    celery::recorded,
    contract::{self, Place},
    server::PrivateServer,
};

/// Keys of its own in the Redis of the tests.
struct Corner {
    client: Client,
    queues: Queues,
}

impl Corner {
    fn new() -> Self {
        let url = env::var("RSTUF_TEST_REDIS").expect("RSTUF_TEST_REDIS is missing: run it through scripts/servers.sh");
        let client = Client::open(url).expect("a client");
        Self { client, queues: Queues::prefixed(&format!("{}.", TaskId::random())) }
    }

    fn options(&self) -> RedisOptions {
        RedisOptions {
            queues: self.queues.clone(),
            lease: Duration::from_secs(4),
            limit: Duration::from_secs(20),
            ..RedisOptions::default()
        }
    }

    fn broker(&self) -> RedisBroker {
        RedisBroker::new(self.client.clone(), self.options(), Role::Consumer, Clock::system())
    }

    async fn connection(&self) -> MultiplexedConnection {
        commands::connect(&self.client, Duration::from_secs(20)).await.expect("connected")
    }

    async fn put(&self, queue: usize, message: &[u8]) {
        let mut connection = self.connection().await;
        let queue = self.queues.consumed()[queue];
        cmd("lpush").arg(queue).arg(message).query_async::<()>(&mut connection).await.expect("pushed");
    }

    async fn list(&self, list: &str) -> Vec<Vec<u8>> {
        let mut connection = self.connection().await;
        cmd("lrange").arg(list).arg(0).arg(-1).query_async(&mut connection).await.expect("read")
    }

    /// What all workers have taken and not settled.
    async fn taken(&self) -> u64 {
        let mut connection = self.connection().await;
        let pattern = format!("{}rstuf:taken:*", self.queues.prefix());
        let keys: Vec<String> = cmd("keys").arg(pattern).query_async(&mut connection).await.expect("read");
        let mut taken = 0;
        for key in keys {
            taken += cmd("hlen").arg(key).query_async::<u64>(&mut connection).await.expect("read");
        }
        taken
    }
}

impl Place for Corner {
    type Broker = RedisBroker;

    async fn open(&self) -> RedisBroker {
        self.broker()
    }

    async fn put_raw(&self, id: &TaskId, body: &str) {
        let message = serde_json::json!({"body": body, "headers": {"id": id}, "properties": {}});
        self.put(0, message.to_string().as_bytes()).await;
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.id.as_str()).collect()
}

#[tokio::test]
async fn keeps_the_contract() {
    contract::all(Corner::new).await;
}

#[tokio::test]
async fn takes_the_messages_of_the_python_api() {
    let corner = Corner::new();
    for name in recorded::JOBS {
        corner.put(0, recorded::messages()[name]["broker_message"].to_string().as_bytes()).await;
    }
    let broker = corner.broker();
    let mut received = Vec::new();
    while received.len() < recorded::JOBS.len() {
        received.extend(broker.receive(10).await.expect("received"));
    }
    let actions: Vec<_> = received.iter().map(|d| d.job.as_ref().expect("a job").action()).collect();
    assert_eq!(actions, recorded::JOBS);
}

#[tokio::test]
async fn each_job_goes_through_its_queue() {
    let corner = Corner::new();
    let broker = RedisBroker::new(corner.client.clone(), corner.options(), Role::Publisher, Clock::system());
    broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect("published");
    assert!(broker.receive(1).await.is_err());
    let [tasks, internals] = corner.queues.consumed();
    assert!(corner.list(tasks).await.is_empty());
    let message: Value = serde_json::from_slice(&corner.list(internals).await[0]).expect("JSON");
    assert_eq!(message["properties"]["delivery_info"]["routing_key"], internals);
}

#[tokio::test]
async fn poison_is_put_aside_with_the_reason() {
    let corner = Corner::new();
    let poison = contract::poison(1000);
    let mut connection = corner.connection().await;
    for (n, message) in poison.iter().enumerate() {
        let queue = corner.queues.consumed()[n % 2];
        cmd("lpush").arg(queue).arg(message).query_async::<()>(&mut connection).await.expect("pushed");
    }
    let broker = corner.broker();
    contract::reject_poison(&broker, poison.len()).await;
    let letters = corner.list(corner.queues.dead_letters()).await;
    assert_eq!(letters.len(), poison.len());
    for letter in letters {
        let letter: Value = serde_json::from_slice(&letter).expect("JSON");
        assert!(letter["reason"].as_str().is_some_and(|reason| reason.len() > 5), "{letter}");
    }
    assert_eq!(corner.taken().await, 0);
    broker.publish(&TaskId::from_text("good"), &Job::PublishArtifacts).await.expect("published");
    assert_eq!(ids(&broker.receive(1).await.expect("received")), ["good"]);
}

#[tokio::test]
async fn what_a_dead_worker_has_is_taken_by_another_when_its_lease_ends() {
    let corner = Corner::new();
    let (dead, living) = (corner.broker(), corner.broker());
    for id in ["a", "b"] {
        dead.publish(&TaskId::from_text(id), &Job::PublishArtifacts).await.expect("published");
    }
    let mut had = Vec::new();
    while had.len() < 2 {
        had.extend(dead.receive(10).await.expect("received"));
    }
    for task in dead.tasks.get().expect("started") {
        task.abort();
    }
    let mut again = Vec::new();
    while again.len() < 2 {
        again.extend(living.receive(10).await.expect("received"));
    }
    assert_eq!(ids(&again), ["a", "b"]);
    assert!(again.iter().all(|delivery| delivery.attempts == 1));
    // The other wakes: what it settles is not its own any more.
    let verdict = |d: &Delivery, verdict| (d.tag, verdict);
    dead.settle(vec![verdict(&had[0], Verdict::Ack), verdict(&had[1], Verdict::Reject("no".into()))])
        .await
        .expect("ok");
    assert_eq!(corner.taken().await, 2);
    assert!(corner.list(corner.queues.dead_letters()).await.is_empty());
    living.settle(again.iter().map(|d| verdict(d, Verdict::Ack)).collect()).await.expect("settled");
    assert_eq!(corner.taken().await, 0);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_begins_anew() {
    let corner = Corner::new();
    let broker = corner.broker();
    broker.publish(&TaskId::from_text("a"), &Job::PublishArtifacts).await.expect("published");
    let had = broker.receive(1).await.expect("received");
    let mut connection = corner.connection().await;
    let workers = broker.taking.key("workers");
    let worker = broker.taking.state().worker.clone();
    cmd("zadd").arg(&workers).arg(1).arg(&worker).query_async::<()>(&mut connection).await.expect("set");
    let again = broker.receive(1).await.expect("received");
    assert_eq!((ids(&again), again[0].attempts), (vec!["a"], 1));
    assert_ne!(broker.taking.state().worker, worker);
    broker.settle(vec![(had[0].tag, Verdict::Ack)]).await.expect("settled");
    assert_eq!(corner.taken().await, 1, "an old tag settles nothing");
}

#[tokio::test]
async fn a_message_wakes_a_receiver_at_once() {
    let corner = Corner::new();
    let broker = corner.broker();
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let waits = async { broker.receive(1).await.expect("received") };
        let published = async {
            sleep(Duration::from_millis(50)).await;
            let begun = std::time::Instant::now();
            broker.publish(&TaskId::from_text(n.to_string()), &Job::PublishArtifacts).await.expect("published");
            begun
        };
        let (received, begun) = tokio::join!(waits, published);
        slowest = slowest.max(begun.elapsed());
        broker.settle(vec![(received[0].tag, Verdict::Ack)]).await.expect("settled");
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}: it was found by chance");
}

#[tokio::test]
async fn thousands_publish_at_once() {
    let corner = Corner::new();
    let broker = corner.broker();
    let publish = async |n: usize| broker.publish(&TaskId::from_text(n.to_string()), &Job::PublishArtifacts).await;
    assert!(join_all((0..5000).map(publish)).await.iter().all(Result::is_ok));
    contract::receive_all(&broker, 5000).await;
    assert_eq!(corner.taken().await, 0);
}

#[tokio::test]
async fn connections_that_are_killed_under_load_lose_nothing() {
    let server = PrivateServer::start("redis").await;
    let client = Client::open(format!("redis://127.0.0.1:{}", server.port)).expect("a client");
    let broker = RedisBroker::new(client.clone(), RedisOptions::default(), Role::Consumer, Clock::system());
    let killed = async {
        let mut connection = commands::connect(&client, Duration::from_secs(5)).await.expect("connected");
        for _ in 0..20 {
            let mut kill = cmd("client");
            kill.arg("kill").arg("type").arg("normal").query_async::<()>(&mut connection).await.expect("killed");
            sleep(Duration::from_millis(100)).await;
        }
    };
    contract::nothing_is_lost_while(&broker, killed).await;
}

#[tokio::test]
async fn a_redis_that_was_restarted_empty_is_no_error() {
    let mut server = PrivateServer::start("redis").await;
    let client = Client::open(format!("redis://127.0.0.1:{}", server.port)).expect("a client");
    let broker = RedisBroker::new(client, RedisOptions::default(), Role::Consumer, Clock::system());
    broker.publish(&TaskId::from_text("lost"), &Job::PublishArtifacts).await.expect("published");
    let lost = broker.receive(1).await.expect("received");
    server.kill();
    server.start_again().await;
    broker.publish(&TaskId::from_text("a"), &Job::PublishArtifacts).await.expect("published");
    let received = broker.receive(1).await.expect("received");
    assert_eq!(ids(&received), ["a"]);
    broker.settle(lost.iter().chain(&received).map(|d| (d.tag, Verdict::Ack)).collect()).await.expect("settled");
    assert_eq!(broker.depth().await.expect("told"), 0);
}
