//! Games and what they are filed under.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::runs::{Run, note};
use crate::{Result, Store, StoreError, Tx};

/// A game of the source, in the form of its row here.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of the table")]
#[expect(missing_docs, reason = "the columns of `games` (docs/data-model.md)")]
pub struct Game {
    /// Its id in the source.
    pub foreign_id: String,
    pub id: Uuid,
    pub title: String,
    pub slug: String,
    pub description: String,
    pub short_description: Option<String>,
    pub price: Decimal,
    pub original_price: Option<Decimal>,
    pub discount: i32,
    pub image: String,
    pub images: Vec<String>,
    pub in_stock: bool,
    pub g2a_product_id: Option<String>,
    pub g2a_last_sync: Option<DateTime<Utc>>,
    pub release_date: DateTime<Utc>,
    pub metacritic_score: Option<i32>,
    pub user_rating: Option<Decimal>,
    pub age_rating: Option<String>,
    pub multiplayer: bool,
    pub activation_service: Option<String>,
    pub region: Option<String>,
    pub publisher: Option<String>,
    pub is_best_seller: bool,
    pub is_new: bool,
    pub is_preorder: bool,
    pub rating_critic: Option<i32>,
    pub rating_user: Option<i32>,
    pub languages: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// What stands here for the games of a batch.
#[derive(Debug, Default)]
pub struct Known {
    /// The id here, by the id in the source.
    pub ids: HashMap<String, Uuid>,
    /// How many rows were written.
    pub taken: u64,
    /// Ids in the source of games that stand for one that was here before, with the same G2A product.
    pub matched: Vec<String>,
}

/// Stores games. One whose G2A product is here already stands for that game; one whose slug is taken gets another one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_games(store: &Store, run: Run, games: &[Game]) -> Result<Known> {
    if games.is_empty() {
        return Ok(Known::default());
    }
    let rows = super::rows(games)?;
    store
        .tx("imports.games", |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                // Those that were brought before, then those that G2A's synchronisation has made.
                let matched = sqlx::query!(
                    r#"-- store.imports.games.match
                    select n.foreign_id as "foreign_id!", g.id
                      from jsonb_to_recordset($1) as n (foreign_id text, g2a_product_id text, id uuid)
                      join games g on g.g2a_product_id = n.g2a_product_id and g.id <> n.id
                     where not exists (select from import_rows i where i.source = $2 and i.kind = 'game'
                                          and i.foreign_id = n.foreign_id)"#,
                    &rows,
                    run.source.name()
                )
                .fetch_all(tx.conn())
                .await?;
                let mut known = Known::default();
                for row in matched {
                    note(tx, run, "game", &row.foreign_id, row.id, false).await?;
                    known.matched.push(row.foreign_id);
                }
                let taken = sqlx::query!(
                    "-- store.imports.games
                    with n as (
                        select * from jsonb_to_recordset($1) as n (
                            foreign_id text, id uuid, title text, slug text, description text, short_description text,
                            price numeric, original_price numeric, discount integer, image text, images text[],
                            in_stock boolean, g2a_product_id text, g2a_last_sync timestamptz, release_date timestamptz,
                            metacritic_score integer, user_rating numeric, age_rating text, multiplayer boolean,
                            activation_service text, region text, publisher text, is_best_seller boolean, is_new boolean,
                            is_preorder boolean, rating_critic integer, rating_user integer, languages text[],
                            created_at timestamptz, withdrawn_at timestamptz)
                         where not exists (select from import_rows i where i.source = $2 and i.kind = 'game'
                                              and i.foreign_id = n.foreign_id)),
                    made as (
                        insert into games (id, title, slug, description, short_description, price, original_price, discount,
                            image, images, in_stock, g2a_product_id, g2a_stock, g2a_last_sync, release_date, metacritic_score,
                            user_rating, age_rating, multiplayer, activation_service, region, publisher, is_best_seller,
                            is_new, is_preorder, rating_critic, rating_user, languages, created_at, withdrawn_at)
                        select id, title,
                               case when exists (select from games g where g.slug = n.slug)
                                      or row_number() over (partition by n.slug order by n.id) > 1
                                    then n.slug || '-' || left(n.id::text, 8) else n.slug end,
                               description, short_description, price, original_price, discount, image, images,
                               in_stock, g2a_product_id, in_stock and g2a_product_id is not null, g2a_last_sync,
                               release_date, metacritic_score, user_rating, age_rating, multiplayer, activation_service,
                               region, publisher, is_best_seller, is_new, is_preorder, rating_critic, rating_user,
                               array(select distinct l from unnest(n.languages) l where array[l] <@ iso_639_1() order by l),
                               created_at, withdrawn_at
                          from n
                        on conflict (id) do nothing returning id)
                    insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
                    select $2, 'game', n.foreign_id, n.id, $3, true from n join made on made.id = n.id
                    on conflict do nothing",
                    &rows,
                    run.source.name(),
                    run.id
                )
                .execute(tx.conn())
                .await?;
                known.taken = taken.rows_affected();
                let ids = sqlx::query!(
                    "-- store.imports.games.ids
                    select foreign_id, own_id from import_rows where source = $1 and kind = 'game'
                       and foreign_id in (select n ->> 'foreign_id' from jsonb_array_elements($2) n)",
                    run.source.name(),
                    &rows
                )
                .fetch_all(tx.conn())
                .await?;
                known.ids = ids.into_iter().map(|row| (row.foreign_id, row.own_id)).collect();
                Ok(known)
            })
        })
        .await
}

