//! Placing orders, reading them, and refunding delivered units.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::admin::PromoTerms;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::consent::Consent;
use lockstep_domain::ids::{GameId, KeyId, OrderId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::{OrderUnitStatus, OrderView, PaymentStatus};
use lockstep_store::audit::By;
use lockstep_store::fulfilment::{EmailSettings, NotRefundable, keys::How};
use lockstep_store::idempotency::Idempotency;
use lockstep_store::orders::{self, GoodwillError, PlaceError, Placed, PromoFault};
use lockstep_store::promo_codes::{self, NewPromoCode, PromoCodeError};
use lockstep_store::{Options, Store, ledger, mail};
use lockstep_testkit::TestDb;
use proptest::prelude::*;
use sqlx::types::Uuid;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn of(items: &[(Uuid, i64)]) -> Checkout {
    checkout(items, None, None)
}

fn checkout(items: &[(Uuid, i64)], promo: Option<&str>, expected: Option<&str>) -> Checkout {
    let items = items.iter().map(|(game, quantity)| (GameId(*game), *quantity));
    Checkout::new(items, promo, expected.map(money), OrderLimits::default())
        .unwrap()
        .with_consent(Some(Consent::Development))
}

async fn place(db: &TestDb, user: Uuid, order: &Checkout) -> Result<OrderView, PlaceError> {
    match orders::place(&db.store, UserId(user), order, None).await? {
        Placed::Now(order) => Ok(*order),
        Placed::Before(id) => panic!("{id} without a key"),
    }
}

async fn balance(db: &TestDb, user: Uuid) -> Money {
    let read = db.store.read(|tx| Box::pin(ledger::balance(tx, UserId(user)))).await;
    read.unwrap().value.unwrap().balance
}

async fn by_id(db: &TestDb, id: OrderId) -> OrderView {
    let read = db.store.read(move |tx| Box::pin(orders::by_id(tx, id))).await;
    read.unwrap().value.unwrap()
}

#[tokio::test]
async fn placing_an_order_pays_and_empties_the_cart_atomically() {
    let db = TestDb::new().await;
    let (portal, myst, doom) = (
        db.game("Portal", "portal", "9.99").await,
        db.game("Myst", "myst", "5.00").await,
        db.game("Doom", "doom", "1.00").await,
    );
    let user = db.user("ada@example.org", "100.00").await;
    db.promo_code("GKEYS10", 10, None).await;
    db.execute(&format!(
        "insert into cart_items (user_id, game_id, quantity) values ('{user}', '{portal}', 5), ('{user}', '{myst}', 1), ('{user}', '{doom}', 1)"
    ))
    .await;
    let order = place(&db, user, &checkout(&[(portal, 2), (myst, 1)], Some("gkeys10"), None))
        .await
        .unwrap();

    assert_eq!(
        (order.subtotal, order.discount, order.total),
        (money("24.98"), money("2.50"), money("22.48"))
    );
    assert_eq!(
        (order.status, order.promo_code.as_deref()),
        (OrderStatus::Pending, Some("GKEYS10"))
    );
    let copies: Vec<Money> = order.copies.iter().map(|copy| copy.price).collect();
    assert_eq!(copies, [money("8.99"), money("8.99"), money("4.50")]);
    assert_eq!(by_id(&db, order.id).await, order, "what is read is what was answered");
    assert_eq!(balance(&db, user).await, money("77.52"));
    let cart: Vec<(Uuid, i32)> = sqlx::query_as("select game_id, quantity from cart_items order by quantity desc")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(cart, [(portal, 3), (doom, 1)], "only what was bought leaves the cart");
    let letters = mail::list(&db.store, false, 10).await.unwrap();
    assert_eq!(
        (letters[0].kind.as_str(), letters[0].recipient.as_str()),
        ("order-received", "ada@example.org")
    );
    let bookings = db
        .store
        .read(|tx| Box::pin(ledger::transactions(tx, UserId(user), 0, 10)))
        .await
        .unwrap()
        .value;
    assert_eq!(bookings[0].amount, money("-22.48"));
    assert_eq!(bookings[0].order_id, Some(order.id));
    db.assert_books_balance().await;
}

/// Whether an error is the expected one.
type Expected = fn(&PlaceError) -> bool;

#[tokio::test]
async fn refused_orders_change_nothing_and_report_why() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let sold_out = db.game("Myst", "myst", "5.00").await;
    let withdrawn = db.game("Doom", "doom", "5.00").await;
    let user = db.user("ada@example.org", "29.99").await;
    db.execute(
        "update games set in_stock = false where slug = 'myst';
         update games set in_stock = false, withdrawn_at = now() where slug = 'doom';
         insert into promo_codes (code, discount, active, valid_from, valid_until, max_uses, used_count) values
           ('OFF', 10, false, now() - interval '1 day', null, null, 0),
           ('EARLY', 10, true, now() + interval '1 day', null, null, 0),
           ('LATE', 10, true, now() - interval '2 days', now() - interval '1 day', null, 0),
           ('USED', 10, true, now() - interval '1 day', null, 1, 1)",
    )
    .await;
    let unknown = Uuid::new_v4();
    let cases: [(Checkout, &str, Expected); 11] = [
        (of(&[(unknown, 1)]), "not found", |e| {
            matches!(e, PlaceError::NoSuchGame(_))
        }),
        (of(&[(game, 1), (withdrawn, 1)]), "not found", |e| {
            matches!(e, PlaceError::NoSuchGame(_))
        }),
        (of(&[(game, 1), (sold_out, 1)]), "Myst is out of stock", |e| {
            matches!(e, PlaceError::OutOfStock { .. })
        }),
        (of(&[(game, 3)]), "Insufficient balance", |e| {
            matches!(e, PlaceError::InsufficientBalance { .. })
        }),
        (checkout(&[(game, 1)], Some("nope"), None), "Invalid promo code", |e| {
            matches!(e, PlaceError::PromoCode(PromoFault::Unknown))
        }),
        (
            checkout(&[(game, 1)], Some("x' or 1=1"), None),
            "Invalid promo code",
            |e| matches!(e, PlaceError::PromoCode(PromoFault::Unknown)),
        ),
        (checkout(&[(game, 1)], Some("off"), None), "Invalid promo code", |e| {
            matches!(e, PlaceError::PromoCode(PromoFault::Inactive))
        }),
        (checkout(&[(game, 1)], Some("early"), None), "Invalid promo code", |e| {
            matches!(e, PlaceError::PromoCode(PromoFault::Early))
        }),
        (checkout(&[(game, 1)], Some("late"), None), "Invalid promo code", |e| {
            matches!(e, PlaceError::PromoCode(PromoFault::Expired))
        }),
        (checkout(&[(game, 1)], Some("used"), None), "Invalid promo code", |e| {
            matches!(e, PlaceError::PromoCode(PromoFault::UsedUp))
        }),
        (
            checkout(&[(game, 2)], None, Some("19.99")),
            "has risen from 19.99 to 20.00",
            |e| matches!(e, PlaceError::PriceRisen { .. }),
        ),
    ];
    for (order, words, expected) in cases {
        let error = place(&db, user, &order).await.unwrap_err();
        assert!(
            expected(&error) && error.to_string().contains(words),
            "{error:?}: {error}"
        );
    }
    let ghost = place(&db, unknown, &of(&[(game, 1)])).await.unwrap_err();
    assert!(matches!(ghost, PlaceError::NoSuchUser), "{ghost}");
    assert_eq!((db.count("orders").await, db.count("mail_outbox").await), (0, 0));
    assert_eq!(balance(&db, user).await, money("29.99"));
    db.assert_books_balance().await;
}

