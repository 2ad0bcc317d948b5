-- Money that goes back to the card it came from: refunds by staff, and disputes of the cardholder.
--
-- What is taken back is taken from the balance first (`held`, booked); what the balance lacks is a debt (`debt`), which is
-- settled by whatever money comes to the balance next. So of each refund and each dispute, the database knows to the cent
-- where its amount is, and a balance is never negative.

-- What these tables refer to among those in use comes in 0341, so that no two of those are locked at once.

-- The charge of a paid top-up, as its provider reports it.
create table top_up_charges (
    top_up_id        uuid primary key,
    charge           text not null constraint top_up_charges_charge_key unique
                     constraint top_up_charges_charge_bounded check (length(charge) between 1 and 100),
    payment_intent   text constraint top_up_charges_payment_intent_key unique
                     constraint top_up_charges_payment_intent_bounded check (length(payment_intent) between 1 and 100),
    amount           numeric(12,2) not null constraint top_up_charges_amount_positive check (amount > 0 and amount < 'NaN'),
    currency         text not null constraint top_up_charges_currency_bounded check (length(currency) between 1 and 10),
    fee              numeric(12,2),                        -- EUR, kept by the provider; null: not known yet
    card_country     text constraint top_up_charges_card_country_code check (card_country ~ '^[A-Z]{2}$'),
    card_fingerprint text constraint top_up_charges_card_fingerprint_bounded check (length(card_fingerprint) between 1 and 100),
    read_at          timestamptz not null default now()
);

create table card_refunds (
    id              uuid primary key default gen_random_uuid(),
    top_up_id       uuid not null,
    user_id         uuid not null,
    amount          numeric(12,2) not null constraint card_refunds_amount_positive check (amount >= 0 and (amount > 0 or not made_here)),
                                                           -- EUR, what it takes of what was credited
    claimed         numeric(12,2) not null,                -- EUR, as the provider reports it
    held            numeric(12,2) not null default 0,      -- EUR, taken from the balance
    debt            numeric(12,2) not null default 0,      -- EUR, still owed by the user
    state           text not null default 'REQUESTED' constraint card_refunds_state_known check (state in (
                        'REQUESTED',                       -- the provider has not answered yet
                        'PENDING',                         -- the provider has it, and its end is open
                        'SUCCEEDED', 'FAILED')),
    status          text constraint card_refunds_status_bounded check (length(status) between 1 and 100),  -- the provider's word
    reference       text constraint card_refunds_reference_key unique
                    constraint card_refunds_reference_bounded check (length(reference) between 1 and 100),
    made_here       boolean not null default true,         -- false: made in the provider's own pages
    reason          text constraint card_refunds_reason_bounded check (length(reason) between 1 and 500),
    failure         text constraint card_refunds_failure_bounded check (length(failure) <= 500),
    requested_by    uuid,
    idempotency_key text constraint card_refunds_idempotency_key_bounded check (length(idempotency_key) between 1 and 200),
    read_number     bigint not null default 0,             -- of the last reading that was applied (payment_reads)
    attempts        integer not null default 0 constraint card_refunds_attempts_not_negative check (attempts >= 0),
    not_before      timestamptz not null default now(),    -- when the provider is asked (again)
    asking_until    timestamptz,                           -- lease of the process that asks
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint card_refunds_idempotency_key_once unique (top_up_id, idempotency_key),
    constraint card_refunds_add_up check (held >= 0 and debt >= 0 and held + debt = case state when 'FAILED' then 0 else amount end),
    constraint card_refunds_within_claim check (amount <= claimed and claimed < 'NaN'),
    constraint card_refunds_reference_of_an_answer check (reference is not null or state in ('REQUESTED', 'FAILED'))
);
create index card_refunds_top_up_id_idx on card_refunds (top_up_id);
create index card_refunds_requested_by_idx on card_refunds (requested_by) where requested_by is not null;
-- Those of a user, newest first, and those that are owed.
create index card_refunds_user_id_idx on card_refunds (user_id, created_at);
create index card_refunds_debt_idx on card_refunds (user_id) where debt > 0;
-- Those that the provider has to be asked about.
create index card_refunds_due_idx on card_refunds (not_before) where state in ('REQUESTED', 'PENDING');
create trigger card_refunds_touch before update on card_refunds for each row execute function touch_updated_at();

