//! Addresses of all listed games, in parts, for sitemaps of search engines.

use chrono::{DateTime, Utc};

use crate::row::how_many_of;
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
    let listed = sqlx::query_scalar!(
        r#"-- store.games.listed
        select coalesce(sum(listed), 0)::bigint as "listed!" from catalog_totals"#
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(how_many_of(listed))
}

/// Part `part`, from 0, of all listed games, with `size` games per part, the latest addition first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn addresses(tx: &mut Tx, part: u32, size: u32) -> Result<Vec<Address>> {
    Ok(sqlx::query_as!(
        Address,
        "-- store.games.addresses
        select slug, updated_at as changed_at from games where withdrawn_at is null
         order by created_at desc, id desc limit $1 offset $2",
        i64::from(size),
        i64::from(part) * i64::from(size)
    )
    .fetch_all(tx.conn())
    .await?)
}
