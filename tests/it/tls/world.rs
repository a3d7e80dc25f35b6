//! Servers that speak TLS alone, and the programs that use them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Certificate;
use tempfile::TempDir;

use super::relay::{Peer, Relay};
use crate::harness::{
    api::{Api, client_builder},
    checkout,
    daemon::Daemon,
    deployment::{Deployment, lasting_port},
    fleet::Member,
    python, say,
    server::{program, temporary_directory},
    services::{Kind, Service},
    web::Web,
};

/// Both need percent-encoding in a URL.
const USER: &str = "canary@user";
const PASSWORD: &str = "canary-p@ss/w%rd:?&+;=~ü";
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Where secrets may be read from.
const SECRETS: &str = "/run/secrets";
/// Held by who makes that directory or takes it away.
static SECRETS_ARE_MADE: Mutex<()> = Mutex::new(());

/// Whose certificates the programs trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of the authority that made the servers' certificates.
    Ours,
    /// Those of another one.
    Stranger,
    /// Those of the system alone.
    System,
}

/// How the programs look for the servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// What they call this machine; the certificates call it `localhost`.
    pub(crate) host: &'static str,
    pub(crate) trust: Trust,
    pub(crate) sslmode: &'static str,
    /// Which of the servers is the broker.
    pub(crate) broker: Kind,
    /// The file of the system's certificates, if it is another one.
    pub(crate) system: Option<&'static str>,
}

impl View {
    /// All is well.
    pub(crate) const GOOD: Self =
        Self { host: "localhost", trust: Trust::Ours, sslmode: "verify-full", broker: Kind::Rabbitmq, system: None };
}

/// PostgreSQL, Redis and RabbitMQ, each behind a relay.
pub(crate) struct World {
    pub(crate) api: Option<Member>,
    pub(crate) worker: Option<Member>,
    pub(crate) relays: [Relay; 3],
    web: Web,
    secrets: Option<TempDir>,
    _servers: Vec<Service>,
    directory: TempDir,
}

impl World {
    /// Starts the servers.
    pub(crate) fn new() -> Self {
        let directory = temporary_directory();
        let identity = directory.path().join("identity");
        for needed in [&identity, &directory.path().join("keys"), &directory.path().join("www/metadata")] {
            fs::create_dir_all(needed).expect("a directory can be made");
        }
        make_certificates(&identity);
        fs::write(identity.join("user"), USER).expect("a file can be written");
        fs::write(identity.join("password"), PASSWORD).expect("a file can be written");
        let kinds = [Kind::Postgres, Kind::Redis, Kind::Rabbitmq];
        let mut servers = kinds.map(|kind| Service::over_tls(kind, directory.path(), identity.clone()));
        servers.iter_mut().for_each(Service::spawn);
        servers.iter_mut().for_each(Service::wait_until_ready);
        let relays = servers.each_ref().map(|server| Relay::of(Peer::Server(server.port())));
        Self::of(directory, relays, servers.into())
    }

    /// Nobody at the ports of the servers: who asks for TLS there gets an answer that is none.
    pub(crate) fn without_servers() -> Self {
        let directory = temporary_directory();
        let identity = directory.path().join("identity");
        for needed in [&identity, &directory.path().join("keys")] {
            fs::create_dir_all(needed).expect("a directory can be made");
        }
        make_certificates(&identity);
        // What PostgreSQL says without TLS; Redis to noise; RabbitMQ to a protocol that it does not know.
        let answers: [&[u8]; 3] = [b"N", b"-ERR unknown command\r\n", b"AMQP\0\0\x09\x01"];
        Self::of(directory, answers.map(|answer| Relay::of(Peer::Nobody(answer))), Vec::new())
    }

    fn of(directory: TempDir, relays: [Relay; 3], servers: Vec<Service>) -> Self {
        let secrets = {
            let _alone = SECRETS_ARE_MADE.lock().unwrap_or_else(PoisonError::into_inner);
            fs::create_dir_all(SECRETS).and_then(|()| TempDir::new_in(SECRETS))
        };
        if let Err(error) = &secrets {
            say(&format!("secrets are given without files: {SECRETS} can't be written ({error})"));
        }
        Self {
            api: None,
            worker: None,
            relays,
            web: Web::serve(directory.path().join("www")),
            secrets: secrets.ok(),
            _servers: servers,
            directory,
        }
    }

    /// What no program may tell.
    pub(crate) fn canaries(&self) -> Vec<String> {
        let key = self.identity("key.pem");
        let key = fs::read_to_string(key).expect("there is a key").lines().nth(1).expect("it has lines").to_owned();
        let bytes = PASSWORD.as_bytes().iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        vec![PASSWORD.to_owned(), encoded(PASSWORD), bytes, key]
    }

