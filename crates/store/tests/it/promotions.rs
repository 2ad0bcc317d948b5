//! Promo codes beyond percentages: fixed amounts, restrictions, and limits of a customer, exact under concurrency.

use lockstep_domain::Money;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_domain::purchase::OrderView;
use lockstep_store::orders::{self, PlaceError, Placed, PromoFault};
use lockstep_testkit::TestDb;
use sqlx::types::Uuid;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn order(items: &[(Uuid, i64)], code: &str) -> Checkout {
    let items = items.iter().map(|(game, quantity)| (GameId(*game), *quantity));
    Checkout::new(items, Some(code), None, OrderLimits::default()).unwrap()
}

async fn place(db: &TestDb, user: Uuid, order: &Checkout) -> Result<OrderView, PlaceError> {
    loop {
        match orders::place(&db.store, UserId(user), order, None).await {
            Ok(Placed::Now(order)) => return Ok(*order),
            Ok(Placed::Before(id)) => panic!("{id} without a key"),
            // Many at once wait for one code: whoever waited too long tries again.
            Err(PlaceError::Store(error)) if error.is_locked() => {}
            Err(error) => return Err(error),
        }
    }
}

async fn users(db: &TestDb, many: usize) -> Vec<Uuid> {
    let mut users = Vec::new();
    for n in 0..many {
        users.push(db.user(&format!("u{n}@example.org"), "500.00").await);
    }
    users
}

async fn uses(db: &TestDb, code: &str) -> (i32, i64) {
    sqlx::query_as(
        "select used_count, (select coalesce(sum(uses), 0)::bigint from promo_code_customers c where c.promo_code_id = p.id)
           from promo_codes p where code = $1",
    )
    .bind(code)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_fixed_amount_is_paid_back_with_what_was_paid_and_its_use_with_the_last_cent() {
    let db = TestDb::new().await;
    let (portal, myst) = (
        db.game("Portal", "portal", "9.99").await,
        db.game("Myst", "myst", "5.00").await,
    );
    let user = users(&db, 1).await[0];
    db.execute("insert into promo_codes (code, discount, amount, max_per_customer) values ('FIVE', 0, 5, 1)")
        .await;
    let quoted = orders::quote(&db.store, UserId(user), &order(&[(portal, 2), (myst, 1)], "FIVE"))
        .await
        .unwrap();
    let placed = place(&db, user, &order(&[(portal, 2), (myst, 1)], "five"))
        .await
        .unwrap();
    assert_eq!((quoted.discount, quoted.total), (placed.discount, placed.total));
    assert_eq!((placed.discount, placed.total), (money("5.00"), money("19.98")));
    let paid: Vec<String> = placed.copies.iter().map(|copy| copy.price.to_string()).collect();
    assert_eq!(
        paid,
        ["7.99", "7.99", "4.00"],
        "5.00 in proportion, the largest remainders rounded up"
    );
    assert_eq!(uses(&db, "FIVE").await, (1, 1));
    let again = place(&db, user, &order(&[(portal, 1)], "FIVE")).await;
    assert!(
        matches!(again, Err(PlaceError::PromoCode(PromoFault::UsedUp))),
        "{again:?}"
    );
    // Each unit gives back what was paid for it; the use comes back with the last one.
    for (n, copy) in placed.copies.iter().enumerate() {
        assert_eq!(uses(&db, "FIVE").await, (1, 1), "before unit {n} goes back");
        db.execute(&format!(
            "update order_units set state = 'REFUNDED' where id = '{id}';
             insert into transactions (user_id, order_id, type, amount, status) values ('{user}', '{order}', 'REFUND', {amount}, 'COMPLETED');
             update users set balance = balance + {amount} where id = '{user}'",
            id = copy.id, order = placed.id, amount = copy.price,
        ))
        .await;
    }
    assert_eq!(uses(&db, "FIVE").await, (0, 0));
    place(&db, user, &order(&[(myst, 1)], "FIVE"))
        .await
        .expect("a use came back");
    let free: (String, String) =
        sqlx::query_as("select discount::text, total::text from orders order by created_at desc limit 1")
            .fetch_one(&db.sql)
            .await
            .unwrap();
    assert_eq!(free, ("5.00".into(), "0.00".into()));
    db.assert_books_balance().await;
}

#[tokio::test]
async fn a_code_holds_for_what_it_names_and_says_when_it_does_not_fit() {
    let db = TestDb::new().await;
    let (portal, myst, doom) = (
        db.game("Portal", "portal", "10.00").await,
        db.game("Myst", "myst", "20.00").await,
        db.game("Doom", "doom", "40.00").await,
    );
    let user = users(&db, 1).await[0];
    db.execute(&format!(
        "insert into genres values ('{0}', 'Puzzle', 'puzzle'); insert into platforms values ('{0}', 'PC', 'pc');
         insert into game_genres values ('{portal}', '{0}'), ('{myst}', '{0}');
         insert into game_platforms values ('{myst}', '{0}'), ('{doom}', '{0}');
         insert into promo_codes (code, discount) values ('GAME', 50), ('GENRE', 50), ('BOTH', 50), ('ALL', 50);
         insert into promo_codes (code, discount, min_order) values ('LARGE', 50, 40);
         insert into promo_codes (code, discount, amount) values ('FIXED', 0, 15);
         insert into promo_code_games select id, '{doom}' from promo_codes where code = 'GAME';
         insert into promo_code_genres select id, '{0}' from promo_codes where code in ('GENRE', 'BOTH', 'FIXED');
         insert into promo_code_platforms select id, '{0}' from promo_codes where code = 'BOTH'",
        Uuid::from_u128(1)
    ))
    .await;
    let all = [(portal, 1), (myst, 1), (doom, 1)];
    let quote =
        async |items: &[(Uuid, i64)], code: &str| orders::quote(&db.store, UserId(user), &order(items, code)).await;
    for (code, lines) in [
        ("GAME", ["0.00", "0.00", "20.00"]),
        ("GENRE", ["5.00", "10.00", "0.00"]),
        ("BOTH", ["0.00", "10.00", "0.00"]),
        ("FIXED", ["5.00", "10.00", "0.00"]),
        ("ALL", ["5.00", "10.00", "20.00"]),
        ("LARGE", ["5.00", "10.00", "20.00"]),
    ] {
        let bill = quote(&all, code).await.unwrap();
        let discounts: Vec<String> = bill.lines.iter().map(|line| line.discount.to_string()).collect();
        assert_eq!(discounts, lines, "{code}");
    }
    let refused = quote(&[(portal, 1)], "GAME").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Invalid promo code: it is not available for these games"
    );
    let refused = place(&db, user, &order(&[(doom, 1)], "BOTH")).await.unwrap_err();
    assert!(matches!(refused, PlaceError::PromoNotHere), "{refused}");
    let refused = place(&db, user, &order(&[(portal, 3)], "LARGE")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Invalid promo code: it needs an order of at least 40.00 EUR"
    );
    place(&db, user, &order(&[(portal, 4)], "LARGE"))
        .await
        .expect("exactly as much");
    // What the code does not hold for is not sold below cost by it.
    db.at_g2a(doom, "p1").await;
    db.execute("update games set supplier_price = 39.5, in_stock = true where slug = 'doom'")
        .await;
    let protected = |items: &[(Uuid, i64)], code| order(items, code).not_below_cost(2.into());
    assert!(
        orders::quote(&db.store, UserId(user), &protected(&all, "GENRE"))
            .await
            .is_ok()
    );
    let below = orders::quote(&db.store, UserId(user), &protected(&all, "ALL")).await;
    assert!(
        matches!(&below, Err(PlaceError::PromoBelowCost { title }) if title == "Doom"),
        "{below:?}"
    );
}

