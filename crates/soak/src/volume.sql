-- Tables as after years of operation: $USERS users with $ORDERS orders of one unit, of which every $EACH-th was
-- delivered and the others were refunded, and one user with $LOOKS log entries of viewed keys. Valid under every rule
-- of the schema, whose enforcement is disabled meanwhile. Sealed keys come from the table `soak_keys`.

set session_replication_role = replica;
set synchronous_commit = off;
set statement_timeout = 0;

create function soak_id(what text, n bigint) returns uuid language sql immutable parallel safe as
    $$select md5(what || n)::uuid$$;

insert into shoppers (id, kind) select soak_id('user', n), 'USER' from generate_series(0, $USERS - 1) n;
insert into users (id, email, password_hash, created_at)
select soak_id('user', n), 'old-' || n || '@soak.invalid', '$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234',
       now() - interval '2 years'
  from generate_series(0, $USERS - 1) n;

create temp table made as
select n, soak_id('order', n) as id, soak_id('item', n) as item, soak_id('unit', n) as unit,
       -- One user has a tenth of them.
       soak_id('user', case when n % 10 = 0 then 0 else n % $USERS end) as owner,
       n % $EACH = 0 as delivered, now() - n * interval '2 years' / $ORDERS - interval '1 hour' as at, game
  from generate_series(1, $ORDERS) n
  join (select row_number() over () - 1 as g, count(*) over () as of, id as game from games) games on g = n % of;
create unique index on made (n);

insert into orders (id, user_id, status, subtotal, total, payment_method, payment_status, created_at, completed_at)
select id, owner, case when delivered then 'COMPLETED' else 'FAILED' end::order_status, 10, 10, 'BALANCE',
       case when delivered then 'COMPLETED' else 'CANCELLED' end::payment_status, at,
       case when delivered then at end
  from made;
insert into order_items (id, order_id, game_id, price) select item, id, game, 10 from made;
insert into order_units (id, order_id, order_item_id, game_id, position, state, price_paid, created_at)
select unit, id, item, game, 1, case when delivered then 'DONE' else 'REFUNDED' end, 10, at from made;
insert into transactions (id, user_id, order_id, type, amount, method, status, created_at)
select soak_id('purchase', n), owner, id, 'PURCHASE', -10, 'BALANCE', 'COMPLETED', at from made;
insert into transactions (id, user_id, order_id, type, amount, method, status, created_at)
select soak_id('refund', n), owner, id, 'REFUND', 10, 'BALANCE', 'COMPLETED', at from made where not delivered;
insert into transactions (id, user_id, type, amount, status, created_at)
select soak_id('top-up', n), soak_id('user', n), 'TOP_UP', 9000000, 'COMPLETED', now() - interval '2 years'
  from generate_series(0, $USERS - 1) n;
update users set balance = booked.amount
  from (select user_id, sum(amount) as amount from transactions group by user_id) booked
 where booked.user_id = users.id and email like 'old-%';

insert into game_keys (id, game_id, order_id, order_unit_id, key_ciphertext, key_hash, created_at)
select k.id, game, made.id, unit, k.sealed, k.hash, at from made join soak_keys k on k.n = made.n where delivered;
drop table soak_keys;

insert into key_reveals (id, game_key_id, user_id, how, at, last_at)
select soak_id('look', n), key, soak_id('user', 0), 'API', now() - n * interval '1 minute', now() - n * interval '1 minute'
  from (select array_agg(id) as keys from (
        select k.id from game_keys k join orders o on o.id = k.order_id
         where o.user_id = soak_id('user', 0) limit 100) few) own,
       generate_series(1, $LOOKS) n, lateral (select keys[1 + n % array_length(keys, 1)] as key) one;

insert into user_totals (user_id, orders, games, saved)
select owner, count(*), count(*) filter (where delivered), 0 from made group by owner;

select sales_sums_again();
select key_counts_again();

drop table made;
reset session_replication_role;

-- The game whose price is changed to measure staleness. It does not exist at G2A.
insert into games (id, title, slug, description, price, image, release_date)
values (soak_id('fresh', 0), 'Soak: freshness', 'soak-freshness', 'Its price changes all the time.', 1000,
        'https://img.example/a.jpg', '2020-05-17Z');

drop function soak_id(text, bigint);
reset synchronous_commit;
analyze;
