//! Consent to deliver keys at once, over HTTP: with the order, later, or by a front-end of the operator's.

use http::StatusCode;
use lockstep_domain::consent::{ConsentMode, Wording};
use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::{deliver, fund};
use crate::shop::{NewGame, Shop};

/// A customer with 100 euro, and the body of an order of one game.
async fn customer(shop: &Shop) -> (Client<'_>, Value) {
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(shop);
    let user = ada.register("ada@example.org").await;
    fund(shop, &user, "100").await;
    (ada, json!({"items": [{"gameId": game.id, "quantity": 1}]}))
}

async fn source(shop: &Shop) -> Option<String> {
    sqlx::query_scalar("select source from order_consents")
        .fetch_optional(&shop.db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_wording_is_published_with_its_version() {
    let shop = Shop::open_asking(ConsentMode::Required).await;
    let data = Client::new(&shop).get("/api/consent").await.data();
    assert_eq!(data["version"], Wording::current().version);
    assert_eq!(data["mode"], "required");
    for (code, text) in Wording::current().texts {
        assert_eq!(data["texts"][code], *text);
    }
}

#[tokio::test]
async fn an_order_with_consent_shows_its_keys() {
    let shop = Shop::open_asking(ConsentMode::Required).await;
    let (ada, mut body) = customer(&shop).await;
    body["consent"] = json!("1999-01");
    let refused = ada.post("/api/orders", body.clone()).await;
    assert_eq!(refused.failure(), (400, "unknown_consent_wording".into()));
    body["consent"] = json!(Wording::current().version);
    body["consentLanguage"] = json!("xx");
    assert_eq!(
        ada.post("/api/orders", body.clone()).await.failure(),
        (400, "unknown_consent_wording".into())
    );
    // Nothing was ordered.
    assert_eq!(shop.db.count("orders").await, 0);
    body["consentLanguage"] = json!("de");
    let order = ada.post("/api/orders", body).await;
    assert_eq!(order.status, StatusCode::CREATED);
    let order = order.json()["data"].take();
    assert!(order.get("needsConsent").is_none(), "{order}");
    assert_eq!(source(&shop).await.as_deref(), Some("shopper"));
    deliver(&shop, order["copies"][0]["id"].as_str().unwrap(), "AAAAA-BBBBB").await;
    let shown = ada
        .get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(shown["keys"][0]["key"], "AAAAA-BBBBB");
}

#[tokio::test]
async fn keys_of_an_order_without_consent_wait_on_every_way() {
    let shop = Shop::open_asking(ConsentMode::Required).await;
    let (ada, body) = customer(&shop).await;
    let order = ada.post("/api/orders", body).await.json()["data"].take();
    assert_eq!(order["needsConsent"], true);
    assert_eq!(source(&shop).await, None);
    let key = deliver(&shop, order["copies"][0]["id"].as_str().unwrap(), "AAAAA-BBBBB").await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    for list in ["/api/orders", "/api/user/orders"] {
        let orders = ada.get(list).await.data();
        assert_eq!(orders[0]["needsConsent"], true);
        assert_eq!(orders[0]["keys"][0]["id"], key.to_string());
        assert!(orders[0]["keys"][0].get("key").is_none(), "{orders}");
    }
    assert!(ada.get(&path).await.data()["keys"][0].get("key").is_none());
    let file = ada.get(&format!("{path}/keys/{key}/file")).await;
    assert_eq!(file.failure(), (409, "consent_needed".into()));
    assert_eq!(shop.db.count("key_reveals").await, 0);

    let consent = format!("{path}/consent");
    let refused = ada.post(&consent, json!({"consent": "1999-01"})).await;
    assert_eq!(refused.failure(), (400, "unknown_consent_wording".into()));
    assert_eq!(
        ada.post(&consent, json!({})).await.failure(),
        (400, "validation_failed".into())
    );
    let bob = Client::new(&shop);
    bob.register("bob@example.org").await;
    let agreed = json!({"consent": Wording::current().version});
    assert_eq!(bob.post(&consent, agreed.clone()).await.failure().0, 404);
    assert_eq!(Client::new(&shop).post(&consent, agreed.clone()).await.failure().0, 401);
    let given = ada.post(&consent, agreed.clone()).await;
    assert_eq!(given.status, StatusCode::OK);
    assert_eq!(given.json()["data"]["keys"][0]["key"], "AAAAA-BBBBB");
    assert!(given.json()["data"].get("needsConsent").is_none());
    // Again, it is still the first one.
    assert_eq!(ada.post(&consent, agreed).await.status, StatusCode::OK);
    assert_eq!(shop.db.count("mail_outbox where kind = 'consent-confirmed'").await, 1);
    assert_eq!(ada.get(&format!("{path}/keys/{key}/file")).await.text(), "AAAAA-BBBBB");
}

#[tokio::test]
async fn orders_say_who_asked() {
    for (mode, expected) in [(ConsentMode::Front, "front"), (ConsentMode::Development, "development")] {
        let shop = Shop::open_asking(mode).await;
        let (ada, body) = customer(&shop).await;
        let order = ada.post("/api/orders", body).await.json()["data"].take();
        assert!(order.get("needsConsent").is_none());
        assert_eq!(source(&shop).await.as_deref(), Some(expected));
    }
}
