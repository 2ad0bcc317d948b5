-- Letters that people are still owed, written in the transaction that caused them and sent by the mail worker at least
-- once. A letter that was sent, or given up, keeps its row for a while, but no longer what it said.

create table mail_outbox (
    id          uuid primary key default gen_random_uuid(),
    user_id     uuid references users (id) on delete cascade,
    recipient   text not null,
    kind        text not null constraint mail_outbox_kind_known
                check (kind in ('welcome', 'verification', 'reset', 'password-changed', 'new-device')),
    letter      jsonb,                                     -- lockstep_domain::letter::Letter; may hold a code or link
    created_at  timestamptz not null default now(),
    not_after   timestamptz not null,                      -- later it would be of no use (its code has run out)
    attempts    integer not null default 0 constraint mail_outbox_attempts_bounded check (attempts between 0 and 100),
    not_before  timestamptz not null default now(),        -- back-off, and the lease while somebody sends it
    lease       uuid,                                      -- null: nobody is sending it
    sent_at     timestamptz,
    gave_up_at  timestamptz,
    last_error  text constraint mail_outbox_last_error_bounded check (length(last_error) <= 500),
    constraint mail_outbox_sent_or_given_up check (sent_at is null or gave_up_at is null),
    constraint mail_outbox_says_nothing_afterwards check ((letter is null) = (sent_at is not null or gave_up_at is not null))
);
-- All that the worker ever scans.
create index mail_outbox_owed_idx on mail_outbox (not_before, id) where letter is not null;
-- What was given up, for the console.
create index mail_outbox_gave_up_idx on mail_outbox (gave_up_at desc) where gave_up_at is not null;
create index mail_outbox_user_id_idx on mail_outbox (user_id);
-- The sweep.
create index mail_outbox_created_at_idx on mail_outbox (created_at) where letter is null;
