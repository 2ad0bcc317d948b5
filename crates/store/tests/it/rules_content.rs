//! What staff write and set: descriptions of taxonomies, fields of games, articles and questions.

use crate::world::{World, rules};

rules! {
    a_description_of_a_category_is_bounded: "categories_description_length"
        refuses ["update categories set description = ''", "update categories set description = repeat('x', 2001)"]
        allows ["update categories set description = repeat('x', 2000)", "update categories set description = null"]
    a_description_of_a_genre_is_bounded: "genres_description_length"
        refuses ["update genres set description = ''", "update genres set description = repeat('x', 2001)"]
        allows ["update genres set description = 'x'"]
    a_description_of_a_platform_is_bounded: "platforms_description_length"
        refuses ["update platforms set description = ''", "update platforms set description = repeat('x', 2001)"]
        allows ["update platforms set description = 'x'"]
    a_description_of_a_tag_is_bounded: "tags_description_length"
        refuses ["update tags set description = ''", "update tags set description = repeat('x', 2001)"]
        allows ["update tags set description = 'x'"]
    a_category_that_games_have_stays: "game_categories_category_id_fkey"
        refuses ["delete from categories"]
        allows ["delete from game_categories; delete from categories"]
    a_genre_that_games_have_stays: "game_genres_genre_id_fkey"
        refuses ["delete from genres"]
        allows ["delete from game_genres; delete from genres"]
    a_platform_that_games_have_stays: "game_platforms_platform_id_fkey"
        refuses ["delete from platforms"]
        allows ["delete from game_platforms; delete from platforms"]
    a_tag_that_games_have_stays: "game_tags_tag_id_fkey"
        refuses ["delete from tags"]
        allows ["delete from game_tags; delete from tags"]
    fields_set_by_hand_are_fields: "games_fields_by_hand_known"
        refuses ["update games set fields_by_hand = '{slug}'"]
        allows ["update games set fields_by_hand = '{title,price,genres}'", "update games set fields_by_hand = '{}'"]
    a_game_that_staff_hold_back_is_not_in_stock: "games_held_back_is_not_sold"
        refuses [
            "update games set fields_by_hand = '{in_stock}' where id = {g2a_game}",
            "update games set fields_by_hand = '{in_stock}', in_stock = false, g2a_stock = false where id = {g2a_game};
             update games set in_stock = true, g2a_stock = true where id = {g2a_game}",
        ]
        allows ["update games set fields_by_hand = '{in_stock}', in_stock = false, g2a_stock = false where id = {g2a_game}"]
    a_price_of_g2a_is_positive: "games_g2a_price_positive"
        refuses ["update games set fields_by_hand = '{price}', g2a_price = 0", "update games set fields_by_hand = '{price}', g2a_price = 'NaN'"]
        allows ["update games set fields_by_hand = '{price}', g2a_price = 0.01"]
    a_price_of_g2a_stands_beside_a_price_of_staffs: "games_g2a_price_beside_a_set_price"
        refuses ["update games set g2a_price = 1", "update games set fields_by_hand = '{title}', g2a_price = 1"]
        allows ["update games set fields_by_hand = '{price}', g2a_price = 1"]
    an_excluded_product_has_an_id: "excluded_products_id_not_empty"
        refuses ["insert into excluded_products (g2a_product_id, title) values ('', 'x')"]
        allows ["insert into excluded_products (g2a_product_id, title) values ('1', 'x')"]
    a_page_has_an_address: "pages_slug_is_an_address"
        refuses ["insert into pages (slug, language, title, source, html) values ('A b', 'en', 'T', 'x', 'x')"]
        allows ["insert into pages (slug, language, title, source, html) values ('a-b', 'en', 'T', 'x', 'x')"]
    a_page_is_in_a_language_of_the_shop: "pages_language_known"
        refuses ["insert into pages (slug, language, title, source, html) values ('a', 'xx', 'T', 'x', 'x')"]
        allows ["insert into pages (slug, language, title, source, html) values ('a', 'de', 'T', 'x', 'x')"]
    a_page_has_a_title_of_one_line: "pages_title_is_a_line"
        refuses ["insert into pages (slug, language, title, source, html) values ('a', 'en', E'T\\nT', 'x', 'x')"]
        allows ["insert into pages (slug, language, title, source, html) values ('a', 'en', 'T T', 'x', 'x')"]
    a_page_says_something: "pages_source_bounded"
        refuses ["insert into pages (slug, language, title, source, html) values ('a', 'en', 'T', '', 'x')"]
        allows ["insert into pages (slug, language, title, source, html) values ('a', 'en', 'T', 'x', 'x')"]
    a_page_is_of_bounded_length: "pages_html_bounded"
        refuses ["insert into pages (slug, language, title, source, html) values ('a', 'en', 'T', 'x', repeat('x', 200001))"]
        allows ["insert into pages (slug, language, title, source, html) values ('a', 'en', 'T', 'x', repeat('x', 200000))"]
    the_branding_is_one_row: "branding_is_one_row"
        refuses ["update branding set only_row = false"]
        allows ["update branding set only_row = true"]
    the_logo_is_one_row: "branding_logo_is_one_row"
        refuses [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image, only_row) values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'), false)",
        ]
        allows [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image, only_row) values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'), true)",
        ]
    the_logo_is_a_small_png: "branding_logo_is_a_small_png"
        refuses [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 24, false, false, decode(repeat('00', 70), 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 393216), 'hex'))",
        ]
        allows [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 393208), 'hex'))",
        ]
    the_logo_fits_the_header: "branding_logo_fits_the_header"
        refuses [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 23, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 23, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 481, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 48, 161, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
        ]
        allows [
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 480, 160, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            "insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ({new}, 24, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
        ]
    the_shops_name_is_a_line: "branding_name_is_a_line"
        refuses [
            "update branding set name = ' '",
            "update branding set name = repeat('x', 61)",
            "update branding set name = E'a\\nb'",
        ]
        allows ["update branding set name = repeat('x', 60)", "update branding set name = null"]
    the_light_accent_is_a_colour: "branding_accent_light_is_a_colour"
        refuses ["update branding set accent_light = 'teal'", "update branding set accent_light = '#0B6356'"]
        allows ["update branding set accent_light = '#0b6356'"]
    the_dark_accent_is_a_colour: "branding_accent_dark_is_a_colour"
        refuses ["update branding set accent_dark = '#fff'"]
        allows ["update branding set accent_dark = '#ffffff'"]
    the_home_page_has_known_rows: "branding_shelves_known"
        refuses ["update branding set shelves = array['worst']", "update branding set shelves = array['best', null]"]
        allows ["update branding set shelves = array['picked', 'best', 'new', 'preorders', 'genres']", "update branding set shelves = '{}'"]
    the_home_page_has_each_row_once: "branding_shelves_differ"
        refuses ["update branding set shelves = array['best', 'best']"]
        allows ["update branding set shelves = array['best', 'new']"]
    few_games_are_picked: "picked_games_are_few"
        refuses ["insert into picked_games (place, game_id) values (25, {game})", "insert into picked_games (place, game_id) values (0, {game})"]
        allows ["insert into picked_games (place, game_id) values (24, {game})"]
    a_game_is_picked_once: "picked_games_game_id_key"
        refuses ["insert into picked_games (place, game_id) values (1, {game}), (2, {game})"]
        allows ["insert into picked_games (place, game_id) values (1, {game})"]
    a_picked_game_exists: "picked_games_game_id_fkey"
        refuses ["insert into picked_games (place, game_id) values (1, gen_random_uuid())"]
        allows ["insert into picked_games (place, game_id) values (1, {game})"]
    a_banner_is_in_a_language_of_the_shop: "banners_language_known"
        refuses ["insert into banners (language, text, begins_at, ends_at) values ('xx', 'S', now(), now() + interval '1 h')"]
        allows ["insert into banners (language, text, begins_at, ends_at) values ('en', 'S', now(), now() + interval '1 h')"]
    a_banner_is_a_line: "banners_text_is_a_line"
        refuses ["insert into banners (language, text, begins_at, ends_at) values ('en', ' ', now(), now() + interval '1 h')"]
        allows ["insert into banners (language, text, begins_at, ends_at) values ('en', 'S', now(), now() + interval '1 h')"]
    a_banner_leads_to_a_page_of_the_shop: "banners_link_stays_here"
        refuses ["insert into banners (language, text, link, begins_at, ends_at) values ('en', 'S', '//evil.example', now(), now() + interval '1 h')"]
        allows ["insert into banners (language, text, link, begins_at, ends_at) values ('en', 'S', '/games?sort=newest', now(), now() + interval '1 h')"]
    a_banner_ends_after_it_begins: "banners_end_after_they_begin"
        refuses ["insert into banners (language, text, begins_at, ends_at) values ('en', 'S', now(), now())"]
        allows ["insert into banners (language, text, begins_at, ends_at) values ('en', 'S', now(), now() + interval '1 h')"]
    an_article_has_an_address_of_its_own: "blog_articles_slug_key"
        refuses ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', 'A', '', 'C'), ({new_game}, 'a', 'A', '', 'C')"]
        allows ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', 'A', '', 'C'), ({new_game}, 'b', 'A', '', 'C')"]
    a_slug_of_an_article_is_an_address: "blog_articles_slug_is_an_address"
        refuses ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'A b', 'A', '', 'C')"]
        allows ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a-b', 'A', '', 'C')"]
    an_article_has_a_title: "blog_articles_title_not_empty"
        refuses ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', ' ', '', 'C')"]
        allows ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', 'A', '', 'C')"]
    an_article_has_a_category: "blog_articles_category_not_empty"
        refuses ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', 'A', '', '')"]
        allows ["insert into blog_articles (id, slug, title, content, category) values ({new}, 'a', 'A', '', 'C')"]
    no_tag_of_an_article_is_missing: "blog_articles_tags_have_no_gaps"
        refuses ["insert into blog_articles (id, slug, title, content, category, tags) values ({new}, 'a', 'A', '', 'C', array['x', null])"]
        allows ["insert into blog_articles (id, slug, title, content, category, tags) values ({new}, 'a', 'A', '', 'C', array['x'])"]
    reading_takes_time: "blog_articles_read_minutes_positive"
        refuses ["insert into blog_articles (id, slug, title, content, category, read_minutes) values ({new}, 'a', 'A', '', 'C', 0)"]
        allows ["insert into blog_articles (id, slug, title, content, category, read_minutes) values ({new}, 'a', 'A', '', 'C', 1)"]
    a_published_article_has_a_time: "blog_articles_published_has_a_time"
        refuses ["insert into blog_articles (id, slug, title, content, category, published) values ({new}, 'a', 'A', '', 'C', true)"]
        allows ["insert into blog_articles (id, slug, title, content, category, published, published_at) values ({new}, 'a', 'A', '', 'C', true, now())"]
    a_question_has_a_category: "faqs_category_not_empty"
        refuses ["insert into faqs (id, category, question, answer) values ({new}, ' ', 'Q', 'A')"]
        allows ["insert into faqs (id, category, question, answer) values ({new}, 'C', 'Q', 'A')"]
    a_question_asks_something: "faqs_question_not_empty"
        refuses ["insert into faqs (id, category, question, answer) values ({new}, 'C', '', 'A')"]
        allows ["insert into faqs (id, category, question, answer) values ({new}, 'C', 'Q', 'A')"]
    an_edited_template_has_the_name_of_a_kind: "email_template_edits_name_form"
        refuses ["insert into email_template_edits (name, language, subject, content) values ('A b', 'en', 'S', 'C')"]
        allows ["insert into email_template_edits (name, language, subject, content) values ('order-received', 'en', 'S', 'C')"]
    the_language_of_a_template_is_a_code: "email_template_edits_language_form"
        refuses ["insert into email_template_edits (name, language, subject, content) values ('reset', 'english', 'S', 'C')"]
        allows ["insert into email_template_edits (name, language, subject, content) values ('reset', 'de', 'S', 'C')"]
    the_subject_of_a_template_is_a_line: "email_template_edits_subject_is_a_line"
        refuses [
            "insert into email_template_edits (name, language, subject, content) values ('reset', 'en', ' ', 'C')",
            "insert into email_template_edits (name, language, subject, content) values ('reset', 'en', E'S\nBcc: x', 'C')",
            "insert into email_template_edits (name, language, subject, content) values ('reset', 'en', repeat('x', 201), 'C')",
        ]
        allows ["insert into email_template_edits (name, language, subject, content) values ('reset', 'en', repeat('x', 200), 'C')"]
    the_content_of_a_template_is_bounded: "email_template_edits_content_bounded"
        refuses [
            "insert into email_template_edits (name, language, subject, content) values ('reset', 'en', 'S', ' ')",
            "insert into email_template_edits (name, language, subject, content) values ('reset', 'en', 'S', repeat('x', 60001))",
        ]
        allows ["insert into email_template_edits (name, language, subject, content) values ('reset', 'en', 'S', repeat('x', 60000))"]
    a_mail_server_has_a_name: "email_settings_name_is_a_line"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, ' ', 'h', 25, false, 'a@b')"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'h', 25, false, 'a@b')"]
    a_mail_server_has_a_host: "email_settings_host_form"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'a b', 25, false, 'a@b')"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', '::1', 25, false, 'a@b')"]
    a_mail_server_has_a_port: "email_settings_port_in_range"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'h', 65536, false, 'a@b')"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'h', 65535, false, 'a@b')"]
    the_user_of_a_mail_server_is_bounded: "email_settings_username_bounded"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email, username, password) values ({new}, 'N', 'h', 25, false, 'a@b', repeat('u', 255), 'p')"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, username, password) values ({new}, 'N', 'h', 25, false, 'a@b', repeat('u', 254), 'p')"]
    a_log_in_has_user_and_password: "email_settings_login_is_whole"
        refuses [
            "insert into email_settings (id, name, host, port, secure, from_email, username) values ({new}, 'N', 'h', 25, false, 'a@b', 'u')",
            "insert into email_settings (id, name, host, port, secure, from_email, password) values ({new}, 'N', 'h', 25, false, 'a@b', 'p')",
        ]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, username, password) values ({new}, 'N', 'h', 25, false, 'a@b', 'u', 'p')"]
    the_sender_of_a_mail_server_is_an_address: "email_settings_from_email_form"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'h', 25, false, 'a b@c')"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email) values ({new}, 'N', 'h', 25, false, 'a@b.example')"]
    the_name_of_a_sender_is_a_line: "email_settings_from_name_is_a_line"
        refuses [
            "insert into email_settings (id, name, host, port, secure, from_email, from_name) values ({new}, 'N', 'h', 25, false, 'a@b', '')",
            "insert into email_settings (id, name, host, port, secure, from_email, from_name) values ({new}, 'N', 'h', 25, false, 'a@b', E'a\nb')",
        ]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, from_name) values ({new}, 'N', 'h', 25, false, 'a@b', 'Shop')"]
    the_reason_of_a_failed_test_is_bounded: "email_settings_test_error_bounded"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email, test_error) values ({new}, 'N', 'h', 25, false, 'a@b', repeat('x', 501))"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, test_error) values ({new}, 'N', 'h', 25, false, 'a@b', repeat('x', 500))"]
    an_active_mail_server_has_passed_its_test: "email_settings_active_has_passed"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email, is_active) values ({new}, 'N', 'h', 25, false, 'a@b', true)"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, is_active, passed_at) values ({new}, 'N', 'h', 25, false, 'a@b', true, now())"]
    an_address_is_hashed: "email_subscriptions_address_hash_length"
        refuses ["insert into email_subscriptions (address_hash) values ('x')"]
        allows ["insert into email_subscriptions (address_hash) values (sha256('x'))"]
    an_address_has_one_subscription: "email_subscriptions_address_hash_key"
        refuses ["insert into email_subscriptions (address_hash) values (sha256('x')), (sha256('x'))"]
        allows ["insert into email_subscriptions (address_hash) values (sha256('x')), (sha256('y'))"]
    a_job_has_a_template: "email_jobs_template_form"
        refuses ["insert into email_jobs (id, template, queued, refused) values ({new}, 'A b', 0, 0)"]
        allows ["insert into email_jobs (id, template, queued, refused) values ({new}, 'announcement', 0, 0)"]
    a_job_queues_no_negative_number: "email_jobs_queued_not_negative"
        refuses ["insert into email_jobs (id, template, queued, refused) values ({new}, 'announcement', -1, 0)"]
        allows ["insert into email_jobs (id, template, queued, refused) values ({new}, 'announcement', 1, 0)"]
    a_job_refuses_no_negative_number: "email_jobs_refused_not_negative"
        refuses ["insert into email_jobs (id, template, queued, refused) values ({new}, 'announcement', 0, -1)"]
        allows ["insert into email_jobs (id, template, queued, refused) values ({new}, 'announcement', 0, 1)"]
    one_mail_server_is_active: "email_settings_active_key"
        refuses ["insert into email_settings (id, name, host, port, secure, from_email, is_active, passed_at) values
                  ({new}, 'N', 'h', 25, false, 'a@b', true, now()), ({new_game}, 'M', 'h', 25, false, 'a@b', true, now())"]
        allows ["insert into email_settings (id, name, host, port, secure, from_email, is_active, passed_at) values
                 ({new}, 'N', 'h', 25, false, 'a@b', true, now()), ({new_game}, 'M', 'h', 25, false, 'a@b', false, now())"]
}

/// Every change of a price is noted, also one of plain SQL, and nothing else is.
#[tokio::test]
async fn changes_of_prices_are_noted_whoever_makes_them() {
    let world = World::new().await;
    let steps = async || -> Vec<(String, String, Option<String>)> {
        sqlx::query_as("select previous_price::text, price::text, g2a_price::text from price_changes order by id")
            .fetch_all(&world.db.sql)
            .await
            .unwrap()
    };
    let step =
        |before: &str, after: &str, g2a: Option<&str>| (before.to_owned(), after.to_owned(), g2a.map(str::to_owned));
    world
        .db
        .execute(&world.fill("update games set title = 'Portal 1', price = price where id = {game}"))
        .await;
    assert_eq!(steps().await, []);
    world
        .db
        .execute(&world.fill(
            "update games set price = 26 where id = {game};
             update games set price = price + 1 where id in ({game}, {sold_out});
             update games set fields_by_hand = '{price}', g2a_price = 30, price = 40 where id = {g2a_game}",
        ))
        .await;
    let mut told = steps().await;
    told.sort();
    assert_eq!(
        told,
        [
            step("25.00", "26.00", None),
            step("26.00", "27.00", None),
            step("30.00", "40.00", Some("30.00")),
            step("5.00", "6.00", None)
        ]
    );
}
