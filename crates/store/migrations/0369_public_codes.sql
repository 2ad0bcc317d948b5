-- no-transaction
-- Codes that everybody knows (lowest_price_before): few among those of batches.
create index concurrently if not exists promo_codes_public_idx on promo_codes (valid_from) where is_public;
