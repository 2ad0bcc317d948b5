//! Carts and wishlists as staff see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Paging, UserBrief};
use crate::catalogue::iso_millis;
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
