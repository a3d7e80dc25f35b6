//! The progress of tasks in the shared database.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, TransactionBehavior};

use crate::{
    clock::Clock,
    store::{StoreError, results::Results, shared::SharedDatabase, sqlite::Database},
    task::{Progress, TaskId},
};

/// Expired tasks that a write removes beside as many as it adds: so none stay for ever, and never many go at once.
const PRUNED_PER_WRITE: i64 = 1000;

/// [`Results`] for one process.
#[derive(Debug, Clone)]
pub struct SqliteResults {
    database: Database,
    clock: Clock,
    expiry_millis: i64,
}

impl SqliteResults {
    /// The results in `database`; a task is forgotten when it has been finished for `expiry`.
    pub fn new(database: &SharedDatabase, clock: Clock, expiry: Duration) -> Self {
        let expiry_millis = i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX);
        Self { database: database.0.clone(), clock, expiry_millis }
    }

    fn now_millis(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

#[async_trait]
impl Results for SqliteResults {
    async fn put(&self, reports: Vec<(TaskId, Progress)>) -> Result<(), StoreError> {
        let now = self.now_millis();
        let expires_at = now.saturating_add(self.expiry_millis);
        let mut rows = Vec::with_capacity(reports.len());
        for (id, progress) in reports {
            let text = serde_json::to_string(&progress).map_err(|e| StoreError::Broken(format!("task {id}: {e}")))?;
            rows.push((id, text, progress.ended().then_some(expires_at)));
        }
        let pruned = PRUNED_PER_WRITE.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        self.database
            .call(move |c| {
                let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction
                    .prepare_cached(
                        "delete from results where task_id in
                         (select task_id from results where expires_at <= ?1 order by expires_at limit ?2)",
                    )?
                    .execute((now, pruned))?;
                for (id, text, expires_at) in rows {
                    transaction
                        .prepare_cached(
                            "insert into results (task_id, progress, expires_at) values (?1, ?2, ?3)
                             on conflict (task_id) do update
                             set progress = excluded.progress, expires_at = excluded.expires_at
                             where excluded.expires_at is not null or results.expires_at is null or results.expires_at <= ?4",
                        )?
                        .execute((id.as_str(), text, expires_at, now))?;
                }
                transaction.commit()
            })
            .await
    }

    async fn get(&self, id: &TaskId) -> Result<Option<Progress>, StoreError> {
        let (id, now) = (id.clone(), self.now_millis());
        self.database
            .try_call(move |c| {
                let text: Option<String> = c
                    .prepare_cached(
                        "select progress from results
                         where task_id = ?1 and (expires_at is null or expires_at > ?2)",
                    )?
                    .query_row((id.as_str(), now), |row| row.get(0))
                    .optional()?;
                text.map(|text| serde_json::from_str(&text))
                    .transpose()
                    .map_err(|e| StoreError::Broken(format!("the result of task {id} can't be read: {e}")))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::results::{DEFAULT_EXPIRY, contract};
    use jiff::{SignedDuration, Timestamp};

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(|| {
            let home = tempfile::tempdir().expect("a directory");
            async move || {
                let database = SharedDatabase::open(home.path().join("shared.db")).expect("opened");
                SqliteResults::new(&database, Clock::system(), DEFAULT_EXPIRY)
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_finished_task_is_forgotten_after_its_time_and_a_running_one_is_not() {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let database = SharedDatabase::open(home.path().join("shared.db")).expect("opened");
        let results = SqliteResults::new(&database, clock.clone(), Duration::from_secs(60));
        let [done, revoked, running] = ["done", "revoked", "running"].map(TaskId::from_text);
        let reports = vec![
            (done.clone(), Progress::Failed { message: "no".into() }),
            (revoked.clone(), Progress::Revoked),
            (
                running.clone(),
                Progress::Running { roles_to_publish: vec![], missing: [].into(), last_update: clock.now() },
            ),
        ];
        results.put(reports).await.expect("put");

        clock.advance(SignedDuration::from_secs(59));
        assert!(results.get(&done).await.expect("read").is_some());
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(results.get(&done).await.expect("read"), None);
        assert_eq!(results.get(&revoked).await.expect("read"), None);
        assert!(results.get(&running).await.expect("read").is_some());

        results.put(vec![(TaskId::from_text("next"), Progress::Revoked)]).await.expect("put");
        let rows: i64 =
            database.0.call(|c| c.query_one("select count(*) from results", [], |r| r.get(0))).await.expect("read");
        assert_eq!(rows, 2, "a write removes what has expired");
    }
}
