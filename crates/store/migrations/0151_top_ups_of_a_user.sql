-- no-transaction
-- A user's top-ups in order, page by page.
create index concurrently top_ups_user_id_idx on top_ups (user_id, created_at, id);
