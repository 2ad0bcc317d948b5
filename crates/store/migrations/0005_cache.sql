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

-- Which tags a changed row makes untrue: one line a table. `r` is the row, before and after the change; beyond 256 rows in
-- one statement the coarse tags stand for all of them. A statement that changes no row writes nothing.
--
-- Links and parts of an order look their game or order up; when that goes away in the same statement its own trigger has
-- named it. A profile shows how much its user has bought.
do $do$
declare
    subject record;
    event record;
begin
    for subject in select * from (values
        ('games',           $$, unnest(array['game:' || r.id, 'game:slug:' || r.slug]) t$$, '{game:*}', '{home,catalog}'),
        ('game_categories', $$ join games g on g.id = r.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t$$, '{game:*}', '{home,catalog}'),
        ('game_genres',     $$ join games g on g.id = r.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t$$, '{game:*}', '{home,catalog}'),
        ('game_platforms',  $$ join games g on g.id = r.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t$$, '{game:*}', '{home,catalog}'),
        ('game_tags',       $$ join games g on g.id = r.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t$$, '{game:*}', '{home,catalog}'),
        ('users',           $$, unnest(array['user:' || r.id || ':profile']) t$$, '{user:*}', '{}'),
        ('cart_items',      $$, unnest(array['shopper:' || r.user_id || ':cart']) t$$, '{shopper:*}', '{}'),
        ('wishlist',        $$, unnest(array['shopper:' || r.user_id || ':wishlist']) t$$, '{shopper:*}', '{}'),
        ('orders',          $$, unnest(array['order:' || r.id, 'user:' || r.user_id || ':orders', 'user:' || r.user_id || ':profile']) t$$, '{order:*,user:*}', '{}'),
        ('order_items',     $$ join orders o on o.id = r.order_id, unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders', 'user:' || o.user_id || ':profile']) t$$, '{order:*,user:*}', '{}'),
        ('order_units',     $$ join orders o on o.id = r.order_id, unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders', 'user:' || o.user_id || ':profile']) t$$, '{order:*,user:*}', '{}'),
        ('game_keys',       $$ join orders o on o.id = r.order_id, unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders', 'user:' || o.user_id || ':profile']) t$$, '{order:*,user:*}', '{}'),
        ('transactions',    $$, unnest(array['user:' || r.user_id || ':transactions']) t$$, '{user:*}', '{}')
    ) as map (table_name, tags, coarse, families) loop
        -- A transition table has to be named as the trigger's event has it, hence three functions a table.
        for event in select * from (values
            ('insert', 'referencing new table as new_rows', 'new_rows', 'select * from new_rows'),
            ('update', 'referencing old table as old_rows new table as new_rows', 'new_rows', 'select * from old_rows union all select * from new_rows'),
            ('delete', 'referencing old table as old_rows', 'old_rows', 'select * from old_rows')
        ) as map (name, transition, counted, changed) loop
            execute format($sql$
                create function cache_%1$s_%2$s() returns trigger language plpgsql set search_path from current as $body$
                declare
                    made_untrue text[];
                begin
                    if (select count(*) from (select from %4$s limit 257) few) > 256 then
                        made_untrue := %7$L;
                    else
                        select array_agg(distinct t) into made_untrue from (%5$s) r%6$s;
                    end if;
                    if made_untrue is not null then
                        insert into cache_inval (tags) values (made_untrue || %8$L::text[]);
                    end if;
                    return null;
                end $body$;
                create trigger cache_%2$s after %2$s on %1$s %3$s
                    for each statement execute function cache_%1$s_%2$s();
            $sql$, subject.table_name, event.name, event.transition, event.counted, event.changed,
                subject.tags, subject.coarse, subject.families);
        end loop;
    end loop;
end $do$;

-- A genre's name or slug stands in every game that has it; a new one stands in none yet.
create function cache_taxonomy() returns trigger language plpgsql set search_path from current as $$
begin
    if exists (select 1 from changed_rows) then
        insert into cache_inval (tags)
        values (case when tg_op = 'INSERT' then '{home,catalog}' else '{home,catalog,game:*}' end::text[]);
    end if;
    return null;
end $$;

-- Emptying a table makes everything untrue.
create function cache_everything() returns trigger language plpgsql set search_path from current as $$
begin
    insert into cache_inval (tags) values (array['*']);
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['categories', 'genres', 'platforms', 'tags'] loop
        execute format('create trigger cache_insert after insert on %I referencing new table as changed_rows for each statement execute function cache_taxonomy()', name);
        execute format('create trigger cache_update after update on %I referencing new table as changed_rows for each statement execute function cache_taxonomy()', name);
        execute format('create trigger cache_delete after delete on %I referencing old table as changed_rows for each statement execute function cache_taxonomy()', name);
    end loop;
    foreach name in array array['games', 'categories', 'genres', 'platforms', 'tags', 'game_categories', 'game_genres',
                                'game_platforms', 'game_tags', 'users', 'cart_items', 'wishlist', 'orders', 'order_items',
                                'order_units', 'game_keys', 'transactions'] loop
        execute format('create trigger cache_truncate after truncate on %I for each statement execute function cache_everything()', name);
    end loop;
end $$;
