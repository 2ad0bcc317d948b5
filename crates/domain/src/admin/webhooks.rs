//! Outgoing webhooks as staff see and enter them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use super::checks::{Checks, MAX_NAME};
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::purchase::iso_millis_or_none;
use crate::secret::Secret;

/// `lowStockBelow` of an endpoint that names none.
pub const LOW_STOCK_BELOW: u32 = 5;

/// Defines [`WebhookEvent`] with names and descriptions.
macro_rules! events {
    ($($name:ident = $text:literal: $about:literal),* $(,)?) => {
        /// Something that happens in the shop and is told to endpoints.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum WebhookEvent {
            $(#[doc = $about] $name),*
        }

        impl WebhookEvent {
            /// All events, by name.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in the database and in deliveries.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),*
                }
            }

            /// When it happens, and what its data is.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about),*
                }
            }
        }
    };
}

events! {
    InStock = "game.in_stock": "A game is in stock again: gameId, inStock.",
    OutOfStock = "game.out_of_stock": "A game is no longer in stock: gameId, inStock.",
    PriceChanged = "game.price_changed": "The price of a game has changed: gameId, price, previousPrice, currency.",
    OrderCancelled = "order.cancelled": "An order was cancelled: orderId, status, total, discount, currency.",
    OrderCompleted = "order.completed": "All copies of an order are delivered or refunded: orderId, status, total, discount, currency.",
    OrderCreated = "order.created": "An order was placed and paid: orderId, status, total, discount, currency.",
    OrderFailed = "order.failed": "No copy of an order could be delivered: orderId, status, total, discount, currency.",
    OrderRefunded = "order.refunded": "Money for an order went back to its buyer's balance: orderId, transactionId, amount, currency.",
    LowStock = "stock.low": "Own stock of a game fell below the endpoint's bound: gameId, unsoldKeys, below.",
}

impl WebhookEvent {
    /// The event with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name() == name)
    }
}

/// An event that can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEventInfo {
    /// Its name, `type` in deliveries.
    pub name: &'static str,
    /// When it happens, and what `data` holds.
    pub description: &'static str,
}

/// A secret of an endpoint, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookSecretInfo {
    /// Identifier.
    pub id: Uuid,
    /// Its prefix and last characters, to recognise it.
    pub hint: String,
    /// When it was made.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// Until when it signs; `null` for the newest, which signs until it is replaced.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<DateTime<Utc>>,
}

/// An endpoint of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEndpoint {
    /// Identifier.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// Where deliveries are sent.
    pub url: String,
    /// Names of the events that it gets.
    pub events: Vec<String>,
    /// `stock.low` happens when fewer unsold keys of own stock are left than this.
    pub low_stock_below: u32,
    /// Whether deliveries are sent.
    pub is_enabled: bool,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// Since when not.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub disabled_at: Option<DateTime<Utc>>,
    /// Since when no delivery has succeeded; `null` if the last one did.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub failing_since: Option<DateTime<Utc>>,
    /// Deliveries that are sent, or tried again, later.
    pub waiting: u64,
    /// Deliveries that were given up and can be replayed.
    pub failed: u64,
    /// The secrets that sign, newest first.
    pub secrets: Vec<WebhookSecretInfo>,
    /// Number of its last change; sent back, a change over another one is refused.
    pub version: i64,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// A new secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewWebhookSecret {
    /// Identifier.
    pub id: Uuid,
    /// The secret, `whsec_` and base64. It is shown in this response only.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub secret: Secret,
}

/// A new endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewWebhookEndpoint {
    /// The endpoint, as it is listed.
    #[serde(flatten)]
    pub listed: WebhookEndpoint,
    /// Its secret, `whsec_` and base64. It is shown in this response only.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub secret: Secret,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WebhookState {
    /// It is to be sent, perhaps again.
    Waiting,
    /// The endpoint took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl WebhookState {
    /// The name in the database and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Failed]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A delivery of an event to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookDelivery {
    /// Identifier.
    pub id: Uuid,
    /// `webhook-id` of its requests, the same at every attempt and replay.
    pub webhook_id: String,
    /// Name of the event.
    pub event: String,
    /// Its state.
    pub state: WebhookState,
    /// Number of attempts since it was written or replayed.
    pub attempts: u32,
    /// HTTP status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the event happened.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it is tried next; `null` unless it waits.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was tried last.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it was delivered or given up.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended_at: Option<DateTime<Utc>>,
}

