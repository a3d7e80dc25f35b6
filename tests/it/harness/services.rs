//! PostgreSQL, Redis and RabbitMQ for a fleet: a share of the servers that `scripts/servers.sh` started, or servers of its
//! own, which a test may kill.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio_postgres::NoTls;
use url::Url;

use super::{checkout, deployment::lasting_ports, fleet::Carrier};

const START_LIMIT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// `scripts/server.sh` makes so many virtual hosts.
const VIRTUAL_HOSTS: u16 = 32;
/// `scripts/server.sh` gives Redis 128 databases; a fleet takes three of them, and leaves the first to others.
const REDIS_SHARES: u16 = 42;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Redis,
    Rabbitmq,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Rabbitmq => "rabbitmq",
        }
    }

    /// What a client says first, and how the server answers when it is ready for more.
    fn greeting(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Kind::Postgres => (b"\0\0\0\x08\x04\xd2\x16\x2f", b"N"),
            Kind::Redis => (b"PING\r\n", b"+PONG"),
            Kind::Rabbitmq => (b"AMQP\0\0\x09\x01", b"\x01\0\0"),
        }
    }
}

/// A server of a test's own, a process group. It is killed when this is dropped.
pub(crate) struct Service {
    kind: Kind,
    directory: PathBuf,
    port: u16,
    /// With one, it speaks TLS alone.
    identity: Option<PathBuf>,
    child: Option<Child>,
}

impl Service {
    /// A server that does not run yet, on an empty directory and free ports.
    pub(crate) fn new(kind: Kind, parent: &Path) -> Self {
        Self { kind, directory: parent.join(kind.name()), port: lasting_ports(3), identity: None, child: None }
    }

    /// One that speaks TLS alone, with the certificate and for the user in the directory `identity`.
    pub(crate) fn over_tls(kind: Kind, parent: &Path, identity: PathBuf) -> Self {
        let mut service = Self::new(kind, parent);
        service.identity = Some(identity);
        service
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, after an earlier end with what that left, and does not wait.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.kind.name());
        fs::create_dir_all(&self.directory).expect("a directory can be made");
        let log = File::options().create(true).append(true).open(self.log()).expect("a log can be opened");
        let child = Command::new(checkout().join("scripts/server.sh"))
            .arg(self.kind.name())
            .arg(&self.directory)
            .arg(self.port.to_string())
            .args(&self.identity)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("scripts/server.sh can be started");
        self.child = Some(child);
    }

    /// Waits until it answers. One whose predecessor has not let go of everything yet is started again.
    pub(crate) fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        while !self.answers() {
            assert!(Instant::now() < deadline, "{} is not ready: {}", self.kind.name(), self.last_words());
            let child = self.child.as_mut().expect("it was started");
            if child.try_wait().expect("a child can be waited for").is_some() {
                self.kill();
                self.spawn();
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Ends everything of it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        // The group may have ended by itself; then only the wait is left.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        child.wait().expect("a child can be waited for");
    }

    /// Asks its first process to end with this signal, and waits until all of it has.
    pub(crate) fn end(&mut self, signal: Signal) {
        let child = self.child.as_mut().expect("it was started");
        kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
        child.wait().expect("a child can be waited for");
        self.kill();
    }

    /// Sends this signal to all of it.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it was started");
        kill_process_group(Pid::from_child(child), signal).expect("a group can be signalled");
    }

    fn answers(&self) -> bool {
        let (question, answer) = self.kind.greeting();
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            if self.identity.is_some() {
                // More it does not tell without TLS.
                return Ok(true);
            }
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(question)?;
            let mut found = vec![0; answer.len()];
            stream.read_exact(&mut found)?;
            Ok(found == answer)
        };
        ask().unwrap_or(false)
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Where a fleet finds its servers, and what is its own on them.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// The ledger's database, with the user.
    pub(crate) postgres: String,
    /// The port of Redis.
    pub(crate) redis_port: u16,
    /// The database of the results; the next one holds the settings, and the one after that is for a broker.
    pub(crate) redis_database: u16,
    /// The virtual host of RabbitMQ.
    pub(crate) amqp: String,
}

