//! A shop with one game at G2A, a sandbox behind it, and a worker with waits of milliseconds where the product has
//! minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_domain::Money;
use lockstep_domain::Secret;
use lockstep_domain::ids::{OrderId, UnitId};
use lockstep_fulfilment::{Fulfilment, Settings};
use lockstep_g2a::{Auth, Client, Unlimited};
use lockstep_g2a_sandbox::{Config, Control, Credentials, Knobs, Ledger, PriceBasis, Sandbox};
use lockstep_store::fulfilment as records;
use lockstep_testkit::{OrderRow, TestDb};
use lockstep_vault::Keys;
use serde_json::{Map, json};
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use tempfile::TempDir;
use uuid::Uuid;

/// The G2A product that the shop sells.
pub(crate) const PRODUCT: &str = "10000000000042";

pub(crate) struct Shop {
    pub(crate) db: TestDb,
    pub(crate) g2a: Control,
    pub(crate) sandbox: Sandbox,
    pub(crate) user: Uuid,
    pub(crate) game: Uuid,
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
}

pub(crate) fn keys() -> Keys {
    Keys::parse(&"5a".repeat(32)).unwrap()
}

/// Milliseconds instead of minutes, so that tests wait for states and not for time.
pub(crate) fn quick() -> Settings {
    Settings {
        lease: Duration::from_secs(20),
        request_lifetime: Duration::from_millis(150),
        lost_grace: Duration::from_millis(50),
        unreadable_grace: Duration::from_millis(50),
        backoff: (Duration::from_millis(5), Duration::from_millis(40)),
        alarm_retry: Duration::from_millis(100),
        poll: Duration::from_millis(20),
        ..Settings::default()
    }
}

pub(crate) fn product(id: &str, quantity: u32, min_price: &str, retail: &str) -> Map<String, serde_json::Value> {
    let value = json!({
        "id": id, "name": "Portal", "type": "egoods", "slug": format!("/portal-i{id}"), "qty": quantity,
        "minPrice": min_price.parse::<f64>().unwrap(), "retail_min_price": retail.parse::<f64>().unwrap(),
        "availableToBuy": true, "region": "GLOBAL", "platform": "Steam",
    });
    value.as_object().unwrap().clone()
}

