//! A shop to ask: its own database, the router, and a way to put games in by plain SQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Request, StatusCode};
use lockstep_api::{ApiState, Settings, SupplierState, SupplierStatus};
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, Keys, TokenSecrets};
use lockstep_cache::{Cache, Config};
use lockstep_domain::Secret;
use lockstep_domain::cart::CartLimits;
use lockstep_payments::{Payments, Relay, TestProvider};
use lockstep_store::Store;
use lockstep_testkit::TestDb;
use serde_json::Value;
use sqlx::types::Uuid;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// A game as tests describe it; written as plain rows.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the columns")]
pub(crate) struct NewGame {
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) slug: String,
    pub(crate) description: String,
    pub(crate) price_cents: i64,
    pub(crate) in_stock: bool,
    pub(crate) is_preorder: bool,
    pub(crate) is_best_seller: bool,
    pub(crate) is_new: bool,
    pub(crate) multiplayer: bool,
    pub(crate) withdrawn: bool,
    pub(crate) popularity: i32,
    pub(crate) release_date: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) service: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) publisher: Option<String>,
    pub(crate) genres: BTreeSet<String>,
    pub(crate) platforms: BTreeSet<String>,
    pub(crate) tags: BTreeSet<String>,
}

impl NewGame {
    /// A game in stock, its address made from its title.
    pub(crate) fn titled(title: &str) -> Self {
        Self {
            id: Uuid::new_v4(),
            title: title.to_owned(),
            slug: lockstep_domain::slug::slugify(title),
            description: String::new(),
            price_cents: 1000,
            in_stock: true,
            is_preorder: false,
            is_best_seller: false,
            is_new: false,
            multiplayer: false,
            withdrawn: false,
            popularity: 0,
            release_date: date("2020-01-01"),
            created_at: date("2024-01-01"),
            service: None,
            region: None,
            publisher: None,
            genres: BTreeSet::new(),
            platforms: BTreeSet::new(),
            tags: BTreeSet::new(),
        }
    }

    /// The same with something changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same in these genres.
    pub(crate) fn genres(self, names: &[&str]) -> Self {
        self.with(|game| game.genres = names.iter().map(|&name| name.to_owned()).collect())
    }

    /// The same with these tags.
    pub(crate) fn tags(self, names: &[&str]) -> Self {
        self.with(|game| game.tags = names.iter().map(|&name| name.to_owned()).collect())
    }
}