    /// What a command says and how it ends, all secrets kept.
    pub(crate) fn run(&self, view: View, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } =
            self.command(view).args(arguments).output().expect("rstufd can be started");
        let told = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        self.assert_kept(&told);
        (status.code(), told)
    }

    /// Asserts that no secret is in a text.
    pub(crate) fn assert_kept(&self, told: &str) {
        for canary in self.canaries() {
            assert!(!told.contains(&canary), "a secret was told: {canary}: {told}");
        }
    }

    /// Applies the schema, once the database takes it.
    pub(crate) fn migrate(&self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let (code, told) = self.run(View::GOOD, &["migrate"]);
            if code == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "{told}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts an API and a worker, and waits until they are ready.
    pub(crate) async fn start(&mut self, view: View) {
        self.spawn(view);
        for member in [&mut self.api, &mut self.worker].into_iter().flatten() {
            member.wait_until_ready().await;
        }
    }

    /// Starts an API and a worker.
    pub(crate) fn spawn(&mut self, view: View) {
        self.api = Some(self.member("api", view));
        self.worker = Some(self.member("worker", view));
    }

    /// Asks both to end, and waits until they have.
    pub(crate) fn stop(&mut self) {
        for member in [&mut self.api, &mut self.worker].into_iter().flatten() {
            member.daemon.stop();
        }
    }

    /// All that was logged.
    pub(crate) fn logs(&self) -> String {
        let members = [&self.api, &self.worker];
        members.into_iter().flatten().map(|member| member.daemon.words()).collect()
    }

    fn member(&self, kind: &'static str, view: View) -> Member {
        let (listen, health) = (lasting_port(), lasting_port());
        let mut settings = self.settings(view);
        if kind == "api" {
            let is_shared =
                |name: &str| ["RSTUF_BROKER", "RSTUF_REDIS", "RSTUF_CA"].iter().any(|part| name.starts_with(part));
            settings.retain(|(name, _)| is_shared(name));
            settings.extend(self.settings_of_https());
            settings.push(("RSTUF_LISTEN", format!("127.0.0.1:{listen}")));
        }
        let log = self.directory.path().join(format!("{kind}.log"));
        let mut daemon = Daemon::new(kind, log, move || {
            let mut command = program();
            command.arg(kind).envs(settings.iter().cloned());
            command.env("RSTUF_METRICS_LISTEN", format!("127.0.0.1:{health}")).env("RSTUF_LOG_LEVEL", "trace");
            command
        });
        daemon.spawn();
        Member { daemon, health: format!("http://127.0.0.1:{health}"), url: format!("https://localhost:{listen}") }
    }

    /// A program with the settings of a worker.
    fn command(&self, view: View) -> Command {
        let mut command = program();
        command.envs(self.settings(view));
        command
    }

    fn settings(&self, view: View) -> Vec<(&'static str, String)> {
        let View { host, trust, sslmode, broker: kind, system } = view;
        let (user, password) = (encoded(USER), encoded(PASSWORD));
        let [postgres, redis, rabbitmq] = self.relays.each_ref().map(Relay::port);
        let redis = format!("rediss://{user}:{password}@{host}:{redis}");
        let broker = match kind {
            Kind::Redis => format!("{redis}/2"),
            _ => format!("amqps://{user}:{password}@{host}:{rabbitmq}/it-0"),
        };
        let mut settings = vec![
            ("RSTUF_BROKER_SERVER", self.secret(&format!("broker-{kind:?}-{host}"), broker)),
            ("RSTUF_REDIS_SERVER", self.secret(&format!("redis-{host}"), redis)),
            ("RSTUF_DB_SERVER", format!("postgresql://{host}:{postgres}/postgres?sslmode={sslmode}")),
            ("RSTUF_DB_USER", USER.to_owned()),
            ("RSTUF_DB_PASSWORD", self.secret("database", PASSWORD.to_owned())),
            ("RSTUF_STORAGE_BACKEND", "LocalStorage".to_owned()),
            ("RSTUF_LOCAL_STORAGE_BACKEND_PATH", text(&self.bucket())),
            ("RSTUF_ONLINE_KEY_DIR", text(&self.keys())),
        ];
        if let Some(file) = system {
            settings.push(("SSL_CERT_FILE", text(&self.identity(file))));
        }
        let file = match trust {
            Trust::Ours => "ca.pem",
            Trust::Stranger => "stranger.pem",
            Trust::System => return settings,
        };
        settings.push(("RSTUF_CA_FILE", text(&self.identity(file))));
        settings
    }

    fn settings_of_https(&self) -> [(&'static str, String); 2] {
        [
            ("SECRETS_RSTUF_SSL_CERT", text(&self.identity("cert.pem"))),
            ("SECRETS_RSTUF_SSL_KEY", text(&self.identity("key.pem"))),
        ]
    }

    /// A file of the certificates and keys.
    pub(crate) fn identity(&self, file: &str) -> PathBuf {
        self.directory.path().join("identity").join(file)
    }

    /// The path of a file with this secret, or the secret where no such file can be made.
    fn secret(&self, name: &str, secret: String) -> String {
        let Some(secrets) = &self.secrets else { return secret };
        let file = secrets.path().join(name);
        // A program may be reading it.
        if !file.exists() {
            fs::write(&file, secret + "\n").expect("a file can be written");
        }
        text(&file)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _alone = SECRETS_ARE_MADE.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.secrets.take());
        // It may be somebody else's, and is not empty then.
        let _ = fs::remove_dir(SECRETS);
    }
}

impl Deployment for World {
    fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn bucket(&self) -> PathBuf {
        self.directory.path().join("www/metadata")
    }

    fn url(&self) -> String {
        self.api.as_ref().expect("it was started").url.clone()
    }

    fn metadata_url(&self) -> String {
        format!("{}/metadata/", self.web.url())
    }

    fn api(&self) -> Api {
        let authority = fs::read(self.identity("ca.pem")).expect("there is an authority");
        let authority = Certificate::from_pem(&authority).expect("it is a certificate");
        let client = client_builder().tls_certs_only([authority]).build().expect("the options are good");
        Api::trusted_by(client, &self.url())
    }
}

fn make_certificates(directory: &Path) {
    let script = checkout().join("tests/it/tls/certificates.py");
    let status = Command::new(python()).arg(script).arg(directory).status().expect("Python can be started");
    assert!(status.success(), "no certificates: {status}");
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
