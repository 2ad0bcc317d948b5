-- no-transaction
-- Users by a part of their address or names (store.admin.users.list).
create index concurrently users_words_idx on users using gin (account_words(email, nickname, first_name, last_name) gin_trgm_ops)
 where deleted_at is null;