create table disputes (
    id          uuid primary key default gen_random_uuid(),
    reference   text not null constraint disputes_reference_key unique
                constraint disputes_reference_bounded check (length(reference) between 1 and 100),
    top_up_id   uuid not null,
    user_id     uuid not null,
    amount      numeric(12,2) not null constraint disputes_amount_not_negative check (amount >= 0),
                                                           -- EUR, what it takes of what was credited; an inquiry takes nothing
    claimed     numeric(12,2) not null,                    -- EUR, as the provider reports it
    held        numeric(12,2) not null default 0,          -- EUR, the lien: taken from the balance
    debt        numeric(12,2) not null default 0,          -- EUR, still owed by the user
    state       text not null constraint disputes_state_known check (state in ('OPEN', 'WON', 'LOST')),
    status      text not null constraint disputes_status_bounded check (length(status) between 1 and 100),  -- the provider's word
    reason      text constraint disputes_reason_bounded check (length(reason) between 1 and 100),
    fee         numeric(12,2) not null default 0,          -- EUR, kept by the provider for the dispute
    due_by      timestamptz,                               -- when evidence has to be there
    read_number bigint not null default 0,                 -- of the last reading that was applied (payment_reads)
    opened_at   timestamptz not null default now(),
    closed_at   timestamptz,
    updated_at  timestamptz not null default now(),
    constraint disputes_add_up check (held >= 0 and debt >= 0 and case state
        when 'OPEN' then held <= amount and debt = 0
        when 'LOST' then held + debt = amount
        else held = 0 and debt = 0 end),
    constraint disputes_within_claim check (amount <= claimed and claimed < 'NaN'),
    constraint disputes_closed_when_decided check ((closed_at is null) = (state = 'OPEN'))
);
create index disputes_top_up_id_idx on disputes (top_up_id);
create index disputes_user_id_idx on disputes (user_id);
-- What holds undelivered copies of a user.
create index disputes_holding_idx on disputes (user_id) where state = 'OPEN' or debt > 0;
create index disputes_opened_at_idx on disputes (opened_at, id);
create trigger disputes_touch before update on disputes for each row execute function touch_updated_at();

-- Each word that the provider has said of a dispute, when it was first read.
create table dispute_statuses (
    dispute_id uuid not null references disputes (id) on delete restrict,
    status     text not null constraint dispute_statuses_status_bounded check (length(status) between 1 and 100),
    read_at    timestamptz not null default now(),
    constraint dispute_statuses_told_once primary key (dispute_id, status)
);

-- Which booking moved money between a balance and a refund or a dispute.
create table card_bookings (
    transaction_id uuid primary key,
    card_refund_id uuid references card_refunds (id) on delete restrict,
    dispute_id     uuid references disputes (id) on delete restrict,
    constraint card_bookings_of_one check (num_nonnulls(card_refund_id, dispute_id) = 1)
);
create index card_bookings_card_refund_id_idx on card_bookings (card_refund_id) where card_refund_id is not null;
create index card_bookings_dispute_id_idx on card_bookings (dispute_id) where dispute_id is not null;

