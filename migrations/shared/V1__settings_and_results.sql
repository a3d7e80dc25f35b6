-- one row per setting of the repository, projected from the ledger; the value is json
create table settings (
    name text not null primary key,
    value text not null
) strict, without rowid;

-- how far each task has come; expires_at (unix milliseconds) is null until it is finished
create table results (
    task_id text not null primary key,
    progress text not null,
    expires_at integer
) strict, without rowid;

create index results_by_expiry on results (expires_at) where expires_at is not null;
