//! `POST /api/g2a/webhook`: which events are accepted, which are refused, and that no event is trusted blindly.

use axum::body::Body;
use chrono::Utc;
use hmac::{Hmac, Mac as _};
use http::Request;
use lockstep_api::Settings;
use lockstep_domain::secret::Secret;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::shop::Shop;

const SECRET: &str = "a-relays-secret";

async fn shop() -> Shop {
    Shop::open_with(Settings {
        webhook_secret: Secret::new(SECRET),
        ..Settings::default()
    })
    .await
}

fn sign(payload: &str, timestamp: &str, nonce: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{payload}{timestamp}{nonce}{SECRET}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn now() -> String {
    Utc::now().timestamp_millis().to_string()
}

async fn post(shop: &Shop, body: String) -> (u16, Value) {
    let request = Request::post("/api/g2a/webhook")
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let answer = shop.send(request).await;
    (
        answer.status.as_u16(),
        serde_json::from_slice(&answer.bytes).unwrap_or_default(),
    )
}

fn event(id: &str, order: &str, payload: &str) -> String {
    let at = now();
    let signature = sign(payload, &at, "n1");
    format!(
        r#"{{"event_id":"{id}","order_id":"{order}","type":"order.completed","payload":{payload},"signature":"{signature}","nonce":"n1","timestamp":{at}}}"#
    )
}

#[tokio::test]
async fn a_signed_event_is_processed_once_and_ends_no_order() {
    let shop = shop().await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    let user = shop.db.user("ada@example.org", "50.00").await;
    let order = shop.db.order(user, game, 1).await;
    let body = event("e1", &order.id.to_string(), r#"{"status":"failed"}"#);
    let (status, answer) = post(&shop, body.clone()).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    let (again, answer) = post(&shop, body).await;
    assert_eq!((again, &answer["message"]), (200, &json!("Event already processed")));
    assert_eq!(shop.db.count("webhook_events").await, 1);
    assert_eq!(
        shop.db.count("orders where status = 'PENDING'").await,
        1,
        "G2A has not said so"
    );
    assert_eq!(
        shop.db
            .count("transactions where gateway_response #>> '{g2a,payload,status}' = 'failed'")
            .await,
        1
    );
    shop.db.assert_books_balance().await;
}

/// A relay that parses an event, signs the output of `JSON.stringify`, and forwards the original text.
#[tokio::test]
async fn an_event_signed_in_javascript_form_is_accepted() {
    let shop = shop().await;
    let sent = r#"{ "total": 10.0, "url": "https:\/\/g2a.example\/", "name": "Pok\u00e9mon" }"#;
    let signed = r#"{"total":10,"url":"https://g2a.example/","name":"Pokémon"}"#;
    let body = event("e1", "80000000000001", signed).replace(signed, sent);
    let (status, answer) = post(&shop, body.clone()).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    let other = body.replace("10.0", "10.1").replace("e1", "e2");
    assert_eq!(post(&shop, other).await.0, 401, "another amount was not signed");
    assert_eq!(shop.db.count("webhook_events").await, 1);
    assert_eq!(shop.webhooks.counts(), (2, 1), "received, and refused");
}

#[tokio::test]
async fn events_of_unknown_orders_are_kept_and_unknown_types_are_not() {
    let shop = shop().await;
    assert_eq!(post(&shop, event("e1", "80000000000001", "{}")).await.0, 200);
    assert_eq!(shop.db.count("webhook_events where applied_at is null").await, 1);
    let odd = event("e2", "80000000000001", "{}").replace("order.completed", "order.sung");
    assert_eq!(post(&shop, odd).await.0, 200);
    assert_eq!(shop.db.count("webhook_events").await, 1);
}

#[tokio::test]
async fn compact_and_original_payloads_verify_and_headers_win() {
    let shop = shop().await;
    let spread = "{ \"b\" : 1.50,\n \"a\" : \"x y\" }";
    let at = now();
    for (id, signed) in [("e1", spread), ("e2", r#"{"b":1.50,"a":"x y"}"#)] {
        let signature = sign(signed, &at, "n");
        let body = format!(
            r#"{{"event_id":"{id}","order_id":"1","type":"order.failed","payload":{spread},"signature":"00"}}"#
        );
        let request = Request::post("/api/g2a/webhook")
            .header("x-g2a-signature", signature)
            .header("nonce", "n")
            .header("x-g2a-timestamp", &at)
            .body(Body::from(body))
            .unwrap();
        assert_eq!(shop.send(request).await.status, 200, "{signed}");
    }
}

#[tokio::test]
async fn invalid_events_receive_distinct_errors_and_change_nothing() {
    let shop = shop().await;
    let good = event("e1", "1", "{}");
    let signature = sign("{}", "x", "n1");
    let wrong_time = {
        let at = (shop.clock.now().timestamp_millis() - 300_001).to_string();
        let signature = sign("{}", &at, "n1");
        format!(
            r#"{{"event_id":"e","order_id":"1","type":"order.failed","payload":{{}},"signature":"{signature}","nonce":"n1","timestamp":{at}}}"#
        )
    };
    let cases: Vec<(String, u16)> = vec![
        (String::new(), 400),
        ("[]".into(), 400),
        ("{".into(), 400),
        ("{}".into(), 400),
        (good.replace(r#""event_id":"e1","#, ""), 400),
        (good.replace(r#""event_id":"e1""#, r#""event_id":"""#), 400),
        (good.replace(r#""event_id":"e1""#, r#""event_id":7"#), 400),
        (good.replace(r#""payload":{}"#, r#""payload":"text""#), 400),
        (good.replace(r#""nonce":"n1","#, ""), 400),
        (wrong_time, 400),
        (good.replace(r#""timestamp":"#, r#""timestamp":-"#), 400),
        (good.replace(r#""timestamp":"#, r#""timestamp":1e"#), 400),
        (event("e\u{0}1", "1", "{}"), 400),
        (good.replace(r#""nonce":"n1""#, r#""nonce":"n2""#), 401),
        (good.replace(r#""payload":{}"#, r#""payload":{"a":1}"#), 401),
        (
            good.replace(r#""signature":""#, &format!(r#""signature":"{signature}"#)),
            401,
        ),
        (good.replace(r#""signature":""#, r#""signature":"ab"#), 401),
        (good.replace(r#""signature":""#, r#""signature":"zz"#), 401),
    ];
    for (body, expected) in cases {
        let (status, answer) = post(&shop, body.clone()).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert_eq!(answer["success"], false, "{body}");
        assert!(answer["error"]["code"].is_string(), "{body}");
    }
    assert_eq!(shop.db.count("webhook_events").await, 0);
    assert_eq!(shop.db.count("unused_deliveries").await, 0);
}

/// Refused, each of these would be redelivered forever.
#[tokio::test]
async fn signed_events_are_accepted_and_kept_byte_for_byte() {
    let shop = shop().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    for (n, payload) in [
        // A title that was cut inside an emoji by a program that counts UTF-16 code units.
        r#"{"title":"Puzzle \ud83d"}"#,
        r#"{"title":"\ude00 Puzzle"}"#,
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"{"price":1e400}"#,
        &deep,
    ]
    .into_iter()
    .enumerate()
    {
        let body = event(&format!("e{n}"), "80000000000001", payload);
        let (status, answer) = post(&shop, body.clone()).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{payload}: {answer}");
        let kept: Vec<u8> = sqlx::query_scalar("select body from webhook_events where event_id = $1")
            .bind(format!("e{n}"))
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
        assert_eq!(kept, body.as_bytes(), "{payload}");
        assert_eq!(
            post(&shop, body).await.1["message"],
            "Event already processed",
            "{payload}"
        );
    }
    let title: String = sqlx::query_scalar("select payload ->> 'title' from webhook_events where event_id = 'e0'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(title, "Puzzle \u{fffd}");
    assert_eq!(shop.db.count("unused_deliveries").await, 0, "each looks at its order");
}

#[tokio::test]
async fn signed_events_without_effect_are_kept_with_their_reason() {
    let shop = shop().await;
    let odd = event("e1", "80000000000001", "{}").replace("order.completed", "order.sung");
    let cut = event(r"e\ud83d", "80000000000001", "{}");
    let long = event("e1", &"8".repeat(201), "{}");
    let nul = event("e1", r"8\u0000", "{}");
    for (body, reason, detail) in [
        (&odd, "KIND_NOT_HANDLED", None),
        (&cut, "FIELD_UNUSABLE", Some("event_id")),
        (&long, "FIELD_UNUSABLE", Some("order_id")),
        (&nul, "FIELD_UNUSABLE", Some("order_id")),
    ] {
        for _ in 0..3 {
            let (status, answer) = post(&shop, body.clone()).await;
            assert_eq!((status, &answer["success"]), (200, &json!(true)), "{body}: {answer}");
        }
        let kept: (String, Option<String>, i32) =
            sqlx::query_as("select reason, detail, times from unused_deliveries where body = $1")
                .bind(body.as_bytes())
                .fetch_one(&shop.db.sql)
                .await
                .unwrap();
        assert_eq!((kept.0.as_str(), kept.2), (reason, 3), "{body}");
        assert_eq!(
            kept.1.as_deref().and_then(|detail| detail.split(':').next()),
            detail,
            "{body}"
        );
    }
    assert_eq!(shop.db.count("webhook_events").await, 0);
    // Unsigned, nothing of it is stored.
    let forged = cut.replace(r#""payload":{}"#, r#""payload":{"a":1}"#);
    assert_eq!(post(&shop, forged).await.0, 401);
    assert_eq!(shop.db.count("unused_deliveries").await, 4);
}
