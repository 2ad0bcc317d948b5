//! Faulty keys: replaced by own stock, else by a key that is bought within a budget; never refunded by the saga.

use futures::future::join_all;
use lockstep_domain::ids::{KeyId, OrderId, UserId};
use lockstep_fulfilment::Fulfilment;
use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule};
use lockstep_store::accounts;
use lockstep_store::audit::By;
use lockstep_store::doctor::broken_invariants;
use lockstep_store::fulfilment::{
    self as records, EmailSettings, NotRefundable, ReplaceError, Replaced, ReplacementBudget, ReplacementWay,
};
use lockstep_store::orders::{GoodwillError, refund};
use lockstep_testkit::OrderRow;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::support::{PRODUCT, Shop, eur, order_id, unit_id};

fn budget(a_day: &str) -> ReplacementBudget {
    ReplacementBudget {
        a_day: eur(a_day),
        allowed_loss: eur("0"),
    }
}

async fn replace_within(shop: &Shop, key: Uuid, a_day: &str) -> Result<Replaced, ReplaceError> {
    let by = By::Operator("test".to_owned());
    let emails = EmailSettings::default();
    records::replace(&shop.db.store, &by, KeyId(key), "it is used", budget(a_day), &emails).await
}

async fn replace(shop: &Shop, key: Uuid) -> Result<Replaced, ReplaceError> {
    replace_within(shop, key, "50.00").await
}

/// The key that a unit has.
async fn key_of(shop: &Shop, order: &OrderRow, index: usize) -> Option<Uuid> {
    sqlx::query_scalar("select id from game_keys where order_unit_id = $1")
        .bind(order.units[index])
        .fetch_optional(&shop.db.sql)
        .await
        .unwrap()
}

