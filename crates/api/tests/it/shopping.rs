//! Carts and wishlists over HTTP: limits, prices, and read-your-writes across processes.

use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::client::Client;
use crate::shop::{NewGame, Shop};

async fn game(shop: &Shop, title: &str, cents: i64) -> Uuid {
    let game = NewGame::titled(title)
        .with(|game| game.price_cents = cents)
        .genres(&["Puzzle"]);
    shop.put(std::slice::from_ref(&game)).await;
    game.id
}

async fn add(client: &Client<'_>, game: Uuid, quantity: i64) -> (u16, String) {
    let answer = client
        .post("/api/cart", json!({"gameId": game, "quantity": quantity}))
        .await;
    if answer.status == 201 {
        (201, String::new())
    } else {
        answer.failure()
    }
}

#[tokio::test]
async fn a_cart_adds_sets_removes_and_clears_at_current_prices() {
    let shop = Shop::open().await;
    let (portal, doom) = (game(&shop, "Portal", 1999).await, game(&shop, "Doom", 10).await);
    let guest = Client::new(&shop);
    for member in [false, true] {
        if member {
            guest.register("ada@example.com").await;
            guest.delete("/api/cart").await.data_or_message();
        }
        add(&guest, portal, 1).await;
        add(&guest, portal, 2).await;
        // Without a quantity, one copy is added; the home page sends the whole game.
        let whole = json!({"gameId": {"id": doom, "title": "Doom", "price": 0.1}});
        assert_eq!(guest.post("/api/cart", whole).await.status, 201);
        let answer = guest.get("/api/cart").await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let cart = answer.data();
        assert_eq!(cart["total"], json!(60.07));
        let [first, second] = &cart["items"].as_array().unwrap()[..] else {
            panic!("{cart}")
        };
        assert_eq!(
            (&first["game"]["title"], &first["quantity"]),
            (&"Doom".into(), &1.into()),
            "newest first"
        );
        assert_eq!((&second["gameId"], &second["quantity"]), (&json!(portal), &3.into()));
        let shown = &second["game"];
        assert_eq!(
            (
                &shown["id"],
                &shown["slug"],
                &shown["price"],
                &shown["inStock"],
                &shown["genres"]
            ),
            (
                &json!(portal),
                &"portal".into(),
                &json!(19.99),
                &true.into(),
                &json!(["Puzzle"])
            )
        );
        assert!(shown["image"].is_string() && second.get("priceChanged").is_none());

        let path = format!("/api/cart/{portal}");
        assert_eq!(guest.put(&path, json!({"quantity": 2})).await.status, 200);
        assert_eq!(guest.get("/api/cart").await.data()["total"], json!(40.08));
        // The new price applies, and the item reports the change.
        shop.db
            .execute(&format!("update games set price = 25.5 where id = '{portal}'"))
            .await;
        let cart = guest.get("/api/cart").await.data();
        assert_eq!(cart["total"], json!(51.1));
        assert_eq!(cart["items"][1]["priceChanged"], json!({"from": 19.99, "to": 25.5}));
        shop.db
            .execute(&format!("update games set price = 19.99 where id = '{portal}'"))
            .await;

        for _ in 0..2 {
            assert_eq!(guest.delete(&path).await.status, 200, "fine when it is not there");
        }
        assert_eq!(guest.cart().await, [("Doom".to_owned(), 1)]);
        assert_eq!(
            guest
                .put(&format!("/api/cart/{doom}"), json!({"quantity": -5}))
                .await
                .status,
            200
        );
        assert_eq!(guest.get("/api/cart").await.data(), json!({"items": [], "total": 0.0}));
    }
}

#[tokio::test]
async fn invalid_and_unavailable_items_are_refused_and_change_nothing() {
    let shop = Shop::open().await;
    let (portal, doom) = (game(&shop, "Portal", 1999).await, game(&shop, "Doom", 10).await);
    shop.db
        .execute(&format!("update games set in_stock = false where id = '{doom}'"))
        .await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    add(&ada, portal, 98).await;
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(add(&ada, portal, 2).await, refused(400, "too_many_copies"));
    assert_eq!(add(&ada, portal, 0).await, refused(400, "quantity_not_positive"));
    assert_eq!(add(&ada, portal, -1).await, refused(400, "quantity_not_positive"));
    assert_eq!(add(&ada, portal, i64::MAX).await, refused(400, "too_many_copies"));
    assert_eq!(add(&ada, doom, 1).await, refused(400, "out_of_stock"));
    assert_eq!(add(&ada, Uuid::new_v4(), 1).await, refused(404, "game_not_found"));
    let answer = ada.post("/api/cart", json!({"gameId": doom})).await.json();
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("out of stock"),
        "{answer}"
    );
    let answer = ada.put(&format!("/api/cart/{portal}"), json!({"quantity": 100})).await;
    assert_eq!(answer.failure(), refused(400, "too_many_copies"));
    let answer = ada
        .put(&format!("/api/cart/{}", Uuid::new_v4()), json!({"quantity": 1}))
        .await;
    assert_eq!(answer.failure(), refused(404, "game_not_found"));
    assert_eq!(ada.cart().await, [("Portal".to_owned(), 98)]);

    let many: Vec<NewGame> = (0..100).map(|n| NewGame::titled(&format!("Game {n}"))).collect();
    shop.put(&many).await;
    for game in many.iter().take(99) {
        assert_eq!(add(&ada, game.id, 1).await.0, 201);
    }
    assert_eq!(add(&ada, many[99].id, 1).await, refused(400, "too_many_games"));
    assert_eq!(add(&ada, portal, 1).await.0, 201, "a line that is there may still grow");
}

