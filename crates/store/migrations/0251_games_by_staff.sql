-- What staff set of a game that G2A supplies stays as they set it: each field has a source, G2A or staff. The
-- synchronisation reads `fields_by_hand` and leaves those fields alone (crates/store/src/sync/kept.rs); what staff take
-- out of it is G2A's again at the next pass.
alter table games add column fields_by_hand text[] not null default '{}'
    constraint games_fields_by_hand_known check (fields_by_hand <@ array[
        'title', 'description', 'price', 'original_price', 'image', 'publisher', 'developer', 'release_date',
        'is_preorder', 'in_stock', 'categories', 'genres', 'platforms', 'tags'])
    -- Staff take a game off sale; that it is to be had they cannot decide.
    constraint games_held_back_is_not_sold check (
        not (in_stock and g2a_product_id is not null and 'in_stock' = any (fields_by_hand)));
comment on column games.fields_by_hand is 'fields that staff have set and that no synchronisation changes';

-- Beside a price that staff have set: the price that the synchronisation would set.
alter table games add column g2a_price numeric(12,2)
    constraint games_g2a_price_positive check (g2a_price > 0 and g2a_price < 'NaN')
    constraint games_g2a_price_beside_a_set_price check (g2a_price is null or 'price' = any (fields_by_hand));
comment on column games.g2a_price is 'EUR, mark-up included; null while the price is G2A''s';

-- Every change of a price, whoever makes it: the synchronisation, staff, an order that revealed G2A's price, plain SQL.
create table price_changes (
    id             bigint generated always as identity primary key,
    game_id        uuid not null references games (id) on delete cascade,
    at             timestamptz not null default now(),
    previous_price numeric(12,2) not null,                 -- EUR
    price          numeric(12,2) not null,                 -- EUR
    original_price numeric(12,2),                          -- EUR
    g2a_price      numeric(12,2)                           -- EUR, as games.g2a_price
);
-- The prices of a game, newest first (store.admin.games.prices).
create index price_changes_game_id_idx on price_changes (game_id, id);
-- The sweep (store.retention.prices).
create index price_changes_at_idx on price_changes (at);

create function games_note_price() returns trigger language plpgsql set search_path from current as $$
begin
    insert into price_changes (game_id, previous_price, price, original_price, g2a_price)
    select n.id, o.price, n.price, n.original_price, n.g2a_price
      from new_rows n join old_rows o on o.id = n.id
     where (n.price, n.original_price, n.g2a_price) is distinct from (o.price, o.original_price, o.g2a_price);
    return null;
end $$;
-- Its plan is kept for a session, whatever the number of rows was when it was made.
alter function games_note_price() set enable_nestloop = off;
create trigger games_note_price after update on games referencing old table as old_rows new table as new_rows
    for each statement execute function games_note_price();

-- Products of G2A that staff have deleted from the shop: the synchronisation does not bring them back.
create table excluded_products (
    g2a_product_id text primary key constraint excluded_products_id_not_empty check (g2a_product_id <> ''),
    title          text not null,                          -- when it was deleted
    at             timestamptz not null default now()
);

-- What a session of staff was shown of a game and a synchronisation changes: a form that is sent back as a whole leaves such a
-- value alone. Not worth writing ahead: after a crash a value is compared with the game as it is.
create unlogged table seen_games (
    session_id     uuid not null references user_sessions (id) on delete cascade,
    game_id        uuid not null,                          -- it may be gone
    price          numeric(12,2) not null,                 -- EUR
    original_price numeric(12,2),                          -- EUR
    in_stock       boolean not null,
    primary key (session_id, game_id)
);
