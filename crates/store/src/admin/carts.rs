//! Carts and wishlists of accounts. Those of guests are not listed.

use lockstep_domain::admin::{CartList, CartRow, Page, WishlistList, WishlistRow};
use lockstep_domain::ids::UserId;

use super::{MOST_COUNTED, bounds, contains, user_brief};
use crate::row::{how_many_of, money_of};
use crate::{Result, Tx};

/// Which carts or wishlists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this account.
    pub user: Option<UserId>,
    /// Text contained in the address.
    pub email: Option<String>,
}

/// Carts with items, the latest change first. At most 10,000 are counted.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<CartList> {
    let (limit, offset) = bounds(page);
    let (user, email) = (filter.user.map(|user| user.0), filter.email.as_deref().map(contains));
    let rows = sqlx::query!(
        r#"-- store.admin.carts.list
        with page as (
            -- Newest first: the first that is seen of a cart is its last change, and so only the carts before are read.
            select l.user_id, l.added_at as changed from cart_items l
             where not exists (select from guest_sessions s where s.id = l.user_id)
               and l.game_id = (select n.game_id from cart_items n where n.user_id = l.user_id
                                 order by n.added_at desc, n.game_id limit 1)
               and ($1::uuid is null or l.user_id = $1)
               and ($2::text is null or l.user_id in (
                    select u.id from users u where u.deleted_at is null and u.email ilike $2
                       and account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $2))
             order by l.added_at desc, l.user_id limit $3 offset $4)
        select u.id as user_id, u.email, u.nickname, u.first_name, u.last_name, sum(c.quantity)::bigint as "copies!",
               sum(c.quantity * g.price)::numeric(12,2) as "total!", max(c.added_at) as "changed!"
          from page p join users u on u.id = p.user_id join cart_items c on c.user_id = p.user_id
          join games g on g.id = c.game_id
         where u.deleted_at is null
         group by u.id order by "changed!" desc, u.id"#,
        user,
        email,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.carts.count
        select count(*) as "count!" from (
            select from cart_items l
             where not exists (select from guest_sessions s where s.id = l.user_id)
               and ($1::uuid is null or l.user_id = $1)
               and ($2::text is null or l.user_id in (
                    select u.id from users u where u.deleted_at is null and u.email ilike $2
                       and account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $2))
             group by l.user_id limit $3) carts"#,
        user,
        email,
        MOST_COUNTED
    )
    .fetch_one(tx.uncached())
    .await?;
    let carts = rows
        .into_iter()
        .map(|row| {
            Ok(CartRow {
                user_id: row.user_id,
                user: user_brief!(row),
                item_count: how_many_of(row.copies),
                total: money_of(row.total)?,
                last_updated: row.changed,
            })
        })
        .collect::<Result<_>>()?;
    Ok(CartList {
        carts,
        paging: page.of(how_many_of(total)),
    })
}

/// Wishlists with items, the latest change first. At most 10,000 are counted.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn wishlists(tx: &mut Tx, filter: &Filter, page: Page) -> Result<WishlistList> {
    let (limit, offset) = bounds(page);
    let (user, email) = (filter.user.map(|user| user.0), filter.email.as_deref().map(contains));
    let rows = sqlx::query!(
        r#"-- store.admin.wishlists.list
        with page as (
            -- As for carts.
            select l.user_id, l.added_at as changed from wishlist l
             where not exists (select from guest_sessions s where s.id = l.user_id)
               and l.game_id = (select n.game_id from wishlist n where n.user_id = l.user_id
                                 order by n.added_at desc, n.game_id limit 1)
               and ($1::uuid is null or l.user_id = $1)
               and ($2::text is null or l.user_id in (
                    select u.id from users u where u.deleted_at is null and u.email ilike $2
                       and account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $2))
             order by l.added_at desc, l.user_id limit $3 offset $4)
        select u.id as user_id, u.email, u.nickname, u.first_name, u.last_name,
               (select count(*) from wishlist w where w.user_id = p.user_id) as "games!", p.changed as "changed!"
          from page p join users u on u.id = p.user_id
         where u.deleted_at is null order by p.changed desc, u.id"#,
        user,
        email,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.wishlists.count
        select count(*) as "count!" from (
            select from wishlist l
             where not exists (select from guest_sessions s where s.id = l.user_id)
               and ($1::uuid is null or l.user_id = $1)
               and ($2::text is null or l.user_id in (
                    select u.id from users u where u.deleted_at is null and u.email ilike $2
                       and account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $2))
             group by l.user_id limit $3) lists"#,
        user,
        email,
        MOST_COUNTED
    )
    .fetch_one(tx.uncached())
    .await?;
    let wishlists = rows
        .into_iter()
        .map(|row| WishlistRow {
            user_id: row.user_id,
            user: user_brief!(row),
            item_count: how_many_of(row.games),
            last_updated: row.changed,
        })
        .collect();
    Ok(WishlistList {
        wishlists,
        paging: page.of(how_many_of(total)),
    })
}
