//! What a user gets when G2A works, and when it has nothing to sell.

use std::time::{Duration, Instant};

use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_store::fulfilment::keys::{self, How};
use lockstep_store::fulfilment::{self as records, EmailSettings};
use lockstep_store::orders::{self, Placed, reveal};
use tokio_util::sync::CancellationToken;

use crate::support::{PRODUCT, Shop, eur, order_id, product};

#[tokio::test]
async fn three_units_take_three_payments_and_yield_three_keys() {
    let shop = Shop::open().await;
    let order = shop.order(3).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.states().await, ["DONE", "DONE", "DONE"]);
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let ledger = shop.check_books().await;
    assert_eq!((ledger.orders.len(), ledger.keys_delivered), (3, 3));
    assert!(
        ledger
            .orders
            .iter()
            .all(|order| order.key_calls == 1 && order.pay_calls == 1)
    );
    assert_eq!(shop.balance().await, eur("69.40"));
    assert_eq!(shop.queued_emails().await, ["keys-ready"]);
    let external: Option<String> = sqlx::query_scalar("select external_order_id from orders")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(
        ledger
            .orders
            .iter()
            .any(|order| Some(&order.order_id) == external.as_ref())
    );
    let (waiting, aside) = lockstep_fulfilment::Spool::count(&shop.folder.path().join("spool")).unwrap();
    assert_eq!((waiting, aside), (0, 0), "nothing is left in the spool");
}

#[tokio::test]
async fn worker_wakes_on_a_new_order_and_stops_on_request() {
    let mut shop = Shop::open().await;
    shop.settings.poll = Duration::from_secs(2);
    let worker = shop.worker();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    shop.order(2).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while shop.states().await != ["DONE", "DONE"] {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
    shop.check_books().await;
}

#[tokio::test]
async fn own_stock_is_sold_before_buying() {
    let shop = Shop::open().await;
    shop.db.key(shop.game).await;
    let order = shop.order(2).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.g2a.ledger().orders.len(), 1, "one of the two was bought");
    shop.check_books().await;
}

#[tokio::test]
async fn sold_out_units_are_refunded_and_the_game_marked_out_of_stock() {
    let shop = Shop::open().await;
    shop.g2a.set_stock(PRODUCT, 1);
    let order = shop.order(3).await;
    shop.settle(&shop.worker()).await;
    let mut states = shop.states().await;
    states.sort_unstable();
    assert_eq!(states, ["DONE", "REFUNDED", "REFUNDED"]);
    assert_eq!(
        shop.status(&order).await,
        "COMPLETED",
        "partly delivered, with its refund"
    );
    assert_eq!(shop.balance().await, eur("89.80"));
    assert_eq!(shop.queued_emails().await, ["keys-ready", "refund"]);
    assert_eq!(shop.reasons().await, ["SOLD_OUT", "SOLD_OUT"]);
    let in_stock: bool = sqlx::query_scalar("select in_stock from games")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(!in_stock);
    shop.check_books().await;
}

#[tokio::test]
async fn undeliverable_orders_fail_and_are_refunded_in_full() {
    let shop = Shop::open().await;
    shop.g2a.set_stock(PRODUCT, 0);
    let order = shop.order(2).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "FAILED");
    assert_eq!(shop.balance().await, eur("100.00"));
    assert_eq!(shop.check_books().await.money_taken, eur("0"));
}

#[tokio::test]
async fn orders_above_the_maximum_cost_are_not_paid_and_the_price_corrected() {
    let shop = Shop::open().await;
    // The listed price is below the shop's price; G2A charges the higher retail price.
    shop.g2a
        .change_knobs(|knobs| knobs.charge_basis = lockstep_g2a_sandbox::PriceBasis::RetailMinPrice);
    shop.g2a.add_product(product(PRODUCT, 10, "10.00", "10.21"));
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "FAILED");
    assert_eq!(shop.balance().await, eur("100.00"));
    assert_eq!(shop.check_books().await.money_taken, eur("0"));
    assert_eq!(shop.reasons().await, ["TOO_DEAR"]);
    assert!(shop.incidents().await.contains(&"ABOVE_PRICE".to_owned()));
    let (price, remembered): (String, Option<String>) =
        sqlx::query_as("select price::text, g2a_asked_price::text from games")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(price, "10.41", "10.21 and two percent");
    assert_eq!(remembered.as_deref(), Some("10.41"), "for the synchronisation");
}

