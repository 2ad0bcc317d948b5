//! Writes G2A's products as games. Rows that would not change are neither written nor locked.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use lockstep_domain::price::Pricing;
use lockstep_domain::slug::slugify;
use lockstep_domain::{GameId, Money};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::kept::{self, Merged};
use super::listing::Listing;
use super::priced::Prices;
use super::taxonomy::{TAXONOMIES, TermCounts};
use super::{Fence, asked};
use crate::error::Result;
use crate::price_rules::{self, PriceReason};
use crate::{Store, Tx};

/// Which columns of a known game are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All columns.
    Everything,
    /// Price and stock. A new product is still created with all columns.
    PriceAndStock,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// New games.
    pub created: i32,
    /// Changed games.
    pub updated: i32,
    /// Games that needed no change.
    pub unchanged: i32,
    /// New terms.
    pub terms: TermCounts,
}

/// A statement that reads listings from `$1`, in two parts: what is before and after the columns of a [`Listing`], as
/// PostgreSQL reads them from its JSON form. `$more` are further columns.
macro_rules! from_listings {
    ($query:ident, $before:literal, $more:literal, $after:literal, $listings:expr) => {
        sqlx::$query!(
            $before
                + "
          from jsonb_to_recordset($1) as i (
               g2a_product_id text, title text, description text, short_description text, price numeric(12,2),
               original_price numeric(12,2), discount integer, supplier_price numeric(12,4),
               supplier_retail_price numeric(12,4), image text, images text[], depth smallint,
               release_date timestamptz, age_rating text, multiplayer boolean, activation_service text, region text,
               publisher text, developer text, languages text[], requirements jsonb"
                + $more
                + ")"
                + $after,
            Json($listings) as _
        )
    };
}

/// Writes listings: new products become games, known ones are updated where they differ, others are not touched.
///
/// Idempotent. Of several listings of one product the last counts. `pricing` are the settings that price rules start from;
/// a product for which the rules have no price stays as it is.
///
/// # Errors
/// [`StoreError::Fenced`](crate::StoreError::Fenced) when a newer run has begun;
/// [`StoreError::Rule`](crate::StoreError::Rule) when a row violates a constraint, and then nothing is written.
pub async fn write(
    tx: &mut Tx,
    fence: &Fence,
    listings: &[Listing],
    scope: Scope,
    pricing: &Pricing,
) -> Result<Written> {
    fence.hold(tx).await?;
    let rules = price_rules::hold(tx).await?;
    price_rules::because(tx, PriceReason::Supplier).await?;
    let latest: HashMap<&str, &Listing> = listings.iter().map(|l| (l.g2a_product_id.as_str(), l)).collect();
    let mut listings: Vec<&Listing> = latest.into_values().collect();
    let all = listings.len();
    let excluded = excluded(tx, &listings).await?;
    listings.retain(|listing| !excluded.contains(&listing.g2a_product_id));
    listings.sort_unstable_by(|a, b| a.g2a_product_id.cmp(&b.g2a_product_id));
    if listings.is_empty() {
        return Ok(Written {
            unchanged: count(all),
            ..Written::default()
        });
    }
    let ids: Vec<&str> = listings.iter().map(|l| l.g2a_product_id.as_str()).collect();
    let known = game_ids(tx, &ids).await?;
    let prices = Prices::read_locked(tx, &rules, pricing, &listings, &known, scope == Scope::Everything).await?;
    let repriced = prices.applied(&listings);
    if let Some(repriced) = &repriced {
        listings = repriced.iter().collect();
    }
    let (old, new): (Vec<&Listing>, Vec<&Listing>) =
        listings.iter().partition(|l| known.contains_key(&l.g2a_product_id));

    let raised = asked::raise(tx, &old, &prices).await?;
    let old: Vec<&Listing> = old
        .into_iter()
        .map(|listing| {
            raised
                .get(&listing.g2a_product_id)
                .map_or(listing, |raised| &raised.listing)
        })
        .collect();
    let merged = kept::merge(tx, &old, &raised).await?;
    let mut changed: HashSet<Uuid> = match scope {
        Scope::Everything => update_everything(tx, &merged).await?,
        Scope::PriceAndStock => update_price_and_stock(tx, &merged).await?,
    };
    let created = insert(tx, &new).await?;

    // Links are written for every product, or in a stock check only for new ones.
    let linked: Vec<(Uuid, &Listing)> = listings
        .iter()
        .filter_map(|l| {
            let known = known.get(&l.g2a_product_id).copied();
            let known = known.filter(|_| scope == Scope::Everything);
            Some((known.or_else(|| created.get(&l.g2a_product_id).copied())?, *l))
        })
        .collect();
    let mut terms = TermCounts::default();
    if !linked.is_empty() {
        for taxonomy in &TAXONOMIES {
            let made = taxonomy.link(tx, &linked, &mut changed).await?;
            *(taxonomy.count)(&mut terms) += made;
        }
    }
    let updated = old
        .iter()
        .filter(|l| known.get(&l.g2a_product_id).is_some_and(|id| changed.contains(id)));
    let updated = count(updated.count());
    Ok(Written {
        created: count(created.len()),
        updated,
        unchanged: count(all) - count(created.len()) - updated,
        terms,
    })
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The prices that a pass would give these listings by the price rules, by G2A's id, without those that the rules have no
/// price for. Nothing is written: what staff have set and what an order has shown are not looked at.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn prices(store: &Store, listings: &[Listing], pricing: &Pricing) -> Result<HashMap<String, Money>> {
    let (listings, pricing) = (listings.to_vec(), *pricing);
    let read = store.read(|tx| {
        Box::pin(async move {
            let listings: Vec<&Listing> = listings.iter().collect();
            let rules = price_rules::current(tx).await?;
            let ids: Vec<&str> = listings.iter().map(|l| l.g2a_product_id.as_str()).collect();
            let known = game_ids(tx, &ids).await?;
            let prices = Prices::read(tx, &rules, &pricing, &listings, &known, true).await?;
            let repriced = prices.applied(&listings);
            let priced = repriced.as_ref().map_or(listings, |repriced| repriced.iter().collect());
            Ok(priced
                .into_iter()
                .map(|listing| (listing.g2a_product_id.clone(), listing.price))
                .collect())
        })
    });
    let read: Result<_> = read.await;
    Ok(read?.value)
}

async fn game_ids(tx: &mut Tx, products: &[&str]) -> Result<HashMap<String, Uuid>> {
    let games = sqlx::query!(
        r#"-- store.sync.game_ids
        select g2a_product_id as "product!", id from games where g2a_product_id = any($1)"#,
        products as _
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(games.into_iter().map(|game| (game.product, game.id)).collect())
}

/// The products among these that staff have deleted from the shop.
async fn excluded(tx: &mut Tx, listings: &[&Listing]) -> Result<HashSet<String>> {
    let products: Vec<&str> = listings.iter().map(|l| l.g2a_product_id.as_str()).collect();
    let excluded = sqlx::query_scalar!(
        r#"-- store.sync.excluded
        select g2a_product_id as "product!" from excluded_products where g2a_product_id = any($1)"#,
        products as _
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(excluded.into_iter().collect())
}

/// A known release date is kept; otherwise it is the day on which the game was first seen: a missing date at G2A means
/// nothing. The slug never changes: URLs are stable.
async fn update_everything(tx: &mut Tx, listings: &[Merged<'_>]) -> Result<HashSet<Uuid>> {
    Ok(from_listings!(
        query_scalar,
        "-- store.sync.update_everything
        update games g
           set title = i.title, description = i.description, short_description = i.short_description,
               price = i.price, original_price = i.original_price, discount = i.discount,
               supplier_price = i.supplier_price, supplier_retail_price = i.supplier_retail_price,
               image = coalesce(i.image, '/api/covers/' || g.slug || '.svg'), images = i.images,
               in_stock = i.depth > 0, g2a_stock = i.depth > 0,
               popularity = g.popularity - g.g2a_depth + i.depth, g2a_depth = i.depth,
               release_date = coalesce(i.release_date, g.release_date),
               release_date_known = i.release_date is not null or g.release_date_known,
               age_rating = i.age_rating, multiplayer = i.multiplayer, activation_service = i.activation_service,
               region = i.region, publisher = i.publisher, developer = i.developer, languages = i.languages,
               requirements = i.requirements, g2a_price = i.g2a_price, withdrawn_at = null, g2a_last_sync = now()",
        ", fields_by_hand text[], g2a_price numeric(12,2)",
        "
         where g.g2a_product_id = i.g2a_product_id and g.fields_by_hand = i.fields_by_hand
           and (g.title, g.description, g.short_description, g.price, g.original_price, g.discount, g.image, g.images,
                g.in_stock, g.g2a_stock, g.g2a_depth, g.release_date, g.release_date_known, g.age_rating, g.multiplayer,
                g.activation_service, g.region, g.publisher, g.developer, g.languages, g.requirements,
                g.g2a_price, g.supplier_price, g.supplier_retail_price, g.withdrawn_at is null)
               is distinct from
               (i.title, i.description, i.short_description, i.price, i.original_price, i.discount,
                coalesce(i.image, '/api/covers/' || g.slug || '.svg'), i.images,
                i.depth > 0, i.depth > 0, i.depth, coalesce(i.release_date, g.release_date),
                i.release_date is not null or g.release_date_known, i.age_rating, i.multiplayer,
                i.activation_service, i.region, i.publisher, i.developer, i.languages, i.requirements,
                i.g2a_price, i.supplier_price, i.supplier_retail_price, true)
        returning g.id",
        listings
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .collect())
}

async fn update_price_and_stock(tx: &mut Tx, listings: &[Merged<'_>]) -> Result<HashSet<Uuid>> {
    Ok(from_listings!(
        query_scalar,
        "-- store.sync.update_price_and_stock
        update games g
           set price = i.price, original_price = i.original_price, discount = i.discount,
               supplier_price = i.supplier_price, supplier_retail_price = i.supplier_retail_price,
               in_stock = i.depth > 0, g2a_stock = i.depth > 0,
               popularity = g.popularity - g.g2a_depth + i.depth, g2a_depth = i.depth, g2a_price = i.g2a_price,
               withdrawn_at = null, g2a_last_sync = now()",
        ", fields_by_hand text[], g2a_price numeric(12,2)",
        "
         where g.g2a_product_id = i.g2a_product_id and g.fields_by_hand = i.fields_by_hand
           and (g.price, g.original_price, g.discount, g.in_stock, g.g2a_stock, g.g2a_depth, g.g2a_price,
                g.supplier_price, g.supplier_retail_price, g.withdrawn_at is null)
               is distinct from
               (i.price, i.original_price, i.discount, i.depth > 0, i.depth > 0, i.depth, i.g2a_price,
                i.supplier_price, i.supplier_retail_price, true)
        returning g.id",
        listings
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .collect())
}

/// A listing with its future id and slug.
#[derive(Serialize)]
struct NewGame<'a> {
    #[serde(flatten)]
    listing: &'a Listing,
    id: Uuid,
    slug: String,
}

async fn insert(tx: &mut Tx, listings: &[&Listing]) -> Result<HashMap<String, Uuid>> {
    if listings.is_empty() {
        return Ok(HashMap::new());
    }
    let candidates: Vec<[String; 3]> = listings.iter().map(|l| slug_candidates(l)).collect();
    let asked: Vec<&str> = candidates.iter().flatten().map(String::as_str).collect();
    let mut taken: HashSet<String> = sqlx::query_scalar!(
        r#"-- store.sync.taken_slugs
        select slug as "slug!" from games where slug = any($1)
        union all
        -- Old links lead to another game.
        select slug from game_slugs where slug = any($1)"#,
        asked as _
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .collect();
    let games: Vec<NewGame<'_>> = listings
        .iter()
        .zip(candidates)
        .map(|(listing, candidates)| {
            let id = Uuid::now_v7();
            let free = candidates
                .into_iter()
                .find(|slug| !slug.is_empty() && !taken.contains(slug));
            let slug = free.unwrap_or_else(|| format!("game-{}", id.simple()));
            taken.insert(slug.clone());
            NewGame { listing, id, slug }
        })
        .collect();
    // A game that another transaction created a moment ago is left to the next pass.
    let created = from_listings!(
        query,
        "-- store.sync.insert
        insert into games (id, g2a_product_id, slug, title, description, short_description, price, original_price,
                           discount, supplier_price, supplier_retail_price, image, images, in_stock, g2a_stock, g2a_depth, popularity, g2a_last_sync,
                           release_date, release_date_known, is_preorder, is_new, age_rating, multiplayer,
                           activation_service, region, publisher, developer, languages, requirements)
        select i.id, i.g2a_product_id, i.slug, i.title, i.description, i.short_description, i.price, i.original_price,
               i.discount, i.supplier_price, i.supplier_retail_price, coalesce(i.image, '/api/covers/' || i.slug || '.svg'), i.images, i.depth > 0, i.depth > 0,
               i.depth, i.depth, now(), coalesce(i.release_date, now()), i.release_date is not null,
               coalesce(i.release_date > now(), false),
               coalesce(i.release_date <= now() and i.release_date > now() - interval '14 days', false),
               i.age_rating, i.multiplayer, i.activation_service, i.region, i.publisher, i.developer, i.languages,
               i.requirements",
        ", id uuid, slug text",
        r#"
         -- Staff may have deleted it since it was read.
         where not exists (select from excluded_products e where e.g2a_product_id = i.g2a_product_id)
        on conflict (g2a_product_id) do nothing
        returning g2a_product_id as "product!", id"#,
        &games
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(created.into_iter().map(|game| (game.product, game.id)).collect())
}

/// From the most readable slug to one that is certainly free: the title, the title with G2A's id, the id.
fn slug_candidates(listing: &Listing) -> [String; 3] {
    let id = slugify(&listing.g2a_product_id);
    let wanted = listing.wanted_slug.as_str();
    let with_id = if wanted.is_empty() || id.is_empty() {
        String::new()
    } else {
        format!("{wanted}-{id}")
    };
    let only_id = if id.is_empty() {
        String::new()
    } else {
        format!("g2a-{id}")
    };
    [wanted.to_owned(), with_id, only_id]
}

/// The time from which the shop's data about this game is known to be current: the later of its own last change and the
/// start of the last completed pass. `None` if the game is not G2A's or does not exist.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn known_since(store: &Store, game: GameId) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "-- store.sync.known_since
        select greatest(g2a_last_sync, (select max(started_at) from sync_runs
                                         where status = 'COMPLETED' and kind <> 'PRODUCT'))
          from games where id = $1 and g2a_product_id is not null",
        game.0
    )
    .fetch_optional(store.alone())
    .await?
    .flatten())
}
