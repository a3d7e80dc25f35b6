//! What a process tells of itself: logs and figures.

use std::io;

use tracing_subscriber::EnvFilter;

pub mod metrics;

/// The form of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line, for collectors.
    Json,
}

/// Writes logs to stderr from now on. `filter` is a level, or levels by module as `info,rstuf::http=debug`.
pub fn init(filter: EnvFilter, format: LogFormat) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
