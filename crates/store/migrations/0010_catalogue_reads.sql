-- Indexes as the catalogue's reads turned out to need them.

-- The orders of the catalogue again, now with what the walk skips by: sold-out games and preorders are passed over
-- inside the index, without a look at the table. A page deep in a million games costs an index scan and nothing more.
drop index games_created_at_idx;
drop index games_release_date_idx;
drop index games_popularity_idx;
drop index games_price_idx;
create index games_created_at_idx on games (created_at desc, id desc) include (in_stock, is_preorder)
    where withdrawn_at is null;
create index games_release_date_idx on games (release_date desc, id desc) include (in_stock, is_preorder)
    where withdrawn_at is null;
create index games_popularity_idx on games (popularity desc, id desc) include (in_stock, is_preorder)
    where withdrawn_at is null;
create index games_price_idx on games (price, id) include (in_stock, is_preorder) where withdrawn_at is null;

-- Facets in any case: the first column is what filters compare, the second the spelling that is shown.
drop index games_activation_service_idx;
drop index games_region_idx;
drop index games_publisher_idx;
create index games_activation_service_idx on games (lower(activation_service), activation_service)
    where withdrawn_at is null;
create index games_region_idx on games (lower(region), region) where withdrawn_at is null;
create index games_publisher_idx on games (lower(publisher), publisher) where withdrawn_at is null;
-- Whether there is any such game; G2A never says so of most.
create index games_multiplayer_idx on games (id) where multiplayer and withdrawn_at is null;
