//! `lockstep serve` crashes during requests: orders are placed through its API and signed events are delivered to it,
//! and both are sent again until they are answered. Wherever it crashed, the result is one order, one charge and one
//! event.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use lockstep_g2a_sandbox::Sandbox;
use lockstep_testkit::{TestDb, sqlx};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::{Accident, PRODUCT, SECRET, all_end, check_books, last_line, number, open_units, plan, stop, supplier};
use crate::program::{DEADLINE, client, lockstep, with_account};

const RELAY: &str = "a-relays-secret";
/// Failure points of a serving store that an order and an event pass, in the order in which they are passed.
const NAMED: &[&str] = &[
    "checkout.before",
    "checkout.take.before",
    "checkout.take.after",
    "checkout.written",
    "checkout.booked",
    "checkout.commit.before",
    "checkout.after",
    "webhook.before",
    "webhook.taken",
    "webhook.commit.before",
    "webhook.after",
];
/// Approximate number of failure points that one order of two copies and its event pass in a serving store.
const PLACES: u64 = 80;

/// A shop with one game and one shopper, whose program is restarted repeatedly.
struct Shop {
    db: TestDb,
    g2a: Sandbox,
    folder: TempDir,
    address: String,
    game: Uuid,
    token: String,
    signed_in: Instant,
}

impl Shop {
    async fn open() -> Self {
        let (db, g2a) = (TestDb::new().await, supplier().await);
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .unwrap();
        let game = db.game("Portal", "portal", "10.20").await;
        db.at_g2a(game, PRODUCT).await;
        let mut shop = Self {
            folder: tempfile::tempdir().unwrap(),
            address: address.to_string(),
            token: String::new(),
            signed_in: Instant::now(),
            db,
            g2a,
            game,
        };
        let program = shop.start(None);
        shop.sign_in("/api/auth/register").await;
        shop.db
            .execute(
                "with paid_in as (update users set balance = balance + 9000 returning id)
                 insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 9000, 'COMPLETED' from paid_in",
            )
            .await;
        stop(program).await;
        shop
    }

    async fn sign_in(&mut self, path: &str) {
        let account = json!({"email": "ada@example.org", "password": "Correct-Horse-1"});
        let (_, answer) = self.call(path, &account, None).await.expect("an answer");
        let token = answer["data"]["token"].as_str();
        self.token = token.map_or_else(|| panic!("{answer}"), str::to_owned);
        self.signed_in = Instant::now();
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("places")
    }

