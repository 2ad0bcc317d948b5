//! The catalogue.

use lockstep_domain::GameId;
use lockstep_domain::admin::{GameDetail, GameField, GameList, GameRow, Page, PriceStep, TaxonomyRow};
use uuid::Uuid;

use super::bounds;
use super::game_merge::locks_of;
use crate::row::{how_many_of, money_of};
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
    macro_rules! read {
        ($plural:literal, $singular:literal) => {
            sqlx::query_as!(
                Named,
                "-- store.admin.games."
                    + $plural
                    + r#"
                    select t.id, t.name, t.slug, t.description,
                           (select count(*) from game_"#
                    + $plural
                    + " l where l."
                    + $singular
                    + r#"_id = t.id) as "games!"
                      from "#
                    + $plural
                    + " t order by lower(t.name), t.id"
            )
            .fetch_all(tx.conn())
            .await?
        };
    }
    let rows = match taxonomy {
        Taxonomy::Categories => read!("categories", "category"),
        Taxonomy::Genres => read!("genres", "genre"),
        Taxonomy::Platforms => read!("platforms", "platform"),
        Taxonomy::Tags => read!("tags", "tag"),
    };
    Ok(rows
        .into_iter()
        .map(|row| TaxonomyRow {
            id: row.id,
            name: row.name,
            slug: row.slug,
            description: row.description,
            games_count: how_many_of(row.games),
        })
        .collect())
}

/// A name of a taxonomy.
struct Named {
    id: Uuid,
    name: String,
    slug: String,
    description: Option<String>,
    games: i64,
}

/// Listed games, newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, page: Page) -> Result<GameList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        r#"-- store.admin.games.list
        select g.id, g.title, g.slug, g.price, g.original_price, g.in_stock, g.is_preorder, g.image, g.created_at,
               coalesce((select min(p.name) from game_platforms l join platforms p on p.id = l.platform_id
                          where l.game_id = g.id), '') as "platform!",
               coalesce((select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                          where l.game_id = g.id), '') as "genre!",
               (select count(*) from order_items i join order_units u on u.order_id = i.order_id and u.order_item_id = i.id
                 where i.game_id = g.id and u.state = 'DONE') as "sales!"
          from (select * from games where withdrawn_at is null order by created_at desc, id desc limit $1 offset $2) g
         order by g.created_at desc, g.id desc"#,
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.games.count
        select coalesce(sum(listed), 0)::bigint as "listed!" from catalog_totals"#
    )
    .fetch_one(tx.conn())
    .await?;
    let games = rows
        .into_iter()
        .map(|row| {
            Ok(GameRow {
                id: row.id,
                title: row.title,
                slug: row.slug,
                price: money_of(row.price)?,
                original_price: row.original_price.map(money_of).transpose()?,
                platform: row.platform,
                genre: row.genre,
                in_stock: row.in_stock,
                is_preorder: row.is_preorder,
                image_url: row.image,
                sales_count: how_many_of(row.sales),
                created_at: row.created_at,
            })
        })
        .collect::<Result<_>>()?;
    Ok(GameList {
        games,
        paging: page.of(how_many_of(total)),
    })
}

/// A game, listed or withdrawn.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: GameId) -> Result<Option<GameDetail>> {
    let row = sqlx::query!(
        r#"-- store.admin.games.detail
        select g.id, g.title, g.slug, g.description, g.price, g.original_price, g.image, g.publisher, g.developer,
               g.release_date, g.is_preorder, g.in_stock, g.g2a_product_id, g.g2a_stock, g.g2a_price, g.fields_by_hand,
               array(select p.name from game_platforms l join platforms p on p.id = l.platform_id
                      where l.game_id = g.id order by lower(p.name)) as "platforms!",
               array(select n.name from game_genres l join genres n on n.id = l.genre_id
                      where l.game_id = g.id order by lower(n.name)) as "genres!",
               array(select t.name from game_tags l join tags t on t.id = l.tag_id
                      where l.game_id = g.id order by lower(t.name)) as "tags!",
               array(select c.name from game_categories l join categories c on c.id = l.category_id
                      where l.game_id = g.id order by lower(c.name)) as "categories!"
          from games g where g.id = $1"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let price_history = prices(tx, id).await?;
    Ok(Some(GameDetail {
        id: row.id,
        title: row.title,
        slug: row.slug,
        description: row.description,
        price: money_of(row.price)?,
        original_price: row.original_price.map(money_of).transpose()?,
        image_url: row.image,
        platform: row.platforms.first().cloned().unwrap_or_default(),
        platforms: row.platforms,
        genre: row.genres.first().cloned().unwrap_or_default(),
        genres: row.genres,
        tags: row.tags,
        categories: row.categories,
        publisher: row.publisher.unwrap_or_default(),
        developer: row.developer,
        release_date: row.release_date.date_naive(),
        is_preorder: row.is_preorder,
        in_stock: row.in_stock,
        g2a_product_id: row.g2a_product_id,
        g2a_stock: row.g2a_stock,
        g2a_price: row.g2a_price.map(money_of).transpose()?,
        locked_fields: locks_of(&row.fields_by_hand).into_iter().map(GameField::name).collect(),
        price_history,
    }))
}

/// The newest changes of a game's price, newest first.
async fn prices(tx: &mut Tx, id: GameId) -> Result<Vec<PriceStep>> {
    let rows = sqlx::query!(
        "-- store.admin.games.prices
        select at, previous_price, price, g2a_price from price_changes where game_id = $1 order by id desc limit 50",
        id.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(PriceStep {
                at: row.at,
                previous_price: money_of(row.previous_price)?,
                price: money_of(row.price)?,
                g2a_price: row.g2a_price.map(money_of).transpose()?,
            })
        })
        .collect()
}
