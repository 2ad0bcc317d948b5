-- The rules of 0270_email_retries.sql and 0271_bulk_emails.sql hold for every row: checked while e-mails are queued and sent.
alter table mail_outbox validate constraint mail_outbox_says_nothing_afterwards;
alter table mail_outbox validate constraint mail_outbox_kind_known;
alter table mail_outbox validate constraint mail_outbox_job_id_fkey;
alter table mail_outbox validate constraint mail_outbox_subscription_id_fkey;
-- And of 0278_own_games_held_back.sql.
alter table games validate constraint games_original_price_by_hand_positive;
