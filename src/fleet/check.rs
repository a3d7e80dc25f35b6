//! Whether each part that a program would use is reached, a line each.

use std::{fmt, fs, future::Future, io, path::Path, time::Duration};

use tokio::{join, time::timeout};

use super::{BrokerOptions, Shared, api, worker};
use crate::{
    clock::Clock,
    queue::Role,
    store::{postgres, settings::BOOTSTRAP},
    task::TaskId,
};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// What to do about a server that nobody vouches for.
const OF_CERTIFICATES: &str = "check that ca_file has the authority of the server's certificate, and that the address has the \
    name that the certificate is for";

/// How one part was found.
#[derive(Debug)]
pub struct Finding {
    part: &'static str,
    place: String,
    /// What it said, or what is wrong and what to do.
    found: Result<String, String>,
}

impl Finding {
    /// Whether the part can be used.
    pub fn is_good(&self) -> bool {
        self.found.is_ok()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, said) = match &self.found {
            Ok(said) => ("ok", said),
            Err(said) => ("FAULT", said),
        };
        write!(f, "{word:<5}  {:<9}  {}: {said}", self.part, self.place)
    }
}

/// Asks the parts of an API instance.
pub async fn api(options: &api::Options) -> Vec<Finding> {
    shared(&options.shared).await
}

/// Asks the parts of a worker.
pub async fn worker(options: &worker::Options) -> Vec<Finding> {
    let (mut findings, database) = join!(shared(&options.shared), database(&options.database));
    findings.push(database);
    findings.push(bucket(&options.bucket));
    findings.push(keys(&options.keys));
    findings
}

/// Looks at the directories of a standalone server.
pub fn standalone(options: &crate::standalone::Options) -> Vec<Finding> {
    let data = options.data_dir.as_path();
    let mut findings = vec![Finding { part: "data", place: data.display().to_string(), found: writable(data) }];
    // The server makes it when it starts.
    if options.key_dir.exists() {
        findings.push(keys(&options.key_dir));
    }
    findings
}

async fn shared(shared: &Shared) -> Vec<Finding> {
    let broker_place = match &shared.broker {
        BrokerOptions::Amqp(options) => options.to_string(),
        BrokerOptions::Redis(server) => server.to_string(),
    };
    let redis = shared.redis.to_string();
    let places = [
        ("broker", broker_place),
        ("settings", format!("{redis}, database {}", shared.settings_database)),
        ("results", format!("{redis}, database {}", shared.result_database)),
    ];
    let found = match shared.connect(Role::Publisher, &Clock::system()) {
        Err(error) => [0; 3].map(|_| Err(error.to_string())),
        Ok(parts) => {
            let nobody = TaskId::from_text("check-config");
            let (broker, settings, results) = join!(
                answer(parts.broker.depth(), "check that the broker runs, broker_server, and the user's rights"),
                answer(parts.settings.get(BOOTSTRAP), "check that Redis runs, and redis_server"),
                answer(parts.results.get(&nobody), "check that Redis runs, and redis_server"),
            );
            [
                broker.map(|jobs| format!("{jobs} job(s) wait")),
                settings.map(|state| match state.as_str() {
                    Some(state) => format!("the bootstrap is {state}"),
                    None => "no bootstrap yet".to_owned(),
                }),
                results.map(|_| "answers".to_owned()),
            ]
        }
    };
    places.into_iter().zip(found).map(|((part, place), found)| Finding { part, place, found }).collect()
}

async fn database(options: &postgres::Options) -> Finding {
    let found =
        answer(postgres::check_schema(options), "check that PostgreSQL runs, db_server, db_user and db_password").await;
    let found = found.map(|()| format!("its schema suits this program, which knows version {}", postgres::VERSION));
    Finding { part: "database", place: options.to_string(), found }
}

/// What a part answers in time, or else what is wrong and what to do.
async fn answer<T, E: fmt::Display>(asked: impl Future<Output = Result<T, E>>, remedy: &str) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        // Some errors say themselves what to do.
        Ok(Err(error)) if error.to_string().contains("rstufd") => Err(error.to_string()),
        Ok(Err(error)) if error.to_string().contains("certificate") => Err(format!("{error}; {OF_CERTIFICATES}")),
        Ok(Err(error)) => Err(format!("{error}; {remedy}")),
        Err(_) => Err(format!("no answer within {} s; {remedy}", PATIENCE.as_secs())),
    }
}

fn bucket(path: &Path) -> Finding {
    Finding { part: "bucket", place: path.display().to_string(), found: writable(path) }
}

/// Whether files can be made in a directory, or in the nearest one above it that there is.
fn writable(path: &Path) -> Result<String, String> {
    let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let failed = |error: io::Error| {
        format!("can't be written ({error}); give the user of this process the right to write into {}", there.display())
    };
    let mut probe = tempfile::tempfile_in(there).map_err(failed)?;
    io::Write::write_all(&mut probe, b"rstuf").and_then(|()| probe.sync_all()).map_err(failed)?;
    Ok(if there == path { "can be written".to_owned() } else { "will be made".to_owned() })
}

fn keys(path: &Path) -> Finding {
    let found = fs::read_dir(path)
        .map(|files| match files.count() {
            0 => "can be read, and has no key yet".to_owned(),
            count => format!("can be read, {count} file(s)"),
        })
        .map_err(|error| {
            format!("can't be read ({error}); make the directory and give this process the right to read it")
        });
    Finding { part: "keys", place: path.display().to_string(), found }
}
