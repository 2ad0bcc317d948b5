//! Deliveries to a real HTTP server, from the change in the database to the recorded result.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use lockstep_clock::{Clock, Random};
use lockstep_domain::ids::UserId;
use lockstep_store::Store;
use lockstep_testkit::TestDb;
use lockstep_vault::Keys;
use lockstep_webhooks::{AddressPolicy, Round, Sender, Webhooks};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The bytes of the test's secret, and the secret itself.
const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A request that a receiver got.
#[derive(Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A receiver whose path says how it answers: a status, or `hold` until it is released.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    release: Arc<Notify>,
}

impl Receiver {
    async fn start() -> (Self, u16) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/{how}", post(receive))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, port)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    Path(how): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, String); 2]) {
    receiver.got.lock().unwrap().push(Got {
        path: how.clone(),
        headers,
        body,
    });
    if how == "hold" {
        receiver.release.notified().await;
    }
    let status = how.parse().unwrap_or(204);
    (
        StatusCode::from_u16(status).unwrap(),
        [("location", "/204".to_owned()), ("retry-after", "600".to_owned())],
    )
}

/// HMAC-SHA-256 from its definition, independent of the library that signs.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn is_signed(got: &Got, key: &[u8]) -> bool {
    let mut text = format!("{}.{}.", got.header("webhook-id"), got.header("webhook-timestamp")).into_bytes();
    text.extend_from_slice(&got.body);
    let expected = format!("v1,{}", base64(&hmac(key, &text)));
    got.header("webhook-signature").split(' ').any(|one| one == expected)
}

async fn endpoint(db: &TestDb, url: &str, events: &str, bound: i32) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(AssertSqlSafe(format!(
        "insert into webhook_endpoints (id, name, url, events, low_stock_below) values ($1, 'Receiver', $2, array[{events}], $3)"
    )))
    .bind(id)
    .bind(url)
    .bind(bound)
    .execute(&db.sql)
    .await
    .unwrap();
    add_secret(db, id, SECRET, None).await;
    id
}

async fn add_secret(db: &TestDb, endpoint: Uuid, secret: &str, ends: Option<&str>) {
    let id = Uuid::now_v7();
    let keys: Keys = lockstep_testkit::secrets();
    let sealed = keys.seal(&lockstep_store::webhooks::place(id), secret.as_bytes());
    sqlx::query("insert into webhook_secrets (id, endpoint_id, sealed, hint, ends_at) values ($1, $2, $3, 'whsec_…abcd', now() + $4::text::interval)")
        .bind(id)
        .bind(endpoint)
        .bind(sealed)
        .bind(ends)
        .execute(&db.sql)
        .await
        .unwrap();
}

fn worker(store: &Store, private: bool) -> Webhooks {
    let policy = AddressPolicy {
        private_addresses: private,
        plain_http: true,
    };
    Webhooks::new(
        store.clone(),
        Sender::new(policy, Clock::system()).unwrap(),
        Random::seeded(7),
    )
}

