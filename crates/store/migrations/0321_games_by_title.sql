-- no-transaction
-- The catalogue of staff by title (store.admin.catalogue.by_title).
create index concurrently games_title_idx on games (lower(title), id) where withdrawn_at is null;
