//! Carts and wishlists as staff see them.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::{Paging, UserBrief};
use crate::catalogue::{decimal_number, iso_millis};
use crate::money::Money;

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

/// What users wish for, in numbers. Guests' wishlists are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishlistStatistics {
    /// Number of wishlists with games.
    pub total_wishlists: u64,
    /// Number of games on all of them.
    pub total_items: u64,
    /// Games per wishlist, with two decimals.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub average_items_per_wishlist: Decimal,
    /// The ten games that most users wish for.
    pub most_wished_games: Vec<WishedGame>,
    /// Games added in the last 30 days and still there, by day, the oldest day first.
    pub wishlist_growth: Vec<DayOfWishes>,
}

/// A game that users wish for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishedGame {
    /// Identifier of the game.
    pub game_id: Uuid,
    /// The game.
    pub game: WishedGameBrief,
    /// Number of users who wish for it.
    pub wishlist_count: u64,
}

/// The names of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishedGameBrief {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
}

/// Additions to wishlists on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayOfWishes {
    /// The day, UTC.
    pub date: NaiveDate,
    /// Number of games added.
    pub count: u64,
}
