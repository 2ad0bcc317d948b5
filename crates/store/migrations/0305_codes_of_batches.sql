-- no-transaction
-- Codes of a batch.
create index concurrently promo_codes_batch_id_idx on promo_codes (batch_id) where batch_id is not null;
