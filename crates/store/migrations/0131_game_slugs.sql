-- Addresses that games had before. Whoever follows an old link is led to where the game is now.
--
-- A trigger keeps them, whoever changes a slug. The slug that a game has now always wins; of games that had the same slug
-- one after the other, the last one is meant.
create table game_slugs (
    slug    text primary key constraint game_slugs_slug_is_an_address check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    game_id uuid not null references games (id) on delete cascade,
    since   timestamptz not null default now()
);
comment on column game_slugs.since is 'when the game gave this slug up';
-- Whose old addresses go with a game that is deleted.
create index game_slugs_game_id_idx on game_slugs (game_id);

create function games_keep_slug() returns trigger language plpgsql set search_path from current as $$
begin
    insert into game_slugs (slug, game_id) values (old.slug, old.id)
    on conflict (slug) do update set game_id = excluded.game_id, since = excluded.since;
    return null;
end $$;
create trigger games_keep_slug after update on games
    for each row when (old.slug is distinct from new.slug) execute function games_keep_slug();

-- The answer under an old slug is made from this row, too (0005_cache.sql). What it shows of the game carries the game's
-- own tag; a change of the game's slug writes the tags of both.
do $do$
declare
    event record;
begin
    for event in select * from (values
        ('insert', 'referencing new table as new_rows', 'new_rows', 'select slug from new_rows'),
        ('update', 'referencing old table as old_rows new table as new_rows', 'new_rows', 'select slug from old_rows union select slug from new_rows'),
        ('delete', 'referencing old table as old_rows', 'old_rows', 'select slug from old_rows')
    ) as map (name, transition, counted, changed) loop
        execute format($sql$
            create function cache_game_slugs_%1$s() returns trigger language plpgsql set search_path from current as $body$
            declare
                made_untrue text[];
            begin
                if (select count(*) from (select from %3$s limit 257) few) > 256 then
                    made_untrue := '{game:*}';
                else
                    select array_agg('game:slug:' || r.slug) into made_untrue from (%4$s) r;
                end if;
                if made_untrue is not null then
                    insert into cache_inval (tags) values (made_untrue);
                end if;
                return null;
            end $body$;
            create trigger cache_%1$s after %1$s on game_slugs %2$s
                for each statement execute function cache_game_slugs_%1$s();
        $sql$, event.name, event.transition, event.counted, event.changed);
    end loop;
end $do$;
create trigger cache_truncate after truncate on game_slugs for each statement execute function cache_everything();
