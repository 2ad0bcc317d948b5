//! Orders over HTTP: the wording of the HTTP contract (`docs/http-api.md`), idempotency, and keys for their owner only.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use futures::future::join_all;
use http::{Request, StatusCode};
use lockstep_domain::cached::ValueKey;
use lockstep_domain::ids::OrderId;
use lockstep_domain::purchase::OrderView;
use serde_json::{Value, json};
use sqlx::types::Uuid;
use tower::ServiceExt as _;

use crate::client::Client;
use crate::shop::{NewGame, Shop};

const DEADLINE: Duration = Duration::from_secs(20);

/// Credits the account with a completed top-up.
pub(crate) async fn fund(shop: &Shop, user: &Value, amount: &str) {
    shop.db
        .execute(&format!(
            "update users set balance = balance + {amount} where id = '{id}';
             insert into transactions (user_id, type, amount, status) values ('{id}', 'TOP_UP', {amount}, 'COMPLETED')",
            id = user["user"]["id"].as_str().unwrap()
        ))
        .await;
}

async fn games(shop: &Shop, titles: &[&str]) -> Vec<Uuid> {
    let games: Vec<NewGame> = titles.iter().map(|title| NewGame::titled(title)).collect();
    shop.put(&games).await;
    games.iter().map(|game| game.id).collect()
}

fn one(game: Uuid) -> Value {
    json!({"items": [{"gameId": game, "quantity": 1}]})
}

