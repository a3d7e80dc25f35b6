-- one row per accepted task that no worker has recorded yet, in the order of its acceptance
create table jobs (
    tag integer not null primary key autoincrement,
    task_id text not null unique,
    body text not null,
    accepted_at text not null,
    -- how often it was handed out
    attempts integer not null default 0
) strict;

-- what could never be done, put aside for a person to look at
create table dead_letters (
    tag integer not null primary key,
    task_id text not null,
    body text not null,
    accepted_at text not null,
    attempts integer not null,
    rejected_at text not null,
    reason text not null
) strict;
