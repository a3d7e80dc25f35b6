-- The repository: one row, from the bootstrap on. `settings` is JSON; `root` and `targets` are the published files.
create table repository (
    id integer primary key check (id = 1),
    task_id text not null,
    settings text not null,
    delegations text not null,
    root blob not null,
    targets blob
) strict;

-- The head: what clients see, or will as soon as the stored timestamp is put into the bucket. One row, from the first publication on.
create table head (
    id integer primary key check (id = 1),
    sequence integer not null,
    timestamp_version integer not null,
    timestamp blob not null
) strict;

-- The roles that this service signs. `given_out` is the highest version that a plan was ever given, `version` the published
-- one (0: none yet), `renew_at` when it is due, in seconds since 1970 (0: at once). `length` and `sha256` are kept of the files that others list with them.
create table roles (
    id integer primary key,
    name text not null unique,
    given_out integer not null default 0,
    version integer not null default 0,
    renew_at integer not null default 0,
    length integer,
    sha256 text
) strict;
create index roles_renew_at on roles (renew_at);

-- The artifacts as published. Clustered by role, because a role is always read whole. A path is listed by one role alone: the one that a client asks first.
create table artifacts (
    role integer not null references roles (id),
    path text not null,
    info text not null,
    primary key (role, path)
) strict, without rowid;

-- Changes that the next round publishes, in the order in which they were accepted. `info` is null for a removal.
create table staged (
    sequence integer primary key autoincrement,
    task_id text not null,
    role integer not null references roles (id),
    path text not null,
    info text
) strict;
create index staged_path on staged (path, sequence);
create index staged_task on staged (task_id, sequence);

-- Changes that wait until a publish asks for them: at most one a path, the latest.
create table held (
    path text primary key,
    role integer not null references roles (id),
    info text
) strict, without rowid;

-- The tasks that were recorded. `progress` is JSON, final but for its time; `finished_at` is set when the change is committed, `head` is the sequence
-- of that commit (0: it changed nothing that clients see). Times in microseconds since 1970.
create table tasks (
    id text primary key,
    action text not null,
    accepted_at integer not null,
    progress text not null,
    finished_at integer,
    head integer not null default 0,
    reported integer not null default 0
) strict, without rowid;
create index tasks_unreported on tasks (finished_at) where reported = 0 and finished_at is not null;
create index tasks_finished on tasks (finished_at);

-- The audit log of rounds: what was planned on which head, and when it was committed (null: it died, its versions are burnt).
create table publications (
    id integer primary key autoincrement,
    base integer not null,
    planned_at text not null,
    roles integer not null,
    timestamp_version integer not null,
    committed_at text
) strict;
