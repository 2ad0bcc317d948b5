//! What a shopper gets when G2A, the wire or we ourselves misbehave.

use std::time::Duration;

use lockstep_g2a_sandbox::{AlreadyDownloaded, CallMatch, Fault, FaultRule, KeyNotReady, OrderIds, PayTwice};

use crate::support::{Shop, eur};

/// Buys one copy under a fault and expects it delivered for one payment.
async fn is_delivered_for_one_payment(shop: &Shop, rule: FaultRule) {
    let said = format!("{rule:?}");
    let before = shop.g2a.ledger();
    shop.g2a.add_fault(rule);
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(
        shop.status(&order).await,
        "COMPLETED",
        "{said}: {:?}",
        shop.units().await
    );
    let ledger = shop.check_books().await;
    assert!(shop.g2a.faults().is_empty(), "{said} was met");
    assert_eq!(
        ledger.money_taken.checked_sub(before.money_taken),
        Some(eur("10.00")),
        "{said}"
    );
}

/// A shop that can sell a hundred copies.
async fn large_shop() -> Shop {
    let shop = Shop::open().await;
    shop.g2a.set_stock(crate::support::PRODUCT, 100);
    shop.execute(
        "insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 900, 'COMPLETED' from users;
                  update users set balance = balance + 900",
    )
    .await;
    shop
}

fn error(status: u16, code: &str) -> Fault {
    Fault::Error {
        status,
        code: code.into(),
        message: String::new(),
    }
}

#[tokio::test]
async fn an_outage_is_not_counted_against_the_product_that_is_refused_after_it() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        shop.g2a
            .add_fault(FaultRule::once(CallMatch::Order, error(500, "ERR99")));
    }
    for _ in 1..shop.settings.refused_tries {
        shop.g2a
            .add_fault(FaultRule::once(CallMatch::Order, error(400, "ORD99")));
    }
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert!(shop.g2a.faults().is_empty(), "all were met");
    assert_eq!(shop.status(&order).await, "COMPLETED", "{:?}", shop.units().await);
    shop.check_books().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_or_spoilt_on_the_way_costs_nobody_anything() {
    let faults = [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::TruncateAt { bytes: 9 },
        Fault::EmptyBody502,
        error(500, "ERR99"),
        Fault::RateLimited { retry_after: None },
        Fault::Nonsense,
        Fault::WrongJson,
        Fault::Duplicate,
    ];
    let shop = large_shop().await;
    for call in [CallMatch::Order, CallMatch::Pay] {
        for fault in &faults {
            is_delivered_for_one_payment(&shop, FaultRule::once(call, fault.clone())).await;
            is_delivered_for_one_payment(&shop, FaultRule::once(call, fault.clone()).processed()).await;
        }
    }
}

#[tokio::test]
async fn a_key_call_that_did_nothing_is_made_again() {
    let shop = large_shop().await;
    for fault in [
        Fault::DropBefore,
        Fault::EmptyBody502,
        error(500, "API00"),
        Fault::RateLimited { retry_after: None },
        error(403, "ORD03"),
        error(402, "ORD05"),
        error(400, "ORD06"),
    ] {
        is_delivered_for_one_payment(&shop, FaultRule::once(CallMatch::Key, fault)).await;
        assert!(shop.incidents().await.is_empty());
    }
}

#[tokio::test]
async fn a_key_lost_on_the_wire_is_flagged_and_bought_again_once() {
    for (fault, spelling) in [
        (Fault::DropAfter, AlreadyDownloaded::Ord04With404),
        (Fault::TruncateAt { bytes: 12 }, AlreadyDownloaded::Ord004With400),
        (Fault::TruncateAt { bytes: 0 }, AlreadyDownloaded::Ord004With400),
    ] {
        let shop = Shop::open().await;
        shop.g2a.change_knobs(|knobs| knobs.already_downloaded = spelling);
        shop.g2a.add_fault(FaultRule::once(CallMatch::Key, fault));
        let order = shop.order(1).await;
        shop.settle(&shop.worker()).await;
        assert_eq!(shop.status(&order).await, "COMPLETED");
        assert!(shop.incidents().await.contains(&"KEY_LOST".to_owned()));
        assert_eq!(shop.check_books().await.money_taken, eur("20.00"), "one replacement");
    }
}