impl Shop {
    /// The game costs 10.00 at G2A and 10.20 here; the user has 100.00; ten are in stock.
    pub(crate) async fn open() -> Self {
        let (db, sandbox) = tokio::join!(
            TestDb::new(),
            Sandbox::start(Config {
                catalogue: lockstep_g2a_sandbox::Catalogue::Generated { count: 1, seed: 1 },
                knobs: Knobs {
                    rate_per_minute: 0,
                    charge_basis: PriceBasis::MinPrice,
                    ..Knobs::default()
                },
                ..Config::default()
            })
        );
        let sandbox = sandbox.unwrap();
        let g2a = sandbox.control();
        g2a.add_product(product(PRODUCT, 10, "10.00", "10.00"));
        let game = db.game("Portal", "portal", "10.20").await;
        db.at_g2a(game, PRODUCT).await;
        let user = db.user("ada@example.org", "100.00").await;
        Self {
            db,
            g2a,
            sandbox,
            user,
            game,
            folder: tempfile::tempdir().unwrap(),
            settings: quick(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let Credentials { hash, email, secret } = self.sandbox.credentials();
        let auth = Auth::Hash {
            api_hash: Secret::new(hash),
            email,
            secret: Secret::new(secret),
        };
        let mut config = lockstep_g2a::Config::new(self.sandbox.base_url(), auth);
        config.timeout = Duration::from_secs(2);
        config.retry.attempts = 1;
        config.retry.rate_limit_pause = Duration::from_millis(20);
        // The circuit breaker has its own tests.
        config.breaker.failures = 10_000;
        Client::new(config, Arc::new(Unlimited)).unwrap()
    }

    /// A worker on the shop's spool folder.
    pub(crate) fn worker(&self) -> Fulfilment {
        Fulfilment::open(
            self.db.store.clone(),
            self.client(),
            keys(),
            &self.folder.path().join("spool"),
            self.settings.clone(),
        )
        .unwrap()
    }

    pub(crate) async fn order(&self, copies: u32) -> OrderRow {
        self.db.order(self.user, self.game, copies).await
    }

    /// Runs until every unit has ended. Panics after 30 s.
    pub(crate) async fn settle(&self, worker: &Fulfilment) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            worker.drain().await.unwrap();
            let open = records::waiting(&self.db.store).await.unwrap().open;
            if open == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{open} unit(s) do not end: {:?}",
                self.units().await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs until `reached` returns true. Panics after 30 s.
    pub(crate) async fn work_until(&self, worker: &Fulfilment, reached: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !reached().await {
            worker.drain().await.unwrap();
            assert!(Instant::now() < deadline, "it is not reached: {:?}", self.units().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// State and last error of every unit.
    pub(crate) async fn units(&self) -> Vec<(String, Option<String>)> {
        sqlx::query_as("select state, last_error from order_units order by position")
            .fetch_all(&self.db.sql)
            .await
            .unwrap()
    }

    pub(crate) async fn states(&self) -> Vec<String> {
        self.units().await.into_iter().map(|(state, _)| state).collect()
    }

    pub(crate) async fn status(&self, order: &OrderRow) -> String {
        sqlx::query_scalar("select status::text from orders where id = $1")
            .bind(order.id)
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    pub(crate) async fn balance(&self) -> Money {
        let balance: rust_decimal::Decimal = sqlx::query_scalar("select balance from users where id = $1")
            .bind(self.user)
            .fetch_one(&self.db.sql)
            .await
            .unwrap();
        Money::new(balance).unwrap()
    }

    pub(crate) async fn incidents(&self) -> Vec<String> {
        sqlx::query_scalar("select kind from incidents order by kind")
            .fetch_all(&self.db.sql)
            .await
            .unwrap()
    }

    /// The refund reasons; transactions and units must agree.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        let of = |statement: &'static str| sqlx::query_scalar(statement).fetch_all(&self.db.sql);
        let booked: Vec<String> = of("select reason from transactions where type = 'REFUND' order by 1")
            .await
            .unwrap();
        let copies: Vec<String> = of("select refunded_for from order_units where state = 'REFUNDED' order by 1")
            .await
            .unwrap();
        assert_eq!(booked, copies);
        booked
    }

    pub(crate) async fn queued_emails(&self) -> Vec<String> {
        sqlx::query_scalar("select kind from mail_outbox order by kind")
            .fetch_all(&self.db.sql)
            .await
            .unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.execute(sql).await;
    }

    /// Makes the database writable or read-only, as an administrator would; its connections are cut.
    pub(crate) async fn take_writes(&self, takes: bool) {
        let (name, value) = (self.db.name(), if takes { "off" } else { "on" });
        self.execute(&format!(
            "begin read write; alter database {name} set default_transaction_read_only = {value}; commit"
        ))
        .await;
        self.db.cut_connections().await;
    }

    /// Waits until `reached` returns true while other tasks work. Panics after 20 s.
    pub(crate) async fn until(&self, what: &str, reached: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !reached().await {
            assert!(
                Instant::now() < deadline,
                "not reached: {what}: {:?}",
                self.units().await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The text of every stored key, decrypted.
    pub(crate) async fn key_texts(&self) -> Vec<String> {
        let rows = sqlx::query("select id, key_ciphertext from game_keys where g2a_order_id is not null")
            .fetch_all(&self.db.sql)
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                let place = records::keys::place(lockstep_domain::ids::KeyId(row.get("id")));
                String::from_utf8(keys().open(&place, row.get("key_ciphertext")).unwrap()).unwrap()
            })
            .collect()
    }

    /// Checks the invariants against the sandbox's ledger.
    pub(crate) async fn check_books(&self) -> Ledger {
        self.db.assert_books_balance().await;
        let ledger = self.g2a.ledger();
        let known: BTreeSet<String> =
            sqlx::query_scalar("select g2a_order_id from g2a_orders where pay_asked_at is not null")
                .fetch_all(&self.db.sql)
                .await
                .unwrap()
                .into_iter()
                .collect();
        let stored: BTreeSet<String> = self
            .key_texts()
            .await
            .into_iter()
            .map(|key| hex::encode(Sha256::digest(key.as_bytes())))
            .collect();
        let flagged: BTreeSet<String> = sqlx::query_scalar(
            "select g2a_order_id from incidents where kind in ('KEY_LOST', 'SUPPLIER_CANCELLED', 'KEY_TWICE') and g2a_order_id is not null",
        )
        .fetch_all(&self.db.sql)
        .await
        .unwrap()
        .into_iter()
        .collect();
        for order in ledger.orders.iter().filter(|order| order.paid_times > 0) {
            assert_eq!(order.paid_times, 1, "paid twice: {order:?}");
            assert!(known.contains(&order.order_id), "paid and unknown here: {order:?}");
            let sha = order.key_sha256.clone().unwrap();
            assert!(
                stored.contains(&sha) || flagged.contains(&order.order_id),
                "paid, and its key is neither stored nor flagged: {order:?}"
            );
        }
        ledger
    }
}

pub(crate) fn order_id(order: &OrderRow) -> OrderId {
    OrderId(order.id)
}

pub(crate) fn unit_id(order: &OrderRow, index: usize) -> UnitId {
    UnitId(order.units[index])
}

pub(crate) fn eur(text: &str) -> Money {
    text.parse().unwrap()
}
