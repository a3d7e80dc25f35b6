use std::{
    collections::BTreeMap,
    env, io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use tokio::{task::yield_now, time::timeout};

use super::*;
use crate::queue::{
    celery::{Message, recorded},
    contract::{self, Place},
    routing::Queues,
    server::PrivateServer,
};

/// Queues of its own on the broker of the tests.
struct Corner {
    url: String,
    kind: QueueKind,
    queues: Queues,
}

impl Corner {
    fn new(kind: QueueKind) -> Self {
        let url = env::var("RSTUF_TEST_AMQP").expect("RSTUF_TEST_AMQP is missing: run it through scripts/servers.sh");
        Self { url, kind, queues: Queues::prefixed(&format!("{}.", TaskId::random())) }
    }

    fn options(&self) -> AmqpOptions {
        let mut options = AmqpOptions::parse(&self.url, None).expect("options");
        (options.kind, options.queues) = (self.kind, self.queues.clone());
        options.confirm_limit = Duration::from_secs(20);
        options
    }

    fn broker(&self) -> AmqpBroker {
        AmqpBroker::new(self.options(), Role::Consumer, Clock::system())
    }

    async fn connection(&self) -> Connection {
        Connection::connect_uri(self.options().uri(), ConnectionProperties::default()).await.expect("connected")
    }

    /// Publishes by hand, as another program would.
    async fn put(&self, properties: BasicProperties, body: &[u8]) {
        let connection = self.connection().await;
        session::declare(&connection, &self.options()).await.expect("declared");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(Default::default()).await.expect("confirms");
        let (queue, options) = (self.queues.consumed()[0], BasicPublishOptions::default());
        let sent = channel.basic_publish("".into(), queue.into(), options, body, properties).await.expect("sent");
        sent.await.expect("confirmed");
    }

    /// The bodies and headers of all dead letters, of which there are so many.
    async fn dead_letters(&self, count: usize) -> Vec<(Vec<u8>, BTreeMap<String, AMQPValue>)> {
        let connection = self.connection().await;
        let channel = connection.create_channel().await.expect("a channel");
        let (queue, options) = (self.queues.dead_letters(), BasicConsumeOptions::default());
        let mut letters =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.expect("a consumer");
        let mut read = Vec::new();
        while read.len() < count {
            let letter = timeout(Duration::from_secs(30), letters.next()).await.expect("another letter");
            let letter = letter.expect("a letter").expect("a letter");
            letter.ack(BasicAckOptions::default()).await.expect("acked");
            let headers = letter.properties.headers().clone().unwrap_or_default();
            let headers = headers.inner().iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            read.push((letter.data, headers));
        }
        read
    }
}

/// What lies between a client and the broker, and can be cut.
struct Wire {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(options: &AmqpOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (host, streams) = ((options.host.clone(), options.port), Arc::<Mutex<Vec<TcpStream>>>::default());
        let known = streams.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect((host.0.as_str(), host.1)).expect("the broker is there");
                let copy = |from: &TcpStream, to: &TcpStream| {
                    let (mut from, mut to) = (from.try_clone().expect("a clone"), to.try_clone().expect("a clone"));
                    // It ends with the streams.
                    thread::spawn(move || io::copy(&mut from, &mut to));
                };
                copy(&near, &far);
                copy(&far, &near);
                known.lock().expect("nobody panicked").extend([near, far]);
            }
        });
        Self { port, streams }
    }

    /// Ends all connections that there are.
    fn cut(&self) {
        for stream in self.streams.lock().expect("nobody panicked").drain(..) {
            stream.shutdown(Shutdown::Both).expect("it was open");
        }
    }
}

impl Place for Corner {
    type Broker = AmqpBroker;

    async fn open(&self) -> AmqpBroker {
        self.broker()
    }

    fn attempts_after(&self, restarts: u32) -> u32 {
        match self.kind {
            QueueKind::Classic => restarts.min(1),
            QueueKind::Quorum => restarts,
        }
    }

