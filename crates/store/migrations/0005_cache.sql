-- The invalidation log: which cached answers a commit made untrue (docs/consistency.md).
--
-- Statement triggers write it in the changing transaction, so that no program, migration or hand-typed statement can
-- forget to. A row names tags (crates/domain/src/cache_key.rs), never values. The janitor deletes rows older than the
-- longest TTL and raises the floor in the same transaction: what was read before the floor is not believed any more.

create table cache_inval (
    seq  bigint generated always as identity primary key,
    xid  xid8 not null default pg_current_xact_id(),
    tags text[] not null,
    at   timestamptz not null default now()
);
-- Every process asks for what has become visible since its last look.
create index cache_inval_xid_idx on cache_inval (xid);
-- The janitor's.
create index cache_inval_at_idx on cache_inval (at);

create table cache_floor (
    only_row boolean primary key default true check (only_row),
    floor    xid8 not null
);
insert into cache_floor (floor) values ('0');

-- Names the server's present life. Being unlogged it is emptied when the server recovers from a crash, is restored or
-- promoted, which is when numbers of transactions that were seen but not yet on disk are given out a second time; the
-- first reader of the log then writes a new name, and nobody believes what was read in the life before.
create unlogged table cache_incarnation (
    only_row boolean primary key default true check (only_row),
    id       uuid not null default gen_random_uuid()
);

-- How far the relay has dropped keys from Redis.
create table relay_cursor (
    name     text primary key,
    snapshot pg_snapshot not null
);

-- Writes one row: the fine tags, or beyond 256 of them the coarse ones, and always the family tags.
create function cache_invalidate(fine text[], coarse text[], families text[]) returns void language plpgsql as $$
begin
    if coalesce(cardinality(fine), 0) > 0 then
        insert into cache_inval (tags)
        values (case when cardinality(fine) > 256 then coarse else fine end || families);
    end if;
end $$;

create function cache_games() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'INSERT' then
        select array_agg(t) into fine from new_rows g, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    elsif tg_op = 'DELETE' then
        select array_agg(t) into fine from old_rows g, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    else
        select array_agg(distinct t) into fine
          from (select id, slug from new_rows union all select id, slug from old_rows) g,
               unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    end if;
    perform cache_invalidate(fine, array['game:*'], array['home', 'catalog']);
    return null;
end $$;
create trigger cache_insert after insert on games referencing new table as new_rows for each statement execute function cache_games();
create trigger cache_update after update on games referencing old table as old_rows new table as new_rows for each statement execute function cache_games();
create trigger cache_delete after delete on games referencing old table as old_rows for each statement execute function cache_games();

-- Links of a game to its genres and so on: the game shows them, filters use them.
create function cache_game_links() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct t) into fine
          from new_rows l join games g on g.id = l.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    elsif tg_op = 'DELETE' then
        -- A deleted game's links go with it; the game's own trigger has named it then.
        select array_agg(distinct t) into fine
          from old_rows l join games g on g.id = l.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    else
        select array_agg(distinct t) into fine
          from (select game_id from new_rows union all select game_id from old_rows) l join games g on g.id = l.game_id,
               unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
    end if;
    perform cache_invalidate(fine, array['game:*'], array['home', 'catalog']);
    return null;
end $$;

-- A genre's name or slug stands in every game that has it.
create function cache_taxonomy() returns trigger language plpgsql as $$
begin
    if exists (select 1 from changed_rows) then
        perform cache_invalidate(array['catalog'], array['catalog'],
                                 case when tg_op = 'INSERT' then array['home'] else array['home', 'game:*'] end);
    end if;
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['game_categories', 'game_genres', 'game_platforms', 'game_tags'] loop
        execute format('create trigger cache_insert after insert on %I referencing new table as new_rows for each statement execute function cache_game_links()', name);
        execute format('create trigger cache_update after update on %I referencing old table as old_rows new table as new_rows for each statement execute function cache_game_links()', name);
        execute format('create trigger cache_delete after delete on %I referencing old table as old_rows for each statement execute function cache_game_links()', name);
    end loop;
    foreach name in array array['categories', 'genres', 'platforms', 'tags'] loop
        execute format('create trigger cache_insert after insert on %I referencing new table as changed_rows for each statement execute function cache_taxonomy()', name);
        execute format('create trigger cache_update after update on %I referencing new table as changed_rows for each statement execute function cache_taxonomy()', name);
        execute format('create trigger cache_delete after delete on %I referencing old table as changed_rows for each statement execute function cache_taxonomy()', name);
    end loop;
end $$;

create function cache_users() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'UPDATE' then
        select array_agg('user:' || id || ':profile') into fine
          from (select id from new_rows union select id from old_rows) rows;
    else
        select array_agg('user:' || id || ':profile') into fine from changed_rows;
    end if;
    perform cache_invalidate(fine, array['user:*'], '{}');
    return null;
