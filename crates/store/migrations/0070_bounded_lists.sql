-- What gathering a filtered list reads (crates/store/src/games/list.rs), so that ten thousand matches are found in
-- indexes alone: a game's row lies on a page of its own among a million, and half of it is text.

-- Every index that gathering can begin with also holds what the list is filtered and sorted by.
drop index games_price_idx;
drop index games_activation_service_idx;
drop index games_region_idx;
drop index games_publisher_idx;
create index games_price_idx on games (price, id)
    include (in_stock, is_preorder, created_at, release_date, popularity) where withdrawn_at is null;
create index games_activation_service_idx on games (lower(activation_service), activation_service)
    include (id, in_stock, is_preorder, multiplayer, price, created_at, release_date, popularity)
    where withdrawn_at is null;
create index games_region_idx on games (lower(region), region)
    include (id, in_stock, is_preorder, multiplayer, price, created_at, release_date, popularity)
    where withdrawn_at is null;
create index games_publisher_idx on games (lower(publisher), publisher)
    include (id, in_stock, is_preorder, multiplayer, price, created_at, release_date, popularity)
    where withdrawn_at is null;
-- The games of a genre or a platform, looked up one by one.
create index games_listed_idx on games (id)
    include (in_stock, is_preorder, multiplayer, price, created_at, release_date, popularity, activation_service, region,
             publisher)
    where withdrawn_at is null;
