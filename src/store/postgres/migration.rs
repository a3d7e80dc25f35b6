//! Bringing the schema up to date.

use std::error::Error as _;

use refinery::error::Kind;
use tokio_postgres::Client;

use super::{
    Options, VERSION,
    errors::{failed, unavailable, unreadable},
    pool,
};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Of two that migrate at once one waits for the other, though not for ever. The lock ends with the connection.
const LOCK: &str = "set lock_timeout = '60s'; select pg_advisory_lock(7310577365299852647); set lock_timeout = 0";

/// Applies the migrations that the database lacks, each in a transaction of its own, and returns their names. Of a database
/// whose schema is newer than this program nothing is changed.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server is away or refuses; [`StoreError::Broken`] when the schema is of another build.
pub async fn migrate(options: &Options) -> Result<Vec<String>, StoreError> {
    let mut client = pool::connect(options).await?;
    client.batch_execute(LOCK).await.map_err(failed)?;
    let version = version(&client).await?;
    if version > VERSION {
        tracing::warn!(version, known = VERSION, "the schema is newer than this program, nothing was changed");
        return Ok(Vec::new());
    }
    // To ask first allows a user who owns the schema and may not make others.
    let missing = client.query_one("select to_regnamespace('rstuf') is null", &[]).await.map_err(failed)?;
    if missing.try_get(0).map_err(unreadable)? {
        client.batch_execute("create schema rstuf").await.map_err(failed)?;
    }
    client.batch_execute("set search_path = rstuf").await.map_err(failed)?;
    let report = embedded::migrations::runner().run_async::<Client>(&mut client).await.map_err(refused)?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// The version of the schema, 0 for none.
async fn version(client: &Client) -> Result<i32, StoreError> {
    let there = client.query_one("select to_regclass('rstuf.schema') is not null", &[]).await.map_err(failed)?;
    if !there.try_get::<_, bool>(0).map_err(unreadable)? {
        return Ok(0);
    }
    let row = client.query_one("select coalesce(max(version), 0) from rstuf.schema", &[]).await.map_err(failed)?;
    row.try_get(0).map_err(unreadable)
}

fn refused(error: refinery::Error) -> StoreError {
    match error.kind() {
        Kind::Connection(what, cause) => match cause.downcast_ref::<tokio_postgres::Error>() {
            Some(cause) => {
                let said = cause.source().map(ToString::to_string).unwrap_or_default();
                unavailable(format!("{what}: {cause}: {said}"))
            }
            None => unavailable(format!("{what}: {cause}")),
        },
        Kind::DivergentVersion(applied, _) => StoreError::Broken(format!(
            "the schema has another {applied} than this program: it belongs to a different build"
        )),
        other => StoreError::Broken(format!("can't bring the schema up to date: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::{check_schema, testing};

    #[test]
    fn the_version_is_that_of_the_last_migration() {
        let last = embedded::migrations::runner().get_migrations().iter().map(|m| m.version()).max();
        assert_eq!(last.map(|last| last.to_string()), Some(VERSION.to_string()));
    }

    #[actix::test]
    async fn two_that_migrate_at_once_apply_everything_once() {
        let options = testing::database().await;
        assert!(
            matches!(check_schema(&options).await, Err(StoreError::Unavailable { cause, .. }) if cause.contains("migrate"))
        );
        let (one, other) = tokio::join!(migrate(&options), migrate(&options));
        let mut applied = one.expect("migrated");
        applied.extend(other.expect("migrated"));
        assert_eq!(applied, ["V1__ledger", "V2__charter"]);
        check_schema(&options).await.expect("it is the right one");
        assert_eq!(migrate(&options).await.expect("migrated"), [] as [String; 0]);
    }

    #[actix::test]
    async fn what_this_program_does_not_know_is_refused_or_left_alone() {
        let options = testing::database().await;
        migrate(&options).await.expect("migrated");
        let set = |sql: &'static str| testing::execute(&options, sql);
        set("update rstuf.schema set version = 0").await;
        assert!(
            matches!(check_schema(&options).await, Err(StoreError::Unavailable { cause, .. }) if cause.contains("migrate"))
        );
        set("update rstuf.schema set version = 7, oldest = 1").await;
        check_schema(&options).await.expect("it was only expanded");
        assert_eq!(migrate(&options).await.expect("nothing to do"), [] as [String; 0]);
        set("update rstuf.schema set oldest = 7").await;
        assert!(matches!(check_schema(&options).await, Err(StoreError::Broken(_))));
        assert_eq!(migrate(&options).await.expect("nothing to do"), [] as [String; 0]);
    }
}
