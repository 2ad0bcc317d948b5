//! Invalid input is refused by name, and errors reveal no internals.

use axum::body::Body;
use http::{Method, Request};

use crate::shop::Shop;

#[tokio::test]
async fn invalid_parameters_are_refused_by_name() {
    let shop = Shop::open().await;
    let long = "x".repeat(101);
    let many = vec!["x"; 51].join(",");
    let id = "0192f0c1-0000-7000-8000-000000000001";
    let bad = [
        ("page", "/api/games?page=0".to_owned()),
        ("page", "/api/games?page=-1".to_owned()),
        ("page", "/api/games?page=one".to_owned()),
        ("page", "/api/games?page=1.5".to_owned()),
        ("page", "/api/games?page=1000001".to_owned()),
        ("page", "/api/games?page=99999999999999999999".to_owned()),
        ("page", "/api/games?page=1&page=2".to_owned()),
        ("page", "/api/games?page=%2B1".to_owned()),
        ("pageSize", "/api/games?pageSize=0".to_owned()),
        ("pageSize", "/api/games?pageSize=101".to_owned()),
        ("pageSize", "/api/games?pageSize=100000".to_owned()),
        ("sort", "/api/games?sort=cheapest".to_owned()),
        ("sort", "/api/games?sort=price-asc%00".to_owned()),
        ("pricePreset", "/api/games?pricePreset=5-10".to_owned()),
        ("minPrice", "/api/games?minPrice=ten".to_owned()),
        ("minPrice", "/api/games?minPrice=-1".to_owned()),
        ("minPrice", "/api/games?minPrice=1.001".to_owned()),
        ("minPrice", "/api/games?minPrice=NaN".to_owned()),
        ("minPrice", "/api/games?minPrice=20&maxPrice=10".to_owned()),
        ("maxPrice", "/api/games?maxPrice=1e30".to_owned()),
        ("multiplayer", "/api/games?multiplayer=maybe".to_owned()),
        ("search", "/api/games?search=%00".to_owned()),
        ("search", format!("/api/games?search={long}")),
        ("search", "/api/games?search=%ff".to_owned()),
        ("search", "/api/games?search=%c3%28".to_owned()),
        ("search", "/api/games?search=50%".to_owned()),
        ("search", "/api/games?search=%zz".to_owned()),
        ("search", "/api/games?search=a%0Ab".to_owned()),
        ("genres", "/api/games?genres=a%00b".to_owned()),
        ("genres", format!("/api/games?genres={many}")),
        ("publishers", format!("/api/games?publishers=a,{long}")),
        ("regions", "/api/games?regions=%e2%82".to_owned()),
        ("query", format!("/api/games?x={}", "y".repeat(9000))),
        ("q", "/api/games/search".to_owned()),
        ("q", "/api/games/search?q=".to_owned()),
        ("q", "/api/games/search?q=%20%20".to_owned()),
        ("q", "/api/games/search?q=%00".to_owned()),
        ("q", format!("/api/games/search?q={long}")),
        ("q", "/api/games/autocomplete".to_owned()),
        ("q", "/api/games/autocomplete?q=a".to_owned()),
        ("limit", "/api/games/autocomplete?q=ab&limit=0".to_owned()),
        ("limit", "/api/games/autocomplete?q=ab&limit=21".to_owned()),
        ("limit", "/api/games/autocomplete?q=ab&limit=x".to_owned()),
        ("genre", "/api/games/best-sellers?genre=%00".to_owned()),
        ("genre", format!("/api/games/best-sellers?genre={long}")),
        ("genre", "/api/games/by-genre/%00".to_owned()),
        ("count", "/api/games/random?count=0".to_owned()),
        ("count", "/api/games/random?count=51".to_owned()),
        ("count", format!("/api/games/{id}/similar?count=-1")),
        ("id", "/api/games/1".to_owned()),
        ("id", "/api/games/0192f0c1-0000-7000-8000-00000000000g".to_owned()),
        ("id", "/api/games/0192f0c100007000800000000000000a".to_owned()),
        ("id", "/api/games/%7B0192f0c1-0000-7000-8000-000000000001%7D".to_owned()),
        ("slug", "/api/games/slug/%00".to_owned()),
        ("slug", format!("/api/games/slug/{long}{long}{long}x")),
        ("path", "/api/games/slug/%ff".to_owned()),
        ("path", "/api/games/slug/%zz".to_owned()),
        ("path", "/api/games/by-genre/50%".to_owned()),
    ];
    for (name, path) in bad {
        let answer = shop.get(&path).await;
        assert_eq!(answer.failure(), (400, "invalid_parameter".to_owned()), "{path}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(&format!("Invalid {name}:")), "{path}: {message}");
    }
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let shop = Shop::open().await;
    for path in [
        "/api/games?utm_source=x&_=1&pagesize=0",
        "/api/games?",
        "/api/games?&&",
        "/api/games?search=&genres=&publishers=,,",
        "/api/games/best-sellers?genre=",
    ] {
        assert_eq!(shop.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn missing_resources_receive_404() {
    let shop = Shop::open().await;
    for path in [
        "/api/games/0192f0c1-0000-7000-8000-000000000001",
        "/api/games/slug/no-such-game",
        "/api/games/slug/No_Such%20Game",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.failure(), (404, "not_found".to_owned()), "{path}");
        assert_eq!(answer.json()["error"]["message"], "Game not found", "{path}");
    }
    let unknown = "/api/games/0192f0c1-0000-7000-8000-000000000001/similar";
    assert_eq!(shop.get(unknown).await.data(), serde_json::json!([]));
}

#[tokio::test]
async fn unknown_routes_are_named_in_the_error() {
    let shop = Shop::open().await;
    for path in [
        "/api/nowhere",
        "/api/",
        "/api",
        "/api/games/slug/a/b",
        "/api/games/",
        "/api/api/nowhere",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.failure(), (404, "route_not_found".to_owned()), "{path}");
        assert_eq!(
            answer.json()["error"]["message"],
            format!("Route not found: {path}"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_wrong_method_receives_405_with_the_allowed_ones() {
    let shop = Shop::open().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = Request::builder().method(&method).uri("/api/games").body(Body::empty());
        let answer = shop.send(request.unwrap()).await;
        assert_eq!(answer.failure(), (405, "method_not_allowed".to_owned()), "{method}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method}");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_unread() {
    let shop = Shop::open().await;
    let request = Request::post("/api/games")
        .header("content-length", "200000")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        shop.send(request).await.failure(),
        (413, "payload_too_large".to_owned())
    );
}

#[tokio::test]
async fn failures_carry_the_request_id_and_are_not_cached() {
    let shop = Shop::open().await;
    for path in ["/api/games?page=0", "/api/nowhere", "/api/games/slug/none"] {
        let answer = shop.get_with(path, &[("x-request-id", "trace-7")]).await;
        assert_eq!(answer.json()["error"]["requestId"], "trace-7", "{path}");
        assert_eq!(answer.header("x-request-id"), Some("trace-7"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}
