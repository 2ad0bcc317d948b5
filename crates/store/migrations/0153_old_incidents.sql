-- no-transaction
-- The sweep.
create index concurrently incidents_created_at_idx on incidents (created_at);
