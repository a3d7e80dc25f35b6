//! The results of tasks in the sentences and with the details that the contract has for each action.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{DelegationAction, Outcome};
use crate::tuf::{
    event::Missing,
    name::{RoleName, Version},
};

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
            "sign_metadata" => "Signature Failed",
            "delete_sign_metadata" => "Deletion of metadata pending signatures failed",
            "metadata_update" => "Metadata Update Failed",
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

    /// A bootstrap waits until so many more have signed its root.
    pub fn bootstrap_signing(root: Version, missing: &[Missing], now: Timestamp) -> Self {
        let details = json!({ "bootstrap": format!("Root v{root} is pending signature"), "missing": missing });
        Self::done("bootstrap", "Bootstrap Processed", details, now)
    }

    /// A signature was taken, and completed the root of a bootstrap; its operator should know these `notes`.
    pub fn signed_bootstrap(notes: &[String], now: Timestamp) -> Self {
        let details = json!({ "bootstrap": "Bootstrap Finished", "notes": notes });
        Self::done("sign_metadata", "Signature Processed", details, now)
    }

    /// A signature was taken. Of the root of a bootstrap more are missing.
    pub fn signed_bootstrap_in_part(root: Version, missing: &[Missing], now: Timestamp) -> Self {
        let details = json!({ "bootstrap": format!("Root v{root} is pending signatures"), "missing": missing });
        Self::done("sign_metadata", "Signature Processed", details, now)
    }

    /// A signature was taken, and completed `role`.
    pub fn signed(role: &RoleName, now: Timestamp) -> Self {
        let update = match role.as_str() {
            "root" => "Metadata update finished".to_owned(),
            role => format!("Role {role} signing complete"),
        };
        Self::done("sign_metadata", "Signature Processed", json!({ "update": update }), now)
    }

    /// A signature was taken. Of this version of `role` more are missing.
    pub fn signed_in_part(role: &RoleName, version: Version, missing: &[Missing], now: Timestamp) -> Self {
        let details = json!({ "update": pending(role, version), "missing": missing });
        Self::done("sign_metadata", "Signature Processed", details, now)
    }

    /// Nobody is asked to sign `role` any more.
    pub fn stopped(role: &str, now: Timestamp) -> Self {
        let message = format!("Deletion of {role} metadata successful, signing process stopped");
        Self { details: None, ..Self::done("delete_sign_metadata", &message, Value::Null, now) }
    }

    /// Nobody is asked to sign the root of a bootstrap any more, and there is no bootstrap.
    pub fn stopped_bootstrap(now: Timestamp) -> Self {
        let details = json!({ "bootstrap": "Bootstrap process has been stopped" });
        Self { details: Some(details), ..Self::stopped("root", now) }
    }

    /// The signatures of `role` can't be stopped, for this reason.
    pub fn not_stopped(role: &str, error: impl Into<String>, now: Timestamp) -> Self {
        let message = format!("Deletion of {role} metadata failed.");
        Self { message, ..Self::refused("delete_sign_metadata", error, now) }
    }

    /// A root was taken that all have signed.
    pub fn root_updated(now: Timestamp) -> Self {
        Self::done("metadata_update", "Metadata Update Processed", json!({ "role": "root" }), now)
    }

    /// A root was taken, of which signatures are missing.
    pub fn root_updated_in_part(version: Version, missing: &[Missing], now: Timestamp) -> Self {
        let update = pending(&RoleName::root(), version);
        let details = json!({ "role": "root", "update": update, "missing": missing });
        Self::done("metadata_update", "Metadata Update Processed", details, now)
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

/// What is said of a version that waits for signatures.
fn pending(role: &RoleName, version: Version) -> String {
    let name = if *role == RoleName::root() { "Root" } else { role.as_str() };
    format!("{name} v{version} is pending signatures")
}
