//! The settings of a standalone server.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{Reading, Setting, Sources, fleet, names::Program, read, reader::Reader, setting};
use crate::{http::Limits, queue::local::Capacity, standalone::Options};

/// The program.
pub const PROGRAM: Program = Program { name: "standalone", settings: &SETTINGS, aliases: &[], meaningless: &[] };

pub(super) const ROTATION_GRACE: Setting = setting(
    "rotation_grace",
    "600",
    "for how long the online keys of a root that was replaced go on to sign, in seconds",
);

/// All settings of `rstufd standalone`.
const SETTINGS: [Setting; 17] = [
    setting("data_dir", "./rstuf-data", "directory of everything that is kept: ledger, queue, published files"),
    setting("listen", "127.0.0.1:8080", "address and port of the API; port 0 takes a free one"),
    fleet::METRICS_LISTEN,
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
    ROTATION_GRACE,
    setting("round_changes", "200000", "about how many changes of artifacts are published together"),
    setting("log_level", "info", "level, or levels by module: info,rstuf::http=debug"),
    setting("log_format", "text", "text or json"),
];

/// Reads the settings of a standalone server.
pub fn load(sources: Sources) -> Reading<Options> {
    read(&PROGRAM, sources, |reader| {
        let data_dir = reader.path("data_dir").unwrap_or_else(|| PathBuf::from("."));
        Some(Options {
            key_dir: reader.path("key_dir").unwrap_or_else(|| data_dir.join("keys")),
            data_dir,
            listen: listen(reader),
            metrics_listen: fleet::metrics_listen(reader),
            limits: limits(reader),
            capacity: Capacity {
                jobs: reader.number("queue_jobs", 1, 100_000_000),
                bytes: reader.number::<u64>("queue_bytes", 1024, 1 << 44),
            },
            result_expiry: result_expiry(reader),
            renewal_interval: renewal_interval(reader),
            rotation_grace: rotation_grace(reader),
            batch: batch(reader),
        })
    })
}

pub(super) fn listen(reader: &mut Reader) -> SocketAddr {
    reader.value_or("listen", "an address and a port, as 127.0.0.1:8080", SocketAddr::from(([127, 0, 0, 1], 0)))
}

pub(super) fn limits(reader: &mut Reader) -> Limits {
    Limits {
        body_bytes: reader.number("body_bytes", 1024, 1 << 32),
        artifacts_per_request: reader.number("artifacts_per_request", 1, 10_000_000),
        path_bytes: reader.number("path_bytes", 1, 4096),
        custom_bytes: reader.number("custom_bytes", 2, 1 << 20),
        requests_in_flight: reader.number("requests_in_flight", 1, 1_000_000),
    }
}

pub(super) fn result_expiry(reader: &mut Reader) -> Duration {
    Duration::from_secs(reader.number("result_expiry_seconds", 1, 315_360_000))
}

pub(super) fn renewal_interval(reader: &mut Reader) -> Duration {
    Duration::from_secs(reader.number("renewal_interval_seconds", 1, 86_400))
}

pub(super) fn rotation_grace(reader: &mut Reader) -> Duration {
    Duration::from_secs(reader.number("rotation_grace", 0, 31_536_000))
}

pub(super) fn batch(reader: &mut Reader) -> usize {
    reader.number("round_changes", 1, 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{file, sources},
        *,
    };

    #[test]
    fn a_layer_covers_those_below_it() {
        let file = file("listen = \"127.0.0.1:1\"\npath_bytes = 100\ncustom_bytes = 100\n");
        let mut sources = sources(&[
            ("RSTUF_LISTEN", "127.0.0.1:2"),
            ("RSTUF_PATH_BYTES", "\"200\""),
            ("OTHER", "x"),
            ("RSTUF_KEY_DIR", ""),
        ]);
        sources.file = Some(file.path().into());
        sources.flags.insert("listen", "127.0.0.1:3".to_owned());
        let reading = load(sources);
        let origin = |name| reading.used.iter().find(|used| used.name == name).expect("a setting").origin.clone();
        assert_eq!([origin("listen"), origin("path_bytes"), origin("key_dir")], ["a flag", "environment", "default"]);
        assert!(origin("custom_bytes").ends_with(".toml"));
        let options = reading.checked().expect("a configuration").options;
        assert_eq!(options.listen.port(), 3);
        assert_eq!((options.limits.path_bytes, options.limits.custom_bytes), (200, 100));
        assert_eq!(options.limits.artifacts_per_request, 100_000);
        assert_eq!(options.key_dir, PathBuf::from("./rstuf-data/keys"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let file = file("listen = \"here\"\nround_changes = 0\nlisten_on = 1\n");
        let mut sources = sources(&[
            ("RSTUF_BROKER_SERVER", "redis://x"),
            ("RSTUF_LOG_FORMAT", "xml"),
            ("RSTUF_TEST_PYTHON", "ours"),
            ("RSTUF_CONFIG", "a file"),
        ]);
        sources.file = Some(file.path().into());
        let faults = load(sources).checked().expect_err("faults").to_string();
        for part in
            ["listen = \"here\"", "round_changes = \"0\"", "listen_on", "RSTUF_BROKER_SERVER", "log_format = \"xml\""]
        {
            assert!(faults.contains(part), "{part} is not in {faults}");
        }
        assert_eq!(faults.lines().count(), 6, "{faults}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let sources = Sources { file: Some("no/such.toml".into()), ..Sources::default() };
        let faults = load(sources).checked().expect_err("faults").to_string();
        assert!(faults.contains("no/such.toml"), "{faults}");
    }

    #[test]
    fn the_defaults_are_those_of_the_api() {
        let options = load(sources(&[])).checked().expect("a configuration").options;
        assert_eq!(options.limits, Limits::default());
        assert_eq!(options.capacity, Capacity::default());
    }

    #[test]
    fn levels_have_the_names_of_python_too() {
        for level in ["INFO", "WARNING", "CRITICAL", "DEBUG", "ERROR", "'info'", "info,rstuf::http=debug"] {
            let reading = load(sources(&[("RSTUF_LOG_LEVEL", level)]));
            assert!(reading.faults.is_empty(), "{:?}", reading.faults);
        }
    }
}
