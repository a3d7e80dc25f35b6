//! The rows of the floor, in SQLite or PostgreSQL: the three transactions in which a service can't help to write them.

use std::path::Path;

use anyhow::{Context, anyhow};
use futures_util::future::{try_join_all, try_join3};
use rusqlite::{Connection, params};
use tokio_postgres::{Client, NoTls, Statement, types::ToSql};

/// One request: its task, and its artifacts.
#[derive(Debug)]
pub struct Request {
    /// The id of its task.
    pub task: String,
    /// Its artifacts.
    pub artifacts: Vec<Row>,
}

/// An artifact as a row.
#[derive(Debug)]
pub struct Row {
    /// The number of its bin.
    pub bin: usize,
    /// Its path.
    pub path: String,
    /// Its target information.
    pub info: String,
}

/// The versions of a round.
#[derive(Debug)]
pub struct Versions {
    /// Of each bin that changes.
    pub bins: Vec<(i64, i64)>,
    /// Of snapshot and timestamp.
    pub version: i64,
}

const TABLES: &str = "
create table tasks (id text primary key, state text not null);
create table staged (sequence bigint primary key, task text not null, bin bigint not null, path text not null, info text not null);
create table artifacts (bin bigint not null, path text not null, info text not null, primary key (bin, path));
create table roles (id bigint primary key, given_out bigint not null, version bigint not null);
create table publications (id bigint primary key, base bigint not null, committed bigint);
create table head (id bigint primary key, version bigint not null, timestamp text not null);
insert into head (id, version, timestamp) values (1, 1, '');
";

/// A database with tables of its own.
pub enum Rows {
    /// In a file.
    Sqlite(Connection),
    /// In a schema with a random name.
    Postgres {
        /// The connection.
        client: Client,
        /// The schema.
        schema: String,
        /// The statements of the three transactions.
        statements: Box<Statements>,
    },
}

/// The statements for PostgreSQL, which knows them already.
pub struct Statements {
    stage: [Statement; 2],
    plan: [Statement; 2],
    commit: [Statement; 6],
}

const STAGE: [&str; 2] = [
    "insert into tasks (id, state) select id, 'staged' from unnest($1::text[]) as t (id)",
    "insert into staged (sequence, task, bin, path, info) select sequence, task, bin, path, info from
        unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) as t (sequence, task, bin, path, info)",
];

const PLAN: [&str; 2] = [
    "insert into roles (id, given_out, version)
        select id, given_out, 0 from unnest($1::bigint[], $2::bigint[]) as t (id, given_out)
        on conflict (id) do update set given_out = excluded.given_out",
    "insert into publications (id, base) values ($1::bigint, $1::bigint - 1)",
];

const COMMIT: [&str; 6] = [
    "insert into artifacts (bin, path, info)
        select bin, path, info from unnest($1::bigint[], $2::text[], $3::text[]) as t (bin, path, info)",
    "delete from staged where sequence <= $1",
    "update roles set version = t.version
        from unnest($1::bigint[], $2::bigint[]) as t (id, version) where roles.id = t.id",
    "update tasks set state = 'done' where id = any($1)",
    "update publications set committed = 1 where id = $1",
    "update head set version = $1, timestamp = $2 where id = 1",
];

impl Rows {
    /// Tables in a new file in `directory`; commits wait for the disk.
    ///
    /// # Errors
    /// Those of the database.
    pub fn sqlite(directory: &Path) -> anyhow::Result<Self> {
        let database = Connection::open(directory.join("floor.db"))?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.execute_batch(TABLES)?;
        Ok(Self::Sqlite(database))
    }

