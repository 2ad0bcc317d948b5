-- E-mails with codes and links go out before all others, and those to one address in the order in which they were written.

alter table mail_outbox
    add column seq    bigint not null generated always as identity,            -- the order of writing, whatever clocks do
    add column urgent boolean not null generated always as (kind in ('welcome', 'verification', 'reset')) stored;

-- What is claimed next (crates/store/src/mail.rs).
create index mail_outbox_claim_idx on mail_outbox (urgent, seq, not_before) where letter is not null;
-- Whether something earlier is still owed to the same address.
create index mail_outbox_recipient_idx on mail_outbox (recipient, urgent, seq) where letter is not null;
-- What has become useless while it waited.
create index mail_outbox_late_idx on mail_outbox (not_after) where letter is not null;
drop index mail_outbox_owed_idx;
