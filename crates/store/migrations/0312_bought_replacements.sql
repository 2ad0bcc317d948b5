-- A faulty key whose game has no key in own stock is replaced by one that is bought at G2A (docs/purchase.md). Its unit goes from
-- DONE back to NEW and names the key, from then until it is DONE again: with another key, or with this one if none can be bought.
-- It never becomes REFUNDED in between, so that an order that has ended keeps what it ended with. Validated in
-- 0315_bought_replacements_hold.sql.

alter table order_units
    add column faulty_key_id uuid,                         -- its faulty key, while another one is bought
    add constraint order_units_faulty_key_fk foreign key (faulty_key_id) references game_keys (id) on delete restrict not valid,
    add constraint order_units_faulty_key_in_flight
        check (faulty_key_id is null or state not in ('DONE', 'REFUNDED')) not valid;
-- What holds of a delivered unit also holds of one whose key is replaced.
alter table order_units drop constraint order_units_told_of_its_end;
alter table order_units add constraint order_units_told_of_its_end
    check (told_at is null or state in ('DONE', 'REFUNDED') or faulty_key_id is not null) not valid;
alter table order_units drop constraint order_units_goodwill_is_of_delivered;
alter table order_units add constraint order_units_goodwill_is_of_delivered
    check (goodwill = 0 or state = 'DONE' or faulty_key_id is not null) not valid;

-- What replacements cost: the budget's sum, and the bound of each unit.
alter table g2a_orders add column is_replacement boolean not null default false;    -- ordered in place of a faulty key

-- `REPLACEMENT_FAILED`: no other key could be bought in place of a faulty one.
alter table incidents drop constraint incidents_kind_known;
alter table incidents add constraint incidents_kind_known check (kind in (
    'KEY_LOST', 'KEY_LATE', 'KEY_TWICE', 'KEY_UNREADABLE', 'ABOVE_PRICE', 'SUPPLIER_CANCELLED', 'SUPPLIER_UNKNOWN',
    'SUPPLIER_ACCOUNT', 'REPLACEMENT_FAILED')) not valid;

-- In place of the function of 0004_orders.sql.
create or replace function unit_state_may_become(old_state text, new_state text) returns boolean
language sql immutable return
    (old_state, new_state) in (
        ('NEW', 'ORDERING'), ('NEW', 'DONE'), ('NEW', 'REFUNDED'),
        ('ORDERING', 'ORDERED'), ('ORDERING', 'NEW'), ('ORDERING', 'REFUNDED'),
        ('ORDERED', 'PAYING'), ('ORDERED', 'NEW'), ('ORDERED', 'REFUNDED'),
        ('PAYING', 'PAID'), ('PAYING', 'ORDERED'), ('PAYING', 'NEW'), ('PAYING', 'REFUNDED'),
        ('PAID', 'FETCHING'),
        ('FETCHING', 'DONE'), ('FETCHING', 'LOST'), ('FETCHING', 'PAID'),
        ('DONE', 'NEW'),
        ('LOST', 'NEW'), ('LOST', 'REFUNDED'), ('LOST', 'DONE'));

-- In place of the function of 0004_orders.sql: with faulty keys.
create or replace function order_units_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'NEW' then
            raise exception 'a unit begins as NEW, not %', new.state
                using errcode = 'check_violation', constraint = 'order_units_begin_new', table = 'order_units';
        end if;
        if new.faulty_key_id is not null then
            raise exception 'a unit begins without a faulty key'
                using errcode = 'check_violation', constraint = 'order_units_faulty_key_was_delivered', table = 'order_units';
        end if;
        return new;
    end if;
    -- What may have been paid for at G2A is not forgotten: its id is set while ordering and cleared by going back to NEW.
    if old.g2a_order_id is distinct from new.g2a_order_id and old.state not in ('NEW', 'ORDERING') and new.state <> 'NEW' then
        raise exception 'unit % is % at G2A as %', old.id, old.state, old.g2a_order_id
            using errcode = 'check_violation', constraint = 'order_units_g2a_order_id_fixed', table = 'order_units';
    end if;
    if old.state is distinct from new.state then
        if not unit_state_may_become(old.state, new.state) then
            raise exception 'a unit may not go from % to %', old.state, new.state
                using errcode = 'check_violation', constraint = 'order_units_state_transition', table = 'order_units';
        end if;
        if new.state in ('PAYING', 'DONE') and not exists (
            select 1 from transactions where order_id = new.order_id and type = 'PURCHASE' and status = 'COMPLETED') then
            raise exception 'order % is not paid', new.order_id
                using errcode = 'check_violation', constraint = 'order_units_sold_is_paid', table = 'order_units';
        end if;
    end if;
    -- A faulty key is named by leaving DONE, and forgotten by coming back.
    if old.state = 'DONE' and new.state = 'NEW' then
        if not exists (select 1 from game_keys where id = new.faulty_key_id and faulty_unit_id = new.id) then
            raise exception 'unit % has no faulty key to be replaced', new.id
                using errcode = 'check_violation', constraint = 'order_units_faulty_key_was_delivered', table = 'order_units';
        end if;
        if (select count(*) from g2a_orders where order_unit_id = new.id and is_replacement and paid_at is not null) >= 3 then
            raise exception 'three replacements were bought for unit % already', new.id
                using errcode = 'check_violation', constraint = 'order_units_replacements_bought', table = 'order_units';
        end if;
    elsif old.faulty_key_id is distinct from new.faulty_key_id
          and (old.faulty_key_id is null or new.faulty_key_id is not null or new.state <> 'DONE') then
        raise exception 'the faulty key of unit % is fixed until it is DONE', new.id
            using errcode = 'check_violation', constraint = 'order_units_faulty_key_fixed', table = 'order_units';
    end if;
    return new;
