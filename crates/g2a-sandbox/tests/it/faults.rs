//! Every fault has its documented effect on the connection.

use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{Call, CallMatch, Fault, FaultRule};
use reqwest::Method;
use serde_json::json;

use crate::support::{Desk, generated, read, refused};

fn body_of(raw: &[u8]) -> &[u8] {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &raw[end + 4..]
}

fn announced_length(raw: &[u8]) -> usize {
    let text = String::from_utf8_lossy(raw).to_lowercase();
    let line = text.lines().find(|line| line.starts_with("content-length:")).unwrap();
    line.split(':').nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn drop_before_sends_and_processes_nothing() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Pay, Fault::DropBefore));
    assert_eq!(desk.raw("PUT", &format!("/order/pay/{order}"), "keep-alive").await, b"");
    assert_eq!(desk.control.ledger().keys_issued, 0);
    assert_eq!(desk.control.requests(1)[0].status, None);
    assert_eq!(desk.pay(&order).await.0, 200);
}

#[tokio::test]
async fn drop_after_sends_nothing_but_takes_the_money() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Pay, Fault::DropAfter));
    assert_eq!(desk.raw("PUT", &format!("/order/pay/{order}"), "keep-alive").await, b"");
    assert_eq!(desk.control.ledger().keys_issued, 1);
    assert_eq!(desk.details(&order).await.1["status"], "complete");
}

#[tokio::test]
async fn a_client_sees_a_dropped_connection_as_an_error() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        desk.control.add_fault(FaultRule::once(CallMatch::Pay, fault));
        assert!(desk.try_pay(&order).await.is_err());
    }
    // The client did not repeat them.
    assert_eq!(desk.control.request_counts().by_call[&Call::Pay], 2);
}

#[tokio::test]
async fn a_truncated_answer_ends_at_the_set_byte() {
    let desk = Desk::open(generated(60)).await;
    let whole = desk.raw("GET", "/products", "close").await;
    assert_eq!(announced_length(&whole), body_of(&whole).len());
    for bytes in [0, 1, 100, 10_000] {
        desk.control
            .add_fault(FaultRule::once(CallMatch::Products, Fault::TruncateAt { bytes }));
        let cut = desk.raw("GET", "/products", "keep-alive").await;
        let length = usize::try_from(bytes).unwrap();
        assert_eq!(body_of(&cut), &body_of(&whole)[..length]);
        assert_eq!(announced_length(&cut), body_of(&whole).len());
    }
    desk.control
        .add_fault(FaultRule::once(CallMatch::Products, Fault::TruncateAt { bytes: 50 }));
    let response = desk.request(Method::GET, "/products").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn a_truncated_key_counts_as_read() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.pay(&order).await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Key, Fault::TruncateAt { bytes: 9 }));
    assert!(
        desk.request(Method::GET, &format!("/order/key/{order}"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .is_err()
    );
    refused(&desk.key(&order).await, 404, "ORD04");
}

#[tokio::test]
async fn an_answer_shorter_than_the_cut_keeps_the_connection() {
    let (desk, _) = Desk::with_one_product().await;
    desk.control.add_fault(FaultRule::once(
        CallMatch::Products,
        Fault::TruncateAt { bytes: 1_000_000 },
    ));
    for _ in 0..3 {
        assert_eq!(desk.get("/products").await.0, 200);
    }
}

#[tokio::test]
async fn error_answers_replace_the_real_one_without_processing() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    let error = Fault::Error {
        status: 500,
        code: "ERR99".into(),
        message: "internal".into(),
    };
    desk.control.add_fault(FaultRule::once(CallMatch::Pay, error));
    refused(&desk.pay(&order).await, 500, "ERR99");
    desk.control
        .add_fault(FaultRule::once(CallMatch::Pay, Fault::EmptyBody502));
    let empty = desk.try_pay(&order).await.unwrap();
    assert_eq!(empty.status(), 502);
    assert_eq!(empty.bytes().await.unwrap().len(), 0);
    assert_eq!(desk.control.ledger().keys_issued, 0);
}

#[tokio::test]
async fn a_wrong_answer_may_follow_a_processed_call() {
    let (desk, id) = Desk::with_one_product().await;
    for fault in [
        Fault::EmptyBody502,
        Fault::Nonsense,
        Fault::WrongJson,
        Fault::RateLimited { retry_after: None },
    ] {
        let order = desk.order(&id).await;
        desk.control
            .add_fault(FaultRule::once(CallMatch::Pay, fault).processed());
        desk.pay(&order).await;
        assert_eq!(desk.details(&order).await.1["status"], "complete");
    }
}

#[tokio::test]
async fn rate_limited_is_429_with_an_optional_header() {
    let (desk, _) = Desk::with_one_product().await;
    for (retry_after, expected) in [(Some(7), Some("7")), (None, None)] {
        desk.control
            .add_fault(FaultRule::once(CallMatch::Any, Fault::RateLimited { retry_after }));
        let response = desk.request(Method::GET, "/products").send().await.unwrap();
        assert_eq!(
            response
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().unwrap()),
            expected
        );
        refused(&read(response).await, 429, "BR03");
    }
}

