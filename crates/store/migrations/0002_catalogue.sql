-- The seed's Game with its taxonomies and links.

create table games (
    id                 uuid primary key default gen_random_uuid(),
    title              text not null constraint games_title_not_empty check (btrim(title) <> ''),
    slug               text not null constraint games_slug_key unique
                       constraint games_slug_is_an_address check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    description        text not null,
    short_description  text,
    price              numeric(12,2) not null constraint games_price_positive check (price > 0 and price < 'NaN'),   -- EUR, mark-up included
    original_price     numeric(12,2) constraint games_original_price_positive check (original_price > 0 and original_price < 'NaN'),
    discount           integer default 0 constraint games_discount_is_percent check (discount between 0 and 100),
    currency           text not null default 'EUR' constraint games_currency_iso check (currency ~ '^[A-Z]{3}$'),
    image              text not null,
    images             text[] not null default '{}' constraint games_images_have_no_gaps check (array_position(images, null) is null),
    in_stock           boolean not null default true,
    g2a_product_id     text constraint games_g2a_product_id_key unique
                       constraint games_g2a_product_id_not_empty check (g2a_product_id <> ''),
    g2a_stock          boolean not null default false,
    g2a_last_sync      timestamptz,                        -- when G2A's word last changed this row
    release_date       timestamptz not null                -- a date that every program can write down: no infinity
                       constraint games_release_date_range check (release_date >= '0001-01-01Z' and release_date < '10000-01-01Z'),
    metacritic_score   integer constraint games_metacritic_score_range check (metacritic_score between 0 and 100),
    user_rating        numeric(3,2) constraint games_user_rating_range check (user_rating between 0 and 5),
    age_rating         text,
    multiplayer        boolean not null default false,
    activation_service text,
    region             text,
    publisher          text,
    is_best_seller     boolean not null default false,
    is_new             boolean not null default false,
    is_preorder        boolean not null default false,
    rating_critic      integer constraint games_rating_critic_range check (rating_critic between 0 and 100),
    rating_user        integer constraint games_rating_user_range check (rating_user between 0 and 100),
    languages          text[] not null default '{}'
                       constraint games_languages_are_codes check (   -- ISO 639-1, each an element of its own
                           array_position(languages, null) is null
                           and array_to_string(languages, ',') ~ '^([a-z]{2}(,[a-z]{2})*)?$'
                           and (length(array_to_string(languages, ',')) + 1) / 3 = cardinality(languages)),
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    -- Beyond the seed:
    developer          text,
    requirements       jsonb,                              -- {minimal, recommended}, as G2A gives them
    release_date_known boolean not null default true,      -- false: G2A gives no date, release_date is when we first saw it
    g2a_depth          smallint not null default 0         -- how many offers G2A holds, as the number of binary digits
                       constraint games_g2a_depth_range check (g2a_depth between 0 and 31),
    popularity         integer not null default 0,         -- see games.refresh_flags in crates/store
    withdrawn_at       timestamptz,                        -- gone from G2A: kept for orders and keys, no longer listed
    -- The seed: "inStock and g2aStock must be synchronized".
    constraint games_stock_is_g2as check (g2a_product_id is null or in_stock = g2a_stock),
    constraint games_withdrawn_is_not_sold check (withdrawn_at is null or not in_stock),
    constraint games_discount_needs_a_higher_price check (
        coalesce(discount, 0) = 0 or (original_price is not null and original_price > price))
);

create trigger games_touch before update on games for each row execute function touch_updated_at();

-- The four orders in which the catalogue is walked (sort=newest|popular|price-asc|price-desc and the default, latest
-- addition first). Sold-out games and preorders stand between the others and are skipped while walking.
create index games_created_at_idx on games (created_at desc, id desc) where withdrawn_at is null;
create index games_release_date_idx on games (release_date desc, id desc) where withdrawn_at is null;
create index games_popularity_idx on games (popularity desc, id desc) where withdrawn_at is null;
create index games_price_idx on games (price, id) where withdrawn_at is null;
-- The stock check asks which of G2A's products we believe to be in stock; the same index counts them.
create index games_in_stock_idx on games (g2a_product_id) where in_stock;
-- Facets: the filter, and the list of distinct values by skipping from one to the next.
create index games_activation_service_idx on games (activation_service) where withdrawn_at is null;
create index games_region_idx on games (region) where withdrawn_at is null;
create index games_publisher_idx on games (publisher) where withdrawn_at is null;
-- Home lists.
create index games_preorder_idx on games (release_date, id) where is_preorder and withdrawn_at is null;
create index games_is_new_idx on games (release_date desc, id desc) where is_new and withdrawn_at is null;
create index games_best_seller_idx on games (popularity desc, id desc) where is_best_seller and withdrawn_at is null;

-- The text that search looks at, apart from games, because every change of a price would otherwise touch the large
-- text indexes as well.
create table game_search (
    game_id  uuid primary key references games (id) on delete cascade,
    title    text not null,                                -- lower case
    words    tsvector not null                             -- of title and description
);

