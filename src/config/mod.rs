//! Every setting of every program with its meaning, and the layers that they come from: flags, then the environment, then a
//! file, then defaults.
//!
//! Each program has a table ([`Program`]). Reading ends in a [`Reading`], which has what was read, where each value came from, what
//! is worth saying, and all faults at once; no secret is in any text of it.

use std::{collections::BTreeMap, env, fmt, path::PathBuf};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::telemetry::LogFormat;

pub mod api;
mod fleet;
mod layers;
mod names;
mod reader;
mod secret;
pub mod standalone;
pub mod worker;

pub use names::Program;

use reader::Reader;

/// A setting: its name in a file (and, in capitals after `RSTUF_`, in the environment), its default, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// How it may be shown.
    pub shown: Shown,
}

/// How a setting may be shown, and whether its value may be a path to a file that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Whole,
    /// Without user, password and query; may be a path below `/run/secrets`.
    WithoutCredentials,
    /// Never; may be a path below `/run/secrets`.
    Never,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning, shown: Shown::Whole }
}

const fn address(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default: "", meaning, shown: Shown::WithoutCredentials }
}

const fn secret(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default: "", meaning, shown: Shown::Never }
}

/// What was wrong with a configuration: everything at once.
#[derive(Debug, Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A setting as it would be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: &'static str,
    /// Its value, as far as it may be shown.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// What is logged, and how.
#[derive(Debug)]
pub struct Logs {
    /// What is logged.
    pub filter: EnvFilter,
    /// How it is logged.
    pub format: LogFormat,
}

/// All that was found in the layers of one program.
#[derive(Debug)]
pub struct Reading<T> {
    /// What the program would be started with; of use only without faults.
    options: Option<T>,
    /// What it would log.
    logs: Logs,
    /// Each setting of the program.
    pub used: Vec<Used>,
    /// What is worth saying once: names that mean nothing here, names that are old.
    pub notes: Vec<String>,
    /// Everything that is wrong.
    pub faults: Vec<String>,
}

/// A configuration that was checked.
#[derive(Debug)]
pub struct Checked<T> {
    /// What the program is started with.
    pub options: T,
    /// What is logged.
    pub logs: Logs,
    /// What is worth saying once.
    pub notes: Vec<String>,
}

impl<T> Reading<T> {
    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// [`Faults`] with everything that is wrong.
    pub fn checked(self) -> Result<Checked<T>, Faults> {
        let Self { options, logs, notes, faults, .. } = self;
        match options {
            Some(options) if faults.is_empty() => Ok(Checked { options, logs, notes }),
            _ => Err(Faults(faults)),
        }
    }
}

/// Where settings are looked for.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file in TOML.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// The flags that were given, by the names of their settings.
    pub flags: BTreeMap<&'static str, String>,
}

impl Sources {
    /// This file, these flags, and the environment of the process.
    pub fn new(file: Option<PathBuf>, flags: BTreeMap<&'static str, String>) -> Self {
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, variables: variables.collect(), flags }
    }
}

