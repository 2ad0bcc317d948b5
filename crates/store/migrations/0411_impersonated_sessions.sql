-- no-transaction
-- The mark of a session in which staff act as its user. It says which session of staff it belongs to, with which it ends.
begin;
alter table user_sessions add column if not exists staff_session_id uuid;
comment on column user_sessions.staff_session_id is 'session of the member of staff who acts as the user in this one; null in a session of the user''s own';
alter table user_sessions drop constraint if exists user_sessions_staff_session_id_fkey;
alter table user_sessions add constraint user_sessions_staff_session_id_fkey foreign key (staff_session_id) references user_sessions (id) on delete cascade not valid;
alter table user_sessions drop constraint if exists user_sessions_impersonation_short;
alter table user_sessions add constraint user_sessions_impersonation_short check (staff_session_id is null or expires_at <= created_at + interval '30 minutes') not valid;
commit;
alter table user_sessions validate constraint user_sessions_staff_session_id_fkey;
alter table user_sessions validate constraint user_sessions_impersonation_short;

begin;
create or replace function check_impersonation() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'UPDATE' then
        if new.staff_session_id is distinct from old.staff_session_id or new.user_id <> old.user_id then
            raise exception 'session % stays what it is', old.id
                using errcode = 'check_violation', constraint = 'user_sessions_mark_stays', table = 'user_sessions';
        end if;
        return new;
    end if;
    if exists (select from users where id = new.user_id and (role = 'ADMIN' or staff_role is not null)) then
        raise exception 'account % is on the staff', new.user_id
            using errcode = 'check_violation', constraint = 'impersonations_never_of_staff', table = 'user_sessions';
    end if;
    if not exists (select from impersonations i join user_sessions s on s.id = new.staff_session_id and s.user_id = i.staff_id
                    where i.id = new.id and i.user_id = new.user_id and i.ended_at is null and new.expires_at <= i.expires_at
                      and s.staff_session_id is null) then
        raise exception 'nobody of the staff is recorded to act in session %', new.id
            using errcode = 'check_violation', constraint = 'impersonations_are_recorded', table = 'user_sessions';
    end if;
    return new;
end $$;
drop trigger if exists impersonation_checked on user_sessions;
create trigger impersonation_checked before insert on user_sessions
    for each row when (new.staff_session_id is not null) execute function check_impersonation();
drop trigger if exists impersonation_stays on user_sessions;
create trigger impersonation_stays before update of staff_session_id, user_id on user_sessions
    for each row when (old.staff_session_id is not null or new.staff_session_id is not null) execute function check_impersonation();

-- Whatever ends the session: the member of staff, their log-out, the customer, time.
create or replace function end_impersonation() returns trigger language plpgsql set search_path from current as $$
declare
    staff uuid;
begin
    update impersonations set ended_at = greatest(began_at, least(now(), expires_at)) where id = old.id and ended_at is null
    returning staff_id into staff;
    if staff is not null then
        insert into audit_log (admin_id, action, subject_kind, subject_id, details)
        values (staff, 'user.impersonation_end', 'user', old.user_id, jsonb_build_object('impersonation', old.id));
    end if;
    return null;
end $$;
drop trigger if exists impersonation_ends on user_sessions;
create trigger impersonation_ends after delete on user_sessions
    for each row when (old.staff_session_id is not null) execute function end_impersonation();
commit;
