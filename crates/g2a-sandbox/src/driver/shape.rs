//! The shapes of the bodies in the dropshipping contract.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An item of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Digest of product and text; `None` for kinds without a text.
    pub(super) digest: Option<[u8; 32]>,
}

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    File,
    Account,
}

/// A product of a stock list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stocked {
    pub(super) product: u64,
    pub(super) items: Vec<Item>,
}

/// Parses a bearer token; also returns what is wrong with the answer.
pub(super) fn token(body: Option<&Value>) -> (Option<String>, Vec<String>) {
    let mut wrong = Vec::new();
    let body = body.unwrap_or(&Value::Null);
    let token = body["access_token"].as_str().filter(|token| !token.is_empty());
    if token.is_none() {
        wrong.push("access_token must be a text".to_owned());
    }
    if !body["token_type"]
        .as_str()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
    {
        wrong.push("token_type must be \"bearer\"".to_owned());
    }
    if body["expires_in"].as_u64().is_none_or(|seconds| seconds == 0) {
        wrong.push("expires_in must be a positive number of seconds".to_owned());
    }
    (token.map(ToOwned::to_owned), wrong)
}

/// Parses the id in `field`, of 1 to 36 characters.
pub(super) fn id(body: Option<&Value>, field: &str) -> Result<String, String> {
    body.and_then(|body| body[field].as_str())
        .filter(|id| (1..=36).contains(&id.chars().count()))
        .map(ToOwned::to_owned)
        .ok_or_else(|| format!("{field} must be a text of 1 to 36 characters"))
}

