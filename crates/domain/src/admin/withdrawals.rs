//! Withdrawals from contracts, as staff see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{CardRefundRow, Paging};
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::purchase::iso_millis_or_none;

/// A withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithdrawalRow {
    /// Identifier.
    pub id: Uuid,
    /// Name that was given.
    pub name: String,
    /// Order number that was given.
    pub order_number: String,
    /// Contact address that was given.
    pub contact: String,
    /// ID of the order; `null` if there is none with this number, or the contact is not its customer's address.
    pub order_id: Option<Uuid>,
    /// ID of the account with the contact address.
    pub user_id: Option<Uuid>,
    /// `OPEN`, `ACCEPTED` or `REFUSED`.
    pub state: String,
    /// What staff said about it.
    pub reason: Option<String>,
    /// Refunded to the balance, EUR.
    pub refunded: Money,
    /// When it was declared.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was decided.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub decided_at: Option<DateTime<Utc>>,
}

/// A page of withdrawals, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithdrawalList {
    /// The withdrawals.
    pub withdrawals: Vec<WithdrawalRow>,
    /// Page and total.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A unit of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithdrawalUnit {
    /// Identifier.
    pub id: Uuid,
    /// Title of the game.
    pub title: String,
    /// Amount paid, EUR.
    pub price: Money,
    /// Whether its key was delivered.
    pub is_delivered: bool,
    /// Whether its price was refunded.
    pub is_refunded: bool,
    /// When the customer was first shown its key.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub first_shown_at: Option<DateTime<Utc>>,
    /// Whether the right of withdrawal is left: not for a delivered key whose order has a consent of its customer.
    pub has_right: bool,
}

/// The consent of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsentRow {
    /// `shopper`, `front`, `development` or `before`.
    pub source: String,
    /// Version of the wording.
    pub wording: Option<String>,
    /// The wording.
    pub text: Option<String>,
    /// When it was given.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
}

/// A top-up of the customer that can be refunded to its card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithdrawalTopUp {
    /// Identifier.
    pub id: Uuid,
    /// Amount paid, EUR.
    pub amount: Money,
    /// What is left of it and of the balance, EUR.
    pub left: Money,
    /// When it was started.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A withdrawal with what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithdrawalCase {
    /// The withdrawal.
    #[serde(flatten)]
    pub withdrawal: WithdrawalRow,
    /// The consent of the order; `null` without an order, or while its keys wait for consent.
    pub consent: Option<ConsentRow>,
    /// The units of the order.
    pub units: Vec<WithdrawalUnit>,
    /// Top-ups of the customer with money left, newest first, at most 20.
    pub top_ups: Vec<WithdrawalTopUp>,
    /// What went on to the card.
    pub card_refund: Option<CardRefundRow>,
}
