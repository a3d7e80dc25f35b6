//! Every setting with its meaning, and the layers that they come from: flags, then the environment, then a file, then defaults.

use std::{collections::BTreeMap, env, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use config::{Config, Environment, File, FileFormat, ValueKind};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::{http::Limits, queue::local::Capacity, standalone::Options, telemetry::LogFormat};

/// The prefix of environment variables.
const PREFIX: &str = "RSTUF";
/// Variables that begin like settings and are none.
const NOT_SETTINGS: [&str; 1] = ["config"];
/// Variables of our own tests.
const OF_TESTS: &str = "test_";

/// A setting: its name in a file (and, in capitals after `RSTUF_`, in the environment), its default, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning }
}

/// All settings of `rstufd standalone`.
pub const SETTINGS: [Setting; 15] = [
    setting("data_dir", "./rstuf-data", "directory of everything that is kept: ledger, queue, published files"),
    setting("listen", "127.0.0.1:8080", "address and port of the API; port 0 takes a free one"),
    setting("key_dir", "", "directory of the online keys that roots name as fn:<file>; empty: <data_dir>/keys"),
    setting("body_bytes", "33554432", "largest body of a request, in bytes"),
    setting("artifacts_per_request", "100000", "most artifacts that one request adds or removes"),
    setting("path_bytes", "1024", "longest path of an artifact, in bytes; at most 4096"),
    setting("custom_bytes", "16384", "largest custom data of an artifact, in bytes of JSON"),
    setting("requests_in_flight", "256", "requests with a body that are worked on at once; others get 503"),
    setting("queue_jobs", "100000", "most jobs that wait for a worker; more get 503"),
    setting("queue_bytes", "4294967296", "most bytes of jobs that wait for a worker; more get 503"),
    setting("result_expiry_seconds", "86400", "how long the result of a finished task can be read"),
    setting("renewal_interval_seconds", "60", "pause between two looks for metadata that must be renewed"),
    setting("round_changes", "200000", "about how many changes of artifacts are published together"),
    setting("log_level", "info", "level, or levels by module: info,rstuf::http=debug"),
    setting("log_format", "text", "text or json"),
];

/// What was wrong with a configuration: everything at once.
#[derive(Debug, Error)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A configuration that was checked.
#[derive(Debug)]
pub struct Settings {
    /// What the server is started with.
    pub options: Options,
    /// What is logged.
    pub log_filter: EnvFilter,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Reads all layers. `flags` are those that were given, by the names of their settings.
///
/// # Errors
/// [`Faults`] with everything that is wrong: unknown names, values that can't be, a file that can't be read.
pub fn load(file: Option<PathBuf>, flags: &BTreeMap<&'static str, String>) -> Result<Settings, Faults> {
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(file, variables.collect(), flags)
}

fn load_from(
    file: Option<PathBuf>,
    variables: std::collections::HashMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) -> Result<Settings, Faults> {
    let mut builder = Config::builder();
    if let Some(file) = &file {
        builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Toml));
    }
    builder = builder.add_source(Environment::with_prefix(PREFIX).source(Some(variables)));
    for (name, value) in flags {
        builder = builder.set_override(*name, value.as_str()).map_err(|error| Faults(vec![error.to_string()]))?;
    }
    let given = builder.build().and_then(Config::try_deserialize::<BTreeMap<String, config::Value>>);
    let mut given = given.map_err(|error| Faults(vec![error.to_string()]))?;
    given.retain(|name, _| !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with(OF_TESTS));

    let mut reader = Reader { given, faults: Vec::new() };
    let data_dir: PathBuf = reader.value("data_dir", "a directory");
    let key_dir: PathBuf = reader.value("key_dir", "a directory");
    let options = Options {
        key_dir: if key_dir.as_os_str().is_empty() { data_dir.join("keys") } else { key_dir },
        data_dir,
        listen: reader.value_or(
            "listen",
            "an address and a port, as 127.0.0.1:8080",
            SocketAddr::from(([127, 0, 0, 1], 0)),
        ),
        limits: Limits {
            body_bytes: reader.number("body_bytes", 1024, 1 << 32),
            artifacts_per_request: reader.number("artifacts_per_request", 1, 10_000_000),
            path_bytes: reader.number("path_bytes", 1, 4096),
            custom_bytes: reader.number("custom_bytes", 2, 1 << 20),
            requests_in_flight: reader.number("requests_in_flight", 1, 1_000_000),
        },
        capacity: Capacity {
            jobs: reader.number("queue_jobs", 1, 100_000_000),
            bytes: reader.number::<u64>("queue_bytes", 1024, 1 << 44),
        },
        result_expiry: Duration::from_secs(reader.number("result_expiry_seconds", 1, 315_360_000)),
        renewal_interval: Duration::from_secs(reader.number("renewal_interval_seconds", 1, 86_400)),
        batch: reader.number("round_changes", 1, 10_000_000),
    };
    let log_filter = reader.text("log_level");
    let log_filter = EnvFilter::try_new(&log_filter).unwrap_or_else(|error| {
        reader.fault("log_level", &log_filter, &format!("must be a level as info, or levels by module ({error})"));
        EnvFilter::default()
    });
    let log_format = match reader.text("log_format").as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => {
            reader.fault("log_format", other, "must be text or json");
            LogFormat::Text
        }
    };
    let mut faults = reader.faults;
    faults.extend(reader.given.keys().filter(|name| !SETTINGS.iter().any(|setting| setting.name == **name)).map(
        |name| {
            let variable = format!("{PREFIX}_{}", name.to_uppercase());
            format!("{name} (or {variable}): is no setting of a standalone server; see `rstufd standalone --help`")
        },
    ));
    if faults.is_empty() { Ok(Settings { options, log_filter, log_format }) } else { Err(Faults(faults)) }
}