#[tokio::test]
async fn keys_that_are_lost_beyond_the_budget_are_refunded() {
    let shop = Shop::open().await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::DropAfter));
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Key, Fault::DropAfter).after(1));
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "FAILED");
    assert_eq!(shop.balance().await, eur("100.00"));
    assert_eq!(
        shop.incidents().await.iter().filter(|kind| *kind == "KEY_LOST").count(),
        2
    );
    assert_eq!(shop.reasons().await, ["KEY_LOST"]);
    assert_eq!(shop.check_books().await.money_taken, eur("20.00"));
}

#[tokio::test]
async fn a_key_that_is_not_ready_is_waited_for() {
    for not_ready in [KeyNotReady::Ord03, KeyNotReady::Ord05, KeyNotReady::Ord06] {
        let shop = Shop::open().await;
        shop.g2a.change_knobs(|knobs| {
            knobs.key_delay_seconds = 3_600;
            knobs.key_not_ready = not_ready;
        });
        let order = shop.order(1).await;
        let worker = shop.worker();
        shop.work_until(&worker, async || {
            shop.g2a.ledger().orders.iter().any(|order| order.key_calls >= 6)
        })
        .await;
        assert_eq!(shop.states().await, ["PAID"]);
        shop.g2a.advance_clock(3_600);
        shop.settle(&worker).await;
        assert_eq!(shop.status(&order).await, "COMPLETED");
        shop.check_books().await;
    }
}

#[tokio::test]
async fn a_paid_order_that_g2a_takes_back_is_bought_again() {
    let shop = Shop::open().await;
    shop.g2a.change_knobs(|knobs| knobs.key_delay_seconds = 3_600);
    let order = shop.order(1).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || shop.states().await == ["PAID"]).await;
    let id = shop.g2a.ledger().orders[0].order_id.clone();
    assert!(shop.g2a.refund(&id));
    shop.g2a.change_knobs(|knobs| knobs.key_delay_seconds = 0);
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.incidents().await, ["SUPPLIER_CANCELLED"]);
    shop.check_books().await;
}

#[tokio::test]
async fn without_funds_orders_wait_under_an_alarm_and_go_on_when_there_are_some() {
    let shop = Shop::open().await;
    shop.g2a.set_wallet(eur("5.00"));
    let order = shop.order(2).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || {
        shop.db.count("supplier_alarms where kind = 'FUNDS'").await == 1
    })
    .await;
    for _ in 0..5 {
        worker.work_off().await.unwrap();
    }
    assert_eq!(shop.status(&order).await, "PROCESSING", "it has not failed");
    shop.g2a.set_wallet(eur("100.00"));
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.db.count("supplier_alarms").await, 0, "the alarm is over");
    shop.check_books().await;
}

#[tokio::test]
async fn a_refused_account_fails_no_order() {
    let shop = Shop::open().await;
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Order, error(401, "AUTH02")).times(3));
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}

#[tokio::test]
async fn a_reservation_that_ran_out_is_not_paid_and_another_is_made() {
    let shop = Shop::open().await;
    shop.g2a.set_wallet(eur("5.00"));
    let order = shop.order(1).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || shop.states().await == ["ORDERED"])
        .await;
    shop.g2a.advance_clock(31 * 60);
    shop.g2a.set_wallet(eur("100.00"));
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let ledger = shop.check_books().await;
    assert_eq!(
        ledger.orders.iter().filter(|order| order.lapsed).count(),
        1,
        "ORD114 was met, or avoided"
    );
    assert_eq!(ledger.money_taken, eur("10.00"));
}

#[tokio::test]
async fn both_readings_of_a_second_payment_are_survived() {
    for pay_twice in [PayTwice::Error, PayTwice::Same] {
        let shop = Shop::open().await;
        shop.g2a.change_knobs(|knobs| knobs.pay_twice = pay_twice);
        shop.g2a.add_fault(FaultRule::once(CallMatch::Pay, Fault::DropBefore));
        shop.g2a.add_fault(FaultRule::once(CallMatch::Pay, Fault::DropAfter));
        let order = shop.order(1).await;
        shop.settle(&shop.worker()).await;
        assert_eq!(shop.status(&order).await, "COMPLETED");
        assert_eq!(shop.check_books().await.money_taken, eur("10.00"));
    }
}

