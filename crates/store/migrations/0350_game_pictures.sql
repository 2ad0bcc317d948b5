-- What is stored here of pictures in the catalogue: uploaded ones, and alternative texts of any. A picture is named by its
-- address in `games.image` or `games.images`; when it is in neither any more, the row goes.
create table game_pictures (
    game_id    uuid not null references games (id) on delete cascade,
    address    text not null,
    alt        text not null default '' constraint game_pictures_alt_bounded check (length(alt) <= 300),
    id         uuid constraint game_pictures_id_key unique,          -- of an uploaded picture, in its address
    image      bytea constraint game_pictures_image_is_a_bounded_webp check (
                   octet_length(image) between 12 and 1048576
                   and substring(image from 1 for 4) = 'RIFF' and substring(image from 9 for 4) = 'WEBP'),
    created_at timestamptz not null default now(),
    primary key (game_id, address),
    constraint game_pictures_uploaded_at_its_address check (
        (id is null) = (image is null) and (id is null or address = '/api/pictures/' || id || '.webp')),
    constraint game_pictures_say_something check (id is not null or alt <> '')
);
comment on column game_pictures.alt is 'alternative text, empty for none';

do $do$
declare
    event record;
begin
    for event in select * from (values
        ('insert', 'referencing new table as new_rows', 'select game_id from new_rows'),
        ('update', 'referencing old table as old_rows new table as new_rows', 'select game_id from old_rows union select game_id from new_rows'),
        ('delete', 'referencing old table as old_rows', 'select game_id from old_rows')
    ) as map (name, transition, changed) loop
        execute format($sql$
            create function cache_game_pictures_%1$s() returns trigger language plpgsql set search_path from current as $body$
            declare
                made_untrue text[];
            begin
                if (select count(*) from (select from (%3$s) r limit 257) few) > 256 then
                    made_untrue := '{game:*}';
                else
                    select array_agg(distinct t) into made_untrue
                      from (%3$s) r join games g on g.id = r.game_id, unnest(array['game:' || g.id, 'game:slug:' || g.slug]) t;
                end if;
                if made_untrue is not null then
                    insert into cache_inval (tags) values (made_untrue);
                end if;
                return null;
            end $body$;
            create trigger cache_%1$s after %1$s on game_pictures %2$s
                for each statement execute function cache_game_pictures_%1$s();
        $sql$, event.name, event.transition, event.changed);
    end loop;
end $do$;
create trigger cache_truncate after truncate on game_pictures for each statement execute function cache_everything();

create function games_forget_pictures() returns trigger language plpgsql set search_path from current as $$
begin
    delete from game_pictures where game_id = new.id and address <> new.image and address <> all (new.images);
    return null;
end $$;
create trigger games_forget_pictures after update of image, images on games for each row
    when ((old.image, old.images) is distinct from (new.image, new.images)) execute function games_forget_pictures();

-- Staff may also set the pictures beside the cover. Validated in 0354_keys_before.sql.
alter table games
    drop constraint games_fields_by_hand_known,
    add constraint games_fields_by_hand_known check (fields_by_hand <@ array[
        'title', 'description', 'price', 'original_price', 'image', 'publisher', 'developer', 'release_date',
        'is_preorder', 'in_stock', 'categories', 'genres', 'platforms', 'tags', 'images']) not valid;
