//! Available filters and collections of the catalogue.
//!
//! Distinct values are found by skipping along an index from one to the next, so that the cost depends on the number of
//! values and not on that of games.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lockstep_domain::catalogue::{Collection, CollectionType, FilterOptions, Game, NameSlug};
use lockstep_domain::slug::slugify;
use sqlx::types::Uuid;

use super::{Detail, views};
use crate::{Result, Tx};

// `order by … limit 1` on links makes the planner read the first link from the index; otherwise it would scan a large
// genre's links from the start of the table.

/// Maximum number of values listed per filter.
pub(super) const MAX_VALUES: i64 = 10_000;

/// Genres of listed games, by name.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn genres(tx: &mut Tx) -> Result<Vec<NameSlug>> {
    Ok(sqlx::query_as!(
        NameSlug,
        "-- store.games.genres
        select x.name, x.slug from genres x
         where (select true from game_genres l join games g on g.id = l.game_id
                 where l.genre_id = x.id and g.withdrawn_at is null order by l.game_id limit 1)
         order by lower(x.name), x.name"
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Platforms of listed games, by name.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn platforms(tx: &mut Tx) -> Result<Vec<NameSlug>> {
    Ok(sqlx::query_as!(
        NameSlug,
        "-- store.games.platforms
        select x.name, x.slug from platforms x
         where (select true from game_platforms l join games g on g.id = l.game_id
                 where l.platform_id = x.id and g.withdrawn_at is null order by l.game_id limit 1)
         order by lower(x.name), x.name"
    )
    .fetch_all(tx.conn())
    .await?)
}

/// The distinct values of a column of listed games, in alphabetical order, with one spelling each.
macro_rules! values_of {
    ($tx:ident, $column:literal) => {
        sqlx::query_scalar!(
            "-- store.games.values_of."
                + $column
                + "
            with recursive found as (
                (select lower("
                + $column
                + ") as low, "
                + $column
                + " as spelt from games
                  where withdrawn_at is null and lower("
                + $column
                + ") is not null
                  order by lower("
                + $column
                + "), "
                + $column
                + " limit 1)
                union all
                select next.low, next.spelt
                  from found cross join lateral (
                       select lower("
                + $column
                + ") as low, "
                + $column
                + " as spelt from games
                        where withdrawn_at is null and lower("
                + $column
                + ") > found.low
                        order by lower("
                + $column
                + "), "
                + $column
                + r#" limit 1) next)
            select spelt as "spelt!" from found where spelt <> '' limit $1"#,
            MAX_VALUES
        )
        .fetch_all($tx.conn())
        .await?
    };
}

/// All values that the catalogue can be filtered by.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn filter_options(tx: &mut Tx) -> Result<FilterOptions> {
    let multiplayer = sqlx::query_scalar!(
        r#"-- store.games.multiplayer_values
        select v as "v!" from (values (true, exists (select 1 from games where multiplayer and withdrawn_at is null)),
                              (false, exists (select 1 from games where not multiplayer and withdrawn_at is null)))
                      as options (v, there)
         where there order by v desc"#
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(FilterOptions {
        genres: genres(tx).await?,
        platforms: platforms(tx).await?,
        activation_services: values_of!(tx, "activation_service"),
        regions: values_of!(tx, "region"),
        publishers: values_of!(tx, "publisher"),
        multiplayer,
    })
}

/// The five genres and the five publishers that are most frequent among the 2,000 most popular games that can be
/// bought, each with its most popular games, at most 40.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn collections(tx: &mut Tx) -> Result<Vec<Collection>> {
    let rows = sqlx::query!(
        r#"-- store.games.collections
        with top as materialized (
            select id, publisher, row_number() over (order by popularity desc, id desc) as place
              from games where withdrawn_at is null and in_stock and not is_preorder
             order by popularity desc, id desc limit 2000),
        genre as (
            select x.slug as value, x.name as title, count(*) as games,
                   (array_agg(top.id order by top.place))[1:40] as ids
              from top join game_genres l on l.game_id = top.id join genres x on x.id = l.genre_id
             group by x.id having count(*) >= 2 order by 3 desc, 1 limit 5),
        publisher as (
            select publisher as value, publisher as title, count(*) as games,
                   (array_agg(id order by place))[1:40] as ids
              from top where publisher <> ''
             group by publisher having count(*) >= 2 order by 3 desc, 1 limit 5)
        select true as "is_genre!", value as "value!", title as "title!", games, ids as "ids!" from genre
        union all
        select false, value, title, games, ids from publisher
        order by "is_genre!" desc, games desc, "value!""#
    )
    .fetch_all(tx.conn())
    .await?;
    let mut wanted: Vec<Uuid> = rows.iter().flat_map(|row| &row.ids).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let games: HashMap<Uuid, Game> = views(tx, &wanted, Detail::List)
        .await?
        .into_iter()
        .map(|game| (game.id.0, game))
        .collect();
    Ok(rows
        .into_iter()
        .map(|row| Collection {
            id: if row.is_genre {
                format!("genre-{}", row.value)
            } else {
                format!("publisher-{}", slugify(&row.value))
            },
            title: row.title,
            kind: if row.is_genre {
                CollectionType::Genre
            } else {
                CollectionType::Publisher
            },
            value: row.value,
            games: row.ids.iter().filter_map(|id| games.get(id).cloned()).collect(),
        })
        .collect())
}

/// When a full or stock synchronisation was last completed: the maximum age of the shop's prices and stock. `None`
/// before the first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn last_synced(tx: &mut Tx) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "-- store.games.last_synced
        select max(finished_at) from sync_runs where status = 'COMPLETED' and kind in ('FULL', 'STOCK')"
    )
    .fetch_one(tx.conn())
    .await?)
}
