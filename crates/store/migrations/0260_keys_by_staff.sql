-- Keys by hand: what a key cost the shop, and keys that did not work after their delivery. Such a key is replaced: its unit
-- has another key then, and the row says whose the faulty one was. It counts as used, so that nothing sells it again.

alter table game_keys
    add column cost            numeric(12,2),              -- EUR; null: bought at G2A, or not known
    add column faulty_at       timestamptz,                -- when it was replaced
    add column faulty_order_id uuid,
    add column faulty_unit_id  uuid,
    add constraint game_keys_cost_not_negative check (cost >= 0 and cost < 'NaN') not valid,
    add constraint game_keys_faulty_whole check (num_nulls(faulty_at, faulty_order_id, faulty_unit_id) in (0, 3)) not valid,
    add constraint game_keys_faulty_is_out check (faulty_unit_id is null or (order_unit_id is null and activated)) not valid,
    add constraint game_keys_faulty_unit_fk foreign key (faulty_unit_id, faulty_order_id, game_id)
        references order_units (id, order_id, game_id) on delete restrict not valid;

-- In place of the function of 0004_orders.sql.
create or replace function game_keys_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if (tg_op = 'DELETE' and (old.order_unit_id is not null or old.faulty_unit_id is not null))
       or (tg_op = 'TRUNCATE'
           and exists (select 1 from game_keys where order_unit_id is not null or faulty_unit_id is not null)) then
        raise exception 'a key that was sold is never deleted'
            using errcode = 'check_violation', constraint = 'game_keys_kept', table = 'game_keys';
    elsif tg_op <> 'UPDATE' then
        return old;
    end if;
    -- Who owns a key is decided once: a key that was given away can be seen by nobody else. A faulty one goes, and stays
    -- known as that unit's.
    if (old.order_unit_id is not null and new.order_unit_id is distinct from old.order_unit_id
        and (new.order_unit_id is not null or new.faulty_unit_id is distinct from old.order_unit_id))
       or (old.faulty_unit_id is not null
           and (new.faulty_at, new.faulty_order_id, new.faulty_unit_id)
               is distinct from (old.faulty_at, old.faulty_order_id, old.faulty_unit_id)) then
        raise exception 'key % is already sold', old.id
            using errcode = 'check_violation', constraint = 'game_keys_sold_once', table = 'game_keys';
    end if;
    if old.faulty_unit_id is null and new.faulty_unit_id is not null
       and new.faulty_unit_id is distinct from old.order_unit_id then
        raise exception 'key % was never delivered to unit %', old.id, new.faulty_unit_id
            using errcode = 'check_violation', constraint = 'game_keys_faulty_was_sold', table = 'game_keys';
    end if;
    return new;
end $$;

-- At commit, a unit that lost its faulty key has another one.
create function unit_keeps_a_key() returns trigger language plpgsql set search_path from current as $$
begin
    if exists (select 1 from order_units u where u.id = old.order_unit_id and u.state = 'DONE'
                  and not exists (select 1 from game_keys where order_unit_id = u.id)) then
        raise exception 'unit % is DONE without a key', old.order_unit_id
            using errcode = 'check_violation', constraint = 'order_units_done_has_its_key', table = 'order_units';
    end if;
    return null;
end $$;
create constraint trigger game_keys_leave_units after update of order_unit_id on game_keys
    deferrable initially deferred for each row
    when (old.order_unit_id is not null and new.order_unit_id is distinct from old.order_unit_id)
    execute function unit_keeps_a_key();
