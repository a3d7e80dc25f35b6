//! The ledger: the truth. What is published, what will be, and what was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::charter::{Amended, Amendment, Chartered, NextRoot, Signing, Wanted};
use crate::{
    store::StoreError,
    task::{Progress, TaskId},
    tuf::{
        bins::{Bins, Layout},
        change::Changes,
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName, Version},
        snapshot::MetaFile,
        wire::Metadata,
    },
};

mod awaited;
pub mod charter;
#[cfg(test)]
pub(crate) mod contract;
mod moving;
pub mod postgres;
mod settle;
pub mod shape;
pub mod sqlite;
mod staging;
mod stored;

/// The truth.
///
/// What a backend promises:
///
/// - Every method is one transaction: it took effect whole and durably, or not at all. After an error the caller does not
///   know which; to call [`stage`](Ledger::stage) again with the same tasks, or to start a new round, is always safe.
/// - Transactions of all workers are serialised: each sees what was committed before it.
/// - A version that [`plan`](Ledger::plan) gave out is never given out again for that role.
/// - [`commit`](Ledger::commit) succeeds for one plan of those that were made on the same head; for all others it is
///   [`StoreError::Lost`]. That compare alone makes two publishers safe; no lock, lease or clock does.
/// - The charter changes only by [`amend`](Ledger::amend) and [`commit`](Ledger::commit), and its revision grows with every change. A plan that
///   was made on another revision is lost too.
/// - Staged changes of a role that people sign wait, in no plan, until an event of the role that has them is complete and
///   is committed. Staged changes of any role with a complete event are for the plan after the one that publishes it.
/// - A task that waits for a round or a root never waits in vain: a plan is made for it even if there is nothing else to publish. If what it waits
///   for is withdrawn it ends with that, refused; so does a task whose artifacts wait for a role that is deleted, and have no place elsewhere.
/// - An artifact that moves is listed by its new role before the old one stops to list it. While it waits for people to sign that, what is
///   staged for its path elsewhere is staged for the new role too, by no task. What is removed elsewhere after people were asked comes into no
///   plan by what they have signed.
/// - Costs grow with what is asked for and with the number of roles, never with the number of artifacts stored.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Records tasks with all that they ask for, and says how far each is now. A task that is known already is left
    /// as it is, and told as it is. [`StoreError::Lost`] when artifacts were placed by a placement that is not the current one.
    async fn stage(&self, requests: Vec<Request>, now: Timestamp) -> Result<Vec<(TaskId, Progress)>, StoreError>;

    /// The settings of the repository, `None` before a bootstrap was recorded.
    async fn settings(&self) -> Result<Option<RepositorySettings>, StoreError>;

    /// The repository, `None` before a bootstrap was recorded. With explicit bins this is megabytes.
    async fn repository(&self) -> Result<Option<Repository>, StoreError>;

    /// The head, `None` before the first publication.
    async fn head(&self) -> Result<Option<Head>, StoreError>;

    /// Takes the staged changes, the oldest first and about `limit` at most, and the roles that are due, decides what is
    /// to be published, and gives out the versions.
    ///
    /// A plan that is neither committed nor old keeps other publishers from planning the same: they are told
    /// [`Planned::Elsewhere`]. That saves work and nothing depends on it; whose plan it is, is the instance of the ledger.
    async fn plan(&self, now: Timestamp, limit: usize) -> Result<Planned, StoreError>;

    /// What people decided and what waits for their signatures.
    async fn charter(&self) -> Result<Chartered, StoreError>;

    /// Records a decision, if the charter is the one that it was made on.
    ///
    /// A task that is known already is left as it is: then nothing changes, whatever the charter is. A change that changes nothing leaves
    /// the revision as it is. The versions of new events are given out; a role whose event goes without a successor is due.
    /// [`StoreError::Broken`] for a new role that was there before, and for a second repository.
    async fn amend(&self, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError>;

    /// The roles of which people are to sign a new version: those that they sign, that have no complete event, and that have staged
    /// changes which no event has, or are due. Gives out the versions; a due role is not due any more when its event is recorded.
    async fn wanted(&self, now: Timestamp) -> Result<Vec<Wanted>, StoreError>;

    /// The tasks that wait until people have signed `role`, the oldest first, at most `limit`.
    async fn waiting(&self, role: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError>;

    /// Those of these roles whose scope has the path of an artifact that some role lists as published, of those that are not deleted.
    /// This reads all paths.
    async fn covering(&self, scopes: Vec<(RoleName, Scope)>) -> Result<BTreeSet<RoleName>, StoreError>;

    /// What these roles list as published, each in the order of the paths.
    async fn artifacts(&self, roles: Vec<RoleName>) -> Result<Vec<Vec<(ArtifactPath, Info)>>, StoreError>;

    /// The published version of every role that this service signs; with length and hash where they are known.
    async fn published(&self) -> Result<BTreeMap<RoleName, MetaFile>, StoreError>;

    /// Makes the publication of a plan the head: the moment from which on it is what clients see.
    /// Its changes are applied, and the tasks of which nothing is left to publish are finished.
    ///
    /// What a signed role lists is what its document says from now on; other roles stop to list those paths of it that are its own, and
    /// those that it removed. Delegations that become effective change the placement: artifacts are moved as [`amend`](Ledger::amend) does it.
    async fn commit(&self, plan: &Plan, publication: Publication, now: Timestamp) -> Result<Head, StoreError>;

    /// Finishes the youngest task that stages a change of `role` up to `through`, as refused for this reason, and drops all
    /// of its changes, those that wait for people too. `None` when there is none.
    async fn refuse(
        &self,
        role: &RoleName,
        through: i64,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<TaskId>, StoreError>;

    /// Tasks that were finished by the head `through` or an earlier one and were not reported yet, at most `limit`.
    async fn unreported(&self, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError>;

    /// Notes that these tasks were reported.
    async fn reported(&self, tasks: Vec<TaskId>) -> Result<(), StoreError>;

    /// Reports the tasks that finished since this time once more: what held the reports may have lost them.
    async fn report_again(&self, since: Timestamp) -> Result<(), StoreError>;

    /// When the published roles expire, by name; all hash bins together are `bins`, with the first of them. Root is
    /// not among them, nor is what was deleted.
    async fn expiries(&self) -> Result<BTreeMap<String, Expiry>, StoreError>;
}

/// When a published role expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Its version; `None` for many roles that are told together.
    pub version: Option<Version>,
    /// From when on clients refuse it.
    pub expires: Timestamp,
}

/// A task that is to be recorded.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub task: TaskId,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// What it asks for.
    pub work: Work,
}

/// What a task asks of the ledger.
#[derive(Debug, Clone)]
pub enum Work {
    /// Create the repository. Refused when there is one.
    Create(Box<NewRepository>),
    /// Add artifacts.
    Add {
        /// The placement that says so: see [`Chartered::placement`].
        placement: i64,
        /// Where a client looks for each, and its target information.
        artifacts: Vec<(RoleName, ArtifactPath, Info)>,
        /// Paths that no role may list.
        invalid: Vec<String>,
        /// When it is published.
        visibility: Visibility,
    },
    /// Remove artifacts, each with the role where a client looks for it; `None` when there can't be one.
    Remove {
        /// The placement that says so: see [`Chartered::placement`].
        placement: i64,
        /// The paths as they were asked for.
        paths: Vec<(String, Option<(RoleName, ArtifactPath)>)>,
        /// When it is published.
        visibility: Visibility,
    },
    /// Publish all that is held back.
    Release,
    /// Change expirations, in days by the name of the role.
    SetExpirations(BTreeMap<String, u32>),
    /// Nothing: the task was finished by whoever read it.
    Nothing {
        /// The action.
        action: &'static str,
        /// How it ended.
        progress: Progress,
    },
}

impl Work {
    /// The action as it is written in task results.
    pub fn action(&self) -> &'static str {
        match self {
            Work::Create(_) => "bootstrap",
            Work::Add { .. } => "add_artifacts",
            Work::Remove { .. } => "remove_artifacts",
            Work::Release => "publish_artifacts",
            Work::SetExpirations(_) => "update_settings",
            Work::Nothing { action, .. } => action,
        }
    }
}

