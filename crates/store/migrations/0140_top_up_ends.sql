-- A top-up is asked about until its provider reports an end, also when nobody knows whether the provider heard of it; what
-- no provider answers within its lifetime waits for staff.

alter table top_ups
    add column asking_until  timestamptz,                  -- lease of the process that asks for the payment page; null: none does
    add column closing_since timestamptz,                  -- its owner left: to be closed at the provider, until that reports an end
    add column review        text constraint top_ups_review_known check (review in (
                                 'NO_END',                 -- the provider reported no end in time
                                 'OTHER_AMOUNT',           -- another amount or currency was paid; nothing was credited
                                 'NO_OWNER')),             -- paid after the account was deleted; to be paid back
    add column review_since  timestamptz,
    add column reviewed_at   timestamptz,                  -- staff has dealt with it; it is not asked about again
    add constraint top_ups_review_has_a_date check ((review is null) = (review_since is null)),
    add constraint top_ups_reviewed_what_was_shown check (reviewed_at is null or review is not null);

-- Those that the provider has to be asked about (crates/store/src/top_ups/due.rs).
create index top_ups_due_idx on top_ups (not_before)
    where (status in ('PENDING', 'PROCESSING') or closing_since is not null) and reviewed_at is null;
drop index top_ups_open_idx;
-- Those that staff has to look at: few.
create index top_ups_review_idx on top_ups (review_since) where review is not null and reviewed_at is null;
