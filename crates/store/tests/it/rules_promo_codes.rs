//! Promo codes.

use crate::world::{World, rules};

rules! {
    a_promo_code_exists_once: "promo_codes_code_key"
        refuses ["insert into promo_codes (code, discount) values ('ONCE', 5)"]
        allows ["insert into promo_codes (code, discount) values ('TWICE', 5)"]
    a_promo_code_is_upper_case_and_short: "promo_codes_code_is_upper_case"
        refuses [
            "insert into promo_codes (code, discount) values ('Once', 5)",
            "insert into promo_codes (code, discount) values ('A', 5)",
            "insert into promo_codes (code, discount) values ('A B', 5)",
            "insert into promo_codes (code, discount) values (repeat('A', 41), 5)",
        ]
        allows ["insert into promo_codes (code, discount) values ('A-B_9', 5)", "insert into promo_codes (code, discount) values (repeat('A', 40), 5)"]
    a_promo_codes_discount_is_a_percentage: "promo_codes_discount_is_percent"
        refuses [
            "update promo_codes set discount = 0",
            "update promo_codes set discount = 100.01",
            "update promo_codes set discount = 'NaN'",
        ]
        allows ["update promo_codes set discount = 0.01", "update promo_codes set discount = 100"]
    a_limit_of_uses_is_positive: "promo_codes_max_uses_positive"
        refuses ["update promo_codes set max_uses = 0"]
        allows ["update promo_codes set max_uses = 1", "update promo_codes set max_uses = null"]
    uses_are_counted_from_zero: "promo_codes_used_count_not_negative"
        refuses ["update promo_codes set used_count = -1"]
        allows ["update promo_codes set used_count = 0"]
    /// Uses never exceed the limit. An order that names a code counts as a use, whatever statement writes it.
    a_promo_code_is_never_used_more_often_than_allowed: "promo_codes_uses_within_limit"
        refuses [
            "update promo_codes set used_count = 2 where code = 'ONCE'",
            "update promo_codes set used_count = 1 where code = 'ONCE';
             insert into orders (user_id, subtotal, total, promo_code) values ({user}, 25, 25, 'ONCE')",
            "insert into orders (user_id, subtotal, total, promo_code) values ({user}, 25, 25, 'ONCE'), ({user}, 25, 25, 'ONCE')",
        ]
        allows [
            "update promo_codes set used_count = 1 where code = 'ONCE'",
            "update promo_codes set used_count = 2, max_uses = null where code = 'ONCE'",
        ]
    a_promo_code_ends_after_it_begins: "promo_codes_window"
        refuses [
            "update promo_codes set valid_until = valid_from",
            "update promo_codes set valid_until = 'infinity'",
            "update promo_codes set valid_from = '-infinity'",
        ]
        allows ["update promo_codes set valid_until = valid_from + interval '1 second'", "update promo_codes set valid_until = null"]
    an_order_names_a_promo_code_that_exists: "orders_promo_code_fkey"
        refuses [
            "update orders set promo_code = 'NONE' where id = {order}",
            "update orders set promo_code = 'ONCE' where id = {order}; delete from promo_codes where code = 'ONCE'",
        ]
        allows ["update orders set promo_code = 'ONCE' where id = {order}", "delete from promo_codes where code = 'ONCE'"]
    only_an_order_with_a_code_returns_a_use: "orders_promo_use_returned_of_a_code"
        refuses ["update orders set promo_use_returned = true where id = {order}"]
        allows ["update orders set promo_code = 'ONCE', promo_use_returned = true where id = {order}"]
}

#[tokio::test]
async fn orders_count_as_one_use_even_after_a_code_is_renamed() {
    let world = World::new().await;
    let mut tx = world.db.sql.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(world.fill(
        "insert into orders (id, user_id, subtotal, total, promo_code) values ({new_order}, {user}, 25, 25, 'ONCE');
         update promo_codes set code = 'RENAMED' where code = 'ONCE'",
    )))
    .execute(&mut *tx)
    .await
    .unwrap();
    let row: (String, i32) = sqlx::query_as(
        "select o.promo_code, used_count from orders o join promo_codes on code = promo_code where o.id = $1",
    )
    .bind(world.id("new_order"))
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(row, ("RENAMED".to_owned(), 1));
}

#[tokio::test]
async fn new_shops_have_no_promo_codes() {
    let db = lockstep_testkit::TestDb::new().await;
    assert_eq!(db.count("promo_codes").await, 0);
}
