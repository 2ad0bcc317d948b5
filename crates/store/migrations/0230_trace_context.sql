-- The W3C trace context in which a row was written, so that what is done for it later, by any process, belongs to the same
-- trace. The transaction states it (`lockstep.traceparent`, only while traces are exported), and every row that it writes has
-- it by default: no statement names it. It is a pointer into the traces, which may be gone; nothing depends on it.
create domain trace_parent as text;

-- The rule of the domain and the default come after the columns: the rows that are there get none, and no table is
-- rewritten.
alter table orders add column traceparent trace_parent;
alter table top_ups add column traceparent trace_parent;
alter table mail_outbox add column traceparent trace_parent;

alter domain trace_parent add constraint trace_parent_form
    check (value ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$') not valid;

alter table orders alter column traceparent set default nullif(current_setting('lockstep.traceparent', true), '');
alter table top_ups alter column traceparent set default nullif(current_setting('lockstep.traceparent', true), '');
alter table mail_outbox alter column traceparent set default nullif(current_setting('lockstep.traceparent', true), '');
