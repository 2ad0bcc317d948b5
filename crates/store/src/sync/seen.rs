//! What a pass has seen, and the handling of games that it has not.

use super::Fence;
use crate::Tx;
use crate::error::Result;

/// Records that the run has seen these products.
///
/// # Errors
/// [`StoreError::Fenced`](crate::StoreError::Fenced) when a newer run has begun.
pub async fn mark_seen(tx: &mut Tx, fence: &Fence, products: &[&str]) -> Result<()> {
    fence.hold(tx).await?;
    sqlx::query!(
        "-- store.sync.mark_seen
        insert into sync_seen (run_id, g2a_product_id) select $1, unnest($2::text[]) on conflict do nothing",
        fence.run.0,
        products as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Number of distinct products that the run has seen.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn count_seen(tx: &mut Tx, fence: &Fence) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"-- store.sync.count_seen
        select count(*) as "count!" from sync_seen where run_id = $1"#,
        fence.run.0
    )
    .fetch_one(tx.conn())
    .await?)
}

/// The games that a pass is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// All of G2A's games that are not withdrawn.
    Listed,
    /// Those recorded as in stock.
    InStock,
}

/// Number of these games.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn count_known(tx: &mut Tx, among: Among) -> Result<i64> {
    // Two statements, because only one of them has its own index.
    let count = match among {
        Among::Listed => {
            sqlx::query_scalar!(
                r#"-- store.sync.count_listed
                select count(*) as "count!" from games where g2a_product_id is not null and withdrawn_at is null"#
            )
            .fetch_one(tx.conn())
            .await?
        }
        Among::InStock => {
            sqlx::query_scalar!(
                r#"-- store.sync.count_in_stock
                select count(*) as "count!" from games where in_stock and g2a_product_id is not null"#
            )
            .fetch_one(tx.conn())
            .await?
        }
    };
    Ok(count)
}

/// The products of these games that the run has not seen, the most popular first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn unseen(tx: &mut Tx, fence: &Fence, among: Among) -> Result<Vec<String>> {
    let unseen = match among {
        Among::Listed => {
            sqlx::query_scalar!(
                r#"-- store.sync.unseen_listed
                select g.g2a_product_id as "product!" from games g
                 where g.g2a_product_id is not null and g.withdrawn_at is null
                   and not exists (select from sync_seen s where s.run_id = $1 and s.g2a_product_id = g.g2a_product_id)
                 order by g.popularity desc, g.id"#,
                fence.run.0
            )
            .fetch_all(tx.conn())
            .await?
        }
        Among::InStock => {
            sqlx::query_scalar!(
                r#"-- store.sync.unseen_in_stock
                select g.g2a_product_id as "product!" from games g
                 where g.in_stock and g.g2a_product_id is not null
                   and not exists (select from sync_seen s where s.run_id = $1 and s.g2a_product_id = g.g2a_product_id)
                 order by g.popularity desc, g.id"#,
                fence.run.0
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    Ok(unseen)
}

/// Withdraws games that G2A no longer lists: they are kept for orders and keys, but not shown or sold. Returns how
/// many.
///
/// # Errors
/// [`StoreError::Fenced`](crate::StoreError::Fenced) when a newer run has begun.
pub async fn withdraw(tx: &mut Tx, fence: &Fence, products: &[&str]) -> Result<u64> {
    fence.hold(tx).await?;
    let done = sqlx::query!(
        "-- store.sync.withdraw
        update games
           set withdrawn_at = now(), in_stock = false, g2a_stock = false, popularity = popularity - g2a_depth,
               g2a_depth = 0, g2a_last_sync = now()
         where g2a_product_id = any($1) and withdrawn_at is null",
        products as _
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Marks games as sold out. Returns how many were in stock.
///
/// # Errors
/// [`StoreError::Fenced`](crate::StoreError::Fenced) when a newer run has begun.
pub async fn sell_out(tx: &mut Tx, fence: &Fence, products: &[&str]) -> Result<u64> {
    fence.hold(tx).await?;
    let done = sqlx::query!(
        "-- store.sync.sell_out
        update games
           set in_stock = false, g2a_stock = false, popularity = popularity - g2a_depth, g2a_depth = 0,
               g2a_last_sync = now()
         where g2a_product_id = any($1) and in_stock",
        products as _
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
