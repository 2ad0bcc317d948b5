//! Orders and payments, parsed strictly: a missing currency or price is an error, never a guess.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::json::{amount, currency, id, number, string, text, truth};
use super::{answer, bad, strict};
use crate::error::{BadAnswer, Call, Error};
use lockstep_domain::Secret;

/// A new order: one key, reserved for 30 minutes, unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedOrder {
    /// G2A's id of the order.
    pub order_id: String,
    /// The amount that paying it will cost: the only price to compare with the maximum cost.
    pub price: Decimal,
    /// Currency of the price, three capital letters.
    pub currency: String,
}

/// The details of an order at G2A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDetails {
    /// Its status.
    pub status: OrderStatus,
    /// Its price, if present.
    pub price: Option<Decimal>,
    /// Currency of the price, if present.
    pub currency: Option<String>,
}

/// Status of an order at G2A: an open set of which three members have been observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderStatus {
    /// `new`: unpaid.
    New,
    /// `pending`: in progress.
    Pending,
    /// `complete`: paid, the key can be fetched.
    Complete,
    /// Any other status, in lower case. It means neither paid nor unpaid.
    Other(String),
}

/// The answer to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Whether G2A reports success. `false` means: read the order's details.
    pub accepted: bool,
    /// G2A's id of the transaction, if present.
    pub transaction_id: Option<String>,
}

/// A game key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key as G2A wrote it. For a file, its contents in an undocumented encoding.
    pub value: Secret,
    /// Whether the key is a file.
    pub is_file: bool,
}

impl OrderStatus {
    fn from_text(mut text: String) -> Self {
        text.make_ascii_lowercase();
        match text.as_str() {
            "new" => Self::New,
            "pending" => Self::Pending,
            "complete" => Self::Complete,
            _ => Self::Other(text),
        }
    }
}

/// Parses the answer to a new order.
///
/// # Errors
/// Returns [`Error::BadAnswer`] without a usable id, price or currency, and [`Error::Refused`] for an error body.
pub fn parse_created_order(body: &[u8]) -> Result<CreatedOrder, Error> {
    let call = Call::CreateOrder;
    let order = answer(call, strict(call, body)?)?;
    let shape = |what| bad(call, BadAnswer::Shape(what));
    Ok(CreatedOrder {
        order_id: order
            .get("order_id")
            .and_then(|raw| id(raw))
            .ok_or_else(|| shape("no usable `order_id`"))?,
        price: order
            .get("price")
            .and_then(|raw| amount(raw))
            .ok_or_else(|| shape("no usable `price`"))?,
        currency: order
            .get("currency")
            .and_then(|raw| currency(raw))
            .ok_or_else(|| shape("no usable `currency`"))?,
    })
}

/// Parses an order's details.
///
/// # Errors
/// Returns [`Error::BadAnswer`] without a status, and [`Error::Refused`] for an error body.
pub fn parse_order_details(body: &[u8]) -> Result<OrderDetails, Error> {
    let call = Call::OrderDetails;
    let order = answer(call, strict(call, body)?)?;
    let status = order.get("status").and_then(|raw| text(raw));
    Ok(OrderDetails {
        status: status
            .map(OrderStatus::from_text)
            .ok_or_else(|| bad(call, BadAnswer::Shape("no usable `status`")))?,
        price: order.get("price").and_then(|raw| amount(raw)),
        currency: order.get("currency").and_then(|raw| currency(raw)),
    })
}

/// Parses the answer to a payment.
///
/// # Errors
/// Returns [`Error::BadAnswer`] without a status, and [`Error::Refused`] for an error body.
pub fn parse_payment(body: &[u8]) -> Result<Payment, Error> {
    let call = Call::Pay;
    let payment = answer(call, strict(call, body)?)?;
    let accepted = payment.get("status").and_then(|raw| truth(raw));
    Ok(Payment {
        accepted: accepted.ok_or_else(|| bad(call, BadAnswer::Shape("no usable `status`")))?,
        transaction_id: payment.get("transaction_id").and_then(|raw| text(raw)),
    })
}