end $$;
create trigger cache_insert after insert on users referencing new table as changed_rows for each statement execute function cache_users();
create trigger cache_update after update on users referencing old table as old_rows new table as new_rows for each statement execute function cache_users();
create trigger cache_delete after delete on users referencing old table as changed_rows for each statement execute function cache_users();

-- Carts and wishlists: the first argument says which.
create function cache_shopper_rows() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    select array_agg(distinct 'shopper:' || user_id || ':' || tg_argv[0]) into fine from changed_rows;
    perform cache_invalidate(fine, array['shopper:*'], '{}');
    return null;
end $$;
-- A row that moves from one shopper to another changes both.
create function cache_shopper_moves() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    select array_agg(distinct 'shopper:' || user_id || ':' || tg_argv[0]) into fine
      from (select user_id from old_rows union all select user_id from new_rows) rows;
    perform cache_invalidate(fine, array['shopper:*'], '{}');
    return null;
end $$;
create trigger cache_insert after insert on cart_items referencing new table as changed_rows for each statement execute function cache_shopper_rows('cart');
create trigger cache_update after update on cart_items referencing old table as old_rows new table as new_rows for each statement execute function cache_shopper_moves('cart');
create trigger cache_delete after delete on cart_items referencing old table as changed_rows for each statement execute function cache_shopper_rows('cart');
create trigger cache_insert after insert on wishlist referencing new table as changed_rows for each statement execute function cache_shopper_rows('wishlist');
create trigger cache_update after update on wishlist referencing old table as old_rows new table as new_rows for each statement execute function cache_shopper_moves('wishlist');
create trigger cache_delete after delete on wishlist referencing old table as changed_rows for each statement execute function cache_shopper_rows('wishlist');

create function cache_orders() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'UPDATE' then
        select array_agg(distinct t) into fine
          from (select id, user_id from new_rows union select id, user_id from old_rows) o,
               unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders']) t;
    else
        select array_agg(distinct t) into fine
          from changed_rows o, unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders']) t;
    end if;
    perform cache_invalidate(fine, array['order:*', 'user:*'], '{}');
    return null;
end $$;
create trigger cache_insert after insert on orders referencing new table as changed_rows for each statement execute function cache_orders();
create trigger cache_update after update on orders referencing old table as old_rows new table as new_rows for each statement execute function cache_orders();
create trigger cache_delete after delete on orders referencing old table as changed_rows for each statement execute function cache_orders();

-- What an order shows of its items, units and keys; a part that moves changes both orders.
create function cache_order_parts() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'UPDATE' then
        select array_agg(distinct t) into fine
          from (select order_id from new_rows union select order_id from old_rows) c join orders o on o.id = c.order_id,
               unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders']) t;
    else
        select array_agg(distinct t) into fine
          from changed_rows c join orders o on o.id = c.order_id,
               unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders']) t;
    end if;
    perform cache_invalidate(fine, array['order:*', 'user:*'], '{}');
    return null;
end $$;
do $$
declare
    name text;
begin
    foreach name in array array['order_items', 'order_units', 'game_keys'] loop
        execute format('create trigger cache_insert after insert on %I referencing new table as changed_rows for each statement execute function cache_order_parts()', name);
        execute format('create trigger cache_update after update on %I referencing old table as old_rows new table as new_rows for each statement execute function cache_order_parts()', name);
        execute format('create trigger cache_delete after delete on %I referencing old table as changed_rows for each statement execute function cache_order_parts()', name);
    end loop;
end $$;

create function cache_transactions() returns trigger language plpgsql as $$
declare
    fine text[];
begin
    if tg_op = 'UPDATE' then
        select array_agg(distinct 'user:' || user_id || ':transactions') into fine
          from (select user_id from new_rows union select user_id from old_rows) rows;
    else
        select array_agg(distinct 'user:' || user_id || ':transactions') into fine from changed_rows;
    end if;
    perform cache_invalidate(fine, array['user:*'], '{}');
    return null;
end $$;
create trigger cache_insert after insert on transactions referencing new table as changed_rows for each statement execute function cache_transactions();
create trigger cache_update after update on transactions referencing old table as old_rows new table as new_rows for each statement execute function cache_transactions();
create trigger cache_delete after delete on transactions referencing old table as changed_rows for each statement execute function cache_transactions();

-- Emptying a table makes everything untrue.
create function cache_everything() returns trigger language plpgsql as $$
begin
    insert into cache_inval (tags) values (array['*']);
    return null;
end $$;
do $$
declare
    name text;
begin
    foreach name in array array['games', 'categories', 'genres', 'platforms', 'tags', 'game_categories', 'game_genres',
                                'game_platforms', 'game_tags', 'users', 'cart_items', 'wishlist', 'orders', 'order_items',
                                'order_units', 'game_keys', 'transactions'] loop
        execute format('create trigger cache_truncate after truncate on %I for each statement execute function cache_everything()', name);
    end loop;
end $$;