/// A delivered order of one copy, and its key.
async fn delivered(shop: &Shop, worker: &Fulfilment) -> (OrderRow, Uuid) {
    let order = shop.order(1).await;
    shop.settle(worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let key = key_of(shop, &order, 0).await.unwrap();
    (order, key)
}

/// The books, the ledger, and the key figures.
async fn check(shop: &Shop) {
    shop.check_books().await;
    assert_eq!(broken_invariants(&shop.db.store).await.unwrap(), []);
}

/// The refund that staff make of a delivered order, as goodwill.
async fn goodwill(shop: &Shop, order: &OrderRow, amount: Option<&str>) -> Result<(), GoodwillError> {
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where order_id = $1 and type = 'PURCHASE'")
        .bind(order.id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let admin = shop.db.user(&format!("{}@example.org", Uuid::new_v4()), "0").await;
    shop.execute(&format!("update users set role = 'ADMIN' where id = '{admin}'"))
        .await;
    let amount = amount.map(eur);
    refund(&shop.db.store, (UserId(admin), true), purchase, amount, None, None)
        .await
        .map(drop)
}

async fn cost(shop: &Shop) -> (Decimal, i64) {
    sqlx::query_as("select sum(cost), sum(delivered)::bigint from sales_sums where at = '-infinity'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_key_of_own_stock_replaces_a_faulty_one_before_any_is_bought() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    let own = shop.db.key(shop.game).await;
    assert_eq!(replace(&shop, faulty).await.unwrap(), Replaced::Own(KeyId(own)));
    shop.settle(&worker).await;
    assert_eq!(key_of(&shop, &order, 0).await, Some(own));
    assert_eq!(shop.g2a.ledger().orders.len(), 1, "only the sale was bought");
    check(&shop).await;
}

#[tokio::test]
async fn another_key_is_bought_in_place_of_a_faulty_one() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    let told = shop.db.count("mail_outbox where kind = 'keys-ready'").await;
    assert_eq!(replace(&shop, faulty).await.unwrap(), Replaced::Buying);
    assert_eq!(shop.states().await, ["NEW"]);
    assert_eq!(shop.status(&order).await, "COMPLETED", "a status never goes back");
    assert_eq!(key_of(&shop, &order, 0).await, None);
    assert_eq!(
        cost(&shop).await,
        ("10.00".parse().unwrap(), 0),
        "not delivered meanwhile"
    );
    check(&shop).await;

    shop.settle(&worker).await;
    assert_eq!(
        (shop.states().await, shop.status(&order).await),
        (vec!["DONE".to_owned()], "COMPLETED".to_owned())
    );
    let new = key_of(&shop, &order, 0).await.unwrap();
    assert_ne!(new, faulty);
    assert_eq!(
        shop.db
            .count("game_keys where faulty_at is not null and activated")
            .await,
        1
    );
    assert_eq!(shop.db.count("order_units where faulty_key_id is not null").await, 0);
    assert_eq!(shop.db.count("mail_outbox where kind = 'keys-ready'").await, told + 1);
    assert_eq!(
        cost(&shop).await,
        ("20.00".parse().unwrap(), 1),
        "both purchases, one copy"
    );
    let ledger = shop.g2a.ledger();
    assert_eq!(ledger.orders.iter().filter(|order| order.paid_times == 1).count(), 2);
    assert_eq!(shop.db.count("g2a_orders where given_up_at is not null").await, 0);
    assert!(matches!(replace(&shop, faulty).await, Err(ReplaceError::Replaced)));
    check(&shop).await;
}

#[tokio::test]
async fn a_unit_whose_key_cannot_be_bought_again_keeps_it_and_staff_are_told() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    let bought_as: Option<String> = sqlx::query_scalar("select g2a_order_id from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    shop.g2a.set_stock(PRODUCT, 0);
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_eq!(
        (shop.states().await, shop.status(&order).await),
        (vec!["DONE".to_owned()], "COMPLETED".to_owned())
    );
    assert_eq!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(
        shop.db
            .count("game_keys where faulty_at is null and not activated")
            .await,
        1,
        "as it was"
    );
    let now: Option<String> = sqlx::query_scalar("select g2a_order_id from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(now, bought_as);
    assert_eq!(shop.incidents().await, ["REPLACEMENT_FAILED"]);
    assert_eq!(shop.balance().await, eur("89.80"), "staff refund it, the saga does not");
    check(&shop).await;

    // Staff try again, in vain: the incident is open again. Then it works, and closes it.
    shop.execute("update incidents set resolved_at = now()").await;
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_eq!(shop.db.count("incidents where resolved_at is null").await, 1);
    shop.g2a.set_stock(PRODUCT, 5);
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_ne!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(shop.db.count("incidents where resolved_at is null").await, 0);
    check(&shop).await;
}

#[tokio::test]
async fn a_key_that_is_used_stays_used_when_it_comes_back() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (_, faulty) = delivered(&shop, &worker).await;
    shop.execute("update game_keys set activated = true, activation_date = '2026-01-02'")
        .await;
    shop.g2a.set_stock(PRODUCT, 0);
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_eq!(
        shop.db
            .count("game_keys where activated and activation_date = '2026-01-02'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_replacement_above_the_max_cost_is_not_bought() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    shop.g2a
        .set_price(PRODUCT, "11.00".parse().unwrap(), "11.00".parse().unwrap());
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_eq!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(shop.db.count("g2a_orders where paid_at is not null").await, 1);
    assert_eq!(shop.db.count("incidents where kind = 'REPLACEMENT_FAILED'").await, 1);
    check(&shop).await;
}

#[tokio::test]
async fn a_replacement_that_is_lost_is_not_bought_again_and_counts_in_the_budget() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::DropAfter));
    replace(&shop, faulty).await.unwrap();
    shop.settle(&worker).await;
    assert_eq!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(shop.incidents().await, ["KEY_LOST", "REPLACEMENT_FAILED"]);
    assert_eq!(shop.g2a.ledger().orders.len(), 2, "the sale, and one more");
    assert!(matches!(
        replace_within(&shop, faulty, "20.19").await,
        Err(ReplaceError::BudgetSpent)
    ));
    assert_eq!(replace_within(&shop, faulty, "20.20").await.unwrap(), Replaced::Buying);
    shop.settle(&worker).await;
    assert_ne!(key_of(&shop, &order, 0).await, Some(faulty));
    check(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_staff_at_once_one_has_a_key_replaced() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    let answers = join_all((0..8).map(|_| replace(&shop, faulty))).await;
    let begun = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Replaced::Buying)))
        .count();
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Err(ReplaceError::Buying)))
        .count();
    assert_eq!((begun, refused), (1, 7), "{answers:?}");
    shop.settle(&worker).await;
    assert_eq!(shop.g2a.ledger().orders.len(), 2);
    assert_ne!(key_of(&shop, &order, 0).await, Some(faulty));
    check(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_replacements_at_once_stay_within_the_budget() {
    let shop = Shop::open().await;
    shop.g2a.set_stock(PRODUCT, 100);
    let worker = shop.worker();
    let mut orders = Vec::new();
    for n in 0..12 {
        let user = shop.db.user(&format!("buyer-{n}@example.org"), "50.00").await;
        orders.push(shop.db.order(user, shop.game, 1).await);
    }
    shop.settle(&worker).await;
    let mut keys = Vec::new();
    for order in &orders {
        keys.push(key_of(&shop, order, 0).await.unwrap());
    }
    // Each may cost 10.20.
    let answers = join_all(keys.iter().map(|key| replace(&shop, *key))).await;
    let begun = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Replaced::Buying)))
        .count();
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Err(ReplaceError::BudgetSpent)))
        .count();
    assert_eq!((begun, refused), (4, 8), "{answers:?}");
    shop.settle(&worker).await;
    assert_eq!(shop.g2a.ledger().orders.len(), 16);
    // Each has cost 10.00: one more fits into 50.20, and none into 50.19.
    let left: Vec<Uuid> = (keys.iter().zip(&answers))
        .filter(|(_, answer)| answer.is_err())
        .map(|(key, _)| *key)
        .collect();
    let refused = replace_within(&shop, left[0], "50.19").await;
    assert!(matches!(refused, Err(ReplaceError::BudgetSpent)), "{refused:?}");
    assert_eq!(replace_within(&shop, left[0], "50.20").await.unwrap(), Replaced::Buying);
    shop.settle(&worker).await;
    // What was paid a day ago no longer counts.
    shop.execute("update g2a_orders set paid_at = paid_at - interval '25 hours'")
        .await;
    let answers = join_all(left[1..].iter().map(|key| replace(&shop, *key))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4, "{answers:?}");
    shop.settle(&worker).await;
    shop.check_books().await;
}

