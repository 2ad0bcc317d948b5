//! A large account of one shopper does not make the process large.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_testkit::TestDb;
use uuid::Uuid;

use crate::program::{DEADLINE, Running, client, lockstep};

const PASSWORD: &str = "Correct-Horse-1";
/// Maximum growth of the process's memory by four concurrent exports, in kB, whatever their size.
const MOST_KB: u64 = 40_000;

struct Shopper {
    id: Uuid,
    token: String,
}

/// Registers an account. On a machine that is busy with other tests, hashing the password can take longer than a
/// request may; then the request is repeated, and the account may exist already.
async fn register(store: &Running, email: &str) -> Shopper {
    let started = Instant::now();
    for way in ["register", "login"].into_iter().cycle() {
        let answer = client()
            .post(format!("http://{}/api/auth/{way}", store.address))
            .json(&serde_json::json!({"email": email, "password": PASSWORD}))
            .timeout(DEADLINE)
            .send()
            .await
            .expect("an answer");
        if answer.status().is_success() {
            let answer: serde_json::Value = answer.json().await.expect("JSON");
            let text = |pointer: &str| answer.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            return Shopper {
                id: text("/data/user/id").parse().unwrap(),
                token: text("/data/token"),
            };
        }
        assert!(started.elapsed() < DEADLINE, "{way} answers {}", answer.status());
    }
    unreachable!("it is asked again and again")
}

/// Reads an export to its end; returns its size in bytes and its number of rows.
async fn export(store: &Running, shopper: &Shopper) -> (usize, usize) {
    let mut response = client()
        .get(format!("http://{}/api/user/export", store.address))
        .bearer_auth(&shopper.token)
        .timeout(Duration::from_mins(10))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let (mut bytes, mut rows, mut last) = (0, 0, Vec::new());
    while let Some(chunk) = response.chunk().await.expect("it is whole") {
        bytes += chunk.len();
        rows += chunk.split(|byte| *byte == b'\n').count() - 1;
        last.extend_from_slice(&chunk);
        last.drain(..last.len().saturating_sub(2));
    }
    assert_eq!(last, b"}}", "it is whole");
    (bytes, rows)
}

/// Runs four exports at once and checks how much memory they add.
async fn four_exports(store: Running, shoppers: [Shopper; 4], rows: usize) {
    // Warms up what is created once.
    store.get("/api/games").await;
    let before = store.memory_kb("VmRSS");
    store.forget_peak();
    let started = Instant::now();
    let store = Arc::new(store);
    let reads = shoppers.iter().map(|shopper| export(&store, shopper));
    let read = futures::future::join_all(reads).await;
    let took = started.elapsed();
    let peak = store.memory_kb("VmHWM");
    let bytes: usize = read.iter().map(|(bytes, _)| bytes).sum();
    let found: usize = read.iter().map(|(_, rows)| rows).sum();
    assert!(found >= rows, "{found} rows");
    tracing::info!(before, peak, bytes, found, ?took, "four exports at once");
    assert!(
        peak < before + MOST_KB,
        "{found} rows, {bytes} bytes in {took:?}: from {before} to {peak} kB"
    );
}

/// Inserts rows past the trigger that folds them; they are minutes apart.
async fn looks(db: &TestDb, shopper: &Shopper, key: Uuid, rows: usize) {
    let id = shopper.id;
    db.execute(&format!(
        "begin;
         alter table key_reveals disable trigger key_reveals_fold;
         insert into key_reveals (game_key_id, user_id, how, at, last_at)
         select '{key}', '{id}', 'PAGE', at, at
           from generate_series(1, {rows}) n, lateral (select now() - n * interval '1 minute' as at) _;
         alter table key_reveals enable trigger key_reveals_fold;
         commit"
    ))
    .await;
}

async fn shop() -> (TestDb, Running, Uuid, [Shopper; 4]) {
    let db = TestDb::new().await;
    let store = Running::start(lockstep(&["web"]).env("DATABASE_URL", db.url())).await;
    let mut shoppers = Vec::new();
    for n in 1..=4 {
        shoppers.push(register(&store, &format!("{n}@example.org")).await);
    }
    let game = db.game("Portal", "portal", "10.00").await;
    let buyer = db.user("buyer@example.org", "10.00").await;
    let order = db.order(buyer, game, 1).await;
    let key = db.deliver(order.units[0]).await;
    let shoppers = shoppers.try_into().unwrap_or_else(|_| panic!("four"));
    (db, store, key, shoppers)
}

#[tokio::test]
async fn four_exports_of_100_000_rows_need_little_memory() {
    let (db, store, key, shoppers) = shop().await;
    for shopper in &shoppers {
        looks(&db, shopper, key, 25_000).await;
    }
    db.execute("analyze").await;
    four_exports(store, shoppers, 100_000).await;
}

#[tokio::test]
#[ignore = "measures what is told in docs/operations.md; takes minutes"]
async fn four_exports_of_300_000_reveals_each() {
    let (db, store, key, shoppers) = shop().await;
    for shopper in &shoppers {
        looks(&db, shopper, key, 300_000).await;
    }
    db.execute("analyze").await;
    four_exports(store, shoppers, 1_200_000).await;
}

#[tokio::test]
#[ignore = "measures what is told in docs/operations.md; takes minutes"]
async fn four_exports_one_of_400_000_orders() {
    let (db, store, _, shoppers) = shop().await;
    let id = shoppers[0].id;
    db.execute(&format!(
        "begin;
         set local session_replication_role = replica;
         insert into orders (user_id, subtotal, total, status, completed_at, created_at)
         select '{id}', 10, 10, 'COMPLETED', now(), now() - n * interval '1 minute' from generate_series(1, 400000) n;
         insert into order_items (order_id, game_id, price)
         select o.id, g.id, 10 from orders o, games g where o.user_id = '{id}';
         insert into order_units (order_id, order_item_id, game_id, position, price_paid, state)
         select order_id, id, game_id, 1, 10, 'DONE' from order_items i where exists (select from orders o where o.id = i.order_id and o.user_id = '{id}');
         insert into game_keys (game_id, key_ciphertext, key_hash, order_id, order_unit_id)
         select game_id, 'sealed', sha256(id::text::bytea), order_id, id from order_units u
          where exists (select from orders o where o.id = u.order_id and o.user_id = '{id}');
         insert into transactions (user_id, order_id, type, amount, status, created_at)
         select '{id}', id, 'PURCHASE', -10, 'COMPLETED', created_at from orders where user_id = '{id}';
         commit"
    ))
    .await;
    db.execute("vacuum analyze").await;
    four_exports(store, shoppers, 800_000).await;
}
