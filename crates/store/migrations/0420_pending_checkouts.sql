-- Checkouts whose payment is on its way: one intent covers the top-up of what is missing and the order. The row is written with
-- its top-up, before the payment provider is asked; once that is credited, the order is placed as if it were ordered then, or the
-- shopper is asked.

create table pending_checkouts (
    top_up_id          uuid primary key,                   -- one intent for a top-up
    user_id            uuid not null,
    games              uuid[] not null,
    quantities         integer[] not null,                 -- of each game
    promo_code         text constraint pending_checkouts_promo_code_bounded check (length(promo_code) between 1 and 200),
    total              numeric(12,2) not null
                       constraint pending_checkouts_total_positive check (total > 0 and total < 'NaN'),  -- as shown, EUR
    markup             numeric constraint pending_checkouts_markup_bounded check (markup between 0 and 100000),  -- protected, percent
    ip_country         text constraint pending_checkouts_ip_country_code check (ip_country ~ '^[A-Z]{2}$'),
    consent_source     text constraint pending_checkouts_consent_source_known
                       check (consent_source in ('shopper', 'front', 'development')),
    consent_wording    text,                               -- version
    consent_language   text,                               -- ISO 639-1
    consent_address    text,                               -- IP address of the client
    consent_user_agent text,
    request_hash       bytea not null constraint pending_checkouts_request_hash_size check (length(request_hash) = 32),
    state              text not null default 'WAITING' constraint pending_checkouts_state_known check (state in (
                           'WAITING',                      -- for the payment
                           'EXPIRED',                      -- not paid, or replaced by another one
                           'ASK',                          -- paid, and not placed: the money is on the balance, the shopper decides
                           'PLACED',                       -- the order is placed
                           'ABANDONED')),                  -- the shopper has decided otherwise, or left
    reason             text,
    order_id           uuid constraint pending_checkouts_order_placed_once unique,
    due_at             timestamptz,                        -- when a worker looks at it; null: nothing has happened that it has to act on
    attempts           integer not null default 0 constraint pending_checkouts_attempts_not_negative check (attempts >= 0),
    created_at         timestamptz not null default now(),
    changed_at         timestamptz not null default now(), -- of the state
    constraint pending_checkouts_games_counted check (
        cardinality(games) between 1 and 1000 and cardinality(quantities) = cardinality(games)
        and array_position(games, null) is null and array_position(quantities, null) is null and 0 < all (quantities)),
    constraint pending_checkouts_reason_of_state check (case state
        when 'EXPIRED' then reason is not null and reason in ('NOT_PAID', 'REPLACED')
        when 'ASK' then reason is not null and reason in ('PRICE_RISEN', 'SOLD_OUT', 'GONE', 'PROMO_CODE', 'BALANCE', 'TOO_MUCH', 'LATE')
        else reason is null end),
    constraint pending_checkouts_placed_with_order check ((state = 'PLACED') = (order_id is not null)),
    constraint pending_checkouts_due_until_settled check (due_at is null or state in ('WAITING', 'EXPIRED')),
    constraint pending_checkouts_consent_of_a_shopper check (
        case when consent_source = 'shopper' then num_nulls(consent_wording, consent_language) = 0
             else num_nonnulls(consent_wording, consent_language, consent_address, consent_user_agent) = 0 end),
    constraint pending_checkouts_consent_bounded check (
        length(consent_wording) <= 40 and length(consent_language) <= 10 and length(consent_address) <= 100
        and length(consent_user_agent) <= 500),
    -- The order has the consent then, or nobody needs it any more.
    constraint pending_checkouts_consent_while_waiting check (state = 'WAITING' or consent_source is null)
);
create index pending_checkouts_due_idx on pending_checkouts (due_at) where due_at is not null;
create index pending_checkouts_user_id_idx on pending_checkouts (user_id, created_at);

create function pending_checkout_may_become(old text, new text) returns boolean language sql immutable set search_path from current as $$
    select case old
        when 'WAITING' then new in ('EXPIRED', 'ASK', 'PLACED', 'ABANDONED')
        when 'EXPIRED' then new in ('ASK', 'ABANDONED')
        when 'ASK' then new in ('PLACED', 'ABANDONED')
        else false end
$$;

create function pending_checkouts_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'WAITING' or new.user_id is distinct from (select user_id from top_ups where id = new.top_up_id) then
            raise exception 'a checkout begins with the top-up of its owner, and waits for it'
                using errcode = 'check_violation', constraint = 'pending_checkouts_begin_with_top_up', table = 'pending_checkouts';
        end if;
        return new;
    end if;
    if (old.top_up_id, old.user_id, old.games, old.quantities, old.promo_code, old.total, old.markup, old.ip_country, old.request_hash,
        old.created_at)
       is distinct from
       (new.top_up_id, new.user_id, new.games, new.quantities, new.promo_code, new.total, new.markup, new.ip_country, new.request_hash,
        new.created_at)
       or (old.state = new.state and (old.reason, old.order_id, old.changed_at) is distinct from (new.reason, new.order_id, new.changed_at)) then
        raise exception 'what a checkout asks for does not change'
            using errcode = 'check_violation', constraint = 'pending_checkouts_facts_fixed', table = 'pending_checkouts';
    end if;
    if old.state <> new.state and not pending_checkout_may_become(old.state, new.state) then
        raise exception 'a checkout that is % does not become %', old.state, new.state
            using errcode = 'check_violation', constraint = 'pending_checkouts_state_transition', table = 'pending_checkouts';
    end if;
    if old.state <> new.state and new.state in ('ASK', 'PLACED')
       and not exists (select from top_ups where id = new.top_up_id and status = 'COMPLETED') then
        raise exception 'checkout % is not paid', new.top_up_id
            using errcode = 'check_violation', constraint = 'pending_checkouts_settled_when_paid', table = 'pending_checkouts';
    end if;
    return new;
end $$;
create trigger pending_checkouts_guard before insert or update on pending_checkouts
    for each row execute function pending_checkouts_guard();

-- Whatever credits or ends a top-up makes its checkout due, in the same transaction: a webhook, a query, the comparison, staff.
create function top_ups_settle_checkout() returns trigger language plpgsql set search_path from current as $$
begin
    update pending_checkouts set due_at = now() where top_up_id = new.id and state in ('WAITING', 'EXPIRED');
    return null;
end $$;
create trigger top_ups_settle_checkout after update of status on top_ups
    for each row when (old.status <> new.status and new.status in ('COMPLETED', 'FAILED', 'CANCELLED'))
    execute function top_ups_settle_checkout();
