//! Parses G2A's answers: pure functions from bytes to typed values.
//!
//! `products` parses the catalogue leniently, `orders` parses money strictly, `json` has the single values of both.

mod json;
mod orders;
mod products;

use serde_json::value::RawValue;

use crate::error::{BadAnswer, Call, Code, Error};
use json::{Object, object, string, text, whole};
use lockstep_domain::Secret;

pub(crate) use json::is_id;
pub use orders::{
    CreatedOrder, Key, OrderDetails, OrderStatus, Payment, parse_created_order, parse_key, parse_order_details,
    parse_payment,
};
pub use products::{Category, PriceLimit, Product, ProductPage, Requirements, Unreadable, Video, parse_product_page};

/// Parses the code of an error body; `None` if it has none.
pub(crate) fn error_code(body: &[u8]) -> Option<Code> {
    let body = std::str::from_utf8(body).ok()?;
    code_of(&object(body)?)
}

/// Parses the answer of the token endpoint: the token and its lifetime in seconds, if stated.
pub(crate) fn parse_token(body: &[u8]) -> Option<(Secret, Option<u64>)> {
    let answer = object(std::str::from_utf8(body).ok()?)?;
    let token = answer
        .get("access_token")
        .and_then(|raw| string(raw))
        .filter(|token| !token.is_empty())?;
    Some((Secret::new(token), answer.get("expires_in").and_then(|raw| whole(raw))))
}

/// Returns the body as text. Text that is not UTF-8 is not JSON.
fn strict(call: Call, body: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(body).map_err(|_| bad(call, BadAnswer::NotJson))
}

/// Parses the object of an answer. An error body under a 2xx is returned as the refusal that it states.
fn answer(call: Call, body: &str) -> Result<Object<'_>, Error> {
    if body.trim().is_empty() {
        return Err(bad(call, BadAnswer::Empty));
    }
    let Some(fields) = object(body) else {
        let is_json = serde_json::from_str::<&RawValue>(body).is_ok();
        let reason = if is_json {
            BadAnswer::Shape("not an object")
        } else {
            BadAnswer::NotJson
        };
        return Err(bad(call, reason));
    };
    let says_error = fields
        .get("status")
        .and_then(|raw| string(raw))
        .is_some_and(|s| s.eq_ignore_ascii_case("error"));
    match code_of(&fields) {
        Some(code) if says_error => Err(Error::Refused {
            call,
            status: 200,
            code: Some(code),
            retry_after: None,
        }),
        _ => Ok(fields),
    }
}

fn bad(call: Call, reason: BadAnswer) -> Error {
    Error::BadAnswer {
        call,
        status: 200,
        reason,
    }
}

fn code_of(fields: &Object<'_>) -> Option<Code> {
    fields
        .get("code")
        .and_then(|raw| text(raw))
        .and_then(|code| Code::from_text(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,6})?",
            ".{0,12}".prop_map(|value| serde_json::to_string(&value).unwrap()),
        ];
        let name = prop::sample::select(vec![
            "total",
            "page",
            "docs",
            "id",
            "qty",
            "minPrice",
            "priceLimit",
            "min",
            "categories",
            "videos",
            "url",
            "name",
            "requirements",
            "minimal",
            "restrictions",
            "updated_at",
            "release_date",
            "order_id",
            "price",
            "currency",
            "status",
            "code",
            "key",
            "isFile",
            "transaction_id",
            "access_token",
            "expires_in",
        ]);
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((name.clone(), inner), 0..8).prop_map(|fields| {
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    fn read_every_way(body: &[u8]) {
        let _unused = (
            parse_product_page(body, 1),
            parse_created_order(body),
            parse_order_details(body),
        );
        let _unused = (
            parse_payment(body),
            parse_key(body),
            error_code(body),
            parse_token(body),
        );
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_does_not_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            read_every_way(&body);
        }

        #[test]
        fn parsing_any_json_does_not_panic(body in json()) {
            read_every_way(body.as_bytes());
        }

        #[test]
        fn any_list_of_values_is_a_page(docs in prop::collection::vec(json(), 0..6)) {
            let count = docs.len();
            let body = format!(r#"{{"total": 9, "page": 1, "docs": [{}]}}"#, docs.join(","));
            // A list with a number too large for JSON is still a list.
            let page = parse_product_page(body.as_bytes(), 1).unwrap();
            prop_assert_eq!(page.products.len() + page.unreadable.len(), count);
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!(
            r#"{{"total": 1, "docs": [{{"id": "7", "x": {}{}}}]}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        read_every_way(deep.as_bytes());
    }
}
