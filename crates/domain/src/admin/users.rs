//! Users as staff see them: their orders, money, and log-ins.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use crate::account::Role;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::{OrderStatus, TransactionType};
use crate::purchase::PaymentStatus;

/// A page of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserList {
    /// The accounts, newest first.
    pub users: Vec<UserRow>,
    #[serde(flatten)]
    /// Pagination.
    pub paging: Paging,
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserRow {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address.
    pub email: String,
    /// Display name.
    pub nickname: String,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Balance, EUR.
    pub balance: Money,
    /// Role.
    pub role: Role,
    /// When they registered.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// Number of orders.
    pub orders_count: u64,
}

/// An account with its latest activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserDetail {
    /// The account.
    #[serde(flatten)]
    pub user: UserRow,
    /// The newest 100 orders.
    pub orders: Vec<OrderBrief>,
    /// The newest 100 transactions.
    pub transactions: Vec<TransactionBrief>,
}

/// An order of a given user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderBrief {
    /// Identifier.
    pub id: Uuid,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// Total, EUR.
    pub total: Money,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A transaction of a given user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionBrief {
    /// Identifier.
    pub id: Uuid,
    /// Type.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// Amount, EUR; negative when money left the balance.
    pub amount: Money,
    /// Status.
    pub status: PaymentStatus,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Activity of an account: the newest 100 entries of each requested kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activity {
    /// The user's id.
    pub user_id: Uuid,
    /// Login attempts.
    pub login_history: Vec<LoginAttempt>,
    /// Orders.
    pub orders: Vec<OrderBrief>,
    /// Transactions.
    pub transactions: Vec<TransactionBrief>,
}

/// A login attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginAttempt {
    /// Identifier.
    pub id: Uuid,
    /// Client IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// Client user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Whether it succeeded.
    pub success: bool,
    /// When it happened.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Brief form of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserBrief {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address.
    pub email: String,
    /// Display name.
    pub nickname: String,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}
