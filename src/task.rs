//! The words that http, queue and actors share: what is asked for, and how it went.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};
use uuid::Uuid;

use crate::tuf::{bins::Layout, event::Missing, name::ArtifactPath};

mod outcome;

/// Identifies a task: the 32 lower-case hexadecimal digits of a random UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
    /// A new, random identifier.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Takes an identifier that came from outside as it is: tasks of other programs have other forms.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is asked of the workers, one variant per action. Its JSON, `{"action": …, "payload": …}`, is the
/// form in which jobs wait in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "payload", rename_all = "snake_case")]
pub enum Job {
    /// Create the repository from a signed root.
    Bootstrap(Box<Bootstrap>),
    /// These paths now have this content.
    AddArtifacts(AddArtifacts),
    /// These paths are gone.
    RemoveArtifacts(RemoveArtifacts),
    /// Publish what was added or removed with `publish_artifacts: false`.
    PublishArtifacts,
    /// Change for how long roles are valid.
    UpdateSettings(UpdateSettings),
    /// Here is a signature that a role waits for.
    SignMetadata(SignMetadata),
    /// Give up what waits for signatures.
    DeleteSignMetadata(RoleOfEvent),
    /// Here is the next root.
    MetadataUpdate(MetadataUpdate),
    /// Add, change or delete delegations.
    MetadataDelegation(MetadataDelegation),
    /// Publish new versions of roles that are signed online.
    ForceOnlineMetadataUpdate(ForceOnline),
    /// Here is the next version of a delegated role, signed by its owner.
    PublishDelegatedMetadata(DelegatedMetadata),
}

impl Job {
    /// The action as it is written in task results and in logs.
    pub fn action(&self) -> &'static str {
        match self {
            Job::Bootstrap(_) => "bootstrap",
            Job::AddArtifacts(_) => "add_artifacts",
            Job::RemoveArtifacts(_) => "remove_artifacts",
            Job::PublishArtifacts => "publish_artifacts",
            Job::UpdateSettings(_) => "update_settings",
            Job::SignMetadata(_) => "sign_metadata",
            Job::DeleteSignMetadata(_) => "delete_sign_metadata",
            Job::MetadataUpdate(_) => "metadata_update",
            Job::MetadataDelegation(_) => "metadata_delegation",
            Job::ForceOnlineMetadataUpdate(_) => "force_online_metadata_update",
            Job::PublishDelegatedMetadata(_) => "publish_delegated_metadata",
        }
    }
}

/// A bootstrap: the settings of the repository and its first root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bootstrap {
    /// The settings.
    pub settings: BootstrapSettings,
    /// Signed metadata by role. Only `root` is read; it is kept exactly as it came.
    pub metadata: Map<String, Value>,
    /// How long the task may wait for a worker, in seconds; after that it is revoked.
    #[schema(required = false, default = 300, maximum = 31536000)]
    pub timeout: i64,
}

/// The `settings` of a bootstrap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BootstrapSettings {
    /// The settings of each role.
    pub roles: BootstrapRoles,
}

/// The settings of each role. Exactly one of `bins` and `delegations` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BootstrapRoles {
    /// The role `root`.
    pub root: RoleExpiration,
    /// The role `targets`.
    pub targets: RoleExpiration,
    /// The role `snapshot`.
    pub snapshot: RoleExpiration,
    /// The role `timestamp`.
    pub timestamp: RoleExpiration,
    /// Hash bins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bins: Option<BinsRole>,
    /// Delegations to roles with names and paths, as they came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub delegations: Option<Value>,
}

/// For how long a role is valid from each signature on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleExpiration {
    /// Days, greater than 0.
    #[schema(exclusive_minimum = 0, maximum = 36500)]
    pub expiration: u32,
}

/// The settings of the hash bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BinsRole {
    /// Days, greater than 0.
    #[schema(exclusive_minimum = 0, maximum = 36500)]
    pub expiration: u32,
    /// How many: 2 to 16,384. What is not a power of two is rounded down to one.
    #[schema(exclusive_minimum = 1, exclusive_maximum = 16385)]
    pub number_of_delegated_bins: u32,
    /// How the bins are written into `targets`.
    #[serde(default, skip_serializing_if = "Layout::is_default")]
    #[schema(schema_with = layouts)]
    pub layout: Layout,
}

/// The layouts, for the document of the API.
fn layouts() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["succinct", "path_hash_prefixes"]))
        .default(Some("succinct".into()))
        .description(Some("How the bins are written into `targets`."))
        .build()
}

/// What is known of an artifact: the value of its path in a targets role (TUF §4.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactInfo {
    /// Bytes.
    #[schema(maximum = 9007199254740992u64)]
    pub length: u64,
    /// Hexadecimal digests by the name of their algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What its publisher wants clients to know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub custom: Option<Map<String, Value>>,
}

/// An artifact that is to be added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// What is known of it.
    pub info: ArtifactInfo,
    /// Where it is.
    #[schema(value_type = String, min_length = 1, max_length = 1024)]
    pub path: ArtifactPath,
}

/// Artifacts that are to be added or replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddArtifacts {
    /// The artifacts. A path that is named twice has the later content.
    pub artifacts: Vec<Artifact>,
    /// Whether `custom.added_by_task_id` is set to the id of the task.
    #[serde(default)]
    pub add_task_id_to_custom: bool,
    /// Whether the change is published, or waits until a publish asks for it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub publish_artifacts: bool,
}