-- What a person has to look at. A warning of fraud holds the user's undelivered copies until it is closed.
create table payment_incidents (
    id          uuid primary key default gen_random_uuid(),
    kind        text not null constraint payment_incidents_kind_known check (kind in (
                    'DISPUTE',                             -- the cardholder disputes a payment
                    'DISPUTE_STATUS',                      -- a status of a dispute that this version does not know
                    'FRAUD_WARNING',                       -- the card's bank reports fraud
                    'REFUND_FAILED',                       -- the money is back on the balance
                    'REFUND_OUTSIDE',                      -- a refund that was made in the provider's own pages
                    'REFUND_WAITING',                      -- the provider does not make it
                    'AMOUNT',                              -- the provider refunded another amount than was asked for
                    'IN_REVIEW',                           -- money of a top-up that staff review
                    'BEFORE_BOOKS',                        -- from before these tables, when it was settled by hand
                    'COPIES_WAIT')),                       -- a debtor's copies that are paid for at the supplier
    reference   text not null constraint payment_incidents_reference_bounded check (length(reference) between 1 and 200),
    top_up_id   uuid not null,
    user_id     uuid not null,
    detail      text not null constraint payment_incidents_detail_bounded check (length(detail) between 1 and 500),
    created_at  timestamptz not null default now(),
    resolved_at timestamptz,
    resolved_by uuid,
    constraint payment_incidents_told_once unique (kind, reference),
    constraint payment_incidents_closed_by_somebody check (resolved_by is null or resolved_at is not null)
);
create index payment_incidents_top_up_id_idx on payment_incidents (top_up_id);
create index payment_incidents_resolved_by_idx on payment_incidents (resolved_by) where resolved_by is not null;
create index payment_incidents_user_id_idx on payment_incidents (user_id);
create index payment_incidents_open_idx on payment_incidents (created_at) where resolved_at is null;

-- Signed events that wait until their object has been read at the provider.
create table payment_inbox (
    provider     text not null,
    event_id     text not null constraint payment_inbox_event_id_bounded check (length(event_id) between 1 and 300),
    kind         text not null constraint payment_inbox_kind_bounded check (length(kind) between 1 and 100),
    object       text not null constraint payment_inbox_object_known check (object in ('session', 'charge', 'refund', 'dispute', 'warning')),
    reference    text not null constraint payment_inbox_reference_bounded check (length(reference) between 1 and 100),
    status       text constraint payment_inbox_status_bounded check (length(status) <= 100),  -- as the event says it
    received_at  timestamptz not null default now(),
    attempts     integer not null default 0,
    not_before   timestamptz not null default now(),
    asking_until timestamptz,                              -- lease of the process that reads the object
    done_at      timestamptz,
    outcome      text constraint payment_inbox_outcome_bounded check (length(outcome) between 1 and 50),
    problem      text constraint payment_inbox_problem_bounded check (length(problem) <= 500),
    constraint payment_inbox_taken_once primary key (provider, event_id),
    constraint payment_inbox_outcome_of_an_end check ((done_at is null) = (outcome is null))
);
create index payment_inbox_due_idx on payment_inbox (not_before) where done_at is null;
-- The sweep.
create index payment_inbox_done_at_idx on payment_inbox (done_at) where done_at is not null;

-- Numbers of readings at the provider, drawn before each: a reading that began earlier never replaces a later one.
create sequence payment_reads;

-- The last comparison with the provider, and what differed then.
create table payment_comparisons (
    provider   text primary key,
    began_at   timestamptz not null,
    ended_at   timestamptz,                                -- null: under way, or the provider did not answer
    since      timestamptz not null,                       -- from when on the provider's objects were compared
    compared   integer not null default 0 constraint payment_comparisons_compared_not_negative check (compared >= 0)
);
create table payment_differences (
    provider  text not null references payment_comparisons (provider) on delete cascade,
    kind      text not null constraint payment_differences_kind_bounded check (length(kind) between 1 and 50),
    reference text not null constraint payment_differences_reference_bounded check (length(reference) between 1 and 200),
    detail    text not null constraint payment_differences_detail_bounded check (length(detail) between 1 and 500),
    found_at  timestamptz not null default now(),
    constraint payment_differences_told_once primary key (provider, kind, reference)
);

-- Whether undelivered copies of a user wait: money of theirs is disputed, owed, or reported as fraud.
create function buyer_is_held(buyer uuid) returns boolean language sql stable set search_path from current as $$
    select exists (select from disputes where user_id = buyer and (state = 'OPEN' or debt > 0))
        or exists (select from card_refunds where user_id = buyer and debt > 0)
        or exists (select from payment_incidents where user_id = buyer and kind = 'FRAUD_WARNING' and resolved_at is null)
