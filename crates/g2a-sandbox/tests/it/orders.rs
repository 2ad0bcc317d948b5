//! The life cycle of an order: reservation, payment, key.

use chrono::{DateTime, Utc};
use lockstep_g2a_sandbox::{AlreadyDownloaded, Config, KeyNotReady, OrderIds, PayTwice, PriceBasis, Statuses};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Desk, empty, euro, refused};

fn stock(desk: &Desk, id: &str) -> u64 {
    desk.control.product(id).unwrap()["qty"].as_u64().unwrap()
}

#[tokio::test]
async fn an_order_is_reserved_paid_and_delivers_its_key() {
    let (desk, id) = Desk::with_one_product().await;
    let wallet = desk.control.wallet();
    let (status, created) = desk
        .create(json!({ "product_id": id, "currency": "EUR", "max_price": 5, "min_rating": 0.5 }))
        .await;
    assert_eq!(status, 200, "{created}");
    assert_eq!((&created["price"], &created["currency"]), (&json!(6.3), &json!("EUR")));
    let order = created["order_id"].as_str().unwrap();
    assert_eq!((order.len(), order.parse::<u64>().is_ok()), (14, true));
    assert_eq!(stock(&desk, &id), 9);
    assert_eq!(desk.control.wallet(), wallet);

    assert_eq!(
        desk.details(order).await.1,
        json!({ "status": "new", "price": 6.3, "currency": "EUR" })
    );
    refused(&desk.key(order).await, 402, "ORD05");

    let (status, paid) = desk.pay(order).await;
    assert_eq!((status.as_u16(), &paid["status"]), (200, &json!(true)), "{paid}");
    assert_eq!(paid["transaction_id"].as_str().unwrap().len(), 36);
    assert_eq!(desk.control.wallet(), wallet.checked_sub(euro("6.30")).unwrap());
    assert_eq!(desk.details(order).await.1["status"], "complete");

    let (status, key) = desk.key(order).await;
    assert_eq!(status, 200, "{key}");
    let text = key["key"].as_str().unwrap();
    let groups: Vec<&str> = text.split('-').collect();
    assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [5, 5, 5]);
    assert_eq!(key["isFile"], false);
    refused(&desk.key(order).await, 404, "ORD04");

    let record = desk.control.ledger().orders.remove(0);
    assert_eq!(
        (record.paid_times, record.pay_calls, record.key_reads, record.key_calls),
        (1, 1, 1, 3)
    );
    assert_eq!(record.key_sha256, Some(hex::encode(Sha256::digest(text))));
}

#[tokio::test]
async fn a_key_can_be_read_again_only_if_reading_is_not_destructive() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.pay(&order).await;
    let first = desk.key(&order).await;
    desk.control
        .change_knobs(|knobs| knobs.already_downloaded = AlreadyDownloaded::Ord004With400);
    refused(&desk.key(&order).await, 400, "ORD004");
    desk.control.change_knobs(|knobs| knobs.destructive_key_read = false);
    assert_eq!(desk.key(&order).await, first);
    assert_eq!(desk.control.ledger().orders[0].key_reads, 2);
}

#[tokio::test]
async fn an_unpaid_order_lapses_and_returns_its_key() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.control.advance_clock(30 * 60 - 60);
    assert_eq!(stock(&desk, &id), 9);
    desk.control.advance_clock(60);
    assert_eq!(stock(&desk, &id), 10);
    refused(&desk.pay(&order).await, 403, "ORD114");
    let ledger = desk.control.ledger();
    assert_eq!((ledger.money_taken, ledger.keys_issued), (euro("0"), 0));
    assert!(ledger.orders[0].lapsed);
}

#[tokio::test]
async fn a_paid_order_does_not_lapse() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    assert_eq!(desk.pay(&order).await.0, 200);
    desk.control.advance_clock(3_600);
    assert_eq!(stock(&desk, &id), 9);
    assert_eq!(desk.key(&order).await.0, 200);
}

