//! Top-ups, the payment webhook, and administrators' adjustments and refunds.

use futures::future::join_all;
use lockstep_domain::Secret;
use lockstep_payments::signature;
use lockstep_shop::Decision;
use lockstep_store::top_ups;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::client::Client;
use crate::orders::fund;
use crate::shop::{Answered, NewGame, RELAY_SECRET, Shop};

async fn top_up(client: &Client<'_>, amount: Value) -> Answered {
    let body = json!({"amount": amount, "currency": "EUR", "paymentMethod": "card", "promoCode": "x"});
    client.post("/api/payment/balance-top-up", body).await
}

/// Pays or declines at the built-in provider, whose page is the `redirectUrl` of the response.
async fn decide(shop: &Shop, answer: &Answered, decision: Decision) {
    let url = answer.data()["redirectUrl"].as_str().unwrap().to_owned();
    let reference = url.strip_prefix("http://shop.example/test-payment/").unwrap();
    shop.cases
        .payments()
        .decide(reference, decision, shop.clock.now())
        .await
        .unwrap()
        .unwrap();
}

async fn balance(client: &Client<'_>) -> Value {
    client.get("/api/user/balance").await.data()["balance"].clone()
}

#[tokio::test]
async fn a_test_payment_is_credited_once() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let answer = top_up(&ada, json!(25.5)).await;
    let intent = answer.data();
    assert_eq!(
        (&intent["amount"], &intent["currency"], &intent["status"]),
        (&json!(25.5), &json!("EUR"), &json!("pending"))
    );
    let status = format!("/api/payment/top-ups/{}", intent["id"].as_str().unwrap());
    join_all((0..5).map(|_| decide(&shop, &answer, Decision::Pay))).await;
    decide(&shop, &answer, Decision::Decline).await;
    assert_eq!(balance(&ada).await, json!(25.5));
    let seen = ada.get(&status).await.data();
    assert_eq!((&seen["status"], seen.get("redirectUrl")), (&json!("completed"), None));
    let booking = ada.get("/api/user/transactions").await.data()[0].clone();
    assert_eq!(
        (&booking["type"], &booking["method"], &booking["amount"]),
        (&json!("TOP_UP"), &json!("card"), &json!(25.5))
    );
    assert!(booking["transactionHash"].as_str().unwrap().starts_with("test:"));
    // A payment of another user.
    let bob = Client::new(&shop);
    bob.register("bob@example.org").await;
    assert_eq!(bob.get(&status).await.failure().0, 404);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn declined_payments_credit_nothing() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let answer = top_up(&ada, json!(10)).await;
    decide(&shop, &answer, Decision::Decline).await;
    let status = format!("/api/payment/top-ups/{}", answer.data()["id"].as_str().unwrap());
    assert_eq!(ada.get(&status).await.data()["status"], "failed");
    assert_eq!(balance(&ada).await, json!(0.0));
}

#[tokio::test]
async fn a_payment_of_another_amount_is_reported_to_owner_and_monitors() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let answer = top_up(&ada, json!(10)).await.data();
    let payments = async || shop.get("/readyz").await.json()["payments"].take();
    assert_eq!(
        payments().await,
        json!({"state": "ok", "required": false, "waiting": 0})
    );
    let id = lockstep_domain::ids::TopUpId(answer["id"].as_str().unwrap().parse().unwrap());
    let said = top_ups::PaymentEvent {
        provider: "test",
        event: Some("e1".into()),
        kind: "checkout.session.completed".into(),
        which: top_ups::Which::Id(id),
        word: top_ups::ProviderPaymentStatus::Paid {
            amount: "11.90".parse().unwrap(),
            currency: "EUR".into(),
        },
    };
    top_ups::apply(&shop.db.store, &said).await.unwrap();

    let path = format!("/api/payment/top-ups/{id}");
    let seen = ada.get(&path).await.data();
    assert_eq!(
        (
            &seen["status"],
            &seen["amount"],
            &seen["otherPayment"],
            seen.get("redirectUrl")
        ),
        (
            &json!("processing"),
            &json!(10.0),
            &json!({"amount": 11.9, "currency": "EUR"}),
            None
        )
    );
    let told = payments().await;
    assert_eq!((&told["state"], &told["waiting"]), (&json!("review"), &json!(1)));
    assert!(told["since"].is_string());

    top_ups::credit_by_staff(&shop.db.store, id, None, "desk")
        .await
        .unwrap();
    let seen = ada.get(&path).await.data();
    assert_eq!(
        (&seen["status"], &seen["amount"], seen.get("otherPayment")),
        (&json!("completed"), &json!(11.9), None)
    );
    assert_eq!(balance(&ada).await, json!(11.9));
    assert_eq!(payments().await["state"], "ok");
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn invalid_amounts_receive_distinct_errors() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    for (amount, code) in [
        (json!(0), "amount_out_of_range"),
        (json!(-5), "amount_out_of_range"),
        (json!(0.99), "amount_out_of_range"),
        (json!(10_000.01), "amount_out_of_range"),
        (json!(1e12), "validation_failed"),
        (json!(10.005), "validation_failed"),
        (json!("10"), "validation_failed"),
        (Value::Null, "validation_failed"),
    ] {
        assert_eq!(
            top_up(&ada, amount.clone()).await.failure(),
            (400, code.to_owned()),
            "{amount}"
        );
    }
    let body = |currency: &str, method: &str| json!({"amount": 10, "currency": currency, "paymentMethod": method});
    let answer = ada.post("/api/payment/balance-top-up", body("USD", "card")).await;
    assert_eq!(answer.failure(), (400, "currency_not_supported".into()));
    let answer = ada.post("/api/payment/balance-top-up", body("EUR", "cash")).await;
    assert_eq!(answer.failure(), (400, "unknown_payment_method".into()));
    assert_eq!(shop.db.count("top_ups").await, 0);
}

