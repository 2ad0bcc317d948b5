-- no-transaction
-- The payments of a card.
create index concurrently if not exists top_up_charges_card_idx on top_up_charges (card_fingerprint) where card_fingerprint is not null;