impl Addresses {
    /// A share of the servers that `scripts/servers.sh` started: new, and nobody else's.
    pub(crate) async fn shared(carrier: Carrier) -> Self {
        static SHARES: AtomicU16 = AtomicU16::new(0);
        static HOSTS: AtomicU16 = AtomicU16::new(0);
        let share = SHARES.fetch_add(1, Ordering::Relaxed);
        assert!(share < REDIS_SHARES, "more fleets than scripts/server.sh has databases of Redis for");
        let host = match carrier {
            Carrier::Rabbitmq => HOSTS.fetch_add(1, Ordering::Relaxed),
            Carrier::Redis => 0,
        };
        assert!(host < VIRTUAL_HOSTS, "more fleets than scripts/server.sh has virtual hosts for");
        let redis = Url::parse(&started("RSTUF_TEST_REDIS")).expect("the address is a URL");
        let addresses = Self {
            postgres: shared_database().await,
            redis_port: redis.port().expect("the address has a port"),
            redis_database: 1 + 3 * share,
            amqp: format!("{}/it-{host}", started("RSTUF_TEST_AMQP")),
        };
        addresses.clear_redis().await;
        addresses
    }

    /// The Redis database of this number, as a URL.
    fn redis_at(&self, database: u16) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.redis_port)
    }

    /// Where results are.
    pub(crate) fn results(&self) -> String {
        self.redis_at(self.redis_database)
    }

    /// Where settings are.
    pub(crate) fn settings(&self) -> String {
        self.redis_at(self.redis_database + 1)
    }

    /// Redis as a broker.
    pub(crate) fn redis_broker(&self) -> String {
        self.redis_at(self.redis_database + 2)
    }

    async fn clear_redis(&self) {
        for url in [self.results(), self.settings(), self.redis_broker()] {
            let mut connection = redis(&url).await;
            let () = ::redis::cmd("FLUSHDB").query_async(&mut connection).await.expect("Redis answers");
        }
    }
}

/// The servers of a fleet that a test may harm.
pub(crate) struct Private {
    pub(crate) postgres: Service,
    pub(crate) redis: Service,
    pub(crate) rabbitmq: Service,
}

impl Private {
    /// Servers that do not run yet, below this directory.
    pub(crate) fn new(parent: &Path) -> Self {
        let service = |kind| Service::new(kind, parent);
        Self { postgres: service(Kind::Postgres), redis: service(Kind::Redis), rabbitmq: service(Kind::Rabbitmq) }
    }

    /// Starts all, and waits until they answer.
    pub(crate) fn start(&mut self) {
        let mut all = [&mut self.postgres, &mut self.redis, &mut self.rabbitmq];
        all.iter_mut().for_each(|service| service.spawn());
        all.iter_mut().for_each(|service| service.wait_until_ready());
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            postgres: format!("postgres://rstuf@127.0.0.1:{}/postgres", self.postgres.port),
            redis_port: self.redis.port,
            redis_database: 0,
            amqp: format!("amqp://guest:guest@127.0.0.1:{}", self.rabbitmq.port),
        }
    }
}

/// What `scripts/servers.sh` says of a server.
fn started(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the tests through scripts/servers.sh, as in CONTRIBUTING.md")
    })
}

/// A new database on the server that `scripts/servers.sh` started.
pub(crate) async fn shared_database() -> String {
    database(&started("RSTUF_TEST_POSTGRES")).await
}

/// Executes statements in the database at this URL.
pub(crate) async fn execute(url: &str, statements: &str) {
    postgres(url).await.batch_execute(statements).await.expect("PostgreSQL does it");
}

/// A new database on the server of `url`, which names another one.
pub(crate) async fn database(url: &str) -> String {
    let name = format!("it_{:016x}", fastrand::u64(..));
    let client = postgres(url).await;
    client.batch_execute(&format!("create database {name}")).await.expect("a database can be made");
    let mut url = Url::parse(url).expect("the address is a URL");
    url.set_path(&name);
    url.into()
}

/// A session of the database at this URL, once it takes one.
pub(crate) async fn postgres(url: &str) -> tokio_postgres::Client {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                // It ends with the client.
                tokio::spawn(connection);
                return client;
            }
            Err(error) => assert!(Instant::now() < deadline, "{url}: {error}"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A connection to the Redis database at this URL.
pub(crate) async fn redis(url: &str) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(url).expect("the address is a URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}
