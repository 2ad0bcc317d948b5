//! From guest to signed-in user: the cookie, and the data that moves to the account.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::client::Client;
use crate::shop::{NewGame, Shop};

async fn games(shop: &Shop, titles: &[&str]) -> Vec<Uuid> {
    let games: Vec<NewGame> = titles.iter().map(|title| NewGame::titled(title)).collect();
    shop.put(&games).await;
    games.iter().map(|game| game.id).collect()
}

async fn add(client: &Client<'_>, game: Uuid, quantity: u32) {
    let answer = client
        .post("/api/cart", json!({"gameId": game, "quantity": quantity}))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.json());
}

async fn wish(client: &Client<'_>, game: Uuid) {
    let answer = client.post("/api/wishlist", json!({"gameId": game})).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
}

#[tokio::test]
async fn the_first_write_creates_a_guest_and_reads_do_not() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let phone = Client::new(&shop);
    let token = phone.get("/api/cart").await;
    assert!(
        token.header("set-cookie").unwrap().starts_with("nextGuest="),
        "a token, and no session"
    );
    for path in ["/api/cart", "/api/wishlist", "/api/games", "/api/health"] {
        let answer = phone.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("set-cookie")),
            (200, None),
            "{path}"
        );
    }
    assert_eq!(phone.get("/api/cart").await.data(), json!({"items": [], "total": 0.0}));
    assert_eq!(phone.get("/api/wishlist").await.data(), json!({"items": []}));
    // Removing, clearing and a failed write create no guest either.
    let unknown = Uuid::new_v4();
    phone.delete(&format!("/api/cart/{game}")).await.json();
    phone.delete("/api/cart").await.json();
    phone.delete(&format!("/api/wishlist/{game}")).await.json();
    phone
        .put(&format!("/api/cart/{game}"), json!({"quantity": 0}))
        .await
        .json();
    phone.post("/api/cart", json!({"gameId": unknown})).await.json();
    phone.post("/api/wishlist", json!({"gameId": unknown})).await.json();
    assert_eq!((shop.db.count("shoppers").await, phone.session()), (0, None));

    let answer = phone.post("/api/cart", json!({"gameId": game})).await;
    let session = phone.session().unwrap();
    assert_eq!(
        answer.header("set-cookie"),
        Some(&*format!(
            "sessionId={session}; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400"
        ))
    );
    assert_eq!(answer.status, 201);
    wish(&phone, game).await;
    assert_eq!(phone.session(), Some(session), "one guest for cart and wishlist");
    assert_eq!((shop.db.count("shoppers").await, shop.db.count("users").await), (1, 0));
    assert_eq!(phone.cart().await, [("Portal".to_owned(), 1)]);
    assert_eq!(phone.wishlist().await, ["Portal"]);
}

#[tokio::test]
async fn the_cookie_is_for_https_only_in_production() {
    let shop = Shop::open_with(lockstep_api::Settings {
        production: true,
        ..lockstep_api::Settings::default()
    })
    .await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let answer = Client::new(&shop).post("/api/cart", json!({"gameId": game})).await;
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .ends_with("; Max-Age=86400; Secure")
    );
}

