//! The results of tasks in the sentences and with the details that the contract has for each action.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{DelegationAction, Outcome};
use crate::tuf::name::{RoleName, Version};

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
            "metadata_delegation" => "Metadata Delegation Failed",
            "force_online_metadata_update" => "Force new online metadata update failed",
            "publish_delegated_metadata" => "Publish Delegated Metadata Failed",
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

    /// Delegations were changed; `failed` roles were not, each for a reason; `pending` ones become what was asked for as soon as people
    /// have signed them.
    ///
    /// Where nothing was done the contract has an object instead of a list, but for deletions.
    pub fn delegated(
        action: DelegationAction,
        delegated: &[RoleName],
        failed: &[(String, Value)],
        pending: &[RoleName],
        now: Timestamp,
    ) -> Self {
        let delegated = match action {
            DelegationAction::Add | DelegationAction::Update if delegated.is_empty() => Value::Object(Map::new()),
            _ => json!(delegated),
        };
        let failed: Vec<_> = failed.iter().map(|(role, reason)| json!({ "role": role, "reason": reason })).collect();
        let mut details = json!({ "delegated_roles": delegated, "failed_roles": failed });
        if !pending.is_empty() {
            details["pending_roles"] = json!(pending);
        }
        Self::done("metadata_delegation", "Metadata Delegation Processed", details, now)
    }

    /// New versions of roles that are signed online are published.
    pub fn forced(updated: &[String], now: Timestamp) -> Self {
        let message = "Force new online metadata update succeeded";
        Self::done("force_online_metadata_update", message, json!({ "updated_roles": updated }), now)
    }

    /// Metadata of `role`, signed by its owner, is published; it lists so many artifacts.
    pub fn uploaded(role: &RoleName, version: Version, artifacts: usize, now: Timestamp) -> Self {
        let details = json!({ "role": role, "version": version, "artifacts": artifacts });
        Self::done("publish_delegated_metadata", "Publish Delegated Metadata Processed", details, now)
    }
}
