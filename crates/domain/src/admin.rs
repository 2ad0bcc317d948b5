//! What staff see: the contract's answers below `/api/admin`.
//!
//! Lists are pages; the array has a name of its own beside the four numbers of [`Paging`]. What a key says is in none of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::account::Role;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::{OrderStatus, TransactionType};
use crate::purchase::{PaymentStatus, iso_millis_or_none};

/// What stands for a key where it is not shown.
pub const MASKED_KEY: &str = "••••••••";

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// Rows of a page.
    pub size: u32,
}

impl Page {
    /// Rows before it.
    pub const fn offset(self) -> u64 {
        (self.number.saturating_sub(1) as u64) * (self.size as u64)
    }

    /// How a list of `total` rows is told.
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

/// Where a page is in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paging {
    /// Rows of all pages.
    pub total: u64,
    /// From 1.
    pub page: u32,
    /// Rows of a full page.
    pub page_size: u32,
    /// Pages.
    pub total_pages: u64,
}

/// The shop at a glance. Days are days of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dashboard {
    /// Accounts that were not deleted.
    pub total_users: u64,
    /// Registered since midnight.
    pub new_users_today: u64,
    /// Games that are listed.
    pub total_games: u64,
    /// All orders.
    pub total_orders: u64,
    /// Orders under way.
    pub pending_orders: u64,
    /// Orders of which at least one copy was delivered.
    pub completed_orders: u64,
    /// Bookings since midnight.
    pub transactions_today: u64,
    /// What was paid for orders less what went back, EUR: of all time, since midnight, and of the last 7 and 30 days. Money
    /// that goes back counts on the day it does.
    pub total_revenue: Money,
    /// Since midnight.
    pub revenue_today: Money,
    /// Of the last 7 days, today included.
    pub revenue_this_week: Money,
    /// Of the last 30 days, today included.
    pub revenue_this_month: Money,
    /// The five games with the most delivered copies.
    pub top_selling_games: Vec<TopGame>,
    /// The ten newest.
    pub recent_orders: Vec<RecentOrder>,
    /// The ten newest.
    pub recent_transactions: Vec<RecentTransaction>,
    /// Seven days, the oldest first.
    pub sales_by_day: Vec<DayOfSales>,
}

/// A game and how it sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopGame {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// Address.
    pub slug: String,
    /// Delivered copies.
    pub sales_count: u64,
    /// What was paid for them less what went back, EUR.
    pub revenue: Money,
}

/// An order in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecentOrder {
    /// Identifier.
    pub id: Uuid,
    /// Whose.
    pub user_email: String,
    /// EUR.
    pub total: Money,
    /// How far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A booking in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecentTransaction {
    /// Identifier.
    pub id: Uuid,
    /// Whose.
    pub user_email: String,
    /// EUR; negative when money left the balance.
    pub amount: Money,
    /// What for.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// How it stands.
    pub status: PaymentStatus,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Orders and revenue of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayOfSales {
    /// The day, UTC.
    pub date: NaiveDate,
    /// Orders that were completed.
    pub count: u64,
    /// What was paid for orders on that day less what went back on it, EUR.
    pub revenue: Money,
}

/// Accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserList {
    /// The newest first.
    pub users: Vec<UserRow>,
    #[serde(flatten)]
    /// Where this page is.
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
    /// EUR.
    pub balance: Money,
    /// What they may do.
    pub role: Role,
    /// When they registered.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// All orders.
    pub orders_count: u64,
}

/// An account with what it did last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserDetail {
    /// The account.
    #[serde(flatten)]
    pub user: UserRow,
    /// The newest hundred.
    pub orders: Vec<OrderBrief>,
    /// The newest hundred.
    pub transactions: Vec<TransactionBrief>,
}

/// An order of a known user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderBrief {
    /// Identifier.
    pub id: Uuid,
    /// How far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// EUR.
    pub total: Money,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A booking of a known user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionBrief {
    /// Identifier.
    pub id: Uuid,
    /// What for.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// EUR; negative when money left the balance.
    pub amount: Money,
    /// How it stands.
    pub status: PaymentStatus,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// What an account did: the newest hundred of each kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activity {
    /// Whose.
    pub user_id: Uuid,
    /// Attempts to log in.
    pub login_history: Vec<LoginAttempt>,
    /// Orders.
    pub orders: Vec<OrderBrief>,
    /// Bookings.
    pub transactions: Vec<TransactionBrief>,
}

