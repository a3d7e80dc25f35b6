//! The two transactions of a round: the plan and the commit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{read, signed};
use crate::{
    store::{
        StoreError,
        ledger::{
            Head, Plan, Planned, Publication, Stale,
            charter::{Charter, Chartered},
            settle,
            shape::{self, Shape},
            stored::{self, PLAN_BYTES, number, optional_version, path, role, to_json},
        },
    },
    task::{Outcome, Progress, TaskId},
    tuf::{
        change::{self, Change, Changes, Staged},
        name::{RoleName, Version},
        plan::next_version,
    },
};

pub(super) fn plan(tx: &Transaction<'_>, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
    let base = read::head(tx)?.map_or(0, |head| head.sequence);
    let Chartered { revision, charter, .. } = read::charter(tx)?;
    if let Some(stale) = stale(tx, &charter, revision)? {
        return Ok(Planned::Stale(stale));
    }
    let complete = to_json(&shape::complete(&charter).map(|(role, _)| role).collect::<Vec<_>>())?;
    let (through, changes) = staged(tx, &complete, limit)?;
    let mut given_out: BTreeMap<RoleName, Option<Version>> = due(tx, now)?;
    let mut touched: BTreeSet<RoleName> = changes.keys().chain(given_out.keys()).cloned().collect();
    if is_awaited(tx)? {
        touched.insert(RoleName::timestamp());
    }
    touched.extend(kept_due(tx, &charter, now)?);
    let delegations = shape::announces(&charter).then(|| read::repository(tx)).transpose()?.flatten();
    let shape = Shape::of(&charter, touched, delegations.as_ref().map(|repository| &repository.delegations));

    let mut roles = Vec::new();
    let mut ask = tx.prepare_cached("select given_out from roles where name = ?1")?;
    let mut give = tx.prepare_cached("update roles set given_out = ?2 where name = ?1")?;
    for (name, own) in shape.roles {
        let version = match (own, given_out.remove(&name)) {
            (Some(own), _) => own,
            (None, Some(last)) => next_version(last),
            (None, None) => next_version(optional_version(ask.query_row([name.as_str()], |row| row.get(0))?)?),
        };
        if own.is_none() {
            give.execute(params![name.as_str(), number(version)])?;
        }
        roles.push((name, version));
    }
    let Some((_, timestamp)) = roles.last() else { return Ok(Planned::Nothing) };
    let settings = read::settings(tx)?.ok_or_else(|| StoreError::Broken("roles without a repository".into()))?;
    tx.execute(
        "insert into publications (base, planned_at, roles, timestamp_version) values (?1, ?2, ?3, ?4)",
        params![base, now.to_string(), i64::try_from(roles.len()).unwrap_or(i64::MAX), number(*timestamp)],
    )?;
    Ok(Planned::Round(Plan {
        id: tx.last_insert_rowid(),
        base,
        revision,
        settings,
        through,
        changes,
        roles,
        signed: shape.signed,
        delegations: shape.delegations,
        root: shape.root,
    }))
}

/// The oldest staged changes that wait for nobody, merged, and the sequence of the last of them. Those of `complete` roles, a JSON list, are
/// left for later.
fn staged(tx: &Transaction<'_>, complete: &str, limit: usize) -> Result<(i64, Changes), StoreError> {
    let mut query = tx.prepare_cached(
        "select sequence, name, path, info from staged indexed by staged_ready join roles on roles.id = staged.role
         where waits = 0 and name not in (select value from json_each(?2)) order by sequence limit ?1",
    )?;
    let mut rows = query.query(params![i64::try_from(limit).unwrap_or(i64::MAX), complete])?;
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
    let mut query = tx.prepare_cached(
        "select name, given_out from roles where renew_at <= ?1 and signing = 'online' and retired = 0",
    )?;
    let mut rows = query.query([now.as_second()])?;
    let mut due = BTreeMap::new();
    while let Some(row) = rows.next()? {
        due.insert(role(&row.get::<_, String>(0)?)?, optional_version(row.get(1)?)?);
    }
    Ok(due)
}

