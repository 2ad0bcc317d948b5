//! Games, taxonomies and links.

use crate::world::{World, rules};

rules! {
    a_text_of_a_picture_is_bounded: "game_pictures_alt_bounded"
        refuses ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', repeat('x', 301))"]
        allows ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', repeat('x', 300))"]
    a_picture_that_is_not_stored_has_a_text: "game_pictures_say_something"
        refuses ["insert into game_pictures (game_id, address) values ({game}, 'https://a.example/1')"]
        allows ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', 'A door')"]
    a_picture_of_a_game_is_there_once: "game_pictures_pkey"
        refuses ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', 'x'), ({game}, 'https://a.example/1', 'y')"]
        allows ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', 'x'), ({other_game}, 'https://a.example/1', 'y')"]
    a_picture_is_of_a_game: "game_pictures_game_id_fkey"
        refuses ["insert into game_pictures (game_id, address, alt) values ({new}, 'https://a.example/1', 'x')"]
        allows ["insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', 'x')"]
    an_uploaded_picture_is_a_bounded_webp: "game_pictures_image_is_a_bounded_webp"
        refuses [
            "insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, '')",
            "insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, decode('89504e470d0a1a0a0000000d', 'hex'))",
            "insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, decode('524946460000000057454250', 'hex') || repeat('x', 1048565)::bytea)",
        ]
        allows ["insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, decode('524946460000000057454250', 'hex') || repeat('x', 1048564)::bytea)"]
    an_uploaded_picture_has_its_id_in_its_address: "game_pictures_uploaded_at_its_address"
        refuses [
            "insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {user} || '.webp', {new}, decode('524946460000000057454250', 'hex'))",
            "insert into game_pictures (game_id, address, alt, image) values ({game}, 'https://a.example/1', 'x', decode('524946460000000057454250', 'hex'))",
            "insert into game_pictures (game_id, address, alt, id) values ({game}, '/api/pictures/' || {new} || '.webp', 'x', {new})",
        ]
        allows ["insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, decode('524946460000000057454250', 'hex'))"]
    an_address_of_an_uploaded_picture_is_unique: "game_pictures_id_key"
        refuses ["insert into game_pictures (game_id, address, id, image) select g, '/api/pictures/' || {new} || '.webp', {new}, decode('524946460000000057454250', 'hex') from unnest(array[{game}, {other_game}]::uuid[]) g"]
        allows ["insert into game_pictures (game_id, address, id, image) values ({game}, '/api/pictures/' || {new} || '.webp', {new}, decode('524946460000000057454250', 'hex'))"]
    /// `docs/data-model.md`, Game: the price is positive. `NaN` is a value of `numeric`.
    a_price_is_positive: "games_price_positive"
        refuses ["update games set price = 0", "update games set price = -1", "update games set price = 'NaN'"]
        allows ["update games set price = 0.01", "update games set price = 9999999999.99"]
    an_asked_price_is_positive: "games_g2a_asked_price_positive"
        refuses ["update games set g2a_asked_price = 0, g2a_asked_at = now()", "update games set g2a_asked_price = 'NaN', g2a_asked_at = now()"]
        allows ["update games set g2a_asked_price = 0.01, g2a_asked_at = now()"]
    an_asked_price_has_its_time: "games_g2a_asked_has_a_time"
        refuses ["update games set g2a_asked_price = 1", "update games set g2a_asked_at = now()"]
        allows ["update games set g2a_asked_price = 1, g2a_asked_at = now(), g2a_asked_listed = '{1.00,null}'"]
    a_listing_is_remembered_with_what_was_asked: "games_g2a_asked_listed_is_of_an_asked_price"
        refuses ["update games set g2a_asked_listed = '{1.00,null}'"]
        allows ["update games set g2a_asked_listed = null"]
    a_price_is_known: "not null price"
        refuses ["update games set price = null"]
        allows ["update games set price = 1"]
    an_original_price_is_positive: "games_original_price_positive"
        refuses ["update games set original_price = 0", "update games set original_price = 'NaN'"]
        allows ["update games set original_price = 0.01", "update games set original_price = null"]
    an_original_price_of_staff_is_positive: "games_original_price_by_hand_positive"
        refuses ["update games set original_price_by_hand = 0", "update games set original_price_by_hand = 'NaN'"]
        allows ["update games set original_price_by_hand = 0.01", "update games set original_price_by_hand = null"]
    a_discount_is_a_percentage: "games_discount_is_percent"
        refuses [
            "update games set discount = -1, original_price = 99",
            "update games set discount = 101, original_price = 99",
        ]
        allows [
            "update games set discount = 0",
            "update games set discount = null",
            "update games set discount = 100, original_price = 99",
        ]
    a_discount_has_a_higher_price_that_it_is_taken_from: "games_discount_needs_a_higher_price"
        refuses [
            "update games set discount = 10 where id = {game}",
            "update games set discount = 10, original_price = 25 where id = {game}",
        ]
        allows ["update games set discount = 10, original_price = 25.01 where id = {game}"]
    /// `docs/data-model.md`, Game: the slug is unique.
    a_slug_is_unique: "games_slug_key"
        refuses ["update games set slug = 'portal' where id = {other_game}"]
        allows ["update games set slug = 'portal-2' where id = {other_game}"]
    an_old_slug_leads_to_one_game: "game_slugs_pkey"
        refuses ["insert into game_slugs (slug, game_id) values ('old', {game}), ('old', {other_game})"]
        allows ["insert into game_slugs (slug, game_id) values ('old', {game}), ('older', {game})"]
    an_old_slug_is_an_address: "game_slugs_slug_is_an_address"
        refuses ["insert into game_slugs (slug, game_id) values ('Old', {game})"]
        allows ["insert into game_slugs (slug, game_id) values ('old-1', {game})"]
    an_old_slug_leads_to_a_game: "game_slugs_game_id_fkey"
        refuses ["insert into game_slugs (slug, game_id) values ('old', {new})"]
        allows ["insert into game_slugs (slug, game_id) values ('old', {game})"]
    /// A slug is safe in a URL path.
    a_slug_is_an_address: "games_slug_is_an_address"
        refuses [
            "update games set slug = '' where id = {game}",
            "update games set slug = 'Portal' where id = {game}",
            "update games set slug = 'a b' where id = {game}",
            "update games set slug = 'a--b' where id = {game}",
            "update games set slug = 'a-' where id = {game}",
            "update games set slug = E'a\\nb' where id = {game}",
            "update games set slug = E'a\\n' where id = {game}",
            "update games set slug = 'é' where id = {game}",
        ]
        allows ["update games set slug = 'a' where id = {game}", "update games set slug = '7-of-9' where id = {game}"]
    a_title_is_not_empty: "games_title_not_empty"
        refuses ["update games set title = ''", "update games set title = '  '"]
        allows ["update games set title = 'X'"]
    a_currency_has_three_letters: "games_currency_iso"
        refuses ["update games set currency = 'eur'", "update games set currency = 'EURO'", "update games set currency = ''"]
        allows ["update games set currency = 'USD'"]
    no_image_of_a_game_is_missing: "games_images_have_no_gaps"
        refuses ["update games set images = array['a', null]"]
        allows ["update games set images = array['a', 'b']", "update games set images = '{}'"]
    languages_are_two_letter_codes: "games_languages_are_codes"
        refuses [
            "update games set languages = array['english']",
            "update games set languages = array['xx']",
            "update games set languages = array['en', 'jp']",
            "update games set languages = array['EN']",
            "update games set languages = array['en', null]",
            "update games set languages = array['en,de']",
            "update games set languages = array['']",
            "update games set languages = array['en', '']",
        ]
        allows ["update games set languages = array['en', 'de']", "update games set languages = '{}'"]
    a_release_date_is_representable: "games_release_date_range"
        refuses [
            "update games set release_date = 'infinity'",
            "update games set release_date = '-infinity'",
            "update games set release_date = '10000-01-01Z'",
        ]
        allows ["update games set release_date = '2099-12-31Z'", "update games set release_date = '1962-01-01Z'"]
    flags_set_by_hand_are_flags: "games_flags_by_hand_known"
        refuses ["update games set flags_by_hand = '{in_stock}'"]
        allows ["update games set flags_by_hand = '{is_new,is_best_seller}'", "update games set flags_by_hand = '{}'"]
    a_metacritic_score_is_between_0_and_100: "games_metacritic_score_range"
        refuses ["update games set metacritic_score = -1", "update games set metacritic_score = 101"]
        allows ["update games set metacritic_score = 0", "update games set metacritic_score = 100", "update games set metacritic_score = null"]
    a_user_rating_is_between_0_and_5: "games_user_rating_range"
        refuses ["update games set user_rating = -0.01", "update games set user_rating = 5.01", "update games set user_rating = 'NaN'"]
        allows ["update games set user_rating = 0", "update games set user_rating = 5", "update games set user_rating = null"]
    a_critics_rating_is_between_0_and_100: "games_rating_critic_range"
        refuses ["update games set rating_critic = -1", "update games set rating_critic = 101"]
        allows ["update games set rating_critic = 0", "update games set rating_critic = 100"]
    a_players_rating_is_between_0_and_100: "games_rating_user_range"
        refuses ["update games set rating_user = -1", "update games set rating_user = 101"]
        allows ["update games set rating_user = 0", "update games set rating_user = 100"]
    /// `docs/data-model.md`, Game: `g2a_product_id` is unique when set.
    a_product_of_g2a_is_one_game: "games_g2a_product_id_key"
        refuses ["update games set g2a_product_id = 'g1', g2a_stock = true where id = {game}"]
        allows ["update games set g2a_product_id = 'g2', g2a_stock = true where id = {game}", "update games set g2a_product_id = null"]
    a_product_of_g2a_has_an_id: "games_g2a_product_id_not_empty"
        refuses ["update games set g2a_product_id = '', g2a_stock = true where id = {game}"]
        allows ["update games set g2a_product_id = '0', g2a_stock = true where id = {game}"]
    /// `docs/data-model.md`, Game: `in_stock` and `g2a_stock` are equal for games that G2A supplies.
    stock_of_a_g2a_game_is_what_g2a_reports: "games_stock_is_g2as"
        refuses [
            "update games set in_stock = false where id = {g2a_game}",
            "update games set g2a_stock = false where id = {g2a_game}",
        ]
        allows [
            "update games set in_stock = false, g2a_stock = false where id = {g2a_game}",
            "update games set in_stock = false where id = {game}",
        ]
    a_slice_depth_is_a_number_of_bits: "games_g2a_depth_range"
        refuses ["update games set g2a_depth = -1", "update games set g2a_depth = 32"]
        allows ["update games set g2a_depth = 31"]
    a_withdrawn_game_is_not_sold: "games_withdrawn_is_not_sold"
        refuses ["update games set withdrawn_at = now() where id = {game}"]
        allows ["update games set withdrawn_at = now(), in_stock = false where id = {game}"]

    a_category_is_named_once: "categories_name_key"
        refuses ["insert into categories (name, slug) values ('Games', 'x')"]
        allows ["insert into categories (name, slug) values ('Software', 'x')"]
    a_category_has_one_address: "categories_slug_key"
        refuses ["insert into categories (name, slug) values ('X', 'games')"]
        allows ["insert into categories (name, slug) values ('X', 'x')"]
    a_category_has_a_name: "categories_name_check"
        refuses ["insert into categories (name, slug) values (' ', 'x')"]
        allows ["insert into categories (name, slug) values ('X', 'x')"]
    a_category_has_an_address: "categories_slug_check"
        refuses ["insert into categories (name, slug) values ('X', '')"]
        allows ["insert into categories (name, slug) values ('X', 'x')"]
    a_genre_is_named_once: "genres_name_key"
        refuses ["insert into genres (name, slug) values ('Puzzle', 'x')"]
        allows ["insert into genres (name, slug) values ('Racing', 'x')"]
    a_genre_has_one_address: "genres_slug_key"
        refuses ["insert into genres (name, slug) values ('X', 'puzzle')"]
        allows ["insert into genres (name, slug) values ('X', 'x')"]
    a_genre_has_a_name: "genres_name_check"
        refuses ["insert into genres (name, slug) values ('', 'x')"]
        allows ["insert into genres (name, slug) values ('X', 'x')"]
    a_genre_has_an_address: "genres_slug_check"
        refuses ["insert into genres (name, slug) values ('X', '')"]
        allows ["insert into genres (name, slug) values ('X', 'x')"]
    a_platform_is_named_once: "platforms_name_key"
        refuses ["insert into platforms (name, slug) values ('Windows', 'x')"]
        allows ["insert into platforms (name, slug) values ('Linux', 'x')"]
    a_platform_has_one_address: "platforms_slug_key"
        refuses ["insert into platforms (name, slug) values ('X', 'windows')"]
        allows ["insert into platforms (name, slug) values ('X', 'x')"]
    a_platform_has_a_name: "platforms_name_check"
        refuses ["insert into platforms (name, slug) values ('', 'x')"]
        allows ["insert into platforms (name, slug) values ('X', 'x')"]
    a_platform_has_an_address: "platforms_slug_check"
        refuses ["insert into platforms (name, slug) values ('X', '')"]
        allows ["insert into platforms (name, slug) values ('X', 'x')"]
    a_tag_is_named_once: "tags_name_key"
        refuses ["insert into tags (name, slug) values ('Portals', 'x')"]
        allows ["insert into tags (name, slug) values ('Indie', 'x')"]
    a_tag_has_one_address: "tags_slug_key"
        refuses ["insert into tags (name, slug) values ('X', 'portals')"]
        allows ["insert into tags (name, slug) values ('X', 'x')"]
    a_tag_has_a_name: "tags_name_check"
        refuses ["insert into tags (name, slug) values ('', 'x')"]
        allows ["insert into tags (name, slug) values ('X', 'x')"]
    a_tag_has_an_address: "tags_slug_check"
        refuses ["insert into tags (name, slug) values ('X', '')"]
        allows ["insert into tags (name, slug) values ('X', 'x')"]
    a_game_is_in_a_category_once: "game_categories_pkey"
        refuses ["insert into game_categories values ({game}, {category})"]
        allows ["insert into game_categories values ({other_game}, {category})"]
    a_game_has_a_genre_once: "game_genres_pkey"
        refuses ["insert into game_genres values ({game}, {genre})"]
        allows ["insert into game_genres values ({other_game}, {genre})"]
    a_game_is_on_a_platform_once: "game_platforms_pkey"
        refuses ["insert into game_platforms values ({game}, {platform})"]
        allows ["insert into game_platforms values ({other_game}, {platform})"]
    a_game_has_a_tag_once: "game_tags_pkey"
        refuses ["insert into game_tags values ({game}, {tag})"]
        allows ["insert into game_tags values ({other_game}, {tag})"]
    a_game_that_was_sold_is_never_deleted: "order_items_game_id_fkey"
        refuses ["delete from games where id = {game}"]
        allows ["delete from games where id = {other_game}"]
    a_game_with_a_key_is_never_deleted: "game_keys_game_id_fkey"
        refuses ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({other_game}, 'x', sha256('x'));
                  delete from games where id = {other_game}"]
        allows ["delete from games where id = {other_game}"]
}