$$;

-- Whether a user owes what was taken back: what is not paid for at the supplier is refunded, and settles it.
create function buyer_is_owing(buyer uuid) returns boolean language sql stable set search_path from current as $$
    select exists (select from disputes where user_id = buyer and debt > 0)
        or exists (select from card_refunds where user_id = buyer and debt > 0)
$$;

-- What a top-up still holds: what was credited, less what went back or is disputed.
create function top_up_left(subject uuid) returns numeric language sql stable set search_path from current as $$
    select coalesce(p.credited_amount, p.amount)
           - coalesce((select sum(r.amount) from card_refunds r where r.top_up_id = p.id and r.state <> 'FAILED'), 0)
           - coalesce((select sum(d.amount) from disputes d where d.top_up_id = p.id and d.state <> 'WON'), 0)
      from top_ups p where p.id = subject and p.status = 'COMPLETED'
$$;

-- Before: how a refund or a dispute is covered. The user's row is locked first, always.
create function card_refunds_cover() returns trigger language plpgsql set search_path from current as $$
declare
    has numeric;
    taken numeric;
begin
    if tg_op = 'UPDATE' and (old.top_up_id, old.user_id, old.claimed, old.made_here)
       is distinct from (new.top_up_id, new.user_id, new.claimed, new.made_here)
       or tg_op = 'UPDATE' and new.made_here and new.amount <> old.amount
       or tg_op = 'UPDATE' and old.reference is not null and new.reference is distinct from old.reference then
        raise exception 'which money a refund gives back does not change'
            using errcode = 'check_violation', constraint = 'card_refunds_facts_fixed', table = 'card_refunds';
    end if;
    if tg_op = 'INSERT' then
        new.claimed := coalesce(new.claimed, new.amount);
    elsif new.state = old.state and new.amount = old.amount then
        return new;
    end if;
    perform 1 from top_ups where id = new.top_up_id for no key update;
    select balance into has from users where id = new.user_id for no key update;
    if tg_op = 'INSERT' then
        if not exists (select from top_ups where id = new.top_up_id and user_id = new.user_id and status = 'COMPLETED') then
            raise exception 'only a paid top-up of this user can be refunded'
                using errcode = 'check_violation', constraint = 'card_refunds_of_a_paid_top_up', table = 'card_refunds';
        end if;
        if new.made_here and new.state = 'REQUESTED' and new.amount > top_up_left(new.top_up_id) then
            raise exception 'top-up % holds less than %', new.top_up_id, new.amount
                using errcode = 'check_violation', constraint = 'card_refunds_within_top_up', table = 'card_refunds';
        end if;
        if new.made_here and new.state = 'REQUESTED' and new.amount > has then
            raise exception 'the balance is %, less than %', has, new.amount
                using errcode = 'check_violation', constraint = 'card_refunds_within_balance', table = 'card_refunds';
        end if;
        new.held := 0;
        new.debt := 0;
    end if;
    if new.state = 'FAILED' then
        new.held := 0;
        new.debt := 0;
    elsif tg_op = 'INSERT' or old.state = 'FAILED' or new.amount <> old.amount then
        new.held := least(new.held, new.amount);
        taken := least(new.amount - new.held, greatest(has, 0));
        new.held := new.held + taken;
        new.debt := new.amount - new.held;
    end if;
    return new;
end $$;
create trigger card_refunds_cover before insert or update on card_refunds
    for each row execute function card_refunds_cover();

create function disputes_cover() returns trigger language plpgsql set search_path from current as $$
declare
    has numeric;
    taken numeric;