#[tokio::test]
async fn the_last_key_is_reserved_once() {
    let (desk, id) = Desk::with_one_product().await;
    assert!(desk.control.set_stock(&id, 1));
    let attempts = std::array::from_fn::<_, 8, _>(|_| desk.create(json!({ "product_id": id })));
    let answers = futures::future::join_all(attempts).await;
    let sold = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(sold, 1);
    assert_eq!(stock(&desk, &id), 0);
}

#[tokio::test]
async fn paying_twice_is_an_error_and_takes_no_money() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.pay(&order).await;
    refused(&desk.pay(&order).await, 400, "ORD110");
    assert_eq!(desk.control.ledger().money_taken, euro("6.30"));
}

#[tokio::test]
async fn paying_twice_can_repeat_the_answer_and_takes_no_money() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.change_knobs(|knobs| knobs.pay_twice = PayTwice::Same);
    let order = desk.order(&id).await;
    let first = desk.pay(&order).await;
    assert_eq!(first.0, 200);
    assert_eq!(desk.pay(&order).await, first);
    let ledger = desk.control.ledger();
    assert_eq!(
        (
            ledger.money_taken,
            ledger.orders[0].pay_calls,
            ledger.orders[0].paid_times
        ),
        (euro("6.30"), 2, 1)
    );
}

#[tokio::test]
async fn charge_and_cap_use_their_configured_prices() {
    let (desk, id) = Desk::with_one_product().await; // listed at 5, retail 6.30
    let cases = [
        (
            PriceBasis::RetailMinPrice,
            PriceBasis::MinPrice,
            "5.50",
            Some(json!(6.3)),
        ),
        (PriceBasis::RetailMinPrice, PriceBasis::RetailMinPrice, "5.50", None),
        (PriceBasis::MinPrice, PriceBasis::RetailMinPrice, "6.30", Some(json!(5))),
        (PriceBasis::MinPrice, PriceBasis::MinPrice, "4.99", None),
        (PriceBasis::MinPrice, PriceBasis::MinPrice, "0", Some(json!(5))),
    ];
    for (charge, cap, max_price, expected) in cases {
        desk.control.change_knobs(|knobs| {
            knobs.charge_basis = charge;
            knobs.cap_basis = cap;
        });
        let max_price: Value = serde_json::from_str(max_price).unwrap();
        let (status, body) = desk.create(json!({ "product_id": id, "max_price": max_price })).await;
        match expected {
            Some(price) => assert_eq!(body["price"], price, "{status}"),
            None => refused(&(status, body), 400, "ORD131"),
        }
    }
}

#[tokio::test]
async fn the_price_may_drift_between_list_and_order() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.change_knobs(|knobs| knobs.create_drift = euro("0.45"));
    assert_eq!(desk.create(json!({ "product_id": id })).await.1["price"], json!(6.75));
    desk.control.change_knobs(|knobs| knobs.create_drift = euro("-100"));
    assert_eq!(desk.create(json!({ "product_id": id })).await.1["price"], json!(0));
}

#[tokio::test]
async fn an_empty_wallet_cannot_pay() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.set_wallet(euro("6.30"));
    let (first, second) = (desk.order(&id).await, desk.order(&id).await);
    assert_eq!(desk.pay(&first).await.0, 200);
    refused(&desk.pay(&second).await, 403, "ORD112");
    desk.control.set_wallet(euro("6.29"));
    refused(&desk.pay(&second).await, 403, "ORD112");
    desk.control.set_wallet(euro("6.30"));
    assert_eq!(desk.pay(&second).await.0, 200);
    assert_eq!(desk.control.wallet(), euro("0"));
}

#[tokio::test]
async fn beyond_the_pay_limit_nothing_is_paid() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.change_knobs(|knobs| knobs.pay_limit = Some(euro("12.59")));
    let (first, second) = (desk.order(&id).await, desk.order(&id).await);
    assert_eq!(desk.pay(&first).await.0, 200);
    refused(&desk.pay(&second).await, 403, "ORD121");
    desk.control.change_knobs(|knobs| knobs.pay_limit = Some(euro("12.60")));
    assert_eq!(desk.pay(&second).await.0, 200);
}

