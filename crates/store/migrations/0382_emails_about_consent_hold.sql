-- The rule of 0381_emails_about_consent.sql holds for every row: checked while e-mails are queued and sent.
alter table mail_outbox validate constraint mail_outbox_kind_known;
