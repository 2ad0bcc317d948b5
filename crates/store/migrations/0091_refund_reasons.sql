-- Why a copy's money went back, and what a booking is for: told to its owner in their language, so not as a sentence.
alter table order_units
    add column refunded_for text
        constraint order_units_refunded_for_known
        check (refunded_for in ('SOLD_OUT', 'TOO_DEAR', 'KEY_LOST', 'CANCELLED', 'NOT_DELIVERED')),
    add constraint order_units_refunded_for_a_refund check (refunded_for is null or state = 'REFUNDED');

alter table transactions
    add column subject text                                -- what was bought or went back, as it was called then
        constraint transactions_subject_bounded check (length(subject) between 1 and 300),
    add column reason  text
        constraint transactions_reason_known
        check (reason in ('SOLD_OUT', 'TOO_DEAR', 'KEY_LOST', 'CANCELLED', 'NOT_DELIVERED')),
    add constraint transactions_reason_of_a_refund check (reason is null or type = 'REFUND');
