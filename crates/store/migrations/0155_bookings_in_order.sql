-- no-transaction
-- The same for a user's bookings.
create index concurrently transactions_user_id_ordered_idx on transactions (user_id, created_at desc, id desc);
