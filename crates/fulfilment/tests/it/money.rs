//! Overtaken workers, late keys, G2A's events, and the reconciler.

use std::time::Duration;

use chrono::Utc;
use lockstep_domain::ids::KeyId;
use lockstep_domain::order::RefundReason;
use lockstep_fulfilment::{Remedy, Spool, email_settings, reconcile};
use lockstep_store::fulfilment::events::{self, Event, Taken};
use lockstep_store::fulfilment::keys::{self as stored, Arrived, Recorded};
use lockstep_store::fulfilment::{self as records, EmailSettings};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Shop, eur, keys, order_id, unit_id};

fn arrived(shop_unit: lockstep_domain::ids::UnitId, g2a_order_id: &str, text: &str) -> Arrived {
    let id = KeyId(Uuid::now_v7());
    Arrived {
        id,
        unit: shop_unit,
        g2a_order_id: g2a_order_id.to_owned(),
        sealed: keys().seal(&stored::place(id), text.as_bytes()),
        hashes: keys().hashes(stored::HASH, &[text.as_bytes()]).collect(),
        is_file: false,
    }
}

async fn record(shop: &Shop, key: &Arrived) -> Recorded {
    let key = key.clone();
    shop.db
        .store
        .tx("test", move |tx| {
            let key = key.clone();
            Box::pin(async move { stored::record(tx, &key, &EmailSettings::default()).await })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn fenced_workers_change_no_state_but_their_keys_are_kept() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    let unit = unit_id(&order, 0);
    let old = records::claim(&shop.db.store, Uuid::new_v4(), 1, Duration::from_mins(1), &[])
        .await
        .unwrap()
        .remove(0);
    shop.execute("update order_units set not_before = now()").await;
    let new = records::claim(&shop.db.store, Uuid::new_v4(), 1, Duration::from_mins(1), &[])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(new.lease.epoch, old.lease.epoch + 1);
    let lease = old.lease;
    let refused = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::begin_ordering(tx, lease).await })
        })
        .await;
    assert!(
        matches!(refused, Err(lockstep_store::StoreError::Fenced)),
        "{refused:?}"
    );

    // The new worker loses the key and refunds; the overtaken worker's late key is kept.
    shop.execute("update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10;
                  update order_units set state = 'PAYING'; update order_units set state = 'PAID';
                  update order_units set state = 'FETCHING'; update orders set status = 'PROCESSING'").await;
    let lease = new.lease;
    shop.db
        .store
        .tx("test", move |tx| {
            Box::pin(async move {
                records::lost(tx, lease, Duration::ZERO, "gone").await?;
                records::refund(tx, lease, RefundReason::KeyLost, "lost", &EmailSettings::default()).await
            })
        })
        .await
        .unwrap();
    let late = arrived(unit, "80", "AAAA-BBBB");
    assert_eq!(record(&shop, &late).await, Recorded::Stock);
    assert_eq!(record(&shop, &late).await, Recorded::Known, "twice is once");
    assert_eq!(shop.incidents().await, ["KEY_LATE"]);
    shop.db.assert_books_balance().await;
    // The next order gets it.
    let next = shop.order(1).await;
    shop.settle(&shop.worker()).await;
    assert_eq!(shop.status(&next).await, "COMPLETED");
    assert!(shop.g2a.ledger().orders.is_empty());
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn late_keys_complete_lost_units() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    shop.execute("update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10;
                  update order_units set state = 'PAYING'; update order_units set state = 'PAID';
                  update order_units set state = 'FETCHING'; update order_units set state = 'LOST'; update orders set status = 'PROCESSING'").await;
    assert!(matches!(
        record(&shop, &arrived(unit_id(&order, 0), "80", "AAAA")).await,
        Recorded::Delivered(Some(_))
    ));
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn keys_that_g2a_sells_twice_are_shown_to_one_user_only() {
    let shop = Shop::open().await;
    let order = shop.order(2).await;
    shop.execute("update orders set status = 'PROCESSING'; update order_units set state = 'ORDERING';
                  update order_units set state = 'ORDERED', g2a_order_id = position::text, g2a_price = 10;
                  update order_units set state = 'PAYING'; update order_units set state = 'PAID'; update order_units set state = 'FETCHING'").await;
    assert_eq!(
        record(&shop, &arrived(unit_id(&order, 0), "1", "SAME")).await,
        Recorded::Delivered(None)
    );
    assert_eq!(
        record(&shop, &arrived(unit_id(&order, 1), "2", "SAME")).await,
        Recorded::Twice
    );
    assert_eq!(shop.incidents().await, ["KEY_TWICE"]);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn spooled_answers_are_recorded_before_the_key_is_requested_again() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    // A worker that died between reading the key and recording it.
    let (spool, _) = Spool::open(&shop.folder.path().join("spool"), keys()).unwrap();
    let worker = spool.worker();
    let unit = records::claim(&shop.db.store, worker, 1, Duration::from_mins(10), &[])
        .await
        .unwrap()
        .remove(0);
    shop.execute("update orders set status = 'PROCESSING'; update order_units set state = 'ORDERING';
                  update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10; update order_units set state = 'PAYING';
                  update order_units set state = 'PAID'; update order_units set state = 'FETCHING'").await;
    spool
        .put(unit.lease.unit, "80", br#"{"key":"AAAA-BBBB","isFile":false}"#, true)
        .unwrap();
    drop(spool);
    let next = shop.worker();
    next.recover().await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(shop.key_texts().await, ["AAAA-BBBB"]);
    assert_eq!(shop.g2a.request_counts().total, 0, "G2A was not asked");
    shop.db.assert_books_balance().await;
}

fn event(id: &str, order_ref: &str) -> Event {
    Event {
        event_id: id.into(),
        order_ref: order_ref.into(),
        kind: "order.completed".into(),
        payload: json!({"status": "completed"}),
        body: b"{}".to_vec(),
    }
}

async fn take(shop: &Shop, event: Event) -> Taken {
    shop.db
        .store
        .tx("test", move |tx| {
            let event = event.clone();
            Box::pin(async move { events::take(tx, &event).await })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn events_wake_their_order_once_and_decide_nothing() {
    let mut shop = Shop::open().await;
    shop.settings.backoff = (Duration::from_mins(10), Duration::from_mins(10));
    shop.g2a.change_knobs(|knobs| knobs.key_delay_seconds = 3_600);
    let order = shop.order(1).await;
    let worker = shop.worker();
    worker.drain().await.unwrap();
    assert_eq!(shop.states().await, ["PAID"]);
    assert_eq!(worker.drain().await.unwrap(), 0, "it rests");
    let of = lockstep_domain::ids::OrderId(order.id);
    // The event says "failed"; G2A's order details say otherwise, and they are believed.
    let mut said = event("e1", &order.id.to_string());
    said.kind = "order.failed".into();
    said.payload = json!({"status": "failed"});
    assert_eq!(take(&shop, said.clone()).await, Taken::Applied(of));
    assert_eq!(take(&shop, said).await, Taken::Repeated);
    shop.g2a.advance_clock(3_600);
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    let heard: serde_json::Value =
        sqlx::query_scalar("select gateway_response from transactions where type = 'PURCHASE'")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(heard["g2a"]["event"], "e1");
    shop.check_books().await;
}

#[tokio::test]
async fn events_for_unknown_orders_are_applied_once_the_order_exists() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    assert_eq!(take(&shop, event("e1", "80")).await, Taken::Kept);
    assert!(!events::has_due(&shop.db.store).await.unwrap());
    shop.execute("update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10").await;
    assert!(events::has_due(&shop.db.store).await.unwrap());
    assert_eq!(events::apply_due(&shop.db.store).await.unwrap(), 1);
    let applied: Uuid = sqlx::query_scalar("select order_id from webhook_events")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(applied, order.id);
}

#[tokio::test]
async fn reconciler_finds_unknown_payments_and_wakes_the_unit() {
    let mut shop = Shop::open().await;
    shop.settings.backoff = (Duration::from_mins(10), Duration::from_mins(10));
    shop.settings.request_lifetime = Duration::from_mins(5);
    shop.g2a.add_fault(lockstep_g2a_sandbox::FaultRule::once(
        lockstep_g2a_sandbox::CallMatch::Pay,
        lockstep_g2a_sandbox::Fault::DropAfter,
    ));
    let order = shop.order(1).await;
    let worker = shop.worker();
    worker.drain().await.unwrap();
    assert_eq!(shop.states().await, ["PAYING"]);
    let spool = shop.folder.path().join("spool");
    let (client, emails) = (shop.client(), email_settings(&keys(), false));
    let found = reconcile(&shop.db.store, &client, &spool, &emails, false, Utc::now())
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].remedy == Remedy::LookAgain && !found[0].fixed);
    let fixed = reconcile(&shop.db.store, &client, &spool, &emails, true, Utc::now())
        .await
        .unwrap();
    assert!(fixed[0].fixed);
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert!(
        reconcile(&shop.db.store, &client, &spool, &emails, false, Utc::now())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(shop.check_books().await.money_taken, eur("10.00"));
}

/// A stopped worker may have the key in its spool; an event says nothing about that.
#[tokio::test]
async fn events_do_not_shorten_the_grace_period_of_lost_keys() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    let lease = records::claim(&shop.db.store, Uuid::new_v4(), 1, Duration::from_mins(1), &[])
        .await
        .unwrap()
        .remove(0)
        .lease;
    shop.execute("update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10;
                  update order_units set state = 'PAYING'; update order_units set state = 'PAID';
                  update order_units set state = 'FETCHING'; update orders set status = 'PROCESSING'").await;
    let key = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move {
                records::lost(tx, lease, Duration::from_mins(1), "gone").await?;
                let event = Event {
                    event_id: "e1".into(),
                    order_ref: "80".into(),
                    kind: "order.completed".into(),
                    payload: json!({"status": "completed"}),
                    body: b"{}".to_vec(),
                };
                events::take(tx, &event).await
            })
        })
        .await
        .unwrap();
    assert!(matches!(key, Taken::Applied(_)));
    assert!(
        records::next_due(&shop.db.store).await.unwrap().unwrap() > Duration::from_secs(30),
        "it is still waited for"
    );
    let late = arrived(unit_id(&order, 0), "80", "AAAA-BBBB");
    assert!(matches!(record(&shop, &late).await, Recorded::Delivered(Some(_))));
    assert_eq!(shop.g2a.ledger().orders.len(), 0, "no other key was bought");
    shop.db.assert_books_balance().await;
}

/// The payment in flight when the refund was requested failed, and the game's release is postponed.
#[tokio::test]
async fn cancelled_units_of_postponed_games_are_refunded_at_once() {
    let shop = Shop::open().await;
    let order = shop.order(1).await;
    shop.execute("update order_units set state = 'ORDERING'; update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 10;
                  update order_units set state = 'PAYING'; update orders set status = 'PROCESSING'").await;
    let id = order_id(&order);
    let cancelled = shop
        .db
        .store
        .tx("test", move |tx| {
            Box::pin(async move { records::cancel_order(tx, id, "changed my mind", &EmailSettings::default()).await })
        })
        .await
        .unwrap();
    assert_eq!((cancelled.kept, cancelled.refunded), (1, eur("0")));
    shop.execute(
        "update order_units set state = 'NEW', g2a_order_id = null, g2a_price = null, not_before = now();
         update games set release_date = now() + interval '90 days', release_date_known = true",
    )
    .await;
    shop.worker().drain().await.unwrap();
    assert_eq!(
        (shop.status(&order).await.as_str(), shop.balance().await),
        ("CANCELLED", eur("100"))
    );
    shop.db.assert_books_balance().await;
}
