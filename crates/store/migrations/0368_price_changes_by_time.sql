-- no-transaction
-- What a game cost in the last 30 days (lowest_price_before).
create index concurrently if not exists price_changes_lowest_idx on price_changes (game_id, at) include (previous_price);