#[tokio::test]
async fn orders_use_the_current_price_from_the_database() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100").await;
    db.execute(&format!(
        "insert into cart_items (user_id, game_id, quantity, price_seen) values ('{user}', '{game}', 1, 10);
         update games set price = 7.50"
    ))
    .await;
    let order = place(&db, user, &checkout(&[(game, 1)], None, Some("10.00")))
        .await
        .unwrap();
    assert_eq!(order.total, money("7.50"));
    db.assert_books_balance().await;
}

/// Ten dollars are not ten euros.
#[tokio::test]
async fn prices_in_other_currencies_are_not_charged_as_euro() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute("update games set currency = 'USD'").await;
    let user = db.user("ada@example.org", "100.00").await;
    let refused = place(&db, user, &of(&[(game, 1)])).await;
    assert!(matches!(refused, Err(PlaceError::OutOfStock { .. })), "{refused:?}");
    assert_eq!(balance(&db, user).await, money("100.00"));
}

#[tokio::test]
async fn preorders_can_be_ordered() {
    let db = TestDb::new().await;
    let game = db.game("Silksong", "silksong", "10.00").await;
    db.execute("update games set is_preorder = true, in_stock = false, release_date = now() + interval '30 days'")
        .await;
    let user = db.user("ada@example.org", "100").await;
    assert_eq!(place(&db, user, &of(&[(game, 1)])).await.unwrap().total, money("10"));
}

#[tokio::test]
async fn a_code_of_a_hundred_percent_makes_an_order_free() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute("insert into promo_codes (code, discount) values ('FREE', 100)")
        .await;
    let user = db.user("ada@example.org", "0").await;
    let order = place(&db, user, &checkout(&[(game, 3)], Some("FREE"), None))
        .await
        .unwrap();
    assert_eq!(order.total, Money::ZERO);
    db.assert_books_balance().await;
}

