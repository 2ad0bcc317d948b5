//! The same description in OpenAPI 3.0, for generators that read nothing newer. What differs, as far as this API uses it,
//! is how `null` and open bounds are written, and the licence's identifier.

use serde_json::{Map, Value, json};

/// The description, rewritten.
pub(super) fn older(mut document: Value) -> Value {
    if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
        license.remove("identifier");
    }
    rewrite(&mut document);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("openapi".into(), "3.0.3".into());
    }
    document
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(rewrite),
        Value::Object(fields) => {
            fields.values_mut().for_each(rewrite);
            rewrite_null(fields);
            rewrite_bound(fields, "exclusiveMinimum", "minimum");
            rewrite_bound(fields, "exclusiveMaximum", "maximum");
        }
        _ => {}
    }
}

/// `null` is no type of its own, but a mark.
fn rewrite_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        let all = types.len();
        types.retain(|kind| kind != "null");
        let is_nullable = types.len() < all;
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
        if is_nullable {
            schema.insert("nullable".into(), true.into());
        }
    }
    for name in ["oneOf", "anyOf"] {
        let Some(Value::Array(choices)) = schema.get_mut(name) else {
            continue;
        };
        let all = choices.len();
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == all {
            continue;
        }
        schema.insert("nullable".into(), true.into());
        if let Some(Value::Array(choices)) = schema.remove(name) {
            // Beside a lone reference nothing counts in 3.0.
            let name = if choices.len() == 1 { "allOf" } else { name };
            schema.insert(name.into(), choices.into());
        }
    }
}

/// An open bound is a closed one with a mark.
fn rewrite_bound(schema: &mut Map<String, Value>, open: &str, bound: &str) {
    if let Some(limit) = schema.get(open).filter(|limit| limit.is_number()).cloned() {
        schema.insert(bound.into(), limit);
        schema.insert(open.into(), json!(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_open_bounds_are_written_as_3_0_has_them() {
        let newer = json!({
            "openapi": "3.1.0",
            "info": {"license": {"name": "MIT", "identifier": "MIT"}},
            "text": {"type": ["string", "null"], "maxLength": 5},
            "game": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Game"}]},
            "either": {"oneOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]},
            "amount": {"type": "number", "exclusiveMinimum": 0},
            "properties": {"type": {"type": "string"}},
        });
        let expected = json!({
            "openapi": "3.0.3",
            "info": {"license": {"name": "MIT"}},
            "text": {"type": "string", "nullable": true, "maxLength": 5},
            "game": {"allOf": [{"$ref": "#/components/schemas/Game"}], "nullable": true},
            "either": {"oneOf": [{"type": "string"}, {"type": "integer"}], "nullable": true},
            "amount": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
            "properties": {"type": {"type": "string"}},
        });
        assert_eq!(older(newer), expected);
    }

    #[test]
    fn nothing_of_3_1_is_left_in_the_whole_description() {
        let text = older(serde_json::to_value(super::super::openapi()).unwrap()).to_string();
        for newer in [
            "\"null\"",
            "[\"string\"",
            "\"3.1",
            "\"identifier\"",
            "\"const\"",
            "\"examples\"",
        ] {
            assert!(!text.contains(newer), "{newer}");
        }
    }
}
