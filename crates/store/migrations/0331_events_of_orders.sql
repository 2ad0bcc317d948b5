-- no-transaction
-- What was told about an order (store.admin.history.of_order).
create index concurrently outgoing_events_order_idx on outgoing_events ((data ->> 'orderId'));