    fn command(&self, data: &Path) -> Command {
        let mut command = lockstep(&["serve"]);
        with_account(&mut command, &self.g2a)
            .env("DATABASE_URL", self.db.url())
            .env("LOCKSTEP_DATA_DIR", data)
            .env("LOCKSTEP_BIND", &self.address)
            .env("LOCKSTEP_KEY_SECRET", SECRET)
            .env("LOCKSTEP_PACE", "test")
            .env("LOCKSTEP_RATE_LIMITS", "off")
            .env("G2A_WEBHOOK_SECRET", RELAY)
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts the store; with `crash_at`, one that crashes at that failure point.
    fn start(&self, crash_at: Option<&str>) -> Child {
        let mut command = self.command(self.folder.path());
        if let Some(place) = crash_at {
            drop(std::fs::remove_file(self.log()));
            command
                .env("LOCKSTEP_CRASH_AT", place)
                .env("LOCKSTEP_CRASH_LOG", self.log());
        }
        command.spawn().unwrap()
    }

    /// Sends one request; `None` without a complete response. Waits for a store that is starting, but not for one that
    /// is gone.
    async fn call(&self, path: &str, body: &Value, key: Option<&str>) -> Option<(u16, Value)> {
        let began = Instant::now();
        loop {
            let mut request = client()
                .post(format!("http://{}{path}", self.address))
                .header("authorization", format!("Bearer {}", self.token))
                .json(body);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            match request.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let answer: Value = answer.json().await.ok()?;
                    if answer["error"]["code"] == "starting" && began.elapsed() < Duration::from_secs(30) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    return Some((status, answer));
                }
                // Nothing listens yet, or any more.
                Err(error) if error.is_connect() && began.elapsed() < Duration::from_secs(2) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(_) => return None,
            }
        }
    }

    /// Repeats the request until it succeeds or the program is dead.
    async fn insist(
        &self,
        program: &mut Child,
        path: &str,
        body: impl Fn() -> Value,
        key: Option<&str>,
    ) -> Option<Value> {
        let began = Instant::now();
        loop {
            match self.call(path, &body(), key).await {
                Some((200..=299, answer)) => return Some(answer),
                // The database connection may be cut at the moment; no other error is a valid answer to a valid
                // request.
                Some((status, answer)) => assert!(status >= 500, "{path}: {status} {answer}"),
                None => {}
            }
            if program.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(began.elapsed() < DEADLINE, "{path} is neither answered nor cut off");
        }
    }

    /// Places this run's order and delivers the event about it, unless the program crashes.
    async fn order_and_tell(&self, program: &mut Child, run: &str) -> Option<Uuid> {
        let wanted = json!({"items": [{"gameId": self.game, "quantity": 2}]});
        let answer = self
            .insist(program, "/api/orders", || wanted.clone(), Some(run))
            .await?;
        let order: Uuid = answer["data"]["id"].as_str().unwrap().parse().unwrap();
        // Delivered twice, as relays do.
        for _ in 0..2 {
            self.insist(program, "/api/g2a/webhook", || event(run, order), None)
                .await?;
        }
        Some(order)
    }

    /// One run. Returns false if everything ended before the failure point was reached.
    async fn dies_at(&mut self, place: &str, accident: Accident, met: &mut BTreeSet<String>) -> bool {
        let context = format!("serving, place {place}, {accident:?}");
        let (control, run) = (self.g2a.control(), Uuid::new_v4().to_string());
        self.db.at_g2a(self.game, PRODUCT).await;
        let (charged, orders) = (control.ledger().orders.len(), self.db.count("orders").await);
        control.clear_faults();
        if let Some(rule) = accident.rule() {
            control.add_fault(rule);
        }

        // Before the token expires.
        if self.signed_in.elapsed() > Duration::from_mins(5) {
            let program = self.start(None);
            self.sign_in("/api/auth/login").await;
            stop(program).await;
        }

        let mut program = self.start(Some(place));
        let mut order = self.order_and_tell(&mut program, &run).await;
        let began = Instant::now();
        let mut died = program.try_wait().unwrap().is_some();
        while order.is_some() && open_units(&self.db).await > 0 && !died {
            if accident == Accident::DatabaseCut && began.elapsed() < Duration::from_secs(1) {
                self.db.cut_connections().await;
            }
            died = program.try_wait().unwrap().is_some();
            assert!(
                began.elapsed() < DEADLINE,
                "{context}: it neither died nor came to rest"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop(program).await;
        assert!(died || order.is_some(), "{context}: no order, and no death");

        // The clients do not know the outcome, and send everything again.
        let mut again = self.start(None);
        let repeated = self.order_and_tell(&mut again, &run).await;
        assert!(repeated.is_some(), "{context}: the second store died too");
        assert_eq!(
            *order.get_or_insert(repeated.unwrap()),
            repeated.unwrap(),
            "{context}: another order"
        );
        all_end(&self.db, &context).await;
        assert_eq!(
            self.order_and_tell(&mut again, &run).await,
            order,
            "{context}: another order"
        );
        stop(again).await;
        control.clear_faults();

        let order = order.unwrap();
        assert_eq!(self.db.count("orders").await, orders + 1, "{context}: orders");
        let (charges, events): (i64, i64) = sqlx::query_as(
            "select (select count(*) from transactions where order_id = $1 and type = 'PURCHASE'),
                    (select count(*) from webhook_events where event_id = $2 and order_id = $1)",
        )
        .bind(order)
        .bind(&run)
        .fetch_one(&self.db.sql)
        .await
        .unwrap();
        assert_eq!((charges, events), (1, 1), "{context}: charges and events");
        check_books(&self.db, &self.g2a, charged, &context).await;
        if died {
            met.extend(last_line(&self.log()));
        }
        died
    }
}

/// A signed event about `order`.
fn event(id: &str, order: Uuid) -> Value {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(RELAY.as_bytes()).unwrap();
    mac.update(format!(r#"{{"status":"complete"}}{at}{id}{RELAY}"#).as_bytes());
    json!({
        "event_id": id, "order_id": order, "type": "order.completed", "payload": {"status": "complete"},
        "signature": hex::encode(mac.finalize().into_bytes()), "nonce": id, "timestamp": at,
    })
}

#[tokio::test]
async fn crash_during_requests_yields_one_order_one_charge_one_event() {
    let (mut shop, mut met, began) = (Shop::open().await, BTreeSet::new(), Instant::now());
    let (runs, seed) = plan(4);
    let mut made = 0;
    if let Some(runs) = runs {
        for run in 0..runs {
            // Every other run uses one of the named failure points, the others are spread evenly.
            let (place, accident) = if run % 2 == 0 {
                let named = NAMED[usize::try_from(seed + run / 2 * 5).unwrap() % NAMED.len()];
                (named.to_owned(), Accident::None)
            } else {
                let all = [Accident::wire(), vec![Accident::None, Accident::DatabaseCut]].concat();
                let place = 1 + (number(seed, 2 * run) % PLACES + run * PLACES / runs) % PLACES;
                (
                    place.to_string(),
                    all[usize::try_from(number(seed, 2 * run + 1)).unwrap() % all.len()],
                )
            };
            let died = shop.dies_at(&place, accident, &mut met).await;
            assert!(died || !place.contains('.'), "{place} was not met");
            made += 1;
        }
    } else {
        for place in NAMED {
            for accident in [Accident::None, Accident::DatabaseCut] {
                assert!(shop.dies_at(place, accident, &mut met).await, "{place} was not met");
                made += 1;
            }
        }
        let mut place = 1_u64;
        while shop.dies_at(&place.to_string(), Accident::None, &mut met).await {
            place += 1;
            made += 1;
        }
        assert!(place > 40, "only {place} places were met");
    }
    println!(
        "serving: {made} runs, dead at {} different places, {:.0} s: {met:?}",
        met.len(),
        began.elapsed().as_secs_f64()
    );
}