/// A role's or a database's default may be `serializable`, under which correct statements can fail.
#[tokio::test]
async fn concurrent_orders_succeed_with_a_serializable_default() {
    let db = TestDb::new().await;
    db.execute(&format!(
        "alter database {} set default_transaction_isolation = serializable",
        db.name()
    ))
    .await;
    let patient = Options {
        acquire_timeout: Duration::from_mins(1),
        ..Options::default()
    };
    let store = Store::new(db.url(), &patient).unwrap();
    let game = db.game("Portal", "portal", "1.00").await;
    let mut users = Vec::new();
    for n in 0..16 {
        users.push(UserId(db.user(&format!("u{n}@example.org"), "100.00").await));
    }
    let order = of(&[(game, 1)]);
    let placed = (0..256).map(|n| orders::place(&store, users[n % 16], &order, None));
    for result in futures::future::join_all(placed).await {
        assert!(matches!(result, Ok(Placed::Now(_))), "{result:?}");
    }
    assert_eq!(db.count("orders").await, 256);
}

/// The existing shop accepted two concurrent orders on a balance for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_for_three_orders_pays_for_three_of_ten() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "30.00").await;
    let order = of(&[(game, 1)]);
    let results = futures::future::join_all((0..10).map(|_| place(&db, user, &order))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(accepted.len(), 3);
    assert!(
        refused
            .iter()
            .all(|r| matches!(r, Err(PlaceError::InsufficientBalance { .. }))),
        "{refused:?}"
    );
    assert_eq!(balance(&db, user).await, Money::ZERO);
    db.assert_books_balance().await;
}

/// The existing shop: five concurrent orders used a promo code with one use twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_with_two_uses_serves_two_of_ten_orders() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute("insert into promo_codes (code, discount, max_uses) values ('TWICE', 50, 2)")
        .await;
    let order = checkout(&[(game, 1)], Some("TWICE"), None);
    let mut users = Vec::new();
    for n in 0..10 {
        users.push(db.user(&format!("u{n}@example.org"), "10.00").await);
    }
    let results = futures::future::join_all(users.iter().map(|user| place(&db, *user, &order))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(accepted.len(), 2);
    assert!(
        refused
            .iter()
            .all(|r| matches!(r, Err(PlaceError::PromoCode(PromoFault::UsedUp)))),
        "{refused:?}"
    );
    let used: i32 = sqlx::query_scalar("select used_count from promo_codes where code = 'TWICE'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!((used, db.count("orders").await), (2, 2));
    db.assert_books_balance().await;
}

/// An order that fails after its promo code was counted releases the use.
#[tokio::test]
async fn refused_orders_do_not_use_up_promo_codes() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "1.00").await;
    db.promo_code("GKEYS10", 10, None).await;
    place(&db, user, &checkout(&[(game, 1)], Some("GKEYS10"), None))
        .await
        .unwrap_err();
    let used: i32 = sqlx::query_scalar("select used_count from promo_codes where code = 'GKEYS10'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(used, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_orders_with_one_key_are_one_order() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100.00").await;
    let (order, key) = (of(&[(game, 1)]), Idempotency::new("key-1").unwrap());
    let results =
        futures::future::join_all((0..20).map(|_| orders::place(&db.store, UserId(user), &order, Some(&key)))).await;
    let mut now = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for result in results {
        match result.unwrap() {
            Placed::Now(order) => {
                ids.insert(order.id);
                now.push(order.id);
            }
            Placed::Before(id) => {
                ids.insert(id);
            }
        }
    }
    assert_eq!((now.len(), ids.len(), db.count("orders").await), (1, 1, 1));
    assert_eq!(balance(&db, user).await, money("90"));

    // Another process, later.
    let later = Store::new(db.url(), &Options::default()).unwrap();
    let again = orders::place(&later, UserId(user), &order, Some(&key)).await.unwrap();
    assert_eq!(again, Placed::Before(now[0]));
    // The same key for another order, and the same key of another user.
    let other = orders::place(&later, UserId(user), &of(&[(game, 2)]), Some(&key)).await;
    assert!(matches!(other, Err(PlaceError::KeyReused)), "{other:?}");
    let bob = db.user("bob@example.org", "10.00").await;
    let bobs = orders::place(&later, UserId(bob), &order, Some(&key)).await.unwrap();
    assert!(matches!(bobs, Placed::Now(_)));
    db.assert_books_balance().await;
}

#[test]
fn an_idempotency_key_is_short_and_printable() {
    for bad in ["", "a\nb", "ä", &*"x".repeat(201)] {
        assert_eq!(Idempotency::new(bad), None, "{bad:?}");
    }
    assert!(Idempotency::new(&"x".repeat(200)).is_some());
}

/// The existing shop: reordering within five minutes with another quantity returned the old order.
#[tokio::test]
async fn ordering_again_without_a_key_places_another_order() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100.00").await;
    let first = place(&db, user, &of(&[(game, 1)])).await.unwrap();
    let second = place(&db, user, &of(&[(game, 2)])).await.unwrap();
    assert_ne!(first.id, second.id);
    let list = db
        .store
        .read(|tx| Box::pin(orders::list(tx, UserId(user), 0, 50)))
        .await
        .unwrap()
        .value;
    assert_eq!(list, [second.clone(), first.clone()], "newest first");
    let skipped = db
        .store
        .read(|tx| Box::pin(orders::list(tx, UserId(user), 1, 1)))
        .await
        .unwrap()
        .value;
    assert_eq!(skipped, [first]);
}

