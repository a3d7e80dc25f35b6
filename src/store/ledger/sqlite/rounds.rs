//! The two transactions of a round: the plan and the commit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::read;
use crate::{
    store::{
        StoreError,
        ledger::{
            Head, Plan, Planned, Publication,
            stored::{self, PLAN_BYTES, number, optional_version, path, role, to_json},
        },
    },
    task::{Outcome, Progress, TaskId},
    tuf::{
        change::{self, Change, Changes, Staged},
        name::{RoleName, Version},
        plan::{cascade, next_version},
    },
};

pub(super) fn plan(tx: &Transaction<'_>, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
    let base = read::head(tx)?.map_or(0, |head| head.sequence);
    let (through, changes) = staged(tx, limit)?;
    let mut given_out: BTreeMap<RoleName, Option<Version>> = due(tx, now)?;
    let touched: BTreeSet<RoleName> = changes.keys().chain(given_out.keys()).cloned().collect();

    let mut roles = Vec::new();
    let mut ask = tx.prepare_cached("select given_out from roles where name = ?1")?;
    let mut give = tx.prepare_cached("update roles set given_out = ?2 where name = ?1")?;
    for name in cascade(&touched) {
        let last = match given_out.remove(&name) {
            Some(last) => last,
            None => optional_version(ask.query_row([name.as_str()], |row| row.get(0))?)?,
        };
        let next = next_version(last);
        give.execute(params![name.as_str(), number(next)])?;
        roles.push((name, next));
    }
    let Some((_, timestamp)) = roles.last() else { return Ok(Planned::Nothing) };
    tx.execute(
        "insert into publications (base, planned_at, roles, timestamp_version) values (?1, ?2, ?3, ?4)",
        params![base, now.to_string(), i64::try_from(roles.len()).unwrap_or(i64::MAX), number(*timestamp)],
    )?;
    Ok(Planned::Round(Plan {
        id: tx.last_insert_rowid(),
        base,
        through,
        changes,
        roles,
        revision: 0,
        signed: BTreeMap::new(),
        delegations: None,
        root: None,
    }))
}

/// The oldest staged changes, merged, and the sequence of the last of them.
fn staged(tx: &Transaction<'_>, limit: usize) -> Result<(i64, Changes), StoreError> {
    let mut query = tx.prepare_cached(
        "select sequence, name, path, info from staged join roles on roles.id = staged.role order by sequence limit ?1",
    )?;
    let mut rows = query.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut through = 0;
    let mut staged = Vec::new();
    let mut bytes = 0;
    while bytes < PLAN_BYTES
        && let Some(row) = rows.next()?
    {
        through = row.get(0)?;
        let info: Option<String> = row.get(3)?;
        bytes += info.as_ref().map_or(0, String::len);
        let change = stored::change(info.as_deref())?;
        staged.push(Staged { role: role(&row.get::<_, String>(1)?)?, path: path(&row.get::<_, String>(2)?)?, change });
    }
    Ok((through, change::merge(staged)))
}

/// The roles that are due, with the last version that was given out.
fn due(tx: &Transaction<'_>, now: Timestamp) -> Result<BTreeMap<RoleName, Option<Version>>, StoreError> {
    let mut query = tx.prepare_cached("select name, given_out from roles where renew_at <= ?1")?;
    let mut rows = query.query([now.as_second()])?;
    let mut due = BTreeMap::new();
    while let Some(row) = rows.next()? {
        due.insert(role(&row.get::<_, String>(0)?)?, optional_version(row.get(1)?)?);
    }
    Ok(due)
}

