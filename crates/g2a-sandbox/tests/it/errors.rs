//! Every refusal has G2A's form, its code and its status.

use lockstep_g2a_sandbox::{Auth01Status, CallMatch, Credentials, Fault, FaultRule};
use reqwest::Method;
use serde_json::json;

use crate::support::{Desk, empty, generated, read, refused};

#[test]
fn the_authorization_header_matches_the_published_test_vector() {
    let credentials = Credentials {
        hash: "games-games-games".into(),
        email: "test123@integration-api.g2a".into(),
        secret: "quite-nice-secret".into(),
    };
    let expected = "games-games-games, 5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21";
    assert_eq!(credentials.authorization(), expected);
    assert!(!format!("{credentials:?}").contains("quite-nice-secret"));
}

#[tokio::test]
async fn without_authorization_header_it_is_auth01_with_the_set_status() {
    let desk = Desk::open(empty()).await;
    let url = format!("{}/products", desk.sandbox.base_url());
    for (status, knob) in [
        (403, Auth01Status::Forbidden),
        (400, Auth01Status::BadRequest),
        (401, Auth01Status::Unauthorized),
    ] {
        desk.control.change_knobs(|knobs| knobs.auth01_status = knob);
        refused(&read(desk.http.get(&url).send().await.unwrap()).await, status, "AUTH01");
    }
}

#[tokio::test]
async fn wrong_credentials_are_auth02() {
    let desk = Desk::open(empty()).await;
    let url = format!("{}/products", desk.sandbox.base_url());
    let right = desk.sandbox.credentials().authorization();
    let without_blank = right.replace(", ", ",");
    for wrong in [
        "",
        "nonsense",
        &without_blank,
        &right.to_uppercase(),
        "Bearer never-issued",
    ] {
        let answer = desk.http.get(&url).header("Authorization", wrong).send().await.unwrap();
        refused(&read(answer).await, 401, "AUTH02");
    }
}

