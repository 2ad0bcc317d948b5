-- A deleted account owns nothing and comes to own nothing: whoever writes for a user holds the user's row against its
-- deletion, and whoever waited for a deletion is refused. (A foreign key alone lets the waiter pass: the row is still there.)

create function refuse_deleted_owner() returns trigger language plpgsql set search_path from current as $$
declare
    owner uuid;
    deleted boolean;
begin
    -- The argument is the column.
    if tg_argv[0] = 'owner' then
        owner := new.owner;
    else
        owner := new.user_id;
    end if;
    select deleted_at is not null into deleted from users where id = owner for key share;
    if deleted then
        raise exception 'account % is deleted', owner
            using errcode = 'check_violation', constraint = 'users_deleted_own_nothing', table = tg_table_name;
    end if;
    return new;
end $$;

-- Every table with rows of a user, but records that outlive an account: bookings (money may still arrive), looks at keys and
-- an admin's deeds.
create trigger a_owner_is_there before insert or update of user_id on cart_items
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on wishlist
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on stock_alerts
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on user_sessions
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on user_totp
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on one_time_codes
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on login_history
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on mail_outbox
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on orders
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of user_id on top_ups
    for each row execute function refuse_deleted_owner('user_id');
create trigger a_owner_is_there before insert or update of owner on idempotency_keys
    for each row execute function refuse_deleted_owner('owner');

-- What is left of the person stays as the deletion left it; the balance follows the bookings.
create function users_deleted_stay_deleted() returns trigger language plpgsql set search_path from current as $$
begin
    if (new.email, new.password_hash, new.role, new.email_verified, new.deleted_at)
       is distinct from (old.email, old.password_hash, old.role, old.email_verified, old.deleted_at) then
        raise exception 'account % is deleted', old.id
            using errcode = 'check_violation', constraint = 'users_deleted_stay_deleted', table = 'users';
    end if;
    return new;
end $$;
create trigger users_deleted_stay_deleted before update on users
    for each row when (old.deleted_at is not null) execute function users_deleted_stay_deleted();
