//! A worker whose disk refuses writes. A file in place of the spool's folder refuses every write, even for the
//! superuser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_fulfilment::{Fulfilment, Spool};
use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule};
use lockstep_store::fulfilment::stops;
use tokio::time::Instant;

use crate::support::{Shop, keys};

fn worker_in(shop: &Shop, folder: &Path) -> Fulfilment {
    let (store, client) = (shop.db.store.clone(), shop.client());
    Fulfilment::open(store, client, keys(), folder, shop.settings.clone()).unwrap()
}

/// Makes every write into the folder fail.
fn break_spool(folder: &PathBuf) {
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::write(folder, "not a folder").unwrap();
}

async fn shop() -> (Shop, PathBuf) {
    let mut shop = Shop::open().await;
    shop.settings.probe_every = Duration::from_millis(10);
    let folder = shop.folder.path().join("spool");
    (shop, folder)
}

async fn stops_are(shop: &Shop, count: usize) -> Vec<stops::Stop> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let stops = stops::all(&shop.db.store).await.unwrap();
        if stops.len() == count {
            return stops;
        }
        assert!(Instant::now() < deadline, "{stops:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn workers_without_a_spool_pause_while_others_continue() {
    let (shop, folder) = shop().await;
    let worker = worker_in(&shop, &folder);
    break_spool(&folder);
    let first = shop.order(2).await;
    assert_eq!(worker.drain().await.unwrap(), 0);
    assert_eq!(shop.states().await, ["NEW", "NEW"]);
    assert!(shop.g2a.ledger().orders.is_empty());
    let stops = stops_are(&shop, 1).await;
    assert!(stops[0].is_one_worker && stops[0].reason.contains("spool"), "{stops:?}");

    let other = worker_in(&shop, &shop.folder.path().join("elsewhere"));
    shop.settle(&other).await;
    assert_eq!(shop.status(&first).await, "COMPLETED");

    std::fs::remove_file(&folder).unwrap();
    let second = shop.order(1).await;
    shop.settle(&worker).await;
    assert_eq!(shop.status(&second).await, "COMPLETED");
    stops_are(&shop, 0).await;
    shop.check_books().await;
}

#[tokio::test]
async fn idle_workers_report_their_stop_and_recreate_a_lost_folder() {
    let (shop, folder) = shop().await;
    let worker = worker_in(&shop, &folder);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    let order = shop.order(1).await;
    while shop.status(&order).await != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    break_spool(&folder);
    // It checks when there is something to buy.
    let order = shop.order(1).await;
    stops_are(&shop, 1).await;
    std::fs::remove_file(&folder).unwrap();
    stops_are(&shop, 0).await;
    while shop.status(&order).await != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(folder.join("0/lock").exists(), "it is made again, with its lock");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(shop.check_books().await.keys_delivered, 2);
}