#[tokio::test]
async fn a_game_whose_price_staff_set_below_cost_is_refunded_once_and_then_off_sale() {
    for charged_at_order in [true, false] {
        let shop = Shop::open().await;
        shop.execute("update games set fields_by_hand = '{price}', g2a_price = price")
            .await;
        if charged_at_order {
            shop.g2a
                .change_knobs(|knobs| knobs.charge_basis = lockstep_g2a_sandbox::PriceBasis::RetailMinPrice);
            shop.g2a.add_product(product(PRODUCT, 10, "10.00", "10.21"));
        } else {
            shop.g2a.add_product(product(PRODUCT, 10, "10.21", "10.21"));
        }
        let order = shop.order(1).await;
        shop.settle(&shop.worker()).await;
        assert_eq!(shop.status(&order).await, "FAILED");
        assert_eq!(shop.balance().await, eur("100.00"));
        let game: (String, Option<String>, bool, i16) =
            sqlx::query_as("select price::text, g2a_price::text, in_stock, g2a_depth from games")
                .fetch_one(&shop.db.sql)
                .await
                .unwrap();
        assert_eq!(
            game,
            ("10.20".into(), Some("10.41".into()), false, 0),
            "no second buyer"
        );
        let told: Vec<String> = sqlx::query_scalar("select detail from incidents where kind = 'ABOVE_PRICE'")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
        let says = |detail: &String| detail.contains("off sale until the price is at least 10.41 EUR");
        assert!(!told.is_empty() && told.iter().all(says), "{told:?}");
        shop.check_books().await;
    }
}

#[tokio::test]
async fn allowed_loss_is_exact_to_the_cent() {
    for (allowed, status) in [("0.01", "COMPLETED"), ("0.00", "FAILED")] {
        let mut shop = Shop::open().await;
        shop.settings.allowed_loss = eur(allowed);
        shop.g2a
            .change_knobs(|knobs| knobs.charge_basis = lockstep_g2a_sandbox::PriceBasis::RetailMinPrice);
        shop.g2a.add_product(product(PRODUCT, 10, "10.00", "10.21"));
        let order = shop.order(1).await;
        shop.settle(&shop.worker()).await;
        assert_eq!(shop.status(&order).await, status, "{allowed}");
        shop.check_books().await;
    }
}

#[tokio::test]
async fn preorders_are_delivered_on_their_release_date() {
    let shop = Shop::open().await;
    shop.execute("update games set release_date = now() + interval '20 days', is_preorder = true")
        .await;
    let order = shop.order(1).await;
    shop.worker().drain().await.unwrap();
    assert_eq!(shop.states().await, ["NEW"]);
    assert_eq!(shop.g2a.ledger().orders.len(), 0, "nothing is bought before the day");
    shop.execute("update games set release_date = now() + interval '10 ms', is_preorder = false; update order_units set not_before = now()")
        .await;
    shop.execute("select pg_sleep(0.02)").await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}

#[tokio::test]
async fn keys_beside_a_preorder_are_emailed_at_once() {
    let shop = Shop::open().await;
    let later = shop.db.game("Portal 3", "portal-3", "20.00").await;
    shop.g2a.add_product(product("10000000000077", 10, "19.00", "19.00"));
    shop.db.at_g2a(later, "10000000000077").await;
    shop.execute(
        "update games set release_date = now() + interval '20 days', is_preorder = true where slug = 'portal-3'",
    )
    .await;
    let wanted = [(GameId(shop.game), 2), (GameId(later), 1)];
    let checkout = Checkout::new(wanted, None, None, OrderLimits::default()).unwrap();
    let placed = orders::place(&shop.db.store, UserId(shop.user), &checkout, None).await;
    assert!(matches!(placed, Ok(Placed::Now(_))), "{placed:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while shop.db.count("order_units where state = 'DONE'").await < 2 {
        shop.worker().drain().await.unwrap();
        assert!(Instant::now() < deadline, "{:?}", shop.units().await);
    }
    assert_eq!(letters_of_keys(&shop).await, [2], "once both copies are there");
    shop.execute(
        "update games set release_date = now() - interval '1 s', is_preorder = false; update order_units set not_before = now() where state = 'NEW'",
    )
    .await;
    shop.settle(&shop.worker()).await;
    assert_eq!(letters_of_keys(&shop).await, [2, 1], "each copy is told of once");
    shop.check_books().await;
}

/// The number of units in each e-mail about keys, in the order in which they were queued.
async fn letters_of_keys(shop: &Shop) -> Vec<usize> {
    let emails = shop.db.queued_emails("keys-ready").await;
    emails
        .iter()
        .map(|letter| letter["copies"].as_array().unwrap().len())
        .collect()
}

#[tokio::test]
async fn unavailable_preorders_are_refunded_after_the_waiting_period() {
    let shop = Shop::open().await;
    shop.g2a.set_stock(PRODUCT, 0);
    shop.execute("update games set release_date = now() + interval '20 days'")
        .await;
    let order = shop.order(1).await;
    let days_after = |days: i32| {
        format!(
            "update orders set created_at = now() - interval '40 days'; update games set release_date = now() - interval '{days} days'; update order_units set not_before = now()"
        )
    };
    shop.execute(&days_after(6)).await;
    shop.worker().drain().await.unwrap();
    assert_eq!(shop.states().await, ["NEW"], "it is still waited for");
    shop.execute(&days_after(8)).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "FAILED");
    assert_eq!(shop.balance().await, eur("100.00"));
    shop.check_books().await;
}

