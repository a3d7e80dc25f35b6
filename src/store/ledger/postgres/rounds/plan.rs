//! The first transaction of a round: what is to be published, and under which versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use super::missing;
use crate::{
    store::{
        StoreError,
        ledger::{
            Plan, Planned, Stale,
            charter::Charter,
            postgres::{charter::Memory, count, read::column},
            shape::{self, Shape},
            stored::{self, PLAN_BYTES, from_json, number, optional_version, path, role},
        },
        postgres::{Call, Pool, Session},
    },
    tuf::{
        change::{self, Staged},
        name::{RoleName, Version},
        plan::next_version,
    },
};

/// For how long others leave a plan alone, and how much longer for each role that it publishes.
const LEASE: Duration = Duration::from_secs(5);
const LEASE_PER_ROLE: Duration = Duration::from_millis(2);

/// The head, for how long another instance's plan is to be left alone, in microseconds, the charter if it is not the one that is
/// remembered, whether a task waits until clients see a round, and the settings of the repository.
const STATE: &str = "select coalesce((select sequence from head), 0),
         case when holder <> $1 and until > now() then (extract(epoch from until - now()) * 1000000)::bigint end,
         revision, case when revision <> $2 then charter end,
         exists (select 1 from tasks where finished_at is null and awaits_revision is not null),
         (select settings from repository)
     from publisher cross join charter";

/// The oldest changes that wait for nobody's signature, up to a number of them and of bytes; none while another instance's plan is
/// to be left alone.
const STAGED: &str = "select sequence, name, given_out, path, info from (
         select sequence, name, given_out, path, info,
             sum(octet_length(info)) over (order by sequence rows between unbounded preceding and 1 preceding) as before
         from (select sequence, role, path, info from staged
             where not waits and not exists (select 1 from publisher where holder <> $1 and until > now())
             order by sequence limit $2) as oldest
         join roles on roles.id = oldest.role) as counted
     where coalesce(before, 0) < $3 order by sequence";

/// The roles that are due, and those that every round publishes.
const DUE: &str = "select name, given_out, true from roles where renew_at <= $2 and not waits
         and not exists (select 1 from publisher where holder <> $1 and until > now())
     union all select name, given_out, false from roles where name in ('targets', 'snapshot', 'timestamp')";

/// What was removed elsewhere after people were asked to sign that it is listed by these roles.
const REMOVED: &str = "select signed.name, staged.path from unnest($1::text[], $2::bigint[]) as signed (name, through)
     join roles on roles.name = signed.name
     join staged on staged.role = roles.id and staged.waits and staged.sequence > signed.through
         and staged.task_id = '' and staged.info is null";

const KEPT: &str = "select name, given_out, roles.version, expires_at, settings from roles cross join repository
     where name = any($1) and roles.version > 0";

/// Notes the versions that were given out.
pub(in crate::store::ledger::postgres) const GIVE_OUT: &str =
    "update roles set given_out = greatest(given_out, given.version) from unnest($1::text[], $2::bigint[]) as given (name, version)
     where roles.name = given.name";

const NOTE_PLAN: &str = "insert into publications (base, planned_at, planned_by, roles, timestamp_version)
     values ($1, $2, $3, $4, $5) returning id";

const TAKE_LEASE: &str =
    "update publisher set holder = $1, until = clock_timestamp() + $2::bigint * interval '1 microsecond'";

