#!/usr/bin/env bash
# tower-http 0.7.1 (CompressionLayer, gzip by async-compression 0.4.52) with axum 0.8.9: after a streamed body has given its end (None), the layer asks the
# stream once more. An uncompressed answer of the same handler does not. Most streams bear that; those that must not be asked
# again (futures' `unfold` says so and panics) need `.fuse()` before they become a body.
#
# Seen with rustc 1.95 on Linux: compressed, the stream is asked after its end; plain, it is not.
# Prints both counts and fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "past-the-end"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = { version = "=0.8.9", default-features = false }
bytes = "1"
futures-core = "0.3"
http-body-util = "=0.1.5"
tokio = { version = "1", features = ["macros", "rt"] }
tower = { version = "=0.5.3", features = ["util"] }
tower-http = { version = "=0.7.1", features = ["compression-gzip"] }
async-compression = "=0.4.52"
TOML
cat > src/main.rs <<'RUST'
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use axum::routing::get;
use bytes::Bytes;
use futures_core::Stream;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;

/// Three pieces, then the end; counts how often it is asked after that.
struct Pieces {
    left: usize,
    ended: bool,
    after_the_end: Arc<AtomicUsize>,
}

impl Stream for Pieces {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Bytes::from_static(b"a line of a list\n"))));
        }
        if self.ended {
            self.after_the_end.fetch_add(1, Ordering::Relaxed);
        }
        self.ended = true;
        Poll::Ready(None)
    }
}

async fn asked_after_the_end(accepts: Option<&str>) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let handler = {
        let after_the_end = count.clone();
        move || async move {
            let pieces = Pieces { left: 3, ended: false, after_the_end };
            ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(pieces))
        }
    };
    let app = Router::new().route("/", get(handler)).layer(CompressionLayer::new());
    let mut request = Request::get("/");
    if let Some(encoding) = accepts {
        request = request.header(header::ACCEPT_ENCODING, encoding);
    }
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), accepts.is_some());
    answer.into_body().collect().await.unwrap();
    count.load(Ordering::Relaxed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (compressed, plain) = (asked_after_the_end(Some("gzip")).await, asked_after_the_end(None).await);
    println!("asked after the end: compressed {compressed}, plain {plain}");
    assert!(compressed > 0 && plain == 0, "it behaves differently now");
}
RUST
cargo run --quiet
