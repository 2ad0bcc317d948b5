//! Addresses of all listed games, in parts, for search engines.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use crate::{Result, Tx};

/// Where a game stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The readable part of its address.
    pub slug: String,
    /// When its row last changed.
    pub changed_at: DateTime<Utc>,
}

/// How many games are listed, sold-out ones and preorders included.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn listed(tx: &mut Tx) -> Result<u64> {
    let listed: i64 =
        sqlx::query_scalar("-- store.games.listed\nselect coalesce(sum(listed), 0)::bigint from catalog_totals")
            .fetch_one(tx.conn())
            .await?;
    Ok(u64::try_from(listed).unwrap_or(0))
}

/// Part `part`, from 0, of all listed games, `size` a part, the latest addition first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn addresses(tx: &mut Tx, part: u32, size: u32) -> Result<Vec<Address>> {
    let rows = sqlx::query(
        "-- store.games.addresses
        select slug, updated_at from games where withdrawn_at is null
         order by created_at desc, id desc limit $1 offset $2",
    )
    .bind(i64::from(size))
    .bind(i64::from(part) * i64::from(size))
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Address {
                slug: row.try_get("slug")?,
                changed_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}
