-- E-mails that staff send to many: they go after all others, and their recipients can unsubscribe. What the queue gets for them
-- is validated in 0283_rules_hold.sql, and has its indexes from 0284 to 0289.

-- Who received one, as SHA-256 of the address in lower case: the list of those who want none outlives accounts.
create table email_subscriptions (
    id              uuid primary key default gen_random_uuid(),      -- in the links of e-mails, with a keyed hash
    address_hash    bytea not null constraint email_subscriptions_address_hash_key unique
                    constraint email_subscriptions_address_hash_length check (octet_length(address_hash) = 32),
    written_at      timestamptz not null default now(),              -- when the last one was queued
    unsubscribed_at timestamptz
);
-- The sweep (store.retention.subscriptions).
create index email_subscriptions_written_at_idx on email_subscriptions (written_at) where unsubscribed_at is null;

create table email_jobs (
    id         uuid primary key,
    template   text not null constraint email_jobs_template_form check (template ~ '^[a-z]+(-[a-z]+)*$' and length(template) <= 40),
    created_by uuid references users (id) on delete set null,
    created_at timestamptz not null default now(),
    queued     integer not null constraint email_jobs_queued_not_negative check (queued >= 0),
    refused    integer not null constraint email_jobs_refused_not_negative check (refused >= 0)
);
-- The sweep (store.retention.email_jobs).
create index email_jobs_created_at_idx on email_jobs (created_at);
create index email_jobs_created_by_idx on email_jobs (created_by);

alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up',
    'back-in-stock', 'second-factor-added', 'second-factor-removed', 'second-factor-reset', 'account-deleted',
    'announcement')) not valid;
alter table mail_outbox
    add column job_id          uuid,
    add column subscription_id uuid,
    add constraint mail_outbox_job_id_fkey foreign key (job_id) references email_jobs (id) on delete set null not valid,
    add constraint mail_outbox_subscription_id_fkey foreign key (subscription_id) references email_subscriptions (id)
        on delete cascade not valid;