pub(super) fn commit(
    tx: &Transaction<'_>,
    plan: Plan,
    publication: Publication,
    now: Timestamp,
) -> Result<Head, StoreError> {
    let base = read::head(tx)?.map_or(0, |head| head.sequence);
    if base != plan.base {
        return Err(StoreError::Lost(format!("the head is {base}, the plan was made on {}", plan.base)));
    }
    finish_tasks(tx, &plan, now)?;
    apply(tx, plan.changes)?;
    tx.execute("delete from staged where sequence <= ?1", [plan.through])?;

    let mut update = tx.prepare_cached(
        "update roles set version = ?2, renew_at = ?3, length = ?4, sha256 = ?5, expires_at = ?6 where name = ?1",
    )?;
    for role in &publication.roles {
        let sha256 = role.meta.hashes.as_ref().and_then(|hashes| hashes.get("sha256"));
        let length = role.meta.length.and_then(|length| i64::try_from(length).ok());
        let version = number(role.meta.version);
        let (renew_at, expires_at) = (role.renew_at.as_second(), role.expires.as_second());
        update.execute(params![role.name.as_str(), version, renew_at, length, sha256, expires_at])?;
    }
    if let Some(targets) = &publication.targets {
        tx.execute("update repository set targets = ?1", [targets])?;
    }
    let Some((_, version)) = plan.roles.last() else {
        return Err(StoreError::Broken("a plan without a timestamp".into()));
    };
    let head = Head { sequence: base + 1, version: *version, timestamp: publication.timestamp, root: None };
    tx.execute(
        "insert or replace into head (id, sequence, timestamp_version, timestamp) values (1, ?1, ?2, ?3)",
        params![head.sequence, number(head.version), head.timestamp],
    )?;
    tx.execute("update publications set committed_at = ?2 where id = ?1", params![plan.id, now.to_string()])?;
    Ok(head)
}

fn apply(tx: &Transaction<'_>, changes: Changes) -> Result<(), StoreError> {
    let mut id = tx.prepare_cached("select id from roles where name = ?1")?;
    let mut add = tx.prepare_cached("insert or replace into artifacts (role, path, info) values (?1, ?2, ?3)")?;
    let mut remove = tx.prepare_cached("delete from artifacts where role = ?1 and path = ?2")?;
    for (role, changes) in changes {
        let role: i64 = id.query_row([role.as_str()], |row| row.get(0))?;
        for (path, change) in changes {
            match change {
                Change::Add(info) => add.execute(params![role, path.as_str(), info.json()])?,
                Change::Remove => remove.execute(params![role, path.as_str()])?,
            };
        }
    }
    Ok(())
}

/// Finishes the tasks of which the plan takes the last change; the first publication finishes the bootstrap too.
fn finish_tasks(tx: &Transaction<'_>, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "update tasks set finished_at = ?2, head = ?3 where finished_at is null
         and id in (select task_id from staged where sequence <= ?1)
         and not exists (select 1 from staged where staged.task_id = tasks.id and sequence > ?1)",
        params![plan.through, now.as_microsecond(), plan.base + 1],
    )?;
    if plan.base == 0 {
        let sql = "update tasks set finished_at = ?1, head = 1 where id = (select task_id from repository)";
        tx.execute(sql, [now.as_microsecond()])?;
    }
    Ok(())
}

pub(super) fn refuse(
    tx: &Transaction<'_>,
    role: &RoleName,
    through: i64,
    reason: String,
    now: Timestamp,
) -> Result<Option<TaskId>, StoreError> {
    let row = tx
        .query_row(
            "select task_id, action from staged join roles on roles.id = staged.role join tasks on tasks.id = task_id
             where name = ?1 and sequence <= ?2 order by sequence desc limit 1",
            params![role.as_str(), through],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    let Some((task, action)) = row else { return Ok(None) };
    let progress = to_json(&Progress::Finished(Outcome::refused(&action, reason, now)))?;
    tx.execute("delete from staged where task_id = ?1", [&task])?;
    tx.execute(
        "update tasks set progress = ?2, finished_at = ?3 where id = ?1",
        params![task, progress, now.as_microsecond()],
    )?;
    Ok(Some(TaskId::from_text(task)))
}
