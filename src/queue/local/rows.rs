//! The tables of the queue: what is written and read for each step of a job's life.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, types::Type};

use super::Unwritten;
use crate::{
    queue::{Delivery, Tag},
    store::sqlite::Durability,
    task::TaskId,
};

/// Starts a transaction whose commit survives what `durability` says.
pub(super) fn begin(connection: &mut Connection, durability: Durability) -> rusqlite::Result<Transaction<'_>> {
    connection.pragma_update(None, "synchronous", durability.pragma())?;
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Writes jobs, and returns those that were not waiting already under the same task.
pub(super) fn insert(connection: &mut Connection, jobs: &[Unwritten]) -> rusqlite::Result<Vec<(Tag, u64)>> {
    let transaction = begin(connection, Durability::Full)?;
    let mut added = Vec::with_capacity(jobs.len());
    for job in jobs {
        let new = transaction
            .prepare_cached(
                "insert into jobs (task_id, body, accepted_at) values (?1, ?2, ?3) on conflict (task_id) do nothing",
            )?
            .execute((job.id.as_str(), &job.body, job.accepted_at.to_string()))?;
        if new == 1 {
            added.push((Tag(transaction.last_insert_rowid()), job.bytes()));
        }
    }
    transaction.commit()?;
    Ok(added)
}

/// Reads jobs and counts that they were handed out, so that one that ends its worker each time can be told.
pub(super) fn hand_out(connection: &mut Connection, tags: &[Tag]) -> rusqlite::Result<Vec<Delivery>> {
    let transaction = begin(connection, Durability::Normal)?;
    let mut deliveries = Vec::with_capacity(tags.len());
    for tag in tags {
        let delivery = transaction
            .prepare_cached(
                "update jobs set attempts = attempts + 1 where tag = ?1
                 returning task_id, body, accepted_at, attempts - 1 as attempts_before",
            )?
            .query_row([tag.0], |row| read(*tag, row))?;
        deliveries.push(delivery);
    }
    transaction.commit()?;
    Ok(deliveries)
}

fn read(tag: Tag, row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let body: String = row.get("body")?;
    let accepted_at: String = row.get("accepted_at")?;
    let accepted_at = accepted_at
        .parse()
        .map_err(|e: jiff::Error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?;
    Ok(Delivery {
        tag,
        id: TaskId::from_text(row.get::<_, String>("task_id")?),
        job: serde_json::from_str(&body).map_err(|e| e.to_string()),
        accepted_at,
        attempts: row.get("attempts_before")?,
    })
}

/// Forgets a job.
pub(super) fn delete(transaction: &Transaction<'_>, tag: Tag) -> rusqlite::Result<()> {
    transaction.prepare_cached("delete from jobs where tag = ?1")?.execute([tag.0])?;
    Ok(())
}

/// Copies a job to the dead letters.
pub(super) fn put_aside(transaction: &Transaction<'_>, tag: Tag, now: Timestamp, reason: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "insert into dead_letters (tag, task_id, body, accepted_at, attempts, rejected_at, reason)
             select tag, task_id, body, accepted_at, attempts, ?2, ?3 from jobs where tag = ?1",
        )?
        .execute((tag.0, now.to_string(), reason))?;
    Ok(())
}
