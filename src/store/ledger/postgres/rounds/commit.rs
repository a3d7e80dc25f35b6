//! The second transaction of a round: what was published becomes the head.

use std::sync::Arc;

use jiff::Timestamp;

use super::{missing, plan::stale, signed};
use crate::store::{
    StoreError,
    ledger::{
        Head, Plan, Publication, Stale,
        charter::Charter,
        postgres::{charter::Memory, read::column},
        settle::{self, Settled},
        stored::{number, to_json},
    },
    postgres::{Call, Pool, Session},
};

const COMMITTABLE: &str = "select coalesce((select sequence from head), 0), void_through,
         revision, case when revision <> $1 then charter end,
         exists (select 1 from tasks where finished_at is null and (awaits_revision is not null or awaits_root is not null))
     from publisher cross join charter";

/// The tasks of which the plan takes the last change: of those that wait for nobody, and of roles that people have signed up to a sequence.
/// Other changes of signed roles are for the plan after it. Array and offset leave the planner no other way than the index on
/// the tasks' ids, even where it takes a table that was empty a moment ago for an empty one.
const FINISH_TASKS: &str = "update tasks set finished_at = $2, head = $3
     where id = any(array(
         select distinct task_id from staged where not waits and sequence <= $1
         union select task_id from unnest($4::text[], $5::bigint[]) as signed (name, through)
             join roles on roles.name = signed.name
             join staged on staged.role = roles.id and staged.waits and staged.sequence <= signed.through))
     and finished_at is null
     and not exists (select 1 from (select sequence, role, waits from staged where staged.task_id = tasks.id offset 0) as all_of_it
         where case when waits then sequence > coalesce((
                 select through from unnest($4::text[], $5::bigint[]) as signed (name, through)
                 where signed.name = (select roles.name from roles where roles.id = role)), 0)
             else sequence > $1 or role = any(array(select id from roles where name = any($4))) end)";

const FINISH_BOOTSTRAP: &str = "update tasks set finished_at = $1, head = 1
     where id = (select task_id from repository) and finished_at is null";

/// The tasks that waited until clients see this revision of the charter, or this root.
const FINISH_WAITING: &str = "update tasks set finished_at = $1, head = $2
     where finished_at is null and (awaits_revision is not null or awaits_root is not null)
     and (awaits_revision <= $3 or awaits_root <= $4)";

/// What is staged up to here, but for what people have signed, becomes what is published: of several changes of a path the last one. It is what the plan took:
/// new changes come behind it, and what was taken away since made the plan void.
const APPLY: &str = "with taken as (delete from staged where not waits and sequence <= $1
             and role <> all(array(select id from roles where name = any($2))) returning sequence, role, digest, path, info),
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

const CHANGE_DELEGATIONS: &str = "update repository set delegations = $1";

const COUNT_PLACEMENT: &str = "update charter set placement = placement + 1";

/// Makes roles due.
pub(in crate::store::ledger::postgres) const MAKE_DUE: &str = "update roles set renew_at = 0 where name = any($1)";

const CHANGE_ROOT: &str = "update repository set root = $1";

pub(super) const CHANGE_CHARTER: &str = "update charter set revision = revision + 1, charter = $1";

const RENEW_TOP_LEVEL: &str =
    "update roles set renew_at = least(renew_at, $1) where name in ('targets', 'snapshot', 'timestamp')";

const MOVE_HEAD: &str =
    "insert into head (id, sequence, timestamp_version, timestamp, root_version, root) values (1, $1, $2, $3, $4, $5)
     on conflict (id) do update set sequence = excluded.sequence, timestamp_version = excluded.timestamp_version,
         timestamp = excluded.timestamp, root_version = excluded.root_version, root = excluded.root";

const NOTE_COMMIT: &str = "update publications set committed_at = $2 where id = $1";

const LEAVE_LEASE: &str = "update publisher set holder = null, until = null where holder = $1";

