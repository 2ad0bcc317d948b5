-- no-transaction
-- Bookings, newest first: the dashboard, the list of staff and its file; and those of a period.
create index concurrently transactions_created_at_idx on transactions (created_at desc, id desc);
