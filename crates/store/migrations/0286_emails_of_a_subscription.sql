-- no-transaction
-- The e-mails of who unsubscribes.
create index concurrently mail_outbox_subscription_id_idx on mail_outbox (subscription_id) where subscription_id is not null;
