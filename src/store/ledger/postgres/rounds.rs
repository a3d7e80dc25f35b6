//! The two transactions of a round, and a task that no round can take.

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::commit::{CHANGE_CHARTER, MAKE_DUE};
use super::{
    charter::{CHARTER, Current, Memory},
    read::column,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            charter::Charter,
            settle,
            stored::{self, to_json},
        },
        postgres::{Call, Pool},
    },
    task::{Outcome, Progress, TaskId},
    tuf::name::RoleName,
};

pub(super) mod commit;
pub(super) mod plan;
mod signed;

const YOUNGEST: &str = "select staged.task_id, action from staged join tasks on tasks.id = staged.task_id
     where role = (select id from roles where name = $1) and sequence <= $2 order by sequence desc limit 1";

/// Where changes of the task wait, with the first of them.
const WAITING: &str = "select name, min(sequence) from staged join roles on roles.id = staged.role
     where task_id = $1 and staged.waits group by name";

const DROP_CHANGES: &str = "delete from staged where task_id = $1";

const REFUSE: &str = "update tasks set progress = $2, finished_at = $3 where id = $1";

const VOID_PLANS: &str = "update publisher set void_through = (select coalesce(max(id), 0) from publications)";

pub(super) async fn refuse(
    pool: &Pool,
    memory: &Memory,
    role: &RoleName,
    through: i64,
    reason: String,
    now: Timestamp,
) -> Result<Option<TaskId>, StoreError> {
    let name = role.as_str();
    let recalled = memory.recall();
    let known = recalled.revision;
    let questions: [Call<'_>; 2] = [(YOUNGEST, vec![&name, &through]), (CHARTER, vec![&known])];
    let (mut session, answers) = pool.begin(&questions).await?;
    let [youngest, current] = answers.as_slice() else { return Err(missing("an answer")) };
    let Some(row) = youngest.first() else {
        session.leave().await?;
        return Ok(None);
    };
    let (task, action): (String, String) = (column(row, 0)?, column(row, 1)?);
    let progress = to_json(&Progress::Finished(Outcome::refused(&action, reason, now)))?;
    let mut losers = BTreeMap::new();
    for row in session.go_on(&[(WAITING, vec![&task])]).await?.iter().flatten() {
        losers.insert(stored::role(column(row, 0)?)?, column(row, 1)?);
    }
    let mut charter = Charter::clone(&Current::of(current, recalled)?.charter);
    let stale: Vec<_> = settle::drop_stale(&mut charter, &losers).into_iter().map(String::from).collect();
    let charter = to_json(&charter)?;
    let at = now.as_microsecond();
    let mut calls: Vec<Call<'_>> =
        vec![(DROP_CHANGES, vec![&task]), (REFUSE, vec![&task, &progress, &at]), (VOID_PLANS, Vec::new())];
    if !stale.is_empty() {
        calls.push((MAKE_DUE, vec![&stale]));
        calls.push((CHANGE_CHARTER, vec![&charter]));
    }
    session.finish(&calls).await?;
    Ok(Some(TaskId::from_text(task)))
}

fn missing(what: &str) -> StoreError {
    StoreError::Broken(format!("the ledger lacks {what}"))
}
