//! The dashboard of staff: sales, orders and users at a glance.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{DashboardMargin, MASKED_PERSON};
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::{OrderStatus, TransactionType};
use crate::purchase::PaymentStatus;

/// The dashboard of the shop; days are days of the shop's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dashboard {
    /// Number of accounts, without deleted ones.
    pub total_users: u64,
    /// Accounts registered since midnight.
    pub new_users_today: u64,
    /// Number of listed games.
    pub total_games: u64,
    /// Number of orders.
    pub total_orders: u64,
    /// Number of orders in progress.
    pub pending_orders: u64,
    /// Number of orders with at least one delivered unit.
    pub completed_orders: u64,
    /// Transactions since midnight.
    pub transactions_today: u64,
    /// Revenue of all time, EUR: payments for orders less refunds, a refund counting on the day it is made.
    pub total_revenue: Money,
    /// Revenue since midnight, EUR.
    pub revenue_today: Money,
    /// Revenue of the last 7 days including today, EUR.
    pub revenue_this_week: Money,
    /// Revenue of the last 30 days including today, EUR.
    pub revenue_this_month: Money,
    /// The five games with the most delivered units.
    pub top_selling_games: Vec<TopGame>,
    /// The ten newest orders.
    pub recent_orders: Vec<RecentOrder>,
    /// The ten newest transactions.
    pub recent_transactions: Vec<RecentTransaction>,
    /// Sales of the last seven days, oldest first.
    pub sales_by_day: Vec<DayOfSales>,
    /// Margins.
    pub margin: DashboardMargin,
    /// The shop's time zone, by its IANA name.
    pub time_zone: String,
}

/// A best-selling game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopGame {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Number of delivered units.
    pub sales_count: u64,
    /// Payments for its units less refunds, EUR.
    pub revenue: Money,
}

impl Dashboard {
    /// The same figures without anything that says who a customer is.
    #[must_use]
    pub fn without_people(mut self) -> Self {
        let addresses = (self.recent_orders.iter_mut().map(|order| &mut order.user_email)).chain(
            self.recent_transactions
                .iter_mut()
                .map(|booking| &mut booking.user_email),
        );
        for address in addresses {
            MASKED_PERSON.clone_into(address);
        }
        self
    }
}

/// Summary of a recent order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecentOrder {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address of the customer.
    pub user_email: String,
    /// Total, EUR.
    pub total: Money,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Summary of a recent transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecentTransaction {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address of the user.
    pub user_email: String,
    /// Amount, EUR; negative when money left the balance.
    pub amount: Money,
    /// Type.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// Status.
    pub status: PaymentStatus,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Orders and revenue of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayOfSales {
    /// The day, in the shop's time zone.
    pub date: NaiveDate,
    /// Number of completed orders.
    pub count: u64,
    /// Payments for orders on that day less refunds on that day, EUR.
    pub revenue: Money,
}
