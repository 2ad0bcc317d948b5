-- Outgoing webhooks (https://www.standardwebhooks.com): what happens in the shop is told to addresses that staff enter. An
-- event and its deliveries are rows of the transaction that made it happen, written by triggers, so also plain SQL counts.

create sequence webhook_endpoint_versions;
create table webhook_endpoints (
    id              uuid primary key,
    name            text not null constraint webhook_endpoints_name_is_a_line
                    check (btrim(name) <> '' and length(name) <= 100 and name !~ '[[:cntrl:]]'),
    url             text not null constraint webhook_endpoints_url_form
                    check (url ~ '^https?://[^[:space:][:cntrl:]]+$' and length(url) <= 2000),
    -- The same names as `lockstep_domain::admin::WebhookEvent`; a test compares them.
    events          text[] not null constraint webhook_endpoints_events_known check (cardinality(events) > 0 and events <@ array[
        'game.in_stock', 'game.out_of_stock', 'game.price_changed', 'order.cancelled', 'order.completed', 'order.created',
        'order.failed', 'order.refunded', 'stock.low']),
    low_stock_below integer not null default 5             -- `stock.low`: fewer unsold keys of own stock than this
                    constraint webhook_endpoints_low_stock_range check (low_stock_below between 1 and 10000),
    disabled_at     timestamptz,
    disabled_reason text constraint webhook_endpoints_reason_bounded check (length(disabled_reason) <= 300),
    failing_since   timestamptz,                           -- no delivery has succeeded since then
    version         bigint not null default nextval('webhook_endpoint_versions'),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint webhook_endpoints_reason_when_disabled check ((disabled_at is null) = (disabled_reason is null))
);

-- Each signs until it ends; one has no end. Several while the receiver changes over.
create table webhook_secrets (
    id          uuid primary key,
    endpoint_id uuid not null references webhook_endpoints (id) on delete cascade,
    sealed      bytea not null,                            -- for `webhook_secrets.sealed/{id}`
    hint        text not null constraint webhook_secrets_hint_form check (hint ~ '^whsec_….{4}$'),   -- its last characters
    created_at  timestamptz not null default now(),
    ends_at     timestamptz                                -- null: until it is replaced
);
create unique index webhook_secrets_current_key on webhook_secrets (endpoint_id) where ends_at is null;
create index webhook_secrets_endpoint_id_idx on webhook_secrets (endpoint_id);

-- No key, no address and no name of a person: ids, states and amounts.
create table outgoing_events (
    id         uuid primary key default gen_random_uuid(),
    kind       text not null,
    data       jsonb not null,
    low_bound  integer,                                    -- `stock.low`: the bound that was crossed
    created_at timestamptz not null default now()
);
-- A window to replay, and the sweep (store.webhooks.sweep).
create index outgoing_events_created_at_idx on outgoing_events (created_at);

create table webhook_deliveries (
    id           uuid primary key default gen_random_uuid(),
    event_id     uuid not null references outgoing_events (id) on delete cascade,
    endpoint_id  uuid not null references webhook_endpoints (id) on delete cascade,
    state        text not null default 'waiting' constraint webhook_deliveries_state_known
                 check (state in ('waiting', 'delivered', 'failed')),
    attempts     integer not null default 0 constraint webhook_deliveries_attempts_not_negative check (attempts >= 0),
    not_before   timestamptz not null default now(),
    lease        uuid,                                     -- of the worker that is sending it
    status       smallint constraint webhook_deliveries_status_is_http check (status between 100 and 999),   -- of the last answer
    last_error   text constraint webhook_deliveries_error_bounded check (length(last_error) <= 300),
    created_at   timestamptz not null default now(),
    queued_at    timestamptz not null default now(),       -- when it was written or last replayed
    attempted_at timestamptz,
    ended_at     timestamptz,
    constraint webhook_deliveries_event_id_endpoint_id_key unique (event_id, endpoint_id),
    constraint webhook_deliveries_end_when_ended check ((state = 'waiting') = (ended_at is null)),
    constraint webhook_deliveries_lease_while_waiting check (lease is null or state = 'waiting')
);
-- What is due at an endpoint (store.webhooks.claim).
create index webhook_deliveries_waiting_idx on webhook_deliveries (endpoint_id, not_before) where state = 'waiting';
-- What workers are sending (store.webhooks.claim).
create index webhook_deliveries_leased_idx on webhook_deliveries (endpoint_id) where lease is not null;
-- Those of an endpoint, newest first (store.admin.webhooks.deliveries).
create index webhook_deliveries_endpoint_id_idx on webhook_deliveries (endpoint_id, created_at desc, id);
-- How many were given up (store.admin.webhooks.list).
create index webhook_deliveries_failed_idx on webhook_deliveries (endpoint_id) where state = 'failed';

-- Whether somebody wants to know.
create function webhooks_want(wanted text[]) returns boolean language sql stable set search_path from current as $$
    select exists (select from webhook_endpoints where events && wanted)
$$;

-- Records events of one kind, and their deliveries to everybody who wants them. Without such an endpoint there is no event.
-- An endpoint that is being deleted is skipped: a sale neither waits for that nor fails because the endpoint is gone.
create function tell_webhooks(told text, facts jsonb[], bound integer default null) returns void
    language plpgsql set search_path from current as $$
begin
    if facts is null or not exists (select from webhook_endpoints
                                     where told = any (events) and (bound is null or low_stock_below = bound)) then
        return;
    end if;
    with new_events as (
        insert into outgoing_events (kind, data, low_bound) select told, fact, bound from unnest(facts) fact returning id),
    takers as (
        select id from webhook_endpoints
         where told = any (events) and (bound is null or low_stock_below = bound) and disabled_at is null
           for key share skip locked)
    insert into webhook_deliveries (event_id, endpoint_id)
    select n.id, t.id from new_events n cross join takers t;
end $$;

create function orders_tell_created() returns trigger language plpgsql set search_path from current as $$
begin
    if webhooks_want(array['order.created']) then
        perform tell_webhooks('order.created', (select array_agg(jsonb_build_object(
            'orderId', id, 'status', status, 'total', total, 'discount', discount, 'currency', 'EUR')) from new_rows));
    end if;
    return null;
end $$;
create trigger orders_tell_created after insert on orders referencing new table as new_rows
    for each statement execute function orders_tell_created();

create function orders_tell_ended() returns trigger language plpgsql set search_path from current as $$
declare
    happened record;
begin
    if not webhooks_want(array['order.completed', 'order.failed', 'order.cancelled']) then
        return null;
    end if;
    for happened in
        select 'order.' || lower(n.status::text) as kind, array_agg(jsonb_build_object(
                   'orderId', n.id, 'status', n.status, 'total', n.total, 'discount', n.discount, 'currency', 'EUR')) as facts
          from new_rows n join old_rows o on o.id = n.id
         where n.status in ('COMPLETED', 'FAILED', 'CANCELLED') and o.status <> n.status
         group by n.status
    loop
        perform tell_webhooks(happened.kind, happened.facts);
    end loop;
    return null;
end $$;
create trigger orders_tell_ended after update on orders referencing old table as old_rows new table as new_rows
    for each statement execute function orders_tell_ended();

create function transactions_tell_refunds() returns trigger language plpgsql set search_path from current as $$
begin
    if webhooks_want(array['order.refunded']) then
        perform tell_webhooks('order.refunded', (select array_agg(jsonb_build_object(
            'orderId', order_id, 'transactionId', id, 'amount', amount, 'currency', currency))
              from new_rows where type = 'REFUND' and order_id is not null));
    end if;
    return null;
end $$;
create trigger transactions_tell_refunds after insert on transactions referencing new table as new_rows
    for each statement execute function transactions_tell_refunds();

create function games_tell_webhooks() returns trigger language plpgsql set search_path from current as $$
begin
    if not webhooks_want(array['game.in_stock', 'game.out_of_stock', 'game.price_changed']) then
        return null;
    end if;
    perform tell_webhooks('game.price_changed', (select array_agg(jsonb_build_object(
        'gameId', n.id, 'price', n.price, 'previousPrice', o.price, 'currency', n.currency))
          from new_rows n join old_rows o on o.id = n.id where n.price <> o.price));
    perform tell_webhooks('game.in_stock', (select array_agg(jsonb_build_object('gameId', n.id, 'inStock', true))
          from new_rows n join old_rows o on o.id = n.id where n.in_stock and not o.in_stock));
    perform tell_webhooks('game.out_of_stock', (select array_agg(jsonb_build_object('gameId', n.id, 'inStock', false))
          from new_rows n join old_rows o on o.id = n.id where o.in_stock and not n.in_stock));
    return null;
end $$;
-- Its plan is kept for a session, whatever the number of rows was when it was made.
alter function games_tell_webhooks() set enable_nestloop = off;
create trigger games_tell_webhooks after update on games referencing old table as old_rows new table as new_rows
    for each statement execute function games_tell_webhooks();

-- Unsold keys of own stock that go: a bound is crossed once, whoever sells how many at the same time, because the sales of a
-- game's own keys take turns while an enabled endpoint wants to know. A key that was bought for its copy at G2A never was
-- stock; it is unsold only within the transaction that stores it.
create function game_keys_tell_webhooks() returns trigger language plpgsql set search_path from current as $$
declare
    gone record;
    left_over bigint;
    bound integer;
    largest integer;
begin
    select max(low_stock_below) into largest from webhook_endpoints where 'stock.low' = any (events) and disabled_at is null;
    if largest is null then
        return null;
    end if;
    for gone in execute case tg_op
        when 'DELETE' then 'select game_id, count(*) as keys from old_rows where order_unit_id is null and not activated
                             group by game_id order by game_id'
        else 'select o.game_id, count(*) as keys from old_rows o join new_rows n on n.id = o.id
               where o.order_unit_id is null and not o.activated
                 and (n.order_unit_id is not null or n.activated or n.game_id <> o.game_id)
                 and not exists (select from order_units u where u.id = n.order_unit_id and u.g2a_order_id = n.g2a_order_id)
               group by o.game_id order by o.game_id' end
    loop
        perform pg_advisory_xact_lock(hashtextextended('lockstep own stock ' || gone.game_id, 0));
        -- Not more than matter.
        select count(*) into left_over from (
            select from game_keys k where k.game_id = gone.game_id and k.order_unit_id is null and not k.activated limit largest) k;
        for bound in
            select distinct low_stock_below from webhook_endpoints
             where 'stock.low' = any (events) and disabled_at is null
               and low_stock_below > left_over and low_stock_below <= left_over + gone.keys
             order by 1
        loop
            perform tell_webhooks('stock.low', array[jsonb_build_object(
                'gameId', gone.game_id, 'unsoldKeys', left_over, 'below', bound)], bound);
        end loop;
    end loop;
    return null;
end $$;
create trigger game_keys_tell_webhooks_update after update on game_keys
    referencing old table as old_rows new table as new_rows
    for each statement execute function game_keys_tell_webhooks();
create trigger game_keys_tell_webhooks_delete after delete on game_keys referencing old table as old_rows
    for each statement execute function game_keys_tell_webhooks();

-- Who may read and change them. Owners may; of the roles that come with the schema, managers read.
alter table staff_role_permissions drop constraint staff_role_permissions_known;
alter table staff_role_permissions add constraint staff_role_permissions_known check (permission in (
    'audit.read', 'balance.adjust', 'carts.read', 'carts.write', 'catalogue.read', 'catalogue.write', 'content.read',
    'content.write', 'dashboard.read', 'email.read', 'email.write', 'keys.read', 'keys.write', 'orders.read',
    'orders.refund', 'orders.write', 'payments.read', 'promotions.read', 'promotions.write', 'staff.write',
    'supplier.read', 'supplier.write', 'system.read', 'system.write', 'users.delete', 'users.read', 'users.write',
    'webhooks.read', 'webhooks.write'));
insert into staff_role_permissions (role, permission) select name, 'webhooks.read' from staff_roles where name = 'MANAGER';
