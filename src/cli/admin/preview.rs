//! What a server says that a request would change, before it is made.

use reqwest::Method;
use serde_json::Value;

use crate::cli::{api::ApiClient, failure::Failure};

/// The answer of a dry run.
#[derive(Debug)]
pub(super) struct Preview(Value);

/// Asks a server what a request would change, `None` when it knows no dry runs. The service in Python ignores the wish, and would do what is asked for: so a server is
/// asked only when its own description of the request has it.
///
/// # Errors
/// When the server can't be reached, or refuses the request.
pub(super) async fn preview(
    api: &ApiClient,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Option<Preview>, Failure> {
    let Ok(described) = api.get("/openapi.json").await else { return Ok(None) };
    let operation = &described["paths"][path][method.as_str().to_lowercase()];
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    if !parameters.any(|parameter| parameter["name"] == "dry_run") {
        return Ok(None);
    }
    let mut answer = api.ask(method, &format!("{path}?dry_run=true"), body).await?;
    Ok(Some(Preview(answer["data"].take())))
}

impl Preview {
    /// What it told.
    pub(super) fn data(&self) -> &Value {
        &self.0
    }

    /// Makes sure that the request can be done as a whole.
    ///
    /// # Errors
    /// Why not, in the words of the server.
    pub(super) fn possible(&self) -> Result<(), Failure> {
        let problems = self.0["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let failed = self.0["failed"].as_array().into_iter().flatten();
        let failed =
            failed.filter_map(|failed| Some(format!("{}: {}", failed["role"].as_str()?, failed["reason"].as_str()?)));
        let wrong: Vec<_> = problems.chain(failed).collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format_args!("the server would refuse it: {}", wrong.join("; ")))
                .remedy("nothing was changed; correct what is named")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_would_refuse_is_told() {
        assert!(Preview(json!({"changes": [], "failed": [], "problems": []})).possible().is_ok());
        assert!(Preview(json!({"changes": [], "missing": []})).possible().is_ok());
        let refused = Preview(json!({"failed": [{"role": "a", "reason": "no"}], "problems": ["wrong"]})).possible();
        assert_eq!(refused.expect_err("refused").cause, "the server would refuse it: wrong; a: no");
    }
}