#[tokio::test]
async fn nothing_is_paid_when_the_disk_fails_before_the_payment() {
    let (shop, folder) = shop().await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Order, Fault::Hold));
    let order = shop.order(1).await;
    let worker = worker_in(&shop, &folder);
    let working = tokio::spawn({
        let worker = worker.clone();
        async move { worker.drain().await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while shop.g2a.held().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    break_spool(&folder);
    tokio::time::sleep(2 * shop.settings.probe_every).await;
    assert!(shop.g2a.release(shop.g2a.held()[0]));
    working.await.unwrap().unwrap();
    assert_eq!(shop.states().await, ["ORDERED"]);
    assert_eq!(shop.g2a.ledger().orders[0].pay_calls, 0);
    std::fs::remove_file(&folder).unwrap();
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}

#[tokio::test]
async fn keys_are_stored_even_when_no_disk_takes_them() {
    let (shop, folder) = shop().await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    let order = shop.order(1).await;
    let worker = worker_in(&shop, &folder);
    let working = tokio::spawn({
        let worker = worker.clone();
        async move { worker.drain().await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while shop.g2a.held().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    break_spool(&folder);
    assert!(shop.g2a.release(shop.g2a.held()[0]));
    working.await.unwrap().unwrap();
    assert_eq!(shop.status(&order).await, "COMPLETED");
    shop.check_books().await;
}

/// An answer that is only in memory would be lost with the worker, and G2A gives it once.
#[tokio::test]
async fn answers_are_on_disk_until_their_key_is_recorded() {
    let (shop, folder) = shop().await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    let order = shop.order(1).await;
    let worker = worker_in(&shop, &folder);
    let working = tokio::spawn({
        let worker = worker.clone();
        async move { worker.drain().await }
    });
    shop.until("G2A is asked for the key", async || !shop.g2a.held().is_empty())
        .await;
    // The transaction that records the key has to wait.
    let mut locked = shop.db.sql.begin().await.unwrap();
    sqlx::query("select from orders for update")
        .fetch_all(&mut *locked)
        .await
        .unwrap();
    assert!(shop.g2a.release(shop.g2a.held()[0]));
    shop.until("the record waits", async || {
        sqlx::query_scalar(
            "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
    })
    .await;
    assert_eq!(Spool::count(&folder).unwrap(), (1, 0));
    locked.rollback().await.unwrap();
    working.await.unwrap().unwrap();
    shop.settle(&worker).await;
    assert_eq!(shop.status(&order).await, "COMPLETED");
    assert_eq!(Spool::count(&folder).unwrap(), (0, 0));
    shop.check_books().await;
}

/// A worker that is alive is not asked for what it holds: when its record fails and another worker takes the unit, its key
/// must not wait for the next start.
/// Gives all units to another worker, which has not begun with them.
async fn to_another_worker(tx: &mut sqlx::PgConnection) {
    sqlx::query(
        "update order_units set not_before = now() + interval '1 hour', worker = gen_random_uuid(), epoch = epoch + 1",
    )
    .execute(tx)
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_whose_unit_went_to_another_worker_is_recorded_by_the_live_one() {
    let (shop, folder) = shop().await;
    shop.g2a.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    shop.order(1).await;
    let worker = worker_in(&shop, &folder);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    shop.until("G2A is asked for the key", async || !shop.g2a.held().is_empty())
        .await;
    let mut locked = shop.db.sql.begin().await.unwrap();
    sqlx::query("select from orders for update")
        .fetch_all(&mut *locked)
        .await
        .unwrap();
    to_another_worker(&mut locked).await;
    assert!(shop.g2a.release(shop.g2a.held()[0]));
    // A wait for a lock that began after the first one: that one has ended with an error.
    let waiting = async || {
        sqlx::query_scalar::<_, Option<chrono::DateTime<chrono::Utc>>>(
            "select max(query_start) from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock' and query like '%fulfilment.lock_order%'",
        )
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
    };
    shop.until("the record waits", async || waiting().await.is_some()).await;
    let first = waiting().await;
    shop.until("the record is tried again", async || waiting().await > first)
        .await;
    assert_eq!(Spool::count(&folder).unwrap(), (1, 0));
    locked.commit().await.unwrap();
    shop.until("the spool is empty", async || Spool::count(&folder).unwrap() == (0, 0))
        .await;
    let keys: i64 = sqlx::query_scalar("select count(*) from game_keys")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(keys, 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_answer_whose_rows_are_locked_does_not_delay_the_others() {
    let (mut shop, folder) = shop().await;
    shop.settings.lease = Duration::from_hours(1);
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Key, Fault::Hold).times(2));
    let worker = worker_in(&shop, &folder);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    let mut orders = Vec::new();
    for count in 1..=2 {
        orders.push(shop.order(1).await);
        shop.until("G2A is asked for the key", async || shop.g2a.held().len() == count)
            .await;
    }
    let mut locked = Vec::new();
    for order in &orders {
        let mut tx = shop.db.sql.begin().await.unwrap();
        sqlx::query("select from orders where id = $1 for update")
            .bind(order.id)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        locked.push(tx);
    }
    let mut tx = shop.db.sql.begin().await.unwrap();
    to_another_worker(&mut tx).await;
    tx.commit().await.unwrap();
    // The first file of the spool is that of the first order.
    for (count, held) in (1..).zip(shop.g2a.held()) {
        assert!(shop.g2a.release(held));
        shop.until("the answer is in the spool", async || {
            Spool::count(&folder).unwrap() == (count, 0)
        })
        .await;
    }
    let mut second = locked.pop().unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *second)
        .await
        .unwrap();
    let is_waited_for = async || {
        sqlx::query_scalar::<_, bool>(
            "select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))",
        )
        .bind(pid)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
    };
    shop.until("the second answer's record waits", &is_waited_for).await;
    shop.until("the second answer's record has failed", async || !is_waited_for().await)
        .await;
    second.commit().await.unwrap();
    shop.until("the second answer is recorded", async || {
        Spool::count(&folder).unwrap() == (1, 0)
    })
    .await;
    locked.pop().unwrap().commit().await.unwrap();
    shop.until("the spool is empty", async || Spool::count(&folder).unwrap() == (0, 0))
        .await;
    stop.cancel();
    running.await.unwrap();
}
