//! PostgreSQL going away and coming back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lockstep_api::Settings;
use lockstep_cache::Config;
use lockstep_store::{Options, Store};
use lockstep_testkit::{DatabaseProxy, TestDb, TestRedis};
use serde_json::json;

use crate::client::{Client, PASSWORD};
use crate::orders::fund;
use crate::shop::{Answered, NewGame, Shop};

#[tokio::test]
async fn without_its_database_the_store_says_try_again_and_recovers_by_itself() {
    let db = TestDb::new().await;
    let gate = DatabaseProxy::before(&db);
    let options = Options {
        acquire_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let store = Store::new(gate.url(), &options).unwrap();
    let shop = Shop::open_on(db, store, Settings::default(), Config::default()).await;
    shop.put(&[NewGame::titled("Portal")]).await;
    assert_eq!(shop.get("/api/games").await.data()["total"], 1);
    assert_eq!(shop.get("/readyz").await.status, 200);

    gate.cut();
    for path in [
        "/api/games?page=2",
        "/api/games/slug/portal",
        "/api/games/random",
        "/api/games/search?q=portal",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.failure(), (503, "try_again".to_owned()), "{path}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        let text = String::from_utf8(answer.bytes).unwrap().to_lowercase();
        for leak in ["sql", "postgres", "pool", "select", "127.0.0.1", "connection"] {
            assert!(!text.contains(leak), "{path}: {text}");
        }
    }
    let health = shop.get("/health").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["checks"]["database"]),
        (503, &"error".into())
    );
    let ready = shop.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["database"]["state"]),
        (503, &"down".into())
    );
    assert_eq!(
        shop.get("/healthz").await.status,
        200,
        "the process is not to be restarted for it"
    );

    gate.mend();
    wait_for(&shop, "/api/games/slug/portal", 200).await;
    assert_eq!(shop.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn without_its_database_the_store_does_not_guess_what_is_somebodys_own() {
    let db = TestDb::new().await;
    let gate = DatabaseProxy::before(&db);
    let options = Options {
        acquire_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let store = Store::new(gate.url(), &options).unwrap();
    let shop = Shop::open_on(db, store, Settings::default(), Config::default()).await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let (ada, guest) = (Client::new(&shop), Client::new(&shop));
    ada.register("ada@example.com").await;
    for client in [&ada, &guest] {
        let line = json!({"gameId": game.id});
        assert_eq!(client.post("/api/cart", line).await.status, 201);
        // Copies lie ready in the process; without a look at the log they prove nothing.
        assert_eq!(client.cart().await.len(), 1);
    }

    gate.cut();
    for client in [&ada, &guest] {
        for (method, path) in [
            ("GET", "/api/cart"),
            ("GET", "/api/wishlist"),
            ("POST", "/api/cart"),
            ("DELETE", "/api/cart"),
        ] {
            let body = json!({"gameId": game.id}).to_string();
            let answer = client.send(method, path, body).await;
            assert_eq!(answer.failure(), (503, "try_again".to_owned()), "{method} {path}");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    for answer in [ada.get("/api/auth/me").await, ada.post("/api/auth/login", login).await] {
        assert_eq!(answer.failure(), (503, "try_again".to_owned()));
    }
    // Nobody in particular has nothing, and that needs no database; nor does a token that anybody could have written.
    assert_eq!(Client::new(&shop).cart().await, []);
    let forger = Client::new(&shop);
    forger.set_token(Some("a.b.c"));
    assert_eq!(forger.get("/api/auth/me").await.failure().0, 401);

    gate.mend();
    let deadline = Instant::now() + Duration::from_secs(30);
    while ada.get("/api/cart").await.status != 200 {
        assert!(Instant::now() < deadline, "it recovers by itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        (ada.cart().await.len(), guest.cart().await.len()),
        (1, 1),
        "nothing was lost"
    );
}

/// Hosting providers make a database read-only when its disk is full. Sessions opened meanwhile stay read-only
/// afterwards.
#[tokio::test]
async fn a_read_only_database_serves_reads_and_takes_orders_right_after() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.com").await;
    fund(&shop, &user, "1000").await;
    let order = || async {
        ada.post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
            .await
    };
    // A payment, a change of existing data, and a principal without a session.
    let writes = || async {
        let guest = Client::new(&shop);
        let line = json!({"gameId": game.id});
        [
            order().await,
            ada.delete("/api/cart").await,
            guest.post("/api/cart", line).await,
        ]
    };
    let fails = |answer: &Answered| {
        assert_ne!(answer.status, 500, "{}", answer.json());
        !answer.status.is_success()
    };
    assert!(!writes().await.iter().any(fails));
    assert_eq!(shop.get("/readyz").await.status, 200);

    shop.db.set_read_only(true).await;
    shop.db.cut_connections().await;
    wait_for(&shop, "/readyz", 503).await;
    for answers in join_all((0..12).map(|_| writes())).await {
        for answer in answers {
            assert_eq!(answer.failure(), (503, "try_again".to_owned()));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    for page in 1..5 {
        for path in ["/api/games/slug/portal".to_owned(), format!("/api/games?page={page}")] {
            assert_eq!(shop.get(&path).await.status, 200, "{path} only reads");
        }
    }
    assert_eq!(ada.get("/api/cart").await.status, 200);
    assert_eq!(shop.get("/readyz").await.status, 503);
    assert_eq!(shop.get("/healthz").await.status, 200);

    shop.db.set_read_only(false).await;
    // How long a dozen takes is the machine's matter; how late one still fails is the store's.
    let over = Instant::now();
    let mut good = 0;
    while good < 12 {
        shop.get("/readyz").await;
        let began = over.elapsed();
        good = if writes().await.iter().any(fails) { 0 } else { good + 1 };
        assert!(
            good > 0 || began < Duration::from_secs(10),
            "it does not outlast its cause"
        );
    }
    assert_eq!(shop.get("/readyz").await.status, 200);
}

/// PostgreSQL's own error for a full disk, wherever a row would be inserted.
#[tokio::test]
async fn a_full_disk_fails_readiness_and_recovers_automatically() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.com").await;
    fund(&shop, &user, "1000").await;
    let order = || async {
        ada.post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
            .await
    };
    shop.db
        .execute(
            "create table disk (full_since timestamptz);
             create function disk_full() returns trigger language plpgsql as $$ begin
                 if exists (select from disk) then
                     raise exception 'could not extend file \"base/1/2\": No space left on device' using errcode = '53100';
                 end if;
                 return new;
             end $$;
             create trigger disk_full before insert on orders for each row execute function disk_full();
             create trigger disk_full before insert on space_probe for each row execute function disk_full()",
        )
        .await;
    assert_eq!(order().await.status, 201);
    shop.db.execute("insert into disk values (now())").await;
    wait_for(&shop, "/readyz", 503).await;
    assert_eq!(order().await.failure(), (503, "try_again".to_owned()));
    assert_eq!(shop.get("/readyz").await.status, 503);
    assert_eq!(shop.get("/api/games/slug/portal").await.status, 200);
    shop.db.execute("truncate disk").await;
    wait_for(&shop, "/readyz", 200).await;
    assert_eq!(order().await.status, 201);
}

#[tokio::test]
async fn changes_are_visible_with_and_without_redis() {
    let mut redis = TestRedis::start().await;
    let db = TestDb::new().await;
    let store = db.store.clone();
    let config = Config {
        redis_url: Some(redis.url()),
        ..Config::default()
    };
    let shop = Shop::open_on(db, store, Settings::default(), config).await;
    shop.put(&[NewGame::titled("Portal")]).await;
    let price = || async {
        shop.cache.catch_up().await.unwrap();
        shop.get("/api/games/slug/portal").await.data()["price"].clone()
    };
    assert_eq!(price().await, 10.0);
    shop.db.execute("update games set price = 11").await;
    assert_eq!(price().await, 11.0);
    wait_for(&shop, "/health", 200).await;

    redis.kill();
    shop.db.execute("update games set price = 12").await;
    assert_eq!(price().await, 12.0);
    wait_for(&shop, "/health", 503).await;
    assert_eq!(shop.get("/health").await.json()["checks"]["redis"], "error");
    let ready = shop.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["redis"]["state"]),
        (200, &"down".into())
    );
}

/// Polls until the status is the expected one; the shop notices a change of a dependency in the background.
async fn wait_for(shop: &Shop, path: &str, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while shop.get(path).await.status.as_u16() != status {
        assert!(Instant::now() < deadline, "{path} did not become {status}");
        // Only a use of Redis reveals its loss.
        shop.get("/api/games/random").await;
    }
}