/// An attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginAttempt {
    /// Identifier.
    pub id: Uuid,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// With which program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// It was let in.
    pub success: bool,
    /// When.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderList {
    /// The newest first.
    pub orders: Vec<OrderRow>,
    /// Where this page is.
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
    /// Whose.
    pub user_email: String,
    /// Whose.
    pub user_nickname: String,
    /// EUR.
    pub total: Money,
    /// How far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// Copies in all.
    pub items_count: u64,
    /// Its items.
    pub items: Vec<OrderRowItem>,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// An item of an order in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderRowItem {
    /// Which game.
    pub game_title: String,
    /// Of one copy, EUR.
    pub price: Money,
    /// Stands for a key when there is one; what it says is not shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
}

/// An account beside something of its own.
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

/// An order with everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetail {
    /// Identifier.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// Whose.
    pub user: UserBrief,
    /// How far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// Before the discount, EUR.
    pub subtotal: Money,
    /// Taken off, EUR.
    pub discount: Money,
    /// What was paid, EUR.
    pub total: Money,
    /// `BALANCE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// How the payment stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_status: Option<PaymentStatus>,
    /// The promo code that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promo_code: Option<String>,
    /// The first unit's order at G2A.
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
    /// Its items.
    pub items: Vec<OrderDetailItem>,
    /// Its units: one copy, one purchase at G2A, one key each.
    pub units: Vec<UnitDetail>,
    /// The booking that paid for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<OrderTransaction>,
}

/// An item of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetailItem {
    /// Identifier.
    pub id: Uuid,
    /// Which game.
    pub game_id: Uuid,
    /// Which game.
    pub game: OrderDetailGame,
    /// Copies.
    pub quantity: u32,
    /// Of one copy, EUR.
    pub price: Money,
    /// Taken off the item, EUR.
    pub discount: Money,
    /// Stands for a key when there is one; what it says is not shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// Every key of the item was used.
    pub key_activated: bool,
}

/// The game of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetailGame {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// Address.
    pub slug: String,
    /// Address of the cover.
    pub image: String,
    /// Today's price, EUR.
    pub price: Money,
}

/// A unit of an order, as far as staff need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnitDetail {
    /// Identifier.
    pub id: Uuid,
    /// Which item.
    pub item_id: Uuid,
    /// From 1 within the item.
    pub position: u32,
    /// `NEW`, `ORDERING`, `ORDERED`, `PAYING`, `PAID`, `FETCHING`, `DONE`, `LOST` or `REFUNDED`.
    pub state: String,
    /// What the shopper paid for it, EUR.
    pub price_paid: Money,
    /// What G2A asked for it, EUR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_price: Option<Money>,
    /// Its order at G2A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_order_id: Option<String>,
    /// Given back by staff although it was delivered, EUR.
    pub goodwill: Money,
    /// Why its money went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded_for: Option<String>,
    /// What the last attempt met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When its state changed last.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// The booking of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderTransaction {
    /// Identifier.
    pub id: Uuid,
    /// What for.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: TransactionType,
    /// EUR; negative when money left the balance.
    pub amount: Money,
    /// `EUR`.
    pub currency: String,
    /// How it was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How it stands.
    pub status: PaymentStatus,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The reference outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<String>,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Bookings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionList {
    /// The newest first.
    pub transactions: Vec<TransactionRow>,
    /// Where this page is.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A booking in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionRow {
    /// Whose.
    pub user_id: Uuid,
    /// Whose.
    pub user: UserBrief,
    /// The order that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// That order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderStanding>,
    /// The booking.
    #[serde(flatten)]
    pub transaction: OrderTransaction,
}

/// An order and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderStanding {
    /// Identifier.
    pub id: Uuid,
    /// How far.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
}

