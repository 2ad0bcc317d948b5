//! A shop for tests: its own database, and the router.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use lockstep_cache::{Cache, Config};
use lockstep_clock::ManualClock;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::Duties;
use lockstep_store::Store;
use lockstep_testkit::{NewGame, TestDb, date, shop};
use lockstep_web::{FeedSettings, Operator, Parts, PictureSettings, Settings, Supply};
use tokio::sync::watch;

pub(crate) use lockstep_testkit::shop::Answered;

/// A game with everything that its page shows.
pub(crate) fn complete_game(title: &str) -> NewGame {
    NewGame::titled(title)
        .genres(&["Action"])
        .platforms(&["PC"])
        .with(|game| {
            game.description = format!("<p>About {}.</p>", game.slug);
            game.image = format!("/api/covers/{}.svg", game.slug);
            game.release_date = date("2020-05-17");
            game.service = Some("Steam".to_owned());
            game.region = Some("GLOBAL".to_owned());
        })
}

pub(crate) struct Shop {
    pub(crate) db: TestDb,
    pub(crate) cache: Cache,
    pub(crate) router: Router,
    pub(crate) supply: watch::Sender<Supply>,
    /// The time of the shop; stands still until a test moves it.
    pub(crate) clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let db = TestDb::new().await;
        let store = db.store.clone();
        Self::open_on(db, store, |_| {}).await
    }

    /// A shop with other settings or another database connection.
    pub(crate) async fn open_on(db: TestDb, store: Store, change: impl FnOnce(&mut Settings)) -> Self {
        Self::open_under((ConsentMode::Development, Duties::default()), db, store, change).await
    }

    /// The same, with who asks for consent, and the duties of the shop.
    pub(crate) async fn open_under(
        law: (ConsentMode, Duties),
        db: TestDb,
        store: Store,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Like a real provider, its payment page is on another site.
        let payments = shop::payments(
            store.clone(),
            "https://pay.example/session",
            "https://shop.example",
            None,
        );
        let clock = ManualClock::at_present();
        let accounts = lockstep_auth::Settings {
            clock: clock.clock(),
            ..shop::accounts()
        };
        let shop = shop::process_under(law, store, Config::default(), accounts, payments).await;
        let cache = shop.cache().clone();
        let (supply, seen) = watch::channel(Supply {
            checked_at: Some(clock.now() - chrono::TimeDelta::minutes(3)),
            ..Supply::default()
        });
        let mut settings = Settings {
            production: false,
            shop_name: "Lockstep".to_owned(),
            shop_name_is_set: false,
            operator: Operator::default(),
            public_url: "https://shop.example".to_owned(),
            sandbox: false,
            front: None,
            console: "/admin",
            trusted_proxies: 0,
            pictures: PictureSettings {
                folder: folder.path().join("pictures"),
                most_bytes: 10_000_000,
                trusts_private_addresses: false,
            },
            feeds: FeedSettings {
                folder: folder.path().join("feeds"),
                secret: None,
            },
        };
        change(&mut settings);
        let router = lockstep_web::router(Parts {
            shop,
            supply: seen,
            settings,
        });
        Self {
            db,
            cache,
            router,
            supply,
            clock,
            _folder: folder,
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

    /// Sends a form like a browser.
    pub(crate) async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "shop.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Registers a user; returns the cookies of the session.
    pub(crate) async fn register(&self, email: &str) -> String {
        let answer = self
            .post("/register", &format!("email={email}&password=Correct-Horse-1"), &[])
            .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let cookies = answer.headers.get_all("set-cookie").iter();
        let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Stores games.
    pub(crate) async fn put(&self, games: &[NewGame]) {
        self.db.put(games).await;
        self.cache.catch_up().await.unwrap();
    }

    /// A small catalogue with something of everything.
    pub(crate) async fn stocked() -> Self {
        let shop = Self::open().await;
        let mut games = vec![
            complete_game("Stellar Harvest (PC) - Steam Key - GLOBAL")
                .genres(&["Action", "RPG"])
                .with(|game| {
                    game.is_best_seller = true;
                    game.popularity = 100;
                    game.publisher = Some("Cinder & Oak".to_owned());
                }),
            complete_game("Iron Meridian Steam Key EUROPE")
                .genres(&["RPG"])
                .with(|game| {
                    game.is_best_seller = true;
                    game.popularity = 90;
                    game.region = Some("EUROPE".to_owned());
                    game.price_cents = 4999;
                }),
            complete_game("The Lantern Keepers").with(|game| {
                game.is_preorder = true;
                game.service = Some("GOG".to_owned());
            }),
            complete_game("Harbour of Glass").with(|game| {
                game.in_stock = false;
                game.multiplayer = true;
            }),
        ];
        games.extend((0..45).map(|n| {
            let genre = if n % 2 == 0 { "Action" } else { "Puzzle" };
            complete_game(&format!("Filler {n:02}")).genres(&[genre]).with(|game| {
                game.price_cents = 100 + n * 250;
                game.popularity = 10;
                game.multiplayer = n % 3 == 0;
            })
        }));
        shop.put(&games).await;
        shop
    }
}
