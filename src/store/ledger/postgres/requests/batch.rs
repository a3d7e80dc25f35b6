//! What the requests of one call change, in memory: each sees the effects of those before it.

use std::collections::{BTreeMap, BTreeSet};

use super::created::Created;
use crate::{
    store::{
        StoreError,
        ledger::{
            NewRepository, RepositorySettings, charter::Charter, postgres::key, settle, staging::Known, stored::to_json,
        },
        postgres::Call,
    },
    task::TaskId,
    tuf::{
        info::Info,
        name::{ArtifactPath, RoleName},
    },
};

type NewChanges = Vec<(RoleName, ArtifactPath, Option<Info>)>;

/// What is known, and what is to be written.
#[derive(Default)]
pub(super) struct Batch {
    /// The task that created the repository, and its settings.
    pub(super) repository: Option<(TaskId, RepositorySettings)>,
    /// Whether a path is listed as soon as everything is published, and the role for which a change of it is held.
    pub(super) paths: BTreeMap<ArtifactPath, (bool, Option<String>)>,
    /// How many changes are held by role.
    pub(super) held_roles: BTreeMap<String, i64>,
    /// Whether an artifact waits for people to list it, while another role does.
    pub(super) something_moves: bool,
    /// Whether the ledger holds changes back.
    pub(super) something_is_held: bool,
    /// The charter, which matters to a new repository alone.
    pub(super) charter: Charter,
    created: Option<Box<NewRepository>>,
    settings_changed: Changed,
    /// The paths of which nothing is held any more when the first release comes.
    overtaken: BTreeSet<ArtifactPath>,
    /// What is staged before what the first release moves, and after it.
    before: Rows,
    after: Rows,
    /// The first release: it moves what the ledger holds back.
    release: Option<TaskId>,
    /// What is held by these requests.
    held: BTreeMap<ArtifactPath, (RoleName, Option<String>)>,
}

#[derive(Default, PartialEq)]
enum Changed {
    #[default]
    No,
    Yes,
}

impl Batch {
    pub(super) fn create(&mut self, task: &TaskId, new: Box<NewRepository>) {
        self.repository = Some((task.clone(), new.settings.clone()));
        self.created = Some(new);
    }

    /// Puts changes behind all that are staged. What is held back for the same path is older, so it is dropped.
    pub(super) fn stage(&mut self, task: &TaskId, changes: NewChanges) -> Result<(), StoreError> {
        for (role, path, info) in changes {
            let info = info.as_ref().map(|info| info.json().to_owned());
            self.replaces_held(&path, info.is_some(), None);
            self.held.remove(&path);
            self.rows().push(task, &role, &path, info);
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, changes: NewChanges) -> Result<(), StoreError> {
        for (role, path, info) in changes {
            let info = info.as_ref().map(|info| info.json().to_owned());
            self.replaces_held(&path, info.is_some(), Some(&role));
            self.held.insert(path, (role, info));
        }
        Ok(())
    }

    pub(super) fn release(&mut self, task: &TaskId) {
        for (path, (role, info)) in std::mem::take(&mut self.held) {
            self.rows().push(task, &role, &path, info);
        }
        self.release.get_or_insert_with(|| task.clone());
        self.held_roles.clear();
        for (_, held_for) in self.paths.values_mut() {
            *held_for = None;
        }
    }

    pub(super) fn set_expirations(&mut self, days: BTreeMap<String, u32>) {
        if let Some((_, settings)) = &mut self.repository {
            settings.expirations.extend(days);
            self.settings_changed = Changed::Yes;
        }
    }

    /// Notes that the youngest statement about a path is a new one, which may be held for a role.
    fn replaces_held(&mut self, path: &ArtifactPath, lists: bool, held_for: Option<&RoleName>) {
        if self.something_is_held && self.release.is_none() {
            self.overtaken.insert(path.clone());
        }
        let held_for = held_for.map(|role| role.as_str().to_owned());
        if let Some(role) = &held_for {
            *self.held_roles.entry(role.clone()).or_default() += 1;
        }
        if let Some((_, Some(earlier))) = self.paths.insert(path.clone(), (lists, held_for))
            && let Some(count) = self.held_roles.get_mut(&earlier)
        {
            *count -= 1;
        }
    }

    fn rows(&mut self) -> &mut Rows {
        if self.release.is_none() { &mut self.before } else { &mut self.after }
    }

    /// The sum of the effects.
    pub(super) fn written(self) -> Result<Written, StoreError> {
        let mut held = Rows::default();
        for (path, (role, info)) in &self.held {
            held.push_for_nobody(role, path, info.clone());
        }
        let settings = match (&self.created, self.settings_changed, &self.repository) {
            (None, Changed::Yes, Some((_, settings))) => Some(to_json(settings)?),
            _ => None,
        };
        let created = match (self.created, &self.repository) {
            (Some(new), Some((task, settings))) => {
                let mut charter = self.charter;
                settle::found(&mut charter, &new);
                // Later requests of the call may have changed the settings.
                let new = NewRepository { settings: settings.clone(), ..*new };
                Some((Created::of(task, new)?, to_json(&charter)?))
            }
            _ => None,
        };
        Ok(Written {
            settings,
            created,
            overtaken: self.overtaken.iter().map(key).collect(),
            before: self.before,
            release: self.release.map(|task| task.as_str().to_owned()),
            after: self.after,
            held,
            something_moves: self.something_moves,
        })
    }
}

impl Known for Batch {
    type Error = StoreError;

