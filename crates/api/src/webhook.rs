//! `POST /api/g2a/webhook`: signed events about G2A orders, from relays and other suppliers.
//!
//! G2A's buyer API sends no events, so polling decides the state of an order and an event only makes Lockstep poll
//! sooner: no event, signed or not, ends an order. An event is processed once; an event for an order that does not
//! exist yet is kept.
//!
//! A signed event with all its fields is answered with 200 and kept unchanged whatever its content: a refused event
//! would be redelivered forever and never accepted. If it had no effect, its record states the reason.

mod javascript;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use lockstep_domain::json::mended;
use lockstep_domain::secret::Secret;
use lockstep_shop::supplier_events::{Event, Reason, Source, Taken, Unused};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::Sha256;
use utoipa::ToSchema;

use crate::ApiState;
use crate::error::ApiError;

/// Maximum difference between the sender's clock and ours, in milliseconds.
const SKEW_MS: i64 = 5 * 60 * 1000;
/// Maximum length of an ID, an order reference or a type, in bytes.
const MAX_TEXT: usize = 200;
/// The event types that are processed; others are acknowledged and kept.
const TYPES: &[&str] = &["order.status_changed", "order.completed", "order.failed"];

/// An event. The headers for `signature`, `nonce` and `timestamp` override these fields.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Sent<'a> {
    /// ID of the event, the same for every delivery of it.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    event_id: Option<&'a RawValue>,
    /// ID of the order, ours or G2A's.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    order_id: Option<&'a RawValue>,
    /// `order.status_changed`, `order.completed` or `order.failed`.
    #[serde(rename = "type", borrow)]
    #[schema(value_type = Option<String>)]
    kind: Option<&'a RawValue>,
    /// Content of the event.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    payload: Option<&'a RawValue>,
    /// Hexadecimal HMAC-SHA-256 of payload, timestamp, nonce and secret.
    signature: Option<String>,
    /// Any value that is used once.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    nonce: Option<&'a RawValue>,
    /// Milliseconds since 1970.
    #[serde(borrow)]
    #[schema(value_type = Option<i64>)]
    timestamp: Option<&'a RawValue>,
}

/// Counts the webhooks that this process has received.
#[derive(Debug, Default)]
pub struct WebhookTally {
    received: AtomicU64,
    refused: AtomicU64,
}

impl WebhookTally {
    /// How many were received, and how many of them were refused.
    pub fn counts(&self) -> (u64, u64) {
        // In this order, so that there are never more refused ones than received.
        let refused = self.refused.load(Ordering::Acquire);
        (self.received.load(Ordering::Acquire), refused)
    }
}

/// Acknowledgement of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Received {
    success: bool,
    message: &'static str,
}

/// Receives a signed event about a G2A order.
#[utoipa::path(post, path = "/api/g2a/webhook", tag = "webhooks", operation_id = "receiveG2aEvent", security(("g2aSignature" = [])), request_body = inline(Sent<'_>),
    responses((status = 200, body = Received), (status = 400, description = "Not JSON, a field is missing, or the timestamp is more than five minutes off"),
              (status = 401, description = "The signature is wrong")))]
