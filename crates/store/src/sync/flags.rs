//! Flags that are derived from other data and from the calendar.

use crate::Store;
use crate::error::{Result, StoreError};

/// Maximum number of rows changed in one transaction.
const CHUNK: i64 = 2_000;

/// Updates popularity, best sellers, new games and preorders; returns how many games changed.
///
/// - popularity: units delivered here in the last 30 days, times 100, plus the depth of G2A's stock;
/// - best seller: among the first hundred by popularity of the games that can be bought now, newer releases first at
///   equal popularity;
/// - new: released within the last 14 days; for both flags a person's setting has priority (migration 0193);
/// - preorder: the release date is known and in the future. Games that are not G2A's, and those for which staff have set
///   it, keep what was entered.
///
/// Only changed rows are written, in small transactions. Idempotent; run it after each pass over the catalogue and once
/// an hour, because the result changes with time.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn refresh_flags(store: &Store) -> Result<u64> {
    let mut changed = 0;
    loop {
        let rows = store
            .tx("sync.refresh_flags", |tx| {
                Box::pin(async move {
                    sqlx::query_scalar!(
                        "-- store.sync.refresh_flags.mine\nselect set_config('lockstep.flags', 'computed', true)"
                    )
                        .fetch_one(tx.conn())
                        .await?;
                    let done = sqlx::query!(
                        "-- store.sync.refresh_flags
                        with sold as (
                            select u.game_id, least(count(*), 10000000)::integer as units
                              from order_units u join orders o on o.id = u.order_id
                             where u.state = 'DONE' and o.created_at > now() - interval '30 days'
                             group by u.game_id),
                        flags as materialized (
                            select g.id, g.fields_by_hand, g.flags_by_hand, coalesce(s.units, 0) * 100 + g.g2a_depth as popularity,
                                   g.release_date, g.in_stock and g.withdrawn_at is null as buyable,
                                   case when g.g2a_product_id is null or 'is_preorder' = any (g.fields_by_hand) then g.is_preorder
                                        else g.release_date_known and g.release_date > now() end as is_preorder,
                                   case when 'is_new' = any (g.flags_by_hand) then g.is_new
                                        else g.release_date_known and g.release_date <= now()
                                             and g.release_date > now() - interval '14 days' end as is_new,
                                   case when 'is_best_seller' = any (g.flags_by_hand) then g.is_best_seller end as said_best
                              from games g left join sold s on s.game_id = g.id),
                        best as materialized (
                            select id from flags where buyable and not is_preorder
                             order by popularity desc, release_date desc, id limit 100),
                        diff as (
                            select f.id, f.fields_by_hand, f.flags_by_hand, f.popularity, f.is_preorder, f.is_new,
                                   coalesce(f.said_best, b.id is not null) as is_best_seller
                              from flags f join games g on g.id = f.id left join best b on b.id = f.id
                             where (g.popularity, g.is_preorder, g.is_new, g.is_best_seller)
                                   is distinct from (f.popularity, f.is_preorder, f.is_new, coalesce(f.said_best, b.id is not null))
                             order by f.id limit $1)
                        update games g
                           set popularity = d.popularity, is_preorder = d.is_preorder, is_new = d.is_new,
                               is_best_seller = d.is_best_seller
                          -- What staff have set since it was read is theirs.
                          from diff d where g.id = d.id
                           and (g.fields_by_hand, g.flags_by_hand) = (d.fields_by_hand, d.flags_by_hand)",
                        CHUNK
                    )
                    .execute(tx.conn())
                    .await?;
                    Ok::<_, StoreError>(done.rows_affected())
                })
            })
            .await?;
        changed += rows;
        if rows < CHUNK.unsigned_abs() {
            return Ok(changed);
        }
    }
}
