//! A shop under test: its own database, and the router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use lockstep_admin::BackOffice;
use lockstep_api::{ApiState, Settings, SupplierState, SupplierStatus, WebhookTally};
use lockstep_auth::{Keys, TokenSecrets};
use lockstep_cache::{Cache, Config};
use lockstep_clock::ManualClock;
use lockstep_domain::Secret;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::Duties;
use lockstep_payments::Relay;
use lockstep_store::Store;
use lockstep_testkit::{TestDb, shop};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use lockstep_testkit::shop::Answered;
pub(crate) use lockstep_testkit::{NewGame, date};

/// Titles of a list or page of games, in order.
pub(crate) fn titles(games: &Value) -> Vec<String> {
    let list = games.as_array().or_else(|| games["data"].as_array());
    list.expect("a list of games")
        .iter()
        .map(|game| game["title"].as_str().expect("a title").to_owned())
        .collect()
}

/// Secret with which a relay signs its reports.
pub(crate) const RELAY_SECRET: &str = "relay-secret";

pub(crate) struct Shop {
    pub(crate) db: Arc<TestDb>,
    pub(crate) cache: Cache,
    pub(crate) cases: lockstep_shop::Shop,
    pub(crate) keys: Keys,
    pub(crate) router: Router,
    pub(crate) supplier: watch::Sender<SupplierStatus>,
    pub(crate) closing: CancellationToken,
    pub(crate) webhooks: Arc<WebhookTally>,
    /// The time of this process; stands still until a test moves it.
    pub(crate) clock: ManualClock,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Settings::default()).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        let db = TestDb::new().await;
        let store = db.store.clone();
        Self::open_on(db, store, settings, Config::default()).await
    }

    /// A shop with or without rate limits.
    pub(crate) async fn open_with_limits(limits: bool) -> Self {
        let db = Arc::new(TestDb::new().await);
        let store = db.store.clone();
        Self::assemble(db, store, Settings::default(), Config::default(), limits).await
    }

    /// Another process of the same shop: the same database, and nothing else in common.
    pub(crate) async fn another_process(&self) -> Self {
        let store = Store::new(self.db.url(), &lockstep_store::Options::default()).unwrap();
        Self::assemble(
            Arc::clone(&self.db),
            store,
            Settings::default(),
            Config::default(),
            true,
        )
        .await
    }

    /// A shop with a special database connection or cache configuration.
    pub(crate) async fn open_on(db: impl Into<Arc<TestDb>>, store: Store, settings: Settings, config: Config) -> Self {
        Self::assemble(db.into(), store, settings, config, true).await
    }

    /// A shop whose token secrets are 32 repetitions of each argument.
    pub(crate) async fn open_with_secrets(access: &str, refresh: &str) -> Self {
        let db = Arc::new(TestDb::new().await);
        let store = db.store.clone();
        let accounts = lockstep_auth::Settings {
            secrets: TokenSecrets::new(&access.repeat(32), &refresh.repeat(32)).unwrap(),
            ..shop::accounts()
        };
        Self::assemble_with(db, store, Settings::default(), Config::default(), accounts, |office| {
            office
        })
        .await
    }

    /// A shop whose use cases of staff are changed by `office`.
    pub(crate) async fn open_with_office(office: impl FnOnce(BackOffice) -> BackOffice) -> Self {
        let db = Arc::new(TestDb::new().await);
        let store = db.store.clone();
        let accounts = shop::accounts();
        Self::assemble_with(db, store, Settings::default(), Config::default(), accounts, office).await
    }

    async fn assemble(db: Arc<TestDb>, store: Store, settings: Settings, config: Config, limits: bool) -> Self {
        let accounts = lockstep_auth::Settings {
            limits,
            ..shop::accounts()
        };
        Self::assemble_with(db, store, settings, config, accounts, |office| office).await
    }

    async fn assemble_with(
        db: Arc<TestDb>,
        store: Store,
        settings: Settings,
        config: Config,
        accounts: lockstep_auth::Settings,
        office: impl FnOnce(BackOffice) -> BackOffice,
    ) -> Self {
        let consent = ConsentMode::Development;
        Self::assemble_asking(consent, db, store, settings, config, accounts, office).await
    }

    /// A shop in which `consent` says who asks for consent.
    pub(crate) async fn open_asking(consent: ConsentMode) -> Self {
        let db = Arc::new(TestDb::new().await);
        let (store, accounts) = (db.store.clone(), shop::accounts());
        let (settings, config) = (Settings::default(), Config::default());
        Self::assemble_asking(consent, db, store, settings, config, accounts, |office| office).await
    }

    async fn assemble_asking(
        consent: ConsentMode,
        db: Arc<TestDb>,
        store: Store,
        settings: Settings,
        config: Config,
        accounts: lockstep_auth::Settings,
        office: impl FnOnce(BackOffice) -> BackOffice,
    ) -> Self {
        let clock = ManualClock::at_present();
        let accounts = lockstep_auth::Settings {
            admin_second_factor: false,
            clock: clock.clock(),
            ..accounts
        };
        let keys = accounts.keys.clone();
        let relay = Relay {
            secrets: vec![Secret::new(RELAY_SECRET)],
        };
        let payments = shop::payments(
            store.clone(),
            "http://shop.example/test-payment",
            "http://shop.example",
            Some(relay),
        );
        let law = (consent, Duties::default());
        let cases = shop::process_under(law, store.clone(), config, accounts, payments).await;
        let (supplier, seen) = watch::channel(SupplierStatus {
            state: SupplierState::Sandbox,
            since: date("2026-01-01"),
        });
        let closing = CancellationToken::new();
        let webhooks = Arc::<WebhookTally>::default();
        let limits = cases.auth().limits().clone();
        let emails = lockstep_admin::EmailSettings::default();
        let budget = lockstep_admin::ReplacementBudget {
            a_day: "50.00".parse().unwrap(),
            ..Default::default()
        };
        let key_service = lockstep_admin::KeyService::new(keys.clone(), emails, limits).with_budget(budget);
        let router = lockstep_api::router(ApiState {
            shop: cases.clone(),
            office: office(BackOffice::new(store, key_service).with_news(cases.cache().news())),
            settings: Arc::new(settings),
            metrics: Arc::new(|| "lockstep_up 1\n".to_owned()),
            webhooks: Arc::clone(&webhooks),
            supplier: seen,
            event_secrets: None,
            closing: closing.clone(),
        });
        Self {
            db,
            cache: cases.cache().clone(),
            cases,
            keys,
            router,
            supplier,
            closing,
            webhooks,
            clock,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        shop::send(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        shop::get(&self.router, path, headers).await
    }

    /// Writes games.
    pub(crate) async fn put(&self, games: &[NewGame]) {
        self.db.put(games).await;
        self.cache.catch_up().await.unwrap();
    }
}
