-- no-transaction
-- The list of keys for staff, newest first.
create index concurrently game_keys_created_at_idx on game_keys (created_at, id);
