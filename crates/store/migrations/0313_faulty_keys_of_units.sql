-- no-transaction
-- A key is replaced once at a time. Also: the units whose faulty keys are being replaced, for the budget.
create unique index concurrently order_units_faulty_key_id_key on order_units (faulty_key_id) where faulty_key_id is not null;
