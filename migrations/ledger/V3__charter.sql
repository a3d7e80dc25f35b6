-- What people decided: one row. `charter` is JSON, `revision` counts all changes, `placement` those of where artifacts are listed.
create table charter (
    id integer primary key check (id = 1),
    revision integer not null,
    placement integer not null,
    charter text not null
) strict;
insert into charter (id, revision, placement, charter) values (1, 0, 0, '{}');

-- Who signs a role: the service (`online`) or people (`offline`). A retired one was deleted: it is never published again.
alter table roles add column signing text not null default 'online' check (signing in ('online', 'offline'));
alter table roles add column retired integer not null default 0;

-- Whether a change waits for the signatures of people: it is of a role that is `offline`. No task is '' : a move made the change.
alter table staged add column waits integer not null default 0;
create index staged_ready on staged (sequence) where waits = 0;
create index staged_waits on staged (role, sequence) where waits = 1;

-- A task that waits for a round that knows of this revision, or for this version of root.
alter table tasks add column awaits_revision integer;
alter table tasks add column awaits_root integer;
create index tasks_awaiting on tasks (awaits_revision, awaits_root)
    where finished_at is null and (awaits_revision is not null or awaits_root is not null);

-- The root that clients see with the head for the first time, if there is one.
alter table head add column root_version integer;
alter table head add column root blob;
