-- A shop that had an owner keeps one: without one, nobody could give roles again. Checked at the commit, one transaction
-- after the other, so that two owners cannot remove each other.
create function users_keep_an_owner() returns trigger language plpgsql set search_path from current as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('lockstep owners', 0));
    if not exists (select 1 from users where role = 'ADMIN') then
        raise exception 'the last owner of the shop cannot be removed'
            using errcode = 'check_violation', constraint = 'users_last_owner', table = 'users';
    end if;
    return null;
end $$;
create constraint trigger users_keep_an_owner after update of role on users deferrable initially deferred
    for each row when (old.role = 'ADMIN' and new.role <> 'ADMIN') execute function users_keep_an_owner();
create constraint trigger users_keep_an_owner_deleted after delete on users deferrable initially deferred
    for each row when (old.role = 'ADMIN') execute function users_keep_an_owner();
