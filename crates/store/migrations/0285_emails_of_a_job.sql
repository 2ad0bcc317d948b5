-- no-transaction
-- The e-mails of a job: its progress, and its end.
create index concurrently mail_outbox_job_id_idx on mail_outbox (job_id) where job_id is not null;