end $$;

-- In place of the function of 0290_g2a_settings.sql. An order whose key was delivered is not given up by replacing the key, and
-- is not a new one when the unit gets that key again.
create or replace function g2a_orders_follow_units() returns trigger language plpgsql set search_path from current as $$
begin
    if new.g2a_order_id is not null and new.g2a_order_id is distinct from old.g2a_order_id
       and not (old.faulty_key_id is not null and new.state = 'DONE') then
        insert into g2a_orders (g2a_order_id, order_unit_id, price, account, is_replacement)
        values (new.g2a_order_id, new.id, coalesce(new.g2a_price, 0), new.g2a_account, new.faulty_key_id is not null);
    end if;
    if new.state is distinct from old.state then
        if old.g2a_order_id is not null and old.state <> 'DONE' and (new.g2a_order_id is null or new.state = 'REFUNDED') then
            update g2a_orders set given_up_at = now(), why = left(coalesce(new.last_error, ''), 300)
             where g2a_order_id = old.g2a_order_id;
        end if;
        update g2a_orders
           set pay_asked_at = case when new.state = 'PAYING' then coalesce(pay_asked_at, now()) else pay_asked_at end,
               paid_at = case when new.state = 'PAID' then coalesce(paid_at, now()) else paid_at end,
               transaction_id = coalesce(new.g2a_transaction_id, transaction_id),
               key_asked_at = case when new.state = 'FETCHING' then coalesce(key_asked_at, now()) else key_asked_at end
         where g2a_order_id = new.g2a_order_id and new.state in ('PAYING', 'PAID', 'FETCHING');
    end if;
    return null;
end $$;

-- In place of the function of 0260_keys_by_staff.sql. A faulty key goes back to its unit while that names it; that the unit then has
-- only this one is checked at commit.
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
               is distinct from (old.faulty_at, old.faulty_order_id, old.faulty_unit_id)
           and not (num_nulls(new.faulty_at, new.faulty_order_id, new.faulty_unit_id) = 3
                    and (new.order_id, new.order_unit_id) = (old.faulty_order_id, old.faulty_unit_id)
                    and exists (select 1 from order_units where id = old.faulty_unit_id and faulty_key_id = old.id))) then
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

-- In place of the function of 0272_sales_sums.sql: a unit whose key is replaced is not delivered meanwhile.
create or replace function sales_count() returns trigger language plpgsql set search_path from current as $$
declare
    more sales_sums;
    is_new boolean;
begin
    if tg_table_name = 'orders' then
        if tg_op = 'UPDATE' then
            more.at := new.completed_at;
            more.completed := 1;
        else
            more.at := case when tg_op = 'DELETE' then old.created_at else new.created_at end;
            more.orders := case when tg_op = 'DELETE' then -1 else 1 end;
        end if;
    elsif tg_table_name = 'transactions' then
        if tg_op = 'UPDATE' and old.status = 'COMPLETED' then
            return null;
        end if;
        more.at := new.created_at;
        if new.type = 'PURCHASE' then
            more.purchases := 1;
            more.purchased := -new.amount;
        else
            more.refunds := 1;
            more.refunded := new.amount;
        end if;
    elsif tg_table_name = 'order_units' then
        select created_at into more.at from orders where id = new.order_id;
        more.delivered := (new.state = 'DONE')::integer - (old.state = 'DONE')::integer;
        more.earned := case when new.state = 'DONE' then new.price_paid - new.goodwill else 0 end
                       - case when old.state = 'DONE' then old.price_paid - old.goodwill else 0 end;
        update game_sums s set uses = s.uses + 1, copies = s.copies + more.delivered, earned = s.earned + more.earned
         where s.game_id = new.game_id
           and s.slot = (select f.slot from game_sums f
                          where f.game_id = new.game_id and f.uses < 50
                            and f.slot >= coalesce((select e.slot from game_sums e where e.game_id = new.game_id
                                                     order by e.slot desc offset 3 limit 1), 0)
                          order by f.slot desc limit 1 for update skip locked);
        if not found then
            insert into game_sums (game_id, copies, earned) values (new.game_id, more.delivered, more.earned);
        end if;
    elsif tg_table_name = 'game_keys' then
        select created_at into more.at from orders where id = coalesce(new.order_id, new.faulty_order_id);
        -- A key that an order got before is counted: only its cost is another one now.
        is_new := tg_op = 'INSERT' or coalesce(old.order_id, old.faulty_order_id) is null;
        more.own_cost := coalesce(new.cost, 0) - case when is_new then 0 else coalesce(old.cost, 0) end;
        more.no_cost := (new.cost is null)::integer - case when is_new then 0 else (old.cost is null)::integer end;
    else
        select o.created_at into more.at from order_units u join orders o on o.id = u.order_id where u.id = new.order_unit_id;
        more.cost := new.price;
    end if;
    perform sales_sums_add(more);
    return null;
end $$;
drop trigger order_units_sales on order_units;
create constraint trigger order_units_sales after update of state, goodwill on order_units
    deferrable initially deferred for each row
    when ((new.state = 'DONE') <> (old.state = 'DONE') or (new.state = 'DONE' and old.goodwill <> new.goodwill))
    execute function sales_count();