/// Reads the settings of `program` with `read`.
fn read<T>(program: &'static Program, sources: Sources, read: impl FnOnce(&mut Reader) -> Option<T>) -> Reading<T> {
    let mut reader = Reader::new(program, layers::layers(program, sources));
    let options = read(&mut reader);
    let logs = Logs { filter: reader.log_filter(), format: reader.log_format() };
    let (used, notes, faults) = reader.finish();
    Reading { options, logs, used, notes, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sources(pairs: &[(&str, &str)]) -> Sources {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { variables, ..Sources::default() }
    }

    pub(super) fn file(text: &str) -> tempfile::NamedTempFile {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    const CANARY: &str = "canary";

    fn fault_of<T>(reading: Reading<T>, name: &str) -> String {
        let mut of_name = reading.faults.iter().filter(|fault| fault.starts_with(name));
        of_name.next().unwrap_or_else(|| panic!("{name} has no fault: {:?}", reading.faults)).clone()
    }

    fn api_with(more: &[(&str, &str)]) -> Sources {
        let given = [("RSTUF_BROKER_SERVER", "guest:guest@rabbitmq:5672"), ("RSTUF_REDIS_SERVER", "\"redis://redis\"")];
        sources(&given.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn worker_with(more: &[(&str, &str)]) -> Sources {
        let given = [
            ("RSTUF_DB_SERVER", "postgresql://postgres:5432/rstuf"),
            ("RSTUF_STORAGE_BACKEND", "LocalStorage"),
            ("RSTUF_LOCAL_STORAGE_BACKEND_PATH", "/srv/metadata"),
            ("RSTUF_ONLINE_KEY_DIR", "/"),
        ];
        api_with(&given.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn the_environment_of_the_python_containers_is_taken_as_it_is() {
        let python = [
            ("RSTUF_REDIS_SERVER_PORT", "6380"),
            ("RSTUF_REDIS_SERVER_DB_RESULT", "2"),
            ("RSTUF_REDIS_SERVER_DB_REPO_SETTINGS", "3"),
            ("RSTUF_DB_USER", "'rstuf'"),
            ("RSTUF_DB_PASSWORD", "secret"),
            ("RSTUF_DB_KEEPALIVE", "true"),
            ("RSTUF_DB_KEEPALIVE_IDLE", "30"),
            ("RSTUF_DB_KEEPALIVE_INTERVAL", "5"),
            ("RSTUF_DB_KEEPALIVE_COUNT", "3"),
            ("RSTUF_LOCK_TIMEOUT", "500"),
            ("RSTUF_BUMP_ONLINE_ROLES_TTL", "600"),
            ("RSTUF_BUMP_ONLINE_ROLES_CHUNK_SIZE", "500"),
            ("RSTUF_AWS_STORAGE_BUCKET", "bucket"),
            ("RSTUF_AWS_SECRET_ACCESS_KEY", CANARY),
            ("RSTUF_GOOGLE_APPLICATION_CREDENTIALS", CANARY),
            ("RSTUF_WORKER_ID", "host"),
            ("RSTUF_LOG_LEVEL", "INFO"),
            ("DATA_DIR", "/data"),
        ];
        let reading = worker::load(worker_with(&python));
        assert_eq!(reading.faults, [] as [String; 0]);
        for name in ["RSTUF_LOCK_TIMEOUT", "RSTUF_DB_KEEPALIVE_COUNT", "RSTUF_AWS_SECRET_ACCESS_KEY", "DATA_DIR"] {
            assert_eq!(
                reading.notes.iter().filter(|note| note.starts_with(&format!("{name} does nothing"))).count(),
                1
            );
        }
        assert!(!format!("{reading:?}").contains(CANARY));
        let options = reading.checked().expect("a configuration").options;
        assert_eq!((options.shared.result_database, options.shared.settings_database), (2, 3));
        assert_eq!(options.shared.redis.to_string(), "redis://redis:6380");
        assert_eq!(options.name, "host");

        let api = [
            ("RSTUF_DISABLED_ENDPOINTS", "/api/v1/task/:{'POST'}/api/v1/metadata/sign"),
            ("RSTUF_LOG_LEVEL", "WARNING"),
            ("RSTUF_DB_SERVER", "postgresql://postgres"),
        ];
        let reading = api::load(api_with(&api));
        assert_eq!((reading.faults.len(), reading.notes.len()), (0, 1), "{reading:?}");
        assert!(reading.notes[0].contains("RSTUF_DB_SERVER does nothing here: it is a setting of rstufd worker"));
    }

    #[test]
    fn old_names_are_taken_with_a_word_and_new_ones_win() {
        let old = [("RSTUF_SQL_USER", "old"), ("RSTUF_SQL_PASSWORD", CANARY), ("RSTUF_LOCAL_STORAGE_PATH", "/other")];
        let reading = worker::load(worker_with(&old));
        assert_eq!(reading.faults, [] as [String; 0]);
        let used = |name| reading.used.iter().find(|used| used.name == name).expect("a setting").clone();
        assert_eq!((used("db_user").value.as_str(), used("db_password").value.as_str()), ("old", "set"));
        assert_eq!(used("local_storage_backend_path").value, "/srv/metadata");
        for note in [
            "RSTUF_SQL_USER is deprecated: name it RSTUF_DB_USER",
            "RSTUF_SQL_PASSWORD is deprecated: name it RSTUF_DB_PASSWORD",
            "RSTUF_LOCAL_STORAGE_PATH does nothing: RSTUF_LOCAL_STORAGE_BACKEND_PATH is given too",
        ] {
            assert!(reading.notes.iter().any(|told| told == note), "{note} is not in {:?}", reading.notes);
        }
    }

    #[test]
    fn no_secret_is_in_what_is_printed() {
        let secrets = [
            ("RSTUF_BROKER_SERVER", "amqps://user:canary@host:5671/vhost"),
            ("RSTUF_REDIS_SERVER", "rediss://:canary@host"),
            ("RSTUF_DB_SERVER", "postgresql://user:canary@host/db?sslmode=disable"),
            ("RSTUF_DB_PASSWORD", CANARY),
        ];
        let reading = worker::load(worker_with(&secrets));
        assert_eq!(reading.faults, [] as [String; 0]);
        assert!(!format!("{reading:?} {reading:#?}").contains(CANARY));
        let wrong = [
            ("RSTUF_BROKER_SERVER", "canary://user:canary@host:many"),
            ("RSTUF_REDIS_SERVER", "http://:canary@host"),
            ("RSTUF_DB_SERVER", "canary://user:canary@host/db?canary=canary"),
            ("RSTUF_DB_PASSWORD", "/run/secrets/there-is-none"),
        ];
        let reading = worker::load(worker_with(&wrong));
        assert!(fault_of(worker::load(worker_with(&wrong)), "db_password").contains("there-is-none"));
        let faults = reading.checked().expect_err("faults").to_string();
        assert_eq!(faults.lines().count(), 5, "{faults}");
        assert!(!faults.contains(":canary@"), "{faults}");
    }

    #[test]
    fn the_url_chooses_the_broker() {
        use crate::fleet::BrokerOptions;
        for (url, redis) in [
            ("redis://host/3", true),
            ("rediss://host", true),
            ("amqp://host", false),
            ("amqps://host", false),
            ("pyamqp://host", false),
            ("guest:guest@host:5672", false),
            ("redis:guest@host", false),
        ] {
            let checked = api::load(api_with(&[("RSTUF_BROKER_SERVER", url)])).checked().expect(url);
            assert_eq!(matches!(checked.options.shared.broker, BrokerOptions::Redis(_)), redis, "{url}");
        }
    }

    #[test]
    fn what_a_program_needs_is_asked_for_all_at_once() {
        let reading =
            worker::load(sources(&[("RSTUF_STORAGE_BACKEND", "AWSS3"), ("RSTUF_ONLINE_KEY_DIR", "/no/such")]));
        assert!(
            fault_of(worker::load(sources(&[("RSTUF_STORAGE_BACKEND", "AWSS3")])), "storage_backend")
                .contains("not supported yet")
        );
        for name in ["broker_server", "redis_server", "db_server", "storage_backend", "online_key_dir"] {
            assert!(reading.faults.iter().any(|fault| fault.starts_with(name)), "{name}: {:?}", reading.faults);
        }
        let mistakes = [
            ("RSTUF_SSL_CERT", "/no/such.pem"),
            ("RSTUF_DISABLE_ENDPOINTS", "/api/v1/tasks/"),
            ("RSTUF_BROKER_QUEUE_TYPE", "stream"),
            ("RSTUF_METRICS_LISTEN", "9090"),
            ("RSTUF_CA_FILE", "/no/such.pem"),
            ("RSTUF_LISTNE", "x"),
        ];
        let faults = api::load(api_with(&mistakes)).checked().expect_err("faults").to_string();
        for name in ["ssl_cert", "disable_endpoints", "broker_queue_type", "metrics_listen", "ca_file", "listne"] {
            assert!(faults.contains(&format!("\n  {name}")), "{name} is not in {faults}");
        }
        assert!(faults.contains("did you mean listen?"), "{faults}");
    }

    const PROGRAMS: [(&Program, &str); 3] = [
        (&standalone::PROGRAM, include_str!("../../config/standalone.toml")),
        (&api::PROGRAM, include_str!("../../config/api.toml")),
        (&worker::PROGRAM, include_str!("../../config/worker.toml")),
    ];

    #[test]
    fn the_sample_files_show_every_setting_with_its_default() {
        for (program, sample) in PROGRAMS {
            for Setting { name, default, meaning, .. } in program.settings {
                let quoted = format!("# {meaning}\n# {name} = \"{default}\"\n");
                let plain = format!("# {meaning}\n# {name} = {default}\n");
                assert!(sample.contains(&quoted) || sample.contains(&plain), "{}: {name} is missing", program.name);
            }
        }
    }

    #[test]
    fn the_readme_has_every_setting_with_its_default() {
        let readme = include_str!("../../README.md");
        for (program, _) in PROGRAMS {
            let table = readme.split_once(&format!("<!-- settings of {} -->", program.name)).expect("a table").1;
            let table = table.split_once("<!-- end -->").expect("its end").0;
            for Setting { name, default, meaning, .. } in program.settings {
                let default = if default.is_empty() { "empty" } else { default };
                let row = format!("| `{name}` | `{default}` | {meaning} |");
                assert!(table.contains(&row), "the table of {} lacks the row\n{row}", program.name);
            }
        }
    }
}