pub(crate) async fn g2a(
    State(api): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Received>, ApiError> {
    let body = body.map_err(|_| ApiError::TooLarge)?;
    metrics::counter!("lockstep_webhook_events_total").increment(1);
    api.webhooks.received.fetch_add(1, Ordering::AcqRel);
    let read = read(&body, &headers, &api.event_secrets(), api.now().timestamp_millis());
    let refuse = |_: &ApiError| {
        metrics::counter!("lockstep_webhook_events_refused_total").increment(1);
        api.webhooks.refused.fetch_add(1, Ordering::AcqRel);
    };
    let event = match read.inspect_err(refuse)? {
        Read::Event(event) if TYPES.contains(&event.kind.as_str()) => event,
        Read::Event(event) => {
            let unused = unused(Reason::KindNotHandled, Some(event.event_id), Some(event.kind));
            api.shop.keep_delivery(&unused, &body).await?;
            return Ok(answer("This event type is not handled"));
        }
        Read::Unusable(unused) => {
            tracing::warn!(
                reason = unused.reason.as_str(),
                "a signed event could not be used: {}; see `lockstep events`",
                unused.detail.as_deref().unwrap_or_default()
            );
            metrics::counter!("lockstep_webhook_events_unusable_total").increment(1);
            api.shop.keep_delivery(&unused, &body).await?;
            return Ok(answer("Event stored without an effect; `lockstep events` shows it"));
        }
    };
    Ok(answer(match api.shop.take_supplier_event(event).await? {
        Taken::Applied(_) => "Webhook processed",
        Taken::Repeated => "Event already processed",
        Taken::Kept => "Event stored until its order is known",
    }))
}

fn answer(message: &'static str) -> Json<Received> {
    Json(Received { success: true, message })
}

/// A signed request.
#[derive(Debug)]
enum Read {
    Event(Event),
    /// All fields are present, but one of them is unusable.
    Unusable(Unused),
}

fn unused(reason: Reason, event_id: Option<String>, kind: Option<String>) -> Unused {
    Unused {
        source: Source::G2a,
        reason,
        detail: None,
        event_id,
        kind,
    }
}

/// Reads the event of a request, after its fields, time and signature were checked.
fn read(body: &[u8], headers: &HeaderMap, secrets: &[Secret], now_ms: i64) -> Result<Read, ApiError> {
    let sent: Sent<'_> =
        serde_json::from_slice(body).map_err(|_| ApiError::invalid("body", "it has to be a JSON object"))?;
    let header = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| headers.get(*name))?;
        value.to_str().ok().map(str::to_owned)
    };
    let signature = header(["x-g2a-signature", "signature"]).or(sent.signature);
    let nonce = header(["x-g2a-nonce", "nonce"]).or_else(|| sent.nonce.and_then(plain));
    let timestamp = header(["x-g2a-timestamp", "timestamp"]).or_else(|| sent.timestamp.and_then(plain));
    let (event_id, order_ref, kind) = (
        Field::read("event_id", sent.event_id)?,
        Field::read("order_id", sent.order_id)?,
        Field::read("type", sent.kind)?,
    );
    let payload = sent
        .payload
        .filter(|payload| payload.get().starts_with('{'))
        .ok_or_else(|| ApiError::invalid("payload", "it has to be an object"))?;
    let signature = text("signature", signature)?;
    let nonce = text("nonce", nonce)?;
    let timestamp = text("timestamp", timestamp)?;
    let sent_at: i64 = timestamp
        .parse()
        .map_err(|_| ApiError::invalid("timestamp", "it has to be milliseconds since 1970"))?;
    if now_ms.checked_sub(sent_at).is_none_or(|skew| skew.abs() > SKEW_MS) {
        return Err(ApiError::invalid("timestamp", "it is more than five minutes off"));
    }
    let signature = hex::decode(&signature).map_err(|_| ApiError::BadSignature)?;
    // Signed as the sender's program writes it (without whitespace, or as JavaScript serialises what it parsed), or as
    // sent.
    let sent = payload.get();
    let is_signed = secrets.iter().any(|secret| {
        let rest = format!("{timestamp}{nonce}{}", secret.expose());
        fits(secret, &compact(sent), &rest, &signature)
            || fits(secret, sent, &rest, &signature)
            || javascript::stringify(sent).is_some_and(|form| fits(secret, &form, &rest, &signature))
    });
    if !is_signed {
        return Err(ApiError::BadSignature);
    }
    let of_no_use = [&event_id, &order_ref, &kind]
        .into_iter()
        .find(|field| !field.is_usable);
    if let Some(field) = of_no_use {
        let detail = Some(format!(
            "{}: it has to be a text of 1 to {MAX_TEXT} bytes without NUL",
            field.name
        ));
        let unused = unused(Reason::FieldUnusable, Some(event_id.text), Some(kind.text));
        return Ok(Read::Unusable(Unused { detail, ..unused }));
    }
    // The payload has no effect, so a payload that the database cannot store (NUL, an unpaired surrogate, an
    // out-of-range number, a thousand levels) is no reason to skip the order. The raw bytes are kept.
    let payload = serde_json::from_str(&mended(sent)).unwrap_or_else(|_| json!({}));
    Ok(Read::Event(Event {
        event_id: event_id.text,
        order_ref: order_ref.text,
        kind: kind.text,
        payload,
        body: body.to_vec(),
    }))
}

/// A required string.
#[derive(Debug)]
struct Field {
    name: &'static str,
    /// With a replacement character for what cannot be decoded.
    text: String,
    is_usable: bool,
}

impl Field {
    fn read(name: &'static str, raw: Option<&RawValue>) -> Result<Self, ApiError> {
        let missing = || ApiError::invalid(name, "it has to be a text of 1 to 200 bytes");
        let raw = raw
            .map(RawValue::get)
            .filter(|raw| raw.starts_with('"'))
            .ok_or_else(missing)?;
        let mended = mended(raw);
        let text: String = serde_json::from_str(&mended).map_err(|_| missing())?;
        if text.is_empty() {
            return Err(missing());
        }
        let is_usable = text.len() <= MAX_TEXT && mended == raw;
        Ok(Self { name, text, is_usable })
    }
}

/// A required field of the signature.
fn text(name: &'static str, value: Option<String>) -> Result<String, ApiError> {
    value
        .filter(|value| !value.is_empty() && value.len() <= MAX_TEXT && !value.contains('\0'))
        .ok_or_else(|| ApiError::invalid(name, "it has to be a text of 1 to 200 bytes"))
}

/// Returns a JSON string or number as text.
fn plain(raw: &RawValue) -> Option<String> {
    let raw = raw.get();
    if raw.starts_with('"') {
        serde_json::from_str(raw).ok()
    } else {
        raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then(|| raw.to_owned())
    }
}

/// Removes the whitespace between JSON tokens and keeps everything else.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            in_string = letter == '"';
        }
        out.push(letter);
    }
    out
}

/// Compares the signature in constant time.
fn fits(secret: &Secret, payload: &str, rest: &str, signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return false;
    };
    mac.update(payload.as_bytes());
    mac.update(rest.as_bytes());
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn compacting_preserves_the_value(value in "\\PC{0,40}", spaces in "[ \n\t]{0,3}") {
            let text = serde_json::to_string(&value).unwrap();
            let spread = format!("{spaces}{{{spaces}\"a\"{spaces}:{spaces}[{text}{spaces},{spaces}1.50]{spaces}}}{spaces}");
            let tight = compact(&spread);
            prop_assert_eq!(&tight, &format!("{{\"a\":[{text},1.50]}}"));
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&body, &HeaderMap::new(), &[Secret::new("s")], 0).is_err());
        }
    }
}
