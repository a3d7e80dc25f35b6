//! Recording tasks.
//!
//! One call records any number of requests with the same few statements. All that they need to know is asked for at once;
//! then each is decided in its order, on what the ledger holds and what the requests before it have changed; then the
//! sum of their effects is written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio_postgres::Row;

use self::batch::Batch;
use super::{
    charter::{CHARTER, Current, Memory},
    key,
    read::column,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            Request, Visibility, Work,
            charter::Charter,
            staging::{self, Effect},
            stored::{ended, from_json, to_json},
        },
        postgres::{Call, Pool},
    },
    task::{Outcome, Progress, TaskId},
    tuf::name::{ArtifactPath, RoleName},
};

pub(super) mod batch;
pub(super) mod created;

/// The longest id of a task, in bytes: what an index takes is limited.
const TASK_ID_BYTES: usize = 512;

const RECORDED: &str = "select id, progress, finished_at,
         case when finished_at is null then array(
             select distinct name from staged join roles on roles.id = staged.role where staged.task_id = tasks.id order by name)
         else '{}' end
     from tasks where id = any($1)";

/// The number of the placement, whether an artifact waits for people to list it, the repository, if there is one, and whether
/// changes are held.
const REPOSITORY: &str = "select placement,
         exists (select 1 from staged where waits and task_id = '' and info is not null), repository.task_id, settings,
         exists (select 1 from held)
     from charter left join repository on true";

/// Whether a path is listed, as soon as all that was asked for is published: the youngest statement about it counts, and what is
/// held back is younger than what is staged. What other roles say of it, which it leaves, does not. And the role for which a change of it is
/// held back. The offset leaves the planner no other way than the index on the digest.
const PATHS: &str = "select coalesce(
         (select info is not null from held where held.digest = asked.digest),
         (select info is not null from (select sequence, role, info from staged where staged.digest = asked.digest offset 0) as all_of_it
             where role = (select id from roles where name = asked.role) order by sequence desc limit 1),
         exists (select 1 from artifacts
             where role = (select id from roles where name = asked.role) and artifacts.digest = asked.digest)),
     (select name from held join roles on roles.id = held.role where held.digest = asked.digest)
     from unnest($1::bytea[], $2::text[]) with ordinality as asked (digest, role, position) order by position";

const HELD: &str = "select name, count(*) from held join roles on roles.id = held.role group by name";

/// Records the tasks that are not known yet, in their order.
pub(super) async fn stage(
    pool: &Pool,
    memory: &Memory,
    requests: Vec<Request>,
    now: Timestamp,
) -> Result<Vec<(TaskId, Progress)>, StoreError> {
    let ids: Vec<_> = requests.iter().map(|request| request.task.as_str()).filter(|id| storable(id)).collect();
    let releases = requests.iter().any(|request| matches!(request.work, Work::Release));
    let creates = requests.iter().any(|request| matches!(request.work, Work::Create(_)));
    let recalled = memory.recall();
    let known = recalled.revision;
    let asked: Vec<(RoleName, ArtifactPath)> = asked(&requests, releases).into_iter().collect();
    let digests: Vec<_> = asked.iter().map(|(_, path)| key(path)).collect();
    let roles: Vec<_> = asked.iter().map(|(role, _)| role.as_str()).collect();
    let mut questions: Vec<Call<'_>> = vec![(RECORDED, vec![&ids]), (REPOSITORY, Vec::new())];
    if !asked.is_empty() {
        questions.push((PATHS, vec![&digests, &roles]));
    }
    if releases {
        questions.push((HELD, Vec::new()));
    }
    if creates {
        questions.push((CHARTER, vec![&known]));
    }
    let (session, answers) = pool.begin(&questions).await?;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_default();

    let mut told = BTreeMap::new();
    for row in next() {
        told.insert(TaskId::from_text(column::<String>(&row, 0)?), recorded(&row, now)?);
    }
    let mut batch = Batch::default();
    let repository = next();
    let repository = repository.first().ok_or_else(|| StoreError::Broken("the ledger lacks its charter".into()))?;
    let placement = column(repository, 0)?;
    batch.something_moves = column(repository, 1)?;
    if let (Some(task), Some(settings)) = (column::<Option<String>>(repository, 2)?, column(repository, 3)?) {
        batch.repository = Some((TaskId::from_text(task), from_json(settings)?));
    }
    batch.something_is_held = column(repository, 4)?;
    if !asked.is_empty() {
        for ((_, path), row) in asked.iter().zip(next()) {
            batch.paths.insert(path.clone(), (column(&row, 0)?, column(&row, 1)?));
        }
    }
    if releases {
        for row in next() {
            batch.held_roles.insert(column(&row, 0)?, column(&row, 1)?);
        }
    }
    if creates {
        batch.charter = Charter::clone(&Current::of(&next(), recalled)?.charter);
    }

    let mut results = Vec::with_capacity(requests.len());
    let mut tasks = NewTasks::default();
    for Request { task, accepted_at, work } in requests {
        let action = work.action();
        if let Some(progress) = told.get(&task) {
            results.push((task, progress.clone()));
            continue;
        }
        if !storable(task.as_str()) {
            let outcome = Outcome::refused(action, "the id of the task can't be recorded", now);
            results.push((task, Progress::Finished(outcome)));
            continue;
        }
        if let Err(lost) = staging::check_placement(&work, placement) {
            session.leave().await?;
            return Err(lost);
        }
        let record = staging::record(&batch, &task, work, now)?;
        match record.effect {
            Effect::Nothing => {}
            Effect::Create(new) => batch.create(&task, new),
            Effect::Change(Visibility::NextRound, changes) => batch.stage(&task, changes)?,
            Effect::Change(Visibility::Held, changes) => batch.hold(changes)?,
            Effect::Release => batch.release(&task),
            Effect::SetExpirations(days) => batch.set_expirations(days),
        }
        let finished_at = record.roles.is_empty().then(|| now.as_microsecond());
        tasks.push(&task, action, accepted_at, to_json(&record.progress)?, finished_at);
        let progress = match finished_at {
            Some(_) => record.progress,
            None => Progress::Running {
                roles_to_publish: record.roles.into_iter().collect(),
                missing: BTreeMap::new(),
                last_update: now,
            },
        };
        told.insert(task.clone(), progress.clone());
        results.push((task, progress));
    }
    if tasks.ids.is_empty() {
        session.leave().await?;
        return Ok(results);
    }
    let written = batch.written()?;
    let mut calls = written.calls();
    calls.push(tasks.call());
    session.finish(&calls).await?;
    Ok(results)
}