/// Delivers the unit with a key sealed by the shop's vault.
pub(crate) async fn deliver(shop: &Shop, copy: &str, key: &str) -> Uuid {
    let id = shop.db.deliver(copy.parse().unwrap()).await;
    let sealed = shop
        .keys
        .seal(&format!("game_keys.key_ciphertext/{id}"), key.as_bytes());
    sqlx::query("update game_keys set key_ciphertext = $2 where id = $1")
        .bind(id)
        .bind(sealed)
        .execute(&shop.db.sql)
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn an_order_has_the_documented_form_and_is_visible_immediately() {
    let shop = Shop::open().await;
    let [portal, myst] = games(&shop, &["Portal", "Myst"]).await[..] else {
        unreachable!()
    };
    shop.db.promo_code("GKEYS10", 10, None).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    assert_eq!(ada.get("/api/orders").await.data(), json!([]));
    ada.post("/api/cart", json!({"gameId": portal, "quantity": 5}))
        .await
        .json();
    let answer = ada
        .post(
            "/api/orders",
            json!({"items": [{"gameId": portal, "quantity": 2}, {"gameId": myst, "quantity": 1}], "promoCode": "GKEYS10", "ignored": 1}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    let mut json = answer.json();
    let order = json["data"].take();
    for (field, value) in [
        ("status", json!("PENDING")),
        ("subtotal", json!(30.0)),
        ("discount", json!(3.0)),
        ("total", json!(27.0)),
        ("paymentMethod", json!("BALANCE")),
        ("paymentStatus", json!("COMPLETED")),
        ("promoCode", json!("GKEYS10")),
        ("keys", json!([])),
        ("userId", user["user"]["id"].clone()),
    ] {
        assert_eq!(order[field], value, "{field}");
    }
    let item = &order["items"][0];
    assert_eq!(
        (&item["gameId"], &item["quantity"], &item["price"]),
        (&json!(portal), &json!(2), &json!(10.0))
    );
    assert_eq!(item["game"]["title"], "Portal");
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    // Visible with the next request, in every process.
    assert_eq!(ada.get(&path).await.data(), order);
    assert_eq!(ada.get("/api/orders").await.data(), json!([order]));
    assert_eq!(ada.get("/api/user/orders").await.data(), json!([order]));
    assert_eq!(
        ada.get("/api/user/balance").await.data(),
        json!({"balance": 73.0, "currency": "EUR"})
    );
    let bookings = ada.get("/api/user/transactions").await.data();
    assert_eq!(
        (&bookings[0]["type"], &bookings[0]["amount"], &bookings[0]["orderId"]),
        (&json!("PURCHASE"), &json!(-27.0), &order["id"])
    );
    assert_eq!(ada.cart().await, [("Portal".to_owned(), 3)]);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn invalid_orders_receive_distinct_errors_and_change_nothing() {
    let shop = Shop::open().await;
    let [game, sold_out, gone] = games(&shop, &["Portal", "Myst", "Doom"]).await[..] else {
        unreachable!()
    };
    shop.db
        .execute(
            "update games set in_stock = false where title = 'Myst';
             update games set in_stock = false, withdrawn_at = now() where title = 'Doom';
             insert into promo_codes (code, discount, valid_from, valid_until) values ('LATE', 10, now() - interval '2 days', now() - interval '1 day');
             insert into promo_codes (code, discount, max_uses, used_count) values ('USED', 10, 1, 1)",
        )
        .await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "25").await;
    let items = |game: Uuid, quantity: Value| json!({"items": [{"gameId": game, "quantity": quantity}]});
    let promo = |code: &str| json!({"items": [{"gameId": game, "quantity": 1}], "promoCode": code});
    let expecting = |total: Value| json!({"items": [{"gameId": game, "quantity": 1}], "expectedTotal": total});
    for (body, status, code, words) in [
        (json!({}), 400, "validation_failed", "Validation failed"),
        (json!({"items": "x"}), 400, "validation_failed", ""),
        (json!({"items": [game]}), 400, "validation_failed", ""),
        (
            json!({"items": [{"gameId": "x", "quantity": 1}]}),
            400,
            "validation_failed",
            "",
        ),
        (json!({"items": []}), 400, "empty_order", "no items"),
        (items(game, json!(0)), 400, "quantity_not_positive", ""),
        (items(game, json!(-5)), 400, "quantity_not_positive", ""),
        (items(game, json!(0.5)), 400, "validation_failed", ""),
        (items(game, json!("2")), 400, "validation_failed", ""),
        (items(game, json!("1")), 400, "validation_failed", ""),
        (items(game, json!(true)), 400, "validation_failed", ""),
        (items(game, Value::Null), 400, "validation_failed", ""),
        (json!({"items": [{"gameId": game}]}), 400, "validation_failed", ""),
        (items(game, json!(100)), 400, "too_many_copies", "99"),
        (items(game, json!(i64::MAX)), 400, "too_many_copies", ""),
        (items(game, json!(1e300)), 400, "validation_failed", ""),
        (items(Uuid::new_v4(), json!(1)), 404, "game_not_found", "not found"),
        (items(gone, json!(1)), 404, "game_not_found", "not found"),
        (items(sold_out, json!(1)), 400, "out_of_stock", "out of stock"),
        (
            items(game, json!(3)),
            400,
            "insufficient_balance",
            "Insufficient balance",
        ),
        (promo("NOPE"), 400, "invalid_promo_code", "Invalid promo code"),
        (promo("LATE"), 400, "invalid_promo_code", "Invalid promo code"),
        (promo("USED"), 400, "invalid_promo_code", "Invalid promo code"),
        (
            json!({"items": [{"gameId": game, "quantity": 1}], "promoCode": 7}),
            400,
            "validation_failed",
            "",
        ),
        (expecting(json!(9.999)), 400, "validation_failed", ""),
        (expecting(json!("9")), 400, "validation_failed", ""),
        (expecting(json!(1e30)), 400, "validation_failed", ""),
    ] {
        let answer = ada.post("/api/orders", body.clone()).await;
        assert_eq!(answer.failure(), (status, code.to_owned()), "{body}: {}", answer.json());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{body}: {message}");
    }
    let answer = ada.post("/api/orders", expecting(json!(9.99))).await;
    assert_eq!(answer.failure(), (409, "price_risen".into()));
    assert_eq!(
        answer.json()["error"]["details"],
        json!({"expectedTotal": 9.99, "total": 10.0})
    );
    assert_eq!(ada.get("/api/orders").await.data(), json!([]));
    assert_eq!(ada.get("/api/user/balance").await.data()["balance"], 25.0);
    for bad in ["page=0", "page=-1", "limit=0", "limit=101", "limit=x"] {
        assert_eq!(
            ada.get(&format!("/api/orders?{bad}")).await.failure(),
            (400, "invalid_parameter".into()),
            "{bad}"
        );
    }
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn promo_codes_cannot_be_guessed() {
    let shop = Shop::open_with_limits(true).await;
    let game = games(&shop, &["Portal"]).await[0];
    shop.db
        .execute(
            "insert into promo_codes (code, discount, valid_from, valid_until, max_uses, used_count, active) values
               ('LATE', 10, now() - interval '2 days', now() - interval '1 day', null, 0, true),
               ('EARLY', 10, now() + interval '1 day', null, null, 0, true),
               ('USED', 10, now(), null, 1, 1, true), ('OFF', 10, now(), null, null, 0, false),
               ('GOOD', 10, now(), null, null, 0, true)",
        )
        .await;
    let ada = Client::at(&shop, "198.51.100.1");
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "500").await;
    let order = |code: &str| json!({"items": [{"gameId": game, "quantity": 1}], "promoCode": code});
    let mut answers = std::collections::BTreeSet::new();
    for code in ["NOPE", "LATE", "EARLY", "USED", "OFF", "x", "\u{e9}t\u{e9}"] {
        // A valid code in between does not count.
        assert_eq!(ada.post("/api/orders", order("GOOD")).await.status, 201);
        let answer = ada.post("/api/orders", order(code)).await;
        assert_eq!(answer.status, 400, "{code}");
        answers.insert(answer.json()["error"]["message"].as_str().unwrap().to_owned());
    }
    assert_eq!(answers.len(), 1, "one text for all of them: {answers:?}");
    let tries = join_all((0..10).map(|n| ada.post("/api/orders", order(&format!("GUESS{n}"))))).await;
    let looked_up = tries.iter().filter(|answer| answer.status == 400).count();
    assert!(looked_up <= 3, "seven of ten were used before: {looked_up}");
    let refused = ada.post("/api/orders", order("GOOD")).await;
    assert_eq!(
        refused.failure(),
        (429, "rate_limited".to_owned()),
        "a good code as well"
    );
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(
        ada.post("/api/orders", one(game)).await.status,
        201,
        "without a code it is sold"
    );

    // Other accounts at the same address share thirty attempts.
    let mut looked_up = 0;
    for n in 0..4 {
        let other = Client::at(&shop, "198.51.100.1");
        other.register(&format!("u{n}@example.org")).await;
        for guess in 0..10 {
            let answer = other.post("/api/orders", order(&format!("GUESS{guess}"))).await;
            looked_up += u32::from(answer.status == 400);
        }
    }
    assert!(looked_up <= 22, "{looked_up}");
}

#[tokio::test]
async fn orders_require_a_signed_in_user() {
    let shop = Shop::open().await;
    let stranger = Client::new(&shop);
    let id = Uuid::new_v4();
    for (method, path) in [
        ("POST", "/api/orders".to_owned()),
        ("GET", "/api/orders".to_owned()),
        ("GET", format!("/api/orders/{id}")),
        ("GET", format!("/api/orders/{id}/events")),
        ("GET", format!("/api/orders/{id}/keys/{id}/file")),
        ("GET", "/api/user/orders".to_owned()),
        ("GET", "/api/user/balance".to_owned()),
        ("GET", "/api/user/transactions".to_owned()),
        ("POST", "/api/payment/balance-top-up".to_owned()),
        ("GET", format!("/api/payment/top-ups/{id}")),
        ("POST", "/api/checkout".to_owned()),
        ("GET", format!("/api/checkout/{id}")),
    ] {
        let answer = stranger.send(method, &path, "{}").await;
        assert_eq!(answer.failure().0, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn orders_and_keys_of_other_users_are_not_found() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let (ada, bob) = (Client::new(&shop), Client::new(&shop));
    let user = ada.register("ada@example.org").await;
    bob.register("bob@example.org").await;
    fund(&shop, &user, "100").await;
    let mut order = ada.post("/api/orders", one(game)).await.json();
    let order = order["data"].take();
    let key = deliver(&shop, order["copies"][0]["id"].as_str().unwrap(), "AAAA-BBBB").await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    // The owner first, so that everything is cached.
    let seen = ada.get(&path).await.data();
    assert_eq!(
        (&seen["keys"][0]["key"], &seen["keys"][0]["activated"]),
        (&json!("AAAA-BBBB"), &json!(false))
    );
    assert_eq!(seen["copies"][0]["state"], "DELIVERED");
    for (path, expected) in [
        (path.clone(), 404),
        (format!("{path}/events"), 404),
        (format!("{path}/keys/{key}/file"), 404),
        (format!("/api/orders/{}", Uuid::new_v4()), 404),
        ("/api/orders/x".to_owned(), 400),
    ] {
        assert_eq!(bob.get(&path).await.failure().0, expected, "{path}");
    }
    assert_eq!(bob.get("/api/orders").await.data(), json!([]));
    let file = ada.get(&format!("{path}/keys/{key}/file")).await;
    assert_eq!(
        (file.status, file.bytes.as_slice()),
        (StatusCode::OK, &b"AAAA-BBBB"[..])
    );
    assert_eq!(
        file.header("content-disposition"),
        Some(&*format!("attachment; filename=\"key-{key}.txt\""))
    );
    assert_eq!(file.header("cache-control"), Some("no-store"));
    // The lists show it, too, and every access is recorded: none is answered from a cache.
    for list in ["/api/orders", "/api/user/orders", "/api/orders"] {
        let answer = ada.get(list).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.data()[0]["keys"][0]["key"], "AAAA-BBBB", "{list}");
    }
    let cached: OrderId = order["id"].as_str().unwrap().parse().unwrap();
    let cached = shop
        .cases
        .cache()
        .find(ValueKey::order(cached), |_| unreachable!("it is cached"))
        .await
        .unwrap();
    let cached: OrderView = cached.unwrap().value().unwrap();
    assert_eq!(cached.keys[0].key, None, "without the key");
    let looks: Vec<(String, i64)> =
        sqlx::query_as("select how, sum(count) from key_reveals where game_key_id = $1 group by how order by how")
            .bind(key)
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(looks, [("API".to_owned(), 4), ("FILE".to_owned(), 1)]);
    shop.db.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_places_one_order_across_retries_and_restarts() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let key = [("idempotency-key", "click-1")];
    let order = || ada.send_with("POST", "/api/orders", one(game).to_string(), &key);
    let answers = join_all((0..20).map(|_| order())).await;
    let ids: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
            answer.json()["data"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((ids.len(), shop.db.count("orders").await), (1, 1));
    assert_eq!(ada.get("/api/user/balance").await.data()["balance"], 90.0);
    let other = json!({"items": [{"gameId": game, "quantity": 2}]}).to_string();
    let answer = ada.send_with("POST", "/api/orders", other, &key).await;
    assert_eq!(answer.failure(), (409, "idempotency_key_reused".into()));
    let answer = ada
        .send_with("POST", "/api/orders", one(game).to_string(), &[("idempotency-key", "")])
        .await;
    assert_eq!(answer.failure().0, 400);

    let token = ada.token();
    let again = shop.another_process().await;
    drop(shop);
    let ada = Client::new(&again);
    ada.set_token(token.as_deref());
    let answer = ada.send_with("POST", "/api/orders", one(game).to_string(), &key).await;
    assert_eq!(answer.json()["data"]["id"].as_str(), ids.first().map(String::as_str));
    again.db.assert_books_balance().await;
}

#[tokio::test]
async fn orders_are_paged_newest_first() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "1000").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, ada.post("/api/orders", one(game)).await.json()["data"]["id"].take());
    }
    let listed = |orders: Value| -> Vec<Value> {
        orders
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].clone())
            .collect()
    };
    assert_eq!(listed(ada.get("/api/orders?page=1&limit=50").await.data()), ids);
    assert_eq!(listed(ada.get("/api/orders?page=2&limit=2").await.data()), ids[2..4]);
    assert!(listed(ada.get("/api/orders?page=9&limit=100").await.data()).is_empty());
    assert_eq!(
        ada.get("/api/user/transactions?page=2&limit=2")
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_stream_sends_every_change_and_ends_with_the_order() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let order = ada.post("/api/orders", one(game)).await.json()["data"].take();
    let id = order["id"].as_str().unwrap();
    let request = Request::get(format!("/api/orders/{id}/events"))
        .header("authorization", format!("Bearer {}", ada.token().unwrap()))
        .body(Body::empty())
        .unwrap();
    let response = shop.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut parts = response.into_body().into_data_stream();
    let mut next = async || {
        let part = tokio::time::timeout(DEADLINE, parts.next())
            .await
            .expect("an event in time")?;
        let text = String::from_utf8(part.unwrap().to_vec()).unwrap();
        assert!(text.starts_with("event: order\n"), "{text}");
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        Some(serde_json::from_str::<Value>(data).unwrap())
    };
    assert_eq!(next().await.unwrap()["status"], "PENDING");
    shop.db
        .execute(&format!("update orders set status = 'PROCESSING' where id = '{id}'"))
        .await;
    assert_eq!(next().await.unwrap()["status"], "PROCESSING");
    deliver(&shop, order["copies"][0]["id"].as_str().unwrap(), "AAAA-BBBB").await;
    shop.db
        .execute(&format!("update orders set status = 'COMPLETED' where id = '{id}'"))
        .await;
    // Changes that happen at once may be sent as one event.
    let last = loop {
        let event = next().await.unwrap();
        assert!(!event.to_string().contains("AAAA-BBBB"));
        if event["status"] == "COMPLETED" {
            break event;
        }
    };
    assert_eq!(last["copies"][0]["state"], "DELIVERED");
    assert!(next().await.is_none(), "it is over");
}

