//! Which schema this program works on.
//!
//! A schema says its version and the oldest version of a program's schema that may still work on it. So programs of two
//! versions run side by side while a fleet is brought up to date: see `migrations/README.md`.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::timeout;

use super::{
    Options,
    errors::{failed, unavailable, unreadable},
    pool,
};
use crate::store::StoreError;

/// The version of the schema that this program knows: that of the last migration.
pub const VERSION: i32 = 2;

/// How long the look at it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks whether this program may work on the database.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server is away, or the schema is missing or older: `rstufd migrate` brings it up to
/// date. [`StoreError::Broken`] when the schema is of a newer program with which this one can't work.
pub async fn check_schema(options: &Options) -> Result<(), StoreError> {
    let client = pool::connect(options).await?;
    timeout(LIMIT, check(&client)).await.map_err(|_| unavailable(format!("no answer within {LIMIT:?}")))?
}

pub(super) async fn check(client: &ClientWrapper) -> Result<(), StoreError> {
    let row = client.query_opt("select version, oldest from rstuf.schema", &[]).await.map_err(failed)?;
    let Some(row) = row else {
        return Err(StoreError::Broken("the table rstuf.schema is empty: this is no ledger".into()));
    };
    let version: i32 = row.try_get(0).map_err(unreadable)?;
    let oldest: i32 = row.try_get(1).map_err(unreadable)?;
    if version < VERSION {
        return Err(unavailable(format!(
            "the schema of the database has version {version}, this program needs {VERSION}: run `rstufd migrate`"
        )));
    }
    if oldest > VERSION {
        return Err(StoreError::Broken(format!(
            "the schema of the database has version {version} and takes programs from version {oldest} on, this one knows {VERSION}: run a newer version of this program"
        )));
    }
    Ok(())
}
