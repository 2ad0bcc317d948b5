-- no-transaction
-- A user's orders in order, so that a page deep in a long list is found in the index alone. It takes the place of
-- `orders_user_id_idx` in 0156.
create index concurrently orders_user_id_ordered_idx on orders (user_id, created_at desc, id desc);
