-- no-transaction
-- Users, newest first: the list of staff and its file.
create index concurrently users_created_at_idx on users (created_at desc, id desc);
