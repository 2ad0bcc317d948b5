-- Records that outlive an account lose who it was, once it is deleted, and nothing else.

create or replace function order_consents_stay() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'TRUNCATE' and not exists (select from order_consents) then
        return null;
    elsif tg_op = 'DELETE' and not exists (select from orders where id = old.order_id) then
        return old;                                        -- goes along with its order
    elsif tg_op = 'UPDATE' and num_nonnulls(new.address, new.user_agent) = 0
          and to_jsonb(new) - array['address', 'user_agent'] = to_jsonb(old) - array['address', 'user_agent']
          and exists (select from orders o join users u on u.id = o.user_id where o.id = old.order_id and u.deleted_at is not null) then
        return new;                                        -- from where it was given
    end if;
    raise exception 'a consent is never changed or deleted'
        using errcode = 'check_violation', constraint = 'order_consents_stay', table = 'order_consents';
end $$;

-- `erased` stands for who declared it. Anybody may declare one, so not each is an account's.
create or replace function withdrawals_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if old.state <> 'OPEN' and (new.name, new.contact) = ('erased', 'erased') and new.address is null
       and (new.reason is not distinct from old.reason or old.reason is not null and new.reason = 'erased')
       and to_jsonb(new) - array['name', 'contact', 'address', 'reason'] = to_jsonb(old) - array['name', 'contact', 'address', 'reason'] then
        return new;
    end if;
    if old.state <> 'OPEN' then
        raise exception 'withdrawal % is decided', old.id
            using errcode = 'check_violation', constraint = 'withdrawals_decided_once', table = 'withdrawals';
    end if;
    if (new.name, new.order_ref, new.contact, new.created_at) is distinct from (old.name, old.order_ref, old.contact, old.created_at) then
        raise exception 'what a withdrawal says does not change'
            using errcode = 'check_violation', constraint = 'withdrawals_facts_fixed', table = 'withdrawals';
    end if;
    return new;
end $$;

create or replace function dispute_evidence_stays() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'UPDATE' and old.state <> 'REQUESTED' and new.fields = '{}'
       and to_jsonb(new) - array['fields', 'problem'] = to_jsonb(old) - array['fields', 'problem']
       and (new.problem is not distinct from old.problem or new.problem is null)
       and exists (select from disputes d join users u on u.id = d.user_id where d.id = old.dispute_id and u.deleted_at is not null) then
        return new;
    end if;
    if tg_op = 'DELETE' or (old.dispute_id, old.fields, old.requested_by) is distinct from (new.dispute_id, new.fields, new.requested_by)
       or old.state <> 'REQUESTED' and new.state <> old.state then
        raise exception 'evidence that was sent is not changed'
            using errcode = 'check_violation', constraint = 'dispute_evidence_kept', table = 'dispute_evidence';
    end if;
    return new;
end $$;
