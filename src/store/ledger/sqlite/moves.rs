//! Artifacts that are listed elsewhere from now on.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    store::{
        StoreError,
        ledger::{
            charter::Signing,
            moving::{Ground, Listed, Moves, Origin, Row},
            stored::{from_json, path, role, to_json},
        },
    },
    tuf::name::{ArtifactPath, RoleName},
};

/// Moves all that is not where it belongs, and says which roles lost staged changes, each with the first.
pub(super) fn carry_out(tx: &Transaction<'_>, ground: Ground<'_>) -> Result<BTreeMap<RoleName, i64>, StoreError> {
    move_held(tx, ground)?;
    let misplaced = misplaced(tx, ground)?;
    let mut there = BTreeMap::new();
    for Listed { role, path, .. } in &misplaced {
        if let Some(place) = ground.elsewhere(role, path)
            && let Some(info) = info(tx, &place, path)?
        {
            there.insert((place, path.clone()), from_json(&info)?);
        }
    }
    let Moves { staged, obsolete, adds, removals, forgotten, losers } = ground.moves(&rows(tx)?, misplaced, &there);

    let mut again = tx.prepare_cached(
        "insert into staged (task_id, role, path, info, waits)
         select task_id, roles.id, path, info, signing = 'offline' from staged join roles on roles.name = ?2
         where sequence = ?1",
    )?;
    let mut drop = tx.prepare_cached("delete from staged where sequence = ?1")?;
    for (sequence, place) in staged {
        if again.execute(params![sequence, place.as_str()])? != 1 {
            return Err(StoreError::Broken(format!("the ledger has no role {place} to which artifacts belong")));
        }
        drop.execute([sequence])?;
    }
    for sequence in obsolete {
        drop.execute([sequence])?;
    }
    for Listed { role, path, info } in adds {
        stage(tx, ground, &role, &path, Some(to_json(&info)?))?;
    }
    for (role, path) in removals {
        stage(tx, ground, &role, &path, None)?;
    }
    for (role, path) in forgotten {
        forget(tx, &role, &path)?;
    }
    Ok(losers)
}

/// Has all other roles that list these paths of `role` remove them.
pub(super) fn take_over(
    tx: &Transaction<'_>,
    ground: Ground<'_>,
    role: &RoleName,
    paths: BTreeSet<ArtifactPath>,
) -> Result<(), StoreError> {
    let mut leaves = tx.prepare_cached(
        "select exists (select 1 from staged where path = ?2 and task_id = '' and info is null
         and role = (select id from roles where name = ?1))",
    )?;
    for path in paths {
        if ground.placement.role_for(&path).as_ref() != Some(role) {
            continue;
        }
        for other in ground.others(role, &path) {
            if info(tx, &other, &path)?.is_none() {
                continue;
            }
            if ground.charter.roles.get(&other).is_some_and(|custom| custom.retired) {
                forget(tx, &other, &path)?;
            } else if !leaves.query_row([other.as_str(), path.as_str()], |row| row.get::<_, bool>(0))? {
                stage(tx, ground, &other, &path, None)?;
            }
        }
    }
    Ok(())
}

fn move_held(tx: &Transaction<'_>, ground: Ground<'_>) -> Result<(), StoreError> {
    let mut query = tx.prepare_cached("select path, name from held join roles on roles.id = held.role")?;
    let held: Result<Vec<(String, String)>, _> = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    let mut update =
        tx.prepare_cached("update held set role = (select id from roles where name = ?2) where path = ?1")?;
    for (text, name) in held? {
        if let Some(place) = ground.elsewhere(&role(&name)?, &path(&text)?) {
            update.execute([text.as_str(), place.as_str()])?;
        }
    }
    Ok(())
}

/// The published artifacts that another role is to list.
fn misplaced(tx: &Transaction<'_>, ground: Ground<'_>) -> Result<Vec<Listed>, StoreError> {
    let mut names = tx.prepare_cached("select id, name from roles")?;
    let names: Result<Vec<(i64, String)>, _> = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    let mut query = tx.prepare_cached("select path, info from artifacts where role = ?1")?;
    let mut misplaced = Vec::new();
    for (id, name) in names? {
        let role = role(&name)?;
        let mut rows = query.query([id])?;
        while let Some(row) = rows.next()? {
            let path = path(&row.get::<_, String>(0)?)?;
            if ground.elsewhere(&role, &path).is_some() {
                misplaced.push(Listed { role: role.clone(), path, info: from_json(&row.get::<_, String>(1)?)? });
            }
        }
    }
    Ok(misplaced)
}

/// All that is staged, in its order.
fn rows(tx: &Transaction<'_>) -> Result<Vec<Row>, StoreError> {
    let mut query = tx.prepare_cached(
        "select sequence, task_id, name, path, info from staged join roles on roles.id = staged.role order by sequence",
    )?;
    let mut rows = query.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (task, info): (String, Option<String>) = (row.get(1)?, row.get(4)?);
        all.push(Row {
            sequence: row.get(0)?,
            origin: Origin::of(&task, info.as_deref()),
            role: role(&row.get::<_, String>(2)?)?,
            path: path(&row.get::<_, String>(3)?)?,
        });
    }
    Ok(all)
}

/// What `role` lists of a path, as JSON.
fn info(tx: &Transaction<'_>, role: &RoleName, path: &ArtifactPath) -> Result<Option<String>, StoreError> {
    let sql = "select info from artifacts where role = (select id from roles where name = ?1) and path = ?2";
    let mut query = tx.prepare_cached(sql)?;
    Ok(query.query_row([role.as_str(), path.as_str()], |row| row.get(0)).optional()?)
}

/// Stages a change of no task.
fn stage(
    tx: &Transaction<'_>,
    ground: Ground<'_>,
    role: &RoleName,
    path: &ArtifactPath,
    info: Option<String>,
) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "insert into staged (task_id, role, path, info, waits)
         values ('', (select id from roles where name = ?1), ?2, ?3, ?4)",
    )?;
    insert.execute(params![role.as_str(), path.as_str(), info, ground.signing(role) == Signing::Offline])?;
    Ok(())
}

fn forget(tx: &Transaction<'_>, role: &RoleName, path: &ArtifactPath) -> Result<(), StoreError> {
    let sql = "delete from artifacts where role = (select id from roles where name = ?1) and path = ?2";
    tx.prepare_cached(sql)?.execute([role.as_str(), path.as_str()])?;
    Ok(())
}
