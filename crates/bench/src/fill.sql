-- A catalogue of $COUNT games, created at once. It resembles one that synchronisations have collected over two years:
-- ids and creation times ascend together, 200 games at a time; prices are log-normal around 10 euro; a few genres,
-- regions, tags and publishers are very common (a third of all games is Action, half is for PC) and most are rare; the
-- most common words occur in one of thirty titles, and the more games there are the more share a title. Every number
-- comes from a hash of the game's number, so two runs create the same catalogue.
--
-- Rows are inserted without triggers and without secondary indexes; what triggers would have written is written below,
-- by the same expressions, and the indexes are recreated at the end.

set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '1GB';
set work_mem = '256MB';
set statement_timeout = 0;

create schema fill;

create table fill.indexes as
    select indexname, indexdef from pg_indexes i
     where schemaname = 'public' and tablename = any('{games,game_search,game_categories,game_genres,game_platforms,game_tags}')
       and not exists (select from pg_constraint c where c.conname = i.indexname);
do $$
declare
    name text;
begin
    for name in select indexname from fill.indexes loop
        execute format('drop index public.%I', name);
    end loop;
end $$;

-- Between 0 and 1, deterministic for each game and question.
create function fill.h(n bigint, question integer) returns float8 language sql immutable parallel safe as
    'select (hashint8extended(n, question) & 2147483647)::float8 / 2147483648.0';
-- One of `of` items, of which the first are the most common.
create function fill.pick(n bigint, question integer, of integer) returns integer language sql immutable parallel safe as
    'select 1 + floor(of * fill.h(n, question) ^ 3)::integer';