/// What people have signed and is not to be published.
fn stale(tx: &Transaction<'_>, charter: &Charter, revision: i64) -> Result<Option<Stale>, StoreError> {
    let mut query = tx.prepare_cached(
        "select path from staged where role = (select id from roles where name = ?1) and waits = 1 and sequence > ?2
         and task_id = '' and info is null",
    )?;
    let mut removed = Vec::new();
    for (role, event) in shape::complete(charter) {
        let mut rows = query.query(params![role.as_str(), event.through])?;
        while let Some(row) = rows.next()? {
            removed.push((role.clone(), path(&row.get::<_, String>(0)?)?));
        }
    }
    Ok(shape::stale(charter, revision, removed))
}

/// The roles that are due under keys which are about to be others.
fn kept_due(tx: &Transaction<'_>, charter: &Charter, now: Timestamp) -> Result<Vec<RoleName>, StoreError> {
    let settings = if charter.kept.is_empty() { None } else { read::settings(tx)? };
    let Some(settings) = settings else { return Ok(Vec::new()) };
    let mut query = tx.prepare_cached("select version, expires_at from roles where name = ?1 and version > 0")?;
    let mut published = Vec::new();
    for role in charter.kept.keys() {
        let row =
            query.query_row([role.as_str()], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?))).optional()?;
        if let Some((number, expires)) = row {
            let expires = Timestamp::from_second(expires.unwrap_or(0)).unwrap_or(Timestamp::MIN);
            published.push((role.clone(), stored::version(number)?, expires));
        }
    }
    Ok(shape::kept_due(charter, &settings, published, now))
}

/// Whether a task waits for a round, whatever it publishes.
fn is_awaited(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let mut query = tx.prepare_cached(
        "select exists (select 1 from tasks where finished_at is null and awaits_revision is not null)
         and exists (select 1 from repository)",
    )?;
    Ok(query.query_row([], |row| row.get(0))?)
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
    let before = read::charter(tx)?;
    if before.revision != plan.revision {
        let (now, then) = (before.revision, plan.revision);
        return Err(StoreError::Lost(format!("the charter has revision {now}, the plan was made on {then}")));
    }
    if let Some(Stale { role, path, .. }) = stale(tx, &before.charter, before.revision)? {
        return Err(StoreError::Lost(format!("{path} was removed since people signed {role}")));
    }
    let root: Option<Vec<u8>> = match plan.root {
        Some(_) => tx.query_row("select root from repository", [], |row| row.get(0)).optional()?,
        None => None,
    };
    let settled =
        settle::settle(before.charter.clone(), &plan, &root.unwrap_or_default(), publication.root_grace_ends, now)?;
    let mut charter = settled.charter;

    let mut taken = take(tx, &plan)?;
    apply(tx, &plan.changes)?;
    taken.extend(signed::publish(tx, &plan, &before.charter, &mut charter)?);

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
    if let Some(renew_at) = settled.renew_at {
        let sql = "update roles set renew_at = min(renew_at, ?1) where name in ('targets', 'snapshot', 'timestamp')";
        tx.execute(sql, [renew_at.as_second()])?;
    }
    super::charter::make_due(tx, &settled.outrun)?;
    if let Some(targets) = &publication.targets {
        tx.execute("update repository set targets = ?1", [targets])?;
    }
    if let Some((_, bytes)) = &settled.root {
        tx.execute("update repository set root = ?1", [bytes])?;
    }
    if charter != before.charter || plan.delegations.is_some() || settled.root.is_some() {
        super::charter::write(tx, &charter)?;
    }
    finish_tasks(tx, &plan, taken, settled.root.as_ref().map(|(version, _)| *version), now)?;

    let Some((_, version)) = plan.roles.last() else {
        return Err(StoreError::Broken("a plan without a timestamp".into()));
    };
    let head = Head { sequence: base + 1, version: *version, timestamp: publication.timestamp, root: settled.root };
    let (root_version, root) = head.root.as_ref().map(|(version, bytes)| (number(*version), bytes)).unzip();
    tx.execute(
        "insert or replace into head (id, sequence, timestamp_version, timestamp, root_version, root)
         values (1, ?1, ?2, ?3, ?4, ?5)",
        params![head.sequence, number(head.version), head.timestamp, root_version, root],
    )?;
    tx.execute("update publications set committed_at = ?2 where id = ?1", params![plan.id, now.to_string()])?;
    Ok(head)
}

