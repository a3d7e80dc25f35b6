//! A change of delegations is looked at, written or sent, and told: the same for new, changed and deleted roles.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::told;
use crate::cli::{
    admin::{
        delivery::{Request, deliver},
        preview::preview,
        saved::{can_save, save},
    },
    api::ApiClient,
    failure::Failure,
    interview::Interview,
    output::Output,
};

/// A change.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// `{"delegations": …}`.
    pub(super) payload: Value,
    /// POST or PUT.
    pub(super) method: Method,
    /// Below the server.
    pub(super) path: &'static str,
    /// Where it is written to.
    pub(super) out: Option<&'a Path>,
    /// What is asked before it is sent; `None` when it is clear already.
    pub(super) question: Option<Question>,
}

/// The last question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// Where the answer stands in an answers file.
    pub(super) id: &'static str,
    /// The question.
    pub(super) message: &'static str,
    /// The answer of who says nothing.
    pub(super) default: bool,
}

impl Change<'_> {
    /// Carries it out at a server; without one it is only written.
    pub(super) async fn carry_out(
        self,
        api: Option<&ApiClient>,
        interview: &mut Interview,
        output: Output,
    ) -> Result<(), Failure> {
        can_save(self.out)?;
        let mut would = Value::Null;
        if let Some(api) = api {
            if let Some(told) = preview(api, self.method.clone(), self.path, &self.payload).await? {
                would = told.data().clone();
                told::preview(output, &would)?;
            }
            if let Some(Question { id, message, default }) = self.question {
                let ask = async |interview: &mut Interview| interview.confirm(id, message, default);
                if !interview.hold(ask).await? {
                    return Err(Failure::new("stopped, nothing was sent"));
                }
            }
        }
        interview.finish()?;
        if let Some(out) = self.out {
            save(output, out, &self.payload)?;
        }
        let Some(api) = api else {
            if self.out.is_none() {
                output.say(format_args!("{:#}", self.payload));
            }
            output.result(&json!({"payload": self.payload, "file": self.out}));
            return Ok(());
        };
        let body = self.payload.to_string();
        let request = Request { method: self.method, path: self.path, body, title: "Delegations" };
        let (task, result) = deliver(api, output, request).await?;
        output.result(&json!({
            "payload": self.payload, "file": self.out, "preview": would, "task": task, "result": result,
        }));
        told::result(output, &result)
    }
}