begin
    if tg_op = 'UPDATE' and (old.reference, old.top_up_id, old.user_id) is distinct from (new.reference, new.top_up_id, new.user_id) then
        raise exception 'which money is disputed does not change'
            using errcode = 'check_violation', constraint = 'disputes_facts_fixed', table = 'disputes';
    end if;
    if tg_op = 'INSERT' then
        new.claimed := coalesce(new.claimed, new.amount);
    elsif new.state = old.state and new.amount = old.amount then
        return new;
    end if;
    select balance into has from users where id = new.user_id for no key update;
    if tg_op = 'INSERT' then
        if not exists (select from top_ups where id = new.top_up_id and user_id = new.user_id and status = 'COMPLETED') then
            raise exception 'only a paid top-up of this user can be disputed'
                using errcode = 'check_violation', constraint = 'disputes_of_a_paid_top_up', table = 'disputes';
        end if;
        new.held := 0;
        new.debt := 0;
    end if;
    new.closed_at := case when new.state <> 'OPEN' then coalesce(new.closed_at, now()) end;
    if new.state = 'WON' then
        new.held := 0;
        new.debt := 0;
    else
        new.held := least(new.held, new.amount);
        taken := least(new.amount - new.held, greatest(has, 0));
        new.held := new.held + taken;
        new.debt := case new.state when 'LOST' then new.amount - new.held else 0 end;
    end if;
    return new;
end $$;
create trigger disputes_cover before insert or update on disputes
    for each row execute function disputes_cover();

-- After: what is held moves between the balance and the refund or dispute, with a booking.
create function held_moves() returns trigger language plpgsql set search_path from current as $$
declare
    moved numeric := new.held - case when tg_op = 'UPDATE' then old.held else 0 end;
    booking uuid := gen_random_uuid();
    is_refund boolean := tg_table_name = 'card_refunds';
begin
    if moved <> 0 then
        insert into transactions (id, user_id, type, amount, method, status, description)
        values (booking, new.user_id, case when moved > 0 then 'PURCHASE' else 'REFUND' end::transaction_type, -moved,
                case when is_refund then 'CARD_REFUND' else 'DISPUTE' end, 'COMPLETED',
                case when is_refund then case when moved > 0 then 'Refund to the card' else 'Refund to the card failed' end
                     else case when moved > 0 then 'Disputed payment' else 'Dispute closed' end end);
        insert into card_bookings (transaction_id, card_refund_id, dispute_id)
        values (booking, case when is_refund then new.id end, case when not is_refund then new.id end);
        update users set balance = balance - moved where id = new.user_id;
    end if;
    if moved < 0 or new.debt > 0 then
        perform settle_cards(new.user_id, moved < 0);
    end if;
    return null;
end $$;
create trigger card_refunds_held_moves after insert or update on card_refunds for each row execute function held_moves();
create trigger disputes_held_moves after insert or update on disputes for each row execute function held_moves();

-- Takes from a balance what is owed, the oldest debt first; and, where money came back, what open disputes still lack. What is
-- owed is certain, and what is disputed is not: a lien gives way to a debt, so that the order of events does not matter.
create function settle_cards(owner uuid, with_liens boolean) returns void language plpgsql set search_path from current as $$
declare
    has numeric;
    owed numeric;
    next record;
begin
    loop
        select balance into has from users where id = owner for no key update;
        exit when not found;
        if has <= 0 then
            select coalesce((select sum(debt) from card_refunds where user_id = owner and debt > 0), 0)
                 + coalesce((select sum(debt) from disputes where user_id = owner and debt > 0), 0) into owed;
            exit when owed = 0;
            select id, least(held, owed) as lacks into next from disputes
             where user_id = owner and state = 'OPEN' and held > 0 order by opened_at desc, id desc limit 1;
            exit when not found;
            -- It comes back to the balance, from where the debt takes it.
            update disputes set held = held - next.lacks where id = next.id;
            continue;
        end if;
        select * into next from (
            select id, true as is_refund, true as is_debt, debt as lacks, created_at as since from card_refunds where user_id = owner and debt > 0
            union all
            select id, false, true, debt, opened_at from disputes where user_id = owner and debt > 0
            union all
            select id, false, false, amount - held, opened_at from disputes
             where with_liens and user_id = owner and state = 'OPEN' and held < amount) lacking
         order by is_debt desc, since, id limit 1;
        exit when not found;
        next.lacks := least(next.lacks, has);
        if next.is_refund then
            update card_refunds set held = held + next.lacks, debt = debt - next.lacks where id = next.id;
        elsif next.is_debt then
            update disputes set held = held + next.lacks, debt = debt - next.lacks where id = next.id;
        else
            update disputes set held = held + next.lacks where id = next.id;
        end if;
    end loop;
