-- What a waiting e-mail says is stored sealed: it may hold a game key, a reset link or a code. It also waits where a version
-- that does not know sealed e-mails does not look.

alter table mail_outbox
    add column sealed  bytea,       -- lockstep_domain::letter::Letter as JSON, sealed for `mail_outbox.sealed/{id}`; else see `letter`
    add column left_at timestamptz, -- a worker that cannot read it left it to others; it holds up none that come after it
    drop constraint mail_outbox_says_nothing_afterwards,
    add constraint mail_outbox_says_nothing_afterwards check (
        (letter is null and sealed is null) = (sent_at is not null or gave_up_at is not null)),
    add constraint mail_outbox_says_it_once check (letter is null or sealed is null);

drop index mail_outbox_claim_idx;
drop index mail_outbox_recipient_idx;
drop index mail_outbox_late_idx;
drop index mail_outbox_created_at_idx;
-- What is claimed next (crates/store/src/mail.rs).
create index mail_outbox_claim_idx on mail_outbox (urgent, seq, not_before) where sent_at is null and gave_up_at is null;
-- Whether something earlier is still owed to the same address.
create index mail_outbox_recipient_idx on mail_outbox (recipient, urgent, seq) where sent_at is null and gave_up_at is null;
-- What has become useless while it waited.
create index mail_outbox_late_idx on mail_outbox (not_after) where sent_at is null and gave_up_at is null;
-- The sweep.
create index mail_outbox_created_at_idx on mail_outbox (created_at) where sent_at is not null or gave_up_at is not null;
