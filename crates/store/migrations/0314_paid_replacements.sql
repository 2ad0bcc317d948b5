-- no-transaction
-- The replacements that were paid within a day: what is left of their budget.
create index concurrently g2a_orders_replacements_idx on g2a_orders (paid_at) where is_replacement and paid_at is not null;
