-- Moving in: what was brought from another shop, by which run, and under which id.

-- One run of `lockstep import`. A run that was killed stays open, and the next one of its source goes on with it.
create table import_runs (
    id        uuid        constraint import_runs_pkey primary key,
    source    text        not null
              constraint import_runs_source_known check (source in ('prisma', 'woocommerce', 'shopify', 'keys')),
    began_at  timestamptz not null default now(),
    ended_at  timestamptz,
    undone_at timestamptz,
    result    jsonb,                                       -- the totals that the run printed
    constraint import_runs_undone_has_ended check (undone_at is null or ended_at is not null)
);
-- Two imports of one source at once would take the same rows.
create unique index import_runs_open_key on import_runs (source) where ended_at is null;

-- The id that a row of the source has here. A second run finds here what it need not bring again, also when it was
-- deleted since.
create table import_rows (
    source     text    not null,
    kind       text    not null
               constraint import_rows_kind_known check (kind in ('user', 'game', 'term', 'order', 'key', 'promo_code',
                   'article', 'faq', 'email_settings', 'g2a_settings')),
    foreign_id text    not null,
    own_id     uuid    not null,
    run_id     uuid    not null constraint import_rows_run_id_fkey references import_runs (id) on delete cascade,
    is_new     boolean not null,                           -- false: a row that was here before stands for it
    constraint import_rows_pkey primary key (source, kind, foreign_id)
);
create index import_rows_run_id_idx on import_rows (run_id, kind);  -- undoing a run

-- The balance of the source that was booked for a user: a later run books the difference to it.
create table import_balances (
    user_id uuid          constraint import_balances_pkey primary key
            constraint import_balances_user_id_fkey references users (id) on delete cascade,
    balance numeric(12,2) not null
);
comment on column import_balances.balance is 'EUR';

alter table orders add column imported_by uuid;
comment on column orders.imported_by is 'the run of import_runs that brought it; null for an order of this shop';

-- An imported order used its code in the shop that it came from: `promo_codes.used_count` was taken from there.
drop trigger orders_use_promo_code on orders;
create trigger orders_use_promo_code after insert on orders
    for each row when (new.promo_code is not null and new.imported_by is null) execute function orders_use_promo_code();
drop trigger orders_use_promo_code_of_customer on orders;
create trigger orders_use_promo_code_of_customer after insert on orders
    for each row when (new.promo_code is not null and new.imported_by is null)
    execute function orders_use_promo_code_of_customer();
