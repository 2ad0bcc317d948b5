-- The synchronisation with G2A: who may write (lease), what was done (runs), what was seen, and the request budget.

-- One row a job. A run raises the epoch when it begins and every write of it checks that nobody has begun after it.
create table sync_lease (
    name  text primary key,
    epoch bigint not null default 0
);
insert into sync_lease (name) values ('catalogue');

create table sync_runs (
    id          uuid primary key default gen_random_uuid(),
    kind        text not null constraint sync_runs_kind_known check (kind in ('FULL', 'STOCK', 'INCREMENTAL', 'PRODUCT')),
    reason      text not null,                             -- who asked: schedule, first start, command line
    status      text not null default 'RUNNING'
                constraint sync_runs_status_known check (status in ('RUNNING', 'COMPLETED', 'FAILED', 'INTERRUPTED')),
    epoch       bigint not null,
    started_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    finished_at timestamptz,
    resumes     integer not null default 0,                -- how often it was taken up again after a crash
    cursor      jsonb not null default '{}',               -- where to go on; meaning known to crates/sync
    pages_read  integer not null default 0,
    pages_total integer,                                   -- estimate, for the progress bar
    seen        integer not null default 0,
    created     integer not null default 0,
    updated     integer not null default 0,
    unchanged   integer not null default 0,
    withdrawn   integer not null default 0,
    skipped     integer not null default 0,                -- bad products
    problems    jsonb not null default '[]',               -- the first hundred: {product, reason}
    stopped_by  text,                                      -- why it is FAILED or INTERRUPTED
    constraint sync_runs_finished_when_ended check ((finished_at is null) = (status in ('RUNNING', 'INTERRUPTED')))
);
create index sync_runs_started_at_idx on sync_runs (started_at desc);
create index sync_runs_last_completed_idx on sync_runs (kind, finished_at desc) where status = 'COMPLETED';
create trigger sync_runs_touch before update on sync_runs for each row execute function touch_updated_at();

-- The products that a run met; what a complete pass did not meet is withdrawn. Emptied when the run ends.
create table sync_seen (
    run_id         uuid not null references sync_runs (id) on delete cascade,
    g2a_product_id text not null,
    primary key (run_id, g2a_product_id)
);

-- G2A allows 600 calls a minute: one bucket for all processes (crates/g2a, budget).
create unlogged table g2a_budget (
    only_row         boolean primary key default true check (only_row),
    level            bigint not null,                      -- thousandths of a call
    updated_at_ms    bigint not null,                      -- milliseconds since 1970, the database's clock
    blocked_until_ms bigint not null default 0             -- after a 429
);