    fn repository(&self) -> Result<Option<TaskId>, StoreError> {
        Ok(self.repository.as_ref().map(|(task, _)| task.clone()))
    }

    fn founding(&self) -> Result<Option<TaskId>, StoreError> {
        Ok(self.charter.founding.as_ref().map(|founding| founding.task.clone()))
    }

    fn lists(&self, _: &RoleName, path: &ArtifactPath) -> Result<bool, StoreError> {
        Ok(self.paths.get(path).is_some_and(|(lists, _)| *lists))
    }

    fn held_roles(&self) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.held_roles.iter().filter(|(_, count)| **count > 0).map(|(role, _)| role.clone()).collect())
    }

    fn expirations(&self) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.repository.iter().flat_map(|(_, settings)| settings.expirations.keys().cloned()).collect())
    }
}

/// The columns of changes.
#[derive(Default)]
pub(crate) struct Rows {
    tasks: Vec<String>,
    roles: Vec<String>,
    digests: Vec<Vec<u8>>,
    paths: Vec<String>,
    infos: Vec<Option<String>>,
}

impl Rows {
    pub(crate) fn push(&mut self, task: &TaskId, role: &RoleName, path: &ArtifactPath, info: Option<String>) {
        self.tasks.push(task.as_str().to_owned());
        self.push_for_nobody(role, path, info);
    }

    fn push_for_nobody(&mut self, role: &RoleName, path: &ArtifactPath, info: Option<String>) {
        self.roles.push(role.as_str().to_owned());
        self.digests.push(key(path));
        self.paths.push(path.as_str().to_owned());
        self.infos.push(info);
    }
}

/// What is to be written, as columns.
pub(super) struct Written {
    settings: Option<String>,
    created: Option<(Created, String)>,
    overtaken: Vec<Vec<u8>>,
    before: Rows,
    release: Option<String>,
    after: Rows,
    held: Rows,
    something_moves: bool,
}

const STAGE: &str = "insert into staged (task_id, role, digest, path, info, waits)
     select task, roles.id, digest, path, info, roles.waits
     from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[]) with ordinality
         as new (task, role, digest, path, info, position)
     left join roles on roles.name = new.role order by position";

/// An artifact that waits for people to list it is still listed elsewhere: they are to sign what it is by then.
const FOLLOW: &str = "insert into staged (task_id, role, digest, path, info, waits)
     select '', moving.role, digest, path, info, true
     from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) with ordinality as new (role, digest, path, info, position)
     cross join lateral (select distinct role from staged
         where staged.digest = new.digest and waits and task_id = '' and staged.info is not null) as moving
     where moving.role <> (select id from roles where name = new.role) order by position";

const FOLLOW_HELD: &str = "insert into staged (task_id, role, digest, path, info, waits)
     select distinct '', moving.role, held.digest, held.path, held.info, true from held
     join staged as moving on moving.digest = held.digest and moving.role <> held.role
     where moving.waits and moving.task_id = '' and moving.info is not null";

impl Written {
    /// The statements, in the order in which they must be sent.
    pub(super) fn calls(&self) -> Vec<Call<'_>> {
        let mut calls: Vec<Call<'_>> = Vec::new();
        if let Some((created, charter)) = &self.created {
            calls.extend(created.calls());
            calls.push(("update charter set revision = revision + 1, charter = $1", vec![charter]));
        }
        if let Some(settings) = &self.settings {
            calls.push(("update repository set settings = $1", vec![settings]));
            calls.push(("update charter set revision = revision + 1", Vec::new()));
        }
        if !self.overtaken.is_empty() {
            calls.push(("delete from held where digest = any($1)", vec![&self.overtaken]));
        }
        self.before.staged(&mut calls);
        self.followed(&self.before, &mut calls);
        if let Some(task) = &self.release {
            let sql = "insert into staged (task_id, role, digest, path, info, waits)
                 select $1, role, digest, path, info, roles.waits from held join roles on roles.id = held.role order by path";
            calls.push((sql, vec![task]));
            if self.something_moves {
                calls.push((FOLLOW_HELD, Vec::new()));
            }
            calls.push(("delete from held", Vec::new()));
        }
        self.after.staged(&mut calls);
        self.followed(&self.after, &mut calls);
        if !self.held.paths.is_empty() {
            let sql = "insert into held (role, digest, path, info)
                 select (select id from roles where name = new.role), digest, path, info
                 from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) as new (role, digest, path, info)";
            let Rows { roles, digests, paths, infos, .. } = &self.held;
            calls.push((sql, vec![roles, digests, paths, infos]));
        }
        calls
    }

    fn followed<'a>(&self, rows: &'a Rows, calls: &mut Vec<Call<'a>>) {
        if self.something_moves && !rows.paths.is_empty() {
            calls.push((FOLLOW, vec![&rows.roles, &rows.digests, &rows.paths, &rows.infos]));
        }
    }
}

impl Rows {
    /// The statement that stages them, if there are any.
    pub(crate) fn staged<'a>(&'a self, calls: &mut Vec<Call<'a>>) {
        if !self.paths.is_empty() {
            calls.push((STAGE, vec![&self.tasks, &self.roles, &self.digests, &self.paths, &self.infos]));
        }
    }
}