/// Customers' uses from before the database counted them.
#[tokio::test]
async fn uses_from_before_are_counted_once_however_often_the_migration_runs() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute("insert into promo_codes (code, discount) values ('OLD', 10), ('NEW', 10)")
        .await;
    let users = users(&db, 2).await;
    for (user, code) in [(0, "OLD"), (0, "OLD"), (1, "OLD"), (1, "NEW")] {
        place(&db, users[user], &order(&[(game, 1)], code)).await.unwrap();
    }
    db.execute(
        "delete from promo_code_customers where user_id = (select user_id from orders order by created_at limit 1)",
    )
    .await;
    for _ in 0..2 {
        db.execute(include_str!("../../migrations/0304_promo_uses_before.sql"))
            .await;
        assert_eq!(uses(&db, "OLD").await, (3, 3));
        assert_eq!(uses(&db, "NEW").await, (1, 1));
    }
}

/// 200 orders of 20 customers want a code at the same time that has 50 uses, at most three of each customer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_uses_of_one_code_are_exact() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute(
        "insert into promo_codes (code, discount, amount, max_uses, max_per_customer) values ('RUSH', 0, 3.33, 50, 3)",
    )
    .await;
    let users = users(&db, 20).await;
    let wanted = order(&[(game, 1)], "RUSH");
    let orders = (0..200).map(|n| place(&db, users[n % 20], &wanted));
    let results = futures::future::join_all(orders).await;
    let (placed, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((placed.len(), uses(&db, "RUSH").await), (50, (50, 50)));
    assert!(
        refused
            .iter()
            .all(|r| matches!(r, Err(PlaceError::PromoCode(PromoFault::UsedUp)))),
        "{refused:?}"
    );
    let most: i64 = sqlx::query_scalar("select max(n) from (select count(*) n from orders group by user_id) o")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert!(most <= 3, "{most} of one customer");
    db.assert_books_balance().await;
}

/// Ten orders of a new customer want a code for the first order at the same time, and a second customer has ordered before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_for_the_first_order_is_used_for_one() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    db.execute("insert into promo_codes (code, discount, first_order_only) values ('WELCOME', 20, true)")
        .await;
    let users = users(&db, 2).await;
    let wanted = order(&[(game, 1)], "WELCOME");
    let results = futures::future::join_all((0..10).map(|_| place(&db, users[0], &wanted))).await;
    let (placed, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((placed.len(), uses(&db, "WELCOME").await), (1, (1, 1)));
    assert!(
        refused.iter().all(|r| matches!(r, Err(PlaceError::PromoFirstOrder))),
        "{refused:?}"
    );
    // An order of which all money went back does not count.
    let before = db.order(users[1], game, 1).await;
    assert!(matches!(
        place(&db, users[1], &wanted).await,
        Err(PlaceError::PromoFirstOrder)
    ));
    db.execute(&format!(
        "update order_units set state = 'REFUNDED' where order_id = '{id}';
         insert into transactions (user_id, order_id, type, amount, status) values ('{user}', '{id}', 'REFUND', 10, 'COMPLETED');
         update users set balance = balance + 10 where id = '{user}';
         update orders set status = 'CANCELLED', payment_status = 'CANCELLED' where id = '{id}'",
        id = before.id,
        user = users[1]
    ))
    .await;
    place(&db, users[1], &wanted)
        .await
        .expect("the first order that counts");
    db.assert_books_balance().await;
}
