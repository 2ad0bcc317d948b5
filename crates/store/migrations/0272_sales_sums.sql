-- The shop's key figures, counted as they happen: the dashboard and reports by day do not read a million bookings.
--
-- A row is a quarter of an hour, because every time zone's days begin at one: so days of any time zone add up exactly. The row
-- at -infinity is the sum of all. Written by the triggers below only. A writer takes one of the newest slots of its quarter
-- that no other holds, or adds one, so writers neither wait for each other nor deadlock. A slot is used fifty times: while
-- something old is still read (a backup, a long file), every use leaves a dead version behind, and a search passes them all.
-- `lockstep doctor` counts everything again. The triggers begin in 0281_sales_counted.sql, what was before is counted in
-- 0282_sales_before.sql: the shop sells meanwhile.

create table sales_sums (
    at         timestamptz not null,                       -- the quarter's beginning
    slot       bigint generated always as identity,
    uses       integer not null default 1,
    users      bigint not null default 0,                  -- accounts registered in it, and not deleted since
    orders     bigint not null default 0,                  -- orders placed in it
    completed  bigint not null default 0,                  -- orders completed in it
    purchases  bigint not null default 0,                  -- payments of orders that were booked in it
    purchased  numeric(16,2) not null default 0,           -- their sum, EUR
    refunds    bigint not null default 0,                  -- refunds of orders that were booked in it
    refunded   numeric(16,2) not null default 0,           -- their sum, EUR
    delivered  bigint not null default 0,                  -- copies of orders placed in it that are delivered
    earned     numeric(16,2) not null default 0,           -- what was paid for the delivered copies, less goodwill, EUR
    cost       numeric(16,2) not null default 0,           -- what was paid at G2A for orders placed in it, delivered or not, EUR
    own_cost   numeric(16,2) not null default 0,           -- what the keys of own stock cost that these orders got, also faulty ones, EUR
    no_cost    bigint not null default 0,                  -- number of such keys whose cost is not known
    primary key (at, slot)
);

-- Delivered copies of each game, since the beginning.
create table game_sums (
    game_id    uuid not null,                              -- a game that was sold is never deleted
    slot       bigint generated always as identity,
    uses       integer not null default 1,
    copies     bigint not null,
    earned     numeric(16,2) not null,                     -- what was paid for them, less goodwill, EUR
    primary key (game_id, slot)
);

create function quarter_of(moment timestamptz) returns timestamptz language sql immutable parallel safe return
    date_bin('15 minutes', moment, 'epoch');

-- The moment at which a day begins in a time zone. Where clocks change at midnight, 00:00 comes twice or never: a day begins with
-- the first moment that has its date.
create function day_begins(day date, zone text) returns timestamptz language sql stable parallel safe return (
    select min(near.moment)
      from (select day::timestamp at time zone zone + shift * interval '30 minutes' as moment from generate_series(-4, 4) shift) near
     where (near.moment at time zone zone)::date >= day);

-- The figures, counted from the books: 'all', 'bookings' (also users and orders), 'copies', 'costs' or 'own' (keys of own stock), the
-- others as zero. In parts, because counting all of a million orders takes long for one statement.
create function sales_of_the_books(part text) returns table (
    at timestamptz, users bigint, orders bigint, completed bigint, purchases bigint, purchased numeric, refunds bigint,
    refunded numeric, delivered bigint, earned numeric, cost numeric, own_cost numeric, no_cost bigint)
