//! The catalogue.

use chrono::{DateTime, Utc};
use lockstep_domain::GameId;
use lockstep_domain::admin::{GameDetail, GameList, GameRow, Page, TaxonomyRow};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::bounds;
use crate::row::{how_many, money, money_or_null};
use crate::{Result, Tx};

/// A taxonomy of games.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taxonomy {
    /// `categories`.
    Categories,
    /// `genres`.
    Genres,
    /// `platforms`.
    Platforms,
    /// `tags`.
    Tags,
}

/// All names of a taxonomy with their number of games, in alphabetical order.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn taxonomy(tx: &mut Tx, taxonomy: Taxonomy) -> Result<Vec<TaxonomyRow>> {
    let statement = match taxonomy {
        Taxonomy::Categories => {
            "-- store.admin.games.categories
            select t.id, t.name, t.slug, (select count(*) from game_categories l where l.category_id = t.id) as games
              from categories t order by lower(t.name), t.id"
        }
        Taxonomy::Genres => {
            "-- store.admin.games.genres
            select t.id, t.name, t.slug, (select count(*) from game_genres l where l.genre_id = t.id) as games
              from genres t order by lower(t.name), t.id"
        }
        Taxonomy::Platforms => {
            "-- store.admin.games.platforms
            select t.id, t.name, t.slug, (select count(*) from game_platforms l where l.platform_id = t.id) as games
              from platforms t order by lower(t.name), t.id"
        }
        Taxonomy::Tags => {
            "-- store.admin.games.tags
            select t.id, t.name, t.slug, (select count(*) from game_tags l where l.tag_id = t.id) as games
              from tags t order by lower(t.name), t.id"
        }
    };
    let rows = sqlx::query(statement).fetch_all(tx.conn()).await?;
    rows.iter()
        .map(|row| {
            Ok(TaxonomyRow {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                slug: row.try_get("slug")?,
                games_count: how_many(row, "games")?,
            })
        })
        .collect()
}

/// Listed games, newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, page: Page) -> Result<GameList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query(
        "-- store.admin.games.list
        select g.id, g.title, g.slug, g.price, g.original_price, g.in_stock, g.is_preorder, g.image, g.created_at,
               coalesce((select min(p.name) from game_platforms l join platforms p on p.id = l.platform_id
                          where l.game_id = g.id), '') as platform,
               coalesce((select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                          where l.game_id = g.id), '') as genre,
               (select count(*) from order_items i join order_units u on u.order_id = i.order_id and u.order_item_id = i.id
                 where i.game_id = g.id and u.state = 'DONE') as sales
          from (select * from games where withdrawn_at is null order by created_at desc, id desc limit $1 offset $2) g
         order by g.created_at desc, g.id desc",
    )
    .bind(limit)
    .bind(offset)
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query(
        "-- store.admin.games.count
        select coalesce(sum(listed), 0)::bigint from catalog_totals",
    )
    .fetch_one(tx.conn())
    .await?;
    let games = rows
        .iter()
        .map(|row| {
            Ok(GameRow {
                id: row.try_get("id")?,
                title: row.try_get("title")?,
                slug: row.try_get("slug")?,
                price: money(row, "price")?,
                original_price: money_or_null(row, "original_price")?,
                platform: row.try_get("platform")?,
                genre: row.try_get("genre")?,
                in_stock: row.try_get("in_stock")?,
                is_preorder: row.try_get("is_preorder")?,
                image_url: row.try_get("image")?,
                sales_count: how_many(row, "sales")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(GameList {
        games,
        paging: page.of(how_many(&total, 0)?),
    })
}

/// A game, listed or withdrawn.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: GameId) -> Result<Option<GameDetail>> {
    let row = sqlx::query(
        "-- store.admin.games.detail
        select g.id, g.title, g.slug, g.description, g.price, g.original_price, g.image, g.publisher, g.developer,
               g.release_date, g.is_preorder, g.in_stock, g.g2a_product_id, g.g2a_stock,
               array(select p.name from game_platforms l join platforms p on p.id = l.platform_id
                      where l.game_id = g.id order by lower(p.name)) as platforms,
               array(select n.name from game_genres l join genres n on n.id = l.genre_id
                      where l.game_id = g.id order by lower(n.name)) as genres,
               array(select t.name from game_tags l join tags t on t.id = l.tag_id
                      where l.game_id = g.id order by lower(t.name)) as tags,
               array(select c.name from game_categories l join categories c on c.id = l.category_id
                      where l.game_id = g.id order by lower(c.name)) as categories
          from games g where g.id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    row.as_ref().map(game).transpose()
}

fn game(row: &PgRow) -> Result<GameDetail> {
    let (platforms, genres): (Vec<String>, Vec<String>) = (row.try_get("platforms")?, row.try_get("genres")?);
    Ok(GameDetail {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        slug: row.try_get("slug")?,
        description: row.try_get("description")?,
        price: money(row, "price")?,
        original_price: money_or_null(row, "original_price")?,
        image_url: row.try_get("image")?,
        platform: platforms.first().cloned().unwrap_or_default(),
        platforms,
        genre: genres.first().cloned().unwrap_or_default(),
        genres,
        tags: row.try_get("tags")?,
        categories: row.try_get("categories")?,
        publisher: row.try_get::<Option<String>, _>("publisher")?.unwrap_or_default(),
        developer: row.try_get("developer")?,
        release_date: row.try_get::<DateTime<Utc>, _>("release_date")?.date_naive(),
        is_preorder: row.try_get("is_preorder")?,
        in_stock: row.try_get("in_stock")?,
        g2a_product_id: row.try_get("g2a_product_id")?,
        g2a_stock: row.try_get("g2a_stock")?,
    })
}
