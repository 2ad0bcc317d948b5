-- no-transaction
-- E-mails that were given up and have become useless (store.mail.erase_late).
create index concurrently mail_outbox_kept_idx on mail_outbox (not_after) where gave_up_at is not null and sealed is not null;
