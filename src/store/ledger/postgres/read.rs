//! What is asked of the ledger without changing it: one statement each.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Row, types::FromSql};

use super::count;
use crate::{
    store::{
        StoreError,
        ledger::{
            Ended, Expiry, Head, Repository, RepositorySettings,
            stored::{ended, expiry, from_json, info, path, role, time, version},
        },
        postgres::{Pool, unreadable},
    },
    task::TaskId,
    tuf::{
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

/// A column of a row.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(unreadable)
}

pub(super) async fn settings(pool: &Pool) -> Result<Option<RepositorySettings>, StoreError> {
    let rows = pool.rows("select settings from repository", &[]).await?;
    rows.first().map(|row| from_json(column(row, 0)?)).transpose()
}

pub(super) const REPOSITORY: &str = "select task_id, settings, delegations, root, targets from repository";

pub(super) async fn repository(pool: &Pool) -> Result<Option<Repository>, StoreError> {
    the_repository(&pool.rows(REPOSITORY, &[]).await?)
}

/// The answer to [`REPOSITORY`].
pub(super) fn the_repository(rows: &[Row]) -> Result<Option<Repository>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Repository {
        task: TaskId::from_text(column::<String>(row, 0)?),
        settings: from_json(column(row, 1)?)?,
        delegations: from_json(column(row, 2)?)?,
        root: column(row, 3)?,
        targets: column(row, 4)?,
    }))
}

pub(super) async fn head(pool: &Pool) -> Result<Option<Head>, StoreError> {
    let rows = pool.rows("select sequence, timestamp_version, timestamp, root_version, root from head", &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let root = match (column(row, 3)?, column(row, 4)?) {
        (Some(number), Some(root)) => Some((version(number)?, root)),
        _ => None,
    };
    Ok(Some(Head { sequence: column(row, 0)?, version: version(column(row, 1)?)?, timestamp: column(row, 2)?, root }))
}

pub(super) async fn artifacts(pool: &Pool, roles: &[RoleName]) -> Result<Vec<Vec<(ArtifactPath, Info)>>, StoreError> {
    // The offset keeps the planner from joining in another way than role by role.
    let sql = "select asked.position, listed.path, listed.info
         from unnest($1::text[]) with ordinality as asked (name, position)
         join roles on roles.name = asked.name
         cross join lateral (select path, info from artifacts where role = roles.id offset 0) as listed";
    let names: Vec<_> = roles.iter().map(RoleName::as_str).collect();
    let mut listed: Vec<Vec<(ArtifactPath, Info)>> = roles.iter().map(|_| Vec::new()).collect();
    for row in pool.rows(sql, &[&names]).await? {
        let place = usize::try_from(column::<i64>(&row, 0)? - 1).ok().and_then(|index| listed.get_mut(index));
        let place = place.ok_or_else(|| StoreError::Broken("a role was answered that was not asked for".into()))?;
        place.push((path(column(&row, 1)?)?, info(column(&row, 2)?)?));
    }
    for artifacts in &mut listed {
        artifacts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    }
    Ok(listed)
}

pub(super) async fn published(pool: &Pool) -> Result<BTreeMap<RoleName, MetaFile>, StoreError> {
    let rows = pool.rows("select name, version, length, sha256 from roles where version > 0", &[]).await?;
    let meta = |row: &Row| {
        let meta = MetaFile {
            version: version(column(row, 1)?)?,
            length: column::<Option<i64>>(row, 2)?.and_then(|length| u64::try_from(length).ok()),
            hashes: column::<Option<String>>(row, 3)?.map(|hash| BTreeMap::from([("sha256".to_owned(), hash)])),
        };
        Ok((role(column(row, 0)?)?, meta))
    };
    rows.iter().map(meta).collect()
}

pub(super) async fn unreported(pool: &Pool, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
    let sql = "select id, action, accepted_at, progress, finished_at from tasks
         where not reported and finished_at is not null and head <= $1 order by finished_at limit $2";
    let rows = pool.rows(sql, &[&through, &count(limit)]).await?;
    let task = |row: &Row| {
        Ok(Ended {
            task: TaskId::from_text(column::<String>(row, 0)?),
            action: column(row, 1)?,
            accepted_at: time(column(row, 2)?)?,
            progress: ended(column(row, 3)?, column(row, 4)?)?,
        })
    };
    rows.iter().map(task).collect()
}

pub(super) async fn expiries(pool: &Pool) -> Result<BTreeMap<String, Expiry>, StoreError> {
    let sql = "select case when name like 'bins-%' then 'bins' else name end as role, min(expires_at), max(version) from roles
         where version > 0 and expires_at is not null and not retired group by 1";
    let rows = pool.rows(sql, &[]).await?;
    let told = |row: &Row| {
        let name: String = column(row, 0)?;
        let expiry = expiry(&name, column(row, 2)?, column(row, 1)?)?;
        Ok((name, expiry))
    };
    rows.iter().map(told).collect()
}

pub(super) async fn waiting(pool: &Pool, role: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError> {
    let sql =
        "select task_id from staged where role = (select id from roles where name = $1) and waits and task_id <> ''
         group by task_id order by min(sequence) limit $2";
    let rows = pool.rows(sql, &[&role.as_str(), &count(limit)]).await?;
    rows.iter().map(|row| column::<String>(row, 0).map(TaskId::from_text)).collect()
}

/// How many paths are read at once.
pub(super) const PATHS: i64 = 10_000;

pub(super) async fn covering(
    pool: &Pool,
    mut scopes: Vec<(RoleName, Scope)>,
) -> Result<BTreeSet<RoleName>, StoreError> {
    let sql = "select role, digest, path, (select retired from roles where id = part.role) from (
             select role, digest, path from artifacts where (role, digest) > ($1, $2) order by role, digest limit $3) as part
         order by role, digest";
    let mut covering = BTreeSet::new();
    let mut last: (i64, Vec<u8>) = (0, Vec::new());
    while !scopes.is_empty() {
        let rows = pool.rows(sql, &[&last.0, &last.1, &PATHS]).await?;
        let Some(end) = rows.last() else { break };
        last = (column(end, 0)?, column(end, 1)?);
        for row in &rows {
            // Nobody is led to what a retired role lists.
            if column::<Option<bool>>(row, 3)? == Some(false) {
                let path = path(column(row, 2)?)?;
                let (has, open): (Vec<_>, Vec<_>) = scopes.into_iter().partition(|(_, scope)| scope.has(&path));
                covering.extend(has.into_iter().map(|(role, _)| role));
                scopes = open;
            }
        }
    }
    Ok(covering)
}
