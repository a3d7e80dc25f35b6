//! What people decide, and what they are asked to sign.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{moves, read, requests};
use crate::{
    store::{
        StoreError,
        ledger::{
            awaited,
            charter::{Amended, Amendment, Change, Charter, Decided, Due, End, Wanted},
            moving::Ground,
            settle, shape,
            stored::{self, number, optional_version, path, signing, to_json},
        },
    },
    task::{Outcome, Progress, TaskId},
    tuf::{
        change::Change as ArtifactChange,
        name::{ArtifactPath, RoleName},
        plan::next_version,
    },
};

/// Writes the charter; the revision grows.
pub(super) fn write(tx: &Transaction<'_>, charter: &Charter) -> Result<(), StoreError> {
    tx.execute("update charter set charter = ?1, revision = revision + 1", [to_json(charter)?])?;
    Ok(())
}

pub(super) fn amend(tx: &Transaction<'_>, amendment: Amendment, now: Timestamp) -> Result<Amended, StoreError> {
    let Amendment { base, task, change } = amendment;
    if let Some(decided) = &task {
        let sql = "select exists (select 1 from tasks where id = ?1)";
        if tx.query_row(sql, [decided.task.as_str()], |row| row.get(0))? {
            return Ok(Amended::Recorded);
        }
    }
    let before = read::charter(tx)?;
    if before.revision != base {
        return Ok(Amended::Moved);
    }
    let mut after = settle::amended(&before.charter, &change, task.as_ref());
    let mut revision = before.revision;
    if settle::changes(&before.charter, &after, &change) {
        let asks = task.as_ref().map(|decided| &decided.task);
        if let Some(new) = &change.create {
            let task = settle::creator(&before.charter, asks, read::repository(tx)?.as_ref())?;
            requests::create(tx, &task, new)?;
        }
        let withdrawal = change.withdrawal.clone();
        apply(tx, &before.charter, &mut after, change, now)?;
        for (task, why) in awaited::in_vain(&before.charter, &after, asks, withdrawal.as_deref()) {
            end(tx, &task, why, now)?;
        }
        end_without_place(tx, settle::deleted(&before.charter, &after).collect(), asks, now)?;
        write(tx, &after)?;
        revision += 1;
    }
    if let Some(decided) = task {
        record(tx, decided, revision, now)?;
    }
    Ok(Amended::Recorded)
}

/// Changes what there is beside the charter, and of the charter what follows from that.
fn apply(
    tx: &Transaction<'_>,
    before: &Charter,
    after: &mut Charter,
    change: Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !change.expirations.is_empty() {
        requests::change_expirations(tx, change.expirations)?;
    }
    if let Some(delegations) = &change.delegations {
        tx.execute("update repository set delegations = ?1", [to_json(delegations)?])?;
    }
    let mut insert = tx.prepare_cached("insert into roles (name) values (?1)")?;
    for role in &change.new_roles {
        insert.execute([role.as_str()])?;
    }
    let mut row = tx.prepare_cached("update roles set signing = ?2, retired = ?3 where name = ?1")?;
    let mut waits = tx.prepare_cached(
        "update staged set waits = ?2 where role = (select id from roles where name = ?1) and waits <> ?2",
    )?;
    for (role, custom) in settle::changed_roles(before, after) {
        let signing = signing(custom.signing);
        row.execute(params![role.as_str(), signing, custom.retired])?;
        waits.execute(params![role.as_str(), signing == "offline"])?;
    }
    let mut stale = Vec::new();
    if let Some(placement) = &change.placement {
        let losers = moves::carry_out(tx, Ground { placement, charter: after })?;
        stale = settle::drop_stale(after, &losers);
        tx.execute("update charter set placement = placement + 1", [])?;
    }
    let drafted = settle::drafted(before, after, now);
    let mut open =
        tx.prepare_cached("update roles set given_out = max(given_out, ?2), renew_at = ?3 where name = ?1")?;
    for (role, version, renew_at) in drafted.opened {
        open.execute(params![role.as_str(), number(version), renew_at.as_second()])?;
    }
    make_due(tx, drafted.dropped.iter().chain(&stale))?;
    match &change.due {
        Due::None => {}
        Due::Roles(roles) => make_due(tx, roles)?,
        Due::All => {
            tx.execute("update roles set renew_at = 0 where signing = 'online' and retired = 0", [])?;
        }
    }
    Ok(())
}

