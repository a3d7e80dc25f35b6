//! What a process tells of itself: logs and figures.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub mod metrics;
mod settling;

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
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let wanted = tracing_subscriber::registry().with(filter).with(filter_fn(keeps_secrets));
    match format {
        LogFormat::Text => wanted.with(lines).init(),
        LogFormat::Json => wanted.with(lines.json().flatten_event(true)).init(),
    }
}

/// Whether what is logged there has no secret in it. At its most talkative lapin logs all that it sends, and that begins
/// with the password.
fn keeps_secrets(metadata: &Metadata<'_>) -> bool {
    *metadata.level() < Level::TRACE || !metadata.target().starts_with("lapin")
}
