#!/usr/bin/env bash
# tracing-subscriber 0.3.23 (with tracing 0.1.44): two layers, each with a filter of its own. The filter of the second takes only
# spans and is a `filter_fn`, whose answer for a span is cached. When code asks `tracing::enabled!` for an event that only the
# first layer wants, and then sends no event, the second layer does not see the next span of that thread, although its filter
# accepts every span. An access log with a limit per second does just that, and traces lose the requests of the busy seconds.
# With a filter that is asked anew for each span (`dynamic_filter_fn` with `Interest::sometimes`) every span is seen.
#
# Seen with rustc 1.95 on Linux: of three spans, each after such a question, the cached filter passes fewer than three, the
# dynamic one three. Prints both counts and fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "hidden-span"
version = "0.0.0"
edition = "2024"

[dependencies]
tracing = "=0.1.44"
tracing-subscriber = "=0.3.23"
TOML
cat > src/main.rs <<'RUST'
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{dynamic_filter_fn, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// Counts the spans that its filter lets pass.
struct Counting(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number of three spans that are seen; each follows a question about an event that is not sent.
macro_rules! seen {
    ($filter:expr, $name:literal) => {{
        let count = Arc::new(AtomicUsize::new(0));
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let subscriber = tracing_subscriber::registry()
            .with(lines.with_filter(LevelFilter::INFO))
            .with(Counting(Arc::clone(&count)).with_filter($filter));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                assert!(tracing::enabled!(target: $name, tracing::Level::INFO));
                drop(tracing::error_span!($name));
            }
        });
        count.load(Ordering::Relaxed)
    }};
}

fn main() {
    let is_span = |what: &Metadata<'_>| what.is_span();
    let cached = seen!(filter_fn(is_span), "cached");
    let asked_anew = dynamic_filter_fn(move |what: &Metadata<'_>, _: &Context<'_, _>| is_span(what)).with_callsite_filter(
        move |what| {
            if is_span(what) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        },
    );
    let dynamic = seen!(asked_anew, "dynamic");
    println!("spans seen of 3: {cached} with a cached filter, {dynamic} with one that is asked anew");
    assert!(cached < 3, "no span is hidden any more");
    assert_eq!(dynamic, 3);
}
RUST
cargo run --quiet
