//! Reports about sales, margins and refunds. Every amount is a sum of the books, in EUR.

use chrono::NaiveDate;
use serde::Serialize;

use crate::money::Money;

/// What the rows of a report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReportBy {
    /// Days of the shop's time zone.
    Day,
    /// Weeks; they begin on Monday.
    Week,
    /// Months.
    Month,
    /// Genres. A game with several counts in the first one by name, so that the rows add up.
    Genre,
    /// Platforms, as genres.
    Platform,
    /// Countries of buyers, of sales only.
    Country,
}

impl ReportBy {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Genre,
        Self::Platform,
        Self::Country,
    ];

    /// The name in a request; of a period also its name in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Genre => "genre",
            Self::Platform => "platform",
            Self::Country => "country",
        }
    }

    /// Whether the rows are periods.
    pub const fn is_period(self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }

    /// Whether there are margins by it.
    pub const fn has_margins(self) -> bool {
        !matches!(self, Self::Country)
    }
}

/// The period of a report, in days of the shop's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportPeriod {
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
    /// The shop's time zone, by its IANA name.
    pub time_zone: String,
}

/// Which refunds a row of a report counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RefundsCounted {
    /// Refunds that were booked in the period, of sales at any time.
    Booked,
    /// Refunds of the copies that were sold in the period, booked at any time until now.
    OfSales,
}

/// Sales in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SalesReport {
    /// The period.
    #[serde(flatten)]
    pub period: ReportPeriod,
    /// What the rows are.
    pub by: ReportBy,
    /// Which refunds are counted.
    pub refunds_counted: RefundsCounted,
    /// The rows: periods in order, also those without sales; genres, platforms and countries by their sales.
    pub rows: Vec<SalesRow>,
    /// The sum of the rows. Its key is empty.
    pub totals: SalesRow,
}

/// Sales of a day, week, month, genre, platform or country.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SalesRow {
    /// First day of the period; name of the genre or platform, empty for games without one; or the country's code of two
    /// letters, `unknown` for buyers of whom none is known.
    pub key: String,
    /// Orders that were paid; with periods only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<u64>,
    /// Copies that were paid; with genres, platforms and countries only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<u64>,
    /// What was paid.
    pub sold: Money,
    /// What was refunded.
    pub refunded: Money,
    /// What was paid less what was refunded.
    pub revenue: Money,
}

/// Margins of the orders that were placed in a period, as far as they are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarginReport {
    /// The period.
    #[serde(flatten)]
    pub period: ReportPeriod,
    /// What the rows are.
    pub by: ReportBy,
    /// Whether payment fees are known and taken off. No payment provider reports them to the shop yet.
    pub payment_fees_known: bool,
    /// The rows: periods in order, also those without sales; genres and platforms by their margin.
    pub rows: Vec<MarginRow>,
    /// The sum of the rows. Its key is empty.
    pub totals: MarginRow,
}

/// The margin of a day, week, month, genre or platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarginRow {
    /// First day of the period, or name of the genre or platform; empty for games without one.
    pub key: String,
    /// Copies that were delivered.
    pub copies: u64,
    /// Number of keys of the shop's own stock for these copies whose cost is not known; it counts as nothing.
    pub copies_without_cost: u64,
    /// What was paid for the delivered copies, less what was refunded of it.
    pub sold: Money,
    /// What the supplier was paid, also for keys that were lost and bought again.
    pub supplier_cost: Money,
    /// What the keys of the shop's own stock cost, also faulty ones that were replaced, as far as it is known.
    pub own_stock_cost: Money,
    /// Fees of the payment provider; `null` while they are not known.
    pub payment_fees: Option<Money>,
    /// What was sold less both costs, and less the payment fees if they are known.
    pub margin: Money,
}

/// Refunds of orders that were booked in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundReport {
    /// The period.
    #[serde(flatten)]
    pub period: ReportPeriod,
    /// The rows, the largest sum first.
    pub rows: Vec<RefundRow>,
    /// The sum of the rows. Its reason is empty.
    pub totals: RefundRow,
}

/// Refunds for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundRow {
    /// `SOLD_OUT`, `TOO_DEAR`, `KEY_LOST`, `CANCELLED`, `NOT_DELIVERED`, or `GOODWILL` for a refund by staff.
    pub reason: String,
    /// Number of refunds.
    pub count: u64,
    /// Their sum.
    pub refunded: Money,
}

/// Margins on the dashboard: of the orders that were placed in each period, as far as they are delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DashboardMargin {
    /// Of all time, EUR.
    pub total: Money,
    /// Of today.
    pub today: Money,
    /// Of the last 7 days including today.
    pub this_week: Money,
    /// Of the last 30 days including today.
    pub this_month: Money,
    /// Number of keys of the shop's own stock that orders got, of all time, whose cost is not known; it counts as nothing.
    pub copies_without_cost: u64,
    /// Whether payment fees are known and taken off.
    pub payment_fees_known: bool,
}
