//! Leases: a worker holds a unit while it works on it, and no longer.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lockstep_fulfilment::Settings;
use lockstep_g2a_sandbox::{Call, CallMatch, Fault, FaultRule};
use lockstep_store::StoreError;
use lockstep_store::fulfilment as records;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::Shop;

async fn held(shop: &Shop) -> (i64, DateTime<Utc>, bool) {
    sqlx::query_as("select epoch, not_before, not_before > now() from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
}

/// For a second nothing can be recorded or released. Then all units continue at once, not when their leases end.
#[tokio::test]
async fn units_in_progress_resume_soon_after_a_write_outage() {
    let mut shop = Shop::open().await;
    shop.settings.lease = Settings::default().lease;
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Order, Fault::Hold).times(4));
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(shop.order(1).await);
    }
    let (worker, stop) = (shop.worker(), CancellationToken::new());
    let until = stop.clone();
    let working = tokio::spawn(async move { worker.run(until).await });
    shop.until("four are in hand", async || shop.g2a.held().len() == 4)
        .await;

    shop.take_writes(false).await;
    for request in shop.g2a.held() {
        shop.g2a.release(request);
    }
    // The length of the outage.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.states().await, ["ORDERING"; 4]);
    shop.take_writes(true).await;

    let back = Instant::now();
    shop.until("all are delivered", async || {
        shop.db.count("orders where status = 'COMPLETED'").await == 4
    })
    .await;
    assert!(back.elapsed() < shop.settings.lease / 3, "no lease was waited for");
    stop.cancel();
    working.await.unwrap();
    shop.check_books().await;
    let asked = shop.g2a.request_counts().by_call[&Call::Order];
    assert!(
        asked <= 8,
        "G2A was not asked again while nothing could be recorded: {asked} orders"
    );
}

#[tokio::test]
async fn leases_are_renewed_while_a_unit_is_in_progress() {
    let mut shop = Shop::open().await;
    shop.settings.lease = Duration::from_millis(450);
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    let order = shop.order(1).await;
    let (worker, stop) = (shop.worker(), CancellationToken::new());
    let until = stop.clone();
    let working = tokio::spawn(async move { worker.run(until).await });
    shop.until("its key is asked for", async || shop.g2a.held().len() == 1)
        .await;
    let (epoch, first, _) = held(&shop).await;
    shop.until("the lease would be over", async || Utc::now() > first).await;
    assert_eq!(held(&shop).await, (epoch, held(&shop).await.1, true), "it was renewed");
    for request in shop.g2a.held() {
        shop.g2a.release(request);
    }
    shop.until("it is delivered", async || shop.status(&order).await == "COMPLETED")
        .await;
    stop.cancel();
    working.await.unwrap();
    assert_eq!(shop.check_books().await.orders.len(), 1);
}

/// A late renewal extends neither the wait of a released unit nor another worker's lease.
#[tokio::test]
async fn late_renewals_change_nothing() {
    let shop = Shop::open().await;
    shop.order(1).await;
    let claim = async || {
        records::claim(&shop.db.store, Uuid::new_v4(), 1, Duration::from_mins(10), &[])
            .await
            .unwrap()
            .remove(0)
            .lease
    };
    let old = claim().await;
    records::renew(&shop.db.store, old).await.unwrap();
    shop.db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::postpone(tx, old, Duration::ZERO, None).await })
        })
        .await
        .unwrap();
    let refused = records::renew(&shop.db.store, old).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "it was let go");
    assert_eq!(records::next_due(&shop.db.store).await.unwrap(), Some(Duration::ZERO));

    let new = claim().await;
    shop.execute("update order_units set not_before = now() + interval '1 minute'")
        .await;
    let before = held(&shop).await;
    let refused = records::renew(&shop.db.store, old).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "it is somebody else's");
    assert_eq!(held(&shop).await, before);
    records::renew(&shop.db.store, new).await.unwrap();
    assert!(held(&shop).await.1 > before.1);
}

#[tokio::test]
async fn units_in_progress_are_released_at_shutdown() {
    let mut shop = Shop::open().await;
    shop.settings.lease = Settings::default().lease;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Order, Fault::Hold));
    shop.order(1).await;
    let (worker, stop) = (shop.worker(), CancellationToken::new());
    let until = stop.clone();
    let working = tokio::spawn(async move { worker.run(until).await });
    shop.until("it is in hand", async || shop.g2a.held().len() == 1).await;
    shop.take_writes(false).await;
    stop.cancel();
    for request in shop.g2a.held() {
        shop.g2a.release(request);
    }
    shop.take_writes(true).await;
    working.await.unwrap();
    assert_eq!(
        shop.db
            .count("order_units where worker is null and not_before <= now()")
            .await,
        1
    );
}

/// Leases that expired long ago, as after the clock was set forward.
#[tokio::test]
async fn workers_do_not_claim_units_they_already_hold() {
    let mut shop = Shop::open().await;
    shop.settings.lease = Settings::default().lease;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Order, Fault::Hold));
    let first = shop.order(1).await;
    let (worker, stop) = (shop.worker(), CancellationToken::new());
    let until = stop.clone();
    let working = tokio::spawn(async move { worker.run(until).await });
    shop.until("it is in hand", async || shop.g2a.held().len() == 1).await;
    let (epoch, ..) = held(&shop).await;
    shop.execute("update order_units set not_before = now() - interval '10 minutes'")
        .await;
    let second = shop.order(1).await;
    shop.until("another is delivered meanwhile", async || {
        shop.status(&second).await == "COMPLETED"
    })
    .await;
    let now: i64 = sqlx::query_scalar("select epoch from order_units where order_id = $1")
        .bind(first.id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(now, epoch);
    for request in shop.g2a.held() {
        shop.g2a.release(request);
    }
    shop.until("it is delivered", async || shop.status(&first).await == "COMPLETED")
        .await;
    stop.cancel();
    working.await.unwrap();
    assert_eq!(shop.check_books().await.orders.len(), 2, "each was ordered once");
}

/// A unit that is due in ten minutes by the clock but was meant to be due now, as after the clock was set back.
#[tokio::test]
async fn buying_resumes_at_once_after_the_clock_is_set_back() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    shop.execute(
        "update order_units set not_before = now() + interval '10 minutes';
         update order_units set waits_from = now() + interval '10 minutes'",
    )
    .await;
    let (worker, stop) = (shop.worker(), CancellationToken::new());
    let until = stop.clone();
    let working = tokio::spawn(async move { worker.run(until).await });
    shop.until("it is delivered", async || shop.status(&order).await == "COMPLETED")
        .await;
    stop.cancel();
    working.await.unwrap();
    shop.check_books().await;
}