async fn rows(db: &TestDb) -> Vec<(String, i32, Option<i16>, Option<String>)> {
    sqlx::query_as("select state, attempts, status, last_error from webhook_deliveries order by created_at, id")
        .fetch_all(&db.sql)
        .await
        .unwrap()
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached().await {
        assert!(Instant::now() < deadline, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_happens_is_told_with_the_change_and_signed_by_every_secret() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    let all = "'game.in_stock','game.out_of_stock','game.price_changed','order.created','order.failed','order.refunded','stock.low'";
    let id = endpoint(&db, &format!("http://127.0.0.1:{port}/204"), all, 2).await;
    let former = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    add_secret(&db, id, former, Some("1 hour")).await;
    add_secret(&db, id, "whsec_AAAA", Some("-1 second")).await;
    let game = db.game("Portal", "portal", "10.00").await;
    // A change that is taken back is not told.
    let mut undone = db.sql.begin().await.unwrap();
    sqlx::query("update games set price = 99")
        .execute(&mut *undone)
        .await
        .unwrap();
    undone.rollback().await.unwrap();
    db.execute("update games set price = 12.50; update games set in_stock = false; update games set in_stock = true; update games set title = 'Portal 1'")
        .await;
    for _ in 0..3 {
        db.key(game).await;
    }
    // Sold at the same time: the bound is crossed once.
    let keys: Vec<Uuid> = sqlx::query_scalar("select id from game_keys")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    let gone = keys.iter().map(|key| {
        sqlx::query("delete from game_keys where id = $1")
            .bind(key)
            .execute(&db.sql)
    });
    for done in futures::future::join_all(gone).await {
        done.unwrap();
    }
    let user = db.user("ada@example.org", "100.00").await;
    let order = db.order(user, game, 1).await;
    let worker = worker(&db.store, true);
    until("all are delivered", async || {
        worker.round().await.unwrap() == Round::default()
    })
    .await;
    let got = receiver.got();
    let told: Vec<(String, Value)> = got
        .iter()
        .map(|got| {
            let body = got.json();
            (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
        })
        .collect();
    let game = game.to_string();
    let expected = [
        ("game.in_stock", json!({"gameId": game, "inStock": true})),
        ("game.out_of_stock", json!({"gameId": game, "inStock": false})),
        (
            "game.price_changed",
            json!({"gameId": game, "price": 12.5, "previousPrice": 10.0, "currency": "EUR"}),
        ),
        (
            "order.created",
            json!({"orderId": order.id, "status": "PENDING", "total": told.iter().find(|(kind, _)| kind == "order.created").unwrap().1["total"], "discount": 0.0, "currency": "EUR"}),
        ),
        ("stock.low", json!({"gameId": game, "unsoldKeys": 1, "below": 2})),
    ];
    let mut told = told;
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let told: Vec<(&str, Value)> = told.iter().map(|(kind, data)| (kind.as_str(), data.clone())).collect();
    assert_eq!(told, expected);
    for got in &got {
        assert!(is_signed(got, KEY) && is_signed(got, b"fedcba9876543210fedcba9876543210"));
        assert_eq!(
            got.header("webhook-signature").split(' ').count(),
            2,
            "the third has ended"
        );
        assert!(got.header("webhook-id").starts_with("evt_"));
        assert_eq!(got.header("content-type"), "application/json");
        let text = String::from_utf8(got.body.to_vec()).unwrap();
        assert!(!text.contains('@') && !text.contains("Portal"), "{text}");
    }
}

#[tokio::test]
async fn many_events_and_several_workers_give_each_event_one_recorded_success() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    endpoint(&db, &format!("http://127.0.0.1:{port}/204"), "'game.price_changed'", 5).await;
    // One that is dead delays nobody, and gets one request at a time.
    let dead = endpoint(&db, &format!("http://127.0.0.1:{port}/hold"), "'game.price_changed'", 5).await;
    for n in 0..40 {
        db.game(&format!("Game {n}"), &format!("game-{n}"), "10.00").await;
    }
    sqlx::query("update webhook_endpoints set failing_since = now() where id = $1")
        .bind(dead)
        .execute(&db.sql)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for _ in 0..3 {
        let store = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
        store.seal_mail_with(lockstep_testkit::secrets());
        let (worker, stop) = (worker(&store, true), stop.clone());
        running.push(tokio::spawn(async move { worker.run(stop).await }));
    }
    for round in 1..=5 {
        db.execute(&format!("update games set price = 10 + {round}")).await;
    }
    let of = |endpoint: &'static str| {
        format!(
            "select count(*) from webhook_deliveries d join webhook_endpoints e on e.id = d.endpoint_id where e.url like '%/{endpoint}' and d.state = 'delivered'"
        )
    };
    let count = async |statement: String| -> i64 {
        sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(&db.sql)
            .await
            .unwrap()
    };
    until("200 are delivered", async || count(of("204")).await == 200).await;
    let got = receiver.got();
    let held = got.iter().filter(|got| got.path == "hold").count();
    assert!(held <= 1, "{held} requests to an endpoint that fails");
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for got in got.iter().filter(|got| got.path == "204") {
        assert!(is_signed(got, KEY));
        *times.entry(got.header("webhook-id")).or_default() += 1;
    }
    assert_eq!(times.len(), 200, "each at least once");
    assert!(times.values().all(|times| *times == 1), "no worker died");
    let attempts: i64 =
        count("select sum(attempts)::bigint from webhook_deliveries where state = 'delivered'".into()).await;
    assert_eq!(attempts, 200);
    stop.cancel();
    let ended = futures::future::join_all(running);
    tokio::pin!(ended);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        tokio::select! {
            all = &mut ended => break assert!(all.iter().all(Result::is_ok)),
            () = tokio::time::sleep(Duration::from_millis(5)) => receiver.release.notify_waiters(),
        }
        assert!(Instant::now() < deadline, "the workers end");
    }
}

