//! A shop to visit: its own database, the router, and a way to put games in by plain SQL.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use lockstep_auth::password::HashSettings;
use lockstep_auth::{Auth, Keys, TokenSecrets};
use lockstep_cache::{Cache, Config};
use lockstep_domain::Secret;
use lockstep_domain::cart::CartLimits;
use lockstep_payments::{Payments, TestProvider};
use lockstep_store::Store;
use lockstep_testkit::TestDb;
use lockstep_web::{Operator, Parts, PictureSettings, Settings, Supply};
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
    pub(crate) image: String,
    pub(crate) images: Vec<String>,
    pub(crate) cents: i64,
    pub(crate) in_stock: bool,
    pub(crate) is_preorder: bool,
    pub(crate) is_best_seller: bool,
    pub(crate) multiplayer: bool,
    pub(crate) popularity: i32,
    pub(crate) service: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) publisher: Option<String>,
    pub(crate) genres: Vec<&'static str>,
    pub(crate) platforms: Vec<&'static str>,
}

impl NewGame {
    /// A game in stock, its address made from its title.
    pub(crate) fn titled(title: &str) -> Self {
        let slug = lockstep_domain::slug::slugify(title);
        Self {
            id: Uuid::new_v4(),
            title: title.to_owned(),
            description: format!("<p>About {slug}.</p>"),
            image: format!("/covers/{slug}.svg"),
            images: Vec::new(),
            slug,
            cents: 1000,
            in_stock: true,
            is_preorder: false,
            is_best_seller: false,
            multiplayer: false,
            popularity: 0,
            service: Some("Steam".to_owned()),
            region: Some("GLOBAL".to_owned()),
            publisher: None,
            genres: vec!["Action"],
            platforms: vec!["PC"],
        }
    }

    /// The same with something changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answered {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The page; fails unless that is what came.
    pub(crate) fn page(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.text()
    }
}

pub(crate) struct Shop {
    pub(crate) db: TestDb,
    pub(crate) cache: Cache,
    pub(crate) router: Router,
    pub(crate) supply: watch::Sender<Supply>,
    _folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let db = TestDb::new().await;
        let store = db.store.clone();
        Self::open_on(db, store, |_| {}).await
    }

    /// A shop with other settings, or another way to the database.
    pub(crate) async fn open_on(db: TestDb, store: Store, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::start(store.clone(), Config::default()).await;
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32)).unwrap();
        let auth = lockstep_auth::Settings {
            hashing: HashSettings {
                cost: 4,
                threads: 1,
                queue: 100,
            },
            ..lockstep_auth::Settings::new(secrets, keys.clone())
        };
        let shop = lockstep_shop::Shop::new(lockstep_shop::Parts {
            store: store.clone(),
            cache: cache.clone(),
            // As a real one, it is paid on another site.
            payments: Payments::new(
                store.clone(),
                Some(Box::new(TestProvider::new(
                    Secret::new("test"),
                    "https://pay.example/session",
                    "https://shop.example/account/balance?topUp={id}",
                ))),
                None,
                lockstep_payments::Limits::default(),
            ),
            auth: Auth::start(store, auth).unwrap(),
            keys,
            cart_limits: CartLimits::default(),
        });
        let (supply, seen) = watch::channel(Supply {
            checked_at: Some(chrono::Utc::now() - chrono::TimeDelta::minutes(3)),
            progress: None,
        });
        let mut settings = Settings {
            production: false,
            shop_name: "Lockstep".to_owned(),
            operator: Operator::default(),
            public_url: "https://shop.example".to_owned(),
            sandbox: false,
            trusted_proxies: 0,
            pictures: PictureSettings {
                folder: folder.path().join("pictures"),
                most_bytes: 10_000_000,
                trusts_private_addresses: false,
            },
        };
        change(&mut settings);
        let router = lockstep_web::router(Parts {
            cache: cache.clone(),
            shop,
            supply: seen,
            settings,
        });
        Self {
            db,
            cache,
            router,
            supply,
            _folder: folder,
        }
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
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a form as a browser does.
    pub(crate) async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "shop.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Registers somebody; the cookies that they come with from now on.
    pub(crate) async fn register(&self, email: &str) -> String {
        let answer = self
            .post("/register", &format!("email={email}&password=Correct-Horse-1"), &[])
            .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let cookies = answer.headers.get_all("set-cookie").iter();
        let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Writes rows; names of genres and platforms are turned into slugs.
    pub(crate) async fn put(&self, games: &[NewGame]) {
        for game in games {
            sqlx::query(
                "insert into games (id, title, slug, description, price, image, images, in_stock, is_preorder,
                                    is_best_seller, multiplayer, popularity, release_date, activation_service, region,
                                    publisher)
                 values ($1, $2, $3, $4, $5::bigint / 100.0, $6, $7, $8, $9, $10, $11, $12, '2020-05-17Z', $13, $14, $15)",
            )
            .bind(game.id)
            .bind(&game.title)
            .bind(&game.slug)
            .bind(&game.description)
            .bind(game.cents)
            .bind(&game.image)
            .bind(&game.images)
            .bind(game.in_stock)
            .bind(game.is_preorder)
            .bind(game.is_best_seller)
            .bind(game.multiplayer)
            .bind(game.popularity)
            .bind(&game.service)
            .bind(&game.region)
            .bind(&game.publisher)
            .execute(&self.db.sql)
            .await
            .unwrap();
            for (table, links, column, names) in [
                ("genres", "game_genres", "genre_id", &game.genres),
                ("platforms", "game_platforms", "platform_id", &game.platforms),
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

    /// A small catalogue with something of everything.
    pub(crate) async fn stocked() -> Self {
        let shop = Self::open().await;
        let mut games = vec![
            NewGame::titled("Stellar Harvest (PC) - Steam Key - GLOBAL").with(|game| {
                game.is_best_seller = true;
                game.popularity = 100;
                game.genres = vec!["Action", "RPG"];
                game.publisher = Some("Cinder & Oak".to_owned());
            }),
            NewGame::titled("Iron Meridian Steam Key EUROPE").with(|game| {
                game.is_best_seller = true;
                game.popularity = 90;
                game.region = Some("EUROPE".to_owned());
                game.cents = 4999;
                game.genres = vec!["RPG"];
            }),
            NewGame::titled("The Lantern Keepers").with(|game| {
                game.is_preorder = true;
                game.service = Some("GOG".to_owned());
            }),
            NewGame::titled("Harbour of Glass").with(|game| {
                game.in_stock = false;
                game.multiplayer = true;
            }),
        ];
        games.extend((0..45).map(|n| {
            NewGame::titled(&format!("Filler {n:02}")).with(|game| {
                game.cents = 100 + n * 250;
                game.popularity = 10;
                game.genres = vec![if n % 2 == 0 { "Action" } else { "Puzzle" }];
                game.multiplayer = n % 3 == 0;
            })
        }));
        shop.put(&games).await;
        shop
    }
}
