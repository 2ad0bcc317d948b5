-- What staff ask for at the supplier. A request only writes the row; a worker does the job (crates/sync, jobs).
create table supplier_jobs (
    id              uuid primary key,
    kind            text not null constraint supplier_jobs_kind_known
                    check (kind in ('FULL', 'INCREMENTAL', 'PRODUCTS', 'CONNECTION', 'LISTING')),
    -- Jobs of one lane are done one after the other: what writes the catalogue, and single calls.
    lane            text not null generated always as
                    (case when kind in ('CONNECTION', 'LISTING') then 'CALLS' else 'CATALOGUE' end) stored,
    products        text[] not null default '{}'           -- G2A's ids, in the order in which they are read
                    constraint supplier_jobs_products_bounded
                    check (cardinality(products) <= 1000 and array_position(products, null) is null),
    page            integer not null default 1 constraint supplier_jobs_page_bounded check (page between 1 and 500),
    page_size       integer not null default 20 constraint supplier_jobs_page_size_bounded check (page_size between 1 and 100),
    state           text not null default 'WAITING' constraint supplier_jobs_state_known
                    check (state in ('WAITING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    requested_by    uuid references users (id) on delete set null,
    requested_at    timestamptz not null default now(),
    started_at      timestamptz,                           -- first taken by a worker
    finished_at     timestamptz,
    cancel_asked_at timestamptz,                           -- its worker stops at the next product or page
    epoch           bigint not null default 0,             -- raised by every worker that takes it; an older one writes no more
    worker          uuid,
    due_at          timestamptz not null default now(),    -- not taken before; renewed while a worker has it
    done            integer not null default 0 constraint supplier_jobs_done_bounded check (done between 0 and 1000),
    result          jsonb not null default '{}',           -- counts, problems and log
    constraint supplier_jobs_products_named check ((kind = 'PRODUCTS') = (cardinality(products) > 0)),
    constraint supplier_jobs_finished_when_ended
        check ((finished_at is not null) = (state in ('COMPLETED', 'FAILED', 'CANCELLED'))),
    constraint supplier_jobs_taken_by_a_worker check (state <> 'RUNNING' or (worker is not null and started_at is not null))
);
-- One open job of a lane: an equal request joins it, another one is refused.
create unique index supplier_jobs_open_idx on supplier_jobs (lane) where finished_at is null;
-- The history, and the sweep.
create index supplier_jobs_requested_at_idx on supplier_jobs (requested_at desc, id desc);
create index supplier_jobs_requested_by_idx on supplier_jobs (requested_by);

-- What each process has counted of calls to the supplier and of webhooks, renewed every few seconds. Unlogged: after a crash
-- of the server each process writes its row anew.
create unlogged table supplier_calls (
    process           uuid constraint supplier_calls_pkey primary key,
    is_worker         boolean not null,
    requests          bigint not null default 0,
    succeeded         bigint not null default 0,
    failed            bigint not null default 0,
    retried           bigint not null default 0,
    latency_ms        integer[] not null default '{}'      -- the latest hundred
                      constraint supplier_calls_latency_bounded check (cardinality(latency_ms) <= 100),
    webhooks          bigint not null default 0,
    webhooks_refused  bigint not null default 0,
    -- Of a worker: its circuit breaker, and the sizes of the request budget that all workers share.
    breaker           text constraint supplier_calls_breaker_known check (breaker in ('closed', 'open', 'half-open')),
    failures          integer not null default 0,
    retry_at          timestamptz,
    budget_capacity   integer,
    budget_per_minute integer,
    seen_at           timestamptz not null default now()
);
