//! The lists of the home page. Each is short, ordered, and read from a dedicated index.

use lockstep_domain::catalogue::Game;
use sqlx::types::Uuid;

use super::{Detail, genre_id, views};
use crate::{Result, Tx};

/// Best sellers that can be bought, most popular first, at most 30.
///
/// With a `genre` (slug or name, any case) only those of that genre; for a genre without best sellers, its most popular
/// games. Empty for an unknown genre.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn best_sellers(tx: &mut Tx, genre: Option<&str>) -> Result<Vec<Game>> {
    let ids = if let Some(genre) = genre {
        let Some(genre) = genre_id(tx, genre).await? else {
            return Ok(Vec::new());
        };
        let best = sqlx::query_scalar!(
            "-- store.games.best_sellers_of_genre
            select g.id from games g
             where g.is_best_seller and g.withdrawn_at is null and g.in_stock and not g.is_preorder
               and exists (select 1 from game_genres l where l.game_id = g.id and l.genre_id = $1)
             order by g.popularity desc, g.id desc limit 30",
            genre
        )
        .fetch_all(tx.uncached())
        .await?;
        if best.is_empty() {
            popular_of_genre(tx, genre, 30).await?
        } else {
            best
        }
    } else {
        let best = sqlx::query_scalar!(
            "-- store.games.best_sellers
            select id from games
             where is_best_seller and withdrawn_at is null and in_stock and not is_preorder
             order by popularity desc, id desc limit 30"
        )
        .fetch_all(tx.conn())
        .await?;
        if best.is_empty() {
            // Until the first synchronisation has ended, nothing is known to sell best.
            sqlx::query_scalar!(
                "-- store.games.popular
                select id from games where withdrawn_at is null and in_stock and not is_preorder
                 order by popularity desc, id desc limit 30"
            )
            .fetch_all(tx.conn())
            .await?
        } else {
            best
        }
    };
    views(tx, &ids, Detail::List).await
}

/// The most popular games of a genre (slug or name, any case) that can be bought, at most 40; the best sellers if there
/// are none.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_genre(tx: &mut Tx, genre: &str) -> Result<Vec<Game>> {
    let ids = match genre_id(tx, genre).await? {
        Some(genre) => popular_of_genre(tx, genre, 40).await?,
        None => Vec::new(),
    };
    if ids.is_empty() {
        return best_sellers(tx, None).await;
    }
    views(tx, &ids, Detail::List).await
}

async fn popular_of_genre(tx: &mut Tx, genre: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    // Planned per genre: games of a large one are found quickly by popularity, those of a small one by its links.
    Ok(sqlx::query_scalar!(
        "-- store.games.popular_of_genre
        select g.id from games g
         where g.withdrawn_at is null and g.in_stock and not g.is_preorder
           and exists (select 1 from game_genres l where l.game_id = g.id and l.genre_id = $1)
         order by g.popularity desc, g.id desc limit $2",
        genre,
        limit
    )
    .fetch_all(tx.uncached())
    .await?)
}

/// The latest additions to the catalogue that can be bought, at most 40.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn new_in_catalog(tx: &mut Tx) -> Result<Vec<Game>> {
    let ids = sqlx::query_scalar!(
        "-- store.games.new_in_catalog
        select id from games where withdrawn_at is null and in_stock and not is_preorder
         order by created_at desc, id desc limit 40"
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}

/// Announced games, the next release first, at most 30, including those that cannot be ordered at the moment.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn preorders(tx: &mut Tx) -> Result<Vec<Game>> {
    let ids = sqlx::query_scalar!(
        "-- store.games.preorders
        select id from games where is_preorder and withdrawn_at is null order by release_date, id limit 30"
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}

/// Recently released games that can be bought, latest first, at most 30.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn new_releases(tx: &mut Tx) -> Result<Vec<Game>> {
    let ids = sqlx::query_scalar!(
        "-- store.games.new_releases
        select id from games where is_new and withdrawn_at is null and in_stock and not is_preorder
         order by release_date desc, id desc limit 30"
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}

/// Up to `size` random games that can be bought.
///
/// A small catalogue is shuffled completely. Of a large one random blocks of the table are read, enough for about five
/// times the number of games, and the selection is made from those.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn random_pool(tx: &mut Tx, size: u32) -> Result<Vec<Game>> {
    let ids = sqlx::query_scalar!(
        "-- store.games.random_pool
        select id
          from games tablesample system (
                (select least(100, 500.0 * $1::bigint / greatest(1, sum(buyable)))::real from catalog_totals))
         where withdrawn_at is null and in_stock and not is_preorder
         order by random() limit $1",
        i64::from(size)
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}

/// The games that staff have picked for the home page, in their order, without withdrawn ones.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn picked(tx: &mut Tx) -> Result<Vec<Game>> {
    let ids = sqlx::query_scalar!(
        "-- store.games.picked
        select p.game_id from picked_games p join games g on g.id = p.game_id
         where g.withdrawn_at is null order by p.place"
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}