language sql stable set search_path from current as $$
    with facts (quarter, users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned, cost, own_cost,
                no_cost) as (
        select quarter_of(created_at), count(*), 0, 0, 0, 0.0, 0, 0.0, 0, 0.0, 0.0, 0.0, 0 from users
         where part in ('all', 'bookings') and deleted_at is null group by 1
        union all
        select quarter_of(created_at), 0, count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 from orders
         where part in ('all', 'bookings') group by 1
        union all
        select quarter_of(completed_at), 0, 0, count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0 from orders
         where part in ('all', 'bookings') and status = 'COMPLETED' group by 1
        union all
        select quarter_of(created_at), 0, 0, 0, count(*) filter (where type = 'PURCHASE'),
               coalesce(-sum(amount) filter (where type = 'PURCHASE'), 0), count(*) filter (where type = 'REFUND'),
               coalesce(sum(amount) filter (where type = 'REFUND'), 0), 0, 0, 0, 0, 0
          from transactions where part in ('all', 'bookings') and order_id is not null and status = 'COMPLETED' group by 1
        union all
        select quarter_of(o.created_at), 0, 0, 0, 0, 0, 0, 0, count(*), sum(u.price_paid - u.goodwill), 0, 0, 0
          from order_units u join orders o on o.id = u.order_id
         where part in ('all', 'copies') and u.state = 'DONE' group by 1
        union all
        select quarter_of(o.created_at), 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(g.price), 0, 0
          from g2a_orders g join order_units u on u.id = g.order_unit_id join orders o on o.id = u.order_id
         where part in ('all', 'costs') and g.paid_at is not null group by 1
        union all
        select quarter_of(o.created_at), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, coalesce(sum(k.cost), 0), count(*) filter (where k.cost is null)
          from game_keys k join orders o on o.id = coalesce(k.order_id, k.faulty_order_id)
         where part in ('all', 'own') and k.g2a_order_id is null group by 1),
    quarters as (
        select quarter, sum(users)::bigint as users, sum(orders)::bigint as orders, sum(completed)::bigint as completed,
               sum(purchases)::bigint as purchases, sum(purchased) as purchased, sum(refunds)::bigint as refunds,
               sum(refunded) as refunded, sum(delivered)::bigint as delivered, sum(earned) as earned, sum(cost) as cost,
               sum(own_cost) as own_cost, sum(no_cost)::bigint as no_cost from facts group by quarter)
    select * from quarters
    union all
    select '-infinity', coalesce(sum(users), 0)::bigint, coalesce(sum(orders), 0)::bigint, coalesce(sum(completed), 0)::bigint,
           coalesce(sum(purchases), 0)::bigint, coalesce(sum(purchased), 0), coalesce(sum(refunds), 0)::bigint,
           coalesce(sum(refunded), 0), coalesce(sum(delivered), 0)::bigint, coalesce(sum(earned), 0), coalesce(sum(cost), 0),
           coalesce(sum(own_cost), 0), coalesce(sum(no_cost), 0)::bigint from quarters
$$;

-- Adds to both tables what they lack of the books, or have too much. Each statement compares them in one snapshot, in which every
-- change of the books is with what its trigger has counted: so the shop sells meanwhile.
create function sales_sums_again() returns void language sql set search_path from current as $$
    insert into sales_sums (at, users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned, cost, own_cost, no_cost)
    select * from (
        select coalesce(b.at, s.at), coalesce(b.users, 0) - coalesce(s.users, 0), coalesce(b.orders, 0) - coalesce(s.orders, 0),
               coalesce(b.completed, 0) - coalesce(s.completed, 0), coalesce(b.purchases, 0) - coalesce(s.purchases, 0),
               coalesce(b.purchased, 0) - coalesce(s.purchased, 0), coalesce(b.refunds, 0) - coalesce(s.refunds, 0),
               coalesce(b.refunded, 0) - coalesce(s.refunded, 0), coalesce(b.delivered, 0) - coalesce(s.delivered, 0),
               coalesce(b.earned, 0) - coalesce(s.earned, 0), coalesce(b.cost, 0) - coalesce(s.cost, 0),
               coalesce(b.own_cost, 0) - coalesce(s.own_cost, 0), coalesce(b.no_cost, 0) - coalesce(s.no_cost, 0)
          from sales_of_the_books('all') b
          full join (select at, sum(users) as users, sum(orders) as orders, sum(completed) as completed, sum(purchases) as purchases,
                            sum(purchased) as purchased, sum(refunds) as refunds, sum(refunded) as refunded,
                            sum(delivered) as delivered, sum(earned) as earned, sum(cost) as cost, sum(own_cost) as own_cost,
                            sum(no_cost) as no_cost from sales_sums group by at) s on s.at = b.at
    ) lack (at, users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned, cost, own_cost, no_cost)
     where (users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned, cost, own_cost, no_cost)
           <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    insert into game_sums (game_id, copies, earned)
    select coalesce(b.game_id, s.game_id), coalesce(b.copies, 0) - coalesce(s.copies, 0), coalesce(b.earned, 0) - coalesce(s.earned, 0)
      from (select game_id, count(*) as copies, sum(price_paid - goodwill) as earned from order_units where state = 'DONE'
             group by game_id) b
      full join (select game_id, sum(copies) as copies, sum(earned) as earned from game_sums group by game_id) s
        on s.game_id = b.game_id
     where (coalesce(b.copies, 0), coalesce(b.earned, 0)) <> (coalesce(s.copies, 0), coalesce(s.earned, 0));