pub(crate) fn date(day: &str) -> DateTime<Utc> {
    format!("{day}T10:00:00Z").parse().unwrap()
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// What was asked for; fails unless that is what was answered.
    pub(crate) fn data(&self) -> Value {
        let mut json = self.json();
        assert_eq!(
            (self.status, &json["success"]),
            (StatusCode::OK, &Value::Bool(true)),
            "{json}"
        );
        json["data"].take()
    }

    /// Fails unless it was a success, with or without data.
    pub(crate) fn data_or_message(&self) {
        assert_eq!(self.json()["success"], true, "{}", self.json());
    }

    /// Status and error code.
    pub(crate) fn failure(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        (
            self.status.as_u16(),
            json["error"]["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Titles of a list or page of games, in its order.
pub(crate) fn titles(games: &Value) -> Vec<String> {
    let list = games.as_array().or_else(|| games["data"].as_array());
    list.expect("a list of games")
        .iter()
        .map(|game| game["title"].as_str().expect("a title").to_owned())
        .collect()
}

/// What a relay signs its reports with.
pub(crate) const RELAY_SECRET: &str = "relay-secret";

pub(crate) struct Shop {
    pub(crate) db: Arc<TestDb>,
    pub(crate) cache: Cache,
    pub(crate) cases: lockstep_shop::Shop,
    pub(crate) keys: Keys,
    pub(crate) router: Router,
    pub(crate) supplier: watch::Sender<SupplierStatus>,
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

    /// A shop that lets anybody try as often as they like, or not.
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

    /// A shop whose way to the database, or whose cache, is not the usual one.
    pub(crate) async fn open_on(db: impl Into<Arc<TestDb>>, store: Store, settings: Settings, config: Config) -> Self {
        Self::assemble(db.into(), store, settings, config, true).await
    }

    /// A shop whose tokens are signed with 32 of each of these.
    pub(crate) async fn open_with_secrets(access: &str, refresh: &str) -> Self {
        let db = Arc::new(TestDb::new().await);
        let store = db.store.clone();
        let secrets = TokenSecrets::new(&access.repeat(32), &refresh.repeat(32)).unwrap();
        Self::assemble_with(db, store, Settings::default(), Config::default(), true, secrets).await
    }

    async fn assemble(db: Arc<TestDb>, store: Store, settings: Settings, config: Config, limits: bool) -> Self {
        let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32)).unwrap();
        Self::assemble_with(db, store, settings, config, limits, secrets).await
    }

    async fn assemble_with(
        db: Arc<TestDb>,
        store: Store,
        settings: Settings,
        config: Config,
        limits: bool,
        secrets: TokenSecrets,
    ) -> Self {
        let cache = Cache::start(store.clone(), config).await;
        let (supplier, seen) = watch::channel(SupplierStatus {
            state: SupplierState::Sandbox,
            since: date("2026-01-01"),
        });
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let hashing = HashSettings {
            cost: 4,
            threads: 1,
            queue: 100,
        };
        let auth = lockstep_auth::Settings {
            hashing,
            limits,
            admin_second_factor: false,
            ..lockstep_auth::Settings::new(secrets, keys.clone())
        };
        let test_provider = TestProvider::new(
            Secret::new("test"),
            "http://shop.example/api/payment/test",
            "http://shop.example/account/balance?topUp={id}",
        );
        let relay = Relay {
            secrets: vec![Secret::new(RELAY_SECRET)],
        };
        let payments = Payments::new(
            store.clone(),
            Some(Box::new(test_provider)),
            Some(relay),
            lockstep_payments::Limits::default(),
        );
        let shop = lockstep_shop::Shop::new(lockstep_shop::Parts {
            payments,
            store: store.clone(),
            cache: cache.clone(),
            auth: Auth::start(store.clone(), auth).unwrap(),
            keys: keys.clone(),
            cart_limits: CartLimits::default(),
        });
        let router = lockstep_api::router(ApiState {
            cache: cache.clone(),
            shop: shop.clone(),
            store,
            settings: Arc::new(settings),
            metrics: Arc::new(|| "lockstep_up 1\n".to_owned()),
            supplier: seen,
        });
        Self {
            db,
            cache,
            cases: shop,
            keys,
            router,
            supplier,
        }
    }

    pub(crate) fn auth(&self) -> &Auth {
        self.cases.auth()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answered {
            status: parts.status,
            headers: parts.headers,
            bytes: axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Writes rows; names of genres and so on are turned into slugs.
    pub(crate) async fn put(&self, games: &[NewGame]) {
        for game in games {
            sqlx::query(
                "insert into games (id, title, slug, description, price, image, in_stock, is_preorder, is_best_seller, is_new,
                                    multiplayer, withdrawn_at, popularity, release_date, created_at, activation_service,
                                    region, publisher)
                 values ($1, $2, $3, $4, $5::bigint / 100.0, 'https://images.example.org/' || $3, $6, $7, $8, $9, $10,
                         case when $11 then now() end, $12, $13, $14, $15, $16, $17)",
            )
            .bind(game.id)
            .bind(&game.title)
            .bind(&game.slug)
            .bind(&game.description)
            .bind(game.price_cents)
            .bind(game.in_stock)
            .bind(game.is_preorder)
            .bind(game.is_best_seller)
            .bind(game.is_new)
            .bind(game.multiplayer)
            .bind(game.withdrawn)
            .bind(game.popularity)
            .bind(game.release_date)
            .bind(game.created_at)
            .bind(&game.service)
            .bind(&game.region)
            .bind(&game.publisher)
            .execute(&self.db.sql)
            .await
            .unwrap();
            for (table, links, column, names) in [
                ("genres", "game_genres", "genre_id", &game.genres),
                ("platforms", "game_platforms", "platform_id", &game.platforms),
                ("tags", "game_tags", "tag_id", &game.tags),
            ] {
                for name in names {
                    let statement = format!(
                        "with x as (insert into {table} (name, slug) values ($2, $3)
                                    on conflict (name) do update set slug = excluded.slug returning id)
                         insert into {links} (game_id, {column}) select $1, id from x"
                    );
                    sqlx::query(sqlx::AssertSqlSafe(statement))
                        .bind(game.id)
                        .bind(name)
                        .bind(lockstep_domain::slug::slugify(name))
                        .execute(&self.db.sql)
                        .await
                        .unwrap();
                }
            }
        }
        self.cache.catch_up().await.unwrap();
    }
}