/// Checks the stock list of a reservation: every requested product, with a size.
pub(super) fn reserved(stock: Option<&Value>, products: &[u64]) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(stock) = stock.and_then(Value::as_array) else {
        return vec!["stock must be a list".to_owned()];
    };
    for product in products {
        let one = stock.iter().find(|one| one["product_id"].as_u64() == Some(*product));
        match one {
            None => wrong.push(format!(
                "stock does not name product {product} (product_id is a number)"
            )),
            Some(one) if one["inventory_size"].as_u64().is_none() => {
                wrong.push(format!("inventory_size of product {product} must be a number of items"));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Parses the stock list of an order or an inventory; also returns what is wrong with it.
pub(super) fn stocked(stock: Option<&Value>) -> (Vec<Stocked>, Vec<String>) {
    let mut wrong = Vec::new();
    let Some(stock) = stock.and_then(Value::as_array) else {
        return (Vec::new(), vec!["the stock must be a list".to_owned()]);
    };
    let mut all = Vec::new();
    for one in stock {
        let Some(product) = one["product_id"].as_u64() else {
            wrong.push("product_id must be a number".to_owned());
            continue;
        };
        if one["inventory_size"].as_u64().is_none() {
            wrong.push(format!("inventory_size of product {product} must be a number of items"));
        }
        let Some(inventory) = one["inventory"].as_array() else {
            wrong.push(format!("inventory of product {product} must be a list"));
            continue;
        };
        let mut items = Vec::new();
        for entry in inventory {
            match item(product, entry) {
                Ok(item) => items.push(item),
                Err(what) => wrong.push(format!("an item of product {product}: {what}")),
            }
        }
        all.push(Stocked { product, items });
    }
    (all, wrong)
}

fn item(product: u64, entry: &Value) -> Result<Item, String> {
    let id = id(Some(entry), "id")?;
    let value = entry["value"].as_str().ok_or("value must be a text")?;
    let kind = match &entry["kind"] {
        Value::Null => Kind::Text,
        Value::String(kind) => match kind.as_str() {
            "text" => Kind::Text,
            "file" => Kind::File,
            "account" => Kind::Account,
            other => return Err(format!("kind {other:?} is none of text, file, account")),
        },
        _ => return Err("kind must be a text".to_owned()),
    };
    let digest = match kind {
        Kind::Text if value.is_empty() => return Err("a text item without a text".to_owned()),
        Kind::Text => Some(
            Sha256::new()
                .chain_update(product.to_be_bytes())
                .chain_update(value)
                .finalize()
                .into(),
        ),
        Kind::File | Kind::Account if !value.is_empty() => {
            return Err("the value of a file or an account must be empty".to_owned());
        }
        Kind::File | Kind::Account => None,
    };
    Ok(Item { id, kind, digest })
}

/// Returns what is wrong with a file key.
pub(super) fn file(body: Option<&Value>) -> Vec<String> {
    texts(body, &["fileName", "mimeType"], &["data"], |data| {
        let padded = data.len().is_multiple_of(4) && !data.is_empty();
        let known = data
            .trim_end_matches('=')
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
        padded && known && data.len() - data.trim_end_matches('=').len() <= 2
    })
}

/// Returns what is wrong with an account key.
pub(super) fn account(body: Option<&Value>) -> Vec<String> {
    let mut wrong = texts(body, &["username", "password", "email", "emailPassword"], &[], |_| true);
    match body.map_or(&Value::Null, |body| &body["optional"]) {
        Value::Null => {}
        Value::Array(list)
            if list
                .iter()
                .all(|one| one["label"].is_string() && one["details"].is_string()) => {}
        _ => wrong.push("optional must be a list of {label, details}".to_owned()),
    }
    wrong
}

fn texts(body: Option<&Value>, plain: &[&str], encoded: &[&str], is_encoded: impl Fn(&str) -> bool) -> Vec<String> {
    let body = body.unwrap_or(&Value::Null);
    let missing = plain.iter().filter(|name| !body[**name].is_string());
    let mut wrong: Vec<String> = missing.map(|name| format!("{name} must be a text")).collect();
    for name in encoded {
        if !body[*name].as_str().is_some_and(&is_encoded) {
            wrong.push(format!("{name} must be base64"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stock_lists_with_every_kind_of_item_are_parsed() {
        let list = json!([{"product_id": 7, "inventory_size": 3, "inventory": [
            {"id": "a", "value": "KEY"}, {"id": "b", "value": "", "kind": "file"}, {"id": "c", "value": "", "kind": "account"}]}]);
        let (stock, wrong) = stocked(Some(&list));
        assert!(wrong.is_empty(), "{wrong:?}");
        let kinds: Vec<Kind> = stock[0].items.iter().map(|item| item.kind).collect();
        assert_eq!(kinds, [Kind::Text, Kind::File, Kind::Account]);
        assert!(stock[0].items[0].digest.is_some() && stock[0].items[1].digest.is_none());
    }

    #[test]
    fn every_deviation_in_a_stock_list_is_reported() {
        for (list, told) in [
            (json!({}), "must be a list"),
            (
                json!([{"product_id": "7", "inventory_size": 0, "inventory": []}]),
                "product_id",
            ),
            (json!([{"product_id": 7, "inventory": []}]), "inventory_size"),
            (json!([{"product_id": 7, "inventory_size": 1}]), "inventory of product"),
            (
                json!([{"product_id": 7, "inventory_size": 1, "inventory": [{"id": "", "value": "K"}]}]),
                "id must be",
            ),
            (
                json!([{"product_id": 7, "inventory_size": 1, "inventory": [{"id": "a", "value": ""}]}]),
                "without a text",
            ),
            (
                json!([{"product_id": 7, "inventory_size": 1, "inventory": [{"id": "a", "value": 1}]}]),
                "value must be",
            ),
            (
                json!([{"product_id": 7, "inventory_size": 1, "inventory": [{"id": "a", "value": "", "kind": "image"}]}]),
                "image",
            ),
            (
                json!([{"product_id": 7, "inventory_size": 1, "inventory": [{"id": "a", "value": "K", "kind": "file"}]}]),
                "must be empty",
            ),
        ] {
            let (_, wrong) = stocked(Some(&list));
            assert!(wrong.len() == 1 && wrong[0].contains(told), "{list}: {wrong:?}");
        }
    }

    #[test]
    fn files_and_accounts_are_checked() {
        assert_eq!(
            file(Some(
                &json!({"data": "aGk=", "fileName": "k.png", "mimeType": "image/png"})
            )),
            [""; 0]
        );
        assert_eq!(file(Some(&json!({"data": "not base64", "fileName": "k.png"}))).len(), 2);
        let whole = json!({"username": "u", "password": "p", "email": "e", "emailPassword": "q"});
        assert_eq!(account(Some(&whole)), [""; 0]);
        assert_eq!(account(Some(&json!({"optional": [{"label": 1}]}))).len(), 5);
        assert_eq!(account(None).len(), 4);
    }
}