#[tokio::test]
async fn games_have_the_documented_defaults() {
    let world = World::new().await;
    let row: String = sqlx::query_scalar(
        "with born as (
             insert into games (title, slug, description, price, image, release_date)
             values ('New', 'new', 'd', 1, 'i', now()) returning *)
         select concat_ws(' ', discount, currency, images, in_stock, g2a_stock, multiplayer, is_best_seller, is_new,
                          is_preorder, languages, original_price is null, g2a_product_id is null,
                          created_at = now() and updated_at = now(), uuid_send(id) is not null)
           from born",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(row, "0 EUR {} t f f f f f {} t t t t");
}

/// The required columns of a game (`docs/data-model.md`).
#[tokio::test]
async fn required_game_columns_are_not_null() {
    let world = World::new().await;
    for column in [
        "title",
        "slug",
        "description",
        "price",
        "currency",
        "image",
        "images",
        "in_stock",
        "g2a_stock",
        "release_date",
        "multiplayer",
        "is_best_seller",
        "is_new",
        "is_preorder",
        "languages",
        "created_at",
        "id",
    ] {
        let error = world
            .attempt(&format!("update games set {column} = null where id = {{game}}"))
            .await
            .unwrap_err();
        assert_eq!(crate::world::rule_of(&error), format!("not null {column}"));
    }
}