pub(in crate::store::ledger::postgres) async fn plan(
    pool: &Pool,
    memory: &Memory,
    instance: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Planned, StoreError> {
    let (limit, bytes, seconds) = (count(limit), count(PLAN_BYTES), now.as_second());
    let recalled = memory.recall();
    let known = recalled.revision;
    let questions: [Call<'_>; 3] =
        [(STATE, vec![&instance, &known]), (STAGED, vec![&instance, &limit, &bytes]), (DUE, vec![&instance, &seconds])];
    let (mut session, answers) = pool.begin(&questions).await?;
    let [state, staged, due] = answers.as_slice() else { return Err(missing("an answer")) };
    let state = state.first().ok_or_else(|| missing("the row of the publisher"))?;
    let base: i64 = column(state, 0)?;
    if let Some(remaining) = column::<Option<i64>>(state, 1)? {
        session.leave().await?;
        return Ok(Planned::Elsewhere(Duration::from_micros(remaining.try_into().unwrap_or(0))));
    }
    let revision = column(state, 2)?;
    let charter = recalled.charter(revision, column(state, 3)?)?;

    let mut given_out = BTreeMap::new();
    let mut touched = BTreeSet::new();
    for row in due {
        let name = role(column(row, 0)?)?;
        // Who waits until clients see a round gets one.
        if column(row, 2)? || (name == RoleName::timestamp() && column(state, 4)?) {
            touched.insert(name.clone());
        }
        given_out.insert(name, optional_version(column(row, 1)?)?);
    }
    if let Some(stale) = stale(&mut session, &charter, revision).await? {
        session.leave().await?;
        return Ok(Planned::Stale(stale));
    }
    for (name, last) in kept_due(&mut session, &charter, now).await? {
        touched.insert(name.clone());
        given_out.insert(name, last);
    }
    let complete: BTreeSet<_> = shape::complete(&charter).map(|(role, _)| role).collect();
    let mut through = 0;
    let mut changes = Vec::with_capacity(staged.len());
    for row in staged {
        through = column(row, 0)?;
        let name = role(column(row, 1)?)?;
        // What was signed comes first; the commit leaves these for the plan after it.
        if complete.contains(&name) {
            continue;
        }
        if touched.insert(name.clone()) {
            given_out.insert(name.clone(), optional_version(column(row, 2)?)?);
        }
        let change = stored::change(column(row, 4)?)?;
        changes.push(Staged { role: name, path: path(column(row, 3)?)?, change });
    }
    let changes = change::merge(changes);
    let delegations = if shape::announces(&charter) { delegations(&mut session).await? } else { None };
    let shape = Shape::of(&charter, touched, delegations.as_ref());
    let mut roles = Vec::with_capacity(shape.roles.len());
    for (name, own) in shape.roles {
        let version = match own {
            Some(version) => version,
            None => next_version(given_out.remove(&name).ok_or_else(|| missing(&format!("the role {name}")))?),
        };
        roles.push((name, version));
    }
    let Some((_, timestamp)) = roles.last() else {
        session.leave().await?;
        return Ok(Planned::Nothing);
    };

    let settings = from_json(column::<Option<&str>>(state, 5)?.ok_or_else(|| missing("the repository"))?)?;
    let names: Vec<_> = roles.iter().map(|(name, _)| name.as_str()).collect();
    let versions: Vec<_> = roles.iter().map(|(_, version)| number(*version)).collect();
    let (planned_at, published, timestamp) = (now.as_microsecond(), count(roles.len()), number(*timestamp));
    let lease = LEASE + LEASE_PER_ROLE * u32::try_from(roles.len()).unwrap_or(u32::MAX);
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    let calls: [Call<'_>; 3] = [
        (GIVE_OUT, vec![&names, &versions]),
        (NOTE_PLAN, vec![&base, &planned_at, &instance, &published, &timestamp]),
        (TAKE_LEASE, vec![&instance, &lease]),
    ];
    let answers = session.finish(&calls).await?;
    let id = answers.get(1).and_then(|rows| rows.first()).ok_or_else(|| missing("the id of a plan"))?;
    Ok(Planned::Round(Plan {
        id: column(id, 0)?,
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

/// What people have signed and is not to be published.
pub(super) async fn stale(
    session: &mut Session,
    charter: &Charter,
    revision: i64,
) -> Result<Option<Stale>, StoreError> {
    let (names, throughs): (Vec<_>, Vec<_>) =
        shape::complete(charter).map(|(role, event)| (role.as_str(), event.through)).unzip();
    if names.is_empty() {
        return Ok(None);
    }
    let answers = session.go_on(&[(REMOVED, vec![&names, &throughs])]).await?;
    let removed = answers.first().into_iter().flatten().map(|row| Ok((role(column(row, 0)?)?, path(column(row, 1)?)?)));
    Ok(shape::stale(charter, revision, removed.collect::<Result<Vec<_>, StoreError>>()?))
}

/// The roles that are due under keys which are about to be others, with the last version that was given out.
async fn kept_due(
    session: &mut Session,
    charter: &Charter,
    now: Timestamp,
) -> Result<Vec<(RoleName, Option<Version>)>, StoreError> {
    if charter.kept.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = charter.kept.keys().map(RoleName::as_str).collect();
    let answers = session.go_on(&[(KEPT, vec![&names])]).await?;
    let (mut published, mut last, mut settings) = (Vec::new(), BTreeMap::new(), None);
    for row in answers.first().into_iter().flatten() {
        let name = role(column(row, 0)?)?;
        let expires = column::<Option<i64>>(row, 3)?.unwrap_or(0);
        let expires = Timestamp::from_second(expires).unwrap_or(Timestamp::MIN);
        last.insert(name.clone(), optional_version(column(row, 1)?)?);
        published.push((name, stored::version(column(row, 2)?)?, expires));
        settings = Some(from_json(column(row, 4)?)?);
    }
    let Some(settings) = settings else { return Ok(Vec::new()) };
    let due = shape::kept_due(charter, &settings, published, now).into_iter();
    Ok(due.map(|name| (name.clone(), last.remove(&name).flatten())).collect())
}

/// The `delegations` of the repository: they may be large, so they are read when they are about to change.
async fn delegations(session: &mut Session) -> Result<Option<Value>, StoreError> {
    let answers = session.go_on(&[("select delegations from repository", Vec::new())]).await?;
    answers.first().and_then(|rows| rows.first()).map(|row| from_json(column(row, 0)?)).transpose()
}