#[tokio::test]
async fn keys_are_shown_only_to_their_owner_and_reveals_are_logged() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    let stranger = shop.db.user("eve@example.org", "0").await;
    let (of, owner) = (order_id(&order), UserId(shop.user));
    let stranger = UserId(stranger);
    let store = &shop.db.store;
    assert!(reveal(store, stranger, of, None, How::Page).await.unwrap().is_empty());
    let mine = reveal(store, owner, of, None, How::Page).await.unwrap();
    assert_eq!(mine.len(), 1);
    let id = mine[0].id;
    store
        .tx("test", move |tx| {
            Box::pin(async move {
                assert!(keys::set_activated(tx, id, owner, true).await?);
                assert!(!keys::set_activated(tx, id, stranger, false).await?);
                let hash = crate::support::keys().hash(keys::HASH, &[b"no such key"]);
                assert_eq!(keys::find(tx, &[hash]).await?, None);
                Ok::<_, lockstep_store::StoreError>(())
            })
        })
        .await
        .unwrap();
    assert_eq!(shop.db.count("key_reveals").await, 1);
    assert_eq!(shop.db.count("game_keys where activated").await, 1);
    let text = shop.key_texts().await.remove(0);
    let hash = crate::support::keys().hash(keys::HASH, &[text.as_bytes()]);
    let found = shop
        .db
        .store
        .read(move |tx| Box::pin(async move { keys::find(tx, &[hash]).await }))
        .await
        .unwrap();
    assert_eq!(found.value, Some(id));
}

#[tokio::test]
async fn emails_contain_keys_only_when_configured() {
    for wanted in [false, true] {
        let mut shop = Shop::open().await;
        shop.settings.keys_in_emails = wanted;
        shop.order(1).await;
        shop.settle(&shop.worker()).await;
        let text = shop.db.queued_email("keys-ready").await.to_string();
        let key = shop.key_texts().await.remove(0);
        assert_eq!(text.contains(&key), wanted);
        let stored: String = sqlx::query_scalar("select string_agg(m::text, '') from mail_outbox m")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
        assert!(!stored.contains(&key), "not in clear where it waits");
        assert_eq!(shop.db.count("key_reveals where how = 'MAIL'").await, i64::from(wanted));
    }
}

#[tokio::test]
async fn cancelling_refunds_units_that_are_not_bought() {
    let shop = Shop::open().await;
    let order = shop.order(2).await;
    let of = order_id(&order);
    let cancelled = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::cancel_order(tx, of, "asked", &EmailSettings::default()).await })
        })
        .await
        .unwrap();
    assert_eq!((cancelled.refunded, cancelled.kept), (eur("20.40"), 0));
    assert_eq!(cancelled.settled.unwrap().status, OrderStatus::Cancelled);
    assert_eq!(shop.balance().await, eur("100.00"));
    assert_eq!(shop.reasons().await, ["CANCELLED", "CANCELLED"]);
    assert_eq!(shop.worker().drain().await.unwrap(), 0);
    let again = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::cancel_order(tx, of, "asked", &EmailSettings::default()).await })
        })
        .await;
    assert!(matches!(again, Err(records::NotRefundable::Refunded)), "{again:?}");
    shop.check_books().await;
}

/// Reports fraud with a payment of the shop's buyer.
const REPORTED: &str = "insert into top_ups (id, user_id, amount, method, provider) select gen_random_uuid(), user_id, 1, 'card', 'stripe' from orders;
    insert into payment_incidents (kind, reference, top_up_id, user_id, detail) select 'FRAUD_WARNING', 'issfr_1', id, user_id, 'reported' from top_ups";

#[tokio::test]
async fn waiting_for_a_held_buyer_is_no_failed_attempt() {
    let shop = Shop::open().await;
    shop.order(1).await;
    shop.execute(REPORTED).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || {
        shop.db.count("order_units where epoch > 3").await == 1
    })
    .await;
    assert_eq!(
        shop.db.count("order_units where attempts = 0 and state = 'NEW'").await,
        1
    );
    assert!(shop.units().await[0].1.as_deref().unwrap().contains("disputed"));
}

#[tokio::test]
async fn a_paid_copy_of_a_held_buyer_is_not_fetched_though_its_order_is_cancelled() {
    let shop = Shop::open().await;
    shop.order(1).await;
    shop.execute(REPORTED).await;
    shop.execute(
        "set session_replication_role = replica;
         update orders set cancel_asked_at = now(), status = 'PROCESSING';
         update order_units set state = 'PAID', g2a_order_id = 'o-1', g2a_price = 5, ordered_at = now(), pay_asked_at = now();
         set session_replication_role = origin",
    )
    .await;
    let worker = shop.worker();
    shop.work_until(&worker, async || {
        shop.db.count("order_units where epoch > 2").await == 1
    })
    .await;
    assert_eq!(shop.states().await, ["PAID"]);
}
