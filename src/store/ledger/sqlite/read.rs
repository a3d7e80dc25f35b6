//! What is asked of the ledger without changing it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, types::FromSqlError};

use crate::{
    store::{
        StoreError,
        ledger::{
            Ended, Expiry, Head, Repository, RepositorySettings,
            charter::Chartered,
            stored::{self, ended, from_json, info, path, role, time, version},
        },
    },
    task::TaskId,
    tuf::{
        delegation::Scope,
        info::Info,
        name::{ArtifactPath, RoleName},
        snapshot::MetaFile,
    },
};

pub(super) fn settings(connection: &Connection) -> Result<Option<RepositorySettings>, StoreError> {
    let mut query = connection.prepare_cached("select settings from repository")?;
    let text: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
    text.as_deref().map(from_json).transpose()
}

pub(super) fn repository(connection: &Connection) -> Result<Option<Repository>, StoreError> {
    let sql = "select task_id, settings, delegations, root, targets from repository";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Repository {
        task: TaskId::from_text(row.get::<_, String>(0)?),
        settings: from_json(row.get_ref(1)?.as_str().map_err(unexpected)?)?,
        delegations: from_json(row.get_ref(2)?.as_str().map_err(unexpected)?)?,
        root: row.get(3)?,
        targets: row.get(4)?,
    }))
}

pub(super) fn head(connection: &Connection) -> Result<Option<Head>, StoreError> {
    let sql = "select sequence, timestamp_version, timestamp, root_version, root from head";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let root: Option<(i64, Vec<u8>)> = row.get::<_, Option<i64>>(3)?.zip(row.get(4)?);
    Ok(Some(Head {
        sequence: row.get(0)?,
        version: version(row.get(1)?)?,
        timestamp: row.get(2)?,
        root: root.map(|(number, bytes)| Ok::<_, StoreError>((version(number)?, bytes))).transpose()?,
    }))
}

pub(super) fn charter(connection: &Connection) -> Result<Chartered, StoreError> {
    let mut query = connection.prepare_cached("select revision, placement, charter from charter")?;
    let mut rows = query.query([])?;
    let row = rows.next()?.ok_or_else(|| StoreError::Broken("the ledger has no charter".into()))?;
    let charter = from_json(row.get_ref(2)?.as_str().map_err(unexpected)?)?;
    Ok(Chartered { revision: row.get(0)?, placement: row.get(1)?, charter })
}

pub(super) fn waiting(connection: &Connection, name: &RoleName, limit: usize) -> Result<Vec<TaskId>, StoreError> {
    let mut query = connection.prepare_cached(
        "select task_id from staged where role = (select id from roles where name = ?1) and waits = 1 and task_id <> ''
         group by task_id order by min(sequence) limit ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let tasks: Result<_, _> =
        query.query_map((name.as_str(), limit), |row| row.get::<_, String>(0).map(TaskId::from_text))?.collect();
    Ok(tasks?)
}

pub(super) fn covering(
    connection: &Connection,
    mut scopes: Vec<(RoleName, Scope)>,
) -> Result<BTreeSet<RoleName>, StoreError> {
    let mut query = connection
        .prepare_cached("select path from artifacts join roles on roles.id = artifacts.role where retired = 0")?;
    let mut rows = query.query([])?;
    let mut covering = BTreeSet::new();
    while !scopes.is_empty()
        && let Some(row) = rows.next()?
    {
        let path = path(row.get_ref(0)?.as_str().map_err(unexpected)?)?;
        covering.extend(scopes.extract_if(.., |(_, scope)| scope.has(&path)).map(|(role, _)| role));
    }
    Ok(covering)
}

pub(super) fn artifacts(connection: &Connection, role: &RoleName) -> Result<Vec<(ArtifactPath, Info)>, StoreError> {
    let mut query = connection.prepare_cached(
        "select path, info from artifacts where role = (select id from roles where name = ?1) order by path",
    )?;
    let mut rows = query.query([role.as_str()])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let info = info(row.get_ref(1)?.as_str().map_err(unexpected)?)?;
        listed.push((path(row.get_ref(0)?.as_str().map_err(unexpected)?)?, info));
    }
    Ok(listed)
}

pub(super) fn published(connection: &Connection) -> Result<BTreeMap<RoleName, MetaFile>, StoreError> {
    let mut query = connection.prepare_cached("select name, version, length, sha256 from roles where version > 0")?;
    let mut rows = query.query([])?;
    let mut published = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let length: Option<i64> = row.get(2)?;
        let sha256: Option<String> = row.get(3)?;
        let meta = MetaFile {
            version: version(row.get(1)?)?,
            length: length.and_then(|length| u64::try_from(length).ok()),
            hashes: sha256.map(|hash| BTreeMap::from([("sha256".to_owned(), hash)])),
        };
        published.insert(role(row.get_ref(0)?.as_str().map_err(unexpected)?)?, meta);
    }
    Ok(published)
}

pub(super) fn unreported(connection: &Connection, through: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
    let mut query = connection.prepare_cached(
        "select id, action, accepted_at, progress, finished_at from tasks where reported = 0 and finished_at is not null
         and head <= ?1 order by finished_at limit ?2",
    )?;
    let mut rows = query.query([through, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(Ended {
            task: TaskId::from_text(row.get::<_, String>(0)?),
            action: row.get(1)?,
            accepted_at: time(row.get(2)?)?,
            progress: ended(row.get_ref(3)?.as_str().map_err(unexpected)?, row.get(4)?)?,
        });
    }
    Ok(tasks)
}

pub(super) fn expiries(connection: &Connection) -> Result<BTreeMap<String, Expiry>, StoreError> {
    let mut query = connection.prepare_cached(
        "select case when name like 'bins-%' then 'bins' else name end as role, min(expires_at), max(version) from roles
         where version > 0 and retired = 0 and expires_at is not null group by role",
    )?;
    let mut rows = query.query([])?;
    let mut expiries = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let expiry = stored::expiry(&name, row.get(2)?, row.get(1)?)?;
        expiries.insert(name, expiry);
    }
    Ok(expiries)
}

pub(super) fn unexpected(error: FromSqlError) -> StoreError {
    StoreError::Broken(format!("the ledger holds a value of another type: {error}"))
}