#[tokio::test]
async fn delivered_units_are_refunded_up_to_their_price() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, admin) = (
        db.user("ada@example.org", "100.00").await,
        db.user("root@example.org", "0").await,
    );
    let order = place(&db, user, &of(&[(game, 3)])).await.unwrap();
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where type = 'PURCHASE'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let refund = |amount: Option<&str>| {
        let amount = amount.map(money);
        let store = db.store.clone();
        async move { orders::refund(&store, (UserId(admin), true), purchase, amount, Some("sorry"), None).await }
    };
    assert!(matches!(refund(None).await, Err(GoodwillError::NothingDelivered)));
    db.deliver(order.copies[0].id).await;
    db.deliver(order.copies[1].id).await;
    assert!(matches!(refund(Some("0")).await, Err(GoodwillError::NotPositive)));
    assert!(matches!(refund(Some("-1")).await, Err(GoodwillError::NotPositive)));
    let too_much = refund(Some("20.01")).await;
    assert!(
        matches!(too_much, Err(GoodwillError::TooMuch { most }) if most == money("20")),
        "{too_much:?}"
    );
    assert_eq!(refund(Some("12.34")).await.unwrap().amount, money("12.34"));
    let seen = by_id(&db, order.id).await;
    assert_eq!(seen.refunded, money("12.34"));
    assert_eq!(
        seen.copies.iter().map(|c| c.state).collect::<Vec<_>>(),
        [
            OrderUnitStatus::Delivered,
            OrderUnitStatus::Delivered,
            OrderUnitStatus::Waiting
        ]
    );
    assert_eq!(
        seen.copies.iter().map(|c| c.refunded).collect::<Vec<_>>(),
        [money("10"), money("2.34"), Money::ZERO],
        "the first copies first"
    );
    assert_eq!(refund(None).await.unwrap().amount, money("7.66"), "what is left");
    assert!(matches!(refund(None).await, Err(GoodwillError::AlreadyRefunded)));
    assert_eq!(
        balance(&db, user).await,
        money("90"),
        "the copy in flight is still paid for"
    );
    let unknown = orders::refund(&db.store, (UserId(admin), true), Uuid::new_v4(), None, None, None).await;
    assert!(matches!(unknown, Err(GoodwillError::NotFound)));
    let top_up: Uuid = sqlx::query_scalar("select id from transactions where type = 'TOP_UP'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let of_top_up = orders::refund(&db.store, (UserId(admin), true), top_up, None, None, None).await;
    assert!(matches!(of_top_up, Err(GoodwillError::NotAPurchase)));
    assert_eq!(db.count("audit_log").await, 2);
    db.assert_books_balance().await;
}

/// Regression: an order whose money was refunded still had the payment status `COMPLETED`.
#[tokio::test]
async fn payment_status_follows_refunds_of_any_origin() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, admin) = (
        db.user("ada@example.org", "100.00").await,
        db.user("root@example.org", "0").await,
    );
    let stands = async |id: OrderId| {
        let order = by_id(&db, id).await;
        (order.payment_status.unwrap(), order.refunded)
    };
    let purchase = async |id: OrderId| -> Uuid {
        sqlx::query_scalar("select id from transactions where type = 'PURCHASE' and order_id = $1")
            .bind(id.0)
            .fetch_one(&db.sql)
            .await
            .unwrap()
    };

    // Unit by unit, because they could not be delivered.
    let sold_out = place(&db, user, &of(&[(game, 2)])).await.unwrap();
    assert_eq!(stands(sold_out.id).await, (PaymentStatus::Completed, Money::ZERO));
    db.refund(sold_out.copies[0].id).await;
    assert_eq!(stands(sold_out.id).await, (PaymentStatus::Completed, money("10.00")));
    db.refund(sold_out.copies[1].id).await;
    assert_eq!(stands(sold_out.id).await, (PaymentStatus::Cancelled, money("20.00")));

    // Part of it by staff, for a delivered unit, then the rest.
    let delivered = place(&db, user, &of(&[(game, 1)])).await.unwrap();
    db.deliver(delivered.copies[0].id).await;
    for (amount, expected) in [
        ("3.00", (PaymentStatus::Completed, money("3.00"))),
        ("6.99", (PaymentStatus::Completed, money("9.99"))),
        ("0.01", (PaymentStatus::Cancelled, money("10.00"))),
    ] {
        orders::refund(
            &db.store,
            (UserId(admin), true),
            purchase(delivered.id).await,
            Some(money(amount)),
            None,
            None,
        )
        .await
        .unwrap();
        assert_eq!(stands(delivered.id).await, expected, "after {amount}");
    }

    // One unit delivered and refunded by staff, the other never delivered.
    let mixed = place(&db, user, &of(&[(game, 2)])).await.unwrap();
    db.deliver(mixed.copies[0].id).await;
    orders::refund(
        &db.store,
        (UserId(admin), true),
        purchase(mixed.id).await,
        None,
        None,
        None,
    )
    .await
    .unwrap();
    assert_eq!(stands(mixed.id).await, (PaymentStatus::Completed, money("10.00")));
    db.refund(mixed.copies[1].id).await;
    assert_eq!(stands(mixed.id).await, (PaymentStatus::Cancelled, money("20.00")));

    // Cancelled by staff as a whole, including a free order.
    db.promo_code("FREE", 100, None).await;
    let paid = place(&db, user, &of(&[(game, 1)])).await.unwrap();
    let free = place(&db, user, &checkout(&[(game, 1)], Some("FREE"), None))
        .await
        .unwrap();
    for order in [paid.id, free.id] {
        orders::cancel(&db.store, UserId(admin), order, None, None, &EmailSettings::default())
            .await
            .unwrap();
        assert_eq!(stands(order).await.0, PaymentStatus::Cancelled);
    }
    db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refunds_by_staff_return_at_most_the_price() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, admin) = (
        db.user("ada@example.org", "10.00").await,
        db.user("root@example.org", "0").await,
    );
    let order = place(&db, user, &of(&[(game, 1)])).await.unwrap();
    db.deliver(order.copies[0].id).await;
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where type = 'PURCHASE'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let results = futures::future::join_all((0..8).map(|_| {
        orders::refund(
            &db.store,
            (UserId(admin), true),
            purchase,
            Some(money("3.00")),
            None,
            None,
        )
    }))
    .await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 3);
    assert_eq!(balance(&db, user).await, money("9.00"));
    db.assert_books_balance().await;
}