#[tokio::test]
async fn order_ids_that_meet_within_a_second_do_not_mix_two_copies_up() {
    let shop = Shop::open().await;
    shop.g2a.change_knobs(|knobs| knobs.order_ids = OrderIds::EpochSeconds);
    // Neither is paid for before the second is over: one that was would be unpaid again when the other took its id.
    let late = Fault::Slow { milliseconds: 1_100 };
    shop.g2a.add_fault(FaultRule::once(CallMatch::Order, late).times(2));
    shop.order(2).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.states().await, ["DONE", "DONE"], "{:?}", shop.units().await);
    shop.db.assert_books_balance().await;
    assert_eq!(shop.db.count("game_keys").await, 2);
}

#[tokio::test]
async fn database_connections_that_are_cut_in_the_middle_lose_nothing() {
    let shop = Shop::open().await;
    shop.g2a
        .add_fault(FaultRule::forever(CallMatch::Any, Fault::Slow { milliseconds: 15 }));
    let order = shop.order(4).await;
    let worker = shop.worker();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        shop.db.cut_connections().await;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while lockstep_store::fulfilment::waiting(&shop.db.store)
        .await
        .map_or(1, |load| load.open)
        > 0
    {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.check_books().await.keys_delivered, 4);
}

/// Held by an administrator, say: the keys of one shopper wait in the spool, and the hands that brought them go on.
#[tokio::test]
async fn a_shopper_whose_rows_are_held_keeps_nobody_elses_copies_waiting() {
    let shop = large_shop().await;
    let ben = shop.db.user("ben@example.org", "100.00").await;
    // More than there are hands, and before his.
    let mut hers = Vec::new();
    for _ in 0..shop.settings.parallel + 2 {
        hers.push(shop.order(1).await);
    }
    let his = shop.db.order(ben, shop.game, 2).await;
    let mut held = shop.db.sql.begin().await.unwrap();
    sqlx::query("select from shoppers join users using (id) where id = $1 for update")
        .bind(shop.user)
        .fetch_all(&mut *held)
        .await
        .unwrap();
    let worker = shop.worker();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    // The lease, for which a key is held on to otherwise, is 20 s.
    let began = tokio::time::Instant::now();
    while shop.status(&his).await != "COMPLETED" {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < shop.settings.lease, "{:?}", began.elapsed());
    for order in &hers {
        assert_ne!(shop.status(order).await, "COMPLETED");
    }
    held.rollback().await.unwrap();
    for order in &hers {
        while shop.status(order).await != "COMPLETED" {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    stop.cancel();
    running.await.unwrap();
    let ledger = shop.check_books().await;
    assert_eq!(ledger.orders.len(), hers.len() + 2);
}

#[tokio::test]
async fn two_workers_on_the_same_orders_buy_each_copy_once() {
    let shop = Shop::open().await;
    let order = shop.order(6).await;
    let (one, two) = (shop.worker(), shop.worker());
    let (a, b) = tokio::join!(one.work_off(), two.work_off());
    a.unwrap();
    b.unwrap();
    shop.settle(&one).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let ledger = shop.check_books().await;
    assert_eq!((ledger.orders.len(), ledger.keys_delivered), (6, 6));
}

/// Sixteen buyers at once, three copies each, all in hand together, with answers that come in slowly and in any order.
#[tokio::test]
async fn many_buyers_at_once_get_their_keys_and_nothing_is_put_aside() {
    const BUYERS: u32 = 16;
    let mut shop = large_shop().await;
    shop.settings.parallel = 48;
    // Keys that are late, in between the others: each further look asks the spool first, while others write into it.
    for number in 0..4 * BUYERS {
        shop.g2a
            .add_fault(FaultRule::once(CallMatch::Key, error(403, "ORD03")).after(number));
    }
    shop.g2a
        .add_fault(FaultRule::forever(CallMatch::Key, Fault::Slow { milliseconds: 5 }));
    let mut orders = Vec::new();
    for buyer in 0..BUYERS {
        let user = shop.db.user(&format!("buyer-{buyer}@example.org"), "100.00").await;
        orders.push(shop.db.order(user, shop.game, 3).await);
    }
    let worker = shop.worker();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while lockstep_store::fulfilment::waiting(&shop.db.store).await.unwrap().open > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
    for order in &orders {
        assert_eq!(shop.status(order).await, "COMPLETED");
    }
    let ledger = shop.check_books().await;
    assert_eq!(ledger.keys_delivered, u64::from(3 * BUYERS));
    assert_eq!(shop.incidents().await, Vec::<String>::new());
    let spool = lockstep_fulfil::Spool::count(&shop.folder.path().join("spool")).unwrap();
    assert_eq!(spool, (0, 0), "nothing waits, nothing was put aside");
}
