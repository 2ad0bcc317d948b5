//! Product lists: the request, its parsing, and retries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_g2a::{
    BadAnswer, Budget, BudgetFuture, CallClass, Client, Code, Error, Lost, NotSent, Outcome, ProductQuery, Repeat,
    Unlimited,
};

use crate::server::{Answer, Server, error, json};
use crate::{client, config};

const PAGE: &str = r#"{"total": 41, "page": 1, "docs": [{"id": "10000009999001", "name": "Lantern Keepers", "qty": 3,
    "minPrice": 4.77}, {"id": "10000009999002", "qty": "many"}]}"#;

fn everything() -> ProductQuery {
    ProductQuery::default()
}

#[tokio::test]
async fn a_page_is_parsed_and_unreadable_products_are_reported() {
    let server = Server::start([json(200, PAGE)]).await;
    let page = client(&server).products(&everything()).await.unwrap();
    assert_eq!((page.total, page.page), (41, 1));
    assert_eq!(page.products[0].min_price.unwrap().to_string(), "4.77");
    assert_eq!(page.unreadable[0].id.as_deref(), Some("10000009999002"));
}

#[tokio::test]
async fn requests_have_the_published_header_and_only_the_set_parameters() {
    let server = Server::start([json(200, PAGE), json(200, PAGE)]).await;
    let client = client(&server);
    client.products(&everything()).await.unwrap();
    let query = ProductQuery {
        page: 7,
        id: Some("10000009999001".into()),
        min_qty: Some(2),
        min_price_from: Some("0.30".parse().unwrap()),
        min_price_to: Some("19.99".parse().unwrap()),
        include_out_of_stock: true,
        updated_at_from: Some("2026-02-03T04:05:06.789Z".parse().unwrap()),
        updated_at_to: Some("2026-02-03T05:05:06Z".parse().unwrap()),
    };
    client.products(&query).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line(), "GET /v1/products?page=1 HTTP/1.1");
    assert_eq!(
        seen[0].header("authorization"),
        Some("games-games-games, 5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21")
    );
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(
        seen[1].line(),
        "GET /v1/products?page=7&id=10000009999001&minQty=2&minPriceFrom=0.30&minPriceTo=19.99&includeOutOfStock=true\
         &updatedAtFrom=2026-02-03+04%3A05%3A06&updatedAtTo=2026-02-03+05%3A05%3A06 HTTP/1.1"
    );
}

#[tokio::test]
async fn a_single_product_is_requested_through_the_list() {
    let other = r#"{"total": 1, "page": 1, "docs": [{"id": "5"}]}"#;
    let server = Server::start([json(200, PAGE), json(200, other), json(200, PAGE)]).await;
    let client = client(&server);
    assert_eq!(client.product("10000009999001").await.unwrap().unwrap().qty, Some(3));
    assert_eq!(
        server.seen()[0].line(),
        "GET /v1/products?page=1&id=10000009999001&includeOutOfStock=true HTTP/1.1"
    );
    assert_eq!(client.product("10000009999001").await.unwrap(), None);
    assert!(matches!(
        client.product("10000009999002").await,
        Err(Error::BadAnswer { .. })
    ));
}

