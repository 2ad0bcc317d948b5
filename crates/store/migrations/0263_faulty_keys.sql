-- no-transaction
-- The faulty keys of an order: listed with it.
create index concurrently game_keys_faulty_order_id_idx on game_keys (faulty_order_id) where faulty_order_id is not null;