/// Ends a task, unless it has ended.
fn end(tx: &Transaction<'_>, task: &TaskId, why: String, now: Timestamp) -> Result<(), StoreError> {
    let mut ask = tx.prepare_cached("select action from tasks where id = ?1 and finished_at is null")?;
    let action: Option<String> = ask.query_row([task.as_str()], |row| row.get(0)).optional()?;
    if let Some(action) = action {
        let progress = to_json(&Progress::Finished(Outcome::refused(&action, why, now)))?;
        let mut end = tx.prepare_cached("update tasks set progress = ?2, finished_at = ?3 where id = ?1")?;
        end.execute(params![task.as_str(), progress, now.as_microsecond()])?;
    }
    Ok(())
}

/// Ends the tasks whose changes are of roles that an amendment deletes, and drops these: nobody will publish them.
fn end_without_place(
    tx: &Transaction<'_>,
    deleted: Vec<&RoleName>,
    asked: Option<&TaskId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut query = tx.prepare_cached(
        "select distinct task_id from staged where role = (select id from roles where name = ?1) and task_id <> ''",
    )?;
    let mut unstage = tx.prepare_cached("delete from staged where role = (select id from roles where name = ?1)")?;
    let mut unhold = tx.prepare_cached("delete from held where role = (select id from roles where name = ?1)")?;
    for role in deleted {
        let tasks: Result<Vec<String>, _> = query.query_map([role.as_str()], |row| row.get(0))?.collect();
        for task in tasks? {
            end(tx, &TaskId::from_text(task), awaited::without_place(role, asked), now)?;
        }
        unstage.execute([role.as_str()])?;
        unhold.execute([role.as_str()])?;
    }
    Ok(())
}

pub(super) fn make_due<'a>(
    tx: &Transaction<'_>,
    roles: impl IntoIterator<Item = &'a RoleName>,
) -> Result<(), StoreError> {
    let mut due = tx.prepare_cached("update roles set renew_at = 0 where name = ?1")?;
    for role in roles {
        due.execute([role.as_str()])?;
    }
    Ok(())
}

fn record(tx: &Transaction<'_>, decided: Decided, revision: i64, now: Timestamp) -> Result<(), StoreError> {
    let (finished_at, awaits_revision, awaits_root) = match decided.end {
        End::Now => (Some(now.as_microsecond()), None, None),
        End::Visible => (None, Some(revision), None),
        End::Root(version) => (None, None, Some(number(version))),
    };
    let action = decided.outcome.task.clone();
    tx.execute(
        "insert into tasks (id, action, accepted_at, progress, finished_at, awaits_revision, awaits_root)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            decided.task.as_str(),
            action,
            decided.accepted_at.as_microsecond(),
            to_json(&Progress::Finished(decided.outcome))?,
            finished_at,
            awaits_revision,
            awaits_root
        ],
    )?;
    Ok(())
}

pub(super) fn wanted(tx: &Transaction<'_>, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
    let charter = read::charter(tx)?.charter;
    let mut ask = tx.prepare_cached(
        "select id, given_out, renew_at, (select max(sequence) from staged where role = roles.id and waits = 1)
         from roles where name = ?1",
    )?;
    let mut give = tx.prepare_cached("update roles set given_out = ?2 where id = ?1")?;
    let mut wanted = Vec::new();
    for role in shape::people_sign(&charter) {
        let row = ask.query_row([role.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<i64>>(3)?))
        });
        let Some((id, given_out, renew_at, last)) = row.optional()? else { continue };
        let through = last.unwrap_or(0);
        let renew_at = Timestamp::from_second(renew_at).unwrap_or(Timestamp::MAX);
        let Some(reason) = shape::reason(charter.events.get(role), through, renew_at, now) else { continue };
        let version = next_version(optional_version(given_out)?);
        give.execute(params![id, number(version)])?;
        wanted.push(Wanted { role: role.clone(), version, reason, changes: changes(tx, id)?, through });
    }
    Ok(wanted)
}

/// The changes of a role that wait, merged.
fn changes(tx: &Transaction<'_>, role: i64) -> Result<BTreeMap<ArtifactPath, ArtifactChange>, StoreError> {
    let mut query =
        tx.prepare_cached("select path, info from staged where role = ?1 and waits = 1 order by sequence")?;
    let mut rows = query.query([role])?;
    let mut changes = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let info: Option<String> = row.get(1)?;
        changes.insert(path(&row.get::<_, String>(0)?)?, stored::change(info.as_deref())?);
    }
    Ok(changes)
}
