//! Carts and wishlists of users and guests.

use crate::world::{World, rules};

rules! {
    a_cart_belongs_to_a_user_or_a_guest: "cart_items_user_id_fkey"
        refuses ["insert into cart_items (user_id, game_id) values ({new}, {game})"]
        allows [
            "insert into cart_items (user_id, game_id) values ({user}, {other_game})",
            "insert into cart_items (user_id, game_id) values ({guest}, {other_game})",
        ]
    /// `docs/data-model.md`, Cart item: the game must exist.
    a_cart_holds_games_that_exist: "cart_items_game_id_fkey"
        refuses ["insert into cart_items (user_id, game_id) values ({user}, {new})"]
        allows ["insert into cart_items (user_id, game_id) values ({user}, {other_game})"]
    /// `docs/data-model.md`, Cart item: one row per shopper and game.
    a_game_is_one_item_of_a_cart: "cart_items_pkey"
        refuses ["insert into cart_items (user_id, game_id) values ({user}, {game})"]
        allows ["insert into cart_items (user_id, game_id) values ({user}, {game})
                 on conflict (user_id, game_id) do update set quantity = cart_items.quantity + excluded.quantity"]
    /// `docs/data-model.md`, Cart item: the quantity is positive.
    a_quantity_is_positive: "cart_items_quantity_positive"
        refuses ["update cart_items set quantity = 0", "update cart_items set quantity = -1"]
        allows ["update cart_items set quantity = 1"]
    a_quantity_is_known: "not null quantity"
        refuses ["update cart_items set quantity = null"]
        allows ["update cart_items set quantity = 1"]
    /// `docs/data-model.md`, Cart item: the game must be available, also when a guest's cart moves to an account.
    a_game_added_to_a_cart_is_in_stock: "cart_items_game_in_stock"
        refuses [
            "insert into cart_items (user_id, game_id) values ({user}, {sold_out})",
            "update cart_items set game_id = {sold_out} where user_id = {user}",
            "update games set in_stock = false where id = {game}; update cart_items set quantity = 3 where user_id = {user}",
            "update games set in_stock = false where id = {game}; update cart_items set user_id = {other_user} where user_id = {guest}",
            "update games set in_stock = false where id = {game};
             insert into cart_items (user_id, game_id) values ({user}, {game})
             on conflict (user_id, game_id) do update set quantity = 1",
        ]
        allows [
            "insert into cart_items (user_id, game_id) values ({user}, {other_game})",
            "update games set in_stock = false where id = {game}; update cart_items set quantity = 1 where user_id = {user}",
            "update games set in_stock = false where id = {game}; delete from cart_items where user_id = {user}",
            "update cart_items set user_id = {other_user} where user_id = {guest}",
        ]
    a_price_seen_in_a_cart_is_positive: "cart_items_price_seen_positive"
        refuses ["update cart_items set price_seen = 0", "update cart_items set price_seen = 'NaN'"]
        allows ["update cart_items set price_seen = 0.01", "update cart_items set price_seen = null"]

    a_wishlist_belongs_to_a_user_or_a_guest: "wishlist_user_id_fkey"
        refuses ["insert into wishlist (user_id, game_id) values ({new}, {game})"]
        allows [
            "insert into wishlist (user_id, game_id) values ({user}, {sold_out})",
            "insert into wishlist (user_id, game_id) values ({guest}, {other_game})",
        ]
    a_wishlist_holds_games_that_exist: "wishlist_game_id_fkey"
        refuses ["insert into wishlist (user_id, game_id) values ({user}, {new})"]
        allows ["insert into wishlist (user_id, game_id) values ({user}, {other_game})"]
    /// `docs/data-model.md`, Wishlist item: one row per shopper and game.
    a_game_is_in_a_wishlist_once: "wishlist_pkey"
        refuses ["insert into wishlist (user_id, game_id) values ({user}, {game})"]
        allows ["insert into wishlist (user_id, game_id) values ({user}, {game}) on conflict do nothing"]
    a_price_seen_in_a_wishlist_is_positive: "wishlist_price_seen_positive"
        refuses ["update wishlist set price_seen = 0", "update wishlist set price_seen = 'NaN'"]
        allows ["update wishlist set price_seen = 0.01"]
}

#[tokio::test]
async fn cart_items_default_to_one_unit_added_now() {
    let world = World::new().await;
    let row: (i32, bool) = sqlx::query_as(sqlx::AssertSqlSafe(world.fill(
        "insert into cart_items (user_id, game_id) values ({user}, {other_game}) returning quantity, added_at = now()",
    )))
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(row, (1, true));
}
