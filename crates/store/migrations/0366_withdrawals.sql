-- Declarations of withdrawal from a contract, made without a log-in. What staff decide about one is final, and moves its
-- money in the same transaction.

create table withdrawals (
    id             uuid primary key,                       -- drawn with the form, so that one that is sent twice is one
    name           text not null constraint withdrawals_name_bounded check (length(name) between 1 and 100),
    order_ref      text not null constraint withdrawals_order_ref_bounded check (length(order_ref) between 1 and 60),
    contact        text not null constraint withdrawals_contact_bounded check (length(contact) between 3 and 254),
    language       text not null constraint withdrawals_language_bounded check (length(language) between 2 and 10),
    address        text constraint withdrawals_address_bounded check (length(address) <= 100),  -- IP address of the client
    order_id       uuid,                                   -- null: no such order, or the contact is not its buyer's
    user_id        uuid,                                   -- the account with this contact
    state          text not null default 'OPEN' constraint withdrawals_state_known check (state in ('OPEN', 'ACCEPTED', 'REFUSED')),
    reason         text constraint withdrawals_reason_bounded check (length(reason) between 1 and 500),
    refunded       numeric(12,2) not null default 0 constraint withdrawals_refunded_not_negative check (refunded >= 0 and refunded < 'NaN'),
                                                           -- EUR, to the balance
    card_refund_id uuid,                                   -- what went on to the card
    decided_by     uuid,
    decided_at     timestamptz,
    created_at     timestamptz not null default now(),
    constraint withdrawals_decided_by_somebody check (num_nonnulls(decided_by, decided_at) = case state when 'OPEN' then 0 else 2 end),
    constraint withdrawals_refused_with_reason check (state <> 'REFUSED' or reason is not null),
    constraint withdrawals_only_accepted_pay check (state = 'ACCEPTED' or (refunded = 0 and card_refund_id is null))
);
-- The list, newest first (store.withdrawals.list).
create index withdrawals_created_at_idx on withdrawals (created_at desc, id desc);
-- Those that wait.
create index withdrawals_open_idx on withdrawals (created_at desc, id desc) where state = 'OPEN';
create index withdrawals_order_id_idx on withdrawals (order_id) where order_id is not null;
create index withdrawals_user_id_idx on withdrawals (user_id) where user_id is not null;
create index withdrawals_decided_by_idx on withdrawals (decided_by) where decided_by is not null;
create index withdrawals_card_refund_id_idx on withdrawals (card_refund_id) where card_refund_id is not null;

create function withdrawals_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if old.state <> 'OPEN' then
        raise exception 'withdrawal % is decided', old.id
            using errcode = 'check_violation', constraint = 'withdrawals_decided_once', table = 'withdrawals';
    end if;
    if (new.name, new.order_ref, new.contact, new.created_at) is distinct from (old.name, old.order_ref, old.contact, old.created_at) then
        raise exception 'what a withdrawal says does not change'
            using errcode = 'check_violation', constraint = 'withdrawals_facts_fixed', table = 'withdrawals';
    end if;
    return new;
end $$;
create trigger withdrawals_guard before update on withdrawals for each row execute function withdrawals_guard();
