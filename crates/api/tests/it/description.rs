//! The OpenAPI document is accurate: every operation in it can be called, and no other can.

use axum::body::Body;
use http::{Method, Request};

use crate::shop::Shop;

#[tokio::test]
async fn exactly_the_documented_methods_have_handlers() {
    let shop = Shop::open().await;
    let description = serde_json::to_value(lockstep_api::openapi()).unwrap();
    for (path, described) in description["paths"].as_object().unwrap() {
        let address = filled_in(path);
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let is_described = described.get(method.as_str().to_lowercase()).is_some();
            let request = Request::builder().method(&method).uri(&address);
            let status = shop.send(request.body(Body::empty()).unwrap()).await.status;
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn operations_require_the_documented_authentication() {
    let shop = Shop::open().await;
    let description = serde_json::to_value(lockstep_api::openapi()).unwrap();
    let mut closed = 0;
    for (path, described) in description["paths"].as_object().unwrap() {
        for (method, operation) in described.as_object().unwrap() {
            let ways = operation["security"].as_array().unwrap();
            let is_open = ways.is_empty() || ways.contains(&serde_json::json!({}));
            let by_token = ways.iter().any(|way| way.get("bearer").is_some());
            let method = method.to_uppercase();
            let request = Request::builder().method(method.as_str()).uri(filled_in(path));
            let status = shop.send(request.body(Body::empty()).unwrap()).await.status;
            let is_refused = status == 401 || (status == 403 && path.starts_with("/api/admin/"));
            // A signed body is parsed before its signature can be checked.
            let is_unread = !by_token && status == 400;
            assert_eq!(
                is_refused || is_unread && !is_open,
                !is_open,
                "{method} {path}: {status}, {ways:?}"
            );
            let told = operation["responses"].get(status.as_str());
            assert!(
                told.is_some(),
                "{method} {path} answers {status}, which is not described"
            );
            closed += u32::from(!is_open);
        }
    }
    assert!(closed > 30, "{closed}");
}

/// Schemas of query parameters are not registered by themselves.
#[test]
fn every_reference_leads_to_a_schema() {
    let text = serde_json::to_string(&lockstep_api::openapi()).unwrap();
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let prefix = "\"$ref\":\"#";
    let targets = text.split(prefix).skip(1).map(|rest| rest.split('"').next().unwrap());
    let missing: Vec<&str> = targets.filter(|target| description.pointer(target).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(text.contains(prefix));
}

/// Fills every parameter of a path with an ID.
fn filled_in(path: &str) -> String {
    let id = "0192f0c1-0000-7000-8000-000000000001";
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}