#[tokio::test]
async fn a_worker_killed_between_request_and_record_is_followed_by_the_same_delivery() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    endpoint(&db, &format!("http://127.0.0.1:{port}/hold"), "'game.price_changed'", 5).await;
    db.game("Portal", "portal", "10.00").await;
    db.execute("update games set price = 11").await;
    let first = worker(&db.store, true);
    let killed = tokio::spawn(async move { first.round().await });
    until("the request arrived", async || receiver.got().len() == 1).await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    let other = worker(&db.store, true);
    assert_eq!(other.round().await.unwrap(), Round::default(), "its lease still holds");
    db.execute("update webhook_deliveries set not_before = now()").await;
    let again = tokio::spawn(async move { other.round().await });
    until("it arrived again", async || receiver.got().len() == 2).await;
    receiver.release.notify_one();
    let delivered = again.await.unwrap().unwrap().delivered;
    let got = receiver.got();
    assert_eq!(
        (delivered, got[0].header("webhook-id")),
        (1, got[1].header("webhook-id"))
    );
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(rows(&db).await, [("delivered".to_owned(), 2, Some(204), None)]);
}

#[tokio::test]
async fn failures_are_retried_then_given_up_and_disable_the_endpoint() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    let id = endpoint(&db, &format!("http://127.0.0.1:{port}/302"), "'game.price_changed'", 5).await;
    db.game("Portal", "portal", "10.00").await;
    db.execute("update games set price = 11").await;
    let worker_of_all = worker(&db.store, true);
    let to = async |how: &str| {
        let url = format!("http://127.0.0.1:{port}/{how}");
        sqlx::query("update webhook_endpoints set url = $1")
            .bind(url)
            .execute(&db.sql)
            .await
            .unwrap();
        db.execute("update webhook_deliveries set not_before = now()").await;
    };
    let wait = async || -> i64 {
        sqlx::query_scalar("select extract(epoch from not_before - now())::bigint from webhook_deliveries")
            .fetch_one(&db.sql)
            .await
            .unwrap()
    };
    assert_eq!(worker_of_all.round().await.unwrap().later, 1);
    assert_eq!(receiver.got().len(), 1, "the redirect is not followed");
    assert_eq!(
        rows(&db).await[0].3.as_deref(),
        Some("it answered 302; redirects are not followed")
    );
    assert!((500..=600).contains(&wait().await), "as Retry-After asks");
    // An address that leads to this machine by the time of the request, whatever it did when it was saved.
    to("204").await;
    db.execute(&format!(
        "update webhook_endpoints set url = 'http://localhost:{port}/204'"
    ))
    .await;
    assert_eq!(worker(&db.store, false).round().await.unwrap().later, 1);
    let (_, attempts, status, reason) = rows(&db).await.remove(0);
    assert_eq!((attempts, status, receiver.got().len()), (2, None, 1));
    assert!(reason.unwrap().contains("private network"));
    assert!(
        (200..=360).contains(&wait().await),
        "five minutes and up to a fifth more"
    );
    let disabled = async || -> Option<String> {
        sqlx::query_scalar("select disabled_reason from webhook_endpoints where id = $1")
            .bind(id)
            .fetch_one(&db.sql)
            .await
            .unwrap()
    };
    let days = Some("No delivery has succeeded for three days.");
    let enable = "update webhook_endpoints set disabled_at = null, disabled_reason = null";
    // After three days without a success, although more attempts are to come: these wait, and nothing vanishes.
    to("500").await;
    db.execute("update webhook_endpoints set failing_since = now() - interval '73 hours'")
        .await;
    assert_eq!(worker_of_all.round().await.unwrap().later, 1);
    assert_eq!((disabled().await.as_deref(), &*rows(&db).await[0].0), (days, "waiting"));
    db.execute(enable).await;
    // The last attempt.
    to("500").await;
    db.execute("update webhook_deliveries set attempts = 9; update webhook_endpoints set failing_since = now() - interval '73 hours'")
        .await;
    assert_eq!(worker_of_all.round().await.unwrap().given_up, 1);
    assert_eq!(disabled().await.as_deref(), days);
    assert_eq!(
        rows(&db).await,
        [("failed".to_owned(), 10, Some(500), Some("it answered 500".to_owned()))]
    );
    // While it is disabled nothing is written for it; enabled again, 410 disables it at once.
    db.execute("update games set price = 12").await;
    assert_eq!(rows(&db).await.len(), 1);
    db.execute("update webhook_endpoints set disabled_at = null, disabled_reason = null, failing_since = null; update games set price = 13")
        .await;
    to("410").await;
    assert_eq!(worker_of_all.round().await.unwrap().given_up, 1);
    assert_eq!(disabled().await.as_deref(), Some("It answered 410: it is gone."));
    // Without a secret that opens, a delivery waits and counts no attempt.
    db.execute("update webhook_endpoints set disabled_at = null, disabled_reason = null; update webhook_secrets set sealed = 'x'; update games set price = 14")
        .await;
    to("204").await;
    assert_eq!(worker_of_all.round().await.unwrap().later, 1);
    let (state, attempts, ..) = rows(&db).await.pop().unwrap();
    assert_eq!((state.as_str(), attempts), ("waiting", 0));
    // Put off from minute to minute, it is seen all the same.
    db.execute("update webhook_deliveries set queued_at = now() - interval '1 hour' where state = 'waiting'")
        .await;
    let figures = lockstep_store::webhooks::figures(&db.store).await.unwrap();
    assert!((3_600..3_700).contains(&figures.oldest_due), "{figures:?}");
}

