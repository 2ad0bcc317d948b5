//! `PUT /api/admin/orders/{id}` and `…/status`: an order never says what is not true.

use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

/// An order of two units at 10.00 EUR each: the path for staff, and the ids of the units.
async fn order(shop: &Shop, buyer: &Client<'_>) -> (String, Vec<uuid::Uuid>) {
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let placed = buyer
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 2}]}))
        .await;
    assert_eq!(placed.status, 201, "{}", placed.json());
    let placed = placed.json()["data"].take();
    let units = placed["copies"].as_array().unwrap();
    let units = units.iter().map(|unit| unit["id"].as_str().unwrap().parse().unwrap());
    (
        format!("/api/admin/orders/{}", placed["id"].as_str().unwrap()),
        units.collect(),
    )
}

async fn buyer(shop: &Shop) -> Client<'_> {
    let ada = Client::new(shop);
    let user = ada.register("ada@example.org").await;
    fund(shop, &user, "100").await;
    ada
}

async fn refused(staff: &Client<'_>, path: &str, body: Value, code: (u16, &str)) {
    let answer = staff.put(path, body.clone()).await;
    assert_eq!(answer.failure(), (code.0, code.1.to_owned()), "{body}");
}

const NOT_TRUE: (u16, &str) = (409, "order_status_not_true");

#[tokio::test]
async fn cancelled_refunds_everything_and_is_final() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "SUPPORT").await, buyer(&shop).await);
    let (path, _) = order(&shop, &ada).await;
    let before = staff.get(&path).await.data();
    // What the form of the existing console sends: everything as it is, and a new status.
    let form = json!({"status": "CANCELLED", "paymentStatus": before["paymentStatus"],
                      "paymentMethod": before["paymentMethod"], "promoCode": ""});
    let changed = staff.put(&path, form).await;
    assert_eq!(changed.status, 200, "{}", changed.json());
    let data = changed.data();
    let mut fields: Vec<&String> = data.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["id", "paymentMethod", "paymentStatus", "status", "updatedAt"]);
    assert_eq!(
        (&data["status"], &data["paymentStatus"]),
        (&json!("CANCELLED"), &json!("CANCELLED"))
    );
    assert!(data["updatedAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ada.get("/api/user/balance").await.data()["balance"], json!(100.0));
    // Once more it is true already; nothing leads away from it.
    assert_eq!(
        staff
            .put(&format!("{path}/status"), json!({"status": "CANCELLED"}))
            .await
            .data()["status"],
        "CANCELLED"
    );
    for next in ["PENDING", "PROCESSING", "COMPLETED", "FAILED"] {
        refused(
            &staff,
            &format!("{path}/status"),
            json!({"status": next}),
            (400, "status_transition"),
        )
        .await;
    }
    assert_eq!(shop.db.count("audit_log where action = 'order.cancel'").await, 1);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_status_that_would_not_be_true_is_refused_with_the_reason() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "SUPPORT").await, buyer(&shop).await);
    let (path, units) = order(&shop, &ada).await;
    let status = format!("{path}/status");
    refused(&staff, &status, json!({"status": "PROCESSING"}), NOT_TRUE).await;
    for next in ["COMPLETED", "FAILED"] {
        refused(&staff, &status, json!({"status": next}), (400, "status_transition")).await;
    }
    for (body, code) in [
        (json!({"paymentStatus": "FAILED"}), NOT_TRUE),
        (json!({"paymentMethod": "cash"}), NOT_TRUE),
        (json!({"promoCode": "FREE"}), NOT_TRUE),
        (json!({"status": "REFUNDED"}), (400, "validation_failed")),
        (json!({"status": 1}), (400, "validation_failed")),
        (json!({"paymentStatus": "x"}), (400, "validation_failed")),
    ] {
        refused(&staff, &path, body, code).await;
    }
    assert_eq!(
        staff.put(&path, json!({})).await.data()["status"],
        "PENDING",
        "nothing to change"
    );
    // One unit is delivered: the order can no longer be cancelled as a whole, and nothing of it is.
    shop.db.deliver(units[0]).await;
    shop.db.execute("update orders set status = 'PROCESSING'").await;
    for next in ["COMPLETED", "FAILED", "CANCELLED"] {
        refused(&staff, &status, json!({"status": next}), NOT_TRUE).await;
    }
    assert_eq!(shop.db.count("order_units where state = 'NEW'").await, 1);
    assert_eq!(shop.db.count("orders where cancel_asked_at is not null").await, 0);
    // The rest of it by the endpoint for that; then it is completed, and its keys are with their owner.
    assert_eq!(staff.post(&format!("{path}/cancel"), json!({})).await.data()["kept"], 1);
    assert_eq!(
        staff.put(&status, json!({"status": "COMPLETED"})).await.data()["status"],
        "COMPLETED"
    );
    let told = staff.put(&status, json!({"status": "CANCELLED"})).await;
    assert_eq!(told.failure().0, 409);
    assert!(
        told.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Refund the order"),
        "{}",
        told.json()
    );
    refused(
        &staff,
        &status,
        json!({"status": "PENDING"}),
        (400, "status_transition"),
    )
    .await;
    let nobody = "/api/admin/orders/0192f0c1-0000-7000-8000-000000000001";
    refused(&staff, nobody, json!({"status": "CANCELLED"}), (404, "not_found")).await;
    refused(
        &staff,
        "/api/admin/orders/x",
        json!({"status": "CANCELLED"}),
        (400, "invalid_parameter"),
    )
    .await;
    shop.db.assert_books_balance().await;
}

/// Many forms at once cancel an order once.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_cancellations_refund_once() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "MANAGER").await, buyer(&shop).await);
    let (path, _) = order(&shop, &ada).await;
    let forms = (0..8).map(|_| staff.put(&path, json!({"status": "CANCELLED"})));
    for answer in futures::future::join_all(forms).await {
        assert!([200, 503].contains(&answer.status.as_u16()), "{}", answer.json());
    }
    assert_eq!(ada.get("/api/user/balance").await.data()["balance"], json!(100.0));
    assert_eq!(shop.db.count("audit_log where action = 'order.cancel'").await, 1);
    shop.db.assert_books_balance().await;
}
