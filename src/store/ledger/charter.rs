//! The charter: what people decided about the repository and what waits for their signatures. It changes as a whole.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::NewRepository;
use crate::{
    task::{Outcome, Rotation, TaskId},
    tuf::{
        change::Change as ArtifactChange,
        event::Event,
        key::Key,
        name::{ArtifactPath, KeyId, RoleName, Version},
        placement::Placement,
        root::RoleKeys,
        wire::Metadata,
    },
};

/// What people decided. Who is delegated what *now*, and the current root, are in the [`Repository`](super::Repository).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Charter {
    /// A bootstrap whose root waits for signatures. Its event is that of the role `root`.
    pub founding: Option<Founding>,
    /// How the online keys change with the root that waits for signatures in the event `root`.
    #[serde(skip_serializing_if = "Rotation::is_default")]
    pub rotation: Rotation,
    /// A root that is fully signed and on its way to clients.
    pub next_root: Option<NextRoot>,
    /// Roots that clients may still hold for a while: their online keys sign too.
    pub retired_roots: Vec<RetiredRoot>,
    /// Every delegated role with a name of its own that there is or ever was; hash bins are not among them.
    pub roles: BTreeMap<RoleName, CustomRole>,
    /// The open signing events by role; that of a root is `root`.
    pub events: BTreeMap<RoleName, Event>,
    /// Roles of which keys of people are announced, and which this service goes on to sign as they are delegated now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<RoleName, Kept>,
    /// Of what is fully signed and on its way the tasks that end when clients see it, by role; that of a root is `root`. The ledger keeps it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub awaited: BTreeMap<RoleName, TaskId>,
}

impl Charter {
    /// The open event of a role, under its name. Upper and lower case make no difference, as no two roles differ by that alone.
    pub fn event(&self, role: &str) -> Option<(&RoleName, &Event)> {
        self.events.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case(role))
    }
}

/// A bootstrap that waits for the signatures of its root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Founding {
    /// The task that asked for it.
    pub task: TaskId,
    /// What will be created, but for the signatures of its root, which are those of the event.
    pub repository: NewRepository,
}

/// A root that is on its way. At most one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NextRoot {
    /// The root, fully signed.
    pub root: Metadata,
    /// Its version.
    pub version: Version,
    /// How the online keys change.
    pub rotation: Rotation,
    /// How far it is.
    pub stage: RootStage,
}

/// How far the next root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootStage {
    /// Everything that its keys sign is to be published once more, signed by the keys of both roots. Then it is [`Ready`](Self::Ready).
    Announced,
    /// The next round publishes it.
    Ready,
}

/// A root that was replaced a short while ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetiredRoot {
    /// The root.
    pub root: Metadata,
    /// Until when its online keys sign.
    pub until: Timestamp,
}

/// A delegated role with a name of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomRole {
    /// What this service needs to publish it.
    pub signing: Signing,
    /// Whether it was deleted: its name is never used again, and snapshot lists its last version for ever (TUF §5.5.5).
    #[serde(default)]
    pub retired: bool,
    /// What `targets` will say of it as soon as people have signed it: what it says now stays until then, so that no client meets a
    /// role without valid metadata.
    #[serde(default)]
    pub announced: Option<Announced>,
}

/// Whether people have to sign a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// The online keys suffice.
    Online,
    /// People must sign; online keys of the role sign too.
    Offline,
}

impl Signing {
    /// How a role with these keys is signed: online if so many of them can be reached as must sign.
    pub fn of(keys: &BTreeMap<KeyId, Key>, role: &RoleKeys) -> Self {
        if role.is_reachable(keys) { Self::Online } else { Self::Offline }
    }
}

/// A delegation that is not effective yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// The role object of `delegations.roles`.
    pub role: Value,
    /// The keys that it names, by their ids.
    pub keys: Map<String, Value>,
}

/// A role that this service keeps valid until people have signed what was announced of it. What it lists stays meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether the next round publishes it, however long it is valid still: its key was replaced.
    #[serde(default)]
    pub due: bool,
}

/// A decision: what a task, or the service itself, makes of the charter that it saw.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// The revision that was seen. When there is another one by now nothing is recorded.
    pub base: i64,
    /// The task that asked; `None` when nobody did.
    pub task: Option<Decided>,
    /// What changes.
    pub change: Change,
}

/// How a task that asked for a decision ends.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The task.
    pub task: TaskId,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// How it ends.
    pub outcome: Outcome,
    /// When that is so.
    pub end: End,
}

/// When a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Now.
    Now,
    /// When clients see a round that knows of the amendment.
    Visible,
    /// When clients see this version of root.
    Root(Version),
}

/// What an amendment changes. What is `None` or empty stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The new charter.
    pub charter: Option<Charter>,
    /// The repository that is created. There is none before.
    pub create: Option<Box<NewRepository>>,
    /// For how many days roles are valid, by role: these are added or changed.
    pub expirations: BTreeMap<String, u32>,
    /// The `delegations` of `targets`.
    pub delegations: Option<Value>,
    /// New roles that this service publishes, each with a row and versions of its own from now on.
    pub new_roles: Vec<RoleName>,
    /// The roles that the next round publishes whether anything changed in them or not.
    pub due: Due,
    /// Where artifacts are listed from now on: those that are listed, staged or held elsewhere are moved there. What is listed and has no
    /// place any more stays where it is, unpublished with its role, until a place is made for it; what waits for a role that is deleted, and
    /// has no other place, is dropped.
    pub placement: Option<Placement>,
    /// Why something that was fully signed is withdrawn, if no task asks for that: told to the tasks that waited for it.
    pub withdrawal: Option<String>,
}

impl Change {
    /// The change that creates a repository: its roles are those of the charter from then on.
    pub fn founds(mut charter: Charter, new: NewRepository) -> Self {
        let role = |signing| CustomRole { signing, retired: false, announced: None };
        charter.roles = new.custom.iter().map(|(name, signing)| (name.clone(), role(*signing))).collect();
        Self { charter: Some(charter), create: Some(Box::new(new)), ..Self::default() }
    }
}

/// Roles to publish anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Due {
    /// None.
    #[default]
    None,
    /// These.
    Roles(Vec<RoleName>),
    /// All that are online.
    All,
}

/// What became of an amendment.
#[derive(Debug, Clone, PartialEq)]
pub enum Amended {
    /// It is recorded. If the task was recorded before, nothing was changed again.
    Recorded,
    /// The charter is another one by now: decide anew.
    Moved,
}

/// The charter as it is.
#[derive(Debug, Clone)]
pub struct Chartered {
    /// Counts its changes and those of delegations, expirations and root.
    pub revision: i64,
    /// Counts the changes of the placement alone: requests whose artifacts were placed by another one are not recorded.
    pub placement: i64,
    /// The charter.
    pub charter: Charter,
}

/// A role of which people are to sign a new version.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The role.
    pub role: RoleName,
    /// The version that was given out for it.
    pub version: Version,
    /// Why.
    pub reason: Reason,
    /// All staged changes of the role, merged, those of an open event too.
    pub changes: BTreeMap<ArtifactPath, ArtifactChange>,
    /// The last of them, 0 for none.
    pub through: i64,
}

/// Why people are to sign a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its artifacts changed. If the content is that of the open event, that stays with its signatures.
    Content,
    /// It is new, its keys changed, or it expires soon.
    Due,
}