pub(in crate::store::ledger::postgres) async fn commit(
    pool: &Pool,
    memory: &Memory,
    instance: &str,
    plan: &Plan,
    publication: Publication,
    now: Timestamp,
) -> Result<Head, StoreError> {
    let recalled = memory.recall();
    let known = recalled.revision;
    let (mut session, answers) = pool.begin(&[(COMMITTABLE, vec![&known])]).await?;
    let state = answers.first().and_then(|rows| rows.first()).ok_or_else(|| missing("the row of the publisher"))?;
    let (base, void_through): (i64, i64) = (column(state, 0)?, column(state, 1)?);
    let revision: i64 = column(state, 2)?;
    let lost = if base != plan.base {
        Some(format!("the head is {base}, the plan was made on {}", plan.base))
    } else if revision != plan.revision {
        Some(format!("the charter has revision {revision}, the plan was made on {}", plan.revision))
    } else {
        (plan.id <= void_through).then(|| "a task that the plan took was refused".to_owned())
    };
    if let Some(why) = lost {
        session.leave().await?;
        return Err(StoreError::Lost(why));
    }
    let Some((_, version)) = plan.roles.last() else {
        return Err(StoreError::Broken("a plan without a timestamp".into()));
    };
    let charter = recalled.charter(revision, column(state, 3)?)?;
    if !plan.signed.is_empty()
        && let Some(Stale { role, path, .. }) = stale(&mut session, &charter, revision).await?
    {
        session.leave().await?;
        return Err(StoreError::Lost(format!("{path} was removed since people signed {role}")));
    }
    let signed = if plan.signed.is_empty() { None } else { Some(signed::read(&mut session, &charter, plan).await?) };
    let Publication { roles, targets, timestamp, root_grace_ends } = publication;
    let mut settled = settled(&mut session, &charter, plan, root_grace_ends, now).await?;

    let (root, renew_at) = settled.as_ref().map_or((None, None), |settled| (settled.root.clone(), settled.renew_at));
    let head = Head { sequence: base + 1, version: *version, timestamp, root };
    let names: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    let versions: Vec<_> = roles.iter().map(|role| number(role.meta.version)).collect();
    let renewals: Vec<_> = roles.iter().map(|role| role.renew_at.as_second()).collect();
    let expires_at: Vec<_> = roles.iter().map(|role| role.expires.as_second()).collect();
    let lengths: Vec<_> =
        roles.iter().map(|role| role.meta.length.and_then(|length| i64::try_from(length).ok())).collect();
    let sha256: Vec<_> =
        roles.iter().map(|role| role.meta.hashes.as_ref().and_then(|hashes| hashes.get("sha256"))).collect();
    let (at, timestamp_version) = (now.as_microsecond(), number(head.version));
    let root_version = head.root.as_ref().map(|(version, _)| number(*version));
    let root = head.root.as_ref().map(|(_, root)| root);
    let no_root = 0_i64;
    let seen_root = root_version.as_ref().unwrap_or(&no_root);
    let (no_events, no_throughs) = (Vec::new(), Vec::new());
    let (events, throughs) =
        signed.as_ref().map_or((&no_events, &no_throughs), |signed| (&signed.events, &signed.throughs));
    let mut calls: Vec<Call<'_>> = vec![
        (FINISH_TASKS, vec![&plan.through, &at, &head.sequence, events, throughs]),
        (APPLY, vec![&plan.through, events]),
    ];
    let stale: Vec<String>;
    if let (Some(signed), Some(settled)) = (&signed, &mut settled) {
        calls.extend(signed.calls());
        if plan.delegations.is_some() {
            // Artifacts follow what becomes effective.
            session.go_on(&calls).await?;
            calls.clear();
            stale = signed.move_artifacts(&mut session, &mut settled.charter).await?;
            calls.push((MAKE_DUE, vec![&stale]));
            calls.push((COUNT_PLACEMENT, Vec::new()));
        }
    }
    calls.extend::<[Call<'_>; 4]>([
        (PUBLISH_ROLES, vec![&names, &versions, &renewals, &expires_at, &lengths, &sha256]),
        (MOVE_HEAD, vec![&head.sequence, &timestamp_version, &head.timestamp, &root_version, &root]),
        (NOTE_COMMIT, vec![&plan.id, &at]),
        (LEAVE_LEASE, vec![&instance]),
    ]);
    if plan.base == 0 {
        calls.push((FINISH_BOOTSTRAP, vec![&at]));
    }
    if column(state, 4)? {
        calls.push((FINISH_WAITING, vec![&at, &head.sequence, &plan.revision, seen_root]));
    }
    if let Some(targets) = &targets {
        calls.push((PUBLISH_TARGETS, vec![targets]));
    }
    let delegations = plan.delegations.as_ref().map(to_json).transpose()?;
    if let Some(delegations) = &delegations {
        calls.push((CHANGE_DELEGATIONS, vec![delegations]));
    }
    if let Some(root) = &root {
        calls.push((CHANGE_ROOT, vec![root]));
    }
    let renew_at = renew_at.map(Timestamp::as_second);
    if let Some(renew_at) = &renew_at {
        calls.push((RENEW_TOP_LEVEL, vec![renew_at]));
    }
    let outrun: Vec<String> =
        settled.iter().flat_map(|settled| &settled.outrun).map(|role| role.as_str().to_owned()).collect();
    if !outrun.is_empty() {
        calls.push((MAKE_DUE, vec![&outrun]));
    }
    let changed = settled.filter(|settled| settled.charter != *charter || root.is_some() || delegations.is_some());
    let changed = changed.map(|settled| to_json(&settled.charter)).transpose()?;
    if let Some(charter) = &changed {
        calls.push((CHANGE_CHARTER, vec![charter]));
    }
    session.finish(&calls).await?;
    Ok(head)
}

/// What becomes of the charter, `None` when nothing can: most rounds leave it as it is.
async fn settled(
    session: &mut Session,
    charter: &Arc<Charter>,
    plan: &Plan,
    root_grace_ends: Timestamp,
    now: Timestamp,
) -> Result<Option<Settled>, StoreError> {
    let keeps = !charter.kept.is_empty() && plan.roles.iter().any(|(role, _)| charter.kept.contains_key(role));
    let stays = plan.signed.is_empty() && !keeps && charter.next_root.is_none() && charter.retired_roots.is_empty();
    if stays && plan.root.is_none() {
        return Ok(None);
    }
    let root: Vec<u8> = if plan.root.is_some() {
        let answers = session.go_on(&[("select root from repository", Vec::new())]).await?;
        let row = answers.first().and_then(|rows| rows.first()).ok_or_else(|| missing("the repository"))?;
        column(row, 0)?
    } else {
        Vec::new()
    };
    settle::settle(Charter::clone(charter), plan, &root, root_grace_ends, now).map(Some)
}