/// The four ways of filing a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the tables' names")]
pub enum TermKind {
    Category,
    Genre,
    Platform,
    Tag,
}

/// A game and what it is filed under, by their ids here.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the columns of `game_genres` and its like")]
pub struct GameTerm {
    pub game: Uuid,
    pub term: Uuid,
}

macro_rules! terms {
    ($($kind:ident: $table:literal, $links:literal, $column:literal, $statement:literal;)*) => {
        async fn find_term(tx: &mut Tx, kind: TermKind, slug: &str, name: &str) -> Result<Option<Uuid>> {
            Ok(match kind {
                $(TermKind::$kind => sqlx::query_scalar!(
                    "-- store.imports.find_" + $statement + "\nselect id from " + $table
                        + " where slug = $1 or lower(name) = lower($2) order by (slug = $1) desc limit 1",
                    slug, name
                ).fetch_optional(tx.conn()).await?,)*
            })
        }

        async fn insert_term(tx: &mut Tx, kind: TermKind, id: Uuid, slug: &str, name: &str) -> Result<()> {
            match kind {
                $(TermKind::$kind => sqlx::query!(
                    "-- store.imports.put_" + $statement + "\ninsert into " + $table + " (id, slug, name) values ($1, $2, $3)",
                    id, slug, name
                ).execute(tx.conn()).await?,)*
            };
            Ok(())
        }

        /// Files games. Returns how many rows are new.
        ///
        /// # Errors
        /// [`StoreError::Unavailable`].
        pub async fn put_links(store: &Store, kind: TermKind, links: &[GameTerm]) -> Result<u64> {
            let rows = super::rows(links)?;
            Ok(match kind {
                $(TermKind::$kind => sqlx::query!(
                    "-- store.imports.link_" + $statement + "\ninsert into " + $links + " (game_id, " + $column + ")
                     select game, term from jsonb_to_recordset($1) as n (game uuid, term uuid) on conflict do nothing",
                    &rows
                ).execute(store.alone()).await?.rows_affected(),)*
            })
        }
    };
}

terms! {
    Category: "categories", "game_categories", "category_id", "category";
    Genre: "genres", "game_genres", "genre_id", "genre";
    Platform: "platforms", "game_platforms", "platform_id", "platform";
    Tag: "tags", "game_tags", "tag_id", "tag";
}

/// Stores what games are filed under, or finds the one with this slug or name. Returns its id here, and whether it is new.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_term(
    store: &Store,
    run: Run,
    kind: TermKind,
    foreign: &str,
    id: Uuid,
    (slug, name): (&str, &str),
) -> Result<(Uuid, bool)> {
    // Two kinds may use one id.
    let texts = Arc::new((format!("{kind:?}/{foreign}"), slug.to_owned(), name.to_owned()));
    store
        .tx("imports.term", |tx| {
            let texts = Arc::clone(&texts);
            Box::pin(async move {
                let (foreign, slug, name) = &*texts;
                let found = find_term(tx, kind, slug, name).await?;
                if found.is_none() {
                    insert_term(tx, kind, id, slug, name).await?;
                }
                let own = found.unwrap_or(id);
                note(tx, run, "term", foreign, own, found.is_none()).await?;
                Ok::<_, StoreError>((own, found.is_none()))
            })
        })
        .await
}

/// What the supplier asks for products, as the last synchronisation has read it, EUR.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn supplier_costs(store: &Store, products: &[String]) -> Result<HashMap<String, Decimal>> {
    let rows = sqlx::query!(
        r#"-- store.imports.supplier_costs
        select g2a_product_id as "product!", supplier_price as "price!" from games
         where g2a_product_id = any ($1) and supplier_price is not null"#,
        products
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.product, row.price)).collect())
}
