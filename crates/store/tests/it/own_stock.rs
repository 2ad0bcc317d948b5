//! One of the shop's own games is in stock while an unsold key of it is stored. Triggers maintain this.

use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_store::orders::{self, PlaceError};
use lockstep_testkit::TestDb;
use uuid::Uuid;

async fn shop() -> TestDb {
    let db = TestDb::new().await;
    db.keep_own_stock().await;
    db
}

async fn in_stock(db: &TestDb, game: Uuid) -> bool {
    sqlx::query_scalar("select in_stock from games where id = $1")
        .bind(game)
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn own_games_are_in_stock_while_an_unsold_key_is_stored() {
    let db = shop().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100.00").await;
    let order = Checkout::new([(GameId(game), 1)], None, None, OrderLimits::default()).unwrap();
    let buy = async || orders::place(&db.store, UserId(user), &order, None).await;

    assert!(!in_stock(&db, game).await, "it came without a key");
    assert!(matches!(buy().await, Err(PlaceError::OutOfStock { .. })));
    db.execute("update games set in_stock = true").await;
    assert!(!in_stock(&db, game).await, "nobody can say otherwise");

    // A user with a stock alert is notified by the first key.
    db.execute(&format!(
        "insert into stock_alerts (user_id, game_id) values ('{user}', '{game}')"
    ))
    .await;
    let first = db.key(game).await;
    let second = db.key(game).await;
    assert!(in_stock(&db, game).await);
    assert_eq!(db.count("mail_outbox where kind = 'back-in-stock'").await, 1);
    buy().await.unwrap();

    // One key is sold, and the shop uses one itself.
    db.execute(&format!(
        "begin;
         update order_units set state = 'DONE';
         update game_keys k set order_id = u.order_id, order_unit_id = u.id from order_units u where k.id = '{first}';
         commit"
    ))
    .await;
    assert!(in_stock(&db, game).await, "one is left");
    db.execute(&format!(
        "update game_keys set activated = true, activation_date = now() where id = '{second}'"
    ))
    .await;
    assert!(!in_stock(&db, game).await);
    assert!(matches!(buy().await, Err(PlaceError::OutOfStock { .. })));

    // A key moved to another game moves the stock; a withdrawn game has none.
    let other = db.game("Myst", "myst", "10.00").await;
    let third = db.key(game).await;
    db.execute(&format!(
        "update game_keys set game_id = '{other}' where id = '{third}'"
    ))
    .await;
    assert_eq!((in_stock(&db, game).await, in_stock(&db, other).await), (false, true));
    db.execute("update games set withdrawn_at = now() where slug = 'myst'")
        .await;
    assert!(!in_stock(&db, other).await);
    db.execute("update games set withdrawn_at = null where slug = 'myst'")
        .await;
    assert!(in_stock(&db, other).await);
    assert!(
        lockstep_store::doctor::broken_invariants(&db.store)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn stock_of_supplier_games_ignores_own_keys() {
    let db = shop().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.at_g2a(game, "g1").await;
    let key = db.key(game).await;
    db.execute(&format!("delete from game_keys where id = '{key}'")).await;
    assert!(in_stock(&db, game).await, "keys of our own say nothing about it");
    db.execute("update games set g2a_product_id = null").await;
    assert!(!in_stock(&db, game).await, "it is ours now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_the_last_key_takes_the_game_off_sale() {
    let db = shop().await;
    for round in 0..5 {
        let game = db.game("Portal", &format!("portal-{round}"), "10.00").await;
        let mut keys = Vec::new();
        for _ in 0..8 {
            keys.push(db.key(game).await);
        }
        let go = keys.iter().map(|key| {
            sqlx::query("delete from game_keys where id = $1")
                .bind(key)
                .execute(&db.sql)
        });
        for gone in futures::future::join_all(go).await {
            gone.unwrap();
        }
        assert!(!in_stock(&db, game).await);
    }
}
