//! Views for staff: the responses of the HTTP contract (`docs/http-api.md`) below `/api/admin`.
//!
//! Lists are paginated; each names its array, beside the four numbers of [`Paging`]. No response contains the text of a
//! key.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::account::Role;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::{OrderStatus, TransactionType};
use crate::purchase::{PaymentStatus, iso_millis_or_none};

/// Shown in place of a key.
pub const MASKED_KEY: &str = "••••••••";

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Page number, from 1.
    pub number: u32,
    /// Rows per page.
    pub size: u32,
}

impl Page {
    /// Number of rows before the page.
    pub const fn offset(self) -> u64 {
        (self.number.saturating_sub(1) as u64) * (self.size as u64)
    }

    /// The pagination of a list of `total` rows.
    pub const fn of(self, total: u64) -> Paging {
        let size = if self.size == 0 { 1 } else { self.size as u64 };
        Paging {
            total,
            page: self.number,
            page_size: self.size,
            total_pages: total.div_ceil(size),
        }
    }
}

/// Pagination of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paging {
    /// Total number of rows.
    pub total: u64,
    /// Page number, from 1.
    pub page: u32,
    /// Rows per page.
    pub page_size: u32,
    /// Number of pages.
    pub total_pages: u64,
}

/// The dashboard of the shop; days are UTC days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dashboard {
    /// Number of accounts, without deleted ones.
    pub total_users: u64,
    /// Accounts registered since midnight UTC.
    pub new_users_today: u64,
    /// Number of listed games.
    pub total_games: u64,
    /// Number of orders.
    pub total_orders: u64,
    /// Number of orders in progress.
    pub pending_orders: u64,
    /// Number of orders with at least one delivered unit.
    pub completed_orders: u64,
    /// Transactions since midnight UTC.
    pub transactions_today: u64,
    /// Revenue of all time, EUR: payments for orders less refunds, a refund counting on the day it is made.
    pub total_revenue: Money,
    /// Revenue since midnight UTC, EUR.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayOfSales {
    /// The day, UTC.
    pub date: NaiveDate,
    /// Number of completed orders.
    pub count: u64,
    /// Payments for orders on that day less refunds on that day, EUR.
    pub revenue: Money,
}

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

/// A page of users' carts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartList {
    /// The carts, latest change first.
    pub carts: Vec<CartRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A cart in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartRow {
    /// The user's id.
    pub user_id: Uuid,
    /// The user.
    pub user: UserBrief,
    /// Number of units in it.
    pub item_count: u64,
    /// Total at current prices, EUR.
    pub total: Money,
    /// When an item was last added.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_updated: DateTime<Utc>,
}

/// A page of users' wishlists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishlistList {
    /// The wishlists, latest change first.
    pub wishlists: Vec<WishlistRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A wishlist in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishlistRow {
    /// The user's id.
    pub user_id: Uuid,
    /// The user.
    pub user: UserBrief,
    /// Number of games on it.
    pub item_count: u64,
    /// When a game was last added.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_updated: DateTime<Utc>,
}

/// A genre, platform, category or tag with its number of games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaxonomyRow {
    /// Identifier.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// URL slug.
    pub slug: String,
    /// Number of games that have it, listed or not.
    pub games_count: u64,
}

/// A page of games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameList {
    /// The games, newest first.
    pub games: Vec<GameRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A game in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameRow {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Price, EUR.
    pub price: Money,
    /// Price before the reduction, EUR.
    pub original_price: Option<Money>,
    /// The alphabetically first platform, or empty.
    pub platform: String,
    /// The alphabetically first genre, or empty.
    pub genre: String,
    /// Whether it can be bought.
    pub in_stock: bool,
    /// Whether it is announced but not yet released.
    pub is_preorder: bool,
    /// Cover URL.
    pub image_url: String,
    /// Number of delivered units.
    pub sales_count: u64,
    /// When it was added to the catalogue.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A game with all details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameDetail {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Sanitised HTML.
    pub description: String,
    /// Price, EUR.
    pub price: Money,
    /// Price before the reduction, EUR.
    pub original_price: Option<Money>,
    /// Cover URL.
    pub image_url: String,
    /// The first of `platforms`, or empty.
    pub platform: String,
    /// Platforms, alphabetically.
    pub platforms: Vec<String>,
    /// The first of `genres`, or empty.
    pub genre: String,
    /// Genres, alphabetically.
    pub genres: Vec<String>,
    /// Tags, alphabetically.
    pub tags: Vec<String>,
    /// Categories, alphabetically.
    pub categories: Vec<String>,
    /// Publisher, or empty.
    pub publisher: String,
    /// Developer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer: Option<String>,
    /// Release date, UTC.
    pub release_date: NaiveDate,
    /// Whether it is announced but not yet released.
    pub is_preorder: bool,
    /// Whether it can be bought.
    pub in_stock: bool,
    /// G2A product id; absent for the shop's own games.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_product_id: Option<String>,
    /// Whether G2A has it in stock.
    pub g2a_stock: bool,
}

/// Status of the catalogue synchronisation with G2A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncStatus {
    /// When a synchronisation last completed.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_sync: Option<DateTime<Utc>>,
    /// Number of listed games that G2A supplies.
    pub total_products: u64,
    /// Number of these that can be bought.
    pub in_stock: u64,
    /// Number of these that cannot be bought.
    pub out_of_stock: u64,
    /// Whether a synchronisation is running.
    pub sync_in_progress: bool,
}

/// Progress of the running synchronisation; all zero when none is running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncProgress {
    /// Whether a synchronisation is running.
    pub in_progress: bool,
    /// Number of pages written.
    pub current_page: u32,
    /// Total number of pages, as far as known.
    pub total_pages: u32,
    /// Number of products processed.
    pub products_processed: u32,
    /// Total number of products, as far as known.
    pub products_total: u32,
    /// New categories; always 0, they are not counted separately.
    pub categories_created: u32,
    /// New genres; always 0, they are not counted separately.
    pub genres_created: u32,
    /// New platforms; always 0, they are not counted separately.
    pub platforms_created: u32,
    /// Number of products skipped.
    pub errors: u32,
    /// When it started.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub started_at: Option<DateTime<Utc>>,
    /// Estimated completion time at the average speed so far.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub estimated_completion: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_count_rounds_up_and_is_zero_when_empty() {
        let page = Page { number: 3, size: 20 };
        assert_eq!(page.offset(), 40);
        assert_eq!(page.of(41).total_pages, 3);
        assert_eq!(page.of(40).total_pages, 2);
        assert_eq!(page.of(0).total_pages, 0);
    }
}
