//! Carts and wishlists of accounts. Those of guests are not listed.

use lockstep_domain::admin::{CartList, CartRow, Page, WishlistList, WishlistRow};
use lockstep_domain::ids::UserId;
use sqlx::Row as _;

use super::{bounds, contains, user_brief};
use crate::row::{how_many, money};
use crate::{Result, Tx};

/// Which carts or wishlists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this account.
    pub user: Option<UserId>,
    /// Text contained in the address.
    pub email: Option<String>,
}

/// Carts with items, the latest change first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<CartList> {
    let (limit, offset) = bounds(page);
    let (user, email) = (filter.user.map(|user| user.0), filter.email.as_deref().map(contains));
    let rows = sqlx::query(
        "-- store.admin.carts.list
        select u.id as user_id, u.email, u.nickname, u.first_name, u.last_name, sum(c.quantity)::bigint as copies,
               sum(c.quantity * g.price)::numeric(12,2) as total, max(c.added_at) as changed
          from cart_items c join users u on u.id = c.user_id join games g on g.id = c.game_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)
         group by u.id order by changed desc, u.id limit $3 offset $4",
    )
    .persistent(false)
    .bind(user)
    .bind(&email)
    .bind(limit)
    .bind(offset)
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query(
        "-- store.admin.carts.count
        select count(distinct u.id) from cart_items l join users u on u.id = l.user_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)",
    )
    .persistent(false)
    .bind(user)
    .bind(&email)
    .fetch_one(tx.conn())
    .await?;
    let carts = rows
        .iter()
        .map(|row| {
            Ok(CartRow {
                user_id: row.try_get("user_id")?,
                user: user_brief(row)?,
                item_count: how_many(row, "copies")?,
                total: money(row, "total")?,
                last_updated: row.try_get("changed")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(CartList {
        carts,
        paging: page.of(how_many(&total, 0)?),
    })
}

/// Wishlists with items, the latest change first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn wishlists(tx: &mut Tx, filter: &Filter, page: Page) -> Result<WishlistList> {
    let (limit, offset) = bounds(page);
    let (user, email) = (filter.user.map(|user| user.0), filter.email.as_deref().map(contains));
    let rows = sqlx::query(
        "-- store.admin.wishlists.list
        select u.id as user_id, u.email, u.nickname, u.first_name, u.last_name, count(*) as games,
               max(w.added_at) as changed
          from wishlist w join users u on u.id = w.user_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)
         group by u.id order by changed desc, u.id limit $3 offset $4",
    )
    .persistent(false)
    .bind(user)
    .bind(&email)
    .bind(limit)
    .bind(offset)
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query(
        "-- store.admin.wishlists.count
        select count(distinct u.id) from wishlist l join users u on u.id = l.user_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)",
    )
    .persistent(false)
    .bind(user)
    .bind(&email)
    .fetch_one(tx.conn())
    .await?;
    let wishlists = rows
        .iter()
        .map(|row| {
            Ok(WishlistRow {
                user_id: row.try_get("user_id")?,
                user: user_brief(row)?,
                item_count: how_many(row, "games")?,
                last_updated: row.try_get("changed")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(WishlistList {
        wishlists,
        paging: page.of(how_many(&total, 0)?),
    })
}
