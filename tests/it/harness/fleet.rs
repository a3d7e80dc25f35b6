//! APIs and workers as processes of their own, over RabbitMQ or Redis, with PostgreSQL and Redis beside them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    api::{Api, client_builder},
    daemon::Daemon,
    deployment::{Deployment, ROTATION_GRACE_SECONDS, lasting_port},
    mount::Mount,
    server::{program, temporary_directory},
    services::{Addresses, Private},
    web::Web,
};

const READY_LIMIT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What carries tasks from the APIs to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Rabbitmq,
    Redis,
}

/// Whose PostgreSQL, Redis and RabbitMQ a fleet runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Those that `scripts/servers.sh` started, with other tests.
    Shared,
    /// Its own; they run already.
    Private,
    /// Its own; they do not run yet, and the schema is not there.
    PrivateAndDown,
}

/// What a fleet consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) apis: usize,
    pub(crate) workers: usize,
    pub(crate) carrier: Carrier,
    pub(crate) servers: Servers,
}

/// An API or a worker.
pub(crate) struct Member {
    pub(crate) daemon: Daemon,
    /// Where it tells how it is.
    pub(crate) health: String,
    /// Of an API: where it listens.
    pub(crate) url: String,
}

/// A fleet. Everything that belongs to it is killed and removed when this is dropped.
pub(crate) struct Fleet {
    pub(crate) apis: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    pub(crate) private: Option<Private>,
    pub(crate) addresses: Addresses,
    /// What the bucket is on, if a test put something there.
    pub(crate) mount: Option<Mount>,
    carrier: Carrier,
    web: Web,
    directory: TempDir,
    /// Several fleets at once would only wait for each other.
    _alone: MutexGuard<'static, ()>,
}

impl Fleet {
    /// One API and two workers on shared servers, ready.
    pub(crate) async fn over(carrier: Carrier) -> Self {
        Self::start(Plan { apis: 1, workers: 2, carrier, servers: Servers::Shared }).await
    }

    /// Makes a fleet and waits until all of it is ready, unless its servers are to be down.
    pub(crate) async fn start(plan: Plan) -> Self {
        let mut fleet = Self::prepare(plan).await;
        if plan.servers != Servers::PrivateAndDown {
            fleet.migrate();
            fleet.members().for_each(|member| member.daemon.spawn());
            fleet.wait_until_ready().await;
        }
        fleet
    }

