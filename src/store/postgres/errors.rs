//! What an error of the server means for the caller.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;

const STORE: &str = "postgresql";

/// What went wrong, by what can be done about it.
///
/// What has to do with the connection, the server's state, its resources, its locks or its configuration may be
/// better later. What is left contradicts what this program knows of its own tables.
pub(crate) fn failed(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(said) => told(said),
        None => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            unavailable(format!("{error}{cause}"))
        }
    }
}

pub(super) fn unavailable(cause: impl std::fmt::Display) -> StoreError {
    StoreError::unavailable(STORE, cause)
}

/// A column that does not hold what the schema says.
pub(crate) fn unreadable(error: tokio_postgres::Error) -> StoreError {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    StoreError::Broken(format!("the ledger holds a value of another type: {error}{cause}"))
}

fn told(said: &DbError) -> StoreError {
    // The detail of an error may quote rows; its message does not.
    let cause = format!("{} ({})", said.message(), said.code().code());
    let code = said.code();
    if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME {
        return unavailable(format!("{cause}: run `rstufd migrate`"));
    }
    // Each with what it is about: see the appendix on error codes of the server's manual.
    let passes = match &code.code()[..2] {
        "08" | "53" | "57" | "58" | "40" | "28" => true,
        _ => {
            *code == SqlState::LOCK_NOT_AVAILABLE
                || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                || *code == SqlState::IN_FAILED_SQL_TRANSACTION
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                || *code == SqlState::INVALID_CATALOG_NAME
                || *code == SqlState::INSUFFICIENT_PRIVILEGE
                || *code == SqlState::OBJECT_IN_USE
        }
    };
    if passes { unavailable(cause) } else { StoreError::Broken(format!("{STORE}: {cause}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::{Pool, testing};

    async fn said(sql: &str) -> StoreError {
        let pool = Pool::new(&testing::migrated().await);
        let error = pool.rows(sql, &[]).await.expect_err("it fails");
        // The connection is fit for the next question.
        pool.rows("select 1", &[]).await.expect("answered");
        error
    }

    #[actix::test]
    async fn what_may_be_better_later_is_unavailable_and_what_contradicts_itself_is_broken() {
        let missing = said("select 1 from nowhere").await.to_string();
        assert!(missing.contains("rstufd migrate"), "{missing}");
        for code in ["53100", "53300", "57014", "40001", "40P01", "55P03", "25006", "58030", "08006"] {
            let sql = "do $$ begin raise exception 'said' using errcode = 'CODE'; end $$".replace("CODE", code);
            let error = said(&sql).await;
            assert!(matches!(&error, StoreError::Unavailable { cause, .. } if cause.contains(code)), "{error}");
        }
        for sql in ["select 1 / 0", "select nothing from roles", "insert into roles (name) values (null)"] {
            assert!(matches!(said(sql).await, StoreError::Broken(_)), "{sql}");
        }
    }
}
