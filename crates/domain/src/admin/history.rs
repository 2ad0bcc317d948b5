//! What happened: the events of an order, and the audit log.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Paging;
use crate::money::Money;

/// Everything that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderHistory {
    /// The order's number, as its customer knows it.
    pub number: String,
    /// The events, oldest first, at most 500.
    pub events: Vec<OrderEvent>,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What: `order.…`, `payment.…`, `booking.…`, `supplier.…`, `key.…`, `incident.…`, `webhook.…`, `email.…`, or `audit.` and an
    /// action of the audit log.
    pub what: String,
    /// Title of the game of the unit that it is about.
    pub game: Option<String>,
    /// Position of that unit within its item, from 1.
    pub position: Option<i32>,
    /// Amount, EUR; negative when money left the balance.
    pub amount: Option<Money>,
    /// ID of the order at G2A.
    pub g2a_order_id: Option<String>,
    /// The reason, or what G2A said.
    pub note: Option<String>,
    /// Who did it, if somebody did.
    pub actor: Option<Uuid>,
    /// Their e-mail address; `None` once their account is deleted.
    pub actor_email: Option<String>,
    /// The endpoint of webhooks that was told.
    pub webhook: Option<Uuid>,
    /// The top-up that paid for the order directly.
    pub top_up: Option<Uuid>,
    /// The e-mail that it is about.
    pub email: Option<Uuid>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: DateTime<Utc>,
    /// The action, such as `order.refund`.
    pub action: String,
    /// Kind of what it was done to.
    pub subject_kind: String,
    /// Its ID.
    pub subject_id: Uuid,
    /// Parameters of the action, as JSON.
    pub details: String,
    /// Who did it; `None` for the operator at the command line.
    pub actor: Option<Uuid>,
    /// Their e-mail address.
    pub actor_email: Option<String>,
}

/// A page of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditList {
    /// The entries.
    pub entries: Vec<AuditRow>,
    /// Pagination.
    pub paging: Paging,
}

/// What a text names exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An order: by its ID or number, by an order of it at G2A, or by its transaction.
    Order(Uuid),
    /// A user: by ID or whole e-mail address.
    User(Uuid),
    /// A game: by ID, slug, or ID at G2A.
    Game(Uuid),
    /// A promo code.
    PromoCode(Uuid),
    /// A key: by ID, or by its whole text.
    Key(Uuid),
}
