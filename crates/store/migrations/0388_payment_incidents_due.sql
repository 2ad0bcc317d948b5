-- no-transaction
-- Those whose time is near.
create index concurrently if not exists payment_incidents_due_idx on payment_incidents (due_at) where resolved_at is null and alarmed_at is null;
