//! Events that arrive before their order. They are found by an index, however many orders there are, and none is missed
//! in any interleaving.

use std::time::Duration;

use lockstep_store::Store;
use lockstep_store::fulfilment::events::{self, Event, Taken};
use lockstep_testkit::TestDb;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

fn event(id: &str, order_ref: &str) -> Event {
    Event {
        event_id: id.into(),
        order_ref: order_ref.into(),
        kind: "order.completed".into(),
        payload: json!({"status": "completed"}),
        body: b"{}".to_vec(),
    }
}

async fn take(store: &Store, event: Event) -> Taken {
    store
        .tx("test", move |tx| {
            let event = event.clone();
            Box::pin(async move { events::take(tx, &event).await })
        })
        .await
        .unwrap()
}

async fn apply_all(store: &Store) -> u32 {
    let mut applied = 0;
    while events::has_due(store).await.unwrap() {
        applied += events::apply_due(store).await.unwrap();
    }
    applied
}

/// Moves a unit to an order at G2A, as a worker does.
async fn order_at_g2a(db: &TestDb, unit: Uuid, id: &str) {
    for change in [
        "state = 'ORDERING'".to_owned(),
        format!("state = 'ORDERED', g2a_order_id = '{id}', g2a_price = 1"),
    ] {
        db.execute(&format!("update order_units set {change} where id = '{unit}'"))
            .await;
    }
}

#[tokio::test]
async fn early_events_become_due_when_their_order_appears() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let user = db.user("ada@example.org", "50.00").await;
    let (ours, shouted) = (Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(take(&db.store, event("e1", &ours.to_string())).await, Taken::Kept);
    assert_eq!(
        take(&db.store, event("e2", &shouted.to_string().to_uppercase())).await,
        Taken::Kept
    );
    assert_eq!(take(&db.store, event("e3", "80")).await, Taken::Kept);
    for garbage in [
        "x",
        "00000000-0000-0000-0000",
        "{}",
        "'; drop table orders; --",
        &"é".repeat(200),
    ] {
        assert_eq!(take(&db.store, event("e4", garbage)).await, Taken::Kept);
    }
    assert!(!events::has_due(&db.store).await.unwrap());

    let order = db.order_with_id(ours, user, game, 1).await;
    assert_eq!(apply_all(&db.store).await, 1);
    db.order_with_id(shouted, user, game, 1).await;
    assert_eq!(apply_all(&db.store).await, 1);
    order_at_g2a(&db, order.units[0], "80").await;
    assert_eq!(apply_all(&db.store).await, 1);
    let applied: Vec<(String, Uuid)> =
        sqlx::query_as("select event_id, order_id from webhook_events where applied_at is not null order by 1")
            .fetch_all(&db.sql)
            .await
            .unwrap();
    assert_eq!(
        applied,
        [("e1".into(), ours), ("e2".into(), shouted), ("e3".into(), ours)]
    );
    assert_eq!(
        take(&db.store, event("e9", "80")).await,
        Taken::Applied(ours.into()),
        "it is known now"
    );
}

/// Waits until a session of this database waits for a lock.
async fn until_a_session_waits(db: &TestDb) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while db
        .count("pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
        .await
        == 0
    {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn concurrent_events_and_orders_find_each_other() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let user = db.user("ada@example.org", "50.00").await;
    let unit = db.order(user, game, 1).await.units[0];
    order_at_g2a(&db, unit, "79").await;
    let insert =
        "insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e1', '80', 'k', '{}')";
    let make = format!("insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', '{unit}', 1)");
    for (first, second) in [(insert, make.as_str()), (make.as_str(), insert)] {
        db.execute("delete from webhook_events; delete from g2a_orders where g2a_order_id = '80'")
            .await;
        let mut tx = db.sql.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(first.to_owned()))
            .execute(&mut *tx)
            .await
            .unwrap();
        let other = {
            let (sql, second) = (db.sql.clone(), second.to_owned());
            tokio::spawn(async move { sqlx::query(sqlx::AssertSqlSafe(second)).execute(&sql).await.unwrap() })
        };
        until_a_session_waits(&db).await;
        tx.commit().await.unwrap();
        other.await.unwrap();
        assert!(events::has_due(&db.store).await.unwrap(), "first {first}");
    }
}

