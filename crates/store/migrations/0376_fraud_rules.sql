-- Rules against fraud as data, and the payments that wait for a person because of one.

create table fraud_rules (
    name       text primary key constraint fraud_rules_known check (name in (
                   'ACCOUNT_AMOUNT',                  -- refuses: top-ups of an account within `hours` above `amount` together
                   'ACCOUNT_COUNT',                   -- refuses: more than `count` top-ups of an account within `hours`
                   'NEW_ACCOUNT',                     -- holds: top-ups of an account in its first `hours` above `amount` together
                   'CARD_ACCOUNTS',                   -- holds: a card on more than `count` accounts within `hours`
                   'CARD_AMOUNT',                     -- holds: payments of a card within `hours` above `amount` together
                   'CARD_COUNT',                      -- holds: more than `count` payments of a card within `hours`
                   'CARD_COUNTRY',                    -- holds: the card's country is not that of the address, of an account in its first
                                                      -- `hours`, from `amount` on
                   'DISPOSABLE_EMAIL',                -- holds: an e-mail address of a throw-away service, from `amount` on
                   'AUTHENTICATION')),                -- asks the card's bank for 3-D Secure, from `amount` on
    is_on      boolean not null,
    amount     numeric(12,2) constraint fraud_rules_amount_positive check (amount > 0 and amount < 'NaN'),  -- EUR
    count      integer constraint fraud_rules_count_bounded check (count between 1 and 10000),
    hours      integer constraint fraud_rules_hours_bounded check (hours between 1 and 8760),
    version    integer not null default 1 constraint fraud_rules_version_positive check (version > 0),
    changed_at timestamptz not null default now(),
    -- A rule has exactly what it measures with.
    constraint fraud_rules_measured check (
        (amount is not null) = (name not in ('ACCOUNT_COUNT', 'CARD_ACCOUNTS', 'CARD_COUNT'))
        and (count is not null) = (name in ('ACCOUNT_COUNT', 'CARD_ACCOUNTS', 'CARD_COUNT'))
        and (hours is not null) = (name not in ('DISPOSABLE_EMAIL', 'AUTHENTICATION')))
);
insert into fraud_rules (name, is_on, amount, count, hours) values
    ('ACCOUNT_AMOUNT', true, 10000, null, 24),
    ('ACCOUNT_COUNT', true, null, 30, 24),
    ('NEW_ACCOUNT', true, 100, null, 24),
    ('CARD_ACCOUNTS', true, null, 3, 24),
    ('CARD_AMOUNT', true, 2000, null, 24),
    ('CARD_COUNT', true, null, 10, 24),
    ('CARD_COUNTRY', true, 50, null, 720),
    ('DISPOSABLE_EMAIL', true, 20, null, null),
    ('AUTHENTICATION', true, 100, null, null);

-- Services of throw-away e-mail addresses. Source: the front pages of these services, which say that anybody may read the mail.
create table disposable_domains (
    domain     text primary key constraint disposable_domains_lower_case
               check (domain ~ '^[a-z0-9-]+(\.[a-z0-9-]+)+$' and length(domain) <= 253),
    source     text not null constraint disposable_domains_source_bounded check (length(source) between 1 and 200),
    checked_on date not null
);
insert into disposable_domains (domain, source, checked_on)
select domain, 'https://' || domain, date '2026-11-30' from unnest(array[
    '10minutemail.com', '10minutemail.net', '20minutemail.com', '33mail.com', 'anonbox.net', 'burnermail.io', 'byom.de', 'discard.email',
    'dispostable.com', 'dropmail.me', 'emailondeck.com', 'fakemail.net', 'fakemailgenerator.com', 'getairmail.com', 'getnada.com',
    'grr.la', 'guerrillamail.com', 'guerrillamail.de', 'guerrillamail.net', 'guerrillamail.org', 'guerrillamailblock.com', 'inboxkitten.com',
    'incognitomail.org', 'jetable.org', 'mail-temp.com', 'mail.tm', 'mailcatch.com', 'maildrop.cc', 'mailinator.com', 'mailnesia.com',
    'mailnull.com', 'mailsac.com', 'mailtemp.net', 'minuteinbox.com', 'mintemail.com', 'moakt.com', 'mohmal.com', 'mytemp.email',
    'sharklasers.com', 'spam4.me', 'spambog.com', 'spamgourmet.com', 'temp-mail.io', 'temp-mail.org', 'tempail.com', 'tempinbox.com',
    'tempmail.dev', 'tempmailo.com', 'tempr.email', 'throwawaymail.com', 'trash-mail.com', 'trashmail.com', 'trashmail.de', 'wegwerfmail.de',
    'yopmail.com', 'yopmail.fr']) as domain;

