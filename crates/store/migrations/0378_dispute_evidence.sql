-- Evidence about disputes that was sent to the payment provider, and the key that signs exported cases.

create table dispute_evidence (
    id           uuid primary key default gen_random_uuid(),
    dispute_id   uuid not null references disputes (id) on delete restrict,
    fields       jsonb not null constraint dispute_evidence_fields_object check (jsonb_typeof(fields) = 'object'),  -- name and text, as sent
    state        text not null default 'REQUESTED' constraint dispute_evidence_state_known check (state in (
                     'REQUESTED',                          -- the provider has not answered yet
                     'SUBMITTED',
                     'REFUSED')),
    problem      text constraint dispute_evidence_problem_bounded check (length(problem) <= 500),
    requested_by uuid not null,
    attempts     integer not null default 0 constraint dispute_evidence_attempts_not_negative check (attempts >= 0),
    not_before   timestamptz not null default now(),       -- when the provider is asked (again)
    asking_until timestamptz,                              -- lease of the process that asks
    created_at   timestamptz not null default now(),
    answered_at  timestamptz,
    constraint dispute_evidence_answered check ((state = 'REQUESTED') = (answered_at is null))
);
-- The provider takes evidence once.
create unique index dispute_evidence_once on dispute_evidence (dispute_id) where state <> 'REFUSED';
create index dispute_evidence_dispute_id_idx on dispute_evidence (dispute_id, created_at);
create index dispute_evidence_requested_by_idx on dispute_evidence (requested_by);
create index dispute_evidence_due_idx on dispute_evidence (not_before) where state = 'REQUESTED';

-- What was sent stays as it was sent.
create function dispute_evidence_stays() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'DELETE' or (old.dispute_id, old.fields, old.requested_by) is distinct from (new.dispute_id, new.fields, new.requested_by)
       or old.state <> 'REQUESTED' and new.state <> old.state then
        raise exception 'evidence that was sent is not changed'
            using errcode = 'check_violation', constraint = 'dispute_evidence_kept', table = 'dispute_evidence';
    end if;
    return new;
end $$;
create trigger dispute_evidence_stays before update or delete on dispute_evidence for each row execute function dispute_evidence_stays();

-- The key of this shop, made at its first use.
create table evidence_key (
    id         uuid primary key,
    is_only    boolean not null default true constraint evidence_key_one unique constraint evidence_key_only check (is_only),
    public_key bytea not null constraint evidence_key_public_length check (length(public_key) = 32),   -- Ed25519
    sealed     bytea not null,                             -- the seed, as hexadecimal digits
    created_at timestamptz not null default now()
);