#[tokio::test]
async fn unbought_orders_are_cancelled_once_and_refunded() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, admin) = (
        db.user("ada@example.org", "30.00").await,
        db.user("root@example.org", "0").await,
    );
    db.promo_code("GKEYS10", 10, Some(1)).await;
    let order = place(&db, user, &checkout(&[(game, 3)], Some("GKEYS10"), None))
        .await
        .unwrap();
    let cancel = |id| {
        let store = db.store.clone();
        async move {
            orders::cancel(
                &store,
                UserId(admin),
                id,
                Some("asked for it"),
                None,
                &EmailSettings::default(),
            )
            .await
        }
    };
    let cancelled = cancel(order.id).await.unwrap();
    assert_eq!((cancelled.refunded, cancelled.kept), (money("27.00"), 0));
    let seen = by_id(&db, order.id).await;
    assert_eq!((seen.status, seen.refunded), (OrderStatus::Cancelled, money("27.00")));
    assert!(matches!(cancel(order.id).await, Err(NotRefundable::Refunded)));
    assert!(matches!(
        cancel(OrderId(Uuid::new_v4())).await,
        Err(NotRefundable::Unknown)
    ));
    assert_eq!(
        (balance(&db, user).await, db.count("audit_log").await),
        (money("30"), 1)
    );
    db.assert_books_balance().await;
    assert_eq!(uses(&db, "GKEYS10").await, 0);
    place(&db, user, &checkout(&[(game, 3)], Some("GKEYS10"), None))
        .await
        .expect("the code may be used again");
}

async fn uses(db: &TestDb, code: &str) -> i32 {
    sqlx::query_scalar("select used_count from promo_codes where code = $1")
        .bind(code)
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_refunds_release_the_promo_code() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100.00").await;
    db.promo_code("ONCE", 10, Some(1)).await;
    let once = checkout(&[(game, 8)], Some("ONCE"), None);
    for round in 0..3 {
        let order = place(&db, user, &once).await.expect("the code is free again");
        let (last, others) = order.copies.split_last().unwrap();
        futures::future::join_all(others.iter().map(|copy| db.refund(copy.id))).await;
        assert_eq!(uses(&db, "ONCE").await, 1, "round {round}: a copy is still paid for");
        assert!(matches!(
            place(&db, user, &once).await,
            Err(PlaceError::PromoCode(PromoFault::UsedUp))
        ));
        db.refund(last.id).await;
        assert_eq!(uses(&db, "ONCE").await, 0, "round {round}");
    }
    // All at once, while other orders compete for the use: it is released once and taken once.
    let order = place(&db, user, &once).await.unwrap();
    let buyer = db.user("bob@example.org", "1000.00").await;
    let (_, placed) = futures::join!(
        futures::future::join_all(order.copies.iter().map(|copy| db.refund(copy.id))),
        futures::future::join_all((0..12).map(|_| place(&db, buyer, &once)))
    );
    let won = placed.iter().filter(|placed| placed.is_ok()).count();
    assert!(won <= 1, "{placed:?}");
    assert_eq!(uses(&db, "ONCE").await, i32::try_from(won).unwrap());
    db.assert_books_balance().await;
}