/// Artifacts that are to be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemoveArtifacts {
    /// Their paths. What can't be a path can't exist either, and is reported as not found.
    pub artifacts: Vec<String>,
    /// Whether the change is published, or waits until a publish asks for it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub publish_artifacts: bool,
}

/// New expirations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSettings {
    /// The settings.
    pub settings: ExpirationSettings,
}

/// The `settings` of an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpirationSettings {
    /// Days by the name of the role. A role that the repository does not have is reported, not refused.
    pub expiration: BTreeMap<String, u32>,
}

/// A signature that a role waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignMetadata {
    /// The role: `root`, or the name of a delegated role.
    pub role: String,
    /// The signature, as it came.
    pub signature: GivenSignature,
}

/// A signature by one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GivenSignature {
    /// The id of the key.
    pub keyid: String,
    /// The signature, in hexadecimal digits.
    pub sig: String,
    /// What Sigstore adds to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub bundle: Option<Value>,
}

/// A role that waits for signatures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoleOfEvent {
    /// The role: `root`, or the name of a delegated role.
    pub role: String,
}

/// The next root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetadataUpdate {
    /// Signed metadata by role: `root` alone. It is kept exactly as it came.
    pub metadata: Map<String, Value>,
    /// How online keys change.
    #[serde(default, skip_serializing_if = "Rotation::is_default")]
    pub rotation: Rotation,
}

/// How online keys change with a new root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// For a while the keys of both roots sign, so that no client ever meets metadata that its root does not trust.
    #[default]
    Seamless,
    /// The old keys never sign again. Clients that update in the moment of the change may have to try once more.
    Immediate,
}

impl Rotation {
    /// Whether it is what happens when nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A change of delegations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetadataDelegation {
    /// What is done.
    pub action: DelegationAction,
    /// `keys` and `roles`, as they came; for a deletion `roles` with names alone.
    #[schema(value_type = Object)]
    pub delegations: Value,
}

/// What is done with delegations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DelegationAction {
    /// New roles.
    Add,
    /// Roles that there are get other keys, paths, thresholds or expirations.
    Update,
    /// Roles that there are end.
    Delete,
}

/// Roles to publish anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForceOnline {
    /// Their names, `bins` for all hash bins; none for all roles that are signed online.
    pub roles: Vec<String>,
}

/// Metadata of a delegated role that its owner signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DelegatedMetadata {
    /// The role.
    pub role: String,
    /// The metadata, as it came.
    pub metadata: Value,
}

fn yes() -> bool {
    true
}

/// How far a task has come, as `GET /task` tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// A worker recorded it; the change waits for its round.
    Running {
        /// The roles that will be published for it.
        roles_to_publish: Vec<String>,
        /// What is missing of people's signatures, by role.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        missing: BTreeMap<String, Vec<Missing>>,
        /// When that was known.
        last_update: Timestamp,
    },
    /// It is finished, well or not: see [`Outcome::status`].
    Finished(Outcome),
    /// It broke: nothing was changed.
    Failed {
        /// The cause.
        message: String,
    },
    /// It was withdrawn before a worker took it.
    Revoked,
    /// A worker of another program tells something that ours don't.
    Foreign(Foreign),
}

impl Progress {
    /// Whether nothing comes after it.
    pub fn ended(&self) -> bool {
        match self {
            Progress::Running { .. } => false,
            Progress::Finished(_) | Progress::Failed { .. } | Progress::Revoked => true,
            Progress::Foreign(foreign) => match foreign.state {
                ForeignState::Success | ForeignState::Errored | ForeignState::Rejected | ForeignState::Ignored => true,
                ForeignState::PreRun
                | ForeignState::Received
                | ForeignState::Started
                | ForeignState::Running
                | ForeignState::Retry => false,
            },
        }
    }
}

/// What a worker of another program tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The state.
    #[serde(rename = "foreign_state")]
    pub state: ForeignState,
    /// What else there is; `None` when nothing of it can be shown.
    pub told: Option<Told>,
}

/// The states that only workers of other programs have, or that come with a result of another shape than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignState {
    /// A worker is about to begin.
    PreRun,
    /// A worker has it.
    Received,
    /// A worker is at it.
    Started,
    /// Its change waits to be published.
    Running,
    /// It broke and is tried again.
    Retry,
    /// It is done.
    Success,
    /// It is finished, and what was asked for was not done.
    Errored,
    /// It can't be done.
    Rejected,
    /// It was left out.
    Ignored,
}

/// Those members of a result that the contract shows, as far as they are there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// A sentence for people.
    pub message: Option<String>,
    /// Why it was not done.
    pub error: Option<String>,
    /// Whether it was done.
    pub status: Option<bool>,
    /// The action.
    pub task: Option<String>,
    /// When this was known.
    pub last_update: Option<Timestamp>,
    /// What was done.
    pub details: Option<Value>,
}

/// The result of a finished task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The action: [`Job::action`].
    pub task: String,
    /// Whether what was asked for was done.
    pub status: bool,
    /// A sentence for people, which clients also compare.
    pub message: String,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What was done, by the names that the contract has for each action.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Value>,
    /// When it was finished.
    pub last_update: Timestamp,
}
