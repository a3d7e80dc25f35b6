//! What stands below the flags in the help of each program.

macro_rules! settings {
    ($file:literal) => {
        concat!(
            "\
A setting stands in the environment, as RSTUF_LOG_LEVEL, or in the file of --config, as log_level = \"…\"; the environment
covers the file. Secrets, and URLs with passwords, may be given as a path below /run/secrets to a file that has them.
See config/",
            $file,
            " for all settings."
        )
    };
}

macro_rules! codes {
    () => {
        "\
Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the configuration is wrong, it can't start, or a second signal ended it at
once; 2 wrong flags"
    };
}

pub(super) const ALL: &str = "\
First time? Run `rstufd demo`: it shows the main job in a few seconds.

One host:  rstufd standalone, which needs nothing else.
A fleet:   rstufd migrate, once for each new version; then rstufd worker and rstufd api, any number on any hosts.
           `rstufd check-config worker` says what is missing.";

pub(super) const STANDALONE: &str = "\
Example:
  rstufd standalone --data-dir /var/lib/rstuf --listen 127.0.0.1:8080

Then open http://127.0.0.1:8080/ for the API. The repository begins with a bootstrap: POST /api/v1/bootstrap/ with a root
that people signed. The private online key that this root names as fn:<file> belongs into DIR/keys/<file>.

Every setting can also stand in the environment, as RSTUF_DATA_DIR, or in the file of --config, as data_dir = \"…\".
See config/standalone.toml for all of them.";

pub(super) const API: &str = concat!(
    "\
Example:
  export RSTUF_BROKER_SERVER=amqp://rstuf:secret@rabbitmq.example:5672
  export RSTUF_REDIS_SERVER=redis://redis.example
  export RSTUF_LISTEN=0.0.0.0:8080
  export RSTUF_METRICS_LISTEN=127.0.0.1:9090
  rstufd api

It starts also when the broker or Redis are away, and is ready (GET /readyz) when they are there. On SIGTERM it says for 2 s
that it is not ready, then takes no more requests and answers those that it has, within 20 s.

",
    settings!("api.toml"),
    "\n\n",
    codes!(),
    "."
);

pub(super) const WORKER: &str = concat!(
    "\
Example:
  export RSTUF_BROKER_SERVER=amqp://rstuf:secret@rabbitmq.example:5672
  export RSTUF_REDIS_SERVER=redis://redis.example
  export RSTUF_DB_SERVER=postgresql://postgres.example:5432/rstuf
  export RSTUF_DB_USER=rstuf_worker
  export RSTUF_DB_PASSWORD=/run/secrets/db_password
  export RSTUF_STORAGE_BACKEND=LocalStorage
  export RSTUF_LOCAL_STORAGE_BACKEND_PATH=/srv/metadata
  export RSTUF_ONLINE_KEY_DIR=/run/secrets/online
  export RSTUF_METRICS_LISTEN=127.0.0.1:9090
  rstufd migrate && rstufd worker

It starts also when the broker, Redis or the database are away, and waits for `rstufd migrate` where the database has no
tables yet. On SIGTERM it takes no more tasks, ends the round that is under way and reports it, within 30 s.

",
    settings!("worker.toml"),
    "\n\n",
    codes!(),
    "; 70 it must not go on: the database\nor the bucket is not the one that it needs, or an actor failed that can't be replaced."
);

pub(super) const MIGRATE: &str = concat!(
    "\
Example:
  export RSTUF_DB_SERVER=postgresql://postgres.example:5432/rstuf
  export RSTUF_DB_USER=rstuf_owner
  export RSTUF_DB_PASSWORD=/run/secrets/db_owner_password
  rstufd migrate

It may be run as often as you like, also by several at once, and while workers run. The order of an upgrade: migrate, then the
workers, then the API.

",
    settings!("worker.toml"),
    "\n\nExit codes: 0 the tables are up to date; 1 they are not, and why is told; 2 wrong flags."
);

pub(super) const CHECK_CONFIG: &str = "\
Example:
  rstufd check-config worker

It prints every setting with its value and where that came from (of secrets only whether they are set), all faults at once,
and, when there is none, for each part whether it is reached: broker, settings and results in Redis, database and its
tables, bucket, keys. Nothing is changed. Without a program it takes the one that the settings are for.

Exit codes: 0 all is well; 1 it is not; 2 wrong flags.";