create function fill.game_id(n bigint) returns uuid language sql immutable parallel safe as
    $$select (lpad(to_hex(1700000000000 + n * 60), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
              || substr(md5(n::text), 4, 15))::uuid$$;
-- Made-up words of two or three syllables.
create function fill.word(i bigint) returns text language sql immutable parallel safe as
    $$select s[1 + i % 30] || s[1 + i / 30 % 30] || case when i % 3 = 0 then '' else s[1 + i / 900 % 30] end
        from (select '{ka,ro,mi,ven,tor,al,shi,bra,dun,el,fra,gor,hal,ist,jen,kor,lum,mar,nor,ost,pra,quel,rim,sol,thal,ul,vor,wyn,yar,zen}'::text[] as s) t$$;

create table fill.terms as
    select 'categories' as taxonomy, i, gen_random_uuid() as id, 'Category ' || i as name, 'category-' || i as slug from generate_series(1, 8) i
    union all
    select 'genres', i, gen_random_uuid(), initcap(w), w from unnest('{action,adventure,indie,rpg,strategy,simulation,casual,shooter,open-world,horror,racing,sports,puzzle,platformer,survival,fighting,stealth,roguelike,sandbox,tactical,rhythm,western,noir,trivia}'::text[]) with ordinality t (w, i)
    union all
    select 'platforms', i, gen_random_uuid(), initcap(w), w from unnest('{pc,xbox,playstation,switch,mac,linux,android,vr}'::text[]) with ordinality t (w, i)
    union all
    select 'tags', i, gen_random_uuid(), 'Tag ' || initcap(fill.word(i * 7)) || ' ' || i, 'tag-' || i from generate_series(1, 120) i;
insert into categories (id, name, slug) select id, name, slug from fill.terms where taxonomy = 'categories';
insert into genres (id, name, slug) select id, name, slug from fill.terms where taxonomy = 'genres';
insert into platforms (id, name, slug) select id, name, slug from fill.terms where taxonomy = 'platforms';
insert into tags (id, name, slug) select id, name, slug from fill.terms where taxonomy = 'tags';
create unique index on fill.terms (taxonomy, i);

create table fill.told as
    select i, '<p>' || text || '</p>' as text,
           to_tsvector('simple', left(regexp_replace('<p>' || text || '</p>', '<[^>]*>', ' ', 'g'), 20000)) as words
      from generate_series(1, 2000) i
      cross join lateral (
           select string_agg(fill.word(fill.pick(i * 100 + w, 1, 4000)) || case when w % 12 = 0 then '.' else '' end, ' ' order by w) as text
             from generate_series(1, 48) w) t;
create unique index on fill.told (i);
analyze fill.told;

insert into games (id, title, slug, description, short_description, price, original_price, discount, image, images,
                   in_stock, g2a_product_id, g2a_stock, g2a_last_sync, release_date, age_rating, multiplayer,
                   activation_service, region, publisher, developer, languages, created_at, updated_at, requirements,
                   is_new, is_preorder, release_date_known, g2a_depth, popularity, withdrawn_at)
select fill.game_id(n), title, trim(both '-' from regexp_replace(lower(title), '[^a-z0-9]+', '-', 'g')) || '-' || n,
       told.text, initcap(substr(told.text, 4, 90)) || '.', price,
       case when dear then round(price * 1.6, 2) end, case when dear then 37 else 0 end,
       'https://images.example.invalid/' || n || '/cover.jpg',
       array['https://images.example.invalid/' || n || '/1.jpg', 'https://images.example.invalid/' || n || '/2.jpg'],
       depth > 0, 'bench-' || n, depth > 0, at, case when preorder then at + interval '2 years 60 days' else at - fill.h(n, 20) * interval '12 years' end,
       (array['PEGI 18', 'PEGI 16', 'PEGI 12', 'PEGI 7'])[fill.pick(n, 21, 4)], fill.h(n, 22) < 0.3,
       (array['Steam', 'Xbox Live', 'PSN', 'Ubisoft Connect', 'Epic Games', 'GOG', 'EA App', 'Battle.net', 'Nintendo', 'Rockstar'])[fill.pick(n, 4, 10)],
       (array['GLOBAL', 'EUROPE', 'UNITED STATES', 'TURKEY', 'ARGENTINA', 'UNITED KINGDOM', 'POLAND', 'BRAZIL', 'LATAM', 'ASIA', 'INDIA', 'CANADA'])[fill.pick(n, 5, 12)],
       initcap(fill.word(fill.pick(n, 6, 3000) + 4000)) || ' Games', initcap(fill.word(fill.pick(n, 7, 5000) + 8000)) || ' Studio',
       '{de,en,fr}', at, at, '{"minimal": {"ram": "8 GB", "cpu": "4 cores"}}', false, preorder, true, depth, depth,
       case when withdrawn then at + interval '1 day' end
  from (select n, now() - interval '730 days' + (n / 200 * 200) * (interval '729 days' / $COUNT) as at,
               fill.h(n, 10) < 0.01 as withdrawn, fill.h(n, 11) < 0.02 as preorder, fill.h(n, 12) < 0.4 as dear,
               round(greatest(0.05, exp(2.3 + 1.7 * (fill.h(n, 13) + fill.h(n, 14) + fill.h(n, 15) + fill.h(n, 16) - 2)))::numeric, 2) as price,
               case when fill.h(n, 10) < 0.01 or fill.h(n, 17) < 0.15 then 0 else fill.pick(n, 18, 12) end as depth,
               (array['Crimson','Silent','Last','Iron','Hidden','Broken','Eternal','Frozen','Golden','Dark','Wild','Lost','Neon','Rising','Fallen','Brave','Ancient','Infinite','Savage','Mystic','Little','Super','Cosmic','Deadly','Secret','Burning','Royal','Shadow','Storm','Sacred'])[1 + floor(30 * fill.h(n, 1))::integer]
               || ' ' || initcap(fill.word(fill.pick(n, 2, greatest(200, least(27000, $COUNT / 15)::integer))))
               || case when fill.h(n, 3) < 0.25 then ' ' || (2 + fill.pick(n, 19, 5))::text else '' end
               || case when fill.h(n, 23) < 0.15 then ': Deluxe Edition' else '' end
               || ' (PC) - Steam Key - ' || (array['GLOBAL','EUROPE','TURKEY'])[fill.pick(n, 24, 3)] as title
          from generate_series(1::bigint, $COUNT) n) g
  join fill.told told on told.i = 1 + (hashint8extended(n, 8) & 2147483647) % 2000
 order by n;

insert into game_platforms select fill.game_id(n), t.id from generate_series(1::bigint, $COUNT) n join fill.terms t on t.taxonomy = 'platforms' and t.i = fill.pick(n, 30, 8) order by n;
insert into game_categories select fill.game_id(n), t.id from generate_series(1::bigint, $COUNT) n join fill.terms t on t.taxonomy = 'categories' and t.i = fill.pick(n, 31, 8) order by n;
insert into game_genres select fill.game_id(n), t.id from generate_series(1::bigint, $COUNT) n cross join generate_series(1, 3) k join fill.terms t on t.taxonomy = 'genres' and t.i = fill.pick(n, 32 + k, 24) where k <= 1 + 3 * fill.h(n, 32) order by n on conflict do nothing;
insert into game_tags select fill.game_id(n), t.id from generate_series(1::bigint, $COUNT) n cross join generate_series(1, 5) k join fill.terms t on t.taxonomy = 'tags' and t.i = fill.pick(n, 40 + k, 120) where k <= 2 + 3 * fill.h(n, 40) order by n on conflict do nothing;

-- As games_index_text() does.
insert into game_search (game_id, title, words)
select g.id, lower(g.title), setweight(to_tsvector('simple', g.title), 'A') || setweight(told.words, 'B')
  from games g join fill.told told on told.text = g.description
 order by g.id;

-- As games_count() does.
update catalog_totals
   set listed = (select count(*) from games where withdrawn_at is null),
       buyable = (select count(*) from games where withdrawn_at is null and in_stock and not is_preorder);
insert into cache_inval (tags) values ('{*}');

do $$
declare
    made text;
begin
    for made in select indexdef from fill.indexes loop
        execute made;
    end loop;
end $$;
drop schema fill cascade;
