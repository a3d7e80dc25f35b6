//! What nobody can understand is put aside with the reason, and the work goes on.

use std::{collections::BTreeMap, env, time::Duration};

use fastrand::Rng;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use redis::aio::MultiplexedConnection;
use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{
    artifact::Artifact,
    checker::Checker,
    deployment::Deployment,
    fleet::{Carrier, Fleet},
    repository::Repository,
    say, services,
};

const MESSAGES: usize = 10_000;
const QUEUES: [&str; 2] = ["metadata_repository", "rstuf_internals"];
const DEAD_LETTERS: &str = "rstuf_dead_letters";
const TASK: &str = "app.repository_service_tuf_worker";
const REASON: &str = "x-rstuf-reason";
/// Of these there are few: they cost memory in the broker.
const HUGE_BYTES: usize = 8 << 20;
const EACH_SO_MANY_IS_HUGE: usize = 2_000;
/// So often a real request comes between them.
const EACH_SO_MANY_A_TASK: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn poison_is_put_aside_over_rabbitmq() {
    poison(Carrier::Rabbitmq).await;
}

#[tokio::test]
async fn poison_is_put_aside_over_redis() {
    poison(Carrier::Redis).await;
}

async fn poison(carrier: Carrier) {
    let seed = env::var("RSTUF_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    say(&format!("poison: RSTUF_TEST_SEED={seed}"));
    let mut random = Rng::with_seed(seed);
    let repository = Repository::on(Fleet::over(carrier).await, Layout::Succinct, 2).await;
    let mut fleet = repository.server;
    let mut broker = Broker::of(&fleet, carrier).await;
    let api = fleet.api();

    let mut tasks = Vec::new();
    for number in 0..MESSAGES {
        let queue = QUEUES[random.usize(..QUEUES.len())];
        broker.publish(queue, message(number, &mut random)).await;
        if number % EACH_SO_MANY_A_TASK == 0 {
            let artifact = Artifact::new(format!("between/{number}"), "poison");
            tasks.push(api.add(&[artifact]).await.expect("the server answers").task());
        }
    }
    for task in &tasks {
        api.success(task).await;
    }
    let all = async {
        while broker.dead_letters().await < MESSAGES {
            sleep(POLL_INTERVAL).await;
        }
    };
    let in_time = timeout(LIMIT, all).await;
    let count = broker.dead_letters().await;
    assert!(in_time.is_ok(), "{count} of {MESSAGES} are put aside");
    assert_eq!(count, MESSAGES);

    let reasons = broker.reasons().await;
    say(&format!("{count} put aside: {reasons:#?}"));
    assert_eq!(reasons.values().sum::<usize>(), MESSAGES, "each has a reason");
    for member in fleet.members() {
        assert_eq!(member.daemon.ended(), None, "{}", member.daemon.name());
        member.wait_until_ready().await;
    }
    let last = api.add(&[Artifact::new("after", "poison")]).await.expect("the server answers").task();
    api.success(&last).await;
    let repository = Repository { server: fleet, ceremony: repository.ceremony };
    let mut checker = Checker::new(&repository);
    checker.check();
    assert_eq!(checker.artifacts().len(), tasks.len() + 1);
}

/// Something that is no task: random bytes, JSON of other types, actions that nobody knows, and now and then something huge.
fn message(number: usize, random: &mut Rng) -> Vec<u8> {
    if number % EACH_SO_MANY_IS_HUGE == 1 {
        return json!([[], { "action": "add_artifacts", "payload": { "artifacts": "a".repeat(HUGE_BYTES) } }, {}])
            .to_string()
            .into_bytes();
    }
    let length = random.usize(..2000);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    let values = [json!(null), json!(-1), json!(1.5), json!("text"), json!([]), json!({}), json!([[[]]]), json!(true)];
    let value = values[random.usize(..values.len())].clone();
    let action = ["", "no_such_action", "__init__", "_private", "save_settings", "Add_Artifacts"][random.usize(..6)];
    let json = match random.usize(..7) {
        0 => return noise,
        1 => value,
        2 => json!([[], value, {}]),
        3 => json!([[], { "action": value, "payload": {} }, {}]),
        4 => json!([[], { "action": action, "payload": value }, {}]),
        // An empty list would be a good request.
        5 if value != json!([]) => {
            json!([[], { "action": "add_artifacts", "payload": { "artifacts": value, "number": number } }, {}])
        }
        _ => json!([[], { "action": "bootstrap", "payload": value }, {}]),
    };
    json.to_string().into_bytes()
}

/// The broker as somebody sees it who means no good.
enum Broker {
    Rabbitmq { _connection: Box<Connection>, channel: Box<Channel> },
    Redis(MultiplexedConnection),
}

impl Broker {
    async fn of(fleet: &Fleet, carrier: Carrier) -> Self {
        match carrier {
            Carrier::Rabbitmq => {
                let connection = Connection::connect(&fleet.broker(), ConnectionProperties::default()).await;
                let connection = connection.expect("RabbitMQ answers");
                let channel = connection.create_channel().await.expect("RabbitMQ answers");
                channel.confirm_select(ConfirmSelectOptions::default()).await.expect("RabbitMQ answers");
                Self::Rabbitmq { _connection: Box::new(connection), channel: Box::new(channel) }
            }
            Carrier::Redis => Self::Redis(services::redis(&fleet.broker()).await),
        }
    }

    /// Puts a message into a queue, as a task of Celery where it is text.
    async fn publish(&mut self, queue: &str, message: Vec<u8>) {
        let id = format!("poison-{:016x}", fastrand::u64(..));
        match self {
            Self::Rabbitmq { channel, .. } => {
                let mut headers = FieldTable::default();
                for (name, value) in [("task", TASK), ("id", &id)] {
                    headers.insert(name.into(), AMQPValue::LongString(value.into()));
                }
                let options = BasicPublishOptions::default();
                let properties = match str::from_utf8(&message) {
                    Ok(_) => BasicProperties::default().with_headers(headers),
                    Err(_) => BasicProperties::default(),
                };
                let sent = channel.basic_publish("".into(), queue.into(), options, &message, properties).await;
                sent.expect("RabbitMQ answers").await.expect("RabbitMQ takes it");
            }
            Self::Redis(connection) => {
                let message = match str::from_utf8(&message) {
                    Ok(text) => json!({
                        "body": text,
                        "content-encoding": "utf-8",
                        "content-type": "application/json",
                        "headers": { "task": TASK, "id": id },
                        "properties": { "correlation_id": id, "delivery_tag": id, "delivery_mode": 2, "priority": 0 },
                    })
                    .to_string()
                    .into_bytes(),
                    Err(_) => message,
                };
                let mut push = redis::cmd("LPUSH");
                let () = push.arg(queue).arg(message).query_async(connection).await.expect("Redis answers");
            }
        }
    }

    async fn dead_letters(&mut self) -> usize {
        match self {
            Self::Rabbitmq { channel, .. } => {
                let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let queue = channel.queue_declare(DEAD_LETTERS.into(), passive, FieldTable::default()).await;
                queue.expect("the queue is there").message_count() as usize
            }
            Self::Redis(connection) => {
                redis::cmd("LLEN").arg(DEAD_LETTERS).query_async(connection).await.expect("Redis answers")
            }
        }
    }

    /// How often each reason was given; takes the letters.
    async fn reasons(&mut self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        match self {
            Self::Rabbitmq { channel, .. } => {
                let taken = BasicGetOptions { no_ack: true };
                while let Some(letter) = channel.basic_get(DEAD_LETTERS.into(), taken).await.expect("RabbitMQ answers")
                {
                    let headers = letter.properties.headers().clone().unwrap_or_default();
                    let reason = headers.inner().get(REASON).and_then(|reason| reason.as_long_string().cloned());
                    let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
                    *reasons.entry(kind(&reason.expect("a letter has a reason"))).or_default() += 1;
                }
            }
            Self::Redis(connection) => {
                let mut pop = redis::cmd("RPOP");
                pop.arg(DEAD_LETTERS);
                while let Some(letter) = pop.query_async::<Option<Vec<u8>>>(connection).await.expect("Redis answers") {
                    let letter: Value = serde_json::from_slice(&letter).expect("a letter is JSON");
                    *reasons.entry(kind(letter["reason"].as_str().expect("a letter has a reason"))).or_default() += 1;
                }
            }
        }
        reasons
    }
}

/// A reason without what differs from message to message.
fn kind(reason: &str) -> String {
    assert!(!reason.is_empty(), "a reason says something");
    let words: Vec<_> = reason.split_whitespace().take(6).collect();
    words.join(" ").chars().filter(|letter| !letter.is_ascii_digit()).collect()
}
