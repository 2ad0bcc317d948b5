//! Orders: creating and paying are never retried, a key is requested exactly once and its bytes are never lost.

use std::sync::Arc;
use std::time::Duration;

use lockstep_g2a::{Client, Code, Error, Lost, NewOrder, NotSent, OrderStatus, Outcome, Repeat, Unlimited, parse_key};

use crate::server::{Answer, Server, error, json};
use crate::{client, config};

fn order() -> NewOrder {
    NewOrder {
        product_id: "10000009999001".into(),
        currency: "EUR".into(),
        max_price: Some("45.10".parse().unwrap()),
    }
}

/// All faults of an answer other than a refusal.
fn faults() -> Vec<Answer> {
    vec![
        Answer::Break,
        Answer::Silence,
        Answer::Whole(500, "", String::new()),
        Answer::Whole(502, "", String::new()),
        error(500, "ERR99"),
        error(503, "SOMETHING"),
        Answer::Half(500, "{".into()),
        Answer::Whole(504, "retry-after: 0\r\n", "<html>".into()),
    ]
}

fn impatient(server: &Server) -> Client {
    let mut config = config(server);
    config.timeout = Duration::from_millis(200);
    config.key_timeout = Duration::from_millis(200);
    Client::new(config, Arc::new(Unlimited)).unwrap()
}

