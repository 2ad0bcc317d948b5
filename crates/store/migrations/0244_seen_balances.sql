-- The balances of a user that a session of staff was shown: a form that sends a new balance, and not the one that it replaces, is
-- compared with them. Not worth writing ahead: after a crash the user has to be looked at again.
create unlogged table seen_balances (
    session_id uuid not null references user_sessions (id) on delete cascade,
    user_id    uuid not null,                              -- it may be gone
    balance    numeric(12,2) not null,                     -- EUR
    at         timestamptz not null default now(),         -- when it was shown last
    primary key (session_id, user_id, balance)
);
