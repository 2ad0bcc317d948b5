//! Reads the catalogue: single games, pages of games, search, the lists of the home page, and the available filters.
//!
//! Every list is read in two steps: first the ids of the games in order, by an index and bounded; then the rows of just
//! those games. The cost of a page therefore does not grow with the catalogue. Withdrawn games are in no list, but can
//! still be read by id or slug, because orders and old links refer to them.

mod composed;
mod editions;
mod facets;
mod feed;
mod home;
mod reductions;
mod similar;
mod sitemap;

use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;
use sqlx::types::Uuid;

use crate::row::money_of;
use crate::{Result, Store, Tx};

pub use composed::{MAX_HITS, MAX_LISTED, facet_counts, page, search, suggest};
pub use editions::{MOST_EDITIONS, editions};
pub use facets::{collections, filter_options, genres, last_synced, platforms};
pub use feed::on_sale;
pub use home::{best_sellers, by_genre, new_in_catalog, new_releases, picked, preorders, random_pool};
pub(crate) use reductions::Reductions;
pub use similar::similar;
pub use sitemap::{Address, addresses, listed};

/// The game with this id, withdrawn or not.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_id(tx: &mut Tx, id: GameId) -> Result<Option<Game>> {
    Ok(views(tx, &[id.0], Detail::Full).await?.pop())
}

/// The game with this slug, or else the last one that had it earlier, withdrawn or not. For an earlier slug the `slug`
/// of the result differs from the argument.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_slug(tx: &mut Tx, slug: &str) -> Result<Option<Game>> {
    let id = sqlx::query_scalar!(
        "-- store.games.by_slug
        select coalesce((select id from games where slug = $1), (select game_id from game_slugs where slug = $1))",
        slug
    )
    .fetch_one(tx.conn())
    .await?;
    match id {
        Some(id) => by_id(tx, GameId(id)).await,
        None => Ok(None),
    }
}

/// The uploaded picture of a game with this id, WebP; `None` if there is none (any more).
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn picture(store: &Store, id: Uuid) -> Result<Option<Vec<u8>>> {
    let image = sqlx::query_scalar!(
        "-- store.games.picture\nselect image from game_pictures where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(image.flatten())
}

/// Which columns of a game to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Those that lists show: all but the system requirements.
    List,
    /// Everything.
    Full,
}

/// The games `ids`, in that order, without unknown ids.
async fn views(tx: &mut Tx, ids: &[Uuid], detail: Detail) -> Result<Vec<Game>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"-- store.games.views
        select g.id, g.title, g.slug, g.description, g.short_description, g.price, g.original_price, g.discount,
               g.lowest_price_30d, g.currency, g.image, g.images,
               case when $2 then (select p.alt from game_pictures p where p.game_id = g.id and p.address = g.image and p.alt <> '') end as image_alt,
               case when $2 and exists (select from game_pictures p where p.game_id = g.id and p.alt <> '')
                    then array(select coalesce(p.alt, '') from unnest(g.images) with ordinality a (address, place)
                                 left join game_pictures p on p.game_id = g.id and p.address = a.address order by a.place)
                    end as image_alts,
               g.in_stock, g.multiplayer, g.is_best_seller, g.is_new, g.is_preorder,
               g.release_date, g.release_date_known, g.metacritic_score, g.user_rating, g.rating_critic, g.rating_user, g.age_rating,
               g.activation_service, g.region, g.publisher, g.developer, g.languages,
               array(select x.name from game_platforms l join platforms x on x.id = l.platform_id
                      where l.game_id = g.id order by lower(x.name), x.name) as "platforms!",
               array(select x.name from game_genres l join genres x on x.id = l.genre_id
                      where l.game_id = g.id order by lower(x.name), x.name) as "genres!",
               array(select x.name from game_tags l join tags x on x.id = l.tag_id
                      where l.game_id = g.id order by lower(x.name), x.name) as "tags!",
               array(select x.name from game_categories l join categories x on x.id = l.category_id
                      where l.game_id = g.id order by lower(x.name), x.name) as "categories!",
               case when $2 then g.requirements end as requirements
          from unnest($1::uuid[]) with ordinality as wanted (id, place) join games g on g.id = wanted.id
         order by wanted.place"#,
        ids,
        detail == Detail::Full
    )
    .fetch_all(tx.conn())
    .await?;
    let reductions = tx.reductions().clone();
    rows.into_iter()
        .map(|row| {
            let price = money_of(row.price)?;
            let reduction = reductions.of(price, row.original_price, row.discount, row.lowest_price_30d)?;
            Ok(Game {
                id: GameId(row.id),
                title: row.title,
                slug: row.slug,
                description: row.description,
                short_description: row.short_description,
                price,
                original_price: reduction.original_price,
                discount: reduction.discount,
                lowest_price_30d: reduction.lowest,
                currency: row.currency,
                image: row.image,
                images: row.images,
                image_alt: row.image_alt,
                image_alts: row
                    .image_alts
                    .filter(|texts| texts.iter().any(|text| !text.is_empty()))
                    .unwrap_or_default(),
                in_stock: row.in_stock,
                multiplayer: row.multiplayer,
                is_best_seller: row.is_best_seller,
                is_new: row.is_new,
                is_preorder: row.is_preorder,
                release_date: row.release_date,
                release_date_known: row.release_date_known,
                metacritic_score: row.metacritic_score,
                user_rating: row.user_rating,
                rating_critic: row.rating_critic,
                rating_user: row.rating_user,
                age_rating: row.age_rating,
                activation_service: row.activation_service,
                region: row.region,
                publisher: row.publisher,
                developer: row.developer,
                languages: row.languages,
                platforms: row.platforms,
                genres: row.genres,
                tags: row.tags,
                categories: row.categories,
                requirements: row.requirements,
            })
        })
        .collect()
}

/// The genre with this slug, or this name in any case.
async fn genre_id(tx: &mut Tx, genre: &str) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!(
        "-- store.games.genre_id
        select id from genres where slug = lower($1) or lower(name) = lower($1)
         order by slug = lower($1) desc, id limit 1",
        genre
    )
    .fetch_optional(tx.conn())
    .await?)
}
