//! Addresses of all listed games, in parts, for sitemaps of search engines.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use crate::{Result, Tx};

/// The address of a game's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The slug in its URL.
    pub slug: String,
    /// Last change of its row.
    pub changed_at: DateTime<Utc>,
}

/// Number of listed games, including sold-out ones and preorders.
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

/// Part `part`, from 0, of all listed games, with `size` games per part, the latest addition first.
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
