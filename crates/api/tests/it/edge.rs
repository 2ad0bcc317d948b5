//! Headers of every response: caching, compression, CORS, security, request IDs; and the health checks.

use std::io::Read as _;

use axum::body::Body;
use http::{Request, StatusCode};
use lockstep_api::{Settings, SupplierState, SupplierStatus};

use crate::client::Client;
use crate::shop::{NewGame, Shop, date};

async fn shop_with_games(settings: Settings) -> Shop {
    let shop = Shop::open_with(settings).await;
    let games: Vec<NewGame> = (0..40).map(|i| NewGame::titled(&format!("Game {i}"))).collect();
    shop.put(&games).await;
    shop
}

#[tokio::test]
async fn unchanged_responses_return_304() {
    let shop = shop_with_games(Settings::default()).await;
    let first = shop.get("/api/games").await;
    let etag = first.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let strong = etag.trim_start_matches("W/");
    for held in [&etag, strong, "*", &format!("\"other\", {etag}")] {
        let again = shop.get_with("/api/games", &[("if-none-match", held)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{held}");
        assert!(again.bytes.is_empty(), "{held}");
        assert_eq!(again.header("etag"), Some(&*etag), "{held}");
        assert_eq!(
            again.header("cache-control"),
            Some("public, max-age=0, must-revalidate"),
            "{held}"
        );
    }
    let other = shop.get_with("/api/games", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.bytes, first.bytes);
}

#[tokio::test]
async fn responses_are_compressed_if_the_client_accepts_gzip() {
    let shop = shop_with_games(Settings::default()).await;
    let plain = shop.get("/api/games").await;
    assert_eq!(plain.header("content-encoding"), None);
    for path in ["/api/games", "/api/games/random?count=40", "/api/openapi.json"] {
        let packed = shop.get_with(path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*packed.bytes)
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(packed.bytes.len() * 2 < unpacked.len(), "{path}");
        assert!(
            packed
                .headers
                .get_all("vary")
                .iter()
                .any(|vary| vary.as_bytes().starts_with(b"accept-encoding")),
            "{path}"
        );
        if path == "/api/games" {
            assert_eq!(unpacked, plain.bytes);
        }
    }
    let refused = shop.get_with("/api/games", &[("accept-encoding", "gzip;q=0")]).await;
    assert_eq!(refused.bytes, plain.bytes);
}

#[tokio::test]
async fn head_requests_receive_only_headers() {
    let shop = shop_with_games(Settings::default()).await;
    let whole = shop.get("/api/games").await;
    let head = shop
        .send(Request::head("/api/games").body(Body::empty()).unwrap())
        .await;
    assert_eq!(head.status, 200);
    assert!(head.bytes.is_empty());
    assert_eq!(head.header("etag"), whole.header("etag"));
}

#[tokio::test]
async fn responses_carry_a_request_id_and_security_headers() {
    let shop = Shop::open_with(Settings {
        production: true,
        ..Settings::default()
    })
    .await;
    let mut ids = std::collections::HashSet::new();
    for path in [
        "/api/games",
        "/api/games/random",
        "/api/nowhere",
        "/health",
        "/healthz",
        "/metrics",
        "/api/docs/",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("cross-origin"),
            "{path}"
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=31536000"),
            "{path}"
        );
        assert!(answer.header("content-security-policy").is_some(), "{path}");
        assert!(ids.insert(answer.header("x-request-id").unwrap().to_owned()), "{path}");
    }
}

#[tokio::test]
async fn valid_request_ids_are_kept_and_others_replaced() {
    let shop = Shop::open().await;
    for (given, kept) in [
        ("abc-DEF_1.2", true),
        ("", false),
        ("a b", false),
        ("<script>", false),
        (&"x".repeat(65), false),
    ] {
        let answer = shop.get_with("/healthz", &[("x-request-id", given)]).await;
        assert_eq!(answer.header("x-request-id") == Some(given), kept, "{given:?}");
    }
}

async fn preflight(shop: &Shop, path: &str, origin: &str) -> crate::shop::Answered {
    let request = Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "content-type,authorization")
        .body(Body::empty())
        .unwrap();
    shop.send(request).await
}

