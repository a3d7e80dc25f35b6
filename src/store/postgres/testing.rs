//! Databases for tests: each case has one of its own.

use uuid::Uuid;

use super::{Options, migrate, pool};

/// The private server of the tests.
fn server() -> Options {
    let address = std::env::var("RSTUF_TEST_POSTGRES")
        .expect("RSTUF_TEST_POSTGRES is not set: run it through scripts/servers.sh");
    Options::parse(&address, None, None, None).expect("an address")
}

/// A new and empty database.
pub(crate) async fn database() -> Options {
    let server = server();
    let name = format!("rstuf_test_{}", Uuid::new_v4().simple());
    execute(&server, &format!("create database {name}")).await;
    server.database(&name)
}

/// A new database with the tables.
pub(crate) async fn migrated() -> Options {
    let options = database().await;
    migrate(&options).await.expect("migrated");
    options
}

/// Runs a statement, as somebody else would.
pub(crate) async fn execute(options: &Options, sql: &str) {
    let client = pool::connect(options).await.expect("connected");
    client.batch_execute(sql).await.expect("executed");
}
