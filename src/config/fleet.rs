//! The settings that the programs of a fleet share.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Setting, address,
    names::{Alias, Meaningless, Standing},
    reader::Reader,
    secret, setting, standalone,
};
use crate::{
    fleet::{BrokerOptions, Shared},
    queue::amqp::{AmqpOptions, QueueKind},
    store::redis::Server,
};

pub(super) const BROKER_SERVER: Setting = address(
    "broker_server",
    "RabbitMQ, as amqp://user:password@host:5672/vhost or amqps://, or Redis, as redis:// or rediss://",
);
pub(super) const BROKER_QUEUE_TYPE: Setting = setting(
    "broker_queue_type",
    "classic",
    "queues that are declared at RabbitMQ: classic or quorum (replicated in its cluster)",
);
pub(super) const REDIS_SERVER: Setting =
    address("redis_server", "Redis with settings and results, as redis://user:password@host:6379 or rediss://");
pub(super) const REDIS_SERVER_PORT: Setting =
    setting("redis_server_port", "6379", "port of Redis where its URL has none");
pub(super) const REDIS_SERVER_DB_RESULT: Setting =
    setting("redis_server_db_result", "0", "number of the database with the results of tasks");
pub(super) const REDIS_SERVER_DB_REPO_SETTINGS: Setting =
    setting("redis_server_db_repo_settings", "1", "number of the database with the settings of the repository");
pub(super) const CA_FILE: Setting =
    setting("ca_file", "", "certificates (PEM) to trust beside those of the system, for all connections with TLS");
pub(super) const METRICS_LISTEN: Setting =
    setting("metrics_listen", "", "address and port of /metrics, /livez and /readyz, as 127.0.0.1:9090; empty: none");
pub(super) const RESULT_EXPIRY_SECONDS: Setting =
    setting("result_expiry_seconds", "86400", "how long the result of a finished task can be read");
pub(super) const LOG_LEVEL: Setting =
    setting("log_level", "info", "level, or levels by module: info,rstuf::http=debug");
pub(super) const LOG_FORMAT: Setting = setting("log_format", "text", "text or json");
pub(super) const DB_PASSWORD: Setting =
    secret("db_password", "password of the user of the database, or a path below /run/secrets to a file with it");

pub(super) const ALIASES_OF_API: [Alias; 1] = [Standing::of("disabled_endpoints", "disable_endpoints", Standing::Good)];
pub(super) const ALIASES_OF_WORKER: [Alias; 4] = [
    Standing::of("local_storage_path", "local_storage_backend_path", Standing::Good),
    Standing::of("sql_server", "db_server", Standing::Deprecated),
    Standing::of("sql_user", "db_user", Standing::Deprecated),
    Standing::of("sql_password", "db_password", Standing::Deprecated),
];

const fn nothing(name: &'static str, why: &'static str) -> Meaningless {
    Meaningless { name, why }
}

const NO_LOCK: &str = "nothing here depends on a lock with a time-out";
const NO_BUMP: &str = "every worker renews what is due, little by little";
const ALWAYS_ON: &str = "keepalives of the database's connections are always on";
const NO_CLOUD: &str = "buckets and keys of cloud services are not supported yet";
const NO_DIRECTORY: &str = "nothing is kept in a directory of its own";

/// What containers of the Python service are given, and what means nothing here.
pub(super) const MEANINGLESS: [Meaningless; 17] = [
    nothing("lock_timeout", NO_LOCK),
    nothing("bump_online_roles_ttl", NO_BUMP),
    nothing("bump_online_roles_chunk_size", NO_BUMP),
    nothing("hours_before_expire", NO_BUMP),
    nothing("db_keepalive", ALWAYS_ON),
    nothing("db_keepalive_idle", ALWAYS_ON),
    nothing("db_keepalive_interval", ALWAYS_ON),
    nothing("db_keepalive_count", ALWAYS_ON),
    nothing("aws_storage_bucket", NO_CLOUD),
    nothing("aws_access_key_id", NO_CLOUD),
    nothing("aws_secret_access_key", NO_CLOUD),
    nothing("aws_default_region", NO_CLOUD),
    nothing("aws_endpoint_url", NO_CLOUD),
    nothing("aws_s3_object_acl", NO_CLOUD),
    nothing("google_application_credentials", NO_CLOUD),
    nothing("keyvault_backend", "online keys are found by what the root says of them"),
    nothing("data_dir", NO_DIRECTORY),
];

/// Reads what both programs need.
pub(super) fn shared(reader: &mut Reader) -> Option<Shared> {
    let ca_file = ca_file(reader);
    let broker = broker(reader, ca_file.as_ref());
    let redis = redis(reader, ca_file.as_ref());
    let result = reader.number("redis_server_db_result", 0, i64::from(i32::MAX));
    let settings_database = reader.number("redis_server_db_repo_settings", 0, i64::from(i32::MAX));
    let (broker, redis) = (broker?, redis?);
    let result_database = match redis.database() {
        Some(database) if !reader.is_given("redis_server_db_result") => database,
        _ => result,
    };
    let result_expiry = standalone::result_expiry(reader);
    Some(Shared { broker, redis, result_database, settings_database, result_expiry })
}

/// The certificates that are trusted too, if the file is there.
pub(super) fn ca_file(reader: &mut Reader) -> Option<PathBuf> {
    let file = reader.path("ca_file")?;
    if !file.is_file() {
        reader.fault("ca_file", "there is no such file");
        return None;
    }
    Some(file)
}

fn broker(reader: &mut Reader, ca_file: Option<&PathBuf>) -> Option<BrokerOptions> {
    let kinds = [("classic", QueueKind::Classic), ("quorum", QueueKind::Quorum)];
    let kind = reader.one_of("broker_queue_type", &kinds, QueueKind::Classic);
    let url = reader.required("broker_server", "amqp://user:password@host:5672");
    if url.is_empty() || url == super::secret::UNREADABLE {
        return None;
    }
    let ca_file = ca_file.map(PathBuf::as_path);
    let parsed = match url.trim_start().starts_with("redis") && url.contains("://") {
        true => Server::parse(&url, None, ca_file).map(|server| BrokerOptions::Redis(Box::new(server))),
        false => AmqpOptions::parse(&url, ca_file).map(|mut options| {
            options.kind = kind;
            BrokerOptions::Amqp(Box::new(options))
        }),
    };
    parsed.map_err(|why| reader.fault("broker_server", &why)).ok()
}

fn redis(reader: &mut Reader, ca_file: Option<&PathBuf>) -> Option<Server> {
    let port = reader.number("redis_server_port", 1, u16::MAX);
    let url = reader.required("redis_server", "redis://host:6379");
    if url.is_empty() || url == super::secret::UNREADABLE {
        return None;
    }
    Server::parse(&url, Some(port), ca_file.map(PathBuf::as_path))
        .map_err(|why| reader.fault("redis_server", &why))
        .ok()
}

/// The address for whoever watches this process.
pub(super) fn metrics_listen(reader: &mut Reader) -> Option<SocketAddr> {
    if reader.text("metrics_listen").is_empty() {
        return None;
    }
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Some(reader.value_or("metrics_listen", "an address and a port, as 127.0.0.1:9090, or empty", nowhere))
}
