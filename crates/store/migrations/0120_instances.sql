-- Which processes of the shop are running and what they are set to, so that two that differ are noticed
-- (docs/operations.md, "Different settings").

-- One row for each running process. Unlogged: after a crash of the server each process writes its row anew.
create unlogged table instances (
    id         uuid constraint instances_pkey primary key,
    -- For people: the machine and the process.
    name       text not null,
    -- Name of the setting to its value, or to a keyed hash of it when it is a secret.
    settings   jsonb not null,
    -- Renewed every few seconds; whose row is old is gone.
    seen_at    timestamptz not null
);

-- The mark (a keyed hash of nothing) of the secret that seals game keys now. Who does not have it cannot read them.
create table key_secret_in_use (
    only_row boolean constraint key_secret_in_use_pkey primary key default true
             constraint key_secret_in_use_only_row check (only_row),
    mark     text not null,
    since    timestamptz not null default now()
);