#[tokio::test]
async fn without_a_budget_or_an_offer_of_g2a_nothing_is_bought() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (_, faulty) = delivered(&shop, &worker).await;
    let way = async |a_day: &'static str| {
        let read = shop
            .db
            .store
            .read(|tx| Box::pin(async move { records::replacement_way(tx, KeyId(faulty), budget(a_day)).await }));
        read.await.unwrap().value
    };
    assert!(matches!(
        replace_within(&shop, faulty, "0").await,
        Err(ReplaceError::NoStock)
    ));
    assert_eq!(way("0").await, ReplacementWay::None);
    assert_eq!(
        way("50.00").await,
        ReplacementWay::Bought {
            max_cost: eur("10.20"),
            left: eur("50.00")
        }
    );
    shop.execute("update games set withdrawn_at = now(), in_stock = false, g2a_stock = false")
        .await;
    assert!(matches!(replace(&shop, faulty).await, Err(ReplaceError::NoStock)));
    assert_eq!(way("50.00").await, ReplacementWay::None);
    shop.execute("update games set withdrawn_at = null").await;
    shop.db.key(shop.game).await;
    assert_eq!(way("0").await, ReplacementWay::Own);
    assert_eq!(shop.states().await, ["DONE"]);
}

#[tokio::test]
async fn three_replacements_are_bought_for_a_copy_at_most() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, mut faulty) = delivered(&shop, &worker).await;
    for _ in 0..3 {
        assert_eq!(replace(&shop, faulty).await.unwrap(), Replaced::Buying);
        shop.settle(&worker).await;
        faulty = key_of(&shop, &order, 0).await.unwrap();
    }
    assert!(matches!(replace(&shop, faulty).await, Err(ReplaceError::BoughtOften)));
    let own = shop.db.key(shop.game).await;
    assert_eq!(replace(&shop, faulty).await.unwrap(), Replaced::Own(KeyId(own)));
    assert_eq!(shop.g2a.ledger().orders.len(), 4);
    check(&shop).await;
}