#[tokio::test]
async fn preflight_of_an_allowed_origin_returns_an_empty_200() {
    let shop = Shop::open_with(Settings {
        production: true,
        cors_origins: vec!["https://shop.example.com".into()],
        ..Settings::default()
    })
    .await;
    for path in ["/api/games", "/api/orders", "/api/games/x/y/z", "/health"] {
        let answer = preflight(&shop, path, "https://shop.example.com").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.bytes.is_empty(), "{path}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("https://shop.example.com"),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true"),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-allow-methods"),
            Some("GET,POST,PUT,DELETE,PATCH,OPTIONS"),
            "{path}"
        );
        let allowed = answer.header("access-control-allow-headers").unwrap();
        for name in ["Content-Type", "Authorization", "X-Requested-With", "X-Request-Id"] {
            assert!(allowed.contains(name), "{path}: {allowed}");
        }
        assert!(answer.header("vary").unwrap().contains("origin"), "{path}");
    }
}

#[tokio::test]
async fn refused_origins_receive_no_cors_headers() {
    let shop = Shop::open_with(Settings {
        production: true,
        cors_origins: vec!["https://shop.example.com".into()],
        ..Settings::default()
    })
    .await;
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        let asked = preflight(&shop, "/api/games", origin).await;
        assert_eq!(asked.failure(), (403, "origin_not_allowed".to_owned()), "{origin}");
        let read = shop.get_with("/api/games", &[("origin", origin)]).await;
        assert_eq!(read.status, 200, "{origin}");
        for answer in [asked, read] {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{origin}");
        }
    }
}

#[tokio::test]
async fn localhost_may_read_responses_outside_production() {
    let shop = Shop::open().await;
    let answer = shop
        .get_with("/api/games?page=0", &[("origin", "http://localhost:5173")])
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:5173"),
        "failures are read too"
    );
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("Content-Range,X-Content-Range,X-Request-Id,Retry-After")
    );
}

#[tokio::test]
async fn health_reports_every_configured_part() {
    let shop = Shop::open().await;
    for path in ["/health", "/api/health"] {
        let answer = shop.get(path).await;
        let mut health = answer.json();
        let timestamp = health["timestamp"].take();
        assert!(
            timestamp
                .as_str()
                .unwrap()
                .parse::<chrono::DateTime<chrono::Utc>>()
                .is_ok(),
            "{timestamp}"
        );
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            health,
            serde_json::json!({"status": "ok", "timestamp": null,
                "checks": {"database": "ok", "redis": "disconnected", "g2a": "ok"}}),
            "{path}"
        );
    }
    for state in [SupplierState::Error, SupplierState::NotConfigured] {
        shop.supplier.send_replace(SupplierStatus {
            state,
            since: date("2026-01-02"),
        });
        let answer = shop.get("/health").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["status"], "degraded");
        assert_eq!(answer.json()["checks"]["g2a"], "error");
        assert_eq!(shop.get("/readyz").await.status, 200, "the store sells on without G2A");
    }
}

#[tokio::test]
async fn readiness_lists_every_dependency() {
    let shop = Shop::open().await;
    shop.db
        .execute(
            "insert into sync_runs (kind, reason, status, epoch, started_at, finished_at)
             values ('FULL', 'test', 'COMPLETED', 1, '2026-01-03 09:00Z', '2026-01-03 10:00Z'),
                    ('STOCK', 'test', 'COMPLETED', 2, '2026-01-03 11:00Z', '2026-01-03 11:30Z'),
                    ('FULL', 'test', 'FAILED', 3, '2026-01-03 12:00Z', '2026-01-03 12:30Z'),
                    ('PRODUCT', 'test', 'COMPLETED', 4, '2026-01-03 13:00Z', '2026-01-03 13:30Z')",
        )
        .await;
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.status, 200);
    let mut ready = answer.json();
    assert!(ready["copiesUsable"].take().is_boolean());
    assert_eq!(
        ready,
        serde_json::json!({
            "ready": true,
            "closing": false,
            "database": {"state": "ok", "required": true},
            "redis": {"state": "off", "required": false},
            "supplier": {"state": "sandbox", "required": false, "since": "2026-01-01T10:00:00Z"},
            "buying": {"state": "ok", "required": false},
            "mail": {"state": "ok", "required": false, "waiting": 0, "givenUp": 0},
            "payments": {"state": "ok", "required": false, "waiting": 0},
            "copiesUsable": null,
            "catalogueCheckedAt": "2026-01-03T11:30:00Z"
        })
    );
}