    /// Tables in a new schema of the database at `url`, without TLS.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn postgres(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("can't connect to --db")?;
        // It ends with the client; what went wrong is told to whoever uses that.
        tokio::spawn(connection);
        let schema = format!("rstuf_floor_{:016x}", fastrand::u64(..));
        let sql = format!("create schema {schema}; set search_path to {schema}; {TABLES}");
        client.batch_execute(&sql).await.context("can't make the tables")?;
        let statements = Statements {
            stage: known(&client, STAGE).await?,
            plan: known(&client, PLAN).await?,
            commit: known(&client, COMMIT).await?,
        };
        Ok(Self::Postgres { client, schema, statements: Box::new(statements) })
    }

    /// The first transaction, by which the requests are recorded.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn stage(&mut self, first: i64, requests: &[Request]) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(database) => {
                let transaction = database.transaction()?;
                {
                    let mut task = transaction.prepare_cached("insert into tasks (id, state) values (?1, 'staged')")?;
                    let sql = "insert into staged (sequence, task, bin, path, info) values (?1, ?2, ?3, ?4, ?5)";
                    let mut staged = transaction.prepare_cached(sql)?;
                    let mut sequence = first;
                    for request in requests {
                        task.execute([&request.task])?;
                        for row in &request.artifacts {
                            staged.execute(params![sequence, request.task, number(row.bin), row.path, row.info])?;
                            sequence += 1;
                        }
                    }
                }
                Ok(transaction.commit()?)
            }
            Self::Postgres { client, statements, .. } => {
                let tasks: Vec<_> = requests.iter().map(|request| request.task.as_str()).collect();
                let rows = || {
                    requests.iter().flat_map(|request| request.artifacts.iter().map(|row| (request.task.as_str(), row)))
                };
                let sequences: Vec<_> = (first..).take(rows().count()).collect();
                let of_tasks: Vec<_> = rows().map(|(task, _)| task).collect();
                let (bins, paths, infos) = columns(rows().map(|(_, row)| row));
                let values: [Values<'_>; 2] = [&[&tasks], &[&sequences, &of_tasks, &bins, &paths, &infos]];
                at_once(client, &statements.stage, &values).await
            }
        }
    }

    /// The second transaction, by which versions are given out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn plan(&mut self, versions: &Versions) -> anyhow::Result<()> {
        let Versions { bins, version } = versions;
        match self {
            Self::Sqlite(database) => {
                let transaction = database.transaction()?;
                {
                    let sql = "insert into roles (id, given_out, version) values (?1, ?2, 0)
                        on conflict (id) do update set given_out = excluded.given_out";
                    let mut role = transaction.prepare_cached(sql)?;
                    for (bin, version) in bins {
                        role.execute(params![bin, version])?;
                    }
                    let sql = "insert into publications (id, base) values (?1, ?1 - 1)";
                    transaction.prepare_cached(sql)?.execute([version])?;
                }
                Ok(transaction.commit()?)
            }
            Self::Postgres { client, statements, .. } => {
                let (ids, given): (Vec<_>, Vec<_>) = bins.iter().copied().unzip();
                let values: [Values<'_>; 2] = [&[&ids, &given], &[version]];
                at_once(client, &statements.plan, &values).await
            }
        }
    }

    /// The third transaction, by which the round has happened.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn commit(
        &mut self,
        versions: &Versions,
        requests: &[Request],
        through: i64,
        timestamp: &str,
    ) -> anyhow::Result<()> {
        let Versions { bins, version } = versions;
        match self {
            Self::Sqlite(database) => {
                let transaction = database.transaction()?;
                {
                    let sql = "insert into artifacts (bin, path, info) values (?1, ?2, ?3)";
                    let mut artifact = transaction.prepare_cached(sql)?;
                    for row in requests.iter().flat_map(|request| &request.artifacts) {
                        artifact.execute(params![number(row.bin), row.path, row.info])?;
                    }
                    transaction.prepare_cached("delete from staged where sequence <= ?1")?.execute([through])?;
                    let mut role = transaction.prepare_cached("update roles set version = ?2 where id = ?1")?;
                    for (bin, version) in bins {
                        role.execute(params![bin, version])?;
                    }
                    let mut task = transaction.prepare_cached("update tasks set state = 'done' where id = ?1")?;
                    for request in requests {
                        task.execute([&request.task])?;
                    }
                    let sql = "update publications set committed = 1 where id = ?1";
                    transaction.prepare_cached(sql)?.execute([version])?;
                    let sql = "update head set version = ?1, timestamp = ?2 where id = 1";
                    transaction.prepare_cached(sql)?.execute(params![version, timestamp])?;
                }
                Ok(transaction.commit()?)
            }
            Self::Postgres { client, statements, .. } => {
                let (numbers, paths, infos) = columns(requests.iter().flat_map(|request| &request.artifacts));
                let (ids, new): (Vec<_>, Vec<_>) = bins.iter().copied().unzip();
                let tasks: Vec<_> = requests.iter().map(|request| request.task.as_str()).collect();
                let values: [Values<'_>; 6] = [
                    &[&numbers, &paths, &infos],
                    &[&through],
                    &[&ids, &new],
                    &[&tasks],
                    &[version],
                    &[version, &timestamp],
                ];
                at_once(client, &statements.commit, &values).await
            }
        }
    }

    /// How many artifacts are stored.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn stored(&self) -> anyhow::Result<i64> {
        let sql = "select count(*) from artifacts";
        Ok(match self {
            Self::Sqlite(database) => database.query_row(sql, [], |row| row.get(0))?,
            Self::Postgres { client, .. } => client.query_one(sql, &[]).await?.get(0),
        })
    }

    /// Removes the tables from a shared database; a file is left to whoever made its directory.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn drop_tables(self) -> anyhow::Result<()> {
        if let Self::Postgres { client, schema, .. } = self {
            client.batch_execute(&format!("drop schema {schema} cascade")).await?;
        }
        Ok(())
    }
}

/// The parameters of a statement.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A transaction in one round trip.
async fn at_once(client: &Client, statements: &[Statement], values: &[Values<'_>]) -> anyhow::Result<()> {
    let writes =
        try_join_all(statements.iter().zip(values).map(|(statement, values)| client.execute(statement, values)));
    // They are polled, and so sent, in this order.
    try_join3(client.batch_execute("begin"), writes, client.batch_execute("commit")).await?;
    Ok(())
}

async fn known<const N: usize>(client: &Client, sql: [&str; N]) -> anyhow::Result<[Statement; N]> {
    let statements = try_join_all(sql.iter().map(|sql| client.prepare(sql))).await?;
    statements.try_into().map_err(|_| anyhow!("a statement is missing"))
}

fn number(bin: usize) -> i64 {
    i64::try_from(bin).unwrap_or(i64::MAX)
}

fn columns<'a>(rows: impl Iterator<Item = &'a Row>) -> (Vec<i64>, Vec<&'a str>, Vec<&'a str>) {
    let (mut bins, mut paths, mut infos) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        bins.push(number(row.bin));
        paths.push(row.path.as_str());
        infos.push(row.info.as_str());
    }
    (bins, paths, infos)
}
