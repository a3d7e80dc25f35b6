//! The settings in a hash of Redis, one field each, as the programs in Python keep them.
//!
//! Only the fields that are written are touched: nobody undoes what another one wrote beside them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::dynaconf::{decode, encode};
use crate::store::{StoreError, redis::Connection, settings::Settings};

/// The hash that the contract has.
pub const HASH: &str = "DYNACONF_MAIN";

/// How long it is remembered that a swap was done, in seconds: longer than it may take to ask for it again.
const REMEMBERED_SECONDS: u64 = 60;

/// Sets a field of a hash to `ARGV[3]` if it has the text `ARGV[4]`, or if there is none and it is absent. Asked for again
/// under the same key, which is remembered for `ARGV[2]` seconds, it tells what it did.
const SWAP: &str = "if redis.call('exists', KEYS[2]) == 1 then return 1 end
if redis.call('hget', KEYS[1], ARGV[1]) ~= (ARGV[4] or false) then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('set', KEYS[2], '', 'EX', ARGV[2])
return 1";

/// [`Settings`] for any number of processes.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    connection: Connection,
    hash: String,
}

impl RedisSettings {
    /// The settings in the hash of this name, which is [`HASH`] outside of tests.
    pub fn new(connection: Connection, hash: impl Into<String>) -> Self {
        Self { connection, hash: hash.into() }
    }

    async fn text(&self, name: &str) -> Result<Option<String>, StoreError> {
        let (text,): (Option<Vec<u8>>,) = self.connection.run(redis::pipe().hget(&self.hash, name)).await?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[async_trait]
impl Settings for RedisSettings {
    async fn all(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let (fields,): (BTreeMap<String, Vec<u8>>,) = self.connection.run(redis::pipe().hgetall(&self.hash)).await?;
        Ok(fields.into_iter().map(|(name, bytes)| (name, decode(&String::from_utf8_lossy(&bytes)))).collect())
    }

    async fn get(&self, name: &str) -> Result<Value, StoreError> {
        Ok(self.text(name).await?.map_or(Value::Null, |text| decode(&text)))
    }

    async fn put(&self, fields: BTreeMap<String, Value>) -> Result<(), StoreError> {
        if fields.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = fields.iter().map(|(name, value)| (name, encode(value))).collect();
        self.connection.run(redis::pipe().hset_multiple(&self.hash, &texts).ignore()).await
    }

    async fn swap(&self, name: &str, expected: &Value, new: Value) -> Result<bool, StoreError> {
        let done = format!("{}:swap:{}", self.hash, Uuid::new_v4().simple());
        loop {
            // One value has several texts: what is compared is the value, what is swapped is the text that had it.
            let there = self.text(name).await?;
            if there.as_deref().map_or(Value::Null, decode) != *expected {
                return Ok(false);
            }
            let mut commands = redis::pipe();
            commands.cmd("eval").arg(SWAP).arg(2).arg(&self.hash).arg(&done);
            commands.arg(name).arg(REMEMBERED_SECONDS).arg(encode(&new)).arg(there);
            let (swapped,): (bool,) = self.connection.run(&commands).await?;
            if swapped {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{redis::tests::server, settings::BOOTSTRAP, settings::contract};

    fn hash() -> String {
        format!("TEST_{}", Uuid::new_v4().simple())
    }

    fn open(hash: &str) -> RedisSettings {
        RedisSettings::new(server().connection(Some(1)).expect("lazy"), hash)
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(|| {
            let hash = hash();
            async move || open(&hash)
        })
        .await;
    }

    #[tokio::test]
    async fn what_python_wrote_is_read_and_other_fields_stay_as_they_are() {
        let recorded = include_str!("../../../tests/fixtures/redis/settings-signing.json");
        let recorded: BTreeMap<String, String> = serde_json::from_str(recorded).expect("a fixture");
        let hash = hash();
        let settings = open(&hash);
        let fields: Vec<_> = recorded.iter().collect();
        let _: () = settings.connection.run(redis::pipe().hset_multiple(&hash, &fields).ignore()).await.expect("set");

        let all = settings.all().await.expect("read");
        assert_eq!(all["TARGETS_EXPIRATION"], json!(365));
        assert_eq!(all["ROOT_SIGNING"]["signed"]["version"], json!(1));
        let lock = json!("signing-6fa1c0b0527844f9b8db0f32d4d31b50");
        assert!(settings.swap(BOOTSTRAP, &lock, Value::Null).await.expect("swapped"));
        settings.put(BTreeMap::from([("BINS_EXPIRATION".to_owned(), json!(7))])).await.expect("put");

        let (texts,): (BTreeMap<String, String>,) =
            settings.connection.run(redis::pipe().hgetall(&hash)).await.expect("read");
        let mut left = recorded;
        left.insert(BOOTSTRAP.into(), "@none ".into());
        left.insert("BINS_EXPIRATION".into(), "@int 7".into());
        assert_eq!(texts, left);
    }

    #[tokio::test]
    async fn a_swap_whose_answer_was_lost_is_recognised() {
        let hash = hash();
        let connection = server().connection(None).expect("lazy");
        let ask = async |nonce: &str, new: &str, expected: Option<&str>| {
            let mut commands = redis::pipe();
            commands.cmd("eval").arg(SWAP).arg(2).arg(&hash).arg(format!("{hash}:swap:{nonce}"));
            commands.arg(BOOTSTRAP).arg(REMEMBERED_SECONDS).arg(new).arg(expected);
            let (swapped,): (bool,) = connection.run(&commands).await.expect("asked");
            swapped
        };
        assert!(ask("one", "pre-1", None).await);
        assert!(ask("one", "pre-1", None).await, "the same swap");
        assert!(!ask("two", "pre-1", None).await, "another swap to the same value");
    }
}
