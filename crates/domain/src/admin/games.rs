//! The catalogue and its synchronisation as staff see them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use super::editing::PriceStep;
use super::supplier::JobBrief;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::purchase::iso_millis_or_none;

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
    /// What staff say of it, plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
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
    /// The price that the synchronisation would set, EUR; absent while the price is G2A's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_price: Option<Money>,
    /// Fields of a game that G2A supplies which staff have set: no synchronisation changes them.
    pub locked_fields: Vec<&'static str>,
    /// The newest 50 changes of the price, newest first.
    pub price_history: Vec<PriceStep>,
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
    /// Whether a synchronisation is running, or a job of staff waits for one.
    pub sync_in_progress: bool,
}

/// Progress of the running synchronisation; all zero when none is running or waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncProgress {
    /// Whether a synchronisation is running, or a job of staff waits for one.
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
    /// The job of staff that is open, if one is; while it waits for a worker, all numbers are zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobBrief>,
}
