//! What went wrong, as people read it: a line of cause and a line of remedy.

use std::fmt::{self, Display};

use serde_json::{Value, json};

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
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.cause)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n help: {remedy}"),
            None => Ok(()),
        }
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
    }
}
