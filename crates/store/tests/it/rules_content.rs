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
