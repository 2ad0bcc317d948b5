//! Guests, carts and wishlists, and their move when a guest logs in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::cart::{Cart, CartLimits, CartOwner, LeftOutReason, Moved, Principal, Wishlist};
use lockstep_domain::ids::{GameId, ShopperId, UserId};
use lockstep_domain::limit::Rule;
use lockstep_store::guests::ShopperError;
use lockstep_store::limits::{self, Limit, LimitError};
use lockstep_store::{Store, carts, guests, wishlists};
use lockstep_testkit::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;
use uuid::Uuid;

const LIMITS: CartLimits = CartLimits {
    per_line: 99,
    lines: 100,
    wishes: 1000,
};

async fn game(db: &TestDb, name: &str, price: &str) -> GameId {
    let id: Uuid = sqlx::query_scalar(
        "insert into games (title, slug, description, price, image, release_date)
         values ($1, $1, 'd', $2::text::numeric, '/i.png', now()) returning id",
    )
    .bind(name)
    .bind(price)
    .fetch_one(&db.sql)
    .await
    .unwrap();
    GameId(id)
}

async fn user(db: &TestDb) -> UserId {
    let id: Uuid = sqlx::query_scalar(
        "insert into users (email, password_hash) values (gen_random_uuid() || '@example.com', '$2b$12$' || repeat('a', 53))
         returning id",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    UserId(id)
}

async fn cart(store: &Store, owner: CartOwner) -> Cart {
    store.read(|tx| Box::pin(carts::load(tx, owner))).await.unwrap().value
}

async fn wishlist(store: &Store, owner: CartOwner) -> Wishlist {
    store
        .read(|tx| Box::pin(wishlists::load(tx, owner)))
        .await
        .unwrap()
        .value
}

fn quantities(cart: &Cart) -> Vec<(GameId, u32)> {
    cart.items.iter().map(|line| (line.game_id, line.quantity)).collect()
}

/// Creates a guest with one item in the cart.
async fn guest_with(db: &TestDb, game: GameId, quantity: i64) -> Uuid {
    let writer = carts::add(&db.store, Principal::Guest(None), game, quantity, LIMITS)
        .await
        .unwrap();
    writer.owner.shopper().0
}

async fn count(db: &TestDb, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[tokio::test]
async fn reads_create_no_guest_and_the_first_write_does() {
    let db = TestDb::new().await;
    let portal = game(&db, "portal", "9.99").await;
    let nobody = CartOwner::Guest(ShopperId(Uuid::new_v4()));
    assert_eq!(cart(&db.store, nobody).await, Cart::EMPTY);
    assert!(
        carts::remove(&db.store, Principal::Guest(None), portal)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        carts::clear(&db.store, Principal::Guest(Some(Uuid::new_v4())))
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(count(&db, "guest_sessions").await, 0);

    let first = carts::add(&db.store, Principal::Guest(None), portal, 1, LIMITS)
        .await
        .unwrap();
    assert!(first.minted);
    let cookie = Principal::Guest(Some(first.owner.shopper().0));
    let second = carts::add(&db.store, cookie, portal, 1, LIMITS).await.unwrap();
    assert_eq!((second.owner, second.minted), (first.owner, false));
    assert_eq!(quantities(&cart(&db.store, first.owner).await), [(portal, 2)]);
    assert_eq!(count(&db, "guest_sessions").await, 1);
}

#[tokio::test]
async fn failed_writes_create_no_guest() {
    let db = TestDb::new().await;
    let missing = GameId(Uuid::new_v4());
    assert!(matches!(
        carts::add(&db.store, Principal::Guest(None), missing, 1, LIMITS).await,
        Err(ShopperError::NoSuchGame)
    ));
    assert!(matches!(
        wishlists::add(&db.store, Principal::Guest(None), missing, LIMITS).await,
        Err(ShopperError::NoSuchGame)
    ));
    assert_eq!(count(&db, "shoppers").await, 0);
}

#[tokio::test]
async fn user_ids_in_the_cookie_are_never_guests() {
    let db = TestDb::new().await;
    let (portal, victim, thief) = (game(&db, "portal", "9.99").await, user(&db).await, user(&db).await);
    carts::add(&db.store, Principal::User(victim), portal, 2, LIMITS)
        .await
        .unwrap();
    wishlists::add(&db.store, Principal::User(victim), portal, LIMITS)
        .await
        .unwrap();

    assert!(!guests::touch(&db.store, victim.0).await.unwrap());
    assert_eq!(
        cart(&db.store, CartOwner::Guest(ShopperId(victim.0))).await,
        Cart::EMPTY
    );
    assert!(
        wishlist(&db.store, CartOwner::Guest(ShopperId(victim.0)))
            .await
            .items
            .is_empty()
    );
    assert!(
        carts::clear(&db.store, Principal::Guest(Some(victim.0)))
            .await
            .unwrap()
            .is_none()
    );
    let added = carts::add(&db.store, Principal::Guest(Some(victim.0)), portal, 1, LIMITS)
        .await
        .unwrap();
    assert!(added.minted && added.owner.shopper().0 != victim.0);
    assert_eq!(
        carts::move_to_user(&db.store, victim.0, thief, LIMITS).await.unwrap(),
        Moved::default()
    );
    assert_eq!(
        wishlists::move_to_user(&db.store, victim.0, thief, LIMITS)
            .await
            .unwrap(),
        Moved::default()
    );
    assert_eq!(
        quantities(&cart(&db.store, CartOwner::User(victim)).await),
        [(portal, 2)]
    );
    // Nor is a guest's id a user.
    let guest = added.owner.shopper().0;
    assert_eq!(cart(&db.store, CartOwner::User(UserId(guest))).await, Cart::EMPTY);
    let error = carts::add(&db.store, Principal::User(UserId(guest)), portal, 1, LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, ShopperError::NoSuchShopper));
}

#[tokio::test]
async fn quantities_add_up_and_stop_at_the_limit() {
    let db = TestDb::new().await;
    let (portal, ada) = (game(&db, "portal", "9.99").await, user(&db).await);
    let ada = Principal::User(ada);
    carts::add(&db.store, ada, portal, 60, LIMITS).await.unwrap();
    let writer = carts::add(&db.store, ada, portal, 39, LIMITS).await.unwrap();
    for (quantity, kind) in [
        (1, "many"),
        (100, "many"),
        (i64::MAX, "many"),
        (0, "positive"),
        (-1, "positive"),
        (i64::MIN, "positive"),
    ] {
        let error = carts::add(&db.store, ada, portal, quantity, LIMITS).await.unwrap_err();
        let expected = match kind {
            "many" => matches!(error, ShopperError::TooManyCopies { most: 99 }),
            _ => matches!(error, ShopperError::NotPositive),
        };
        assert!(expected, "{quantity}: {error:?}");
    }
    assert_eq!(quantities(&cart(&db.store, writer.owner).await), [(portal, 99)]);
}

#[tokio::test]
async fn concurrent_writers_respect_limits_and_lose_nothing() {
    let db = TestDb::new().await;
    let ada = user(&db).await;
    let limits = CartLimits {
        per_line: 15,
        lines: 4,
        wishes: 3,
    };
    let mut games = Vec::new();
    for i in 0..10 {
        games.push(game(&db, &format!("game-{i}"), "1").await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..10usize {
        let (store, shared, own) = (db.store.clone(), games[0], games[i]);
        tasks.spawn(async move {
            let added = carts::add(&store, Principal::User(ada), shared, 2, limits)
                .await
                .is_ok();
            let other = carts::add(&store, Principal::User(ada), own, 1, limits).await;
            let wished = wishlists::add(&store, Principal::User(ada), own, limits).await.is_ok();
            (i64::from(added) * 2, i64::from(other.is_ok()), wished)
        });
    }
    let done = tasks.join_all().await;
    let after = cart(&db.store, CartOwner::User(ada)).await;
    let copies: i64 = done.iter().map(|(shared, own, _)| shared + own).sum();
    assert_eq!(
        after.items.iter().map(|line| i64::from(line.quantity)).sum::<i64>(),
        copies
    );
    assert!(
        after.items.iter().all(|line| line.quantity <= 15),
        "{:?}",
        quantities(&after)
    );
    assert_eq!(after.items.len(), 4);
    assert_eq!(done.iter().filter(|(_, _, wished)| *wished).count(), 3);
    assert_eq!(wishlist(&db.store, CartOwner::User(ada)).await.items.len(), 3);
}

#[tokio::test]
async fn set_replaces_zero_removes_and_missing_items_are_ignored() {
    let db = TestDb::new().await;
    let (portal, doom, ada) = (
        game(&db, "portal", "9.99").await,
        game(&db, "doom", "5").await,
        user(&db).await,
    );
    let (principal, owner) = (Principal::User(ada), CartOwner::User(ada));
    carts::set(&db.store, principal, portal, 5, LIMITS).await.unwrap();
    carts::set(&db.store, principal, portal, 2, LIMITS).await.unwrap();
    assert_eq!(quantities(&cart(&db.store, owner).await), [(portal, 2)]);
    carts::set(&db.store, principal, portal, 7, LIMITS).await.unwrap();
    assert_eq!(quantities(&cart(&db.store, owner).await), [(portal, 7)]);
    assert!(carts::set(&db.store, principal, portal, 100, LIMITS).await.is_err());
    for quantity in [0, -5] {
        carts::set(&db.store, principal, doom, quantity, LIMITS).await.unwrap();
        carts::remove(&db.store, principal, doom).await.unwrap();
    }
    assert_eq!(quantities(&cart(&db.store, owner).await), [(portal, 7)]);
    carts::set(&db.store, principal, portal, 0, LIMITS).await.unwrap();
    assert_eq!(cart(&db.store, owner).await, Cart::EMPTY);
    let missing = GameId(Uuid::new_v4());
    assert!(matches!(
        carts::set(&db.store, principal, missing, 1, LIMITS).await,
        Err(ShopperError::NoSuchGame)
    ));
    carts::add(&db.store, principal, portal, 1, LIMITS).await.unwrap();
    carts::add(&db.store, principal, doom, 1, LIMITS).await.unwrap();
    carts::clear(&db.store, principal).await.unwrap();
    assert_eq!(cart(&db.store, owner).await, Cart::EMPTY);
}

#[tokio::test]
async fn carts_use_current_prices_and_report_changes() {
    let db = TestDb::new().await;
    let (portal, doom, ada) = (
        game(&db, "portal", "9.99").await,
        game(&db, "doom", "0.10").await,
        user(&db).await,
    );
    carts::add(&db.store, Principal::User(ada), portal, 3, LIMITS)
        .await
        .unwrap();
    carts::add(&db.store, Principal::User(ada), doom, 7, LIMITS)
        .await
        .unwrap();
    db.execute("update games set price = 12.49, original_price = 20, discount = 37 where slug = 'portal'")
        .await;
    let after = cart(&db.store, CartOwner::User(ada)).await;
    assert_eq!(quantities(&after), [(doom, 7), (portal, 3)], "newest first");
    assert_eq!(after.total, money("38.17"));
    let change = after.items[1].price_changed.unwrap();
    assert_eq!((change.from, change.to), (money("9.99"), money("12.49")));
    assert_eq!(
        (after.items[1].game.original_price, after.items[1].game.discount),
        (Some(money("20")), Some(37))
    );
    assert_eq!(after.items[0].price_changed, None);
    // Adding again stores the new price as seen.
    carts::add(&db.store, Principal::User(ada), portal, 1, LIMITS)
        .await
        .unwrap();
    assert_eq!(cart(&db.store, CartOwner::User(ada)).await.items[1].price_changed, None);
}

#[tokio::test]
async fn sold_out_items_can_be_reduced_but_not_added() {
    let db = TestDb::new().await;
    let (portal, ada) = (game(&db, "portal", "9.99").await, user(&db).await);
    let principal = Principal::User(ada);
    carts::add(&db.store, principal, portal, 3, LIMITS).await.unwrap();
    db.execute("update games set in_stock = false").await;
    let line = cart(&db.store, CartOwner::User(ada)).await.items.remove(0);
    assert!(!line.game.in_stock && line.quantity == 3);
    assert!(matches!(
        carts::add(&db.store, principal, portal, 1, LIMITS).await,
        Err(ShopperError::OutOfStock)
    ));
    assert!(matches!(
        carts::set(&db.store, principal, portal, 4, LIMITS).await,
        Err(ShopperError::OutOfStock)
    ));
    carts::set(&db.store, principal, portal, 1, LIMITS).await.unwrap();
    assert_eq!(quantities(&cart(&db.store, CartOwner::User(ada)).await), [(portal, 1)]);
    db.execute("update games set withdrawn_at = now()").await;
    assert!(matches!(
        carts::add(&db.store, principal, portal, 1, LIMITS).await,
        Err(ShopperError::NoSuchGame)
    ));
}

#[tokio::test]
async fn carts_show_platforms_and_genres_by_name() {
    let db = TestDb::new().await;
    let (portal, ada) = (game(&db, "portal", "9.99").await, user(&db).await);
    db.execute(
        "insert into platforms (name, slug) values ('Windows', 'windows'), ('Linux', 'linux');
         insert into genres (name, slug) values ('Puzzle', 'puzzle');
         insert into game_platforms select g.id, p.id from games g, platforms p;
         insert into game_genres select g.id, n.id from games g, genres n",
    )
    .await;
    carts::add(&db.store, Principal::User(ada), portal, 1, LIMITS)
        .await
        .unwrap();
    let line = cart(&db.store, CartOwner::User(ada)).await.items.remove(0);
    assert_eq!(
        (line.game.platforms, line.game.genres),
        (vec!["Linux".into(), "Windows".into()], vec!["Puzzle".into()])
    );
}

#[tokio::test]
async fn wishlists_list_games_once_with_price_drops_and_returns() {
    let db = TestDb::new().await;
    let (portal, doom, ada) = (
        game(&db, "portal", "9.99").await,
        game(&db, "doom", "5").await,
        user(&db).await,
    );
    let principal = Principal::User(ada);
    for _ in 0..2 {
        wishlists::add(&db.store, principal, portal, LIMITS).await.unwrap();
        wishlists::add(&db.store, principal, doom, LIMITS).await.unwrap();
    }
    let before = wishlist(&db.store, CartOwner::User(ada)).await;
    assert_eq!(
        before.items.iter().map(|item| item.game_id).collect::<Vec<_>>(),
        [doom, portal],
        "newest first"
    );
    assert!(
        before
            .items
            .iter()
            .all(|item| item.price_drop.is_none() && !item.back_in_stock)
    );

    db.execute("update games set price = 7.50 where slug = 'portal'; update games set price = 6 where slug = 'doom'")
        .await;
    db.execute("update games set in_stock = false where slug = 'doom'")
        .await;
    let sold_out = wishlist(&db.store, CartOwner::User(ada)).await;
    assert!(!sold_out.items[0].back_in_stock && !sold_out.items[0].game.in_stock);
    db.execute("update games set in_stock = true where slug = 'doom'").await;
    let after = wishlist(&db.store, CartOwner::User(ada)).await;
    assert!(
        after.items[0].back_in_stock && after.items[0].price_drop.is_none(),
        "dearer is no drop"
    );
    let drop = after.items[1].price_drop.unwrap();
    assert_eq!(
        (drop.from, drop.to, after.items[1].back_in_stock),
        (money("9.99"), money("7.50"), false)
    );

    for _ in 0..2 {
        wishlists::remove(&db.store, principal, portal).await.unwrap();
    }
    assert_eq!(wishlist(&db.store, CartOwner::User(ada)).await.items.len(), 1);
}

#[tokio::test]
async fn guests_expire_24_hours_after_their_last_use() {
    let db = TestDb::new().await;
    let portal = game(&db, "portal", "9.99").await;
    let guest = guest_with(&db, portal, 1).await;
    let owner = CartOwner::Guest(ShopperId(guest));
    let times = || async {
        let row = sqlx::query("select last_used_at, expires_at - last_used_at = interval '24 hours' as day, xmin::text as version from guest_sessions")
            .fetch_one(&db.sql)
            .await
            .unwrap();
        (
            row.get::<chrono::DateTime<chrono::Utc>, _>(0),
            row.get::<bool, _>(1),
            row.get::<String, _>(2),
        )
    };
    // Within a minute nothing is written, however often the guest is active.
    let (at, day, version) = times().await;
    assert!(day && guests::touch(&db.store, guest).await.unwrap());
    carts::add(&db.store, Principal::Guest(Some(guest)), portal, 1, LIMITS)
        .await
        .unwrap();
    assert_eq!(times().await, (at, true, version));
    // Later each read or write extends the lifetime.
    for write in [false, true] {
        db.execute("update guest_sessions set last_used_at = now() - interval '23 hours', expires_at = now() + interval '1 hour'")
            .await;
        if write {
            carts::add(&db.store, Principal::Guest(Some(guest)), portal, 1, LIMITS)
                .await
                .unwrap();
        } else {
            assert!(guests::touch(&db.store, guest).await.unwrap());
        }
        assert!(times().await.1, "write {write}");
    }
    // Then it expires.
    db.execute("update guest_sessions set last_used_at = now() - interval '24 hours', expires_at = now()")
        .await;
    assert!(!guests::touch(&db.store, guest).await.unwrap());
    assert_eq!(cart(&db.store, owner).await, Cart::EMPTY);
    let again = carts::add(&db.store, Principal::Guest(Some(guest)), portal, 1, LIMITS)
        .await
        .unwrap();
    assert!(again.minted);
    assert_eq!(guests::sweep(&db.store).await.unwrap(), 1);
    assert_eq!((count(&db, "shoppers").await, count(&db, "cart_items").await), (1, 1));
}

#[tokio::test]
async fn guest_data_moves_to_the_account_and_leftovers_are_reported() {
    let db = TestDb::new().await;
    let ada = user(&db).await;
    let mut games = Vec::new();
    for name in ["both", "new", "sold-out", "gone", "too-many"] {
        games.push(game(&db, name, "2.50").await);
    }
    let [both, new, sold_out, gone, too_many] = games[..] else {
        unreachable!()
    };
    let guest = guest_with(&db, both, 3).await;
    let principal = Principal::Guest(Some(guest));
    for (game, quantity) in [(new, 1), (sold_out, 2), (gone, 1), (too_many, 50)] {
        carts::add(&db.store, principal, game, quantity, LIMITS).await.unwrap();
    }
    for game in [both, new, sold_out, gone] {
        wishlists::add(&db.store, principal, game, LIMITS).await.unwrap();
    }
    carts::add(&db.store, Principal::User(ada), both, 4, LIMITS)
        .await
        .unwrap();
    carts::add(&db.store, Principal::User(ada), too_many, 60, LIMITS)
        .await
        .unwrap();
    wishlists::add(&db.store, Principal::User(ada), both, LIMITS)
        .await
        .unwrap();
    db.execute(
        "update games set in_stock = false where slug in ('sold-out', 'gone');
         update games set withdrawn_at = now() where slug = 'gone';
         delete from cache_inval",
    )
    .await;

    let moved = carts::move_to_user(&db.store, guest, ada, LIMITS).await.unwrap();
    assert_eq!(moved.moved, 3 + 1 + 39);
    let left: BTreeSet<_> = moved
        .left_out
        .iter()
        .map(|left| (left.title.as_str(), left.copies, left.reason as u8))
        .collect();
    let expected = [
        ("sold-out", 2, LeftOutReason::SoldOut),
        ("gone", 1, LeftOutReason::Gone),
        ("too-many", 11, LeftOutReason::TooMany),
    ];
    assert_eq!(
        left,
        expected
            .map(|(title, copies, reason)| (title, copies, reason as u8))
            .into()
    );
    let after: BTreeMap<_, _> = quantities(&cart(&db.store, CartOwner::User(ada)).await)
        .into_iter()
        .collect();
    assert_eq!(after, [(both, 7), (new, 1), (too_many, 99)].into());
    assert_eq!(cart(&db.store, CartOwner::Guest(ShopperId(guest))).await, Cart::EMPTY);

    let moved = wishlists::move_to_user(&db.store, guest, ada, LIMITS).await.unwrap();
    assert_eq!((moved.moved, moved.left_out.len()), (2, 1));
    assert_eq!(moved.left_out[0].reason, LeftOutReason::Gone);
    let wishes: BTreeSet<_> = wishlist(&db.store, CartOwner::User(ada))
        .await
        .items
        .iter()
        .map(|item| item.game_id)
        .collect();
    assert_eq!(
        wishes,
        [both, new, sold_out].into(),
        "a sold-out game may be wished for"
    );

    // It invalidates both cached answers of both shoppers.
    let tags: Vec<String> = sqlx::query_scalar("select distinct unnest(tags) from cache_inval")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    for owner in [guest, ada.0] {
        for what in ["cart", "wishlist"] {
            assert!(
                tags.contains(&format!("shopper:{owner}:{what}")),
                "{what} of {owner} in {tags:?}"
            );
        }
    }
    // A second move finds nothing.
    assert_eq!(
        carts::move_to_user(&db.store, guest, ada, LIMITS).await.unwrap(),
        Moved::default()
    );
    assert_eq!(
        wishlists::move_to_user(&db.store, guest, ada, LIMITS).await.unwrap(),
        Moved::default()
    );
}

#[tokio::test]
async fn concurrent_moves_move_everything_exactly_once() {
    let db = TestDb::new().await;
    let (portal, doom, ada) = (
        game(&db, "portal", "1").await,
        game(&db, "doom", "1").await,
        user(&db).await,
    );
    let guest = guest_with(&db, portal, 5).await;
    carts::add(&db.store, Principal::Guest(Some(guest)), doom, 2, LIMITS)
        .await
        .unwrap();
    wishlists::add(&db.store, Principal::Guest(Some(guest)), doom, LIMITS)
        .await
        .unwrap();
    let other = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..10 {
        let store = if i % 2 == 0 { db.store.clone() } else { other.clone() };
        tasks.spawn(async move {
            let (cart, wishes) = tokio::join!(
                carts::move_to_user(&store, guest, ada, LIMITS),
                wishlists::move_to_user(&store, guest, ada, LIMITS)
            );
            (cart.unwrap().moved, wishes.unwrap().moved)
        });
    }
    let moved = tasks.join_all().await;
    assert_eq!(moved.iter().map(|(cart, _)| cart).sum::<u32>(), 7);
    assert_eq!(moved.iter().map(|(_, wishes)| wishes).sum::<u32>(), 1);
    let after: BTreeMap<_, _> = quantities(&cart(&db.store, CartOwner::User(ada)).await)
        .into_iter()
        .collect();
    assert_eq!(after, [(portal, 5), (doom, 2)].into());
    other.close().await;
}

#[tokio::test]
async fn failed_moves_leave_everything_with_the_guest() {
    let db = TestDb::new().await;
    let portal = game(&db, "portal", "1").await;
    let guest = guest_with(&db, portal, 5).await;
    wishlists::add(&db.store, Principal::Guest(Some(guest)), portal, LIMITS)
        .await
        .unwrap();
    let nobody = UserId(Uuid::new_v4());
    assert!(carts::move_to_user(&db.store, guest, nobody, LIMITS).await.is_err());
    assert!(wishlists::move_to_user(&db.store, guest, nobody, LIMITS).await.is_err());
    // Also when the database fails in the middle.
    let ada = user(&db).await;
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before delete on cart_items for each row execute function refuse();
         create trigger refuse before insert on wishlist for each row execute function refuse()",
    )
    .await;
    assert!(carts::move_to_user(&db.store, guest, ada, LIMITS).await.is_err());
    assert!(wishlists::move_to_user(&db.store, guest, ada, LIMITS).await.is_err());
    let owner = CartOwner::Guest(ShopperId(guest));
    assert_eq!(quantities(&cart(&db.store, owner).await), [(portal, 5)]);
    assert_eq!(wishlist(&db.store, owner).await.items.len(), 1);
    assert_eq!(cart(&db.store, CartOwner::User(ada)).await, Cart::EMPTY);
}

// --- interleavings --------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Step {
    GuestAdds { guest: usize, game: usize, quantity: i64 },
    UserAdds { game: usize, quantity: i64 },
    GuestWishes { guest: usize, game: usize },
    MoveCart { guest: usize },
    MoveWishes { guest: usize },
    SellOut { game: usize },
    Restock { game: usize },
}

const GUESTS: usize = 2;
const GAMES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let (guest, game) = (0..GUESTS, 0..GAMES);
    prop_oneof![
        5 => (guest.clone(), game.clone(), 1i64..6).prop_map(|(guest, game, quantity)| Step::GuestAdds { guest, game, quantity }),
        2 => (game.clone(), 1i64..6).prop_map(|(game, quantity)| Step::UserAdds { game, quantity }),
        2 => (guest.clone(), game.clone()).prop_map(|(guest, game)| Step::GuestWishes { guest, game }),
        4 => guest.clone().prop_map(|guest| Step::MoveCart { guest }),
        2 => guest.prop_map(|guest| Step::MoveWishes { guest }),
        1 => game.clone().prop_map(|game| Step::SellOut { game }),
        1 => game.prop_map(|game| Step::Restock { game }),
    ]
}

/// The effects of one task.
#[derive(Debug, Default)]
struct Done {
    added: [u32; GAMES],
    wished: BTreeSet<usize>,
    left_out: [u32; GAMES],
}

struct Scene {
    store: Store,
    sql: sqlx::PgPool,
    games: Vec<GameId>,
    guests: Vec<Uuid>,
    user: UserId,
    limits: CartLimits,
}

impl Scene {
    fn index(&self, game: GameId) -> usize {
        self.games.iter().position(|known| *known == game).unwrap()
    }

    fn note_left_out(&self, moved: &Moved, done: &mut Done) {
        for left in &moved.left_out {
            done.left_out[self.index(left.game_id)] += left.copies;
        }
    }

    async fn add(&self, principal: Principal, game: usize, quantity: i64, done: &mut Done) {
        match carts::add(&self.store, principal, self.games[game], quantity, self.limits).await {
            Ok(writer) => {
                assert!(!writer.minted);
                done.added[game] += u32::try_from(quantity).unwrap();
            }
            Err(ShopperError::OutOfStock | ShopperError::TooManyCopies { .. } | ShopperError::TooManyGames { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn run(&self, steps: &[Step]) -> Done {
        let mut done = Done::default();
        for step in steps {
            match *step {
                Step::GuestAdds { guest, game, quantity } => {
                    self.add(Principal::Guest(Some(self.guests[guest])), game, quantity, &mut done)
                        .await;
                }
                Step::UserAdds { game, quantity } => {
                    self.add(Principal::User(self.user), game, quantity, &mut done).await;
                }
                Step::GuestWishes { guest, game } => {
                    let principal = Principal::Guest(Some(self.guests[guest]));
                    wishlists::add(&self.store, principal, self.games[game], self.limits)
                        .await
                        .unwrap();
                    done.wished.insert(game);
                }
                Step::MoveCart { guest } => {
                    let moved = carts::move_to_user(&self.store, self.guests[guest], self.user, self.limits)
                        .await
                        .unwrap();
                    self.note_left_out(&moved, &mut done);
                }
                Step::MoveWishes { guest } => {
                    let moved = wishlists::move_to_user(&self.store, self.guests[guest], self.user, self.limits)
                        .await
                        .unwrap();
                    assert_eq!(moved.left_out, []);
                }
                Step::SellOut { game } | Step::Restock { game } => {
                    sqlx::query("update games set in_stock = $2 where id = $1")
                        .bind(self.games[game].0)
                        .bind(matches!(step, Step::Restock { .. }))
                        .execute(&self.sql)
                        .await
                        .unwrap();
                }
            }
        }
        done
    }
}

async fn check_interleaving(db: &TestDb, games: &[GameId], tasks: Vec<Vec<Step>>, per_line: u32) {
    db.execute("update games set in_stock = true").await;
    let mut scene = Scene {
        store: db.store.clone(),
        sql: db.sql.clone(),
        games: games.to_vec(),
        guests: Vec::new(),
        user: user(db).await,
        limits: CartLimits {
            per_line,
            lines: 100,
            wishes: 100,
        },
    };
    let mut added = [0u32; GAMES];
    for _ in 0..GUESTS {
        scene.guests.push(guest_with(db, games[0], 1).await);
        added[0] += 1;
    }
    let scene = Arc::new(scene);
    let mut running = tokio::task::JoinSet::new();
    for steps in tasks {
        let scene = Arc::clone(&scene);
        running.spawn(async move { scene.run(&steps).await });
    }
    let mut wished = BTreeSet::new();
    let mut left_out = [0u32; GAMES];
    // A last move for every guest after all tasks have ended, as when each guest logs in again.
    let mut all = running.join_all().await;
    db.execute("update games set in_stock = true").await;
    let last: Vec<Step> = (0..GUESTS)
        .flat_map(|guest| [Step::MoveCart { guest }, Step::MoveWishes { guest }])
        .collect();
    all.push(scene.run(&last).await);
    for done in all {
        wished.extend(done.wished);
        for game in 0..GAMES {
            added[game] += done.added[game];
            left_out[game] += done.left_out[game];
        }
    }
    let after = cart(&scene.store, CartOwner::User(scene.user)).await;
    let mut copies = [0u32; GAMES];
    for line in &after.items {
        copies[scene.index(line.game_id)] = line.quantity;
        assert!(line.quantity <= per_line);
    }
    for game in 0..GAMES {
        assert_eq!(
            copies[game] + left_out[game],
            added[game],
            "copies of game {game}: has {copies:?}, left out {left_out:?}"
        );
    }
    let on_the_list = wishlist(&scene.store, CartOwner::User(scene.user)).await;
    assert_eq!(
        on_the_list
            .items
            .iter()
            .map(|item| scene.index(item.game_id))
            .collect::<BTreeSet<_>>(),
        wished
    );
    for guest in &scene.guests {
        let owner = CartOwner::Guest(ShopperId(*guest));
        assert_eq!(cart(&scene.store, owner).await, Cart::EMPTY);
        assert_eq!(wishlist(&scene.store, owner).await.items, []);
    }
}

#[test]
fn no_interleaving_loses_or_duplicates_cart_items() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(TestDb::new());
    let games = runtime.block_on(async {
        let mut games = Vec::new();
        for i in 0..GAMES {
            games.push(game(&db, &format!("game-{i}"), "1").await);
        }
        games
    });
    let tasks = prop::collection::vec(prop::collection::vec(step(), 1..8), 2..7);
    let mut runner = TestRunner::new(Config {
        cases: 40,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(tasks, prop_oneof![Just(8u32), Just(99)]), |(tasks, per_line)| {
            runtime.block_on(check_interleaving(&db, &games, tasks, per_line));
            Ok(())
        })
        .unwrap();
}

// --- limits ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn limits_are_exact_across_processes() {
    let db = TestDb::new().await;
    let other = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
    let limit = Limit {
        key: "k".into(),
        rule: Rule::new(5, 600),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..20 {
        let (store, limit) = (if i % 2 == 0 { db.store.clone() } else { other.clone() }, limit.clone());
        tasks.spawn(async move { limits::take(&store, &[limit]).await });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|taken| taken.is_ok()).count(), 5);
    assert!(done.iter().all(|taken| match taken {
        Ok(()) => true,
        Err(LimitError::Refused { retry_after, .. }) => *retry_after <= Duration::from_mins(10),
        Err(LimitError::Store(_)) => false,
    }));
    limits::give_back(&db.store, &limit).await.unwrap();
    assert!(limits::take(&db.store, std::slice::from_ref(&limit)).await.is_ok());
    assert!(limits::take(&db.store, &[limit]).await.is_err());
    other.close().await;
}

#[tokio::test]
async fn a_refusing_limit_takes_nothing_from_the_others() {
    let db = TestDb::new().await;
    let wide = Limit {
        key: "wide".into(),
        rule: Rule::new(2, 600),
    };
    let narrow = Limit {
        key: "narrow".into(),
        rule: Rule::new(1, 600),
    };
    limits::take(&db.store, &[wide.clone(), narrow.clone()]).await.unwrap();
    for _ in 0..3 {
        let refused = limits::take(&db.store, &[wide.clone(), narrow.clone()]).await;
        assert!(matches!(refused, Err(LimitError::Refused { index: 1, .. })));
    }
    assert!(limits::take(&db.store, &[wide]).await.is_ok());
}

#[tokio::test]
async fn recovered_limits_are_deleted() {
    let db = TestDb::new().await;
    limits::take(
        &db.store,
        &[Limit {
            key: "a".into(),
            rule: Rule::new(1, 600),
        }],
    )
    .await
    .unwrap();
    limits::take(
        &db.store,
        &[Limit {
            key: "b".into(),
            rule: Rule::new(1, 600),
        }],
    )
    .await
    .unwrap();
    db.execute("update rate_limits set debt = now() where key = 'a'").await;
    assert_eq!(limits::sweep(&db.store).await.unwrap(), 1);
    assert_eq!(count(&db, "rate_limits").await, 1);
}

/// Staff see each cart and wishlist once, by its last change, and none of a guest; pages follow one another.
#[tokio::test]
async fn carts_and_wishlists_are_listed_by_their_last_change() {
    use lockstep_domain::admin::Page;
    use lockstep_store::admin::carts::{Filter, list, wishlists};

    let db = TestDb::new().await;
    let guest = db.guest().await;
    let mut games = Vec::new();
    for n in 0..3 {
        games.push(game(&db, &format!("g{n}"), "2.00").await.0);
    }
    let mut users = Vec::new();
    for _ in 0..3 {
        users.push(user(&db).await.0);
    }
    // Of each shopper: the numbers of the games, and the minute at which each was added.
    let added = [
        (users[0], vec![(0, 1), (1, 9)]),
        (users[1], vec![(0, 8), (1, 8), (2, 2)]),
        (users[2], vec![(2, 3)]),
        (guest, vec![(0, 20)]),
    ];
    for (shopper, lines) in &added {
        for (game, minute) in lines {
            for table in ["cart_items", "wishlist"] {
                sqlx::query(sqlx::AssertSqlSafe(format!(
                    "insert into {table} (user_id, game_id, added_at)
                     values ($1, $2, '2026-01-01Z'::timestamptz + make_interval(mins => $3))"
                )))
                .bind(shopper)
                .bind(games[*game])
                .bind(*minute)
                .execute(&db.sql)
                .await
                .unwrap();
            }
        }
    }
    let (mut carts_seen, mut wishlists_seen) = (Vec::new(), Vec::new());
    for number in 1..=2 {
        let page = Page { number, size: 2 };
        let carts = db
            .store
            .read(|tx| Box::pin(async move { list(tx, &Filter::default(), page).await }))
            .await
            .unwrap()
            .value;
        let lists = db
            .store
            .read(|tx| Box::pin(async move { wishlists(tx, &Filter::default(), page).await }))
            .await
            .unwrap()
            .value;
        assert_eq!((carts.paging.total, lists.paging.total), (3, 3));
        carts_seen.extend(carts.carts.iter().map(|cart| (cart.user_id, cart.item_count)));
        wishlists_seen.extend(lists.wishlists.iter().map(|list| (list.user_id, list.item_count)));
    }
    let expected = vec![(users[0], 2), (users[1], 3), (users[2], 1)];
    assert_eq!(carts_seen, expected);
    assert_eq!(wishlists_seen, expected);
}
