//! Orders and transactions as staff see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Paging, UserBrief};
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::{OrderStatus, TransactionType};
use crate::purchase::{PaymentStatus, iso_millis_or_none};

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderList {
    /// The orders, newest first.
    pub orders: Vec<OrderRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// An order in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderRow {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address of the customer.
    pub user_email: String,
    /// Display name of the customer.
    pub user_nickname: String,
    /// Total, EUR.
    pub total: Money,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// Number of units.
    pub items_count: u64,
    /// The order items.
    pub items: Vec<OrderRowItem>,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// An order item in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderRowItem {
    /// Title of the game.
    pub game_title: String,
    /// Unit price, EUR.
    pub price: Money,
    /// A mask when there is a key; its text is not shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
}

/// An order with all details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetail {
    /// Identifier.
    pub id: Uuid,
    /// The customer's id.
    pub user_id: Uuid,
    /// The customer.
    pub user: UserBrief,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// Sum before the discount, EUR.
    pub subtotal: Money,
    /// Discount, EUR.
    pub discount: Money,
    /// Amount paid, EUR.
    pub total: Money,
    /// Always `BALANCE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// Payment status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_status: Option<PaymentStatus>,
    /// The promo code, if one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promo_code: Option<String>,
    /// The G2A order id of the first unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_order_id: Option<String>,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was completed.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub completed_at: Option<DateTime<Utc>>,
    /// The order items.
    pub items: Vec<OrderDetailItem>,
    /// The order units: each is one purchase at G2A and one key.
    pub units: Vec<UnitDetail>,
    /// The transaction that paid for the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<OrderTransaction>,
}

/// An order item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetailItem {
    /// Identifier.
    pub id: Uuid,
    /// The game's id.
    pub game_id: Uuid,
    /// The game.
    pub game: OrderDetailGame,
    /// Quantity.
    pub quantity: u32,
    /// Unit price, EUR.
    pub price: Money,
    /// Discount on the item, EUR.
    pub discount: Money,
    /// A mask when there is a key; its text is not shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// Whether every key of the item was activated.
    pub key_activated: bool,
}

/// The game of an order item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetailGame {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Cover URL.
    pub image: String,
    /// Current price, EUR.
    pub price: Money,
}

/// An order unit as staff see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnitDetail {
    /// Identifier.
    pub id: Uuid,
    /// The order item's id.
    pub item_id: Uuid,
    /// Position within the item, from 1.
    pub position: u32,
    /// State: `NEW`, `ORDERING`, `ORDERED`, `PAYING`, `PAID`, `FETCHING`, `DONE`, `LOST` or `REFUNDED`.
    pub state: String,
    /// Amount the customer paid for it, EUR.
    pub price_paid: Money,
    /// G2A's price for it, EUR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_price: Option<Money>,
    /// Its G2A order id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_order_id: Option<String>,
    /// Amount staff refunded after delivery, EUR.
    pub goodwill: Money,
    /// Why it was refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded_for: Option<String>,
    /// Its faulty key, while another one is being bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faulty_key_id: Option<Uuid>,
    /// Error of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When its state last changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// A transaction of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderTransaction {
    /// Identifier.
    pub id: Uuid,
    /// Type.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// Amount, EUR; negative when money left the balance.
    pub amount: Money,
    /// Always `EUR`.
    pub currency: String,
    /// Payment method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Status.
    pub status: PaymentStatus,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The external reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<String>,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A page of transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionList {
    /// The transactions, newest first.
    pub transactions: Vec<TransactionRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A transaction in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionRow {
    /// The user's id.
    pub user_id: Uuid,
    /// The user.
    pub user: UserBrief,
    /// The order's id, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// The order, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderStanding>,
    /// The transaction.
    #[serde(flatten)]
    pub transaction: OrderTransaction,
}

/// An order and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderStanding {
    /// Identifier.
    pub id: Uuid,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
}
