#!/usr/bin/env bash
# utoipa 6.0.0 (utoipa-gen 6.0.1): the schema of an answer's body is added to `components/schemas` by itself, and so are the schemas
# that it uses. The schema of a query parameter, written as a tuple in `params(…)`, is referred to and not added: the document
# holds a `$ref` that leads nowhere, which readers such as Redocly refuse. Listing the type in `components(schemas(…))` mends it.
#
# Seen with rustc 1.95 on Linux: the body's enum is listed, the parameter's enum is missing.
# Prints what is listed and what is referred to, and fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "parameters"
version = "0.0.0"
edition = "2024"

[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
utoipa = "=6.0.0"
utoipa-gen = "=6.0.1"
TOML
cat > src/main.rs <<'RUST'
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

#[derive(Serialize, ToSchema)]
enum OfTheBody {
    Paid,
    Open,
}

#[derive(Deserialize, ToSchema)]
enum OfTheParameter {
    Newest,
    Oldest,
}

#[derive(Serialize, ToSchema)]
struct Invoice {
    state: OfTheBody,
}

#[utoipa::path(get, path = "/invoices",
    params(("order" = Option<OfTheParameter>, Query, description = "Which come first")),
    responses((status = 200, description = "The invoices", body = Vec<Invoice>)))]
#[allow(dead_code)]
fn invoices() {}

#[derive(OpenApi)]
#[openapi(paths(invoices))]
struct Described;

fn main() {
    let document = serde_json::to_value(Described::openapi()).unwrap();
    for name in ["OfTheBody", "OfTheParameter"] {
        let reference = format!("#/components/schemas/{name}");
        println!(
            "{name}: referred to {}, listed {}",
            document.to_string().contains(&reference),
            document["components"]["schemas"].get(name).is_some()
        );
    }
}
RUST
said=$(cargo run --quiet 2> /dev/null)
printf '%s\n' "$said"
[ "$said" = "OfTheBody: referred to true, listed true
OfTheParameter: referred to true, listed false" ]
