//! What a user gets when G2A, the network or this program fails.

use std::time::Duration;

use lockstep_g2a_sandbox::{AlreadyDownloaded, CallMatch, Fault, FaultRule, KeyNotReady, OrderIds, PayTwice};

use crate::support::{Shop, eur};

/// Buys one unit under a fault and expects it delivered for one payment.
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

/// A shop that can sell a hundred units.
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
async fn outages_do_not_count_as_refusals_of_the_product() {
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
async fn lost_or_corrupted_answers_cost_nothing() {
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
async fn key_calls_without_effect_are_repeated() {
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
async fn keys_lost_on_the_network_are_flagged_and_replaced_once() {
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
async fn keys_lost_beyond_the_replacement_limit_are_refunded() {
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
async fn keys_that_are_not_ready_are_requested_again() {
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
async fn paid_orders_that_g2a_cancels_are_replaced() {
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
async fn orders_wait_under_an_alarm_until_funds_arrive() {
    let shop = Shop::open().await;
    shop.g2a.set_wallet(eur("5.00"));
    let order = shop.order(2).await;
    let worker = shop.worker();
    shop.work_until(&worker, async || {
        shop.db.count("supplier_alarms where kind = 'FUNDS'").await == 1
    })
    .await;
    for _ in 0..5 {
        worker.drain().await.unwrap();
    }
    assert_eq!(shop.status(&order).await, "PROCESSING", "it has not failed");
    shop.g2a.set_wallet(eur("100.00"));
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.db.count("supplier_alarms").await, 0, "the alarm is over");
    shop.check_books().await;
}

#[tokio::test]
async fn refused_credentials_fail_no_order() {
    let shop = Shop::open().await;
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Order, error(401, "AUTH02")).times(3));
    let order = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}

#[tokio::test]
async fn expired_reservations_are_replaced_and_not_paid() {
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
async fn a_second_payment_is_safe_whether_charged_or_refused() {
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
async fn colliding_order_ids_do_not_mix_up_two_units() {
    let shop = Shop::open().await;
    shop.g2a.change_knobs(|knobs| knobs.order_ids = OrderIds::EpochSeconds);
    // Neither order is paid within that second: a paid one would become unpaid when the other took its id.
    let late = Fault::Slow { milliseconds: 1_100 };
    shop.g2a.add_fault(FaultRule::once(CallMatch::Order, late).times(2));
    shop.order(2).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.states().await, ["DONE", "DONE"], "{:?}", shop.units().await);
    shop.db.assert_books_balance().await;
    assert_eq!(shop.db.count("game_keys").await, 2);
}

#[tokio::test]
async fn dropped_database_connections_lose_nothing() {
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

/// One user's rows are locked, for example by an administrator. That user's keys wait in the spool, and the tasks that
/// fetched them work on other units.
#[tokio::test]
async fn locked_rows_of_one_user_do_not_delay_other_users() {
    let mut shop = large_shop().await;
    // A task that kept its key for the length of the lease would keep it for longer than this test waits.
    shop.settings.lease = Duration::from_hours(1);
    let ben = shop.db.user("ben@example.org", "100.00").await;
    // More units than tasks, and due before his.
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
    let deadline = tokio::time::Instant::now() + Duration::from_mins(2);
    while shop.status(&his).await != "COMPLETED" {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", shop.units().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
async fn two_workers_buy_each_unit_once() {
    let shop = Shop::open().await;
    let order = shop.order(6).await;
    let (one, two) = (shop.worker(), shop.worker());
    let (a, b) = tokio::join!(one.drain(), two.drain());
    a.unwrap();
    b.unwrap();
    shop.settle(&one).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let ledger = shop.check_books().await;
    assert_eq!((ledger.orders.len(), ledger.keys_delivered), (6, 6));
}

/// Sixteen buyers at once, three units each, all in progress together, with slow answers in any order.
#[tokio::test]
async fn concurrent_buyers_get_their_keys_and_no_file_is_set_aside() {
    const BUYERS: u32 = 16;
    let mut shop = large_shop().await;
    shop.settings.parallel = 48;
    // Late keys in between: each further attempt reads the spool first while other tasks write into it.
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
    let spool = lockstep_fulfilment::Spool::count(&shop.folder.path().join("spool")).unwrap();
    assert_eq!(spool, (0, 0), "nothing waits, nothing was set aside");
}

/// Whatever ends the worker during a call, the database knows that G2A may have been asked.
#[tokio::test]
async fn intents_are_recorded_before_each_call() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    let steps = [
        (CallMatch::Order, "ORDERING"),
        (CallMatch::Pay, "PAYING"),
        (CallMatch::Key, "FETCHING"),
    ];
    for (call, _) in steps {
        shop.g2a.add_fault(FaultRule::once(call, Fault::Hold));
    }
    let worker = shop.worker();
    let working = tokio::spawn({
        let worker = worker.clone();
        async move { worker.drain().await }
    });
    for (call, state) in steps {
        shop.until("G2A is asked", async || !shop.g2a.held().is_empty()).await;
        assert_eq!(shop.states().await, [state], "{call:?}");
        assert!(shop.g2a.release(shop.g2a.held()[0]));
    }
    working.await.unwrap().unwrap();
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}