/// A page of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookDeliveryList {
    /// The deliveries, newest first.
    pub deliveries: Vec<WebhookDelivery>,
    /// The page.
    #[serde(flatten)]
    pub paging: Paging,
}

/// How many deliveries are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookReplayed {
    /// Number of deliveries that are due now.
    pub replayed: u64,
    /// When the window may hold more: sent as `after` with the same window, the replay goes on there.
    pub next: Option<Uuid>,
}

/// What staff enter about an endpoint. Of a known one, what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookEndpointForm {
    /// Its name for people.
    pub name: Option<String>,
    /// Where deliveries are sent; the network address is checked elsewhere.
    pub url: Option<String>,
    /// Names of events.
    pub events: Option<Vec<String>>,
    /// Bound of `stock.low`, 1 to 10,000.
    pub low_stock_below: Option<i64>,
    /// Whether deliveries are sent.
    pub is_enabled: Option<bool>,
    /// The version that the form showed.
    pub version: Option<i64>,
}

impl WebhookEndpointForm {
    /// Checks what was entered. A new endpoint needs a URL and events.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self, is_new: bool) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        for (path, is_there) in [("url", self.url.is_some()), ("events", self.events.is_some())] {
            if is_new && !is_there {
                checks.fault(path, "required", "This field is required");
            }
        }
        if self.low_stock_below.is_some_and(|bound| !(1..=10_000).contains(&bound)) {
            checks.fault(
                "lowStockBelow",
                "out_of_range",
                "This field must be a whole number from 1 to 10000",
            );
        }
        let form = Self {
            name: self
                .name
                .filter(|name| !(is_new && name.trim().is_empty()))
                .map(|name| checks.line("name", &name, MAX_NAME)),
            url: self.url.map(|url| checks.web_address("url", &url)),
            events: self.events.map(|events| checks.events("events", &events)),
            low_stock_below: self.low_stock_below,
            is_enabled: self.is_enabled,
            version: self.version,
        };
        checks.finish(form)
    }
}

impl Checks {
    fn web_address(&mut self, path: &'static str, text: &str) -> String {
        let text = text.trim();
        let is_address = ["https://", "http://"]
            .iter()
            .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
        if !is_address || text.len() > 2_000 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.fault(
                path,
                "address_invalid",
                "This field must be an address, such as https://example.com/webhooks",
            );
        }
        text.to_owned()
    }

    fn events(&mut self, path: &'static str, names: &[String]) -> Vec<String> {
        let known: Vec<WebhookEvent> = names.iter().filter_map(|name| WebhookEvent::from_name(name)).collect();
        if names.is_empty() {
            self.fault(path, "required", "This field is required");
        } else if known.len() < names.len() {
            self.fault(
                path,
                "unknown_event",
                "This field must name events, such as order.completed",
            );
        }
        let mut known = known;
        known.sort_unstable();
        known.dedup();
        known.iter().map(|event| event.name().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_are_unique_sorted_and_found_again() {
        assert!(WebhookEvent::ALL.windows(2).all(|two| two[0].name() < two[1].name()));
        for event in WebhookEvent::ALL {
            assert_eq!(WebhookEvent::from_name(event.name()), Some(*event));
        }
    }

    #[test]
    fn invalid_fields_of_endpoints_are_named() {
        let form = |url: &str, events: &[&str], bound: i64| WebhookEndpointForm {
            url: Some(url.to_owned()),
            events: Some(events.iter().map(|name| (*name).to_owned()).collect()),
            low_stock_below: Some(bound),
            ..WebhookEndpointForm::default()
        };
        let good = form(
            " https://a.example/x ",
            &["order.created", "game.in_stock", "order.created"],
            1,
        );
        let good = good.checked(true).unwrap();
        assert_eq!(good.url.as_deref(), Some("https://a.example/x"));
        assert_eq!(good.events.unwrap(), ["game.in_stock", "order.created"]);
        for (bad, path) in [
            (form("ftp://a.example", &["order.created"], 1), "url"),
            (form("https://a b", &["order.created"], 1), "url"),
            (form("https://a.example", &[], 1), "events"),
            (form("https://a.example", &["order.eaten"], 1), "events"),
            (form("https://a.example", &["order.created"], 0), "lowStockBelow"),
            (WebhookEndpointForm::default(), "url"),
        ] {
            assert_eq!(bad.checked(true).unwrap_err()[0].path, path);
        }
    }
}
