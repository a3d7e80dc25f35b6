//! Tasks that end with an amendment, because what they waited for is gone.

use jiff::Timestamp;

use super::read::column;
use crate::{
    store::{
        StoreError,
        ledger::{
            awaited,
            charter::Charter,
            settle,
            stored::{role, to_json},
        },
        postgres::{Call, Session},
    },
    task::{Outcome, Progress, TaskId},
};

const ACTIONS: &str = "select id, action from tasks where id = any($1) and finished_at is null";

/// The tasks whose changes are of these roles still.
const STAGED: &str = "select distinct task_id, action, name from roles join staged on staged.role = roles.id
     join tasks on tasks.id = staged.task_id where roles.name = any($1) and finished_at is null";

const END: &str = "update tasks set progress = new.progress, finished_at = $3
     from unnest($1::text[], $2::text[]) as new (id, progress) where tasks.id = new.id";

const UNSTAGE: &str = "delete from staged where role in (select id from roles where name = any($1))";

const UNHOLD: &str = "delete from held where role in (select id from roles where name = any($1))";

/// How tasks end, and the roles that were deleted with all that waited for them, as columns.
#[derive(Default)]
pub(super) struct InVain {
    tasks: Vec<String>,
    progress: Vec<String>,
    now: i64,
    deleted: Vec<String>,
}

impl InVain {
    /// Looks up what ends with the amendment that makes `after` of the charter `before`. What moves elsewhere has moved.
    pub(super) async fn read(
        session: &mut Session,
        (before, after): (&Charter, &Charter),
        asked: Option<&TaskId>,
        cause: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let withdrawn = awaited::in_vain(before, after, asked, cause);
        let deleted: Vec<_> = settle::deleted(before, after).map(ToString::to_string).collect();
        let mut vain = Self { now: now.as_microsecond(), deleted, ..Self::default() };
        if withdrawn.is_empty() && vain.deleted.is_empty() {
            return Ok(vain);
        }
        let ids: Vec<_> = withdrawn.iter().map(|(task, _)| task.as_str()).collect();
        let answers = session.go_on(&[(ACTIONS, vec![&ids]), (STAGED, vec![&vain.deleted])]).await?;
        let [actions, staged] = answers.as_slice() else {
            return Err(StoreError::Broken("an answer is missing".into()));
        };
        for row in actions {
            let id: &str = column(row, 0)?;
            if let Some((_, why)) = withdrawn.iter().find(|(task, _)| task.as_str() == id) {
                vain.push(id, column(row, 1)?, why.clone(), now)?;
            }
        }
        for row in staged {
            let why = awaited::without_place(&role(column(row, 2)?)?, asked);
            vain.push(column(row, 0)?, column(row, 1)?, why, now)?;
        }
        Ok(vain)
    }

    fn push(&mut self, id: &str, action: &str, why: String, now: Timestamp) -> Result<(), StoreError> {
        if !self.tasks.iter().any(|task| task == id) {
            self.tasks.push(id.to_owned());
            self.progress.push(to_json(&Progress::Finished(Outcome::refused(action, why, now)))?);
        }
        Ok(())
    }

    pub(super) fn calls<'a>(&'a self, calls: &mut Vec<Call<'a>>) {
        if !self.tasks.is_empty() {
            calls.push((END, vec![&self.tasks, &self.progress, &self.now]));
        }
        if !self.deleted.is_empty() {
            calls.push((UNSTAGE, vec![&self.deleted]));
            calls.push((UNHOLD, vec![&self.deleted]));
        }
    }
}