$$;

create function sales_sums_add(more sales_sums) returns void language plpgsql set search_path from current as $$
declare
    place timestamptz;
begin
    foreach place in array array[quarter_of(more.at), '-infinity'] loop
        update sales_sums s
           set uses = s.uses + 1, users = s.users + coalesce(more.users, 0), orders = s.orders + coalesce(more.orders, 0),
               completed = s.completed + coalesce(more.completed, 0),
               purchases = s.purchases + coalesce(more.purchases, 0), purchased = s.purchased + coalesce(more.purchased, 0),
               refunds = s.refunds + coalesce(more.refunds, 0), refunded = s.refunded + coalesce(more.refunded, 0),
               delivered = s.delivered + coalesce(more.delivered, 0), earned = s.earned + coalesce(more.earned, 0),
               cost = s.cost + coalesce(more.cost, 0), own_cost = s.own_cost + coalesce(more.own_cost, 0),
               no_cost = s.no_cost + coalesce(more.no_cost, 0)
         where s.at = place
           and s.slot = (select f.slot from sales_sums f
                          where f.at = place and f.uses < 50
                            and f.slot >= coalesce((select e.slot from sales_sums e where e.at = place
                                                     order by e.slot desc offset 3 limit 1), 0)
                          order by f.slot desc limit 1 for update skip locked);
        if not found then
            insert into sales_sums (at, users, orders, completed, purchases, purchased, refunds, refunded, delivered, earned,
                                    cost, own_cost, no_cost)
            values (place, coalesce(more.users, 0), coalesce(more.orders, 0), coalesce(more.completed, 0),
                    coalesce(more.purchases, 0), coalesce(more.purchased, 0), coalesce(more.refunds, 0),
                    coalesce(more.refunded, 0), coalesce(more.delivered, 0), coalesce(more.earned, 0), coalesce(more.cost, 0),
                    coalesce(more.own_cost, 0), coalesce(more.no_cost, 0));
        end if;
    end loop;
end $$;

create function sales_count() returns trigger language plpgsql set search_path from current as $$
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
        is_new := old.state <> 'DONE';
        more.delivered := is_new::integer;
        more.earned := new.price_paid - new.goodwill - case when is_new then 0 else old.price_paid - old.goodwill end;
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

-- Accounts, a statement at a time: they also come by the thousand.
create function sales_count_users() returns trigger language plpgsql set search_path from current as $$
declare
    quarter record;
    more sales_sums;
begin
    if tg_op = 'INSERT' then
        for quarter in select quarter_of(created_at) as at, count(*) as users from new_rows where deleted_at is null group by 1 loop
            more.at := quarter.at;
            more.users := quarter.users;
            perform sales_sums_add(more);
        end loop;
    elsif tg_op = 'DELETE' then
        for quarter in select quarter_of(created_at) as at, count(*) as users from old_rows where deleted_at is null group by 1 loop
            more.at := quarter.at;
            more.users := -quarter.users;
            perform sales_sums_add(more);
        end loop;
    else
        for quarter in
            select quarter_of(created_at) as at, sum(change) as users
              from (select created_at, 1 as change from new_rows where deleted_at is null
                    union all select created_at, -1 from old_rows where deleted_at is null) changes
             group by 1 having sum(change) <> 0 loop
            more.at := quarter.at;
            more.users := quarter.users;
            perform sales_sums_add(more);
        end loop;
    end if;
    return null;
end $$;