#[tokio::test]
async fn a_wishlist_keeps_games_once_and_shows_price_drops_and_restocks() {
    let shop = Shop::open().await;
    let (portal, doom) = (game(&shop, "Portal", 1999).await, game(&shop, "Doom", 1000).await);
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    for _ in 0..2 {
        assert_eq!(ada.post("/api/wishlist", json!({"gameId": portal})).await.status, 201);
        assert_eq!(
            ada.send("POST", &format!("/api/user/wishlist/{doom}"), "").await.status,
            201
        );
    }
    let check = async |game: Uuid| ada.get(&format!("/api/wishlist/{game}/check")).await.data();
    assert_eq!(check(portal).await, json!({"inWishlist": true}));
    assert_eq!(check(Uuid::new_v4()).await, json!({"inWishlist": false}));
    let list = ada.get("/api/wishlist").await.data();
    let titles: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["game"]["title"])
        .collect();
    assert_eq!(titles, ["Doom", "Portal"]);
    // Both forms of a wishlist item.
    let flat = ada.get("/api/user/wishlist").await.data();
    assert_eq!(
        (&flat[1]["id"], &flat[1]["gameId"], &flat[1]["price"]),
        (&json!(portal), &json!(portal), &json!(19.99))
    );
    assert_eq!(
        (&flat[1]["game"]["slug"], flat[1]["addedAt"].is_string()),
        (&"portal".into(), true)
    );

    shop.db
        .execute(&format!(
            "update games set price = 15 where id = '{portal}'; update games set in_stock = false where id = '{doom}'"
        ))
        .await;
    let items = ada.get("/api/wishlist").await.data()["items"].take();
    assert_eq!(items[1]["priceDrop"], json!({"from": 19.99, "to": 15.0}));
    assert_eq!(
        (&items[0]["game"]["inStock"], items[0].get("backInStock")),
        (&false.into(), None)
    );
    shop.db
        .execute(&format!("update games set in_stock = true where id = '{doom}'"))
        .await;
    let items = ada.get("/api/wishlist").await.data()["items"].take();
    assert_eq!(items[0]["backInStock"], true);

    for path in [format!("/api/wishlist/{portal}"), format!("/api/user/wishlist/{doom}")] {
        for _ in 0..2 {
            assert_eq!(ada.delete(&path).await.status, 200);
        }
    }
    assert_eq!(ada.wishlist().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_write_in_one_process_is_read_in_the_other() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let portal = game(&shop, "Portal", 100).await;
    for member in [false, true] {
        let (here, there) = (Client::new(&shop), Client::new(&other));
        if member {
            here.register("ada@example.com").await;
            there.set_token(here.token().as_deref());
        }
        // The caches are warm on both sides before each write.
        for quantity in 1..=20 {
            let (writer, reader) = if quantity % 2 == 0 {
                (&here, &there)
            } else {
                (&there, &here)
            };
            assert_eq!(add(writer, portal, 1).await.0, 201);
            reader.set_session(writer.session().as_deref());
            assert_eq!(reader.cart().await, [("Portal".to_owned(), quantity)]);
            assert_eq!(writer.cart().await, [("Portal".to_owned(), quantity)]);
            if member {
                let name = format!("Ada {quantity}");
                writer.put("/api/user/profile", json!({"nickname": name})).await.data();
                assert_eq!(reader.get("/api/user/profile").await.data()["nickname"], name.as_str());
            }
        }
        assert_eq!(here.post("/api/wishlist", json!({"gameId": portal})).await.status, 201);
        there.set_session(here.session().as_deref());
        assert_eq!(there.wishlist().await, ["Portal"]);
        there.delete(&format!("/api/wishlist/{portal}")).await.data_or_message();
        assert_eq!(here.wishlist().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn guests_cannot_use_account_endpoints() {
    let shop = Shop::open().await;
    let portal = game(&shop, "Portal", 100).await;
    let guest = Client::new(&shop);
    add(&guest, portal, 1).await;
    for (method, path) in [
        ("GET", "/api/auth/me".to_owned()),
        ("POST", "/api/auth/logout".to_owned()),
        ("POST", "/api/auth/send-verification-code".to_owned()),
        ("POST", "/api/auth/verify-email".to_owned()),
        ("POST", "/api/cart/migrate".to_owned()),
        ("POST", "/api/wishlist/migrate".to_owned()),
        ("GET", "/api/user/profile".to_owned()),
        ("PUT", "/api/user/profile".to_owned()),
        ("PUT", "/api/user/password".to_owned()),
        ("GET", "/api/user/stats".to_owned()),
        ("POST", "/api/user/logout".to_owned()),
        ("GET", "/api/user/wishlist".to_owned()),
        ("POST", "/api/user/wishlist/migrate".to_owned()),
        ("POST", format!("/api/user/wishlist/{portal}")),
        ("DELETE", format!("/api/user/wishlist/{portal}")),
        ("GET", "/api/user/catalog".to_owned()),
        ("GET", format!("/api/user/catalog/{portal}")),
        ("GET", "/api/user/sessions".to_owned()),
        ("DELETE", "/api/user/sessions".to_owned()),
        ("DELETE", format!("/api/user/sessions/{portal}")),
        ("GET", "/api/user/logins".to_owned()),
        ("POST", "/api/user/second-factor".to_owned()),
        ("POST", "/api/user/second-factor/confirm".to_owned()),
        ("POST", "/api/user/second-factor/recovery-codes".to_owned()),
        ("DELETE", "/api/user/second-factor".to_owned()),
        ("GET", "/api/user/export".to_owned()),
        ("DELETE", "/api/user/account".to_owned()),
    ] {
        let answer = guest.send(method, &path, "{}").await;
        assert_eq!(answer.failure(), (401, "not_signed_in".to_owned()), "{method} {path}");
        assert_eq!(
            (answer.header("www-authenticate"), answer.header("cache-control")),
            (Some("Bearer"), Some("no-store"))
        );
    }
    guest.register("ada@example.com").await;
    assert_eq!(guest.get("/api/user/catalog").await.data()["total"], 1);
    let one = guest.get(&format!("/api/user/catalog/{portal}")).await;
    assert_eq!(
        (&one.data()["title"], one.header("cache-control")),
        (&"Portal".into(), Some("no-store"))
    );
}

#[tokio::test]
async fn users_are_alerted_when_a_sold_out_game_is_back() {
    let shop = Shop::open().await;
    let (portal, doom) = (game(&shop, "Portal", 1999).await, game(&shop, "Doom", 10).await);
    shop.db
        .execute(&format!("update games set in_stock = false where id = '{portal}'"))
        .await;
    let path = |game: Uuid| format!("/api/user/stock-alerts/{game}");
    let ada = Client::new(&shop);
    for (method, path) in [
        ("GET", "/api/user/stock-alerts".to_owned()),
        ("POST", path(portal)),
        ("DELETE", path(portal)),
    ] {
        assert_eq!(ada.send(method, &path, "").await.failure().0, 401, "{method}");
    }
    ada.register("ada@example.com").await;
    for _ in 0..2 {
        assert_eq!(ada.send("POST", &path(portal), "").await.status, 201);
    }
    let alerts = ada.get("/api/user/stock-alerts").await.data();
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &alerts[0]["gameId"],
            &alerts[0]["game"]["title"],
            &alerts[0]["game"]["price"]
        ),
        (&json!(portal), &json!("Portal"), &json!(19.99))
    );
    assert!(alerts[0]["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        ada.send("POST", &path(doom), "").await.failure(),
        (400, "in_stock".to_owned())
    );
    assert_eq!(
        ada.send("POST", &path(Uuid::new_v4()), "").await.failure(),
        (404, "game_not_found".to_owned())
    );
    assert_eq!(ada.send("POST", "/api/user/stock-alerts/1", "").await.failure().0, 400);
    for _ in 0..2 {
        assert_eq!(ada.delete(&path(portal)).await.status, 200);
    }
    assert_eq!(ada.get("/api/user/stock-alerts").await.data(), json!([]));
    ada.send("POST", &path(portal), "").await;
    shop.db
        .execute(&format!("update games set in_stock = true where id = '{portal}'"))
        .await;
    assert_eq!(ada.get("/api/user/stock-alerts").await.data(), json!([]));
}
