-- no-transaction
-- Wishlists, the last change first: the list of staff.
create index concurrently wishlist_added_at_idx on wishlist (added_at desc, user_id);