/// Reads settings one by one and collects what is wrong.
struct Reader {
    given: BTreeMap<String, config::Value>,
    faults: Vec<String>,
}

impl Reader {
    fn text(&mut self, name: &str) -> String {
        let default = SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.default);
        let Some(value) = self.given.get(name).cloned() else { return default.to_owned() };
        match value.kind {
            ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
                self.fault(name, "a table or a list", "must be a text or a number");
                default.to_owned()
            }
            // Values of compose files often come with the quotes that were meant for a shell.
            _ => value.into_string().unwrap_or_default().trim_matches('"').to_owned(),
        }
    }

    fn fault(&mut self, name: &str, value: &str, rule: &str) {
        let origin = self.given.get(name).and_then(config::Value::origin).map(|origin| format!(" (from {origin})"));
        self.faults.push(format!("{name} = {value:?}{}: {rule}", origin.unwrap_or_default()));
    }

    fn value<T: FromStr + Default>(&mut self, name: &str, form: &str) -> T {
        self.value_or(name, form, T::default())
    }

    fn value_or<T: FromStr>(&mut self, name: &str, form: &str, otherwise: T) -> T {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| {
            self.fault(name, &text, &format!("must be {form}"));
            otherwise
        })
    }

    fn number<T: FromStr + Copy + PartialOrd + fmt::Display>(&mut self, name: &str, least: T, most: T) -> T {
        let text = self.text(name);
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.fault(name, &text, &format!("must be a whole number from {least} to {most}"));
                least
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn variables(pairs: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_layer_covers_those_below_it() {
        let file = file("listen = \"127.0.0.1:1\"\npath_bytes = 100\ncustom_bytes = 100\n");
        let environment =
            variables(&[("RSTUF_LISTEN", "127.0.0.1:2"), ("RSTUF_PATH_BYTES", "\"200\""), ("OTHER", "x")]);
        let flags = BTreeMap::from([("listen", "127.0.0.1:3".to_owned())]);
        let options = load_from(Some(file.path().into()), environment, &flags).expect("a configuration").options;
        assert_eq!(options.listen.port(), 3);
        assert_eq!((options.limits.path_bytes, options.limits.custom_bytes), (200, 100));
        assert_eq!(options.limits.artifacts_per_request, 100_000);
        assert_eq!(options.key_dir, PathBuf::from("./rstuf-data/keys"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let file = file("listen = \"here\"\nround_changes = 0\nlisten_on = 1\n");
        let environment = variables(&[
            ("RSTUF_BROKER_SERVER", "redis://x"),
            ("RSTUF_LOG_FORMAT", "xml"),
            ("RSTUF_TEST_PYTHON", "ours"),
            ("RSTUF_CONFIG", "a file"),
        ]);
        let faults =
            load_from(Some(file.path().into()), environment, &BTreeMap::new()).expect_err("faults").to_string();
        for part in
            ["listen = \"here\"", "round_changes = \"0\"", "listen_on", "RSTUF_BROKER_SERVER", "log_format = \"xml\""]
        {
            assert!(faults.contains(part), "{part} is not in {faults}");
        }
        assert_eq!(faults.lines().count(), 6, "{faults}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let faults = load_from(Some("no/such.toml".into()), variables(&[]), &BTreeMap::new()).expect_err("faults");
        assert!(faults.to_string().contains("no/such.toml"), "{faults}");
    }

    #[test]
    fn the_defaults_are_those_of_the_api() {
        let options = load_from(None, variables(&[]), &BTreeMap::new()).expect("a configuration").options;
        assert_eq!(options.limits, Limits::default());
        assert_eq!(options.capacity, Capacity::default());
    }

    #[test]
    fn the_sample_file_shows_every_setting_with_its_default() {
        let sample = include_str!("../config/standalone.toml");
        for Setting { name, default, .. } in SETTINGS {
            let quoted = format!("# {name} = \"{default}\"\n");
            let plain = format!("# {name} = {default}\n");
            assert!(sample.contains(&quoted) || sample.contains(&plain), "{name} is missing");
        }
    }

    #[test]
    fn the_readme_has_every_setting_with_its_default() {
        let readme = include_str!("../README.md");
        for Setting { name, default, meaning } in SETTINGS {
            let default = if default.is_empty() { "empty" } else { default };
            let row = format!("| `{name}` | `{default}` | {meaning} |");
            assert!(readme.contains(&row), "the README lacks the row\n{row}");
        }
    }
}