#[tokio::test]
async fn an_idempotency_key_creates_one_top_up() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let send = |amount: u32| {
        let body = json!({"amount": amount}).to_string();
        ada.send_with("POST", "/api/payment/balance-top-up", body, &[("idempotency-key", "k")])
    };
    let first = send(10).await.data();
    assert_eq!(send(10).await.data(), first);
    assert_eq!(send(11).await.failure(), (409, "idempotency_key_reused".into()));
}

/// The existing shop credited every caller, and credited repeated deliveries again.
#[tokio::test]
async fn only_signed_reports_are_credited_and_each_once() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let report = json!({
        "transactionId": "t-1", "email": "Ada@Example.org", "name": "Ada", "amount": 7.5, "currency": "EUR",
        "method": "terminal", "status": "completed", "timestamp": "2026-01-01T00:00:00Z", "hash": "x",
    });
    let relay = Client::new(&shop);
    let deliver = |report: &Value, header: &'static str, secret: &str, at: i64| {
        let body = report.to_string();
        let signed = signature::sign(
            body.as_bytes(),
            &Secret::new(secret),
            shop.clock.now() + chrono::TimeDelta::seconds(at),
        );
        let relay = &relay;
        async move {
            relay
                .send_with("POST", "/api/payment/webhook", body, &[(header, &signed)])
                .await
        }
    };
    let signed = "x-payment-signature";
    assert_eq!(
        relay.post("/api/payment/webhook", report.clone()).await.failure(),
        (401, "not_signed".into())
    );
    for (header, secret, at) in [
        (signed, "wrong", 0),
        (signed, RELAY_SECRET, -301),
        (signed, RELAY_SECRET, 302),
        ("stripe-signature", RELAY_SECRET, 0),
        // The provider may not send relay reports.
        (signed, "test", 0),
    ] {
        assert_eq!(
            deliver(&report, header, secret, at).await.failure().0,
            401,
            "{header} {secret} {at}"
        );
    }
    assert_eq!(balance(&ada).await, json!(0.0));
    let at_once = join_all((0..5).map(|_| deliver(&report, signed, RELAY_SECRET, 0))).await;
    assert!(at_once.iter().all(|answer| answer.status == 200));
    assert_eq!(balance(&ada).await, json!(7.5));
    let with = |field: &str, value: Value| {
        let mut report = report.clone();
        report[field] = value;
        report
    };
    for (report, status) in [
        (with("amount", json!(8)), 409),
        (with("transactionId", json!("")), 400),
        (with("status", json!("done")), 400),
        (json!({}), 400),
        (json!([1]), 400),
    ] {
        assert_eq!(
            deliver(&report, signed, RELAY_SECRET, 0).await.failure().0,
            status,
            "{report}"
        );
    }
    let mut other = with("transactionId", json!("t-2"));
    for (field, value, status) in [
        ("amount", json!(-1), 400),
        ("amount", json!(0), 400),
        ("amount", json!(1.001), 400),
        ("currency", json!("USD"), 400),
        ("email", json!("nobody@example.org"), 404),
    ] {
        let good = other[field].take();
        other[field] = value;
        assert_eq!(
            deliver(&other, signed, RELAY_SECRET, 0).await.failure().0,
            status,
            "{other}"
        );
        other[field] = good;
    }
    for status in ["pending", "processing", "failed", "cancelled"] {
        assert_eq!(
            deliver(&with("status", json!(status)), signed, RELAY_SECRET, 0)
                .await
                .status,
            200
        );
    }
    assert_eq!((balance(&ada).await, shop.db.count("users").await), (json!(7.5), 1));
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn the_terminal_webhook_of_the_existing_shop_is_gone() {
    let shop = Shop::open().await;
    let answer = Client::new(&shop)
        .post("/api/payment/terminal-webhook", json!({}))
        .await;
    assert_eq!(answer.failure(), (410, "gone".to_owned()));
}