#[tokio::test]
async fn no_event_is_missed_among_many_concurrent_orders() {
    const ORDERS: usize = 120;
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(db.user(&format!("u{n}@example.org"), "100.00").await);
    }
    let (db, mut tasks) = (std::sync::Arc::new(db), JoinSet::new());
    for n in 0..ORDERS {
        let (db, user, id) = (db.clone(), users[n % users.len()], Uuid::new_v4());
        let events_of = {
            let (store, id) = (db.store.clone(), id);
            async move {
                take(&store, event(&format!("o{n}"), &id.to_string())).await;
                take(&store, event(&format!("g{n}"), &format!("g2a-{n}"))).await;
            }
        };
        tasks.spawn(events_of);
        tasks.spawn(async move {
            let order = db.order_with_id(id, user, game, 1).await;
            order_at_g2a(&db, order.units[0], &format!("g2a-{n}")).await;
        });
    }
    tasks.join_all().await;
    apply_all(&db.store).await;
    assert_eq!(db.count("webhook_events where applied_at is null").await, 0);
    assert_eq!(db.count("webhook_events").await, i64::try_from(2 * ORDERS).unwrap());
}

/// The number of sequential scans of each table. A session's statistics are complete only after it has ended.
async fn seq_scans(db: &TestDb) -> Vec<(String, i64)> {
    db.cut_connections().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while db
        .count(
            "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                and backend_type = 'client backend'",
        )
        .await
        > 0
    {
        assert!(tokio::time::Instant::now() < deadline, "sessions do not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::query_as(
        "select relname::text, seq_scan from pg_stat_user_tables
          where relname in ('orders', 'g2a_orders', 'webhook_events') order by 1",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap()
}

/// With hundreds of thousands of orders and hundreds of pending events, no table is scanned sequentially.
#[tokio::test]
async fn large_tables_are_never_scanned_for_events() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let user = db.user("ada@example.org", "50.00").await;
    // Plans come from the statistics made below, not from those that autovacuum may make between two events.
    for table in ["orders", "g2a_orders", "webhook_events"] {
        db.execute(&format!("alter table {table} set (autovacuum_enabled = off)"))
            .await;
    }
    db.execute(&format!(
        "begin; set local session_replication_role = replica;
         insert into orders (user_id, subtotal, total) select '{user}', 1, 1 from generate_series(1, 200000);
         insert into order_items (order_id, game_id, price) select id, '{game}', 1 from orders limit 50;
         insert into order_units (order_id, order_item_id, game_id, position, price_paid, state, refunded_for)
         select order_id, id, game_id, 1, 1, 'REFUNDED', 'CANCELLED' from order_items;
         insert into g2a_orders (g2a_order_id, order_unit_id, price)
         select 'g' || row_number() over (), id, 1 from order_units;
         insert into g2a_orders (g2a_order_id, order_unit_id, price)
         select 'other-' || n, gen_random_uuid(), 1 from generate_series(1, 200000) n;
         commit;
         insert into webhook_events (source, event_id, order_ref, kind, payload)
         select 'g2a', 'e' || n, case when n % 2 = 0 then gen_random_uuid()::text else 'unknown-' || n end, 'k', '{{}}'
           from generate_series(1, 400) n;
         analyze"
    ))
    .await;
    let before = seq_scans(&db).await;
    for n in 0..50 {
        assert!(!events::has_due(&db.store).await.unwrap());
        let unknown = event("new", &Uuid::new_v4().to_string());
        assert_eq!(take(&db.store, unknown).await, Taken::Kept);
        let known = event("new", &format!("g{}", n + 1));
        assert!(matches!(take(&db.store, known).await, Taken::Applied(_)));
        let order = db.order(user, game, 1).await;
        order_at_g2a(&db, order.units[0], &format!("unknown-{}", 2 * n + 1)).await;
        assert_eq!(apply_all(&db.store).await, 1);
    }
    assert_eq!(seq_scans(&db).await, before);
}
