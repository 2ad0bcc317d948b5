-- no-transaction
-- What is claimed next, without announcements: a thousand of them would be in the way. It takes the place of
-- `mail_outbox_claim_idx` in 0289_emails_claimed.sql.
create index concurrently mail_outbox_claim_ordinary_idx on mail_outbox (urgent, seq, not_before)
    where sent_at is null and gave_up_at is null and kind <> 'announcement';
