//! The settings in the shared database, each as a row with its JSON.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde_json::Value;

use crate::store::{StoreError, settings::Settings, shared::SharedDatabase, sqlite::Database};

/// [`Settings`] for one process.
#[derive(Debug, Clone)]
pub struct SqliteSettings(Database);

impl SqliteSettings {
    /// The settings in `database`.
    pub fn new(database: &SharedDatabase) -> Self {
        Self(database.0.clone())
    }
}

#[async_trait]
impl Settings for SqliteSettings {
    async fn all(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let rows: Vec<(String, String)> = self
            .0
            .call(|c| {
                let mut query = c.prepare_cached("select name, value from settings")?;
                query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            })
            .await?;
        rows.into_iter().map(|(name, text)| parse(&name, &text).map(|value| (name, value))).collect()
    }

    async fn get(&self, name: &str) -> Result<Value, StoreError> {
        let name = name.to_owned();
        self.0.try_call(move |c| current(c, &name)).await
    }

    async fn put(&self, fields: BTreeMap<String, Value>) -> Result<(), StoreError> {
        self.0
            .call(move |c| {
                let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
                for (name, value) in &fields {
                    write(&transaction, name, value)?;
                }
                transaction.commit()
            })
            .await
    }

    async fn swap(&self, name: &str, expected: &Value, new: Value) -> Result<bool, StoreError> {
        let (name, expected) = (name.to_owned(), expected.clone());
        self.0
            .try_call(move |c| {
                let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
                if current(&transaction, &name)? != expected {
                    return Ok(false);
                }
                write(&transaction, &name, &new)?;
                transaction.commit()?;
                Ok(true)
            })
            .await
    }
}

fn current(connection: &Connection, name: &str) -> Result<Value, StoreError> {
    let text: Option<String> = connection
        .prepare_cached("select value from settings where name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    text.map_or(Ok(Value::Null), |text| parse(name, &text))
}

fn write(connection: &Connection, name: &str, value: &Value) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "insert into settings (name, value) values (?1, ?2)
             on conflict (name) do update set value = excluded.value",
        )?
        .execute((name, value.to_string()))?;
    Ok(())
}

fn parse(name: &str, text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Broken(format!("the setting {name} is not json: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::contract;

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(|| {
            let home = tempfile::tempdir().expect("a directory");
            async move || SqliteSettings::new(&SharedDatabase::open(home.path().join("shared.db")).expect("opened"))
        })
        .await;
    }
}
