//! Rules that every operation of the OpenAPI document must follow.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

/// Returns every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.iter()
                .map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

#[test]
fn operation_ids_are_unique_identifiers() {
    let document = document();
    let mut names = BTreeMap::new();
    for (address, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        let usable =
            name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(usable, "{address}: {name}");
        if let Some(other) = names.insert(name.to_owned(), address.clone()) {
            panic!("{address} and {other} are both {name}");
        }
        assert!(operation["summary"].is_string(), "{address} has no summary");
    }
}

#[test]
fn responses_are_described_and_failures_use_the_failure_schema() {
    let document = document();
    for (address, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with(['2', '3'])),
            "{address}"
        );
        for status in ["500", "503", "504"] {
            assert!(responses.contains_key(status), "{address} says nothing of {status}");
        }
        for (status, response) in responses {
            let name = response["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            let response = name.map_or(response, |name| &document["components"]["responses"][name]);
            let words = response["description"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{address} {status} has no description");
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                let expected = match (address.as_str(), status.as_str()) {
                    ("get /health" | "get /api/health", "503") => "#/components/schemas/Health",
                    ("get /readyz", "503") => "#/components/schemas/Readiness",
                    _ => "#/components/schemas/Failure",
                };
                assert_eq!(schema, expected, "{address} {status}");
            }
        }
    }
}

#[test]
fn operations_with_a_body_document_400_and_413() {
    let document = document();
    for (address, operation) in operations(&document) {
        if operation.get("requestBody").is_some() {
            for status in ["400", "413"] {
                assert!(operation["responses"].get(status).is_some(), "{address} {status}");
            }
        }
        // Changes are refused to other sites, and admin operations to everyone who is not an administrator.
        let can_be_forbidden = !address.starts_with("get ") || address.starts_with("get /api/admin/");
        assert_eq!(
            operation["responses"].get("403").is_some(),
            can_be_forbidden,
            "{address}"
        );
    }
}

#[test]
fn operations_declare_known_security_schemes_and_tags() {
    let document = document();
    let tags: Vec<&Value> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    for (address, operation) in operations(&document) {
        for requirement in operation["security"].as_array().unwrap() {
            for scheme in requirement.as_object().unwrap().keys() {
                assert!(
                    document["components"]["securitySchemes"].get(scheme).is_some(),
                    "{address}: {scheme}"
                );
            }
        }
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.contains(&tag), "{address}: the tag {tag} is not described");
        }
    }
    for name in ["contact", "license"] {
        assert!(document["info"][name]["name"].is_string(), "{name}");
    }
    assert_eq!(document["servers"][0]["url"], "/");
}

#[test]
fn parameters_declare_their_enforced_types_and_bounds() {
    let document = document();
    let mut seen = BTreeMap::<&str, usize>::new();
    for (address, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            let schema = &parameter["schema"];
            assert!(parameter["description"].is_string(), "{address} {name}");
            // A parameter is present or absent; a URL cannot express `null`.
            assert!(!schema.to_string().contains("null"), "{address} {name}: {schema}");
            *seen.entry(name).or_default() += 1;
            match name {
                "page" | "pageSize" | "perPage" | "limit" | "count" => {
                    assert_eq!(schema["type"], "integer", "{address} {name}");
                    assert_eq!(schema["minimum"], 1, "{address} {name}");
                    assert!(schema["maximum"].is_u64(), "{address} {name}");
                }
                "multiplayer" | "hasItems" | "active" | "activated" | "activeOnly" | "dryRun" | "review"
                | "troubled" => {
                    assert_eq!(schema["type"], "boolean", "{address} {name}");
                }
                "version" => {
                    assert_eq!(schema["type"], "integer", "{address} {name}");
                    assert!(schema["minimum"].is_u64(), "{address} {name}");
                }
                "sort" | "pricePreset" | "state" | "kind" => {
                    assert!(schema["$ref"].is_string(), "{address} {name}: {schema}");
                }
                "minPrice" | "maxPrice" => {
                    assert_eq!(schema["type"], "number", "{address} {name}");
                    assert_eq!(schema["minimum"].as_f64(), Some(0.0), "{address} {name}");
                }
                "genres" | "platforms" | "regions" | "publishers" | "activationServices" => {
                    assert_eq!(schema["type"], "array", "{address} {name}");
                    assert_eq!(parameter["explode"], false, "{address} {name}");
                }
                _ if place == "path" || schema["format"] == "uuid" => {}
                _ => assert!(schema["maxLength"].is_u64(), "{address} {name}: {schema}"),
            }
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    let schemas = &document["components"]["schemas"];
    let sorts = Sort::ALL.map(Sort::name);
    assert_eq!(schemas["Sort"]["enum"], serde_json::json!(sorts));
    let presets = PricePreset::ALL.map(PricePreset::name);
    assert_eq!(schemas["PricePreset"]["enum"], serde_json::json!(presets));
    assert_eq!(schemas["NewOrderItem"]["properties"]["quantity"]["minimum"], 1);
}

#[test]
fn schema_names_are_unique_across_modules() {
    let mut schemas = BTreeMap::<String, Value>::new();
    for part in parts() {
        for (name, schema) in part.components.unwrap_or_default().schemas {
            let schema = serde_json::to_value(schema).unwrap();
            if let Some(other) = schemas.get(&name) {
                assert_eq!(*other, schema, "two schemas are called {name}");
            }
            schemas.insert(name, schema);
        }
    }
}

#[test]
fn committed_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert!(
        committed == document(),
        "docs/openapi.json is not what the code describes: run `cargo run -- openapi > docs/openapi.json`"
    );
}
