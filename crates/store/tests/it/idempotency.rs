//! Calls with an idempotency key take effect once, however often and by however many clients they are repeated.

use futures::future::join_all;
use lockstep_domain::Money;
use lockstep_domain::cart::{CartLimits, Principal};
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_store::guests::ShopperError;
use lockstep_store::idempotency::Idempotency;
use lockstep_store::ledger::{self, AdjustError};
use lockstep_store::orders::{self, GoodwillError};
use lockstep_store::{carts, idempotency};
use lockstep_testkit::TestDb;
use uuid::Uuid;

const AT_ONCE: usize = 20;

fn key(key: &str) -> Idempotency {
    Idempotency::new(key).unwrap()
}

fn money(amount: &str) -> Money {
    amount.parse().unwrap()
}

async fn copies(db: &TestDb) -> i64 {
    sqlx::query_scalar("select coalesce(sum(quantity), 0) from cart_items")
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_adds_with_one_key_add_once() {
    let db = TestDb::new().await;
    let game = GameId(db.game("Portal", "portal", "10.00").await);
    let ada = Principal::User(UserId(db.user("ada@example.org", "0").await));
    let (k, limits) = (key("k"), CartLimits::default());
    let add = |principal, quantity, key| carts::add_once(&db.store, principal, game, quantity, limits, key);
    for result in join_all((0..AT_ONCE).map(|_| add(ada, 2, &k))).await {
        result.unwrap();
    }
    assert_eq!(copies(&db).await, 2);
    let other = add(ada, 3, &k).await;
    assert!(matches!(other, Err(ShopperError::KeyReused)), "{other:?}");
    let another = key("another");
    add(ada, 3, &another).await.unwrap();
    assert_eq!(copies(&db).await, 5);
    // Another user's key is a different key, and so is that of a guest created by this very call.
    let bob = Principal::User(UserId(db.user("bob@example.org", "0").await));
    add(bob, 2, &k).await.unwrap();
    let guest = add(Principal::Guest(None), 2, &k).await.unwrap();
    assert!(guest.minted);
    let again = add(Principal::Guest(Some(guest.owner.shopper().0)), 2, &k)
        .await
        .unwrap();
    assert_eq!((again.owner, again.minted), (guest.owner, false));
    assert_eq!(copies(&db).await, 9);
}

#[tokio::test]
async fn refused_calls_do_not_use_up_their_key() {
    let db = TestDb::new().await;
    let game = GameId(db.game("Portal", "portal", "10.00").await);
    let ada = Principal::User(UserId(db.user("ada@example.org", "0").await));
    let (k, limits) = (key("k"), CartLimits::default());
    db.execute("update games set in_stock = false").await;
    let refused = carts::add_once(&db.store, ada, game, 1, limits, &k).await;
    assert!(matches!(refused, Err(ShopperError::OutOfStock)), "{refused:?}");
    assert_eq!(db.count("idempotency_keys").await, 0);
    db.execute("update games set in_stock = true").await;
    carts::add_once(&db.store, ada, game, 1, limits, &k).await.unwrap();
    assert_eq!(copies(&db).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refunds_with_one_key_refund_once() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "100.00").await;
    let (user, admin) = (
        UserId(db.user("ada@example.org", "100.00").await),
        UserId(db.user("root@example.org", "0").await),
    );
    let wanted = Checkout::new([(GameId(game), 1)], None, None, OrderLimits::default()).unwrap();
    orders::place(&db.store, user, &wanted, None).await.unwrap();
    let unit: Uuid = sqlx::query_scalar("select id from order_units")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    db.deliver(unit).await;
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where type = 'PURCHASE'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let k = key("k");
    let refund = |amount, reason| {
        orders::refund(
            &db.store,
            (admin, true),
            purchase,
            Some(money(amount)),
            reason,
            Some(&k),
        )
    };
    let results = join_all((0..AT_ONCE).map(|_| refund("3.00", Some("late")))).await;
    let first = results[0].as_ref().unwrap();
    assert_eq!(first.amount, money("3.00"));
    for result in &results {
        assert_eq!(result.as_ref().unwrap(), first);
    }
    for (amount, reason) in [("3.01", Some("late")), ("3.00", Some("later")), ("3.00", None)] {
        let other = refund(amount, reason).await;
        assert!(
            matches!(other, Err(GoodwillError::KeyReused)),
            "{amount} {reason:?}: {other:?}"
        );
    }
    assert_eq!(db.count("audit_log").await, 1);
    db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_adjusts_only_one_balance_and_only_once() {
    let db = TestDb::new().await;
    let admin = UserId(db.user("root@example.org", "0").await);
    let mut users = Vec::new();
    for n in 0..AT_ONCE {
        users.push(UserId(db.user(&format!("{n}@example.org"), "0").await));
    }
    let adjust = |user| ledger::adjust(&db.store, admin, user, money("5.00"), "sorry", Some("k"));
    let results = join_all(users.iter().map(|user| adjust(*user))).await;
    let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    for result in refused {
        assert!(matches!(result, Err(AdjustError::KeyReused)), "{result:?}");
    }
    let lucky: Uuid = sqlx::query_scalar("select id from users where balance > 0")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    for result in join_all((0..AT_ONCE).map(|_| adjust(UserId(lucky)))).await {
        assert_eq!(result.unwrap().balance, money("5.00"));
    }
    assert_eq!(db.count("audit_log").await, 1);
    db.assert_books_balance().await;
}

#[tokio::test]
async fn recorded_calls_expire_after_a_day() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    db.execute(&format!(
        "insert into idempotency_keys values
            ('{user}', 'r', 'old', sha256(''), 'null', now() - interval '24 hours 1 second'),
            ('{user}', 'r', 'young', sha256(''), 'null', now() - interval '23 hours')"
    ))
    .await;
    assert_eq!(idempotency::sweep(&db.store).await.unwrap(), 1);
    assert_eq!(idempotency::sweep(&db.store).await.unwrap(), 0);
    assert_eq!(db.count("idempotency_keys").await, 1);
}
