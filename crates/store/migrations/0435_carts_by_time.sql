-- no-transaction
-- Carts, the last change first: the list of staff.
create index concurrently cart_items_added_at_idx on cart_items (added_at desc, user_id);
