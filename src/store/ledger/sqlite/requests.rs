//! Recording tasks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{charter, read};
use crate::{
    store::{
        StoreError,
        ledger::{
            NewRepository, Request, Visibility,
            charter::Signing,
            settle,
            staging::{self, Effect, Known},
            stored::{self, ended, to_json},
        },
    },
    task::{Progress, TaskId},
    tuf::{
        info::Info,
        name::{ArtifactPath, RoleName},
    },
};

/// Records one task, unless it is known.
pub(super) fn stage(tx: &Transaction<'_>, request: Request, now: Timestamp) -> Result<(TaskId, Progress), StoreError> {
    let Request { task, accepted_at, work } = request;
    if let Some(progress) = recorded(tx, &task, now)? {
        return Ok((task, progress));
    }
    let placement: i64 = tx.prepare_cached("select placement from charter")?.query_row([], |row| row.get(0))?;
    staging::check_placement(&work, placement)?;
    let action = work.action();
    let record = staging::record(&Ledger(tx), &task, work, now)?;
    match record.effect {
        Effect::Nothing => {}
        Effect::Create(new) => {
            let mut chartered = read::charter(tx)?;
            settle::found(&mut chartered.charter, &new);
            create(tx, &task, &new)?;
            charter::write(tx, &chartered.charter)?;
        }
        Effect::Change(Visibility::NextRound, changes) => stage_changes(tx, &task, changes)?,
        Effect::Change(Visibility::Held, changes) => hold_changes(tx, changes)?,
        Effect::Release => release(tx, &task)?,
        Effect::SetExpirations(days) => set_expirations(tx, days)?,
    }
    let finished_at = record.roles.is_empty().then(|| now.as_microsecond());
    tx.prepare_cached(
        "insert into tasks (id, action, accepted_at, progress, finished_at) values (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        task.as_str(),
        action,
        accepted_at.as_microsecond(),
        to_json(&record.progress)?,
        finished_at
    ])?;
    let progress = match finished_at {
        Some(_) => record.progress,
        None => Progress::Running {
            roles_to_publish: record.roles.into_iter().collect(),
            missing: BTreeMap::new(),
            last_update: now,
        },
    };
    Ok((task, progress))
}

/// How far a task is that is known already.
fn recorded(tx: &Transaction<'_>, task: &TaskId, now: Timestamp) -> Result<Option<Progress>, StoreError> {
    let row = tx
        .prepare_cached("select progress, finished_at from tasks where id = ?1")?
        .query_row([task.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?)))
        .optional()?;
    match row {
        None => Ok(None),
        Some((progress, Some(at))) => ended(&progress, at).map(Some),
        Some((_, None)) => {
            let sql = "select distinct name from staged join roles on roles.id = staged.role where task_id = ?1 order by name";
            let mut query = tx.prepare_cached(sql)?;
            let roles: Result<Vec<String>, _> = query.query_map([task.as_str()], |row| row.get(0))?.collect();
            Ok(Some(Progress::Running { roles_to_publish: roles?, missing: BTreeMap::new(), last_update: now }))
        }
    }
}

/// Records a new repository, but for the charter.
pub(super) fn create(tx: &Transaction<'_>, task: &TaskId, new: &NewRepository) -> Result<(), StoreError> {
    tx.execute(
        "insert into repository (id, task_id, settings, delegations, root) values (1, ?1, ?2, ?3, ?4)",
        params![task.as_str(), to_json(&new.settings)?, to_json(&new.delegations)?, new.root.to_bytes()],
    )?;
    let mut insert = tx.prepare("insert into roles (name, signing) values (?1, ?2)")?;
    for role in &new.roles {
        let signing = new.custom.get(role).copied().unwrap_or(Signing::Online);
        insert.execute([role.as_str(), stored::signing(signing)])?;
    }
    Ok(())
}

type NewChanges = Vec<(RoleName, ArtifactPath, Option<Info>)>;