    /// Makes a fleet whose programs do not run yet.
    pub(crate) async fn prepare(plan: Plan) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let directory = temporary_directory();
        let www = directory.path().join("www");
        for needed in [directory.path().join("keys"), www.join("metadata"), www.join("artifacts")] {
            std::fs::create_dir_all(needed).expect("a directory can be made");
        }
        let mut private = (plan.servers != Servers::Shared).then(|| Private::new(directory.path()));
        if let (Servers::Private, Some(private)) = (plan.servers, &mut private) {
            private.start();
        }
        let addresses = match &private {
            Some(private) => private.addresses(),
            None => Addresses::shared(plan.carrier).await,
        };
        let mut fleet = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            private,
            addresses,
            mount: None,
            carrier: plan.carrier,
            web: Web::serve(www),
            directory,
            _alone: alone,
        };
        fleet.apis = (0..plan.apis).map(|number| fleet.member("api", number, &[])).collect();
        fleet.workers = (0..plan.workers).map(|number| fleet.member("worker", number, &[])).collect();
        fleet
    }

    /// A program of this fleet that does not run yet, started by what `before` says.
    pub(crate) fn member(&self, kind: &'static str, number: usize, before: &[&str]) -> Member {
        let name = format!("{kind} {number}");
        let (listen, health) = (lasting_port(), lasting_port());
        let mut settings = self.settings();
        if kind == "api" {
            // It has broker and Redis alone.
            settings.retain(|(name, _)| name.starts_with("RSTUF_BROKER_") || name.starts_with("RSTUF_REDIS_"));
        }
        settings.extend([
            ("RSTUF_METRICS_LISTEN", format!("127.0.0.1:{health}")),
            ("RSTUF_LOG_LEVEL", "info,actix_server=warn".to_owned()),
        ]);
        match kind {
            "api" => settings.push(("RSTUF_LISTEN", format!("127.0.0.1:{listen}"))),
            _ => settings.push(("RSTUF_WORKER_ID", name.replace(' ', "-"))),
        }
        let before: Vec<String> = before.iter().map(|&part| part.to_owned()).collect();
        let log = self.directory.path().join(format!("{kind}-{number}.log"));
        let daemon = Daemon::new(name, log, move || {
            let mut command = wrapped(&before);
            command.arg(kind).envs(settings.iter().cloned());
            command
        });
        Member { daemon, health: format!("http://127.0.0.1:{health}"), url: format!("http://127.0.0.1:{listen}") }
    }

    /// The environment of workers, under the names of the Python service.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let Addresses { postgres, redis_port, redis_database, amqp } = &self.addresses;
        let broker = match self.carrier {
            Carrier::Rabbitmq => amqp.clone(),
            Carrier::Redis => self.addresses.redis_broker(),
        };
        vec![
            ("RSTUF_BROKER_SERVER", broker),
            ("RSTUF_REDIS_SERVER", "redis://127.0.0.1".to_owned()),
            ("RSTUF_REDIS_SERVER_PORT", redis_port.to_string()),
            ("RSTUF_REDIS_SERVER_DB_RESULT", redis_database.to_string()),
            ("RSTUF_REDIS_SERVER_DB_REPO_SETTINGS", (redis_database + 1).to_string()),
            ("RSTUF_DB_SERVER", postgres.clone()),
            ("RSTUF_STORAGE_BACKEND", "LocalStorage".to_owned()),
            ("RSTUF_LOCAL_STORAGE_BACKEND_PATH", text(&self.bucket())),
            ("RSTUF_ONLINE_KEY_DIR", text(&self.keys())),
            ("RSTUF_ROTATION_GRACE", ROTATION_GRACE_SECONDS.to_owned()),
        ]
    }

    /// Applies the schema, as an operator does.
    pub(crate) fn migrate(&self) {
        let output = program()
            .arg("migrate")
            .envs(self.settings().into_iter().filter(|(name, _)| name.starts_with("RSTUF_DB_")))
            .output()
            .expect("rstufd can be started");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rstufd migrate ended with {}: {words}", output.status);
    }

    /// All programs.
    pub(crate) fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.apis.iter_mut().chain(&mut self.workers)
    }

    /// Waits until each program that was started says that it is ready.
    pub(crate) async fn wait_until_ready(&mut self) {
        for member in self.members() {
            if member.daemon.is_started() {
                member.wait_until_ready().await;
            }
        }
    }

    /// Where the web server has the artifacts, for who puts them into the directory `www/artifacts`.
    pub(crate) fn artifacts_url(&self) -> String {
        format!("{}/artifacts/", self.web.url())
    }

    /// The broker as a URL.
    pub(crate) fn broker(&self) -> String {
        match self.carrier {
            Carrier::Rabbitmq => self.addresses.amqp.clone(),
            Carrier::Redis => self.addresses.redis_broker(),
        }
    }
}

impl Member {
    /// What it says of its readiness: the status and the body, `None` when it does not answer.
    pub(crate) async fn readiness(&self) -> Option<(u16, String)> {
        let client = client_builder().build().expect("the options are good");
        let response = client.get(format!("{}/readyz", self.health)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Waits until it is ready.
    pub(crate) async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let readiness = self.readiness().await;
            if readiness.as_ref().is_some_and(|(status, _)| *status == 200) {
                return;
            }
            let (name, ended) = (self.daemon.name().to_owned(), self.daemon.ended());
            assert_eq!(ended, None, "{name} ended: {}", self.daemon.last_words());
            assert!(Instant::now() < deadline, "{name} is not ready: {readiness:?} {}", self.daemon.last_words());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Deployment for Fleet {
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
        self.apis[0].url.clone()
    }

    fn metadata_url(&self) -> String {
        format!("{}/metadata/", self.web.url())
    }

    fn all_apis(&self) -> Vec<Api> {
        self.apis.iter().map(|api| Api::at(&api.url)).collect()
    }
}

/// The program under test, started by another one if `before` names one.
fn wrapped(before: &[String]) -> Command {
    let program = program();
    let Some((first, rest)) = before.split_first() else { return program };
    let mut command = Command::new(first);
    super::server::without_settings(&mut command);
    command.args(rest).arg(program.get_program());
    command
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
