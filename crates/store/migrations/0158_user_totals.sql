-- What a profile tells of its user's orders, counted as they happen: counting three hundred thousand orders and their
-- copies anew after each change took seconds.
--
-- Written by the triggers below only, at commit, so that this row is the last that a transaction locks. The changes that
-- it counts name the profile in the log.

create table user_totals (
    user_id uuid primary key references users (id) on delete cascade,
    orders  bigint not null,                               -- all of them
    games   bigint not null,                               -- copies that were delivered
    saved   numeric(12,2) not null                         -- discounts of completed orders, EUR
);

create function orders_count() returns trigger language plpgsql set search_path from current as $$
declare
    owner uuid;
    more_orders bigint := 0;
    more_games bigint := 0;
    more_saved numeric(12,2) := 0;
begin
    if tg_table_name = 'orders' then
        owner := case when tg_op = 'DELETE' then old.user_id else new.user_id end;
        if tg_op <> 'DELETE' then
            more_orders := 1;
            more_saved := case when new.status = 'COMPLETED' then new.discount else 0 end;
        end if;
        if tg_op <> 'INSERT' then
            more_orders := more_orders - 1;
            more_saved := more_saved - case when old.status = 'COMPLETED' then old.discount else 0 end;
        end if;
    else
        -- A copy that was delivered is never deleted (`game_keys_unit_fk`).
        more_games := (new.state = 'DONE')::integer - (tg_op = 'UPDATE' and old.state = 'DONE')::integer;
        if more_games <> 0 then
            select user_id into owner from orders where id = new.order_id;
        end if;
    end if;
    if more_orders = 0 and more_games = 0 and more_saved = 0 then
        return null;
    end if;
    insert into user_totals as t (user_id, orders, games, saved)
    select u.id, more_orders, more_games, more_saved from users u where u.id = owner
    on conflict (user_id) do update
       set orders = t.orders + excluded.orders, games = t.games + excluded.games, saved = t.saved + excluded.saved;
    return null;
end $$;

-- Nothing changes between counting and the first change that is counted.
lock table orders, order_units in share row exclusive mode;
insert into user_totals (user_id, orders, games, saved)
select o.user_id, count(*), coalesce(sum(n.done), 0), coalesce(sum(o.discount) filter (where o.status = 'COMPLETED'), 0)
  from orders o left join (select order_id, count(*) as done from order_units where state = 'DONE' group by order_id) n
    on n.order_id = o.id
 group by o.user_id;

create constraint trigger orders_count after insert or delete or update of status, discount on orders
    deferrable initially deferred for each row execute function orders_count();
create constraint trigger order_units_count after insert or update of state on order_units
    deferrable initially deferred for each row execute function orders_count();
