//! The settings of a worker.

use std::path::PathBuf;

use super::{Reading, Setting, Sources, address, fleet, names::Program, read, reader::Reader, setting, standalone};
use crate::{fleet::worker::Options, store::postgres};

/// The program.
pub const PROGRAM: Program = Program {
    name: "worker",
    settings: &SETTINGS,
    aliases: &fleet::ALIASES_OF_WORKER,
    meaningless: &fleet::MEANINGLESS,
};

const SETTINGS: [Setting; 21] = [
    fleet::BROKER_SERVER,
    fleet::BROKER_QUEUE_TYPE,
    fleet::REDIS_SERVER,
    fleet::REDIS_SERVER_PORT,
    fleet::REDIS_SERVER_DB_RESULT,
    fleet::REDIS_SERVER_DB_REPO_SETTINGS,
    address("db_server", "PostgreSQL, as postgresql://host:5432/database, with ?sslmode=verify-full for TLS"),
    setting("db_user", "", "user of the database where its URL has none"),
    fleet::DB_PASSWORD,
    fleet::CA_FILE,
    setting("storage_backend", "LocalStorage", "where metadata is published: LocalStorage, a directory"),
    setting("local_storage_backend_path", "", "the directory that metadata is published in, the same for all workers"),
    setting("online_key_dir", "", "directory of the online keys that roots name as fn:<file>"),
    fleet::METRICS_LISTEN,
    fleet::RESULT_EXPIRY_SECONDS,
    setting("renewal_interval_seconds", "60", "pause between two looks for metadata that must be renewed"),
    standalone::ROTATION_GRACE,
    setting("round_changes", "200000", "about how many changes of artifacts are published together"),
    setting("worker_id", "", "name of this worker in the logs"),
    fleet::LOG_LEVEL,
    fleet::LOG_FORMAT,
];

/// Reads the settings of a worker.
pub fn load(sources: Sources) -> Reading<Options> {
    read(&PROGRAM, sources, |reader| {
        let shared = fleet::shared(reader);
        let database = database(reader);
        let bucket = bucket(reader);
        let keys = keys(reader);
        let metrics_listen = fleet::metrics_listen(reader);
        let (renewal_interval, batch) = (standalone::renewal_interval(reader), standalone::batch(reader));
        let rotation_grace = standalone::rotation_grace(reader);
        let name = reader.text("worker_id");
        Some(Options {
            shared: shared?,
            database: database?,
            bucket: bucket?,
            keys: keys?,
            metrics_listen,
            renewal_interval,
            rotation_grace,
            batch,
            name,
        })
    })
}

/// Reads what is needed to reach the database; the other settings of a worker may be missing.
pub fn load_database(sources: Sources) -> Reading<postgres::Options> {
    read(&PROGRAM, sources, database)
}

fn database(reader: &mut Reader) -> Option<postgres::Options> {
    let ca_file = fleet::ca_file(reader);
    let url = reader.required("db_server", "postgresql://host:5432/database");
    if url.is_empty() || url == super::secret::UNREADABLE {
        return None;
    }
    let user = reader.text("db_user");
    let user = (!user.is_empty()).then_some(user);
    let password = reader.secret("db_password");
    match postgres::Options::parse(&url, user.as_deref(), password, ca_file.as_deref()) {
        Ok(options) => Some(options),
        Err(why) => {
            reader.fault("db_server", &why);
            None
        }
    }
}

fn bucket(reader: &mut Reader) -> Option<PathBuf> {
    match reader.text("storage_backend").as_str() {
        "LocalStorage" => {}
        "AWSS3" => {
            reader.fault(
                "storage_backend",
                "buckets of S3 are not supported yet; use LocalStorage, a directory that all workers share",
            );
            return None;
        }
        _ => {
            reader.fault("storage_backend", "must be LocalStorage");
            return None;
        }
    }
    let path = reader.required("local_storage_backend_path", "/var/lib/rstuf/metadata");
    (!path.is_empty()).then(|| path.into())
}

fn keys(reader: &mut Reader) -> Option<PathBuf> {
    let path = reader.required("online_key_dir", "/var/lib/rstuf/keys");
    if path.is_empty() {
        return None;
    }
    if let Err(error) = std::fs::read_dir(&path) {
        reader.fault("online_key_dir", &format!("is no directory that can be read ({error})"));
    }
    Some(path.into())
}