#[tokio::test]
async fn invalid_arguments_are_not_sent() {
    let server = Server::start([]).await;
    let client = client(&server);
    for (query, name) in [
        (
            ProductQuery {
                page: 501,
                ..everything()
            },
            "page",
        ),
        (
            ProductQuery {
                id: Some("1&x=2".into()),
                ..everything()
            },
            "id",
        ),
    ] {
        let refused = client.products(&query).await.unwrap_err();
        assert!(matches!(refused, Error::NotSent { reason: NotSent::Argument(wrong), .. } if wrong == name));
        assert_eq!(refused.repeat(), Repeat::Never);
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn transient_faults_are_retried_until_success() {
    let faults = [
        Answer::Break,
        Answer::Half(200, r#"{"total": 41, "page": 1, "do"#.into()),
        json(500, r#"{"status":"ERROR","code":"ERR99"}"#),
        Answer::Whole(502, "", String::new()),
        Answer::Whole(503, "content-type: text/html\r\n", "<html>busy</html>".into()),
        Answer::Whole(200, "content-type: text/html\r\n", "<html>hello</html>".into()),
        json(200, "{{{"),
        json(200, ""),
        error(429, "BR03"),
        Answer::Half(500, "{".into()),
    ];
    for fault in faults {
        let server = Server::start([fault.clone(), fault, json(200, PAGE)]).await;
        let page = client(&server).products(&everything()).await.unwrap();
        assert_eq!((page.total, server.count()), (41, 3));
    }
}

#[tokio::test]
async fn silence_is_retried_and_ends_as_a_timeout() {
    let server = Server::start([Answer::Silence, Answer::Stuck(200, "{".into())]).await;
    let mut config = config(&server);
    config.timeout = Duration::from_millis(200);
    config.retry.attempts = 2;
    let error = Client::new(config, Arc::new(Unlimited))
        .unwrap()
        .products(&everything())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Lost {
                reason: Lost::Timeout,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!((error.outcome(), server.count()), (Outcome::Unknown, 2));
}

#[tokio::test]
async fn attempts_are_limited_and_the_last_error_is_returned() {
    let server = Server::start(vec![error(500, "API00"); 10]).await;
    let error = client(&server).products(&everything()).await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::Severe));
    assert_eq!(server.count(), 4);
}

#[tokio::test]
async fn permanent_refusals_are_not_retried() {
    for (status, code) in [
        (401, "AUTH02"),
        (403, "AUTH01"),
        (401, "AUTH03"),
        (400, "PR02"),
        (400, "BR08"),
        (404, "WRONGURL"),
        (400, "NEW1"),
    ] {
        let server = Server::start([error(status, code)]).await;
        let error = client(&server).products(&everything()).await.unwrap_err();
        assert_eq!(error.code().map(Code::as_str), Some(code));
        assert_eq!(
            (error.status(), error.repeat(), server.count()),
            (Some(status), Repeat::Never, 1)
        );
    }
}

#[tokio::test]
async fn a_refused_connection_counts_as_not_sent() {
    let server = Server::start([]).await;
    let mut config = config(&server);
    // A port that was free a moment ago: bound and released.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    config.base_url = format!("http://{free}/v1");
    let error = Client::new(config, Arc::new(Unlimited))
        .unwrap()
        .products(&everything())
        .await
        .unwrap_err();
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
    assert_eq!(error.outcome(), Outcome::NotSent);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start([json(200, PAGE)]).await;
    let location: &'static str = format!("location: {}\r\n", target.url("/v1/products")).leak();
    let server = Server::start([Answer::Whole(302, location, String::new())]).await;
    let error = client(&server).products(&everything()).await.unwrap_err();
    assert_eq!((error.status(), target.count()), (Some(302), 0));
}

#[tokio::test]
async fn an_endless_list_is_cut_off() {
    let server = Server::start([json(200, " ".repeat(9 << 20))]).await;
    let error = client(&server).products(&everything()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::BadAnswer {
                reason: BadAnswer::TooLarge { limit: 8_388_608 },
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!((error.repeat(), server.count()), (Repeat::Never, 1));
}

/// Grants everything and records its calls.
#[derive(Default)]
struct Recorder {
    granted: Mutex<Vec<CallClass>>,
    pauses: Mutex<Vec<Duration>>,
}

impl Budget for Recorder {
    fn acquire(&self, class: CallClass) -> BudgetFuture<'_> {
        self.granted.lock().unwrap().push(class);
        Box::pin(std::future::ready(Ok(())))
    }

    fn penalise(&self, wait: Duration) -> BudgetFuture<'_> {
        self.pauses.lock().unwrap().push(wait);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn the_budget_is_asked_before_each_request_and_penalised_per_429() {
    let slow_down = Answer::Whole(429, "retry-after: 1\r\n", String::new());
    let script = [
        error(500, "ERR99"),
        error(400, "BR03"),
        slow_down,
        json(200, PAGE),
        error(404, "ORD02"),
    ];
    let server = Server::start(script).await;
    let budget = Arc::new(Recorder::default());
    let client = Client::new(config(&server), Arc::clone(&budget) as Arc<dyn Budget>).unwrap();
    client.products(&everything()).await.unwrap();
    assert_eq!(*budget.granted.lock().unwrap(), [CallClass::Catalogue; 4]);
    client.order_details("1").await.unwrap_err();
    assert_eq!(budget.granted.lock().unwrap()[4..], [CallClass::Order]);
    assert_eq!(
        *budget.pauses.lock().unwrap(),
        [Duration::from_millis(2), Duration::from_secs(1)]
    );
    let seen = server.seen();
    assert!(
        seen[3].at - seen[2].at >= Duration::from_secs(1),
        "Retry-After was cut short"
    );
}

#[tokio::test]
async fn a_retry_after_beyond_the_time_limit_is_returned_to_the_caller() {
    let server = Server::start([Answer::Whole(429, "retry-after: 3600\r\n", String::new())]).await;
    let error = client(&server).products(&everything()).await.unwrap_err();
    assert_eq!(error.repeat(), Repeat::Safe(Some(Duration::from_hours(1))));
    assert_eq!((error.outcome(), server.count()), (Outcome::Refused, 1));
}

#[tokio::test]
async fn a_retry_after_that_is_a_past_date_means_now() {
    let header = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::start([Answer::Whole(503, header, String::new()), json(200, PAGE)]).await;
    client(&server).products(&everything()).await.unwrap();
    assert_eq!(server.count(), 2);
}

/// Never grants a call.
struct Exhausted;

impl Budget for Exhausted {
    fn acquire(&self, _class: CallClass) -> BudgetFuture<'_> {
        Box::pin(std::future::pending())
    }

    fn penalise(&self, _wait: Duration) -> BudgetFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn without_budget_nothing_is_sent_and_the_wait_times_out() {
    let server = Server::start([json(200, PAGE)]).await;
    let mut config = config(&server);
    config.budget_timeout = Duration::from_millis(10);
    let error = Client::new(config, Arc::new(Exhausted))
        .unwrap()
        .products(&everything())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotSent {
                reason: NotSent::Budget(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!((error.repeat(), server.count()), (Repeat::Safe(None), 0));
}
