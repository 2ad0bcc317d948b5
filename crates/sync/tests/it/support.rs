//! A store, a sandbox and a gate between them with which tests can stop and observe calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep_clock::Clock;
use lockstep_domain::Secret;
use lockstep_domain::price::Pricing;
use lockstep_g2a::{Auth, Budget, BudgetFuture, CallClass, Client};
use lockstep_g2a_sandbox::{Catalogue, Config, Control, Knobs, Sandbox};
use lockstep_store::Store;
use lockstep_sync::{Context, Report, Settings, SyncError, What, run};
use lockstep_testkit::TestDb;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The action before each call; its argument is the number of the call, from 1.
pub(crate) type BeforeCall = Box<dyn FnMut(u32) + Send>;

/// Lets every call through after the test's action.
pub(crate) struct Gate {
    calls: watch::Sender<u32>,
    before: Mutex<Option<BeforeCall>>,
    places: Semaphore,
}

impl Gate {
    /// Number of calls requested.
    pub(crate) fn calls(&self) -> u32 {
        *self.calls.borrow()
    }

    /// Runs `action` before each call from now on.
    pub(crate) fn before_each(&self, action: impl FnMut(u32) + Send + 'static) {
        *self.before.lock().unwrap() = Some(Box::new(action));
    }

    /// Lets only `calls` more calls through; the next one waits until it is dropped or the gate is
    /// [`open`](Self::open)ed.
    pub(crate) fn only(&self, calls: usize) {
        self.places.forget_permits(usize::MAX >> 4);
        self.places.add_permits(calls);
    }

    /// Lets all calls through again.
    pub(crate) fn open(&self) {
        self.places.add_permits(1 << 20);
    }

    /// Waits until the call with this number is requested.
    pub(crate) async fn reached(&self, call: u32) {
        let mut calls = self.calls.subscribe();
        tokio::time::timeout(Duration::from_secs(30), calls.wait_for(|calls| *calls >= call))
            .await
            .expect("the call is made within half a minute")
            .unwrap();
    }
}

impl Budget for Gate {
    fn acquire(&self, _class: CallClass) -> BudgetFuture<'_> {
        Box::pin(async move {
            self.calls.send_modify(|calls| *calls += 1);
            if let Some(action) = self.before.lock().unwrap().as_mut() {
                action(self.calls());
            }
            self.places.acquire().await.expect("never closed").forget();
            Ok(())
        })
    }

    fn penalise(&self, _wait: Duration) -> BudgetFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

pub(crate) struct Shop {
    pub(crate) db: TestDb,
    pub(crate) sandbox: Sandbox,
    pub(crate) g2a: Control,
    pub(crate) gate: Arc<Gate>,
    pub(crate) cx: Arc<Context>,
}

/// Settings with one page at a time, so that the order of calls is known.
pub(crate) fn one_at_a_time() -> Settings {
    Settings {
        max_in_flight: 1,
        ..Settings::default()
    }
}

impl Shop {
    /// A sandbox with `products` generated products, and an empty store.
    pub(crate) async fn with(products: u64) -> Self {
        Self::start(
            Catalogue::Generated {
                count: products,
                seed: 7,
            },
            Knobs::default(),
            Settings::default(),
        )
        .await
    }

    pub(crate) async fn start(catalogue: Catalogue, knobs: Knobs, settings: Settings) -> Self {
        let knobs = Knobs {
            rate_per_minute: 0,
            ..knobs
        };
        let sandbox = Sandbox::start(Config {
            catalogue,
            knobs,
            ..Config::default()
        })
        .await
        .unwrap();
        let db = TestDb::new().await;
        let gate = Arc::new(Gate {
            calls: watch::Sender::new(0),
            before: Mutex::new(None),
            places: Semaphore::new(1 << 20),
        });
        let client = client(&sandbox, Arc::clone(&gate) as Arc<dyn Budget>);
        let cx = Arc::new(Context::new(db.store.clone(), client, settings, Clock::system()));
        let g2a = sandbox.control();
        Self {
            db,
            sandbox,
            g2a,
            gate,
            cx,
        }
    }

    /// A second process: its own connections, the same database and G2A, no gate.
    pub(crate) fn another_process(&self) -> Context {
        let store = Store::new(self.db.url(), &lockstep_store::Options::default()).unwrap();
        Context::new(store, self.client(), one_at_a_time(), Clock::system())
    }

    /// A client without a gate.
    pub(crate) fn client(&self) -> Client {
        client(&self.sandbox, Arc::new(lockstep_g2a::Unlimited))
    }

    pub(crate) async fn try_run(&self, what: What) -> Result<Report, SyncError> {
        run(&self.cx, what, "test", CancellationToken::new()).await
    }

    pub(crate) async fn run(&self, what: What) -> Report {
        self.try_run(what).await.unwrap()
    }