#[tokio::test]
async fn a_closing_process_is_not_ready_but_still_responds() {
    let shop = Shop::open().await;
    shop.closing.cancel();
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.status, 503);
    let told = answer.json();
    assert_eq!(
        (&told["ready"], &told["closing"], &told["database"]["state"]),
        (
            &serde_json::json!(false),
            &serde_json::json!(true),
            &serde_json::json!("ok")
        )
    );
    assert_eq!(shop.get("/api/games").await.status, 200);
}

#[tokio::test]
async fn readiness_reports_stopped_purchasing_and_stays_ready() {
    let shop = Shop::open().await;
    shop.db
        .execute(
            "insert into buying_stops (worker, machine, reason, since, seen_at)
             values (gen_random_uuid(), 'attic', 'the disk is full', '2026-01-03 10:00Z', now()),
                    (gen_random_uuid(), 'cellar', 'long gone', '2026-01-02 10:00Z', now() - interval '2 minutes');
             insert into supplier_alarms (kind, since, retry_at, detail)
             values ('FUNDS', '2026-01-03 11:00Z', now() + interval '5 minutes', 'the wallet is empty')",
        )
        .await;
    let answer = shop.get("/readyz").await;
    assert_eq!(answer.status, 200, "pages and orders go on");
    assert_eq!(
        answer.json()["buying"],
        serde_json::json!({
            "state": "stopped",
            "required": false,
            "reason": "a worker on attic: the disk is full; the wallet is empty",
            "since": "2026-01-03T10:00:00Z"
        })
    );
}

#[tokio::test]
async fn metrics_and_liveness_respond() {
    let shop = Shop::open().await;
    let metrics = shop.get("/metrics").await;
    assert_eq!(metrics.bytes, b"lockstep_up 1\n");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(shop.get("/healthz").await.bytes, b"ok");
}

#[tokio::test]
async fn openapi_and_its_page_need_no_other_host() {
    let shop = Shop::open().await;
    let description = shop.get("/api/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let game = &description["components"]["schemas"]["Game"]["properties"];
    assert_eq!(game["price"]["$ref"], "#/components/schemas/Money");
    let page = shop.get("/api/docs/").await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.bytes).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let mut parts = 0;
    for part in html.split(['"', '\'']).filter(|part| {
        std::path::Path::new(part)
            .extension()
            .is_some_and(|kind| kind == "js" || kind == "css")
    }) {
        let part = part.trim_start_matches("./");
        assert_eq!(shop.get(&format!("/api/docs/{part}")).await.status, 200, "{part}");
        parts += 1;
    }
    assert!(parts >= 3, "{html}");
    assert_eq!(shop.get("/api/docs").await.header("location"), Some("/api/docs/"));
}

#[tokio::test]
async fn readiness_reports_late_and_abandoned_emails_and_stays_ready() {
    let shop = Shop::open().await;
    let client = Client::new(&shop);
    client.register("quill@example.org").await;
    let waiting = shop.db.count("mail_outbox").await;
    assert!(waiting > 0, "somebody is welcomed");
    let mail = async || {
        let answer = shop.get("/readyz").await;
        assert_eq!(answer.status, 200);
        answer.json()["mail"].clone()
    };
    let told = mail().await;
    assert_eq!(
        (&told["state"], &told["waiting"]),
        (&"ok".into(), &waiting.into()),
        "{told}"
    );
    shop.db
        .execute("update mail_outbox set created_at = now() - interval '16 minutes'")
        .await;
    let told = mail().await;
    assert_eq!(
        (&told["state"], &told["givenUp"]),
        (&"late".into(), &0.into()),
        "{told}"
    );
    assert!(told["since"].is_string() && told["required"] == false, "{told}");
}