-- Where a top-up was begun. Evidence about a dispute needs it as long as cards allow one.
create table top_up_origins (
    top_up_id    uuid primary key,
    address      inet,                                     -- of the browser
    user_agent   text constraint top_up_origins_user_agent_bounded check (length(user_agent) <= 500),
    country      text constraint top_up_origins_country_code check (country ~ '^[A-Z]{2}$'),  -- of the address
    email        text not null constraint top_up_origins_email_bounded check (length(email) between 1 and 320),
    authenticate boolean not null,                         -- the card's bank is asked for 3-D Secure
    created_at   timestamptz not null default now()
);
create index top_up_origins_created_at_idx on top_up_origins (created_at);

-- Payments that wait for a person: nothing undelivered of their owner is bought or delivered meanwhile.
create table payment_holds (
    id         uuid primary key default gen_random_uuid(),
    top_up_id  uuid not null,
    user_id    uuid not null,
    rule       text not null constraint payment_holds_rule_bounded check (length(rule) between 1 and 50),
                                                           -- a fraud rule; UNREAD: its card was not read yet
    detail     text not null constraint payment_holds_detail_bounded check (length(detail) between 1 and 500),  -- for staff
    state      text not null default 'OPEN' constraint payment_holds_state_known check (state in (
                   'OPEN', 'RELEASED',
                   'REFUNDING',                            -- copies go back; then what is left of the top-up goes to the card
                   'REFUNDED')),
    ends_at    timestamptz,                                -- null: when a person decides
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    decided_by uuid,
    note       text constraint payment_holds_note_bounded check (length(note) between 1 and 500),
    refund_id  uuid references card_refunds (id) on delete restrict,
    constraint payment_holds_once unique (top_up_id, rule),
    constraint payment_holds_decided check ((state = 'OPEN') = (decided_at is null) and (decided_at is null) = (decided_by is null)),
    constraint payment_holds_refund_of_refunded check (refund_id is null or state = 'REFUNDED')
);
create index payment_holds_refund_id_idx on payment_holds (refund_id) where refund_id is not null;
create index payment_holds_decided_by_idx on payment_holds (decided_by) where decided_by is not null;
-- What holds a user.
create index payment_holds_user_id_idx on payment_holds (user_id) where state in ('OPEN', 'REFUNDING');
create index payment_holds_all_user_id_idx on payment_holds (user_id);
create index payment_holds_created_at_idx on payment_holds (created_at, id);

-- What was decided about a payment is not decided again.
create function payment_holds_end() returns trigger language plpgsql set search_path from current as $$
begin
    if (old.top_up_id, old.user_id, old.rule) is distinct from (new.top_up_id, new.user_id, new.rule)
       or new.state <> old.state and not (old.state = 'OPEN' or old.state = 'REFUNDING' and new.state = 'REFUNDED') then
        raise exception 'hold % has ended as %', old.id, old.state
            using errcode = 'check_violation', constraint = 'payment_holds_forward', table = 'payment_holds';
    end if;
    return new;
end $$;
create trigger payment_holds_end before update on payment_holds for each row execute function payment_holds_end();

-- Whether undelivered copies of a user wait: money of theirs is disputed, owed, reported as fraud, or held by a rule.
create or replace function buyer_is_held(buyer uuid) returns boolean language sql stable set search_path from current as $$
    select exists (select from disputes where user_id = buyer and (state = 'OPEN' or debt > 0))
        or exists (select from card_refunds where user_id = buyer and debt > 0)
        or exists (select from payment_incidents where user_id = buyer and resolved_at is null
                      and (kind = 'FRAUD_WARNING' or kind = 'COPIES_WAIT' and reference like 'hold %'))
        or exists (select from payment_holds where user_id = buyer and state in ('OPEN', 'REFUNDING') and (ends_at is null or ends_at > now()))
$$;

-- Whether copies of a held user that are not paid for at the supplier are refunded instead of waiting: the money is owed or goes
-- back to its card, or a warning of fraud was not decided in time.
create function copies_go_back(buyer uuid) returns boolean language sql stable set search_path from current as $$
    select buyer_is_owing(buyer)
        or exists (select from payment_holds where user_id = buyer and state = 'REFUNDING')
        or exists (select from payment_incidents where user_id = buyer and kind = 'FRAUD_WARNING' and resolved_at is null
                      and due_at <= now())
$$;
