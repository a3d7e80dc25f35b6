//! Which roles people are to sign.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    charter::{CHARTER, Current, Memory, charter},
    read::column,
    rounds::plan::GIVE_OUT,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            charter::{Charter, Reason, Wanted},
            shape,
            stored::{self, number, optional_version, path, role},
        },
        postgres::{Call, Pool},
    },
    tuf::{
        name::{RoleName, Version},
        plan::next_version,
    },
};

/// The roles that people sign, with their last staged change.
const OFFLINE: &str = "select name, given_out, renew_at,
         coalesce((select max(sequence) from staged where staged.role = roles.id and staged.waits), 0)
     from roles where waits and not retired order by name";

const CHANGES: &str = "select wanted.name, path, info from unnest($1::text[]) as wanted (name)
     join roles on roles.name = wanted.name join staged on staged.role = roles.id and staged.waits order by sequence";

pub(super) async fn wanted(pool: &Pool, memory: &Memory, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
    // Mostly nothing is, and to know that takes no lock.
    let rows = pool.rows(OFFLINE, &[]).await?;
    if rows.is_empty() || candidates(&rows, &charter(pool, memory).await?.charter, now)?.is_empty() {
        return Ok(Vec::new());
    }
    let recalled = memory.recall();
    let known = recalled.revision;
    let questions: [Call<'_>; 2] = [(CHARTER, vec![&known]), (OFFLINE, Vec::new())];
    let (mut session, answers) = pool.begin(&questions).await?;
    let [state, rows] = answers.as_slice() else { return Err(StoreError::Broken("an answer is missing".into())) };
    let current = Current::of(state, recalled)?;
    let mut wanted = candidates(rows, &current.charter, now)?;
    if wanted.is_empty() {
        session.leave().await?;
        return Ok(Vec::new());
    }

    let names: Vec<_> = wanted.iter().map(|wanted| wanted.role.as_str().to_owned()).collect();
    let answers = session.go_on(&[(CHANGES, vec![&names])]).await?;
    let places: BTreeMap<&str, usize> = names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    for row in answers.first().into_iter().flatten() {
        let place = places.get(column::<&str>(row, 0)?).and_then(|index| wanted.get_mut(*index));
        let place = place.ok_or_else(|| StoreError::Broken("a role was answered that was not asked for".into()))?;
        place.changes.insert(path(column(row, 1)?)?, stored::change(column(row, 2)?)?);
    }
    let versions: Vec<_> = wanted.iter().map(|wanted| number(wanted.version)).collect();
    session.finish(&[(GIVE_OUT, vec![&names, &versions])]).await?;
    Ok(wanted)
}

/// Those of the roles of which people are to sign a new version, still without its changes.
fn candidates(rows: &[Row], charter: &Charter, now: Timestamp) -> Result<Vec<Wanted>, StoreError> {
    let open: Vec<&RoleName> = shape::people_sign(charter).collect();
    let mut wanted = Vec::new();
    for row in rows {
        let role = role(column(row, 0)?)?;
        if !open.contains(&&role) {
            continue;
        }
        let version: Version = next_version(optional_version(column(row, 1)?)?);
        let renew_at = Timestamp::from_second(column(row, 2)?)
            .map_err(|error| StoreError::Broken(format!("the ledger holds no time: {error}")))?;
        let through = column(row, 3)?;
        let reason: Option<Reason> = shape::reason(charter.events.get(&role), through, renew_at, now);
        wanted.extend(reason.map(|reason| Wanted { role, version, reason, changes: BTreeMap::new(), through }));
    }
    Ok(wanted)
}
