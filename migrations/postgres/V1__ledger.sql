-- The ledger. All of it is in the schema `rstuf`, which is first in the search path when this runs: the database may hold tables
-- of others, which are not touched. JSON is text, because it must come back as it came: the order of members, numbers of
-- 64 bits, \u0000 in strings. Times are microseconds since 1970 of the worker's clock, unless said otherwise.

-- Which schema this is, one row. A program that knows version V works on it if `oldest` <= V <= `version`.
create table schema (
    id integer primary key check (id = 1),
    version integer not null,
    oldest integer not null
);
insert into schema (id, version, oldest) values (1, 1, 1);

-- The repository: one row, from the bootstrap on. `settings` is JSON; `root` and `targets` are the published files.
create table repository (
    id integer primary key check (id = 1),
    task_id text not null,
    settings text not null,
    delegations text not null,
    root bytea not null,
    targets bytea
);

-- The head: what clients see, or will as soon as the stored timestamp is put into the bucket. One row, from the first publication on.
create table head (
    id integer primary key check (id = 1),
    sequence bigint not null,
    timestamp_version bigint not null,
    timestamp bytea not null
);

-- Who publishes: one row. `holder` is the instance whose plan is under way, `until` when others stop waiting for it, by the clock of
-- the database: a lease that saves work, and on which nothing depends. Plans up to `void_through` can't be committed any more, because a task
-- that they took was refused.
create table publisher (
    id integer primary key check (id = 1),
    holder text,
    until timestamptz,
    void_through bigint not null default 0
);
insert into publisher (id) values (1);

-- The roles that this service signs. `given_out` is the highest version that a plan was ever given, `version` the published
-- one (0: none yet), `renew_at` when it is due (0: at once), `expires_at` when clients refuse it, both in seconds since 1970. `length` and
-- `sha256` are kept of the files that others list with them. Rows are updated often: the room in their pages saves index entries.
create table roles (
    id bigint generated always as identity primary key,
    name text collate "C" not null unique,
    given_out bigint not null default 0,
    version bigint not null default 0,
    renew_at bigint not null default 0,
    expires_at bigint,
    length bigint,
    sha256 text
) with (fillfactor = 50);
create index roles_renew_at on roles (renew_at);

-- The artifacts as published. A role is always read whole. `digest` is the SHA-256 of the path: a path may be longer than what an index
-- takes. A path is listed by one role alone: the one that a client asks first.
create table artifacts (
    role bigint not null,
    digest bytea not null,
    path text collate "C" not null,
    info text not null,
    primary key (role, digest)
);

-- Changes that the next round publishes, in the order in which they were accepted. `info` is null for a removal. Rows stay for
-- one round, so this is vacuumed by what was deleted and not by what is there.
create table staged (
    sequence bigint generated always as identity primary key,
    task_id text not null,
    role bigint not null,
    digest bytea not null,
    path text collate "C" not null,
    info text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index staged_digest on staged (digest, sequence);
create index staged_task on staged (task_id, sequence);

-- Changes that wait until a publish asks for them: at most one a path, the latest.
create table held (
    digest bytea primary key,
    role bigint not null,
    path text collate "C" not null,
    info text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index held_role on held (role);

-- The tasks that were recorded. `progress` is JSON, final but for its time; `finished_at` is set when the change is committed, `head` is the
-- sequence of that commit (0: it changed nothing that clients see). Each row is updated twice and then stays.
create table tasks (
    id text primary key,
    action text not null,
    accepted_at bigint not null,
    progress text not null,
    finished_at bigint,
    head bigint not null default 0,
    reported boolean not null default false
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index tasks_unreported on tasks (finished_at) where not reported and finished_at is not null;
create index tasks_finished on tasks (finished_at) where finished_at is not null;

-- The audit log of rounds: what was planned on which head, and when it was committed (null: it died, its versions are burnt).
create table publications (
    id bigint generated always as identity primary key,
    base bigint not null,
    planned_at bigint not null,
    planned_by text not null,
    roles bigint not null,
    timestamp_version bigint not null,
    committed_at bigint
);
