-- no-transaction
-- The sweep: what came to nothing long ago.
create index concurrently top_ups_unpaid_idx on top_ups (updated_at) where status in ('FAILED', 'CANCELLED');
