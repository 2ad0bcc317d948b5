//! The description tells the truth: what it names can be called, and nothing else.

use axum::body::Body;
use http::{Method, Request};

use crate::shop::Shop;

#[tokio::test]
async fn every_described_method_has_a_handler_and_no_other_has() {
    let shop = Shop::open().await;
    let description = serde_json::to_value(lockstep_api::openapi()).unwrap();
    for (path, described) in description["paths"].as_object().unwrap() {
        let mut address = String::new();
        for part in path.split('/').skip(1) {
            let part = if part.starts_with('{') {
                "0192f0c1-0000-7000-8000-000000000001"
            } else {
                part
            };
            address.push('/');
            address.push_str(part);
        }
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let is_described = described.get(method.as_str().to_lowercase()).is_some();
            let request = Request::builder().method(&method).uri(&address);
            let status = shop.send(request.body(Body::empty()).unwrap()).await.status;
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}