/// The paths of which the ledger must be asked: those that are to be removed; before a release all, since it matters what of them is held.
fn asked(requests: &[Request], releases: bool) -> BTreeSet<(RoleName, ArtifactPath)> {
    let mut asked = BTreeSet::new();
    for request in requests {
        match &request.work {
            Work::Remove { paths, .. } => asked.extend(paths.iter().filter_map(|(_, place)| place.clone())),
            Work::Add { artifacts, .. } if releases => {
                asked.extend(artifacts.iter().map(|(role, path, _)| (role.clone(), path.clone())));
            }
            _ => {}
        }
    }
    asked
}

/// Whether an id, which may come from another program, can be a key: PostgreSQL takes no NUL, and none is that of no task.
pub(super) fn storable(id: &str) -> bool {
    !id.is_empty() && id.len() <= TASK_ID_BYTES && !id.contains('\0')
}

/// How far a task is that is known already.
fn recorded(row: &Row, now: Timestamp) -> Result<Progress, StoreError> {
    match column(row, 2)? {
        Some(finished_at) => ended(column(row, 1)?, finished_at),
        None => Ok(Progress::Running { roles_to_publish: column(row, 3)?, missing: BTreeMap::new(), last_update: now }),
    }
}

/// The columns of new tasks.
#[derive(Default)]
struct NewTasks {
    ids: Vec<String>,
    actions: Vec<&'static str>,
    accepted_at: Vec<i64>,
    progress: Vec<String>,
    finished_at: Vec<Option<i64>>,
}

impl NewTasks {
    fn push(
        &mut self,
        task: &TaskId,
        action: &'static str,
        accepted_at: Timestamp,
        progress: String,
        finished_at: Option<i64>,
    ) {
        self.ids.push(task.as_str().to_owned());
        self.actions.push(action);
        self.accepted_at.push(accepted_at.as_microsecond());
        self.progress.push(progress);
        self.finished_at.push(finished_at);
    }

    fn call(&self) -> Call<'_> {
        let sql = "insert into tasks (id, action, accepted_at, progress, finished_at)
             select id, action, accepted_at, progress, finished_at
             from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
                 as new (id, action, accepted_at, progress, finished_at)";
        (sql, vec![&self.ids, &self.actions, &self.accepted_at, &self.progress, &self.finished_at])
    }
}

pub(super) async fn reported(pool: &Pool, tasks: &[TaskId]) -> Result<(), StoreError> {
    // Two workers may report the same tasks at once: rows are locked in one order, so neither waits for the other in a circle.
    let sql = "update tasks set reported = true
         where id in (select id from tasks where id = any($1) and not reported order by id for update)";
    let ids: Vec<_> = tasks.iter().map(TaskId::as_str).filter(|id| storable(id)).collect();
    pool.rows(sql, &[&ids]).await.map(|_| ())
}

pub(super) async fn report_again(pool: &Pool, since: Timestamp) -> Result<(), StoreError> {
    let sql = "update tasks set reported = false
         where id in (select id from tasks where finished_at >= $1 and reported order by id for update)";
    pool.rows(sql, &[&since.as_microsecond()]).await.map(|_| ())
}