    /// Runs as soon as the lock of a run that was just dropped is free.
    pub(crate) async fn run_after_crash(&self, what: What) -> Report {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.try_run(what.clone()).await {
                Err(SyncError::AlreadyRunning) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                result => return result.unwrap(),
            }
        }
    }

    /// Every byte of the catalogue and the physical location of its rows: any write changes it.
    pub(crate) async fn bytes(&self) -> String {
        let mut all = String::new();
        for table in [
            "games",
            "game_search",
            "genres",
            "game_genres",
            "tags",
            "game_tags",
            "categories",
            "game_categories",
            "platforms",
            "game_platforms",
            "catalog_totals",
        ] {
            let sql = format!(
                "select coalesce(md5(string_agg(t::text || t.xmin || t.ctid, '|' order by t.ctid)), '') from {table} t"
            );
            let digest: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .fetch_one(&self.db.sql)
                .await
                .unwrap();
            all.push_str(&digest);
        }
        all
    }

    /// The shop's data of each product: price, stock, and whether it is withdrawn.
    pub(crate) async fn games(&self) -> BTreeMap<String, (String, bool, bool)> {
        let rows: Vec<(String, String, bool, bool)> = sqlx::query_as(
            "select g2a_product_id, price::text, in_stock, withdrawn_at is not null from games where g2a_product_id is not null",
        )
        .fetch_all(&self.db.sql)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(id, price, stock, gone)| (id, (price, stock, gone)))
            .collect()
    }

    /// The expected data of each product that G2A lists.
    pub(crate) fn expected(&self) -> BTreeMap<String, (String, bool, bool)> {
        self.products()
            .into_iter()
            .filter_map(|product| {
                let amount = |field: &str| lockstep_domain::money::exact_decimal(&product[field].to_string());
                let list = Pricing::default().list_price(amount("minPrice"), amount("retail_min_price"))?;
                let id = product["id"].as_str()?.to_owned();
                Some((id, (list.price.to_string(), product["qty"].as_u64()? > 0, false)))
            })
            .collect()
    }

    /// Asserts that the games that are not withdrawn are exactly those that G2A lists, with the right price and stock.
    pub(crate) async fn assert_in_line(&self) {
        let mut games = self.games().await;
        games.retain(|_, (_, _, withdrawn)| !*withdrawn);
        self.assert_nothing_overlooked().await;
        assert_eq!(games.len(), self.expected().len(), "games that G2A does not list");
    }

    /// Asserts that every product that G2A lists is present, with the right price and stock.
    pub(crate) async fn assert_nothing_overlooked(&self) {
        let (games, expected) = (self.games().await, self.expected());
        let wrong: Vec<_> = expected
            .iter()
            .filter(|(id, wanted)| games.get(*id) != Some(wanted))
            .map(|(id, wanted)| (id, wanted, games.get(id)))
            .collect();
        assert!(
            wrong.is_empty(),
            "{} of {} differ: {:?}",
            wrong.len(),
            expected.len(),
            &wrong[..wrong.len().min(5)]
        );
    }

    /// All products of the sandbox.
    pub(crate) fn products(&self) -> Vec<Value> {
        self.g2a.products(1, 1_000_000)
    }

    /// The id of the product at this position of G2A's list, from 0.
    pub(crate) fn id_at(&self, place: usize) -> String {
        self.products()[place]["id"].as_str().unwrap().to_owned()
    }

    /// Requests that reached the sandbox.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.g2a
            .requests(20_000)
            .into_iter()
            .map(|request| request.target)
            .collect()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db.sql).await.unwrap()
    }

    pub(crate) async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(&self.db.sql).await.unwrap()
    }
}

fn client(sandbox: &Sandbox, budget: Arc<dyn Budget>) -> Client {
    let who = sandbox.credentials();
    let auth = Auth::Hash {
        api_hash: Secret::new(who.hash),
        email: who.email,
        secret: Secret::new(who.secret),
    };
    let mut config = lockstep_g2a::Config::new(sandbox.base_url(), auth);
    config.retry.attempts = 2;
    config.retry.base = Duration::from_millis(1);
    config.retry.rate_limit_pause = Duration::from_millis(1);
    config.timeout = Duration::from_secs(20);
    config.breaker.failures = 1_000;
    Client::new(config, budget).unwrap()
}

/// A product as in a real export: whole and decimal numbers, empty texts, no description.
pub(crate) fn row(id: u64, name: &str, price: &str) -> Map<String, Value> {
    let price: Value = serde_json::from_str(price).unwrap();
    let Value::Object(map) = json!({
        "id": id.to_string(), "name": name, "type": "", "slug": format!("/x-i{id}"), "qty": 326, "minPrice": price,
        "retail_min_price": 9.25, "retailMinBasePrice": 9, "availableToBuy": false, "thumbnail": "", "smallImage": "",
        "coverImage": "https://images.example.test/cover.jpg", "images": ["https://images.example.test/1.jpg"],
        "updated_at": "", "release_date": "", "region": "", "developer": "", "publisher": "", "platform": "",
        "priceLimit": {"max": null, "min": null}, "restrictions": {"pegi_violence": false, "pegi_online": false},
        "requirements": {"minimal": {"reqprocessor": "", "reqmemory": ""}, "recommended": {"reqprocessor": ""}},
        "videos": [], "categories": [{"id": 189, "name": "Games"}]
    }) else {
        unreachable!("it is an object")
    };
    map
}
