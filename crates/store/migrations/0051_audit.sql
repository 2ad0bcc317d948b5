-- What admins did to other people's money and orders. Rows are written with the deed and never changed.
create table audit_log (
    id           uuid primary key default gen_random_uuid(),
    at           timestamptz not null default now(),
    admin_id     uuid not null references users (id) on delete restrict,
    action       text not null constraint audit_log_action_is_a_name check (action ~ '^[a-z]+(\.[a-z_]+)+$'),
    subject_kind text not null,
    subject_id   uuid not null,                            -- of whatever kind; it may be gone
    details      jsonb not null default '{}'
);
-- The newest deeds; those to one subject; those of one admin.
create index audit_log_at_idx on audit_log (at desc);
create index audit_log_subject_idx on audit_log (subject_id, at desc);
create index audit_log_admin_idx on audit_log (admin_id, at desc);

create function audit_log_stays() returns trigger language plpgsql set search_path from current as $$
begin
    raise exception 'the audit log is only ever added to'
        using errcode = 'check_violation', constraint = 'audit_log_kept', table = 'audit_log';
end $$;
create trigger audit_log_stays before update or delete on audit_log for each row execute function audit_log_stays();
create trigger audit_log_stays_all before truncate on audit_log for each statement execute function audit_log_stays();
