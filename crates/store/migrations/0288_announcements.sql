-- no-transaction
-- Announcements that are claimed next.
create index concurrently mail_outbox_announcements_idx on mail_outbox (not_before, seq)
    where sent_at is null and gave_up_at is null and kind = 'announcement';