/// Its copies end in one statement, so the condition for the release holds for each of them.
#[tokio::test]
async fn cancelled_orders_of_several_copies_release_one_use() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (ada, ben, admin) = (
        db.user("ada@example.org", "100.00").await,
        db.user("ben@example.org", "100.00").await,
        db.user("root@example.org", "0").await,
    );
    db.promo_code("MANY", 10, Some(9)).await;
    let wanted = checkout(&[(game, 3)], Some("MANY"), None);
    let order = place(&db, ada, &wanted).await.unwrap();
    place(&db, ben, &wanted).await.unwrap();
    place(&db, ben, &wanted).await.unwrap();
    let emails = EmailSettings::default();
    orders::cancel(&db.store, UserId(admin), order.id, None, None, &emails)
        .await
        .unwrap();
    assert_eq!(uses(&db, "MANY").await, 2, "those of the other orders");
    db.assert_books_balance().await;
}

#[tokio::test]
async fn full_refunds_by_staff_release_the_promo_code() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, admin) = (
        db.user("ada@example.org", "100.00").await,
        db.user("root@example.org", "0").await,
    );
    db.promo_code("ONCE", 10, Some(1)).await;
    db.promo_code("FREE", 100, Some(1)).await;
    let order = place(&db, user, &checkout(&[(game, 2)], Some("ONCE"), None))
        .await
        .unwrap();
    for copy in &order.copies {
        db.deliver(copy.id).await;
    }
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where order_id = $1")
        .bind(order.id.0)
        .fetch_one(&db.sql)
        .await
        .unwrap();
    for (amount, used) in [("9.00", 1), ("8.99", 1), ("0.01", 0)] {
        orders::refund(
            &db.store,
            (UserId(admin), true),
            purchase,
            Some(money(amount)),
            None,
            None,
        )
        .await
        .unwrap();
        assert_eq!(uses(&db, "ONCE").await, used, "after {amount}");
    }
    // A free order that was delivered still counts as a use.
    let order = place(&db, user, &checkout(&[(game, 1)], Some("FREE"), None))
        .await
        .unwrap();
    db.deliver(order.copies[0].id).await;
    assert_eq!(uses(&db, "FREE").await, 1);
    // A free order that was never delivered does not.
    db.promo_code("GIFT", 100, Some(1)).await;
    let order = place(&db, user, &checkout(&[(game, 1)], Some("GIFT"), None))
        .await
        .unwrap();
    db.execute(&format!(
        "update order_units set state = 'REFUNDED' where id = '{}'",
        order.copies[0].id
    ))
    .await;
    assert_eq!(uses(&db, "GIFT").await, 0);
    db.assert_books_balance().await;
}

#[tokio::test]
async fn protected_games_are_not_sold_below_cost_by_codes() {
    let db = TestDb::new().await;
    let (bought, own) = (
        db.game("Portal", "portal", "10.20").await,
        db.game("Myst", "myst", "10.20").await,
    );
    db.at_g2a(bought, "10000000000042").await;
    let user = db.user("ada@example.org", "100.00").await;
    db.promo_code("TEN", 10, None).await;
    db.promo_code("ONE", 1, None).await;
    let order = |game, code| checkout(&[(game, 2)], Some(code), None);
    let protected = |game, code| order(game, code).not_below_cost(2.into());
    let refused = place(&db, user, &protected(bought, "TEN")).await;
    assert!(
        matches!(&refused, Err(PlaceError::PromoBelowCost { title }) if title == "Portal"),
        "{refused:?}"
    );
    assert_eq!((uses(&db, "TEN").await, db.count("orders").await), (0, 0));
    place(&db, user, &protected(bought, "ONE"))
        .await
        .expect("still above cost");
    place(&db, user, &protected(own, "TEN"))
        .await
        .expect("a game of the shop's own has no cost there");
    place(&db, user, &order(bought, "TEN"))
        .await
        .expect("unless it is permitted");
    // A higher price that staff have set leaves room for the code, whose measure is G2A's price beside it.
    db.execute(&format!(
        "update games set price = 12.00, g2a_price = 10.20, fields_by_hand = '{{price}}' where id = '{bought}'"
    ))
    .await;
    place(&db, user, &protected(bought, "TEN"))
        .await
        .expect("10.80 is above the cost");
    db.execute("update games set g2a_price = 11.99 where g2a_price is not null")
        .await;
    let refused = place(&db, user, &protected(bought, "TEN")).await;
    assert!(
        matches!(&refused, Err(PlaceError::PromoBelowCost { .. })),
        "{refused:?}"
    );
    db.assert_books_balance().await;
}

#[tokio::test]
async fn a_preorder_that_staff_hold_back_is_not_sold() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.20").await;
    db.at_g2a(game, "10000000000042").await;
    let user = db.user("ada@example.org", "100.00").await;
    let order = checkout(&[(game, 1)], None, None);
    db.execute(
        "update games set in_stock = false, g2a_stock = false, is_preorder = true, release_date = now() + interval '20 days'",
    )
    .await;
    place(&db, user, &order).await.expect("a preorder needs no stock");
    for held_back in [
        "update games set fields_by_hand = '{in_stock}'",
        "update games set fields_by_hand = '{price}', g2a_asked_price = price + 1, g2a_asked_at = now()",
    ] {
        db.execute(held_back).await;
        let refused = place(&db, user, &order).await;
        assert!(
            matches!(&refused, Err(PlaceError::OutOfStock { .. })),
            "{held_back}: {refused:?}"
        );
    }
    db.execute("update games set price = g2a_asked_price").await;
    place(&db, user, &order).await.expect("the price is high enough");
    db.assert_books_balance().await;
}

