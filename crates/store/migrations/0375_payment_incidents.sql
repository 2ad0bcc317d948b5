-- no-transaction
-- What needs a person has a time by which it has to be decided; a refund has a fee.
begin;
alter table payment_incidents drop constraint if exists payment_incidents_kind_known;
alter table payment_incidents add constraint payment_incidents_kind_known check (kind in (
    'DISPUTE',                             -- the cardholder disputes a payment
    'DISPUTE_STATUS',                      -- a status of a dispute that this version does not know
    'FRAUD_WARNING',                       -- the card's bank reports fraud
    'REFUND_FAILED',                       -- the money is back on the balance
    'REFUND_OUTSIDE',                      -- a refund that was made in the provider's own pages
    'REFUND_WAITING',                      -- the provider does not make it
    'AMOUNT',                              -- the provider refunded another amount than was asked for
    'IN_REVIEW',                           -- money of a top-up that staff review
    'BEFORE_BOOKS',                        -- from before these tables, when it was settled by hand
    'COPIES_WAIT',                         -- a debtor's copies that are paid for at the supplier
    'NO_OWNER',                            -- money came back to the balance of a deleted account
    'EVIDENCE'                             -- the provider does not take the evidence about a dispute
)) not valid;
alter table payment_incidents add column if not exists due_at timestamptz;
alter table payment_incidents add column if not exists alarmed_at timestamptz;
commit;
alter table payment_incidents validate constraint payment_incidents_kind_known;
comment on column payment_incidents.due_at is 'by when it has to be decided; null: whenever';
comment on column payment_incidents.alarmed_at is 'when the log said that this time is near';
alter table card_refunds add column if not exists fee numeric(12,2);
comment on column card_refunds.fee is 'EUR, kept by the provider for the refund; null: not known yet';