#[tokio::test]
async fn order_streams_are_limited_and_end_at_shutdown() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let order = ada.post("/api/orders", one(game)).await.json()["data"].take();
    let request = || {
        Request::get(format!("/api/orders/{}/events", order["id"].as_str().unwrap()))
            .header("authorization", format!("Bearer {}", ada.token().unwrap()))
            .body(Body::empty())
            .unwrap()
    };
    let mut open = Vec::new();
    let refused = loop {
        let response = shop.router.clone().oneshot(request()).await.unwrap();
        if response.status() != StatusCode::OK {
            break response;
        }
        open.push(response);
        assert!(open.len() < 100);
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    shop.cases.close();
    for response in open {
        let whole = axum::body::to_bytes(response.into_body(), usize::MAX);
        tokio::time::timeout(DEADLINE, whole)
            .await
            .expect("the stream ends")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_only_with_its_own_session() {
    let shop = Shop::open().await;
    let [game] = games(&shop, &["Portal"]).await[..] else {
        unreachable!()
    };
    let (phone, laptop) = (Client::new(&shop), Client::new(&shop));
    let user = phone.register("ada@example.org").await;
    laptop.log_in("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let order = phone.post("/api/orders", one(game)).await.json()["data"].take();
    let id = order["id"].as_str().unwrap();
    let open = async |client: &Client<'_>| {
        let request = Request::get(format!("/api/orders/{id}/events"))
            .header("authorization", format!("Bearer {}", client.token().unwrap()))
            .body(Body::empty())
            .unwrap();
        let mut parts = shop
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_body()
            .into_data_stream();
        let first = tokio::time::timeout(DEADLINE, parts.next())
            .await
            .expect("an event in time");
        assert!(first.unwrap().unwrap().starts_with(b"event: order\n"));
        parts
    };
    let (mut of_phone, mut of_laptop) = (open(&phone).await, open(&laptop).await);
    phone.post("/api/auth/logout", json!({})).await.data_or_message();
    let end = tokio::time::timeout(DEADLINE, of_phone.next())
        .await
        .expect("it ends in time");
    assert!(end.is_none(), "{end:?}");
    shop.db
        .execute(&format!("update orders set status = 'PROCESSING' where id = '{id}'"))
        .await;
    let news = tokio::time::timeout(DEADLINE, of_laptop.next())
        .await
        .expect("news in time");
    assert!(String::from_utf8_lossy(&news.unwrap().unwrap()).contains("PROCESSING"));
}

#[tokio::test]
async fn orders_and_top_ups_are_rate_limited_per_user_unless_disabled() {
    for limits in [true, false] {
        let shop = Shop::open_with_limits(limits).await;
        let (ada, bob) = (Client::new(&shop), Client::new(&shop));
        ada.register("ada@example.org").await;
        bob.register("bob@example.org").await;
        for (path, body) in [
            ("/api/orders", one(Uuid::new_v4())),
            ("/api/payment/balance-top-up", json!({"amount": 0.5})),
        ] {
            let answers = join_all((0..40).map(|_| ada.post(path, body.clone()))).await;
            let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
            // Capacity that was refilled during the requests may be used.
            let expected = if limits { 1..=10 } else { 0..=0 };
            assert!(expected.contains(&refused.len()), "{path}: {}", refused.len());
            for answer in refused {
                assert_eq!(answer.failure().1, "rate_limited");
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
            }
            assert_ne!(bob.post(path, body).await.status, 429, "{path}");
        }
    }
}