/// The other copy is refunded. This one was delivered, so it is not cancelled with its order.
#[tokio::test]
async fn cancelling_an_order_leaves_a_replacement_alone() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let order = shop.order(2).await;
    shop.execute("update order_units set not_before = now() + interval '1 hour' where position = 2")
        .await;
    shop.work_until(&worker, async || shop.states().await == ["DONE", "NEW"])
        .await;
    assert_eq!(shop.status(&order).await, "PROCESSING");
    let faulty = key_of(&shop, &order, 0).await.unwrap();
    replace(&shop, faulty).await.unwrap();
    let of = order_id(&order);
    let cancelled = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::cancel_order(tx, of, "asked", &EmailSettings::default()).await })
        })
        .await
        .unwrap();
    assert_eq!(
        (cancelled.refunded, cancelled.kept, cancelled.settled),
        (eur("10.20"), 1, None)
    );
    assert_eq!(shop.states().await, ["NEW", "REFUNDED"]);
    check(&shop).await;
    shop.settle(&worker).await;
    assert_eq!(shop.states().await, ["DONE", "REFUNDED"]);
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_ne!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(
        shop.db.count("mail_outbox where kind = 'keys-ready'").await,
        1,
        "of its new key, once"
    );
    check(&shop).await;
}

#[tokio::test]
async fn staff_end_a_purchase_that_waits_and_the_unit_keeps_its_key() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    replace(&shop, faulty).await.unwrap();
    let unit = unit_id(&order, 0);
    let end = || {
        shop.db.store.tx("test", move |tx| {
            Box::pin(async move { records::refund_unit(tx, unit, "by staff", &EmailSettings::default()).await })
        })
    };
    assert_eq!(end().await.unwrap(), (eur("0"), None));
    assert_eq!(key_of(&shop, &order, 0).await, Some(faulty));
    assert_eq!(shop.incidents().await, ["REPLACEMENT_FAILED"]);
    assert!(matches!(end().await, Err(NotRefundable::Bought)), "it is delivered");
    check(&shop).await;
    // Not when it may be paid.
    replace(&shop, faulty).await.unwrap();
    shop.execute(
        "update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = 'x', g2a_price = 10;
         update order_units set state = 'PAYING'",
    )
    .await;
    assert!(matches!(end().await, Err(NotRefundable::Bought)));
    assert_eq!(shop.states().await, ["PAYING"]);
}

#[tokio::test]
async fn a_copy_is_not_refunded_while_its_key_is_replaced() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    // A part of its price went back before: it stays what it is.
    goodwill(&shop, &order, Some("1.00")).await.unwrap();
    replace(&shop, faulty).await.unwrap();
    let refused = goodwill(&shop, &order, None).await;
    assert!(matches!(refused, Err(GoodwillError::BeingReplaced)), "{refused:?}");
    check(&shop).await;
    shop.settle(&worker).await;
    check(&shop).await;
    goodwill(&shop, &order, None).await.unwrap();
    assert_eq!(shop.balance().await, eur("100.00"));
    let key = key_of(&shop, &order, 0).await.unwrap();
    assert!(matches!(replace(&shop, key).await, Err(ReplaceError::Refunded)));
    check(&shop).await;
}

#[tokio::test]
async fn an_account_is_not_deleted_while_its_key_is_replaced() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (_, faulty) = delivered(&shop, &worker).await;
    replace(&shop, faulty).await.unwrap();
    let delete = || accounts::delete(&shop.db.store, UserId(shop.user), true);
    assert!(matches!(delete().await, Err(accounts::AccountError::OrdersUnderWay)));
    shop.settle(&worker).await;
    delete().await.unwrap();
}

#[tokio::test]
async fn the_order_shows_a_copy_whose_key_is_replaced() {
    let shop = Shop::open().await;
    let worker = shop.worker();
    let (order, faulty) = delivered(&shop, &worker).await;
    replace(&shop, faulty).await.unwrap();
    let id = OrderId(order.id);
    let read = shop.db.store.read(|tx| Box::pin(lockstep_store::orders::by_id(tx, id)));
    let seen = read.await.unwrap().value.unwrap();
    assert_eq!(serde_json::to_value(seen.copies[0].state).unwrap(), "REPLACING");
    assert!(seen.keys.is_empty());
    let read = shop
        .db
        .store
        .read(|tx| Box::pin(lockstep_store::admin::history::of_order(tx, id)));
    let history = read.await.unwrap().value.unwrap();
    let what: Vec<&str> = history.events.iter().map(|event| event.what.as_str()).collect();
    assert!(what.contains(&"audit.key.buy_replacement"), "{what:?}");
    assert!(
        !what.contains(&"supplier.given_up"),
        "its order at G2A gave a key: {what:?}"
    );
}
