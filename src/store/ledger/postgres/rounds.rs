//! The two transactions of a round: the plan and the commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{count, read::column};
use crate::{
    store::{
        StoreError,
        ledger::{
            Head, Plan, Planned, Publication,
            stored::{self, PLAN_BYTES, number, optional_version, path, role, to_json},
        },
        postgres::{Call, Pool},
    },
    task::{Outcome, Progress, TaskId},
    tuf::{
        change::{self, Staged},
        name::RoleName,
        plan::{cascade, next_version},
    },
};

/// For how long others leave a plan alone, and how much longer for each role that it publishes.
const LEASE: Duration = Duration::from_secs(5);
const LEASE_PER_ROLE: Duration = Duration::from_millis(2);

/// The head, and for how long another instance's plan is to be left alone, in microseconds.
const STATE: &str = "select coalesce((select sequence from head), 0),
     case when holder <> $1 and until > now() then (extract(epoch from until - now()) * 1000000)::bigint end from publisher";

/// The oldest changes, up to a number of them and of bytes; none while another instance's plan is to be left alone.
const STAGED: &str = "select sequence, name, given_out, path, info from (
         select sequence, name, given_out, path, info,
             sum(octet_length(info)) over (order by sequence rows between unbounded preceding and 1 preceding) as before
         from (select sequence, role, path, info from staged
             where not exists (select 1 from publisher where holder <> $1 and until > now()) order by sequence limit $2) as oldest
         join roles on roles.id = oldest.role) as counted
     where coalesce(before, 0) < $3 order by sequence";

/// The roles that are due, and those that every round publishes.
const DUE: &str = "select name, given_out, true from roles where renew_at <= $2
         and not exists (select 1 from publisher where holder <> $1 and until > now())
     union all select name, given_out, false from roles where name in ('targets', 'snapshot', 'timestamp')";

const GIVE_OUT: &str =
    "update roles set given_out = given.version from unnest($1::text[], $2::bigint[]) as given (name, version)
     where roles.name = given.name";

const NOTE_PLAN: &str = "insert into publications (base, planned_at, planned_by, roles, timestamp_version)
     values ($1, $2, $3, $4, $5) returning id";

const TAKE_LEASE: &str =
    "update publisher set holder = $1, until = clock_timestamp() + $2::bigint * interval '1 microsecond'";

pub(super) async fn plan(pool: &Pool, instance: &str, now: Timestamp, limit: usize) -> Result<Planned, StoreError> {
    let (limit, bytes, seconds) = (count(limit), count(PLAN_BYTES), now.as_second());
    let questions: [Call<'_>; 3] =
        [(STATE, vec![&instance]), (STAGED, vec![&instance, &limit, &bytes]), (DUE, vec![&instance, &seconds])];
    let (session, answers) = pool.begin(&questions).await?;
    let [state, staged, due] = answers.as_slice() else { return Err(missing("an answer")) };
    let state = state.first().ok_or_else(|| missing("the row of the publisher"))?;
    let base: i64 = column(state, 0)?;
    if let Some(remaining) = column::<Option<i64>>(state, 1)? {
        session.leave().await?;
        return Ok(Planned::Elsewhere(Duration::from_micros(remaining.try_into().unwrap_or(0))));
    }

    let mut given_out = BTreeMap::new();
    let mut touched = BTreeSet::new();
    for row in due {
        let name = role(column(row, 0)?)?;
        if column(row, 2)? {
            touched.insert(name.clone());
        }
        given_out.insert(name, optional_version(column(row, 1)?)?);
    }
    let mut through = 0;
    let mut changes = Vec::with_capacity(staged.len());
    for row in staged {
        through = column(row, 0)?;
        let name = role(column(row, 1)?)?;
        if touched.insert(name.clone()) {
            given_out.insert(name.clone(), optional_version(column(row, 2)?)?);
        }
        let change = stored::change(column(row, 4)?)?;
        changes.push(Staged { role: name, path: path(column(row, 3)?)?, change });
    }
    let changes = change::merge(changes);
    let mut roles = Vec::new();
    for name in cascade(&touched) {
        let last = given_out.remove(&name).ok_or_else(|| missing(&format!("the role {name}")))?;
        roles.push((name, next_version(last)));
    }
    let Some((_, timestamp)) = roles.last() else {
        session.leave().await?;
        return Ok(Planned::Nothing);
    };

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
        through,
        changes,
        roles,
        revision: 0,
        signed: BTreeMap::new(),
        delegations: None,
        root: None,
    }))
}

const COMMITTABLE: &str = "select coalesce((select sequence from head), 0), void_through from publisher";

/// The tasks of which the plan takes the last change. Array and offset leave the planner no other way than the index on the
/// tasks' ids, even where it takes a table that was empty a moment ago for an empty one.
const FINISH_TASKS: &str = "update tasks set finished_at = $2, head = $3
     where id = any(array(select distinct task_id from staged where sequence <= $1)) and finished_at is null
     and not exists (select 1 from (select sequence from staged where staged.task_id = tasks.id offset 0) as all_of_it
         where sequence > $1)";

const FINISH_BOOTSTRAP: &str =
    "update tasks set finished_at = $1, head = 1 where id = (select task_id from repository)";