#[tokio::test]
async fn cookies_of_unknown_guests_or_of_users_are_ignored() {
    let shop = Shop::open().await;
    let [portal, doom] = games(&shop, &["Portal", "Doom"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    let id = ada.register("ada@example.com").await["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    add(&ada, portal, 2).await;
    wish(&ada, portal).await;

    for cookie in [id.as_str(), &Uuid::new_v4().to_string()] {
        let thief = Client::new(&shop);
        thief.set_session(Some(cookie));
        assert_eq!((thief.cart().await.len(), thief.wishlist().await.len()), (0, 0));
        thief.delete("/api/cart").await.json();
        thief.delete(&format!("/api/wishlist/{portal}")).await.json();
        thief
            .put(&format!("/api/cart/{portal}"), json!({"quantity": 0}))
            .await
            .json();
        add(&thief, doom, 1).await;
        assert_ne!(thief.session().as_deref(), Some(cookie), "a guest of its own");
        assert_eq!(thief.cart().await, [("Doom".to_owned(), 1)]);
        // Nor can it be moved to an account.
        let bob = Client::new(&shop);
        bob.set_session(Some(cookie));
        bob.register(&format!("bob-{cookie}@example.com")).await;
        bob.post("/api/cart/migrate", json!({})).await.json();
        bob.post("/api/wishlist/migrate", json!({})).await.json();
        assert_eq!((bob.cart().await.len(), bob.wishlist().await.len()), (0, 0));
    }
    assert_eq!(ada.cart().await, [("Portal".to_owned(), 2)]);
    assert_eq!(ada.wishlist().await, ["Portal"]);
}

#[tokio::test]
async fn guests_on_two_devices_merge_into_one_account() {
    let shop = Shop::open().await;
    let [portal, doom, braid] = games(&shop, &["Portal", "Doom", "Braid"]).await[..] else {
        unreachable!()
    };
    // On the phone: as a guest, then registering.
    let phone = Client::new(&shop);
    add(&phone, portal, 2).await;
    wish(&phone, braid).await;
    let data = phone.register("ada@example.com").await;
    assert_eq!(data["moved"]["cart"], json!({"moved": 2, "leftOut": []}));
    assert_eq!(data["moved"]["wishlist"], json!({"moved": 1, "leftOut": []}));
    assert_eq!(phone.cart().await, [("Portal".to_owned(), 2)]);
    assert_eq!(phone.wishlist().await, ["Braid"]);

    // On the laptop: as a guest, then logging in.
    let laptop = Client::new(&shop);
    add(&laptop, portal, 1).await;
    add(&laptop, doom, 1).await;
    wish(&laptop, braid).await;
    wish(&laptop, doom).await;
    let data = laptop.log_in("ada@example.com").await;
    assert_eq!(data["moved"]["cart"]["moved"], 2);
    assert_eq!(data["moved"]["wishlist"]["moved"], 1);
    // Each page requests both moves again; nothing is doubled.
    for path in [
        "/api/cart/migrate",
        "/api/wishlist/migrate",
        "/api/user/wishlist/migrate",
    ] {
        let answer = laptop.post(path, json!({})).await;
        assert_eq!(answer.data(), json!({"moved": 0, "leftOut": []}), "{path}");
    }
    let both: BTreeMap<String, u64> = [("Portal".to_owned(), 3), ("Doom".to_owned(), 1)].into();
    for device in [&phone, &laptop] {
        assert_eq!(device.cart().await.into_iter().collect::<BTreeMap<_, _>>(), both);
        let mut wishes = device.wishlist().await;
        wishes.sort();
        assert_eq!(wishes, ["Braid", "Doom"]);
    }
    // The guests' data is gone, from the database and from every cache.
    for device in [&phone, &laptop] {
        let guest = Client::new(&shop);
        guest.set_session(device.session().as_deref());
        assert_eq!((guest.cart().await.len(), guest.wishlist().await.len()), (0, 0));
    }
    // Once more: logged out, a guest again, logged in.
    let answer = laptop.post("/api/auth/logout", json!({})).await;
    assert_eq!(
        answer.header("set-cookie"),
        Some("sessionId=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0")
    );
    laptop.set_token(None);
    assert_eq!((laptop.session(), laptop.cart().await.len()), (None, 0));
    add(&laptop, braid, 1).await;
    laptop.log_in("ada@example.com").await;
    assert_eq!(laptop.cart().await.len(), 3);
    assert_eq!(phone.cart().await.len(), 3);
}

#[tokio::test]
async fn moving_skips_and_reports_unavailable_games_and_caps_quantities() {
    let shop = Shop::open().await;
    let [portal, doom, braid, quake] = games(&shop, &["Portal", "Doom", "Braid", "Quake"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    add(&ada, portal, 98).await;
    let guest = Client::new(&shop);
    for game in [portal, doom, braid, quake] {
        add(&guest, game, 3).await;
        wish(&guest, game).await;
    }
    shop.db
        .execute(&format!(
            "update games set in_stock = false where id = '{doom}';
             update games set withdrawn_at = now(), in_stock = false where id = '{braid}'"
        ))
        .await;
    let data = guest.log_in("ada@example.com").await;
    let reasons = |report: &Value| -> BTreeMap<String, (String, u64)> {
        let left_out = |line: &Value| {
            (
                line["title"].as_str().unwrap().to_owned(),
                (
                    line["reason"].as_str().unwrap().to_owned(),
                    line["copies"].as_u64().unwrap(),
                ),
            )
        };
        report["leftOut"].as_array().unwrap().iter().map(left_out).collect()
    };
    assert_eq!(data["moved"]["cart"]["moved"], 4);
    assert_eq!(
        reasons(&data["moved"]["cart"]),
        [
            ("Portal".to_owned(), ("too_many".to_owned(), 2)),
            ("Doom".to_owned(), ("sold_out".to_owned(), 3)),
            ("Braid".to_owned(), ("gone".to_owned(), 3)),
        ]
        .into()
    );
    assert_eq!(
        reasons(&data["moved"]["wishlist"]),
        [("Braid".to_owned(), ("gone".to_owned(), 1))].into()
    );
    let cart: BTreeMap<_, _> = guest.cart().await.into_iter().collect();
    assert_eq!(cart, [("Portal".to_owned(), 99), ("Quake".to_owned(), 3)].into());
}

#[tokio::test]
async fn ten_concurrent_moves_move_everything_exactly_once() {
    let shop = Shop::open().await;
    let [portal, doom] = games(&shop, &["Portal", "Doom"]).await[..] else {
        unreachable!()
    };
    let guest = Client::new(&shop);
    add(&guest, portal, 2).await;
    add(&guest, doom, 3).await;
    wish(&guest, portal).await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    add(&ada, portal, 1).await;
    ada.set_session(guest.session().as_deref());
    // The front-end requests the cart at the same time; no such response may stay cached as the newest.
    let moves = join_all((0..10).map(|_| async {
        let (moved, wished, _) = tokio::join!(
            ada.post("/api/cart/migrate", json!({})),
            ada.post("/api/wishlist/migrate", json!({})),
            ada.get("/api/cart")
        );
        (
            moved.data()["moved"].as_u64().unwrap(),
            wished.data()["moved"].as_u64().unwrap(),
        )
    }))
    .await;
    assert_eq!(moves.iter().map(|(cart, _)| cart).sum::<u64>(), 5);
    assert_eq!(moves.iter().map(|(_, wishes)| wishes).sum::<u64>(), 1);
    let cart: BTreeMap<_, _> = ada.cart().await.into_iter().collect();
    assert_eq!(cart, [("Portal".to_owned(), 3), ("Doom".to_owned(), 3)].into());
    assert_eq!(ada.wishlist().await, ["Portal"]);
}

#[tokio::test]
async fn login_succeeds_when_the_move_fails_and_the_guest_keeps_the_items() {
    let shop = Shop::open().await;
    let [portal] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    Client::new(&shop).register("ada@example.com").await;
    let guest = Client::new(&shop);
    add(&guest, portal, 2).await;
    wish(&guest, portal).await;
    shop.db
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
             create trigger refuse before delete on cart_items for each row execute function refuse();
             create trigger refuse before delete on wishlist for each row execute function refuse()",
        )
        .await;
    let data = guest.log_in("ada@example.com").await;
    assert_eq!(data["moved"], json!({"cart": null, "wishlist": null}));
    assert_eq!(guest.cart().await, []);
    let as_guest = Client::new(&shop);
    as_guest.set_session(guest.session().as_deref());
    assert_eq!(as_guest.cart().await, [("Portal".to_owned(), 2)]);
    assert_eq!(as_guest.wishlist().await, ["Portal"]);
    shop.db
        .execute("drop trigger refuse on cart_items; drop trigger refuse on wishlist")
        .await;
    assert_eq!(guest.post("/api/cart/migrate", json!({})).await.data()["moved"], 2);
    assert_eq!(guest.cart().await, [("Portal".to_owned(), 2)]);
}

#[tokio::test]
async fn visits_extend_a_guest_and_expired_guests_are_deleted() {
    let shop = Shop::open().await;
    let [portal] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let guest = Client::new(&shop);
    add(&guest, portal, 1).await;
    let session = guest.session().unwrap();
    shop.db
        .execute("update guest_sessions set last_used_at = now() - interval '23 hours', expires_at = now() + interval '1 hour'")
        .await;
    let answer = guest.get("/api/cart").await;
    assert!(answer.header("set-cookie").is_some_and(|set| set.contains(&session)));
    let again: bool = sqlx::query_scalar(
        "select expires_at - now() between interval '23:50' and interval '24:00' from guest_sessions",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    assert!(again, "24 hours, less the moment that has passed");
    // Once a minute is enough.
    assert_eq!(guest.get("/api/cart").await.header("set-cookie"), None);

    shop.db
        .execute("update guest_sessions set last_used_at = now() - interval '25 hours', expires_at = now() - interval '1 hour'")
        .await;
    lockstep_store::guests::sweep(&shop.db.store).await.unwrap();
    assert_eq!(
        (shop.db.count("shoppers").await, shop.db.count("cart_items").await),
        (0, 0)
    );
    assert_eq!(guest.cart().await, []);
}
