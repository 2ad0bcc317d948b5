-- Staff describe categories, genres, platforms and tags, and delete those that no game has.

-- While games have it, an entry stays: without it their pages and filters would say less than before. 0253 validates the
-- constraints, without a lock that stops the shop.
do $$
declare
    plural text;
    singular text;
begin
    for plural, singular in values ('categories', 'category'), ('genres', 'genre'), ('platforms', 'platform'), ('tags', 'tag') loop
        execute format('alter table %1$I add column description text constraint %1$s_description_length check (length(description) between 1 and 2000)', plural);
        execute format('comment on column %I.description is ''what staff say of it, plain text''', plural);
        execute format('alter table game_%1$s drop constraint game_%1$s_%2$s_id_fkey,
                            add constraint game_%1$s_%2$s_id_fkey foreign key (%2$s_id) references %1$s (id) on delete restrict not valid',
                       plural, singular);
    end loop;
end $$;
