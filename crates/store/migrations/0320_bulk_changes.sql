-- Bulk changes: one change of many games. Staff see its exact result first; a worker carries out what they confirmed, game by game in
-- parts (store::bulk), and takes it back when asked. A part is one transaction with its entry in the audit log, so that each game is as
-- before or as after, whoever dies.
create table bulk_changes (
    id           uuid primary key,
    kind         text not null constraint bulk_changes_kind_known check (kind in (
                     'PRICE_PERCENT', 'PRICE_AMOUNT', 'PRICE_SET', 'PRICE_DROP', 'HIDE', 'SHOW', 'FEATURE', 'UNFEATURE')),
    amount       numeric(12,2),                            -- percent, or EUR
    below_cost   boolean not null default false,           -- prices may be below the supplier's
    state        text not null default 'PREVIEW' constraint bulk_changes_state_known
                 check (state in ('PREVIEW', 'OPEN', 'COMPLETED', 'UNDOING', 'UNDONE')),
    as_of        timestamptz not null,                     -- when staff looked at the list
    created_by   uuid references users (id) on delete set null,
    created_at   timestamptz not null default now(),
    confirmed_at timestamptz,
    finished_at  timestamptz,
    undone_by    uuid references users (id) on delete set null,
    undo_at      timestamptz,                              -- when it was asked to be undone
    undone_at    timestamptz,
    constraint bulk_changes_amount_of_prices check (
        (amount is not null) = (kind in ('PRICE_PERCENT', 'PRICE_AMOUNT', 'PRICE_SET'))
        and case kind when 'PRICE_PERCENT' then amount > -100 and amount <= 1000 and amount <> 0
                      when 'PRICE_AMOUNT' then abs(amount) <= 1000000 and amount <> 0
                      when 'PRICE_SET' then amount > 0 and amount <= 1000000 else true end),
    constraint bulk_changes_times_of_states check (
        (confirmed_at is null) = (state = 'PREVIEW') and (finished_at is null) = (state in ('PREVIEW', 'OPEN'))
        and (undo_at is not null) = (state in ('UNDOING', 'UNDONE')) and (undone_at is not null) = (state = 'UNDONE'))
);
-- What a worker has to do, the first to be confirmed first (store.bulk.open).
create index bulk_changes_open_idx on bulk_changes (confirmed_at, id) where state in ('OPEN', 'UNDOING');
-- The list (store.bulk.list), and the sweep.
create index bulk_changes_created_at_idx on bulk_changes (created_at desc, id desc);
create index bulk_changes_created_by_idx on bulk_changes (created_by);
create index bulk_changes_undone_by_idx on bulk_changes (undone_by);

create table bulk_change_games (
    bulk_id        uuid not null references bulk_changes (id) on delete cascade,
    game_id        uuid not null references games (id) on delete cascade,
    state          text not null default 'WAITING' constraint bulk_change_games_state_known
                   check (state in ('WAITING', 'DONE', 'SKIPPED', 'UNDONE', 'KEPT')),
    reason         text constraint bulk_change_games_reason_known
                   check (reason in ('CHANGED', 'NOTHING', 'OUT_OF_RANGE', 'BELOW_COST', 'WITHDRAWN', 'SOLD', 'SCHEDULED', 'STOPPED')),
    price_before   numeric(12,2) not null,                 -- EUR
    price_after    numeric(12,2),                          -- EUR; null if it is not about the price
    cost           numeric(14,4),                          -- EUR, what the supplier asks, when it was looked at
    -- What is brought back, known once it is done.
    original_before numeric(12,2),                         -- EUR, the price before a reduction
    was_own        boolean,                                -- staff had set the value before
    edits          bigint,                                 -- of the field, once it was done (game_edits)
    undo_cost      numeric(14,4),                          -- EUR, what the supplier asked when a price below it was to be brought back
    primary key (bulk_id, game_id),
    constraint bulk_change_games_reason_of_skipped check ((reason is not null) = (state in ('SKIPPED', 'KEPT'))),
    constraint bulk_change_games_prices_positive check (
        price_before > 0 and price_before < 'NaN' and price_after > 0 and price_after < 'NaN'
        and cost > 0 and cost < 'NaN' and original_before > 0 and original_before < 'NaN' and undo_cost > 0 and undo_cost < 'NaN')
);
-- The next games of a worker (store.bulk.next), without those that are done.
create index bulk_change_games_state_idx on bulk_change_games (bulk_id, state, game_id);
create index bulk_change_games_game_id_idx on bulk_change_games (game_id);