create index game_search_title_idx on game_search using gin (title gin_trgm_ops);
create index game_search_words_idx on game_search using gin (words);

create function games_index_text() returns trigger language plpgsql set search_path from current as $$
begin
    insert into game_search (game_id, title, words)
    values (new.id, lower(new.title),
            setweight(to_tsvector('simple', new.title), 'A')
            || setweight(to_tsvector('simple', left(regexp_replace(new.description, '<[^>]*>', ' ', 'g'), 20000)), 'B'))
    on conflict (game_id) do update set title = excluded.title, words = excluded.words;
    return null;
end $$;

create trigger games_index_text_insert after insert on games for each row execute function games_index_text();
create trigger games_index_text_update after update of title, description on games for each row
    when (old.title is distinct from new.title or old.description is distinct from new.description)
    execute function games_index_text();

-- Totals of the unfiltered catalogue, so that its first page does not count a million rows. The total is the sum of all
-- rows: a writer takes any row that no other holds, or adds one, so writers neither wait for each other nor deadlock,
-- and there are never more rows than there were writers at one time.
create table catalog_totals (
    slot     integer generated always as identity primary key,
    listed   bigint not null default 0,                    -- not withdrawn
    buyable  bigint not null default 0                     -- listed, in stock, not a preorder
);
insert into catalog_totals default values;

create function games_count() returns trigger language plpgsql set search_path from current as $$
declare
    d_listed bigint := 0;
    d_buyable bigint := 0;
begin
    if tg_op = 'TRUNCATE' then
        update catalog_totals set listed = 0, buyable = 0;
        return null;
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        select count(*) filter (where withdrawn_at is null),
               count(*) filter (where withdrawn_at is null and in_stock and not is_preorder)
          into d_listed, d_buyable from new_rows;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        select d_listed - count(*) filter (where withdrawn_at is null),
               d_buyable - count(*) filter (where withdrawn_at is null and in_stock and not is_preorder)
          into d_listed, d_buyable from old_rows;
    end if;
    if d_listed <> 0 or d_buyable <> 0 then
        update catalog_totals set listed = listed + d_listed, buyable = buyable + d_buyable
         where slot = (select slot from catalog_totals order by slot limit 1 for update skip locked);
        if not found then
            insert into catalog_totals (listed, buyable) values (d_listed, d_buyable);
        end if;
    end if;
    return null;
end $$;

create trigger games_count_insert after insert on games referencing new table as new_rows
    for each statement execute function games_count();
create trigger games_count_update after update on games referencing old table as old_rows new table as new_rows
    for each statement execute function games_count();
create trigger games_count_delete after delete on games referencing old table as old_rows
    for each statement execute function games_count();
create trigger games_count_truncate after truncate on games for each statement execute function games_count();

-- Taxonomies. The name is what people read, the slug what addresses and filters use.
create table categories (
    id   uuid primary key default gen_random_uuid(),
    name text not null constraint categories_name_key unique check (btrim(name) <> ''),
    slug text not null constraint categories_slug_key unique check (slug <> '')
);
create table genres (
    id   uuid primary key default gen_random_uuid(),
    name text not null constraint genres_name_key unique check (btrim(name) <> ''),
    slug text not null constraint genres_slug_key unique check (slug <> '')
);
create table platforms (
    id   uuid primary key default gen_random_uuid(),
    name text not null constraint platforms_name_key unique check (btrim(name) <> ''),
    slug text not null constraint platforms_slug_key unique check (slug <> '')
);
create table tags (
    id   uuid primary key default gen_random_uuid(),
    name text not null constraint tags_name_key unique check (btrim(name) <> ''),
    slug text not null constraint tags_slug_key unique check (slug <> '')
);

-- Links; the second index of each answers "which games are in this genre".
create table game_categories (
    game_id     uuid not null references games (id) on delete cascade,
    category_id uuid not null references categories (id) on delete cascade,
    primary key (game_id, category_id)
);
create index game_categories_category_id_idx on game_categories (category_id, game_id);
create table game_genres (
    game_id  uuid not null references games (id) on delete cascade,
    genre_id uuid not null references genres (id) on delete cascade,
    primary key (game_id, genre_id)
);
create index game_genres_genre_id_idx on game_genres (genre_id, game_id);
create table game_platforms (
    game_id     uuid not null references games (id) on delete cascade,
    platform_id uuid not null references platforms (id) on delete cascade,
    primary key (game_id, platform_id)
);
create index game_platforms_platform_id_idx on game_platforms (platform_id, game_id);
create table game_tags (
    game_id uuid not null references games (id) on delete cascade,
    tag_id  uuid not null references tags (id) on delete cascade,
    primary key (game_id, tag_id)
);
create index game_tags_tag_id_idx on game_tags (tag_id, game_id);