/// Carts of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartList {
    /// The one that changed last first.
    pub carts: Vec<CartRow>,
    /// Where this page is.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A cart in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartRow {
    /// Whose.
    pub user_id: Uuid,
    /// Whose.
    pub user: UserBrief,
    /// Copies in it.
    pub item_count: u64,
    /// At today's prices, EUR.
    pub total: Money,
    /// When something was added last.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_updated: DateTime<Utc>,
}

/// Wishlists of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishlistList {
    /// The one that changed last first.
    pub wishlists: Vec<WishlistRow>,
    /// Where this page is.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A wishlist in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishlistRow {
    /// Whose.
    pub user_id: Uuid,
    /// Whose.
    pub user: UserBrief,
    /// Games on it.
    pub item_count: u64,
    /// When something was added last.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_updated: DateTime<Utc>,
}

/// A genre, platform, category or tag and how many games have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaxonomyRow {
    /// Identifier.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Address.
    pub slug: String,
    /// Games that have it, listed or not.
    pub games_count: u64,
}

/// Games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameList {
    /// The newest first.
    pub games: Vec<GameRow>,
    /// Where this page is.
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
    /// Address.
    pub slug: String,
    /// EUR.
    pub price: Money,
    /// Before a reduction, EUR.
    pub original_price: Option<Money>,
    /// The first by alphabet, or empty.
    pub platform: String,
    /// The first by alphabet, or empty.
    pub genre: String,
    /// It can be bought.
    pub in_stock: bool,
    /// Announced, not yet released.
    pub is_preorder: bool,
    /// Address of the cover.
    pub image_url: String,
    /// Delivered copies.
    pub sales_count: u64,
    /// When it came into the catalogue.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A game with everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameDetail {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// Address.
    pub slug: String,
    /// Cleaned HTML.
    pub description: String,
    /// EUR.
    pub price: Money,
    /// Before a reduction, EUR.
    pub original_price: Option<Money>,
    /// Address of the cover.
    pub image_url: String,
    /// The first of `platforms`, or empty.
    pub platform: String,
    /// By alphabet.
    pub platforms: Vec<String>,
    /// The first of `genres`, or empty.
    pub genre: String,
    /// By alphabet.
    pub genres: Vec<String>,
    /// By alphabet.
    pub tags: Vec<String>,
    /// By alphabet.
    pub categories: Vec<String>,
    /// Publisher, or empty.
    pub publisher: String,
    /// Developer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer: Option<String>,
    /// The day, UTC.
    pub release_date: NaiveDate,
    /// Announced, not yet released.
    pub is_preorder: bool,
    /// It can be bought.
    pub in_stock: bool,
    /// G2A's product; none for a game of the shop's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_product_id: Option<String>,
    /// G2A has it.
    pub g2a_stock: bool,
}

/// How the catalogue stands against G2A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncStatus {
    /// When a synchronisation was completed last.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_sync: Option<DateTime<Utc>>,
    /// Listed games that G2A supplies.
    pub total_products: u64,
    /// Of these, what can be bought.
    pub in_stock: u64,
    /// Of these, what cannot.
    pub out_of_stock: u64,
    /// One is running.
    pub sync_in_progress: bool,
}

/// How far the running synchronisation is; all zero when none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncProgress {
    /// One is running.
    pub in_progress: bool,
    /// Pages that are written.
    pub current_page: u32,
    /// Pages in all, as far as is known.
    pub total_pages: u32,
    /// Products that were looked at.
    pub products_processed: u32,
    /// Products in all, as far as is known.
    pub products_total: u32,
    /// New categories; they are not counted apart.
    pub categories_created: u32,
    /// New genres; they are not counted apart.
    pub genres_created: u32,
    /// New platforms; they are not counted apart.
    pub platforms_created: u32,
    /// Products that were skipped.
    pub errors: u32,
    /// When it began.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub started_at: Option<DateTime<Utc>>,
    /// When it will be done, at the speed so far.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub estimated_completion: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_may_be_short_and_an_empty_list_has_none() {
        let page = Page { number: 3, size: 20 };
        assert_eq!(page.offset(), 40);
        assert_eq!(page.of(41).total_pages, 3);
        assert_eq!(page.of(40).total_pages, 2);
        assert_eq!(page.of(0).total_pages, 0);
    }
}
