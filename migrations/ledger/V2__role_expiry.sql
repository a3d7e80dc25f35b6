-- When clients refuse the published version of a role, in seconds since 1970; null until it is published again.
alter table roles add column expires_at integer;
