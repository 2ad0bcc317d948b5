-- The audit log as a chain: each entry holds the digest of the one before, so that a changed, removed or inserted row is found
-- (`lockstep audit verify`, `lockstep doctor`), even when a superuser disabled the triggers.
create table audit_chain (
    position bigint primary key constraint audit_chain_position_positive check (position > 0),   -- 1.. without gaps
    entry_id uuid not null constraint audit_chain_entry_id_key unique references audit_log (id) on delete restrict,
    -- Digest of the entry before; of the first one, zeros.
    previous bytea not null constraint audit_chain_previous_length check (octet_length(previous) = 32),
    digest   bytea not null constraint audit_chain_digest_length check (octet_length(digest) = 32)
);

-- The same text as `lockstep_store::audit`, which computes it again. No part but the last can contain a line break.
create function audit_digest(place bigint, entry audit_log, previous bytea) returns bytea
language sql stable set search_path from current as $$
    select sha256(previous || convert_to(concat_ws(e'\n', place, entry.id, (extract(epoch from entry.at) * 1000000)::bigint,
        coalesce(entry.admin_id::text, '-'), entry.action, entry.subject_id, entry.details, entry.subject_kind), 'UTF8'))
$$;

-- Deferred to the commit: entries wait for each other only while the transaction before them commits, however long its own
-- work took and whatever its process does.
create function audit_log_chain() returns trigger language plpgsql set search_path from current as $$
declare
    head audit_chain;
begin
    perform pg_advisory_xact_lock(hashtextextended('lockstep audit', 0));
    select * into head from audit_chain order by position desc limit 1;
    if not found then
        head.position := 0;
        head.digest := decode(repeat('00', 32), 'hex');
    end if;
    insert into audit_chain (position, entry_id, previous, digest)
    values (head.position + 1, new.id, head.digest, audit_digest(head.position + 1, new, head.digest));
    return null;
end $$;

-- Entries from before, in the order of their times. None is written meanwhile.
lock table audit_log in share row exclusive mode;
do $$
declare
    entry audit_log;
    place bigint := 0;
    before bytea := decode(repeat('00', 32), 'hex');
    digest bytea;
begin
    for entry in select * from audit_log order by at, id loop
        place := place + 1;
        digest := audit_digest(place, entry, before);
        insert into audit_chain values (place, entry.id, before, digest);
        before := digest;
    end loop;
end $$;

create constraint trigger audit_log_chain after insert on audit_log
    deferrable initially deferred for each row execute function audit_log_chain();

create function audit_chain_stays() returns trigger language plpgsql set search_path from current as $$
begin
    raise exception 'the chain of the audit log is only ever added to'
        using errcode = 'check_violation', constraint = 'audit_chain_kept', table = 'audit_chain';
end $$;
create trigger audit_chain_stays before update or delete on audit_chain for each row execute function audit_chain_stays();
create trigger audit_chain_stays_all before truncate on audit_chain for each statement execute function audit_chain_stays();