/// When a change is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// With the next round.
    NextRound,
    /// When a [`Work::Release`] asks for it.
    Held,
}

/// A repository that is to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewRepository {
    /// Its settings.
    pub settings: RepositorySettings,
    /// The `delegations` of its `targets`.
    pub delegations: Value,
    /// What its operator should know; told with the result of the task.
    pub notes: Vec<String>,
    /// Its first root.
    pub root: Metadata,
    /// Every role that is to be signed: `targets`, `snapshot`, `timestamp` and all delegated ones.
    pub roles: Vec<RoleName>,
    /// Those with names of their own.
    pub custom: BTreeMap<RoleName, Signing>,
}

/// The settings of a repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositorySettings {
    /// Days of validity by role; `bins` for all hash bins.
    pub expirations: BTreeMap<String, u32>,
    /// The number of bins as it was asked for, before rounding; `None` without bins.
    pub number_of_delegated_bins: Option<u32>,
    /// How the bins are written into `targets`.
    #[serde(default)]
    pub layout: Layout,
    /// The number of signatures on the root that was submitted.
    pub root_num_keys: u32,
}

impl RepositorySettings {
    /// The hash bins, if there are any.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when their number, which was checked when it was recorded, can't be.
    pub fn bins(&self) -> Result<Option<Bins>, StoreError> {
        let bins = self.number_of_delegated_bins.map(|number| Bins::new(number, self.layout));
        bins.transpose().map_err(|error| StoreError::Broken(error.to_string()))
    }