#[tokio::test]
async fn an_unready_key_is_refused_with_the_configured_error() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.change_knobs(|knobs| knobs.key_delay_seconds = 90);
    let order = desk.order(&id).await;
    desk.pay(&order).await;
    for (knob, status, code) in [
        (KeyNotReady::Ord03, 403, "ORD03"),
        (KeyNotReady::Ord05, 402, "ORD05"),
        (KeyNotReady::Ord06, 400, "ORD06"),
    ] {
        desk.control.change_knobs(|knobs| knobs.key_not_ready = knob);
        refused(&desk.key(&order).await, status, code);
    }
    assert_eq!(desk.details(&order).await.1["status"], "pending");
    desk.control.advance_clock(90);
    assert_eq!(desk.details(&order).await.1["status"], "complete");
    assert_eq!(desk.key(&order).await.0, 200);
}

#[tokio::test]
async fn status_names_are_configurable() {
    let (desk, id) = Desk::with_one_product().await;
    let words = Statuses {
        created: "awaiting".into(),
        ready: "done".into(),
        ..Statuses::default()
    };
    desk.control.change_knobs(|knobs| knobs.statuses = words);
    let order = desk.order(&id).await;
    assert_eq!(desk.details(&order).await.1["status"], "awaiting");
    desk.pay(&order).await;
    assert_eq!(desk.details(&order).await.1["status"], "done");
}

#[tokio::test]
async fn order_ids_are_unique_unless_they_are_seconds() {
    let (desk, id) = Desk::with_one_product().await;
    let (first, second) = (desk.order(&id).await, desk.order(&id).await);
    assert!(first < second);
    let began: DateTime<Utc> = "2025-03-04T05:06:07Z".parse().unwrap();
    let desk = Desk::open(Config {
        start_at: Some(began),
        ..empty()
    })
    .await;
    let id = desk.add(json!({ "qty": 1_000, "minPrice": 1, "retail_min_price": 1 }));
    desk.control
        .change_knobs(|knobs| knobs.order_ids = OrderIds::EpochSeconds);
    let mut order = desk.order(&id).await;
    for _ in 0..100 {
        // The second of the sandbox's clock, which has run on from its start time.
        let second: i64 = order.parse().unwrap();
        assert!((began.timestamp()..=desk.control.clock().now.timestamp()).contains(&second));
        let next = desk.order(&id).await;
        if next == order {
            assert_eq!(desk.pay(&order).await.0, 200);
            let ledger = desk.control.ledger();
            let same: Vec<u32> = ledger
                .orders
                .iter()
                .filter(|made| made.order_id == order)
                .map(|made| made.paid_times)
                .collect();
            // The shared id refers to the later one.
            assert_eq!(same, [0, 1]);
            return;
        }
        order = next;
    }
    panic!("no two orders were made within one second");
}

#[tokio::test]
async fn a_silent_refund_returns_the_money_and_keeps_the_key() {
    let (desk, id) = Desk::with_one_product().await;
    let wallet = desk.control.wallet();
    desk.control
        .change_knobs(|knobs| knobs.silent_refund_after_seconds = Some(60));
    let (read, unread) = (desk.order(&id).await, desk.order(&id).await);
    desk.pay(&read).await;
    desk.pay(&unread).await;
    assert_eq!(desk.key(&read).await.0, 200);
    desk.control.advance_clock(61);
    assert_eq!(desk.details(&read).await.1["status"], "complete");
    assert_eq!(desk.details(&unread).await.1["status"], "refunded");
    refused(&desk.key(&unread).await, 400, "ORD06");
    let ledger = desk.control.ledger();
    assert_eq!(
        (ledger.money_taken, ledger.money_refunded),
        (euro("12.60"), euro("6.30"))
    );
    assert_eq!(ledger.wallet, wallet.checked_sub(euro("6.30")).unwrap());
}

#[tokio::test]
async fn some_products_have_file_keys() {
    let desk = Desk::open(empty()).await;
    let id = desk.add(json!({ "qty": 1, "minPrice": 1, "isFile": true }));
    let order = desk.order(&id).await;
    desk.pay(&order).await;
    let (_, key) = desk.key(&order).await;
    assert_eq!(key["isFile"], true);
    assert!(key["key"].as_str().unwrap().len() > 20);
}
