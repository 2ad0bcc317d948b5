-- What staff choose of the shop's looks: its name, its accent colours, and the rows of the home page. One row, which is always
-- there; null means: as shipped. Every page shows it, so a change invalidates the answers of the home page's family.
create table branding (
    only_row     boolean primary key default true constraint branding_is_one_row check (only_row),
    name         text constraint branding_name_is_a_line
                 check (btrim(name) <> '' and length(name) <= 60 and name !~ '[[:cntrl:]]'),
    accent_light text constraint branding_accent_light_is_a_colour check (accent_light ~ '^#[0-9a-f]{6}$'),   -- sRGB
    accent_dark  text constraint branding_accent_dark_is_a_colour check (accent_dark ~ '^#[0-9a-f]{6}$'),     -- sRGB
    -- The rows of the home page in their order.
    shelves      text[] constraint branding_shelves_known check (
                     shelves <@ array['best', 'new', 'preorders', 'genres', 'picked']
                     and array_position(shelves, null) is null),
    constraint branding_shelves_differ check (
        cardinality(array_positions(shelves, 'best')) <= 1 and cardinality(array_positions(shelves, 'new')) <= 1
        and cardinality(array_positions(shelves, 'preorders')) <= 1 and cardinality(array_positions(shelves, 'genres')) <= 1
        and cardinality(array_positions(shelves, 'picked')) <= 1),
    version      bigint not null default nextval('page_versions'),
    updated_at   timestamptz not null default now()
);
insert into branding default values;
create trigger branding_touch before update on branding for each row execute function touch_updated_at();

-- The games of the row that staff have picked by hand.
create table picked_games (
    place   smallint primary key constraint picked_games_are_few check (place between 1 and 24),
    game_id uuid not null unique references games (id) on delete cascade
);

create trigger cache_insert after insert on branding referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on branding referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on branding referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on branding for each statement execute function cache_everything();
create trigger cache_insert after insert on picked_games referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on picked_games referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on picked_games referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on picked_games for each statement execute function cache_everything();