#[tokio::test]
async fn a_slow_answer_is_processed_at_once() {
    let (desk, id) = Desk::with_one_product().await;
    let order = desk.order(&id).await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Pay, Fault::Slow { milliseconds: 600_000 }));
    let waiting = tokio::spawn(
        desk.request(Method::PUT, &format!("/order/pay/{order}"))
            .header("Content-Length", "0")
            .send(),
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while desk.control.ledger().keys_issued == 0 {
        assert!(Instant::now() < deadline, "the call was not processed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!waiting.is_finished());
    waiting.abort();
    assert_eq!(desk.details(&order).await.1["status"], "complete");
    desk.control
        .add_fault(FaultRule::once(CallMatch::Details, Fault::Slow { milliseconds: 1 }));
    assert_eq!(desk.details(&order).await.0, 200);
}

#[tokio::test]
async fn nonsense_is_a_web_page_and_wrong_json_has_another_shape() {
    let (desk, _) = Desk::with_one_product().await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Products, Fault::Nonsense));
    let response = desk.request(Method::GET, "/products").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    assert!(serde_json::from_str::<serde_json::Value>(&response.text().await.unwrap()).is_err());
    desk.control
        .add_fault(FaultRule::once(CallMatch::Products, Fault::WrongJson));
    let (status, body) = desk.get("/products").await;
    assert_eq!(status, 200);
    assert!(body.is_object() && body.get("docs").is_none() && body.get("total").is_none());
}

#[tokio::test]
async fn duplicates_create_two_orders_and_lose_a_key() {
    let (desk, id) = Desk::with_one_product().await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Order, Fault::Duplicate));
    let order = desk.order(&id).await;
    let ledger = desk.control.ledger();
    assert_eq!((ledger.orders.len(), &ledger.orders[1].order_id), (2, &order));
    desk.pay(&order).await;
    desk.control
        .add_fault(FaultRule::once(CallMatch::Key, Fault::Duplicate));
    refused(&desk.key(&order).await, 404, "ORD04");
    assert!(desk.control.ledger().orders[1].key_delivered);
}

#[tokio::test]
async fn rules_count_skip_and_fall_through_in_order() {
    let (desk, _) = Desk::with_one_product().await;
    let error = |status| Fault::Error {
        status,
        code: "X".into(),
        message: String::new(),
    };
    desk.control.add_fault(FaultRule::once(CallMatch::Order, error(599)));
    desk.control
        .add_fault(FaultRule::once(CallMatch::Products, error(501)).after(1).times(2));
    desk.control
        .add_fault(FaultRule::forever(CallMatch::Any, error(502)).after(2));
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(desk.get("/products").await.0.as_u16());
    }
    // Call 1 passes both rules; 2 and 3 match the first; 4 is the second call that the last rule lets pass.
    assert_eq!(seen, [200, 501, 501, 200, 502, 502, 502]);
    assert_eq!(desk.control.faults().len(), 2);
    desk.control.clear_faults();
    assert_eq!(desk.get("/products").await.0, 200);
}

#[tokio::test]
async fn dropping_cuts_idle_connections_and_shutdown_frees_the_port() {
    let (desk, _) = Desk::with_one_product().await;
    assert_eq!(desk.get("/products").await.0, 200);
    let (address, credentials) = (desk.sandbox.address(), desk.sandbox.credentials());
    desk.sandbox.shutdown().await;
    let config = lockstep_g2a_sandbox::Config {
        bind: address,
        ..generated(5)
    };
    let again = Desk::open(config).await;
    assert_eq!(again.sandbox.address(), address);
    let url = format!("{}/products", again.sandbox.base_url());
    let answer = desk
        .http
        .get(&url)
        .header("Authorization", credentials.authorization())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    drop(again);
    assert!(desk.http.get(&url).send().await.is_err());
}

#[tokio::test]
async fn fault_rules_have_a_json_form() {
    let rules = json!([
        { "call": "pay", "fault": { "kind": "drop_after" } },
        { "call": "any", "times": "forever", "skip": 3, "fault": { "kind": "truncate_at", "bytes": 10 } },
        { "call": "order", "times": 2, "process_first": true, "fault": { "kind": "error", "status": 500, "code": "ERR99" } },
        { "call": "details", "fault": { "kind": "rate_limited", "retry_after": 3 } },
        { "call": "key", "fault": { "kind": "empty_body502" } },
        { "call": "products", "fault": { "kind": "slow", "milliseconds": 9000 } },
    ]);
    let read: Vec<FaultRule> = serde_json::from_value(rules).unwrap();
    assert_eq!(read[0], FaultRule::once(CallMatch::Pay, Fault::DropAfter));
    assert_eq!(
        read[1],
        FaultRule::forever(CallMatch::Any, Fault::TruncateAt { bytes: 10 }).after(3)
    );
    let again: Vec<FaultRule> = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
    assert_eq!(read, again);
    assert!(serde_json::from_value::<FaultRule>(json!({ "call": "pay", "fault": { "kind": "earthquake" } })).is_err());
}

#[tokio::test]
async fn held_answers_are_released_in_any_order_with_their_time() {
    let (desk, _) = Desk::with_one_product().await;
    desk.control
        .add_fault(FaultRule::forever(CallMatch::Products, Fault::Hold));
    let ask = |page: u32| {
        let request = desk.request(Method::GET, &format!("/products?page={page}"));
        tokio::spawn(async move { request.send().await.unwrap().status() })
    };
    let held = async |count: usize| {
        for _ in 0..2_000 {
            if desk.control.held().len() == count {
                return desk.control.held();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {count} held: {:?}", desk.control.held());
    };
    let first = ask(1);
    assert_eq!(held(1).await, [1]);
    let second = ask(2);
    assert_eq!(held(2).await, [1, 2]);
    assert!(desk.control.release(2) && !desk.control.release(2));
    assert_eq!(second.await.unwrap(), 200);
    let answered: Vec<bool> = desk
        .control
        .requests(9)
        .iter()
        .map(|one| one.answered_at.is_some())
        .collect();
    assert_eq!(answered, [false, true]);
    // The sandbox does not wait for a caller that disconnected.
    first.abort();
    assert_eq!(held(0).await, [0_u64; 0]);
    assert!(!desk.control.release(1));
    assert_eq!(desk.control.requests(9)[0].answered_at, None);
}
