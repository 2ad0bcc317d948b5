-- The balance that a member of staff was shown last, one row a session: a form that sends a new balance, and not the one that it
-- replaces, is compared with it. Not worth writing ahead: after a crash the user has to be looked at again.
create unlogged table seen_balances (
    session_id uuid primary key references user_sessions (id) on delete cascade,
    user_id    uuid not null,                              -- it may be gone
    balance    numeric(12,2) not null                      -- EUR
);
