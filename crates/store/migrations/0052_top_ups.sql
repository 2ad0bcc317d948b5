-- Money from outside. An intent is written before the provider is asked; what the provider says later, in whatever order
-- and however often, credits it once.

create table top_ups (
    id              uuid primary key default gen_random_uuid(),
    user_id         uuid not null references users (id) on delete restrict,
    amount          numeric(12,2) not null constraint top_ups_amount_positive check (amount > 0 and amount < 'NaN'),  -- EUR
    method          text not null,                         -- as the shopper chose: card, trustly, klarna, apple
    provider        text not null,                         -- stripe, test
    status          payment_status not null default 'PENDING',
    reference       text,                                  -- the provider's name for it; null: not known there yet
    redirect_url    text,                                  -- where it is paid
    transaction_id  uuid constraint top_ups_transaction_id_key unique references transactions (id) on delete restrict,
    idempotency_key text constraint top_ups_idempotency_key_bounded check (length(idempotency_key) between 1 and 200),
    attempts        integer not null default 0,            -- how often the provider was asked how it stands
    not_before      timestamptz not null default now(),    -- when it is asked next
    problem         text constraint top_ups_problem_bounded check (length(problem) <= 500),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint top_ups_user_id_idempotency_key_key unique (user_id, idempotency_key),
    constraint top_ups_provider_reference_key unique (provider, reference),
    constraint top_ups_credited_when_completed check ((status = 'COMPLETED') = (transaction_id is not null))
);
-- Those that the provider has to be asked about.
create index top_ups_open_idx on top_ups (not_before) where status in ('PENDING', 'PROCESSING');
create trigger top_ups_touch before update on top_ups for each row execute function touch_updated_at();

create function top_ups_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'UPDATE' then
        if (old.user_id, old.amount, old.provider, old.idempotency_key)
           is distinct from (new.user_id, new.amount, new.provider, new.idempotency_key)
           or (old.reference is not null and new.reference is distinct from old.reference) then
            raise exception 'who pays what through whom does not change'
                using errcode = 'check_violation', constraint = 'top_ups_facts_fixed', table = 'top_ups';
        end if;
        -- Money may still arrive for one that was given up; none is taken back.
        if old.status = 'COMPLETED' and (new.status <> 'COMPLETED' or new.transaction_id <> old.transaction_id) then
            raise exception 'top-up % is credited', old.id
                using errcode = 'check_violation', constraint = 'top_ups_credited_once', table = 'top_ups';
        end if;
    end if;
    if new.transaction_id is not null and not exists (
        select 1 from transactions t where t.id = new.transaction_id and t.type = 'TOP_UP' and t.status = 'COMPLETED'
           and t.user_id = new.user_id and t.amount = new.amount) then
        raise exception 'what is credited for a top-up is its amount, to its owner'
            using errcode = 'check_violation', constraint = 'top_ups_credit_is_the_amount', table = 'top_ups';
    end if;
    return new;
end $$;
create trigger top_ups_guard before insert or update on top_ups for each row execute function top_ups_guard();

-- Signed words of payment providers. A row is written with its effect, so that a repeated delivery has none.
create table payment_events (
    provider    text not null,
    event_id    text not null constraint payment_events_event_id_bounded check (length(event_id) between 1 and 300),
    kind        text not null constraint payment_events_kind_bounded check (length(kind) between 1 and 100),
    top_up_id   uuid references top_ups (id) on delete restrict,
    outcome     text not null,
    received_at timestamptz not null default now(),
    constraint payment_events_taken_once primary key (provider, event_id)
);
create index payment_events_top_up_id_idx on payment_events (top_up_id) where top_up_id is not null;
-- The sweep.
create index payment_events_received_at_idx on payment_events (received_at);
