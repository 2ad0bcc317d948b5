//! A shop with its staff: its own database, and the routers of the console and of the shop's pages.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use lockstep_admin::{BackOffice, KeyService, ReplacementBudget};
use lockstep_cache::{Cache, Config};
use lockstep_domain::account::Email;
use lockstep_store::fulfilment::EmailSettings;
use lockstep_testkit::{TestDb, shop};
use lockstep_web::{FeedSettings, Operator, PictureSettings, Supply};
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use lockstep_testkit::shop::Answered;

/// The token of the link into a demo.
pub(crate) const LINK: &str = "a-token-that-nobody-guesses";
/// Password of everybody.
pub(crate) const PASSWORD: &str = "Correct-Horse-1";

pub(crate) struct Shop {
    pub(crate) db: TestDb,
    pub(crate) cache: Cache,
    router: Router,
    _supply: watch::Sender<Supply>,
    _folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(|accounts| accounts.admin_second_factor = false).await
    }

    /// A shop with other settings of its accounts.
    pub(crate) async fn open_with(change: impl FnOnce(&mut lockstep_auth::Settings)) -> Self {
        Self::open_as(change, None, false, None).await
    }

    /// A shop whose payments by Stripe can be refunded to their cards.
    pub(crate) async fn open_with_cards() -> Self {
        Self::open_as(
            |accounts| accounts.admin_second_factor = false,
            None,
            false,
            Some("stripe"),
        )
        .await
    }

    /// A demo with a link for its owner.
    pub(crate) async fn open_demo(link: lockstep_console::DemoLink, production: bool) -> Self {
        Self::open_as(
            |accounts| accounts.admin_second_factor = false,
            Some(link),
            production,
            None,
        )
        .await
    }

    /// A shop whose console is under another path.
    pub(crate) async fn open_at(path: lockstep_console::ConsolePath) -> Self {
        let link = lockstep_console::DemoLink::new(
            LINK.to_owned(),
            Email::parse("owner@demo.example").unwrap(),
            "this machine".to_owned(),
            chrono::DateTime::<chrono::Utc>::MAX_UTC,
        );
        let open = |accounts: &mut lockstep_auth::Settings| accounts.admin_second_factor = false;
        Self::open_under(path, open, Some(link), false, None).await
    }

    async fn open_as(
        change: impl FnOnce(&mut lockstep_auth::Settings),
        demo: Option<lockstep_console::DemoLink>,
        production: bool,
        cards: Option<&'static str>,
    ) -> Self {
        Self::open_under(lockstep_console::ConsolePath::Admin, change, demo, production, cards).await
    }

    async fn open_under(
        path: lockstep_console::ConsolePath,
        change: impl FnOnce(&mut lockstep_auth::Settings),
        demo: Option<lockstep_console::DemoLink>,
        production: bool,
        cards: Option<&'static str>,
    ) -> Self {
        let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
        let store = db.store.clone();
        let payments = shop::payments(
            store.clone(),
            "https://pay.example/session",
            "https://shop.example",
            None,
        );
        let mut accounts = shop::accounts();
        change(&mut accounts);
        let secrets = accounts.keys.clone();
        let own = shop::process(store.clone(), Config::default(), accounts, payments).await;
        let budget = ReplacementBudget {
            a_day: "50.00".parse().unwrap(),
            ..ReplacementBudget::default()
        };
        let keys = KeyService::new(secrets, EmailSettings::default(), own.auth().limits().clone()).with_budget(budget);
        let console = lockstep_console::router(lockstep_console::Parts {
            shop: own.clone(),
            office: BackOffice::new(store, keys).with_cards(cards),
            settings: lockstep_console::Settings {
                production,
                shop_name: "Lockstep".to_owned(),
                shop_name_is_set: false,
                public_url: "https://shop.example".to_owned(),
                sandbox: false,
                trusted_proxies: 0,
                path,
            },
            demo,
        });
        let (supply, seen) = watch::channel(Supply::default());
        let cache = own.cache().clone();
        let pages = lockstep_web::router(lockstep_web::Parts {
            shop: own,
            supply: seen,
            settings: lockstep_web::Settings {
                production: false,
                shop_name: "Lockstep".to_owned(),
                shop_name_is_set: false,
                operator: Operator::default(),
                public_url: "https://shop.example".to_owned(),
                sandbox: false,
                front: None,
                console: path.as_str(),
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
            },
        });
        Self {
            db,
            cache,
            router: console.merge(pages),
            _supply: supply,
            _folder: folder,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        shop::send(&self.router, request).await
    }

    /// Serves the shop on a port of this machine until the test ends.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, router) = (listener.local_addr().unwrap(), self.router.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    /// A reader who is not signed in.
    pub(crate) fn stranger(&self) -> Browser<'_> {
        Browser {
            shop: self,
            cookies: String::new(),
        }
    }

    /// A reader with these cookies.
    pub(crate) fn browser(&self, cookies: String) -> Browser<'_> {
        Browser { shop: self, cookies }
    }

    /// Registers a customer, and returns their browser.
    pub(crate) async fn customer(&self, name: &str) -> Browser<'_> {
        let form = format!("email={name}@example.org&password={PASSWORD}");
        let answer = self.stranger().post("/register", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let cookies = answer.headers.get_all("set-cookie").iter();
        let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        Browser {
            shop: self,
            cookies: pairs.collect::<Vec<_>>().join("; "),
        }
    }

    /// Registers a member of staff with `role`, and returns their browser.
    pub(crate) async fn staff(&self, role: &str) -> Browser<'_> {
        let name = role.to_lowercase();
        let browser = self.customer(&name).await;
        let columns = match role {
            "OWNER" => "role = 'ADMIN', staff_role = null".to_owned(),
            role => format!("role = 'USER', staff_role = '{role}'"),
        };
        self.db
            .execute(&format!(
                "update users set {columns} where email = '{name}@example.org'"
            ))
            .await;
        browser
    }

    /// Makes every session one whose password was given an hour ago.
    pub(crate) async fn forget_passwords(&self) {
        self.db
            .execute("update user_sessions set created_at = now() - interval '1 hour', confirmed_at = null")
            .await;
    }

    /// One value of the database, as text.
    pub(crate) async fn value(&self, query: &'static str) -> String {
        let value: Option<String> = sqlx::query_scalar(query).fetch_one(&self.db.sql).await.unwrap();
        value.unwrap_or_default()
    }

    /// A customer's id.
    pub(crate) async fn id_of(&self, name: &str) -> Uuid {
        sqlx::query_scalar("select id from users where email = $1")
            .bind(format!("{name}@example.org"))
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    /// An order of `ada@example.org` for two copies of a game for €10.00 each, both delivered.
    pub(crate) async fn delivered(&self) -> Order {
        let user = self.db.user("ada@example.org", "100").await;
        let game = self.db.game("Portal", "portal", "10.00").await;
        let order = self.db.order(user, game, 2).await;
        let mut keys = Vec::new();
        for unit in &order.units {
            keys.push(self.db.deliver(*unit).await);
        }
        Order {
            id: order.id,
            user,
            game,
            units: order.units,
            keys,
        }
    }
}