#[tokio::test]
async fn a_notice_of_mollie_is_refused_by_a_shop_without_mollie() {
    let shop = Shop::open().await;
    let client = Client::new(&shop);
    for body in [json!({}), json!("id=tr_1")] {
        let answer = client.post("/api/payment/webhook/mollie", body).await;
        assert_eq!(answer.failure(), (404, "payment_provider_not_used".to_owned()));
    }
}

#[tokio::test]
async fn nobody_refunds_a_delivered_key_to_themselves() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let manager = Client::new(&shop);
    let user = manager.register("manager@example.org").await;
    shop.db
        .execute("update users set staff_role = 'MANAGER' where email = 'manager@example.org'")
        .await;
    fund(&shop, &user, "20").await;
    let order = manager
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]
        .take();
    shop.db
        .deliver(order["copies"][0]["id"].as_str().unwrap().parse().unwrap())
        .await;
    let purchase = manager.get("/api/user/transactions").await.data()[0]["id"].take();
    let refund = format!("/api/admin/payments/transactions/{}/refund", purchase.as_str().unwrap());
    let refused = manager.post(&refund, json!({"reason": "mine"})).await;
    assert_eq!(refused.failure(), (403, "own_purchase".into()));
    let root = crate::catalogue_by_staff::root(&shop).await;
    assert_eq!(root.post(&refund, json!({})).await.status, 200, "somebody else may");
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn only_admins_adjust_and_refund_and_each_action_is_recorded() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let (ada, root) = (Client::new(&shop), Client::new(&shop));
    let user = ada.register("ada@example.org").await;
    root.register("root@example.org").await;
    shop.db
        .execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    fund(&shop, &user, "20").await;
    let adjust = format!("/api/admin/users/{}/balance", user["user"]["id"].as_str().unwrap());
    let wanted = json!({"amount": 5, "reason": "sorry"});
    assert_eq!(
        ada.put(&adjust, wanted.clone()).await.failure(),
        (403, "forbidden".into())
    );
    assert_eq!(
        root.put(&adjust, wanted).await.data(),
        json!({"userId": user["user"]["id"], "previousBalance": 20.0, "newBalance": 25.0, "amount": 5.0, "reason": "sorry"})
    );
    assert_eq!(
        root.put(&adjust, json!({"amount": -15, "reason": "mistake"}))
            .await
            .data()["newBalance"],
        10.0
    );
    for (body, code) in [
        (json!({"amount": 5}), "validation_failed"),
        (json!({"amount": 5, "reason": "  "}), "validation_failed"),
        (json!({"amount": 5.001, "reason": "x"}), "validation_failed"),
        (json!({"amount": 0, "reason": "x"}), "amount_zero"),
        (json!({"amount": -10.01, "reason": "x"}), "insufficient_balance"),
    ] {
        assert_eq!(
            root.put(&adjust, body.clone()).await.failure(),
            (400, code.to_owned()),
            "{body}"
        );
    }
    let nobody = format!("/api/admin/users/{}/balance", Uuid::new_v4());
    assert_eq!(
        root.put(&nobody, json!({"amount": 1, "reason": "x"})).await.failure().0,
        404
    );

    let order = ada
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]
        .take();
    let purchase = ada.get("/api/user/transactions").await.data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let refund = format!("/api/admin/payments/transactions/{purchase}/refund");
    assert_eq!(ada.post(&refund, json!({})).await.failure(), (403, "forbidden".into()));
    assert_eq!(
        root.post(&refund, json!({})).await.failure(),
        (400, "not_refundable".into())
    );
    shop.db
        .deliver(order["copies"][0]["id"].as_str().unwrap().parse().unwrap())
        .await;
    assert_eq!(
        root.post(&refund, json!({"amount": 10.01})).await.failure(),
        (400, "refund_exceeds_payment".into())
    );
    assert_eq!(
        root.post(&refund, json!({"amount": 0})).await.failure(),
        (400, "amount_not_positive".into())
    );
    let part = root.post(&refund, json!({"amount": 4, "reason": "late"})).await.data();
    assert_eq!(
        (&part["status"], &part["amount"], &part["currency"]),
        (&json!("COMPLETED"), &json!(4.0), &json!("EUR"))
    );
    let payment = async || {
        let seen = ada
            .get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
            .await
            .data();
        (seen["paymentStatus"].clone(), seen["refunded"].clone())
    };
    assert_eq!(payment().await, (json!("COMPLETED"), json!(4.0)));
    // An empty body refunds all that is left.
    assert_eq!(root.send("POST", &refund, "").await.data()["amount"], 6.0);
    assert_eq!(payment().await, (json!("CANCELLED"), json!(10.0)));
    assert_eq!(
        root.post(&refund, json!({})).await.failure(),
        (400, "already_refunded".into())
    );
    let unknown = format!("/api/admin/payments/transactions/{}/refund", Uuid::new_v4());
    assert_eq!(
        root.post(&unknown, json!({})).await.failure(),
        (404, "transaction_not_found".into())
    );
    assert_eq!(balance(&ada).await, json!(10.0));
    let seen = ada
        .get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(
        (&seen["refunded"], &seen["copies"][0]["state"]),
        (&json!(10.0), &json!("DELIVERED"))
    );
    let other = ada
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]["id"]
        .take();
    let cancel = |id: &Value| format!("/api/admin/orders/{}/cancel", id.as_str().unwrap());
    assert_eq!(
        ada.post(&cancel(&other), json!({})).await.failure(),
        (403, "forbidden".into())
    );
    // A lost response is requested again and is the same.
    let key = [("idempotency-key", "cancel-1")];
    for _ in 0..2 {
        let answer = root.send_with("POST", &cancel(&other), "{}", &key).await;
        assert_eq!(answer.data(), json!({"refunded": 10.0, "kept": 0}));
    }
    assert_eq!(
        root.send_with("POST", &cancel(&other), json!({"reason": "again"}).to_string(), &key)
            .await
            .failure(),
        (409, "idempotency_key_reused".into())
    );
    assert_eq!(
        root.post(&cancel(&other), json!({"reason": "again"})).await.failure(),
        (400, "already_cancelled".into())
    );
    assert_eq!(
        root.post(&cancel(&json!(Uuid::new_v4())), json!({})).await.failure().0,
        404
    );
    assert_eq!(balance(&ada).await, json!(10.0));
    let deeds: Vec<String> = sqlx::query_scalar("select action from audit_log order by at")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(
        deeds,
        [
            "balance.adjust",
            "balance.adjust",
            "order.refund",
            "order.refund",
            "order.cancel"
        ]
    );
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn repeated_admin_calls_with_one_key_apply_once() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let (ada, root) = (Client::new(&shop), Client::new(&shop));
    let user = ada.register("ada@example.org").await;
    root.register("root@example.org").await;
    shop.db
        .execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    fund(&shop, &user, "20").await;
    let order = ada
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]
        .take();
    shop.db
        .deliver(order["copies"][0]["id"].as_str().unwrap().parse().unwrap())
        .await;
    let purchase = ada.get("/api/user/transactions").await.data()[0]["id"].take();
    let adjust = format!("/api/admin/users/{}/balance", user["user"]["id"].as_str().unwrap());
    let refund = format!("/api/admin/payments/transactions/{}/refund", purchase.as_str().unwrap());
    for (client, method, path, body, other) in [
        (
            &ada,
            "POST",
            "/api/cart",
            json!({"gameId": game.id, "quantity": 2}),
            json!({"gameId": game.id, "quantity": 1}),
        ),
        (
            &root,
            "PUT",
            &*adjust,
            json!({"amount": 5, "reason": "sorry"}),
            json!({"amount": 5, "reason": "really sorry"}),
        ),
        (
            &root,
            "POST",
            &*refund,
            json!({"amount": 4}),
            json!({"amount": 4, "reason": "x"}),
        ),
    ] {
        let send = |body: &Value, key: &'static str| {
            let body = body.to_string();
            async move { client.send_with(method, path, body, &[("idempotency-key", key)]).await }
        };
        let answers = join_all((0..20).map(|_| send(&body, "k"))).await;
        for answer in &answers {
            assert!(answer.status.is_success(), "{path}: {}", answer.json());
            assert_eq!(
                (answer.status, answer.json()),
                (answers[0].status, answers[0].json()),
                "{path}"
            );
        }
        assert_eq!(
            send(&other, "k").await.failure(),
            (409, "idempotency_key_reused".into()),
            "{path}"
        );
        let long = "x".repeat(201);
        for key in ["", &long, "caf\u{e9}"] {
            let answer = client
                .send_with(method, path, body.to_string(), &[("idempotency-key", key)])
                .await;
            assert_eq!(answer.failure(), (400, "invalid_parameter".into()), "{path} {key}");
        }
    }
    assert_eq!(ada.cart().await, [("Portal".to_owned(), 2)]);
    assert_eq!(balance(&ada).await, json!(19.0));
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn an_order_is_paid_directly_and_followed() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "4").await;
    let wanted = |quantity: u32| json!({"items": [{"gameId": game.id, "quantity": quantity}]});
    let price: Value = ada.get(&format!("/api/games/{}", game.id)).await.data()["price"].clone();
    let total = price.as_f64().unwrap();
    let key = [("idempotency-key", "k")];
    let begin = async |quantity| {
        ada.send_with("POST", "/api/checkout", wanted(quantity).to_string(), &key)
            .await
    };
    let answer = begin(1).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let begun = answer.data();
    assert_eq!(
        (&begun["status"], &begun["total"], &begun["amount"]),
        (&json!("WAITING"), &price, &json!(total - 4.0))
    );
    let path = format!("/api/checkout/{}", begun["id"].as_str().unwrap());
    assert_eq!(ada.get(&path).await.data(), begun);
    assert_eq!(begin(1).await.data(), begun, "the same call, the same payment");
    assert_eq!(begin(2).await.failure(), (409, "idempotency_key_reused".to_owned()));

    decide(&shop, &answer, Decision::Pay).await;
    let placed = ada.get(&path).await.data();
    assert_eq!(
        (&placed["status"], placed.get("redirectUrl"), placed.get("reason")),
        (&json!("PLACED"), None, None)
    );
    let order = ada
        .get(&format!("/api/orders/{}", placed["orderId"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(
        (&order["total"], &order["paymentStatus"]),
        (&price, &json!("COMPLETED"))
    );
    assert_eq!(balance(&ada).await, json!(0.0));
    // It belongs to its user.
    let bob = Client::new(&shop);
    let bobs = bob.register("bob@example.org").await;
    assert_eq!(bob.get(&path).await.failure(), (404, "not_found".to_owned()));
    assert_eq!(
        bob.get("/api/checkout/x").await.failure(),
        (400, "invalid_parameter".to_owned())
    );
    // A balance that suffices pays for everything.
    fund(&shop, &bobs, "500").await;
    let bought = bob.post("/api/checkout", wanted(1)).await.data();
    assert_eq!(
        (&bought["status"], bought.get("id"), &bought["amount"]),
        (&json!("PLACED"), None, &json!(0.0))
    );
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_checkout_that_cannot_be_begun_orders_and_pays_nothing() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"items": [{"gameId": game.id, "quantity": 1}]});
        body[field] = value;
        body
    };
    for (body, code) in [
        (with("expectedTotal", json!(0.01)), (409, "price_risen")),
        (with("expectedPayment", json!(0.01)), (400, "insufficient_balance")),
        (with("paymentMethod", json!("cash")), (400, "unknown_payment_method")),
        (with("promoCode", json!("NONE")), (400, "invalid_promo_code")),
        (with("consent", json!("1999-01")), (400, "unknown_consent_wording")),
        (with("items", json!([])), (400, "empty_order")),
        (
            with("items", json!([{"gameId": Uuid::new_v4(), "quantity": 1}])),
            (404, "game_not_found"),
        ),
    ] {
        let (status, name) = ada.post("/api/checkout", body.clone()).await.failure();
        assert_eq!((status, name.as_str()), code, "{body}");
    }
    assert_eq!(shop.db.count("top_ups").await + shop.db.count("orders").await, 0);
}