/// Parses a key from the bytes of [`RawKeyAnswer::body`](crate::RawKeyAnswer::body), which the caller has already
/// stored.
///
/// # Errors
/// Returns [`Error::BadAnswer`] without a key, and [`Error::Refused`] for an error body. Neither contains any part of
/// the bytes.
pub fn parse_key(body: &[u8]) -> Result<Key, Error> {
    let call = Call::Key;
    let answer = answer(call, strict(call, body)?)?;
    // Not `text`: a key is kept character by character as received.
    let value = answer
        .get("key")
        .and_then(|raw| string(raw).map(Cow::into_owned).or_else(|| number(raw)));
    let value = value.filter(|value| !value.trim().is_empty());
    Ok(Key {
        value: Secret::new(value.ok_or_else(|| bad(call, BadAnswer::Shape("no usable `key`")))?),
        is_file: answer.get("isFile").and_then(|raw| truth(raw)).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn an_error_body_under_a_200_is_a_refusal() {
        let body = br#"{"status": "ERROR", "message": "Order not found", "code": "ORD02"}"#;
        assert_eq!(
            parse_order_details(body).unwrap_err().code(),
            Some(&Code::OrderNotFound)
        );
        assert_eq!(parse_key(body).unwrap_err().code(), Some(&Code::OrderNotFound));
    }

    #[test]
    fn created_orders_have_exact_prices() {
        let order = parse_created_order(br#"{"order_id": 80201019921771, "price": 45.10, "currency": "EUR"}"#).unwrap();
        assert_eq!(order.order_id, "80201019921771");
        assert_eq!(order.price.to_string(), "45.10");
        assert_eq!(order.currency, "EUR");
    }

    #[test]
    fn orders_without_price_currency_or_id_are_errors() {
        for body in [
            r#"{"order_id": "1", "price": 4.5}"#,
            r#"{"order_id": "1", "price": 4.5, "currency": "euro"}"#,
            r#"{"order_id": "1", "price": null, "currency": "EUR"}"#,
            r#"{"order_id": "1", "price": -4.5, "currency": "EUR"}"#,
            r#"{"order_id": "", "price": 4.5, "currency": "EUR"}"#,
            r#"{"order_id": "1/../2", "price": 4.5, "currency": "EUR"}"#,
        ] {
            assert!(
                matches!(parse_created_order(body.as_bytes()), Err(Error::BadAnswer { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn order_status_is_an_open_set() {
        let status = |text: &str| {
            parse_order_details(format!(r#"{{"status": {text}}}"#).as_bytes())
                .unwrap()
                .status
        };
        assert_eq!(status(r#""new""#), OrderStatus::New);
        assert_eq!(status(r#""Pending""#), OrderStatus::Pending);
        assert_eq!(status(r#""complete""#), OrderStatus::Complete);
        assert_eq!(status(r#""refunded""#), OrderStatus::Other("refunded".into()));
    }

    #[test]
    fn payments_are_accepted_only_on_explicit_success() {
        let paid = parse_payment(br#"{"status": true, "transaction_id": "25ed3e8a"}"#).unwrap();
        assert_eq!(
            paid,
            Payment {
                accepted: true,
                transaction_id: Some("25ed3e8a".into())
            }
        );
        assert!(!parse_payment(br#"{"status": false}"#).unwrap().accepted);
        assert!(matches!(
            parse_payment(br#"{"transaction_id": "x"}"#),
            Err(Error::BadAnswer { .. })
        ));
    }

    #[test]
    fn keys_are_kept_exactly_and_hidden_from_debug_output() {
        let key = parse_key(br#"{"key": " AB-\u00e9\u0000 ", "isFile": false, "x": 1}"#).unwrap();
        assert_eq!(key.value.expose(), " AB-\u{e9}\0 ");
        assert!(!format!("{key:?}").contains("AB-"));
        assert!(parse_key(br#"{"key": "QUJD", "isFile": true}"#).unwrap().is_file);
        assert_eq!(parse_key(br#"{"key": 123456}"#).unwrap().value.expose(), "123456");
    }

    #[test]
    fn key_answers_without_a_key_are_errors_without_content() {
        for body in [
            r#"{"key": ""}"#,
            r#"{"keys": ["SECRET-1"]}"#,
            r#"{"key": "SECRET-1"#,
            r#"{"key": ["SECRET-1"]}"#,
        ] {
            let error = parse_key(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }
}
