-- A shop after years: $COUNT users, as many orders of one copy, and a key for each, on a catalogue that is there. One in
-- fifty orders was refunded. Buyers, games and days are as uneven as in a shop: few have much. Every number comes from
-- a hash, so two runs create the same rows. Sealed keys come from the table `bench_keys`.
--
-- Rows are inserted without triggers; what triggers would have written is written below.

set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '1GB';
set work_mem = '256MB';
set statement_timeout = 0;

create function bench_h(n bigint, question integer) returns float8 language sql immutable parallel safe as
    'select (hashint8extended(n, question) & 2147483647)::float8 / 2147483648.0';
create function bench_id(what text, n bigint) returns uuid language sql immutable parallel safe as
    $$select md5(what || n)::uuid$$;

insert into shoppers (id, kind) select bench_id('user', n), 'USER' from generate_series(1, $COUNT) n;
insert into users (id, email, password_hash, nickname, first_name, last_name, created_at)
select bench_id('user', n),
       (array['anna','ben','carla','david','elena','felix','greta','hugo','ines','jan'])[1 + n % 10] || '.'
       || substr(md5(n::text), 1, 6) || n || '@example.invalid',
       '$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234', 'Player' || substr(md5('n' || n), 1, 6) || n,
       initcap((array['anna','ben','carla','david','elena','felix','greta','hugo','ines','jan'])[1 + n % 10]),
       initcap(substr(md5('l' || n), 1, 7)), now() - interval '3 years' + n * (interval '3 years' / $COUNT)
  from generate_series(1, $COUNT) n;

create temp table made as
select n, bench_id('order', n) as id, bench_id('item', n) as item, bench_id('unit', n) as unit,
       bench_id('user', 1 + floor($COUNT * bench_h(n, 1) ^ 3)::bigint) as owner, bench_h(n, 2) >= 0.02 as delivered,
       now() - interval '3 years' + n * (interval '3 years' / $COUNT) as at, g.id as game, g.price
  from generate_series(1, $COUNT) n cross join (select count(*) as of from games where withdrawn_at is null) c
  -- Without a column of the games on the right side, so that it is a hash join.
  join (select row_number() over (order by id) - 1 as i, id, price from games where withdrawn_at is null) g
    on g.i = floor(c.of * bench_h(n, 3) ^ 3)::bigint;
create unique index on made (n);

insert into orders (id, user_id, status, subtotal, total, payment_method, payment_status, created_at, completed_at)
select id, owner, case when delivered then 'COMPLETED' else 'FAILED' end::order_status, price, price, 'BALANCE',
       case when delivered then 'COMPLETED' else 'CANCELLED' end::payment_status, at, case when delivered then at end
  from made order by n;
insert into order_items (id, order_id, game_id, price) select item, id, game, price from made order by n;
insert into order_units (id, order_id, order_item_id, game_id, position, state, price_paid, g2a_price, created_at)
select unit, id, item, game, 1, case when delivered then 'DONE' else 'REFUNDED' end, price, round(price * 0.98, 2), at
  from made order by n;
insert into transactions (id, user_id, order_id, type, amount, method, status, created_at)
select bench_id('purchase', n), owner, id, 'PURCHASE', -price, 'BALANCE', 'COMPLETED', at from made order by n;
insert into transactions (id, user_id, order_id, type, amount, method, status, created_at)
select bench_id('refund', n), owner, id, 'REFUND', price, 'BALANCE', 'COMPLETED', at from made where not delivered order by n;
insert into transactions (id, user_id, type, amount, method, status, created_at)
select bench_id('top-up', row_number() over ()), owner, 'TOP_UP', sum(price), 'stripe', 'COMPLETED', min(at) from made group by owner;
update users set balance = booked.amount
  from (select user_id, sum(amount) as amount from transactions group by user_id having sum(amount) <> 0) booked
 where booked.user_id = users.id;

insert into game_keys (id, game_id, order_id, order_unit_id, key_ciphertext, key_hash, created_at)
select k.id, made.game, case when made.delivered then made.id end, case when made.delivered then made.unit end, k.sealed, k.hash, made.at
  from made join bench_keys k on k.n = made.n order by made.n;
drop table bench_keys;

insert into user_totals (user_id, orders, games, saved)
select owner, count(*), count(*) filter (where delivered), 0 from made group by owner;
insert into cart_items (user_id, game_id, added_at)
select bench_id('user', s), (select game from made where n = 1 + ($COUNT - s) % $COUNT), now() - s * interval '1 minute'
  from generate_series(1, $COUNT / 20) s;
insert into wishlist (user_id, game_id, added_at)
select bench_id('user', s), (select game from made where n = s), now() - s * interval '1 minute'
  from generate_series(1, $COUNT / 10) s;
insert into login_history (user_id, succeeded, created_at)
select owner, true, at from made where n % 2 = 0;
insert into mail_outbox (user_id, recipient, kind, created_at, not_after, attempts, sent_at)
select owner, 'buyer-' || n || '@example.invalid', 'order-received', at, at + interval '1 day', 1, at + interval '1 second'
  from made where at > now() - interval '30 days';

select sales_sums_again();
select key_counts_again();

drop table made;
drop function bench_id(text, bigint);
drop function bench_h(bigint, integer);