/// Whether a session waits for a row or for another transaction.
async fn waits(db: &TestDb) -> bool {
    sqlx::query_scalar(
        "select exists (select from pg_locks l join pg_stat_activity a using (pid)
          where not l.granted and l.locktype in ('transactionid', 'tuple') and a.datname = current_database())",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_worker_is_not_woken_by_itself_and_checks_again_after_a_wait() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    endpoint(&db, &format!("http://127.0.0.1:{port}/204"), "'game.price_changed'", 5).await;
    db.game("Portal", "portal", "10.00").await;
    db.execute("update games set price = 11").await;
    let mut commits = db.store.commits();
    commits.borrow_and_update();
    assert_eq!(worker(&db.store, true).round().await.unwrap().delivered, 1);
    assert!(!commits.has_changed().unwrap(), "neither its claim nor its result");
    // The row that a claim waits for ends meanwhile.
    db.execute("update games set price = 12").await;
    let mut other = db.sql.begin().await.unwrap();
    sqlx::query("update webhook_deliveries set state = 'delivered', ended_at = now() where state = 'waiting'")
        .execute(&mut *other)
        .await
        .unwrap();
    let late = worker(&db.store, true);
    let late = tokio::spawn(async move { late.round().await });
    until("the claim waits", async || waits(&db).await).await;
    other.commit().await.unwrap();
    assert_eq!(late.await.unwrap().unwrap(), Round::default());
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn an_answer_of_a_former_address_says_nothing_about_the_endpoint() {
    let db = TestDb::new().await;
    let (receiver, port) = Receiver::start().await;
    let id = endpoint(&db, &format!("http://127.0.0.1:{port}/hold"), "'game.price_changed'", 5).await;
    db.game("Portal", "portal", "10.00").await;
    db.execute("update games set price = 11").await;
    let claimed = lockstep_store::webhooks::claim(
        &db.store,
        lockstep_store::webhooks::Room { all: 1, each: 1 },
        Duration::from_mins(1),
    )
    .await
    .unwrap();
    db.execute(&format!(
        "update webhook_endpoints set url = 'http://127.0.0.1:{port}/204'"
    ))
    .await;
    let gone = lockstep_store::webhooks::Failure {
        status: Some(410),
        reason: "it answered 410".into(),
        retry_in: None,
        is_gone: true,
    };
    let after = lockstep_store::webhooks::failed(&db.store, &claimed[0], &gone).await;
    assert_eq!(after.unwrap(), lockstep_store::webhooks::After::Goes);
    let untouched: bool =
        sqlx::query_scalar("select disabled_at is null and failing_since is null from webhook_endpoints where id = $1")
            .bind(id)
            .fetch_one(&db.sql)
            .await
            .unwrap();
    assert!(untouched && receiver.got().is_empty());
}

#[tokio::test]
async fn a_change_goes_on_while_its_endpoint_is_changed_and_deleted() {
    let db = TestDb::new().await;
    let url = "http://127.0.0.1:9/204";
    let id = endpoint(&db, url, "'game.price_changed'", 5).await;
    let game = db.game("Portal", "portal", "10.00").await;
    let admin = db.user("root@example.org", "0").await;
    // Staff change it: the sale does not wait for them.
    let mut staff = db.sql.begin().await.unwrap();
    sqlx::query("select from webhook_endpoints for no key update")
        .execute(&mut *staff)
        .await
        .unwrap();
    sqlx::query("update webhook_endpoints set name = 'Other', version = version + 1")
        .execute(&mut *staff)
        .await
        .unwrap();
    db.execute("set lock_timeout = '2s'; update games set price = 11").await;
    staff.commit().await.unwrap();
    assert_eq!(rows(&db).await.len(), 1);
    // The deletion is under way: it is skipped.
    let mut staff = db.sql.begin().await.unwrap();
    sqlx::query("delete from webhook_endpoints")
        .execute(&mut *staff)
        .await
        .unwrap();
    db.execute("set lock_timeout = '2s'; update games set price = 12").await;
    staff.rollback().await.unwrap();
    assert_eq!(rows(&db).await.len(), 1);
    // Both at the same time, many times.
    let changes = async {
        for n in 0..60 {
            db.execute(&format!("update games set price = 20 + {n} where id = '{game}'"))
                .await;
        }
    };
    let deletion = lockstep_store::admin::webhooks::delete(&db.store, UserId(admin), id);
    let (deleted, ()) = tokio::join!(deletion, changes);
    deleted.unwrap();
    assert_eq!((db.count("webhook_endpoints").await, rows(&db).await.len()), (0, 0));
    let again = lockstep_store::admin::webhooks::delete(&db.store, UserId(admin), id).await;
    assert!(again.is_err(), "there is none");
}

#[tokio::test]
async fn a_copy_bought_at_g2a_takes_nothing_from_the_stock() {
    let db = TestDb::new().await;
    // Had the copy been stock, the second bound would be crossed; the key that goes at the end crosses the first.
    endpoint(&db, "http://127.0.0.1:9/204", "'stock.low'", 3).await;
    endpoint(&db, "http://127.0.0.1:9/204", "'stock.low'", 4).await;
    let game = db.game("Portal", "portal", "10.00").await;
    for _ in 0..3 {
        db.key(game).await;
    }
    let user = db.user("ada@example.org", "100.00").await;
    let order = db.order(user, game, 1).await;
    let unit = order.units[0];
    for step in [
        "state = 'ORDERING'",
        "state = 'ORDERED', g2a_order_id = '77', g2a_price = 1, ordered_at = now()",
        "state = 'PAYING', pay_asked_at = now()",
        "state = 'PAID'",
        "state = 'FETCHING'",
    ] {
        db.execute(&format!("update order_units set {step} where id = '{unit}'"))
            .await;
    }
    let key = db.key(game).await;
    db.execute(&format!(
        "begin; update game_keys set g2a_order_id = '77' where id = '{key}';
         update order_units set state = 'DONE' where id = '{unit}';
         update game_keys set order_unit_id = '{unit}', order_id = (select order_id from order_units where id = '{unit}') where id = '{key}';
         commit"
    ))
    .await;
    assert_eq!(db.count("outgoing_events").await, 0);
    db.execute("delete from game_keys where id = (select id from game_keys where order_unit_id is null limit 1)")
        .await;
    assert_eq!(db.count("outgoing_events where kind = 'stock.low'").await, 1);
}