/// Takes the changes of the plan out of what is staged, and says whose they are.
fn take(tx: &Transaction<'_>, plan: &Plan) -> Result<BTreeSet<String>, StoreError> {
    let signed = to_json(&plan.signed.keys().collect::<Vec<_>>())?;
    let mut delete = tx.prepare_cached(
        "delete from staged where waits = 0 and sequence <= ?1
         and role not in (select id from roles where name in (select value from json_each(?2))) returning task_id",
    )?;
    let taken: Result<_, _> = delete.query_map(params![plan.through, signed], |row| row.get(0))?.collect();
    let mut taken: BTreeSet<String> = taken?;
    taken.remove("");
    Ok(taken)
}

fn apply(tx: &Transaction<'_>, changes: &Changes) -> Result<(), StoreError> {
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

/// Finishes the tasks of which the plan has `taken` the last change, and those that wait for a round that knows what this one does,
/// or for this version of root; the first publication finishes the bootstrap too.
fn finish_tasks(
    tx: &Transaction<'_>,
    plan: &Plan,
    taken: BTreeSet<String>,
    root: Option<Version>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (finished_at, head) = (now.as_microsecond(), plan.base + 1);
    let mut finish = tx.prepare_cached(
        "update tasks set finished_at = ?2, head = ?3 where id = ?1 and finished_at is null
         and not exists (select 1 from staged where staged.task_id = tasks.id)",
    )?;
    for task in taken {
        finish.execute(params![task, finished_at, head])?;
    }
    tx.prepare_cached(
        "update tasks set finished_at = ?2, head = ?3 where finished_at is null and awaits_revision <= ?1",
    )?
    .execute(params![plan.revision, finished_at, head])?;
    if let Some(version) = root {
        tx.execute(
            "update tasks set finished_at = ?2, head = ?3 where finished_at is null and awaits_root <= ?1",
            params![number(version), finished_at, head],
        )?;
    }
    if plan.base == 0 {
        let sql = "update tasks set finished_at = ?1, head = 1 where finished_at is null
                   and id = (select task_id from repository)";
        tx.execute(sql, [finished_at])?;
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
    let waiting: Result<BTreeMap<String, i64>, _> = tx
        .prepare_cached(
            "select name, min(sequence) from staged join roles on roles.id = staged.role
             where task_id = ?1 and waits = 1 group by name",
        )?
        .query_map([&task], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect();
    let losers = waiting?.into_iter().map(|(name, first)| Ok((stored::role(&name)?, first)));
    let losers: BTreeMap<_, _> = losers.collect::<Result<_, StoreError>>()?;
    if !losers.is_empty() {
        let mut charter = read::charter(tx)?.charter;
        let stale = settle::drop_stale(&mut charter, &losers);
        if !stale.is_empty() {
            super::charter::make_due(tx, &stale)?;
            super::charter::write(tx, &charter)?;
        }
    }
    tx.execute("delete from staged where task_id = ?1", [&task])?;
    tx.execute(
        "update tasks set progress = ?2, finished_at = ?3 where id = ?1",
        params![task, progress, now.as_microsecond()],
    )?;
    Ok(Some(TaskId::from_text(task)))
}
