//! What went wrong, as people read it: a line of cause and a line of remedy.

use std::fmt::{self, Display};

use serde_json::{Value, json};

use super::output::hanging;

/// What stands before the two lines, and how far their other lines are indented at a narrow terminal.
const CAUSE: &str = "error: ";
const REMEDY: &str = " help: ";

/// Why a command did not do what it was asked for. The program ends with 1.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong, in one line: lower case, without final period.
    pub cause: String,
    /// What the reader can do, in one line.
    pub remedy: Option<String>,
}

impl Failure {
    /// A failure of which nothing is known that would help.
    pub fn new(cause: impl Display) -> Self {
        Self { cause: cause.to_string(), remedy: None }
    }

    /// With what the reader can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Display) -> Self {
        self.remedy = Some(remedy.to_string());
        self
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        json!({"error": self.cause, "remedy": self.remedy})
    }

    /// As people read it, at a terminal of so many columns.
    pub(super) fn fitted(&self, width: Option<usize>) -> String {
        let width = width.unwrap_or(usize::MAX);
        let cause = format!("{CAUSE}{}", one_line(&self.cause));
        let remedy = self.remedy.iter().map(|remedy| format!("{REMEDY}{}", one_line(remedy)));
        let lines = std::iter::once(cause).chain(remedy).map(|line| hanging(&line, width, CAUSE.len()));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What servers and libraries say may have lines of its own.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fitted(None))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format_args!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_line_of_cause_and_one_of_remedy() {
        let failure = Failure::new("no server").remedy("give --api-server URL");
        assert_eq!(failure.to_string(), "error: no server\n help: give --api-server URL");
        assert_eq!(Failure::new("no server").to_string(), "error: no server");
        assert_eq!(Failure::new("bad:\n  here\n").to_string(), "error: bad: here");
    }

    #[test]
    fn a_failure_fits_a_narrow_terminal() {
        let failure = Failure::new("there is no such server").remedy("give another one");
        assert_eq!(failure.fitted(Some(20)), "error: there is no\n       such server\n help: give another\n       one");
    }
}