    async fn put_raw(&self, id: &TaskId, body: &str) {
        let message = Message {
            id: id.clone(),
            reply_to: String::new(),
            headers: serde_json::from_str(&format!(r#"{{"id":"{id}"}}"#)).expect("headers"),
            body: String::new(),
        };
        self.put(wire::properties(&message), body.as_bytes()).await;
    }
}

#[tokio::test]
async fn classic_queues_keep_the_contract() {
    contract::all(|| Corner::new(QueueKind::Classic)).await;
}

#[tokio::test]
async fn quorum_queues_keep_the_contract() {
    contract::all(|| Corner::new(QueueKind::Quorum)).await;
}

#[tokio::test]
async fn takes_the_messages_of_the_python_api() {
    let corner = Corner::new(QueueKind::Classic);
    for name in recorded::JOBS {
        let recorded = &recorded::messages()[name]["broker_message"];
        let id = recorded["headers"]["id"].as_str().expect("an id");
        let message = Message {
            id: TaskId::from_text(id),
            reply_to: String::new(),
            headers: recorded["headers"].as_object().expect("headers").clone(),
            body: String::new(),
        };
        let body = recorded["body_decoded"].to_string();
        corner.put(wire::properties(&message), body.as_bytes()).await;
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
    let corner = Corner::new(QueueKind::Classic);
    let broker = AmqpBroker::new(corner.options(), Role::Publisher, Clock::system());
    broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect("published");
    assert!(broker.receive(1).await.is_err());
    let connection = corner.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    let [_, internals] = corner.queues.consumed();
    let got = channel.basic_get(internals.into(), Default::default()).await.expect("got").expect("a message");
    let body: Value = serde_json::from_slice(&got.delivery.data).expect("JSON");
    assert_eq!(body[1], serde_json::json!({"action": "publish_artifacts", "payload": null}));
    assert_eq!(*got.delivery.properties.delivery_mode(), Some(2));
}

#[tokio::test]
async fn a_queue_that_exists_otherwise_is_used_as_it_is() {
    let corner = Corner::new(QueueKind::Quorum);
    let connection = corner.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    for queue in corner.queues.consumed() {
        let options = QueueDeclareOptions::durable();
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("declared");
    }
    let broker = corner.broker();
    broker.publish(&TaskId::from_text("a"), &Job::PublishArtifacts).await.expect("published");
    assert_eq!(broker.receive(1).await.expect("received")[0].id.as_str(), "a");
}

#[tokio::test]
async fn a_queue_that_is_gone_is_declared_again() {
    let corner = Corner::new(QueueKind::Classic);
    let broker = corner.broker();
    broker.publish(&TaskId::from_text("a"), &Job::PublishArtifacts).await.expect("published");
    assert_eq!(broker.receive(1).await.expect("received")[0].id.as_str(), "a");
    let channel = corner.connection().await.create_channel().await.expect("a channel");
    for queue in corner.queues.consumed() {
        channel.queue_delete(queue.into(), Default::default()).await.expect("deleted");
    }
    broker.publish(&TaskId::from_text("b"), &Job::PublishArtifacts).await.expect("published");
    assert_eq!(broker.receive(1).await.expect("received")[0].id.as_str(), "b");
}

#[tokio::test]
async fn poison_is_put_aside_with_the_reason() {
    let corner = Corner::new(QueueKind::Classic);
    let connection = corner.connection().await;
    session::declare(&connection, &corner.options()).await.expect("declared");
    let channel = connection.create_channel().await.expect("a channel");
    let poison = contract::poison(1000);
    for (n, body) in poison.iter().enumerate() {
        let mut headers = FieldTable::default();
        let id = match n % 3 {
            0 => AMQPValue::LongString("a".repeat(n * 100).into()),
            1 => AMQPValue::LongInt(7),
            _ => AMQPValue::Void,
        };
        headers.insert("id".into(), id);
        let (queue, properties) = (corner.queues.consumed()[n % 2], BasicProperties::default().with_headers(headers));
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), queue.into(), options, body, properties).await.expect("sent");
    }
    let broker = corner.broker();
    contract::reject_poison(&broker, poison.len()).await;
    let letters = corner.dead_letters(poison.len()).await;
    for (_, headers) in &letters {
        assert!(matches!(&headers["x-rstuf-reason"], AMQPValue::LongString(reason) if reason.len() > 5));
        assert!(headers.contains_key("x-rstuf-queue"));
    }
    let mut bodies: Vec<_> = letters.into_iter().map(|(body, _)| body).collect();
    let mut expected = poison;
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
    broker.publish(&TaskId::from_text("good"), &Job::PublishArtifacts).await.expect("published");
    assert_eq!(broker.receive(1).await.expect("received")[0].id.as_str(), "good");
}

#[tokio::test]
async fn thousands_of_publishers_share_the_wait() {
    let corner = Corner::new(QueueKind::Classic);
    let broker = corner.broker();
    let outcomes = join_all(
        (0..5000).map(async |n| broker.publish(&TaskId::from_text(n.to_string()), &Job::PublishArtifacts).await),
    );
    assert!(outcomes.await.iter().all(Result::is_ok));
    contract::receive_all(&broker, 5000).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_twice_loses_nothing() {
    let mut server = PrivateServer::start("rabbitmq").await;
    let mut options = AmqpOptions::parse(&format!("127.0.0.1:{}", server.port), None).expect("options");
    options.confirm_limit = Duration::from_secs(2);
    let broker = AmqpBroker::new(options, Role::Consumer, Clock::system());
    let killed = async {
        for _ in 0..2 {
            server.kill();
            server.start_again().await;
        }
    };
    contract::nothing_is_lost_while(&broker, killed).await;
}

#[tokio::test]
async fn settling_ends_though_the_connection_ends_at_that_moment() {
    let corner = Corner::new(QueueKind::Classic);
    let wire = Wire::to(&corner.options());
    let mut options = corner.options();
    options.port = wire.port;
    let broker = AmqpBroker::new(options, Role::Consumer, Clock::system());
    for name in ["a", "b", "c"] {
        broker.publish(&TaskId::from_text(name), &Job::PublishArtifacts).await.expect("published");
    }
    let mut received = Vec::new();
    while received.len() < 3 {
        received.extend(broker.receive(3).await.expect("received"));
    }
    wire.cut();
    // The library's thread sees the end of the connection, and this one, which carries out what that one says, is busy.
    yield_now().await;
    thread::sleep(Duration::from_millis(500));
    let verdicts = received.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    // What it tells depends on how far that thread is; that it ends must not.
    let _ = timeout(Duration::from_secs(30), broker.settle(verdicts)).await.expect("it ends");
    contract::receive_all(&broker, 3).await;
}

#[tokio::test]
async fn a_publish_without_a_broker_fails_in_time_and_tells_why() {
    let mut options = AmqpOptions::parse("amqp://u:secret@127.0.0.1:1", None).expect("options");
    options.confirm_limit = Duration::from_millis(300);
    let broker = AmqpBroker::new(options, Role::Publisher, Clock::system());
    let error = broker.publish(&TaskId::random(), &Job::PublishArtifacts).await.expect_err("refused").to_string();
    assert!(error.contains("no confirm within 300ms: ") && !error.contains("secret"), "{error}");
}