#[tokio::test]
async fn tokens_requested_by_form_or_json_work_until_they_expire() {
    let desk = Desk::open(empty()).await;
    let credentials = desk.sandbox.credentials();
    let url = format!("http://{}/oauth/token", desk.sandbox.address());
    let body = json!({
        "grant_type": "client_credentials", "client_id": credentials.hash, "client_secret": credentials.secret,
    });
    for request in [desk.http.post(&url).form(&body), desk.http.post(&url).json(&body)] {
        let (status, token) = read(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{token}");
        assert_eq!(token["token_type"], "bearer");
        let call = || {
            let products = format!("{}/products", desk.sandbox.base_url());
            desk.http
                .get(products)
                .bearer_auth(token["access_token"].as_str().unwrap())
                .send()
        };
        assert_eq!(call().await.unwrap().status(), 200);
        desk.control.advance_clock(token["expires_in"].as_u64().unwrap());
        refused(&read(call().await.unwrap()).await, 401, "AUTH02");
    }
}

#[tokio::test]
async fn a_token_is_refused_for_a_wrong_secret_or_another_grant() {
    let desk = Desk::open(empty()).await;
    let credentials = desk.sandbox.credentials();
    let url = format!("http://{}/oauth/token", desk.sandbox.address());
    for (grant, secret, status) in [
        ("client_credentials", "wrong", 401),
        ("password", credentials.secret.as_str(), 400),
    ] {
        let form = [
            ("grant_type", grant),
            ("client_id", &credentials.hash),
            ("client_secret", secret),
        ];
        assert_eq!(desk.http.post(&url).form(&form).send().await.unwrap().status(), status);
    }
    assert_eq!(desk.http.post(&url).body("{}").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn bad_list_parameters_are_refused_by_their_codes() {
    let desk = Desk::open(generated(50)).await;
    for (query, code) in [
        ("page=0", "PR02"),
        ("page=-1", "PR02"),
        ("page=two", "PR02"),
        ("page=501", "PR02"),
        ("page=99999999999999999999", "PR02"),
        ("id=abc", "PR01"),
        ("id=", "PR01"),
        ("minQty=-1", "PR03"),
        ("minQty=1.5", "PR03"),
        ("minPriceFrom=cheap", "PR04"),
        ("minPriceFrom=-1", "PR04"),
        ("minPriceTo=NaN", "PR05"),
        ("includeOutOfStock=maybe", "BR08"),
        ("updatedAtFrom=2025-01-01", "BR08"),
        ("updatedAtTo=yesterday", "BR08"),
    ] {
        refused(&desk.get(&format!("/products?{query}")).await, 400, code);
    }
}

#[tokio::test]
async fn page_500_is_the_last_page() {
    let desk = Desk::open(generated(50)).await;
    assert_eq!(desk.get("/products?page=500").await.0, 200);
    desk.control.change_knobs(|knobs| knobs.max_page = 2);
    assert_eq!(desk.get("/products?page=2").await.0, 200);
    refused(&desk.get("/products?page=3").await, 400, "PR02");
}

#[tokio::test]
async fn bad_orders_are_refused_by_their_codes() {
    let (desk, id) = Desk::with_one_product().await;
    for (body, code) in [
        (json!({ "product_id": 10_000_000_000_001_u64 }), "BR02"),
        (json!({}), "BR02"),
        (json!([]), "BR02"),
        (json!({ "product_id": id, "max_price": "5" }), "BR02"),
        (json!({ "product_id": id, "max_price": -1 }), "BR02"),
        (json!({ "product_id": id, "min_rating": 1.1 }), "BR02"),
        (json!({ "product_id": id, "currency": "DOUBLOON" }), "BR02"),
        (json!({ "product_id": "nonsense" }), "BR04"),
        (json!({ "product_id": "10000000000002" }), "BR04"),
    ] {
        refused(&desk.create(body.clone()).await, 400, code);
    }
    let broken = desk
        .request(Method::POST, "/order")
        .header("Content-Type", "application/json")
        .body("{\"product_id\"");
    refused(&read(broken.send().await.unwrap()).await, 400, "BR01");
    let plain = desk
        .request(Method::POST, "/order")
        .header("Content-Type", "text/plain")
        .body("{}");
    refused(&read(plain.send().await.unwrap()).await, 415, "CTTYPE");
    let huge = desk
        .request(Method::POST, "/order")
        .header("Content-Type", "application/json")
        .body("x".repeat(70_000));
    refused(&read(huge.send().await.unwrap()).await, 413, "BR02");
    assert_eq!(desk.control.ledger().orders, []);
}

#[tokio::test]
async fn out_of_stock_and_above_the_cap_have_the_configured_codes() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control.change_knobs(|knobs| {
        knobs.out_of_stock_code = "ORD777".into();
        knobs.over_cap_code = "ORD778".into();
    });
    refused(
        &desk.create(json!({ "product_id": id, "max_price": 4.99 })).await,
        400,
        "ORD778",
    );
    assert!(desk.control.set_stock(&id, 0));
    refused(&desk.create(json!({ "product_id": id })).await, 400, "ORD777");
}

#[tokio::test]
async fn non_numeric_order_ids_are_ord01_and_unknown_ones_ord02() {
    let (desk, _) = Desk::with_one_product().await;
    for call in ["details", "key"] {
        refused(&desk.get(&format!("/order/{call}/abc")).await, 400, "ORD01");
        refused(&desk.get(&format!("/order/{call}/80201019921771")).await, 404, "ORD02");
    }
    refused(&desk.pay("abc").await, 400, "ORD01");
    refused(&desk.pay("80201019921771").await, 404, "ORD02");
}

#[tokio::test]
async fn other_addresses_and_methods_are_wrongurl() {
    let (desk, id) = Desk::with_one_product().await;
    for path in [
        "/",
        "/order",
        "/products/",
        "/products/1/stock",
        "/order/list",
        "/token",
    ] {
        let answer = desk.get(path).await;
        let code = if path == "/products/" {
            (400, "PR01")
        } else {
            (404, "WRONGURL")
        };
        refused(&answer, code.0, code.1);
    }
    let order = desk.order(&id).await;
    let post = desk.request(Method::POST, &format!("/order/pay/{order}"));
    refused(&read(post.send().await.unwrap()).await, 404, "WRONGURL");
}

#[tokio::test]
async fn any_other_code_can_be_injected_as_a_fault() {
    let desk = Desk::open(empty()).await;
    for (status, code) in [
        (401, "AUTH03"),
        (401, "AUTH04"),
        (404, "ORD111"),
        (404, "ORD113"),
        (502, "ORD122"),
        (500, "ERR99"),
    ] {
        let fault = Fault::Error {
            status,
            code: code.into(),
            message: "as ordered".into(),
        };
        desk.control.add_fault(FaultRule::once(CallMatch::Any, fault));
        refused(&desk.get("/products").await, status, code);
    }
}

#[tokio::test]
async fn the_rate_limit_applies_to_any_sixty_seconds() {
    let desk = Desk::open(empty()).await;
    desk.control.change_knobs(|knobs| knobs.rate_per_minute = 3);
    assert_eq!(desk.get("/products").await.0, 200);
    desk.control.advance_clock(30);
    assert_eq!(desk.get("/products").await.0, 200);
    assert_eq!(desk.get("/products").await.0, 200);
    refused(&desk.get("/products").await, 429, "BR03");
    desk.control.advance_clock(31);
    // The first call is more than a minute old, the other two are not: one call is free.
    assert_eq!(desk.get("/products").await.0, 200);
    refused(&desk.get("/products").await, 429, "BR03");
    desk.control.advance_clock(60);
    assert_eq!(desk.get("/products").await.0, 200);
    desk.control.change_knobs(|knobs| knobs.rate_per_minute = 0);
    for _ in 0..10 {
        assert_eq!(desk.get("/products").await.0, 200);
    }
}

#[tokio::test]
async fn the_rate_limit_sends_retry_after_only_if_enabled() {
    let desk = Desk::open(empty()).await;
    desk.control.change_knobs(|knobs| knobs.rate_per_minute = 1);
    assert_eq!(desk.get("/products").await.0, 200);
    let silent = desk.request(Method::GET, "/products").send().await.unwrap();
    assert_eq!(silent.status(), 429);
    assert!(!silent.headers().contains_key("retry-after"));
    desk.control.change_knobs(|knobs| knobs.retry_after = true);
    let helpful = desk.request(Method::GET, "/products").send().await.unwrap();
    let seconds: u64 = helpful.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    desk.control.advance_clock(seconds);
    assert_eq!(desk.get("/products").await.0, 200);
}