#[tokio::test]
async fn codes_are_made_listed_and_ended() {
    let db = TestDb::new().await;
    let desk = By::Operator("desk".to_owned());
    let new = |code: &str| NewPromoCode {
        code: code.into(),
        discount: "2.5".parse().unwrap(),
        terms: PromoTerms::default(),
        max_uses: Some(3),
        valid_from: None,
        valid_until: None,
        active: true,
    };
    promo_codes::create(&db.store, &new("Summer"), &desk).await.unwrap();
    let again = promo_codes::create(&db.store, &new("SUMMER"), &desk).await;
    assert!(matches!(again, Err(PromoCodeError::Exists(code)) if code == "SUMMER"));
    let long_ago = chrono::DateTime::UNIX_EPOCH;
    for wrong in [
        NewPromoCode {
            discount: 0.into(),
            ..new("A1")
        },
        NewPromoCode {
            discount: 101.into(),
            ..new("A1")
        },
        NewPromoCode {
            max_uses: Some(0),
            ..new("A1")
        },
        NewPromoCode {
            valid_until: Some(long_ago),
            ..new("A1")
        },
        new("A"),
        new("A B"),
        new("ÄÖÜ"),
    ] {
        let result = promo_codes::create(&db.store, &wrong, &desk).await;
        assert!(
            matches!(
                result,
                Err(PromoCodeError::Code | PromoCodeError::Discount | PromoCodeError::MaxUses | PromoCodeError::Window)
            ),
            "{wrong:?}: {result:?}"
        );
    }
    let game = db.game("Portal", "portal", "10.00").await;
    let user = db.user("ada@example.org", "100.00").await;
    place(&db, user, &checkout(&[(game, 2)], Some("summer"), None))
        .await
        .unwrap();
    let listed = promo_codes::list(&db.store).await.unwrap();
    assert_eq!(
        (
            listed[0].code.as_str(),
            listed[0].used_count,
            listed[0].given,
            listed[0].usable
        ),
        ("SUMMER", 1, money("0.50"), true)
    );
    promo_codes::end(&db.store, "summer", &desk).await.unwrap();
    promo_codes::end(&db.store, "SUMMER", &desk)
        .await
        .expect("twice is fine");
    let ended = &promo_codes::list(&db.store).await.unwrap()[0];
    assert!(!ended.usable && ended.state == "ended", "{ended:?}");
    let refused = place(&db, user, &checkout(&[(game, 1)], Some("SUMMER"), None)).await;
    assert!(matches!(refused, Err(PlaceError::PromoCode(PromoFault::Inactive))));
    let unknown = promo_codes::end(&db.store, "NONE", &desk).await;
    assert!(matches!(unknown, Err(PromoCodeError::Unknown(_))));
    // What was done is on record once each, and what was not done is not.
    let recorded: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', action, details ->> 'code', details ->> 'discount', details ->> 'machine')
           from audit_log a join promo_codes p on p.id = a.subject_id and a.subject_kind = 'promo_code'
          where admin_id is null order by at",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    assert_eq!(recorded, ["promo.create SUMMER 2.5 desk", "promo.end SUMMER desk"]);
}

#[tokio::test]
async fn an_adjustment_is_booked_explained_and_made_once() {
    let db = TestDb::new().await;
    let (user, admin) = (
        db.user("ada@example.org", "10.00").await,
        db.user("root@example.org", "0").await,
    );
    let adjust = |amount: &str, key: Option<&'static str>| {
        let (store, amount) = (db.store.clone(), money(amount));
        async move { ledger::adjust(&store, UserId(admin), UserId(user), amount, "a reason", key).await }
    };
    let up = adjust("5.50", Some("k")).await.unwrap();
    assert_eq!((up.previous, up.balance), (money("10"), money("15.50")));
    assert_eq!(
        adjust("5.50", Some("k")).await.unwrap(),
        up,
        "asked for twice, made once"
    );
    assert!(matches!(
        adjust("6", Some("k")).await,
        Err(ledger::AdjustError::KeyReused)
    ));
    let down = adjust("-15.50", None).await.unwrap();
    assert_eq!(down.balance, Money::ZERO);
    assert!(matches!(
        adjust("-0.01", None).await,
        Err(ledger::AdjustError::Insufficient { .. })
    ));
    assert!(matches!(adjust("0", None).await, Err(ledger::AdjustError::Zero)));
    adjust("1", None).await.unwrap();
    assert!(matches!(
        adjust("9999999999.99", None).await,
        Err(ledger::AdjustError::TooMuch)
    ));
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select type::text, amount::text, method from transactions where method is not null order by created_at",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let row = |a: &str, b: &str| (a.to_owned(), b.to_owned(), "ADJUSTMENT".to_owned());
    assert_eq!(
        rows,
        [row("TOP_UP", "5.50"), row("PURCHASE", "-15.50"), row("TOP_UP", "1.00")]
    );
    // The idempotency key and the admin are shown to admins only.
    let shown = db
        .store
        .read(|tx| Box::pin(ledger::transactions(tx, UserId(user), 0, 10)))
        .await
        .unwrap()
        .value;
    assert!(shown.iter().all(|booking| booking.transaction_hash.is_none()));
    let deeds: Vec<(Uuid, Uuid, String)> =
        sqlx::query_as("select admin_id, subject_id, details ->> 'reason' from audit_log")
            .fetch_all(&db.sql)
            .await
            .unwrap();
    assert_eq!(deeds, vec![(admin, user, "a reason".to_owned()); 3]);
    db.assert_books_balance().await;
}