#[tokio::test]
async fn updated_at_is_set_on_change_and_cannot_be_forged() {
    let world = World::new().await;
    for table in ["games", "users", "orders", "order_units", "transactions", "promo_codes"] {
        let forged: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "with changed as (update {table} set updated_at = '2001-01-01' returning updated_at)
             select count(*) from changed where updated_at < now()"
        )))
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
        assert_eq!(forged, 0, "{table}");
    }
}

#[tokio::test]
async fn the_search_text_follows_the_game() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "update games set title = 'Portal Reloaded', description = '<b>Think</b> again' where id = {game};
             delete from games where id = {other_game}",
        ))
        .await;
    let text: (String, bool, bool) = sqlx::query_as(sqlx::AssertSqlSafe(world.fill(
        "select title, words @@ to_tsquery('simple', 'think & reloaded'),
                (select count(*) from game_search) = (select count(*) from games) from game_search where game_id = {game}",
    )))
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(text, ("portal reloaded".to_owned(), true, true));
}

#[tokio::test]
async fn deleting_a_game_removes_its_links_and_list_items() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "insert into game_genres values ({other_game}, {genre});
             insert into cart_items (user_id, game_id) values ({user}, {other_game});
             insert into wishlist (user_id, game_id) values ({user}, {other_game});
             delete from games where id = {other_game}",
        ))
        .await;
    let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(world.fill(
        "select (select count(*) from game_genres where game_id = {other_game})
              + (select count(*) from cart_items where game_id = {other_game})
              + (select count(*) from wishlist where game_id = {other_game})",
    )))
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

/// A client that sets its own search path, as dumps do, is subject to the same rules.
#[tokio::test]
async fn the_rules_do_not_depend_on_the_callers_search_path() {
    let world = World::new().await;
    world
        .attempt(
            "set local search_path = '';
             update public.games set price = 26, title = 'P', slug = 'p', is_preorder = true where id = {game};
             insert into public.cart_items (user_id, game_id) values ({user}, {other_game});
             delete from public.guest_sessions;
             insert into public.users (email, password_hash) values ('c@d.e', (select max(password_hash) from public.users));
             update public.orders set status = 'PROCESSING' where id = {order};
             update public.order_units set state = 'ORDERING' where id = {unit}",
        )
        .await
        .unwrap();
}
