-- What 0250 has added. A transaction of its own: the check reads whole tables, and the locks of 0250 would last as long.
alter table game_categories validate constraint game_categories_category_id_fkey;
alter table game_genres validate constraint game_genres_genre_id_fkey;
alter table game_platforms validate constraint game_platforms_platform_id_fkey;
alter table game_tags validate constraint game_tags_tag_id_fkey;
