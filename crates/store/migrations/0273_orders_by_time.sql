-- no-transaction
-- Orders, newest first: the dashboard, the list of staff and its file.
create index concurrently orders_created_at_idx on orders (created_at desc, id desc);
