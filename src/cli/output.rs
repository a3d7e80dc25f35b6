//! What commands print. Standard output is for what was asked for, standard error for what helps on the way to it.

use serde_json::Value;

use super::failure::Failure;

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document on standard output.
    Json,
}

impl Output {
    /// A line for people, on standard output. A program does not see it.
    pub fn say(self, line: impl std::fmt::Display) {
        if self == Output::Text {
            println!("{line}");
        }
    }

    /// A line on standard error, for whoever watches.
    pub fn note(self, line: impl std::fmt::Display) {
        eprintln!("{line}");
    }

    /// The result of a command: for programs this, once; people were told with [`say`](Self::say).
    pub fn result(self, value: &Value) {
        if self == Output::Json {
            println!("{value:#}");
        }
    }

    /// What went wrong, on standard error.
    pub fn fail(self, failure: &Failure) {
        match self {
            Output::Text => eprintln!("{failure}"),
            Output::Json => eprintln!("{}", failure.to_value()),
        }
    }
}