end $$;

-- At commit, what is held for a refund or a dispute is what was booked for it.
create function card_bookings_are_held() returns trigger language plpgsql set search_path from current as $$
declare
    refund uuid;
    dispute uuid;
begin
    if tg_table_name = 'card_bookings' then
        refund := new.card_refund_id;
        dispute := new.dispute_id;
    elsif tg_table_name = 'card_refunds' then
        refund := new.id;
    else
        dispute := new.id;
    end if;
    if exists (select from card_refunds r where r.id = refund and r.held <> coalesce((
            select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
             where b.card_refund_id = r.id and t.user_id = r.user_id and t.status = 'COMPLETED'), 0)) then
        raise exception 'what is held for refund % is not what was booked', refund
            using errcode = 'check_violation', constraint = 'card_refunds_held_is_booked', table = 'card_refunds';
    end if;
    if exists (select from disputes d where d.id = dispute and d.held <> coalesce((
            select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
             where b.dispute_id = d.id and t.user_id = d.user_id and t.status = 'COMPLETED'), 0)) then
        raise exception 'what is held for dispute % is not what was booked', dispute
            using errcode = 'check_violation', constraint = 'disputes_held_is_booked', table = 'disputes';
    end if;
    return null;
end $$;
create constraint trigger card_refunds_held_is_booked after insert or update on card_refunds
    deferrable initially deferred for each row execute function card_bookings_are_held();
create constraint trigger disputes_held_is_booked after insert or update on disputes
    deferrable initially deferred for each row execute function card_bookings_are_held();
create constraint trigger card_bookings_are_held after insert on card_bookings
    deferrable initially deferred for each row execute function card_bookings_are_held();

-- Nothing of it is taken back or forgotten.
create function card_rows_stay() returns trigger language plpgsql set search_path from current as $$
begin
    raise exception 'a row of % is never deleted', tg_table_name
        using errcode = 'check_violation', constraint = 'card_rows_kept', table = tg_table_name;
end $$;
create trigger card_bookings_kept before update or delete on card_bookings for each row execute function card_rows_stay();
create trigger card_refunds_kept before delete on card_refunds for each row execute function card_rows_stay();
create trigger disputes_kept before delete on disputes for each row execute function card_rows_stay();

-- At commit, who owes something has no balance.
create function debts_come_first() returns trigger language plpgsql set search_path from current as $$
declare
    owner uuid;
begin
    if tg_table_name = 'users' then
        owner := new.id;
    else
        owner := new.user_id;
    end if;
    if exists (select from users where id = owner and balance > 0)
       and (exists (select from disputes where user_id = owner and debt > 0)
            or exists (select from card_refunds where user_id = owner and debt > 0)) then
        raise exception 'user % has a balance and owes something', owner
            using errcode = 'check_violation', constraint = 'users_debts_come_first', table = 'users';
    end if;
    return null;
end $$;
create constraint trigger card_refunds_debts_come_first after insert or update on card_refunds
    deferrable initially deferred for each row when (new.debt > 0) execute function debts_come_first();
create constraint trigger disputes_debts_come_first after insert or update on disputes
    deferrable initially deferred for each row when (new.debt > 0) execute function debts_come_first();

create function credits_settle_cards() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_table_name = 'users' then
        perform settle_cards(new.id, false);
    else
        perform settle_cards(new.user_id, true);
    end if;
    return null;
end $$;

create function order_units_wait() returns trigger language plpgsql set search_path from current as $$
begin
    if buyer_is_held((select user_id from orders where id = new.order_id)) then
        raise exception 'money of the buyer of unit % is disputed, owed, or reported as fraud', new.id
            using errcode = 'check_violation', constraint = 'order_units_held', table = 'order_units';
    end if;
    return new;
end $$;
