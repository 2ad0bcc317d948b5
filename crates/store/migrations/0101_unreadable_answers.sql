-- Answers to key calls in which no key could be found, sealed: a person decides what they hold. Kept here and not in a
-- folder, so that they are found from every machine and are part of every backup.
create table unreadable_answers (
    id            uuid primary key,                        -- that of its file in the spool
    order_unit_id uuid not null references order_units (id) on delete cascade,
    game_id       uuid not null references games (id) on delete cascade,
    g2a_order_id  text not null,
    sealed        bytea not null,
    bytes         integer not null,                        -- as it came
    complete      boolean not null,                        -- it had an end
    machine       text not null,                           -- where it came in
    received_at   timestamptz not null default now(),
    decision      text constraint unreadable_answers_decision_known check (decision in (
                      'ACCEPTED',                          -- a person found the key
                      'DISCARDED',                         -- a person found none
                      'OBSOLETE')),                        -- the key came by another way
    decided_at    timestamptz,
    constraint unreadable_answers_decided_whole check ((decision is null) = (decided_at is null))
);
create index unreadable_answers_open_idx on unreadable_answers (received_at) where decided_at is null;
create index unreadable_answers_unit_idx on unreadable_answers (order_unit_id);
create index unreadable_answers_game_idx on unreadable_answers (game_id, received_at);

-- Games that are not bought at G2A for a while, because their answers hold no keys.
create table game_stops (
    game_id   uuid primary key references games (id) on delete cascade,
    since     timestamptz not null default now(),
    until     timestamptz not null,
    lifted_at timestamptz,                                 -- by a person, before its time
    reason    text not null
);
