-- What a worker has to know about a unit beyond its state, every order that was ever made at G2A for it, and what went
-- wrong on the way (docs/purchase.md).

alter table order_units
    add column worker       uuid,                          -- who holds it, until not_before; null: it only waits
    add column ordered_at   timestamptz,                   -- the reservation at G2A began
    add column pay_asked_at timestamptz,                   -- the last PUT that may still be under way was begun
    add column replacements integer not null default 0     -- keys that were lost and bought again
        constraint order_units_replacements_bounded check (replacements between 0 and 10);

-- Somebody asked for the money back: what is not paid for at G2A is refunded at once, the rest goes its way, and nothing
-- is bought again.
alter table orders add column cancel_asked_at timestamptz;

-- Every order ever made at G2A, also those that a unit has given up: none may be paid that is not here. Triggers write it.
create table g2a_orders (
    g2a_order_id   text primary key,
    order_unit_id  uuid not null references order_units (id) on delete restrict,
    price          numeric(12,2) not null constraint g2a_orders_price_not_negative check (price >= 0 and price < 'NaN'),
    created_at     timestamptz not null default now(),
    pay_asked_at   timestamptz,                            -- since then it may be paid
    paid_at        timestamptz,
    transaction_id text,
    key_asked_at   timestamptz,                            -- since then its key may have been read
    key_stored_at  timestamptz,
    given_up_at    timestamptz,                            -- the unit went on without it
    why            text
);
create index g2a_orders_unit_idx on g2a_orders (order_unit_id);

create function g2a_orders_follow_units() returns trigger language plpgsql set search_path from current as $$
begin
    if new.g2a_order_id is not null and new.g2a_order_id is distinct from old.g2a_order_id then
        insert into g2a_orders (g2a_order_id, order_unit_id, price)
        values (new.g2a_order_id, new.id, coalesce(new.g2a_price, 0));
    end if;
    if new.state is distinct from old.state then
        if old.g2a_order_id is not null and (new.g2a_order_id is null or new.state = 'REFUNDED') then
            update g2a_orders set given_up_at = now(), why = left(coalesce(new.last_error, ''), 300)
             where g2a_order_id = old.g2a_order_id;
        end if;
        update g2a_orders
           set pay_asked_at = case when new.state = 'PAYING' then coalesce(pay_asked_at, now()) else pay_asked_at end,
               paid_at = case when new.state = 'PAID' then coalesce(paid_at, now()) else paid_at end,
               transaction_id = coalesce(new.g2a_transaction_id, transaction_id),
               key_asked_at = case when new.state = 'FETCHING' then coalesce(key_asked_at, now()) else key_asked_at end
         where g2a_order_id = new.g2a_order_id and new.state in ('PAYING', 'PAID', 'FETCHING');
    end if;
    return null;
end $$;
create trigger order_units_keep_g2a_orders after update of state, g2a_order_id on order_units
    for each row execute function g2a_orders_follow_units();

create function g2a_orders_follow_keys() returns trigger language plpgsql set search_path from current as $$
begin
    update g2a_orders set key_stored_at = coalesce(key_stored_at, now()) where g2a_order_id = new.g2a_order_id;
    return null;
end $$;
create trigger game_keys_keep_g2a_orders after insert or update of g2a_order_id on game_keys
    for each row when (new.g2a_order_id is not null) execute function g2a_orders_follow_keys();

-- What a person should know: each was dealt with by a rule, or waits for somebody.
create table incidents (
    id            uuid primary key default gen_random_uuid(),
    kind          text not null constraint incidents_kind_known check (kind in (
                      'KEY_LOST',                -- read at G2A by nobody we know of; replaced or refunded
                      'KEY_LATE',                -- arrived after its unit was settled; own stock now
                      'KEY_TWICE',               -- G2A sold a key that we had already
                      'KEY_UNREADABLE',          -- an answer that holds no key we can read; kept in the spool
                      'ABOVE_PRICE',             -- G2A asked more than the shopper paid; not bought
                      'SUPPLIER_CANCELLED',      -- G2A took a paid order back
                      'SUPPLIER_UNKNOWN')),      -- G2A does not know an order of ours, or speaks of it in unknown words
    order_unit_id uuid references order_units (id) on delete cascade,
    g2a_order_id  text,
    detail        text not null,
    created_at    timestamptz not null default now(),
    resolved_at   timestamptz,
    constraint incidents_told_once unique nulls not distinct (kind, order_unit_id, g2a_order_id)
);
create index incidents_open_idx on incidents (created_at) where resolved_at is null;
create index incidents_unit_idx on incidents (order_unit_id);

-- Why nothing can be bought at all. While one is raised, units that would cost money wait; one look when it is due.
create table supplier_alarms (
    kind     text primary key constraint supplier_alarms_kind_known check (kind in ('FUNDS', 'LIMIT', 'ACCESS')),
    since    timestamptz not null default now(),
    retry_at timestamptz not null,
    detail   text not null
);

-- Who looked at a sold key, when and how: as often as they looked.
create table key_reveals (
    id          uuid primary key default gen_random_uuid(),
    game_key_id uuid not null references game_keys (id) on delete restrict,
    user_id     uuid not null references users (id) on delete restrict,
    how         text not null constraint key_reveals_how_known check (how in ('API', 'PAGE', 'FILE', 'MAIL', 'CONSOLE')),
    at          timestamptz not null default now()
);
create index key_reveals_key_idx on key_reveals (game_key_id, at);
create index key_reveals_user_idx on key_reveals (user_id, at);

-- Signed events from outside. A row is the proof that an event was taken, so it is written with its effect.
create table webhook_events (
    id          uuid primary key default gen_random_uuid(),
    source      text not null constraint webhook_events_source_known check (source in ('g2a')),
    event_id    text not null constraint webhook_events_event_id_bounded check (length(event_id) between 1 and 200),
    order_ref   text not null constraint webhook_events_order_ref_bounded check (length(order_ref) between 1 and 200),
    kind        text not null constraint webhook_events_kind_bounded check (length(kind) between 1 and 200),
    payload     jsonb not null,
    order_id    uuid references orders (id) on delete cascade,
    received_at timestamptz not null default now(),
    applied_at  timestamptz,                               -- null: nobody knows the order yet
    constraint webhook_events_taken_once unique (source, event_id, order_ref, kind)
);
create index webhook_events_waiting_idx on webhook_events (order_ref) where applied_at is null;
create index webhook_events_order_idx on webhook_events (order_id);
-- The sweep.
create index webhook_events_received_idx on webhook_events (received_at);

alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up'));
