//! What a commit records of the roles that people have signed.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

use super::{moves, read};
use crate::{
    store::{
        StoreError,
        ledger::{
            Plan,
            charter::Charter,
            moving::Ground,
            settle,
            stored::{path, to_json},
        },
    },
    tuf::{delegation::Delegations, placement::Placement},
};

/// Records what people have signed: what each role lists now, which changes that took, and whose they are. With delegations that
/// become effective artifacts are moved.
pub(super) fn publish(
    tx: &Transaction<'_>,
    plan: &Plan,
    before: &Charter,
    charter: &mut Charter,
) -> Result<BTreeSet<String>, StoreError> {
    let mut taken = BTreeSet::new();
    if plan.signed.is_empty() {
        return Ok(taken);
    }
    if let Some(delegations) = &plan.delegations {
        tx.execute("update repository set delegations = ?1", [to_json(delegations)?])?;
    }
    let placement = placement(tx)?;
    let mut clear = tx.prepare_cached("delete from artifacts where role = (select id from roles where name = ?1)")?;
    let mut add = tx.prepare_cached(
        "insert into artifacts (role, path, info) values ((select id from roles where name = ?1), ?2, ?3)",
    )?;
    let mut take = tx.prepare_cached(
        "delete from staged where role = (select id from roles where name = ?1) and waits = 1 and sequence <= ?2
         returning task_id, path",
    )?;
    for (role, document) in &plan.signed {
        let mut paths = BTreeSet::new();
        let through = before.events.get(role).map_or(0, |event| event.through);
        let rows = take.query_map(params![role.as_str(), through], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            let (task, text): (String, String) = row?;
            taken.insert(task);
            paths.insert(path(&text)?);
        }
        clear.execute([role.as_str()])?;
        let becomes_effective = before.roles.get(role).is_some_and(|custom| custom.announced.is_some());
        for (path, info) in settle::listing(document) {
            add.execute(params![role.as_str(), path.as_str(), to_json(&info)?])?;
            if becomes_effective {
                // Until now others were asked for it, so that theirs may be newer: the move below compares.
                paths.remove(&path);
            } else {
                paths.insert(path);
            }
        }
        moves::take_over(tx, Ground { placement: &placement, charter }, role, paths)?;
    }
    if plan.delegations.is_some() {
        let losers = moves::carry_out(tx, Ground { placement: &placement, charter })?;
        super::charter::make_due(tx, &settle::drop_stale(charter, &losers))?;
        tx.execute("update charter set placement = placement + 1", [])?;
    }
    taken.remove("");
    Ok(taken)
}

/// Where artifacts are listed by the delegations of the repository.
fn placement(tx: &Transaction<'_>) -> Result<Placement, StoreError> {
    let Some(repository) = read::repository(tx)? else {
        return Err(StoreError::Broken("a plan without a repository".into()));
    };
    let delegations = Delegations::view(&repository.delegations);
    let delegations = delegations.map_err(|error| StoreError::Broken(format!("the ledger's delegations: {error}")))?;
    Ok(Placement::of(&delegations, repository.settings.bins()?))
}