    /// For how many days `role` is valid from a signature on.
    pub fn days(&self, role: &RoleName) -> u32 {
        let own = self.expirations.get(role.as_str());
        own.or_else(|| self.expirations.get("bins")).copied().unwrap_or(1)
    }
}

/// The repository as recorded.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The bootstrap that created it.
    pub task: TaskId,
    /// Its settings.
    pub settings: RepositorySettings,
    /// The `delegations` of its `targets`.
    pub delegations: Value,
    /// The current root as published.
    pub root: Vec<u8>,
    /// The current `targets` as published, `None` before the first publication.
    pub targets: Option<Vec<u8>>,
}

/// The commit point that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Counts the publications.
    pub sequence: i64,
    /// The version of its timestamp.
    pub version: Version,
    /// The exact bytes of its timestamp.
    pub timestamp: Vec<u8>,
    /// The root that clients see with it for the first time, if there is one: the name of its file, and its bytes.
    pub root: Option<(Version, Vec<u8>)>,
}

/// A task that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The task.
    pub task: TaskId,
    /// What it asked for: [`Work::action`].
    pub action: String,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// How it ended.
    pub progress: Progress,
}

/// What there is to publish.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one a round")]
pub enum Planned {
    /// Nothing.
    Nothing,
    /// Perhaps something, and another publisher is at it: look again after this time at the latest.
    Elsewhere(Duration),
    /// What people have signed lists what was removed since: it must not be published, and is to be withdrawn.
    Stale(Stale),
    /// This.
    Round(Plan),
}

/// A complete event that would have clients see an artifact again that was removed elsewhere, while people signed that it is listed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The role.
    pub role: RoleName,
    /// The artifact.
    pub path: ArtifactPath,
    /// The revision of the charter that has the event.
    pub revision: i64,
}

/// What a round will publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names the plan.
    pub id: i64,
    /// The sequence of the head that it was made on, 0 for none.
    pub base: i64,
    /// The revision of the charter that it was made on.
    pub revision: i64,
    /// The settings of the repository.
    pub settings: RepositorySettings,
    /// The last staged change that it takes, of those that wait for nobody's signature.
    pub through: i64,
    /// The changes, merged.
    pub changes: Changes,
    /// The roles to publish with their new versions, in the order in which they are written.
    pub roles: Vec<(RoleName, Version)>,
    /// Those of them that people have signed: complete events, published as they are.
    pub signed: BTreeMap<RoleName, Metadata>,
    /// The `delegations` that become effective with it: those of the repository with what was announced of the signed roles. `None` when
    /// they stay.
    pub delegations: Option<Value>,
    /// The root that it publishes.
    pub root: Option<NextRoot>,
}

impl Plan {
    /// The new version of a role, `None` when the plan does not publish it.
    pub fn version_of(&self, role: &RoleName) -> Option<Version> {
        // The top-level roles, which alone are asked for, stand at the end.
        self.roles.iter().rev().find(|(name, _)| name == role).map(|(_, version)| *version)
    }
}

/// What a round has made of a plan.
///
/// The commit takes over what the plan says of events, delegations and root. A root that was announced is ready then, if the plan
/// did not publish it; one that is published leaves the root before it retired until `root_grace_ends`.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The published roles.
    pub roles: Vec<PublishedRole>,
    /// The new `targets`, when it changed.
    pub targets: Option<Vec<u8>>,
    /// The new timestamp.
    pub timestamp: Vec<u8>,
    /// Until when the online keys of a root that is replaced by this go on to sign; then `targets`, `snapshot` and `timestamp` are
    /// due, to be signed without them.
    pub root_grace_ends: Timestamp,
}

/// A role that was signed.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedRole {
    /// Its name.
    pub name: RoleName,
    /// How those that refer to it list it.
    pub meta: MetaFile,
    /// When it is due.
    pub renew_at: Timestamp,
    /// When clients refuse it.
    pub expires: Timestamp,
}
