//! The control API over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Desk, euro, generated, read, refused};

async fn control(desk: &Desk, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let url = format!("http://{}/control{path}", desk.sandbox.address());
    let request = desk.http.request(method, url);
    let request = if let Some(body) = body {
        request.json(&body)
    } else {
        request
    };
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn switches_can_be_read_and_changed_individually() {
    let (desk, _) = Desk::with_one_product().await;
    let (_, knobs) = control(&desk, Method::GET, "/knobs", None).await;
    assert_eq!(
        (&knobs["page_size"], &knobs["charge_basis"]),
        (&json!(20), &json!("retail_min_price"))
    );
    let patch = json!({ "auth01_status": 401, "key_not_ready": "ORD06", "pay_limit": 12.5, "create_drift": 0.1 });
    let (status, changed) = control(&desk, Method::PATCH, "/knobs", Some(patch)).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(
        (&changed["auth01_status"], &changed["page_size"]),
        (&json!(401), &json!(20))
    );
    assert_eq!(desk.control.knobs().pay_limit, Some(euro("12.5")));
    for wrong in [
        json!({ "pagesize": 3 }),
        json!({ "auth01_status": 404 }),
        json!({ "page_size": -1 }),
    ] {
        assert_eq!(control(&desk, Method::PATCH, "/knobs", Some(wrong)).await.0, 400);
    }
    let (_, replaced) = control(&desk, Method::PUT, "/knobs", Some(json!({ "page_size": 5 }))).await;
    assert_eq!(
        (&replaced["page_size"], &replaced["auth01_status"]),
        (&json!(5), &json!(403))
    );
}

#[tokio::test]
async fn faults_can_be_added_listed_and_cleared() {
    let (desk, _) = Desk::with_one_product().await;
    let one = json!({ "call": "products", "fault": { "kind": "empty_body502" } });
    control(&desk, Method::POST, "/faults", Some(one.clone())).await;
    let (_, listed) = control(&desk, Method::POST, "/faults", Some(json!([one, one]))).await;
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(desk.get("/products").await.0, 502);
    assert_eq!(
        control(&desk, Method::GET, "/faults", None)
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(control(&desk, Method::DELETE, "/faults", None).await.0, 204);
    assert_eq!(desk.get("/products").await.0, 200);
}

#[tokio::test]
async fn products_can_be_added_changed_and_removed() {
    let desk = Desk::open(generated(30)).await;
    let product = json!({ "id": "99000000000001", "name": "X", "qty": 2, "minPrice": "1.20", "secretField": [1] });
    let (_, added) = control(&desk, Method::POST, "/products", Some(product)).await;
    assert_eq!(added["id"], "99000000000001");
    let address = "/products/99000000000001";
    let patch = json!({ "release_date": "2031-01-01", "qty": 7, "name": null });
    assert_eq!(control(&desk, Method::PATCH, address, Some(patch)).await.0, 204);
    let (_, docs) = desk.list("id=99000000000001").await;
    assert_eq!(docs[0]["release_date"], "2031-01-01");
    assert_eq!(
        (&docs[0]["qty"], &docs[0]["minPrice"], &docs[0]["secretField"]),
        (&json!(7), &json!("1.20"), &json!([1]))
    );
    assert_eq!(docs[0].get("name"), None);
    let (_, listed) = control(&desk, Method::GET, "/products?page=2&size=20", None).await;
    assert_eq!(
        (&listed["total"], listed["docs"].as_array().unwrap().len()),
        (&json!(31), 11)
    );
    assert_eq!(control(&desk, Method::DELETE, address, None).await.0, 204);
    for (method, body) in [
        (Method::GET, None),
        (Method::DELETE, None),
        (Method::PATCH, Some(json!({}))),
    ] {
        assert_eq!(control(&desk, method, address, body).await.0, 404);
    }
}

#[tokio::test]
async fn a_patched_synthetic_product_keeps_its_other_fields() {
    let desk = Desk::open(generated(30)).await;
    let before = desk.control.products(1, 1).remove(0);
    let id = before["id"].as_str().unwrap();
    assert!(
        desk.control
            .patch_product(id, crate::support::object(json!({ "minPrice": 3.33 })))
    );
    let mut after = desk.control.product(id).unwrap();
    assert_eq!(after["minPrice"], json!(3.33));
    assert_ne!(after["updated_at"], before["updated_at"]);
    after["minPrice"] = before["minPrice"].clone();
    after["updated_at"] = before["updated_at"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn wallet_clock_drift_and_refunds_are_available() {
    let (desk, id) = Desk::with_one_product().await;
    let (_, wallet) = control(&desk, Method::PUT, "/wallet", Some(json!({ "balance": 12.34 }))).await;
    assert_eq!(wallet["balance"], json!(12.34));
    let before = desk.control.clock().now;
    let (_, clock) = control(&desk, Method::POST, "/clock", Some(json!({ "advance_seconds": 3600 }))).await;
    assert_eq!(clock["offset_seconds"], 3600);
    assert!(desk.control.clock().now - before >= chrono::TimeDelta::seconds(3600));
    let order = desk.order(&id).await;
    assert_eq!(
        control(&desk, Method::POST, &format!("/orders/{order}/refund"), None)
            .await
            .0,
        404
    );
    desk.pay(&order).await;
    assert_eq!(
        control(&desk, Method::POST, &format!("/orders/{order}/refund"), None)
            .await
            .0,
        204
    );
    let (_, ledger) = control(&desk, Method::GET, "/ledger", None).await;
    assert_eq!(
        (&ledger["wallet"], &ledger["money_taken"]),
        (&json!(12.34), &json!(6.3))
    );
    let (_, drift) = control(&desk, Method::PUT, "/drift", Some(json!({ "per_second": 3 }))).await;
    assert_eq!(drift["per_second"], 3);
    assert_eq!(
        control(&desk, Method::POST, "/drift", Some(json!({ "changes": 5 })))
            .await
            .0,
        204
    );
}

#[tokio::test]
async fn the_log_has_time_and_result_of_each_request() {
    let (desk, id) = Desk::with_one_product().await;
    desk.get("/products?page=1&minQty=2").await;
    desk.control.advance_clock(10);
    desk.order(&id).await;
    desk.get("/nowhere").await;
    let (_, log) = control(&desk, Method::GET, "/requests?last=2", None).await;
    assert_eq!(
        log["counts"],
        json!({ "total": 3, "by_call": { "products": 1, "order": 1 } })
    );
    assert_eq!(log["requests"].as_array().unwrap().len(), 2);
    let all = desk.control.requests(100);
    assert_eq!(all[0].target, "/v1/products?page=1&minQty=2");
    assert_eq!(
        all.iter().map(|request| request.status.unwrap()).collect::<Vec<_>>(),
        [200, 200, 404]
    );
    assert!(all[1].at - all[0].at >= chrono::TimeDelta::seconds(10));
    assert_eq!(all.iter().map(|request| request.number).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn reset_restores_the_initial_state() {
    let desk = Desk::open(generated(25)).await;
    let beginning = desk.control.products(1, 100);
    let order = desk
        .order(
            beginning.iter().find(|product| product["qty"] != 0).unwrap()["id"]
                .as_str()
                .unwrap(),
        )
        .await;
    desk.pay(&order).await;
    desk.control.drift_now(50);
    desk.control.advance_clock(100);
    assert_ne!(desk.control.products(1, 100), beginning);
    assert_eq!(control(&desk, Method::POST, "/reset", None).await.0, 204);
    assert_eq!(desk.control.products(1, 100), beginning);
    assert_eq!(desk.control.ledger().orders, []);
    assert_eq!(desk.control.request_counts().total, 0);
    assert_eq!(desk.control.clock().offset_seconds, 0);
}

#[tokio::test]
async fn the_catalogue_drifts_at_the_configured_rate() {
    let desk = Desk::open(generated(200)).await;
    let beginning = desk.control.products(1, 1_000);
    desk.control.set_drift_per_second(500);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while desk.control.products(1, 1_000) == beginning {
        assert!(std::time::Instant::now() < deadline, "nothing drifts");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_next_ordered_product_can_be_made_to_sell_out() {
    let (desk, id) = Desk::with_one_product().await;
    let (status, armed) = control(&desk, Method::POST, "/sell-out", Some(json!({ "left": 2 }))).await;
    assert_eq!((status.as_u16(), &armed), (200, &json!({ "left": 2 })));
    refused(
        &desk.create(json!({ "product_id": "99000000000009" })).await,
        400,
        "BR04",
    );
    assert_eq!(
        control(&desk, Method::GET, "/sell-out", None).await.1["left"],
        2,
        "what nobody sells cannot sell out"
    );
    assert_eq!(desk.control.product(&id).unwrap()["qty"], 10, "nobody has ordered yet");
    for left in [1, 0] {
        desk.order(&id).await;
        assert_eq!(desk.control.product(&id).unwrap()["qty"], left);
    }
    refused(&desk.create(json!({ "product_id": id })).await, 400, "ORD130");
    assert_eq!(
        control(&desk, Method::GET, "/sell-out", None).await.1["left"],
        json!(null)
    );
    // Only that product: later stock sells as before.
    assert!(desk.control.set_stock(&id, 5));
    desk.order(&id).await;
    assert_eq!(desk.control.product(&id).unwrap()["qty"], 4);
    assert_eq!(
        control(&desk, Method::POST, "/sell-out", Some(json!({ "left": -1 })))
            .await
            .0,
        422
    );
}
