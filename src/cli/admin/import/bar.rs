//! How far an import is, on standard error, when that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::admin::shown::count;

/// Drawn by bytes, because nobody knows the number of lines.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Lines that an earlier run has settled.
    before: u64,
}

impl Bar {
    /// A bar for so many bytes, `done` of which an earlier run has settled with so many lines.
    pub(super) fn new(bytes: Option<u64>, done: u64, lines: u64) -> Self {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = match bytes {
            Some(_) => "{bar:30} {percent}%, {msg}, {eta} left",
            None => "{spinner} {bytes}, {msg}",
        };
        // A template without faults is a style.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_position(done);
        bar.reset_eta();
        Self { bar, before: lines }
    }

    /// Shows how far it is.
    pub(super) fn show(&self, bytes: u64, lines: u64) {
        let seconds = self.bar.elapsed().as_secs_f64().max(0.001);
        let rate = lines.saturating_sub(self.before) as f64 / seconds;
        self.bar.set_message(format!("{}, {rate:.0}/s", count(lines, "line")));
        self.bar.set_position(bytes);
    }

    /// Lets other lines be printed where it is drawn.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Wipes it away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
