-- Price rules: mark-ups by genre, platform, activation service and price band, the least margin and the ending of prices.

-- What the supplier asks, without mark-up: what price rules start from. Null until a synchronisation has read the product
-- since, and for games of the shop's own. 0303_rules_of_prices_hold.sql checks the rows that are there.
alter table games
    add column supplier_price numeric(14,4),
    add column supplier_retail_price numeric(14,4),
    add column g2a_asked_cost numeric(14,4),
    add constraint games_supplier_price_positive check (supplier_price > 0 and supplier_price < 'NaN') not valid,
    add constraint games_supplier_retail_price_positive
        check (supplier_retail_price > 0 and supplier_retail_price < 'NaN') not valid,
    add constraint games_g2a_asked_cost_positive check (g2a_asked_cost > 0 and g2a_asked_cost < 'NaN') not valid;
comment on column games.supplier_price is 'EUR, by G2A_PRICE_BASIS, without mark-up';
comment on column games.supplier_retail_price is 'EUR, the supplier''s reference price, without mark-up';
comment on column games.g2a_asked_cost is 'EUR, what an order has shown that the supplier asks, without mark-up';

-- The set: what holds for all games, and its version.
create table price_policy (
    only_one           boolean primary key default true constraint price_policy_is_one check (only_one),
    version            bigint not null default 0,           -- raised by each change
    min_margin         numeric(12,2) not null default 0,    -- EUR
    min_margin_percent numeric(6,2) not null default 0,
    ending             smallint,                            -- cents, 0 to 99
    rounding           text,                                -- which way prices go to their ending
    saved_at           timestamptz,
    saved_by           uuid references users (id) on delete set null,
    constraint price_policy_numbers_bounded check (
        min_margin between 0 and 1000000 and min_margin_percent between 0 and 1000 and ending between 0 and 99),
    constraint price_policy_ending_has_a_direction check (
        (ending is null) = (rounding is null) and rounding in ('UP', 'DOWN', 'NEAREST'))
);
create index price_policy_saved_by_idx on price_policy (saved_by);
insert into price_policy default values;

create table price_rules (
    position           integer primary key,                 -- 1..; of equal rules the first counts
    name               text not null constraint price_rules_name_bounded check (length(name) between 1 and 100),
    priority           integer not null default 0,          -- the highest counts
    -- Criteria: null fits every game. What a rule names is not deleted: its games would silently get other prices.
    genre_id           uuid references genres (id) on delete restrict,
    platform_id        uuid references platforms (id) on delete restrict,
    activation_service text constraint price_rules_service_bounded check (length(activation_service) between 1 and 100),
    cost_from          numeric(12,2),                       -- EUR, the supplier's price
    cost_to            numeric(12,2),                       -- EUR, exclusive
    markup_percent     numeric(6,2),                        -- null: G2A_MARKUP_PERCENT
    min_margin         numeric(12,2) not null default 0,    -- EUR
    min_margin_percent numeric(6,2) not null default 0,
    ending             smallint,                            -- cents, 0 to 99
    rounding           text,                                -- null: as the set's; NONE: no ending
    constraint price_rules_numbers_bounded check (
        position between 1 and 200 and priority between -1000 and 1000 and markup_percent between 0 and 1000
        and min_margin between 0 and 1000000 and min_margin_percent between 0 and 1000 and ending between 0 and 99),
    constraint price_rules_band check (cost_from >= 0 and cost_from < 'NaN' and cost_to > coalesce(cost_from, 0) and cost_to < 'NaN'),
    constraint price_rules_ending_has_a_direction check (
        (ending is not null) = coalesce(rounding in ('UP', 'DOWN', 'NEAREST'), false)
        and rounding in ('UP', 'DOWN', 'NEAREST', 'NONE'))
);
create index price_rules_genre_id_idx on price_rules (genre_id);
create index price_rules_platform_id_idx on price_rules (platform_id);

-- New rules give every game its price anew. A worker does it in parts (store::repricing); each part is one transaction with
-- the mark up to which games are done, so that a part counts once, whoever dies.
create table price_jobs (
    id           uuid primary key,
    version      bigint not null,                           -- of the rules
    state        text not null default 'OPEN',
    requested_by uuid references users (id) on delete set null,
    requested_at timestamptz not null default now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    last_game    uuid not null default '00000000-0000-0000-0000-000000000000', -- games up to it are done
    total        integer not null default 0,                -- games when it was asked for
    done         integer not null default 0,
    raised       integer not null default 0,
    lowered      integer not null default 0,
    constraint price_jobs_state_known check (state in ('OPEN', 'COMPLETED', 'SUPERSEDED')),
    constraint price_jobs_finished_when_ended check ((finished_at is null) = (state = 'OPEN')),
    constraint price_jobs_counts check (total >= 0 and raised >= 0 and lowered >= 0 and done >= raised + lowered)
);
-- One is open at a time: newer rules supersede it.
create unique index price_jobs_open_idx on price_jobs (state) where state = 'OPEN';
-- The history (store.price_rules.jobs).
create index price_jobs_requested_at_idx on price_jobs (requested_at desc, id desc);
create index price_jobs_requested_by_idx on price_jobs (requested_by);

-- Why a price changed, and the supplier's price at that time. Whoever changes prices says so for the transaction
-- (lockstep.price_reason); what plain SQL changes has no reason.
alter table price_changes
    add column supplier_price numeric(14,4),                -- EUR, without mark-up
    add column reason text,
    add constraint price_changes_reason_known
        check (reason in ('SUPPLIER', 'ORDER', 'RULES', 'STAFF', 'SCHEDULE')) not valid;

create or replace function games_note_price() returns trigger language plpgsql set search_path from current as $$
begin
    insert into price_changes (game_id, previous_price, price, original_price, g2a_price, supplier_price, reason)
    select n.id, o.price, n.price, n.original_price, n.g2a_price, n.supplier_price,
           nullif(current_setting('lockstep.price_reason', true), '')
      from new_rows n join old_rows o on o.id = n.id
     where (n.price, n.original_price, n.g2a_price) is distinct from (o.price, o.original_price, o.g2a_price)
        -- That it is known now is no change.
        or n.supplier_price <> o.supplier_price;
    return null;
end $$;
alter function games_note_price() set enable_nestloop = off;

-- The permissions for it.
alter table staff_role_permissions drop constraint staff_role_permissions_known;
alter table staff_role_permissions add constraint staff_role_permissions_known check (permission in (
    'audit.read', 'balance.adjust', 'carts.read', 'carts.write', 'catalogue.read', 'catalogue.write', 'content.read',
    'content.write', 'dashboard.read', 'email.read', 'email.write', 'keys.read', 'keys.write', 'orders.read',
    'orders.refund', 'orders.write', 'payments.read', 'prices.read', 'prices.write', 'promotions.read', 'promotions.write',
    'staff.write', 'supplier.read', 'supplier.write', 'system.read', 'system.write', 'users.delete', 'users.read',
    'users.write', 'webhooks.read', 'webhooks.write'));
insert into staff_role_permissions (role, permission)
select name, permission from staff_roles, unnest(array['prices.read', 'prices.write']) permission where name = 'MANAGER'
union all
select name, 'prices.read' from staff_roles where name = 'ANALYST';