/// What is staged up to here becomes what is published: of several changes of a path the last one. It is what the plan took:
/// new changes come behind it, and what was taken away since made the plan void.
const APPLY: &str = "with taken as (delete from staged where sequence <= $1 returning sequence, role, digest, path, info),
     latest as (select distinct on (role, digest) role, digest, path, info from taken order by role, digest, sequence desc),
     removed as (delete from artifacts using latest
         where latest.info is null and artifacts.role = latest.role and artifacts.digest = latest.digest)
     insert into artifacts (role, digest, path, info) select role, digest, path, info from latest where info is not null
     on conflict (role, digest) do update set info = excluded.info";

const PUBLISH_ROLES: &str =
    "update roles set version = new.version, renew_at = new.renew_at, expires_at = new.expires_at,
         length = new.length, sha256 = new.sha256
     from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
         as new (name, version, renew_at, expires_at, length, sha256)
     where roles.name = new.name";

const PUBLISH_TARGETS: &str = "update repository set targets = $1";

const MOVE_HEAD: &str = "insert into head (id, sequence, timestamp_version, timestamp) values (1, $1, $2, $3)
     on conflict (id) do update set sequence = excluded.sequence, timestamp_version = excluded.timestamp_version,
         timestamp = excluded.timestamp";

const NOTE_COMMIT: &str = "update publications set committed_at = $2 where id = $1";

const LEAVE_LEASE: &str = "update publisher set holder = null, until = null where holder = $1";

pub(super) async fn commit(
    pool: &Pool,
    instance: &str,
    plan: &Plan,
    publication: Publication,
    now: Timestamp,
) -> Result<Head, StoreError> {
    let (session, answers) = pool.begin(&[(COMMITTABLE, Vec::new())]).await?;
    let state = answers.first().and_then(|rows| rows.first()).ok_or_else(|| missing("the row of the publisher"))?;
    let (base, void_through): (i64, i64) = (column(state, 0)?, column(state, 1)?);
    if base != plan.base {
        session.leave().await?;
        return Err(StoreError::Lost(format!("the head is {base}, the plan was made on {}", plan.base)));
    }
    if plan.id <= void_through {
        session.leave().await?;
        return Err(StoreError::Lost("a task that the plan took was refused".into()));
    }
    let Some((_, version)) = plan.roles.last() else {
        return Err(StoreError::Broken("a plan without a timestamp".into()));
    };
    let Publication { roles, targets, timestamp, .. } = publication;
    let head = Head { sequence: base + 1, version: *version, timestamp, root: None };

    let names: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    let versions: Vec<_> = roles.iter().map(|role| number(role.meta.version)).collect();
    let renew_at: Vec<_> = roles.iter().map(|role| role.renew_at.as_second()).collect();
    let expires_at: Vec<_> = roles.iter().map(|role| role.expires.as_second()).collect();
    let lengths: Vec<_> =
        roles.iter().map(|role| role.meta.length.and_then(|length| i64::try_from(length).ok())).collect();
    let sha256: Vec<_> =
        roles.iter().map(|role| role.meta.hashes.as_ref().and_then(|hashes| hashes.get("sha256"))).collect();
    let (at, timestamp_version) = (now.as_microsecond(), number(head.version));
    let mut calls: Vec<Call<'_>> = vec![
        (FINISH_TASKS, vec![&plan.through, &at, &head.sequence]),
        (APPLY, vec![&plan.through]),
        (PUBLISH_ROLES, vec![&names, &versions, &renew_at, &expires_at, &lengths, &sha256]),
        (MOVE_HEAD, vec![&head.sequence, &timestamp_version, &head.timestamp]),
        (NOTE_COMMIT, vec![&plan.id, &at]),
        (LEAVE_LEASE, vec![&instance]),
    ];
    if plan.base == 0 {
        calls.push((FINISH_BOOTSTRAP, vec![&at]));
    }
    if let Some(targets) = &targets {
        calls.push((PUBLISH_TARGETS, vec![targets]));
    }
    session.finish(&calls).await?;
    Ok(head)
}

const YOUNGEST: &str = "select staged.task_id, action from staged join tasks on tasks.id = staged.task_id
     where role = (select id from roles where name = $1) and sequence <= $2 order by sequence desc limit 1";

const DROP_CHANGES: &str = "delete from staged where task_id = $1";

const REFUSE: &str = "update tasks set progress = $2, finished_at = $3 where id = $1";

const VOID_PLANS: &str = "update publisher set void_through = (select coalesce(max(id), 0) from publications)";

pub(super) async fn refuse(
    pool: &Pool,
    role: &RoleName,
    through: i64,
    reason: String,
    now: Timestamp,
) -> Result<Option<TaskId>, StoreError> {
    let name = role.as_str();
    let (session, answers) = pool.begin(&[(YOUNGEST, vec![&name, &through])]).await?;
    let Some(row) = answers.first().and_then(|rows| rows.first()) else {
        session.leave().await?;
        return Ok(None);
    };
    let (task, action): (String, String) = (column(row, 0)?, column(row, 1)?);
    let progress = to_json(&Progress::Finished(Outcome::refused(&action, reason, now)))?;
    let at = now.as_microsecond();
    let calls: [Call<'_>; 3] =
        [(DROP_CHANGES, vec![&task]), (REFUSE, vec![&task, &progress, &at]), (VOID_PLANS, Vec::new())];
    session.finish(&calls).await?;
    Ok(Some(TaskId::from_text(task)))
}

fn missing(what: &str) -> StoreError {
    StoreError::Broken(format!("the ledger lacks {what}"))
}
