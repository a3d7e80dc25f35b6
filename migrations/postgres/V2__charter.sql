-- What people decide and sign. A program of version 1 works on beside this, as long as nobody has used it: it knows of nothing that
-- waits for people. So they are asked for the first signature when no program of version 1 runs any more.

-- What people decided and what waits for their signatures, one row: JSON. `revision` counts its changes and those of delegations,
-- expirations and root; `placement` those of where artifacts are listed.
create table charter (
    id integer primary key check (id = 1),
    revision bigint not null default 0,
    placement bigint not null default 0,
    charter text not null default '{}'
);
insert into charter (id) values (1);

-- `signing` is `online`, or `offline` when people must sign; a role that was deleted is `retired`, and its row stays. Changes of
-- a role that `waits` are in no round before people have signed them.
alter table roles
    add column signing text not null default 'online' check (signing in ('online', 'offline')),
    add column retired boolean not null default false,
    add column waits boolean not null generated always as (signing = 'offline' or retired) stored;
create index roles_waits on roles (id) where waits;

-- `waits` is that of the role. Rows without a task are moves of published artifacts from role to role; of these the removals stay in the role
-- that the artifact leaves, whatever is moved later.
alter table staged add column waits boolean not null default false;
create index staged_ready on staged (sequence) where not waits;
create index staged_waits on staged (role, sequence) where waits;
create index staged_moving on staged (digest) where waits and task_id = '' and info is not null;

-- A task that ends when clients see a round that knows of this revision of the charter, or this version of root.
alter table tasks
    add column awaits_revision bigint,
    add column awaits_root bigint;
create index tasks_awaiting on tasks (id)
    where finished_at is null and (awaits_revision is not null or awaits_root is not null);

-- The root that clients see with this head for the first time, if there is one.
alter table head
    add column root_version bigint,
    add column root bytea;

update schema set version = 2;
