//! What the requests of one call change, in memory: each sees the effects of those before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    store::{
        StoreError,
        ledger::{NewRepository, RepositorySettings, postgres::key, staging::Known, stored::to_json},
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
        if self.release.is_none() {
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
            (Some(_), _, Some((_, settings))) | (None, Changed::Yes, Some((_, settings))) => Some(to_json(settings)?),
            _ => None,
        };
        let created = match (self.created, self.repository) {
            (Some(new), Some((task, _))) => Some(Created {
                task: task.as_str().to_owned(),
                delegations: to_json(&new.delegations)?,
                root: new.root.to_bytes(),
                roles: new.roles.into_iter().map(String::from).collect(),
            }),
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
        })
    }
}

impl Known for Batch {
    type Error = StoreError;

    fn repository(&self) -> Result<Option<TaskId>, StoreError> {
        Ok(self.repository.as_ref().map(|(task, _)| task.clone()))
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
pub(super) struct Rows {
    tasks: Vec<String>,
    roles: Vec<String>,
    digests: Vec<Vec<u8>>,
    paths: Vec<String>,
    infos: Vec<Option<String>>,
}

impl Rows {
    fn push(&mut self, task: &TaskId, role: &RoleName, path: &ArtifactPath, info: Option<String>) {
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

struct Created {
    task: String,
    delegations: String,
    root: Vec<u8>,
    roles: Vec<String>,
}

/// What is to be written, as columns.
pub(super) struct Written {
    settings: Option<String>,
    created: Option<Created>,
    overtaken: Vec<Vec<u8>>,
    before: Rows,
    release: Option<String>,
    after: Rows,
    held: Rows,
}

const STAGE: &str = "insert into staged (task_id, role, digest, path, info)
     select task, (select id from roles where name = new.role), digest, path, info
     from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[]) with ordinality
         as new (task, role, digest, path, info, position) order by position";

impl Written {
    /// The statements, in the order in which they must be sent.
    pub(super) fn calls(&self) -> Vec<Call<'_>> {
        let mut calls: Vec<Call<'_>> = Vec::new();
        match (&self.created, &self.settings) {
            (Some(new), Some(settings)) => {
                let sql =
                    "insert into repository (id, task_id, settings, delegations, root) values (1, $1, $2, $3, $4)";
                calls.push((sql, vec![&new.task, settings, &new.delegations, &new.root]));
                let sql = "insert into roles (name) select name from unnest($1::text[]) with ordinality
                     as new (name, position) order by position";
                calls.push((sql, vec![&new.roles]));
            }
            (None, Some(settings)) => calls.push(("update repository set settings = $1", vec![settings])),
            _ => {}
        }
        if !self.overtaken.is_empty() {
            calls.push(("delete from held where digest = any($1)", vec![&self.overtaken]));
        }
        self.before.staged(&mut calls);
        if let Some(task) = &self.release {
            let sql = "insert into staged (task_id, role, digest, path, info)
                 select $1, role, digest, path, info from held order by path";
            calls.push((sql, vec![task]));
            calls.push(("delete from held", Vec::new()));
        }
        self.after.staged(&mut calls);
        if !self.held.paths.is_empty() {
            let sql = "insert into held (role, digest, path, info)
                 select (select id from roles where name = new.role), digest, path, info
                 from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) as new (role, digest, path, info)";
            let Rows { roles, digests, paths, infos, .. } = &self.held;
            calls.push((sql, vec![roles, digests, paths, infos]));
        }
        calls
    }
}

impl Rows {
    fn staged<'a>(&'a self, calls: &mut Vec<Call<'a>>) {
        if !self.paths.is_empty() {
            calls.push((STAGE, vec![&self.tasks, &self.roles, &self.digests, &self.paths, &self.infos]));
        }
    }
}