#[tokio::test]
async fn only_owners_get_keys_and_every_reveal_is_recorded() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let (user, other) = (
        db.user("ada@example.org", "20.00").await,
        db.user("bob@example.org", "0").await,
    );
    let order = place(&db, user, &of(&[(game, 2)])).await.unwrap();
    let key = db.deliver(order.copies[0].id).await;
    let reveal =
        |user, only: Option<Uuid>| orders::reveal(&db.store, UserId(user), order.id, only.map(KeyId), How::Api);
    assert!(reveal(other, None).await.unwrap().is_empty());
    assert_eq!(db.count("key_reveals").await, 0);
    let shown = reveal(user, None).await.unwrap();
    assert_eq!((shown[0].id.0, shown[0].sealed.as_slice()), (key, &b"sealed"[..]));
    assert!(reveal(user, Some(Uuid::new_v4())).await.unwrap().is_empty());
    assert_eq!(db.count("key_reveals").await, 1);
    let seen = by_id(&db, order.id).await;
    assert_eq!(
        (seen.copies[0].key_id, seen.keys[0].id, &seen.keys[0].key),
        (Some(key), key, &None)
    );
    // A file is revealed by download only.
    db.execute("update game_keys set is_file = true").await;
    assert!(reveal(user, None).await.unwrap().is_empty());
    let file = orders::reveal(&db.store, UserId(user), order.id, Some(KeyId(key)), How::File)
        .await
        .unwrap();
    assert!(file[0].is_file);
}

#[derive(Debug, Clone)]
struct Try {
    user: usize,
    items: BTreeMap<usize, i64>,
    promo: Option<usize>,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (
        0_usize..3,
        prop::collection::btree_map(0_usize..5, 1_i64..4, 1..5),
        prop::option::of(0_usize..3),
    )
        .prop_map(|(user, items, promo)| Try { user, items, promo });
    prop::collection::vec(one, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Random concurrent orders of several users, with promo codes that run out and insufficient balances: the books
    /// balance, and exactly the accepted orders are charged.
    #[test]
    fn books_balance_under_random_concurrent_orders(
        tries in tries(), cents in prop::collection::vec(1_i64..3000, 5), percents in prop::collection::vec(1_i64..=10_000, 3),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let db = TestDb::new().await;
            let mut games = Vec::new();
            for (n, cents) in cents.iter().enumerate() {
                let price = Money::from_cents(*cents).unwrap().to_string();
                games.push(db.game(&format!("G{n}"), &format!("g{n}"), &price).await);
            }
            for (n, percent) in percents.iter().enumerate() {
                db.execute(&format!("insert into promo_codes (code, discount, max_uses) values ('P{n}', {percent} / 100.0, {})", n + 1)).await;
            }
            let mut users = Vec::new();
            for n in 0..3 {
                users.push(db.user(&format!("u{n}@example.org"), "60.00").await);
            }
            let orders: Vec<(Uuid, Checkout)> = tries.iter().map(|t| {
                let items: Vec<(Uuid, i64)> = t.items.iter().map(|(game, quantity)| (games[*game], *quantity)).collect();
                (users[t.user], checkout(&items, t.promo.map(|n| format!("P{n}")).as_deref(), None))
            }).collect();
            let results = futures::future::join_all(orders.iter().map(|(user, order)| place(&db, *user, order))).await;
            let mut charged: BTreeMap<Uuid, i64> = users.iter().map(|user| (*user, 0)).collect();
            for ((user, _), result) in orders.iter().zip(results) {
                match result {
                    Ok(order) => *charged.get_mut(user).unwrap() += order.total.cents(),
                    Err(PlaceError::InsufficientBalance { .. } | PlaceError::PromoCode(PromoFault::UsedUp)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            for (user, charged) in charged {
                assert_eq!(balance(&db, user).await.cents(), 6000 - charged);
            }
            db.assert_books_balance().await;
        });
    }
}