/// Puts changes behind all that are staged. What is held back for the same path is older, so it is dropped.
fn stage_changes(tx: &Transaction<'_>, task: &TaskId, changes: NewChanges) -> Result<(), StoreError> {
    let something_is_held: bool = tx.query_row("select exists (select 1 from held)", [], |row| row.get(0))?;
    let something_moves: bool = tx
        .prepare_cached("select exists (select 1 from staged where task_id = '' and waits = 1 and info is not null)")?
        .query_row([], |row| row.get(0))?;
    let mut drop_held = tx.prepare_cached("delete from held where path = ?1")?;
    // An artifact that waits for people to list it is still listed elsewhere: they are to sign what it is by then.
    let mut follow = tx.prepare_cached(
        "insert into staged (task_id, role, path, info, waits) select distinct '', role, path, ?3, 1 from staged
         where path = ?2 and task_id = '' and waits = 1 and info is not null and role <> (select id from roles where name = ?1)",
    )?;
    let mut insert = tx.prepare_cached(
        "insert into staged (task_id, role, path, info, waits) values (?1, (select id from roles where name = ?2), ?3, ?4,
         (select signing = 'offline' from roles where name = ?2))",
    )?;
    for (role, path, info) in changes {
        if something_is_held {
            drop_held.execute([path.as_str()])?;
        }
        let info = info.as_ref().map(Info::json);
        insert.execute(params![task.as_str(), role.as_str(), path.as_str(), info])?;
        if something_moves {
            follow.execute(params![role.as_str(), path.as_str(), info])?;
        }
    }
    Ok(())
}

fn hold_changes(tx: &Transaction<'_>, changes: NewChanges) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "insert or replace into held (path, role, info) values (?1, (select id from roles where name = ?2), ?3)",
    )?;
    for (role, path, info) in changes {
        let info = info.as_ref().map(Info::json);
        insert.execute(params![path.as_str(), role.as_str(), info])?;
    }
    Ok(())
}

fn release(tx: &Transaction<'_>, task: &TaskId) -> Result<(), StoreError> {
    tx.execute(
        "insert into staged (task_id, role, path, info, waits) select ?1, role, path, info, signing = 'offline'
         from held join roles on roles.id = held.role order by path",
        [task.as_str()],
    )?;
    tx.execute("delete from held", [])?;
    Ok(())
}

fn set_expirations(tx: &Transaction<'_>, days: BTreeMap<String, u32>) -> Result<(), StoreError> {
    if !days.is_empty() {
        change_expirations(tx, days)?;
        tx.execute("update charter set revision = revision + 1", [])?;
    }
    Ok(())
}

/// Changes or adds expirations; the revision is for the caller to count.
pub(super) fn change_expirations(tx: &Transaction<'_>, days: BTreeMap<String, u32>) -> Result<(), StoreError> {
    let Some(mut settings) = read::settings(tx)? else { return Ok(()) };
    settings.expirations.extend(days);
    tx.execute("update repository set settings = ?1", [to_json(&settings)?])?;
    Ok(())
}

/// The ledger as it is within a transaction.
struct Ledger<'a>(&'a Transaction<'a>);

impl Known for Ledger<'_> {
    type Error = StoreError;

    fn repository(&self) -> Result<Option<TaskId>, StoreError> {
        let mut query = self.0.prepare_cached("select task_id from repository")?;
        let task: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
        Ok(task.map(TaskId::from_text))
    }

    fn founding(&self) -> Result<Option<TaskId>, StoreError> {
        Ok(read::charter(self.0)?.charter.founding.map(|founding| founding.task))
    }

    fn lists(&self, role: &RoleName, path: &ArtifactPath) -> Result<bool, StoreError> {
        // The youngest statement about the path counts: what is held back is younger than what is staged.
        let mut held = self.0.prepare_cached("select info is not null from held where path = ?1")?;
        // A removal of no task says that one role does not list it any more, and nothing of the role that does.
        let sql = "select info is not null from staged where path = ?1 and not (task_id = '' and info is null)
                   order by sequence desc limit 1";
        let mut staged = self.0.prepare_cached(sql)?;
        for query in [&mut held, &mut staged] {
            if let Some(lists) = query.query_row([path.as_str()], |row| row.get(0)).optional()? {
                return Ok(lists);
            }
        }
        let sql =
            "select exists (select 1 from artifacts where role = (select id from roles where name = ?1) and path = ?2)";
        let mut published = self.0.prepare_cached(sql)?;
        Ok(published.query_row([role.as_str(), path.as_str()], |row| row.get(0))?)
    }

    fn held_roles(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "select distinct name from held join roles on roles.id = held.role";
        let mut query = self.0.prepare_cached(sql)?;
        let names: Result<_, _> = query.query_map([], |row| row.get(0))?.collect();
        Ok(names?)
    }

    fn expirations(&self) -> Result<BTreeSet<String>, StoreError> {
        Ok(read::settings(self.0)?.map(|settings| settings.expirations.into_keys().collect()).unwrap_or_default())
    }
}
