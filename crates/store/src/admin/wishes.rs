//! What users wish for, in numbers. Guests' wishlists are not counted.

use lockstep_domain::admin::{DayOfWishes, WishedGame, WishedGameBrief, WishlistStatistics};
use rust_decimal::Decimal;

use crate::row::how_many_of;
use crate::{Result, Tx};

/// Number of wishlists and of their games, the ten games that most users wish for, and the additions of the last 30 days
/// that are still there.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn statistics(tx: &mut Tx) -> Result<WishlistStatistics> {
    let sums = sqlx::query!(
        r#"-- store.admin.wishes.sums
        select count(*) as "lists!", coalesce(sum(l.items), 0)::bigint as "items!"
          from (select count(*) as items from wishlist w
                 where not exists (select from guest_sessions s where s.id = w.user_id) group by w.user_id) l"#
    )
    .fetch_one(tx.conn())
    .await?;
    let most = sqlx::query!(
        r#"-- store.admin.wishes.most
        select g.id, g.title, g.slug, m.wishes as "wishes!"
          from (select w.game_id, count(*) as wishes from wishlist w
                 where not exists (select from guest_sessions s where s.id = w.user_id) group by w.game_id order by wishes desc, w.game_id limit 10) m
          join games g on g.id = m.game_id order by m.wishes desc, g.id"#
    )
    .fetch_all(tx.conn())
    .await?;
    let days = sqlx::query!(
        r#"-- store.admin.wishes.days
        with added as materialized (
            select (w.added_at at time zone 'UTC')::date as day, count(*) as wishes
              from wishlist w
             where not exists (select from guest_sessions s where s.id = w.user_id) and w.added_at >= now() - interval '31 days' group by 1)
        select d.day::date as "day!", coalesce(a.wishes, 0) as "count!"
          from generate_series((now() at time zone 'UTC')::date - 29, (now() at time zone 'UTC')::date, interval '1 day') d (day)
          left join added a on a.day = d.day::date
         order by d.day"#
    )
    .fetch_all(tx.conn())
    .await?;
    let (lists, items) = (how_many_of(sums.lists), how_many_of(sums.items));
    let average = Decimal::from(items)
        .checked_div(Decimal::from(lists))
        .unwrap_or_default();
    Ok(WishlistStatistics {
        total_wishlists: lists,
        total_items: items,
        average_items_per_wishlist: average.round_dp(2),
        most_wished_games: most
            .into_iter()
            .map(|row| WishedGame {
                game_id: row.id,
                game: WishedGameBrief {
                    id: row.id,
                    title: row.title,
                    slug: row.slug,
                },
                wishlist_count: how_many_of(row.wishes),
            })
            .collect(),
        wishlist_growth: days
            .into_iter()
            .map(|row| DayOfWishes {
                date: row.day,
                count: how_many_of(row.count),
            })
            .collect(),
    })
}
