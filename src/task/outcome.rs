//! The results of tasks in the sentences and with the details that the contract has for each action.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Outcome;

impl Outcome {
    fn done(task: &str, message: &str, details: Value, now: Timestamp) -> Self {
        Self {
            task: task.to_owned(),
            status: true,
            message: message.to_owned(),
            error: None,
            details: Some(details),
            last_update: now,
        }
    }

    /// What was asked for was not done, for this reason.
    pub fn refused(task: &str, error: impl Into<String>, now: Timestamp) -> Self {
        let message = match task {
            "bootstrap" => "Bootstrap Failed",
            "add_artifacts" => "Adding artifact(s) Failed",
            "remove_artifacts" => "Removing artifact(s) Failed",
            "publish_artifacts" => "Publishing artifact(s) Failed",
            "update_settings" => "Update Settings Failed",
            _ => "Task Failed",
        };
        Self {
            task: task.to_owned(),
            status: false,
            message: message.to_owned(),
            error: Some(error.into()),
            details: None,
            last_update: now,
        }
    }

    /// A repository was created by the task `id`; its operator should know these `notes`.
    pub fn bootstrapped(id: &str, notes: &[String], now: Timestamp) -> Self {
        let details = json!({ "bootstrap": format!("Bootstrap finished {id}"), "notes": notes });
        Self::done("bootstrap", "Bootstrap Processed", details, now)
    }

    /// Artifacts were added; `invalid` paths have no role that could list them.
    pub fn added(added: &[&str], invalid: &[String], roles: &[&str], now: Timestamp) -> Self {
        let details = json!({ "added_artifacts": added, "invalid_paths": invalid, "artifact_roles": roles });
        Self::done("add_artifacts", "Artifact(s) Added", details, now)
    }

    /// Artifacts were removed; others were not there.
    pub fn removed(deleted: &[&str], not_found: &[&str], now: Timestamp) -> Self {
        let details = json!({ "deleted_artifacts": deleted, "not_found_artifacts": not_found });
        Self::done("remove_artifacts", "Artifact(s) removed", details, now)
    }

    /// What was held back is published, in these roles; `None` when nothing was.
    pub fn published(roles: Option<&[&str]>, now: Timestamp) -> Self {
        let details = json!({ "artifact_roles": roles });
        Self::done("publish_artifacts", "Publish Artifacts Processed", details, now)
    }

    /// Expirations were changed; `invalid` roles are not online roles of this repository.
    pub fn updated_settings(updated: &[&str], invalid: &[&str], now: Timestamp) -> Self {
        let details = json!({ "updated_roles": updated, "invalid_roles": invalid });
        Self::done("update_settings", "Update Settings Succeded", details, now)
    }
}
