//! What recording a task finds out, as values: shared by all backends, so that they tell the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{NewRepository, Visibility, Work, charter::Signing};
use crate::{
    store::StoreError,
    task::{Outcome, Progress, TaskId},
    tuf::{
        info::Info,
        name::{ArtifactPath, RoleName},
    },
};

/// What is known of the state before a request is recorded.
pub(super) trait Known {
    /// Why it can't be read.
    type Error;
    /// The task that created the repository, if there is one.
    fn repository(&self) -> Result<Option<TaskId>, Self::Error>;
    /// The bootstrap that waits for signatures, if there is one.
    fn founding(&self) -> Result<Option<TaskId>, Self::Error> {
        Ok(None)
    }
    /// Whether the path is listed, as soon as everything that was asked for before is published. Changes by which a move removes
    /// an artifact from the role that listed it before say nothing of that.
    fn lists(&self, role: &RoleName, path: &ArtifactPath) -> Result<bool, Self::Error>;
    /// The roles of the changes that are held back.
    fn held_roles(&self) -> Result<BTreeSet<String>, Self::Error>;
    /// The roles that have an expiration.
    fn expirations(&self) -> Result<BTreeSet<String>, Self::Error>;
}

/// What is to be recorded for a request.
pub(super) struct Record {
    /// How the task ends, with the time of now.
    pub progress: Progress,
    /// The roles that must be published first; none: the task is finished at once.
    pub roles: BTreeSet<String>,
    /// What is written beside the task itself.
    pub effect: Effect,
}

/// What a request writes.
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// A new repository.
    Create(Box<NewRepository>),
    /// Changes for the next round, or to hold back; `None` is a removal.
    Change(Visibility, Vec<(RoleName, ArtifactPath, Option<Info>)>),
    /// What is held back goes to the next round.
    Release,
    /// New expirations of roles that have one.
    SetExpirations(BTreeMap<String, u32>),
}

/// Makes sure that artifacts were placed by the placement that is the current one.
///
/// # Errors
/// [`StoreError::Lost`] when they were not.
pub(super) fn check_placement(work: &Work, current: i64) -> Result<(), StoreError> {
    match work {
        Work::Add { placement, .. } | Work::Remove { placement, .. } if *placement != current => {
            Err(StoreError::Lost(format!("artifacts are placed by placement {current}, not {placement}")))
        }
        _ => Ok(()),
    }
}

impl Record {
    fn finished(outcome: Outcome) -> Self {
        Self { progress: Progress::Finished(outcome), roles: BTreeSet::new(), effect: Effect::Nothing }
    }
}

/// Decides what is recorded for `work` of `task`.
pub(super) fn record<K: Known>(known: &K, task: &TaskId, work: Work, now: Timestamp) -> Result<Record, K::Error> {
    let action = work.action();
    let repository = known.repository()?;
    Ok(match work {
        Work::Nothing { progress, .. } => Record { progress, roles: BTreeSet::new(), effect: Effect::Nothing },
        Work::Create(new) => match (repository, known.founding()?) {
            (Some(other), _) => Record::finished(Outcome::refused(action, format!("Bootstrap state is {other}"), now)),
            (None, Some(other)) => {
                Record::finished(Outcome::refused(action, format!("Bootstrap state is signing-{other}"), now))
            }
            (None, None) => {
                let online = |role: &&RoleName| new.custom.get(*role) != Some(&Signing::Offline);
                Record {
                    progress: Progress::Finished(Outcome::bootstrapped(task.as_str(), &new.notes, now)),
                    roles: new.roles.iter().filter(online).map(|role| role.to_string()).collect(),
                    effect: Effect::Create(new),
                }
            }
        },
        _ if repository.is_none() => {
            Record::finished(Outcome::refused(action, "it requires a finished bootstrap", now))
        }
        Work::Add { artifacts, invalid, visibility, .. } => {
            let mut roles = Vec::new();
            let mut seen = BTreeSet::new();
            for (role, _, _) in &artifacts {
                if seen.insert(role.as_str()) {
                    roles.push(role.as_str());
                }
            }
            let paths: Vec<_> = artifacts.iter().map(|(_, path, _)| path.as_str()).collect();
            let outcome = Outcome::added(&paths, &invalid, &roles, now);
            let roles = to_publish(visibility, seen);
            let changes = artifacts.into_iter().map(|(role, path, info)| (role, path, Some(info))).collect();
            Record { progress: Progress::Finished(outcome), roles, effect: Effect::Change(visibility, changes) }
        }
        Work::Remove { paths, .. } if paths.is_empty() => {
            Record::finished(Outcome::refused(action, "At list one artifact is required", now))
        }
        Work::Remove { paths, visibility, .. } => {
            let (mut deleted, mut not_found) = (Vec::new(), Vec::new());
            let mut changes = Vec::new();
            let mut roles = BTreeSet::new();
            for (text, place) in &paths {
                match place {
                    Some((role, path)) if known.lists(role, path)? => {
                        deleted.push(text.as_str());
                        roles.insert(role.as_str());
                        changes.push((role.clone(), path.clone(), None));
                    }
                    _ => not_found.push(text.as_str()),
                }
            }
            let progress = Progress::Finished(Outcome::removed(&deleted, &not_found, now));
            let roles = to_publish(visibility, roles);
            Record { progress, roles, effect: Effect::Change(visibility, changes) }
        }
        Work::Release => {
            let roles = known.held_roles()?;
            let names: Vec<_> = roles.iter().map(String::as_str).collect();
            let outcome = Outcome::published((!names.is_empty()).then_some(&names), now);
            Record { progress: Progress::Finished(outcome), roles, effect: Effect::Release }
        }
        Work::SetExpirations(days) => {
            let has = known.expirations()?;
            // People sign root: its expiration is theirs to choose (TUF §6.1).
            let (updated, invalid): (Vec<_>, Vec<_>) =
                days.keys().map(String::as_str).partition(|role| has.contains(*role) && *role != "root");
            let progress = Progress::Finished(Outcome::updated_settings(&updated, &invalid, now));
            let days = updated.iter().map(|role| ((*role).to_owned(), days[*role])).collect();
            Record { progress, roles: BTreeSet::new(), effect: Effect::SetExpirations(days) }
        }
    })
}

fn to_publish(visibility: Visibility, roles: BTreeSet<&str>) -> BTreeSet<String> {
    match visibility {
        Visibility::NextRound => roles.into_iter().map(str::to_owned).collect(),
        Visibility::Held => BTreeSet::new(),
    }
}
