-- An e-mail that was given up keeps its sealed content while it is of use, so that staff can have it sent after all. One that was
-- sent says nothing any more. Validated in 0283_rules_hold.sql, without a lock that stops the queue.
alter table mail_outbox drop constraint mail_outbox_says_nothing_afterwards;
alter table mail_outbox add constraint mail_outbox_says_nothing_afterwards check (case
    when sent_at is not null then letter is null and sealed is null
    when gave_up_at is not null then letter is null
    else letter is not null or sealed is not null end) not valid;