#[tokio::test]
async fn an_order_is_created_with_exact_digits() {
    let server = Server::start([json(
        200,
        r#"{"order_id":"80201019921771","price":45.1,"currency":"EUR"}"#,
    )])
    .await;
    let created = client(&server).create_order(&order()).await.unwrap();
    assert_eq!(
        (created.order_id.as_str(), created.price.to_string().as_str()),
        ("80201019921771", "45.1")
    );
    let seen = server.seen();
    assert_eq!(seen[0].line(), "POST /v1/order HTTP/1.1");
    assert_eq!(
        seen[0].body,
        r#"{"product_id":"10000009999001","currency":"EUR","max_price":45.10}"#
    );
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn invalid_orders_are_not_sent() {
    let server = Server::start([]).await;
    let client = client(&server);
    for (order, name) in [
        (
            NewOrder {
                product_id: String::new(),
                ..order()
            },
            "product_id",
        ),
        (
            NewOrder {
                currency: "euro".into(),
                ..order()
            },
            "currency",
        ),
        (
            NewOrder {
                max_price: Some("0".parse().unwrap()),
                ..order()
            },
            "max_price",
        ),
    ] {
        let refused = client.create_order(&order).await.unwrap_err();
        assert!(matches!(refused, Error::NotSent { reason: NotSent::Argument(wrong), .. } if wrong == name));
    }
    for id in ["", "1/../2", "1?x", &"1".repeat(65)] {
        assert_eq!(client.pay(id).await.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(client.key_bytes(id).await.unwrap_err().outcome(), Outcome::NotSent);
        assert_eq!(client.order_details(id).await.unwrap_err().outcome(), Outcome::NotSent);
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_payment_is_an_empty_put() {
    let server = Server::start([json(200, r#"{"status":true,"transaction_id":"25ed3e8a-0001"}"#)]).await;
    let payment = client(&server).pay("80201019921771").await.unwrap();
    assert!(payment.accepted);
    assert_eq!(payment.transaction_id.as_deref(), Some("25ed3e8a-0001"));
    let seen = server.seen();
    assert_eq!(seen[0].line(), "PUT /v1/order/pay/80201019921771 HTTP/1.1");
    assert_eq!(
        (seen[0].header("content-length"), seen[0].body.as_str()),
        (Some("0"), "")
    );
}

#[tokio::test]
async fn order_details_are_retried() {
    let server = Server::start([
        Answer::Break,
        json(200, r#"{"status":"complete","price":4.770,"currency":"EUR"}"#),
    ])
    .await;
    let details = client(&server).order_details("80201019921771").await.unwrap();
    assert_eq!(details.status, OrderStatus::Complete);
    assert_eq!(details.price.unwrap().to_string(), "4.770");
    assert_eq!(server.seen()[1].line(), "GET /v1/order/details/80201019921771 HTTP/1.1");
}

#[tokio::test]
async fn no_fault_makes_the_client_create_an_order_twice() {
    for fault in faults() {
        let server = Server::start([fault, json(200, "{}")]).await;
        let error = impatient(&server).create_order(&order()).await.unwrap_err();
        assert!(matches!(error.repeat(), Repeat::Safe(_)), "{error:?}");
        assert_eq!((error.outcome(), server.count()), (Outcome::Unknown, 1), "{error:?}");
    }
}

#[tokio::test]
async fn no_fault_makes_the_client_pay_twice() {
    let mut faults = faults();
    faults.extend([
        json(200, "<html>"),
        json(200, ""),
        Answer::Half(200, "{".into()),
        error(400, "ORD110"),
    ]);
    faults.push(Answer::Whole(
        302,
        "location: /v1/order/pay/80201019921771\r\n",
        String::new(),
    ));
    for fault in faults {
        let server = Server::start([fault, json(200, r#"{"status":true}"#)]).await;
        let error = impatient(&server).pay("80201019921771").await.unwrap_err();
        assert_eq!(
            (error.repeat(), error.outcome()),
            (Repeat::LookFirst, Outcome::Unknown),
            "{error:?}"
        );
        assert_eq!(server.count(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn rate_limited_orders_are_reported_and_not_retried() {
    let server = Server::start(vec![Answer::Whole(429, "retry-after: 0\r\n", String::new()); 3]).await;
    let client = client(&server);
    let expected = Repeat::Safe(Some(Duration::ZERO));
    assert_eq!(client.create_order(&order()).await.unwrap_err().repeat(), expected);
    assert_eq!(client.pay("1").await.unwrap_err().repeat(), expected);
    assert_eq!(client.key_bytes("1").await.unwrap_err().repeat(), expected);
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn key_bytes_arrive_unchanged() {
    let body = r#"{"key": "ABCD-\u0045FGH", "isFile":false}"#;
    let server = Server::start([json(200, body)]).await;
    let answer = client(&server).key_bytes("80201019921771").await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..], answer.complete),
        (200, body.as_bytes(), true)
    );
    assert_eq!(parse_key(&answer.body).unwrap().value.expose(), "ABCD-EFGH");
    assert!(!format!("{answer:?}").contains("ABCD"));
    let seen = server.seen();
    assert_eq!(seen[0].line(), "GET /v1/order/key/80201019921771 HTTP/1.1");
    assert_eq!(
        seen[0].header("accept-encoding"),
        None,
        "half of a compressed key is no key"
    );
}

#[tokio::test]
async fn no_fault_makes_the_client_request_a_key_twice() {
    for fault in faults() {
        let server = Server::start([fault, json(200, r#"{"key":"SECOND"}"#)]).await;
        let error = impatient(&server).key_bytes("80201019921771").await.unwrap_err();
        assert_eq!(
            (error.repeat(), error.outcome()),
            (Repeat::Never, Outcome::Unknown),
            "{error:?}"
        );
        assert_eq!(server.count(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn redirects_of_key_requests_are_not_followed() {
    let location = "location: /v1/order/key/elsewhere\r\n";
    let server = Server::start([Answer::Whole(307, location, String::new()), json(200, r#"{"key":"X"}"#)]).await;
    let error = client(&server).key_bytes("80201019921771").await.unwrap_err();
    assert_eq!(
        (error.status(), error.repeat(), server.count()),
        (Some(307), Repeat::Never, 1)
    );
}

#[tokio::test]
async fn a_truncated_key_answer_is_returned_to_the_caller() {
    let body = r#"{"key":"ABCD-EFGH""#;
    for fault in [Answer::Half(200, body.into()), Answer::Stuck(200, body.into())] {
        let server = Server::start([fault]).await;
        let answer = impatient(&server).key_bytes("80201019921771").await.unwrap();
        assert_eq!((&answer.body[..], answer.complete), (body.as_bytes(), false));
        let error = parse_key(&answer.body).unwrap_err();
        assert_eq!((error.repeat(), server.count()), (Repeat::Never, 1));
        assert!(!format!("{error:?} {error} {answer:?}").contains("ABCD"));
    }
}

#[tokio::test]
async fn keys_and_payments_use_separate_connections() {
    let details = || json(200, r#"{"status":"new"}"#);
    let script = [
        details(),
        json(200, r#"{"status":true}"#),
        json(200, r#"{"key":"A"}"#),
        details(),
    ];
    let server = Server::start(script).await;
    let client = client(&server);
    client.order_details("1").await.unwrap();
    client.pay("1").await.unwrap();
    client.key_bytes("1").await.unwrap();
    client.order_details("1").await.unwrap();
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2, 0]);
}

#[tokio::test]
async fn documented_codes_are_typed_under_any_status() {
    for code in Code::DOCUMENTED {
        for status in [400, 404, 500] {
            let server = Server::start([error(status, code.as_str())]).await;
            let refused = client(&server).pay("80201019921771").await.unwrap_err();
            assert_eq!(
                (refused.code(), refused.status(), server.count()),
                (Some(code), Some(status), 1)
            );
            assert!(refused.to_string().contains(code.as_str()), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_downloaded_key_is_recognised_in_both_spellings_and_statuses() {
    for (status, code) in [(404, "ORD04"), (400, "ORD004"), (400, "ORD04"), (404, "ORD004")] {
        let server = Server::start([error(status, code)]).await;
        let refused = client(&server).key_bytes("80201019921771").await.unwrap_err();
        assert_eq!(refused.code(), Some(&Code::KeyAlreadyDownloaded));
        assert_eq!((refused.repeat(), refused.outcome()), (Repeat::Never, Outcome::Refused));
    }
}

#[tokio::test]
async fn errors_contain_no_part_of_a_body() {
    let secret = "TOP-SECRET-KEY";
    let bodies = [
        format!(r#"{{"key":["{secret}"]}}"#),
        format!(r#"{{"status":"ERROR","message":"{secret}","code":"{secret}-{secret}-{secret}"}}"#),
        format!("<html>{secret}</html>"),
    ];
    for body in bodies {
        for status in [200, 400, 500] {
            let script = vec![Answer::Whole(status, "", body.clone()); 3];
            let server = Server::start(script).await;
            let client = client(&server);
            let key = client.key_bytes("1").await.map(|answer| parse_key(&answer.body));
            let shown = format!(
                "{:?} {:?} {key:?}",
                client.create_order(&order()).await,
                client.pay("1").await
            );
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_failed_connection_does_not_consume_a_key() {
    let server = Server::start([]).await;
    let mut config = config(&server);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    config.base_url = format!("http://{free}/v1");
    let client = Client::new(config, Arc::new(Unlimited)).unwrap();
    let error = client.key_bytes("1").await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotSent {
                reason: NotSent::Connect(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        (error.repeat(), error.outcome()),
        (Repeat::Safe(None), Outcome::NotSent)
    );
}

#[tokio::test]
async fn a_truncated_answer_differs_from_no_answer() {
    let server = Server::start([Answer::Half(200, "{".into()), Answer::Break]).await;
    let client = client(&server);
    let half = client.pay("1").await.unwrap_err();
    assert!(
        matches!(
            half,
            Error::Lost {
                reason: Lost::HalfBody { status: 200 },
                ..
            }
        ),
        "{half:?}"
    );
    let none = client.pay("1").await.unwrap_err();
    assert!(
        matches!(
            none,
            Error::Lost {
                reason: Lost::Connection(_),
                ..
            }
        ),
        "{none:?}"
    );
}