/// An order with everything that belongs to it.
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) user: Uuid,
    pub(crate) game: Uuid,
    pub(crate) units: Vec<Uuid>,
    pub(crate) keys: Vec<Uuid>,
}

/// A browser without scripts.
pub(crate) struct Browser<'s> {
    shop: &'s Shop,
    cookies: String,
}

impl Browser<'_> {
    pub(crate) fn cookies(&self) -> &str {
        &self.cookies
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        let request = Request::get(path).header("cookie", &self.cookies);
        self.shop.send(request.body(Body::empty()).unwrap()).await
    }

    /// The status of the answer at `path`, whose body may have no end.
    pub(crate) async fn open(&self, path: &str) -> StatusCode {
        let request = Request::get(path).header("cookie", &self.cookies);
        let answer = shop::open(&self.shop.router, request.body(Body::empty()).unwrap()).await;
        answer.status()
    }

    /// The page at `path`.
    pub(crate) async fn page(&self, path: &str) -> String {
        self.get(path).await.page().to_owned()
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answered {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "shop.example")
            .header("cookie", &self.cookies);
        self.shop.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Uploads a picture and its text as a form without scripts does.
    pub(crate) async fn upload(&self, path: &str, file: &[u8], alt: &str) -> Answered {
        let mut body =
            "--edge\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
            .as_bytes()
            .to_vec();
        body.extend_from_slice(file);
        body.extend_from_slice(
            format!("\r\n--edge\r\nContent-Disposition: form-data; name=\"alt\"\r\n\r\n{alt}\r\n--edge--\r\n")
                .as_bytes(),
        );
        let request = Request::post(path)
            .header("content-type", "multipart/form-data; boundary=edge")
            .header("host", "shop.example")
            .header("cookie", &self.cookies);
        self.shop.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Sends `form` with the hidden fields of the form on `page`, to the address that it names.
    pub(crate) async fn submit(&self, page: &str, form: &str) -> Answered {
        let main = page.split("<main").nth(1).unwrap();
        let form_of_page = &main[main.find("<form class=\"form\"").unwrap()..];
        let action = unescaped(between(form_of_page, "action=\"", "\""));
        let mut fields = form.to_owned();
        for field in form_of_page.split("<input type=\"hidden\" ").skip(1) {
            let name = between(field, "name=\"", "\"");
            let value = unescaped(between(field, "value=\"", "\""));
            let mut pair = form_urlencoded::Serializer::new(String::new());
            pair.append_pair(name, &value);
            fields.push('&');
            fields.push_str(&pair.finish());
        }
        self.post(&action, &fields).await
    }

    /// Follows the redirect of `answer`.
    pub(crate) async fn follow(&self, answer: &Answered) -> String {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        self.page(answer.header("location").unwrap()).await
    }
}

/// What stands between two texts.
pub(crate) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let start = text.find(before).unwrap_or_else(|| panic!("no {before}")) + before.len();
    let rest = &text[start..];
    &rest[..rest.find(after).unwrap()]
}

/// A text without the entities that pages write.
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&amp;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
}
