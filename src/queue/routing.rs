//! Which job goes through which queue: the names that the Python programs use.

use crate::task::Job;

/// The names of the queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    prefix: String,
    consumed: [String; 2],
    dead_letters: String,
}

impl Default for Queues {
    fn default() -> Self {
        Self::prefixed("")
    }
}

impl Queues {
    /// Queues of their own for who shares a broker with others: `prefix` goes before every name.
    pub fn prefixed(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            consumed: ["metadata_repository", "rstuf_internals"].map(|name| format!("{prefix}{name}")),
            dead_letters: format!("{prefix}rstuf_dead_letters"),
        }
    }

    /// What goes before every name.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where a job is published to.
    pub fn of(&self, job: &Job) -> &str {
        match job {
            Job::PublishArtifacts => &self.consumed[1],
            _ => &self.consumed[0],
        }
    }

    /// The queues that every worker consumes.
    pub fn consumed(&self) -> [&str; 2] {
        self.consumed.each_ref().map(String::as_str)
    }

    /// Where that is put aside what can never be done.
    pub fn dead_letters(&self) -> &str {
        &self.dead_letters
    }
}
