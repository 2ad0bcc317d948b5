-- Runs of `lockstep verify` that workers make every night, for `lockstep doctor`. One at a time over all processes: whoever inserts the
-- open row works, and renews it; an open row that nobody renewed for ten minutes is closed as interrupted by the next one.
create table verifications (
    id          uuid primary key,
    began_at    timestamptz not null default now(),
    renewed_at  timestamptz not null default now(),
    ended_at    timestamptz,                                -- null: it runs
    -- How it ended: everything holds, something is violated, some checks could not be made, or its worker died.
    outcome     text constraint verifications_outcome_known check (outcome in ('HOLDS', 'VIOLATED', 'INCOMPLETE', 'INTERRUPTED')),
    rows        bigint not null default 0 constraint verifications_rows_not_negative check (rows >= 0),   -- rows that were checked
    -- An object for each check that found something or could not be made: check, name, violations, examples (at most 20), error.
    findings    jsonb not null default '[]' constraint verifications_findings_are_a_list check (jsonb_typeof(findings) = 'array'),
    constraint verifications_outcome_when_ended check ((ended_at is null) = (outcome is null))
);
-- One at a time.
create unique index verifications_open_key on verifications ((true)) where ended_at is null;
-- The last ones (store.verify.last), and those to forget (store.retention.verifications).
create index verifications_began_at_idx on verifications (began_at);
