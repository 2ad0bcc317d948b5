//! Facet counts: how many games each value of each filter would leave.
//!
//! A filter's own selection does not narrow its own counts, because its values are alternatives; every other filter
//! does. All counts are computed in one pass over the listed games, or over the results of a search: each game is
//! marked with the filters it passes, and each value counts the games that pass all others. The pass ends after
//! [`MAX_COUNTED`] games, and the counts are then reported as a lower bound, so the cost does not grow with the
//! catalogue.

use std::collections::BTreeMap;

use lockstep_domain::catalogue::{CatalogQuery, FacetCounts, PricePreset};
use sqlx::{QueryBuilder, Row as _};

use super::filter::Filter;
use super::search;
use crate::{Result, Tx};

/// Maximum number of games that are counted.
const MAX_COUNTED: i64 = 50_000;
/// Maximum number of values returned per filter: as many as exist, where few different questions can be asked.
const MAX_VALUES: i64 = crate::games::facets::MAX_VALUES;
/// The same for searches and price ranges, which are free text: each is kept, and none should take much room.
const MAX_VALUES_OF_FREE_TEXT: i64 = 300;

/// Filters, by the name of their column in `verdicts`.
const FILTERS: [&str; 7] = [
    "price",
    "multiplayer",
    "service",
    "region",
    "publisher",
    "genre",
    "platform",
];

/// The counts for a page of the catalogue.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn facet_counts(tx: &mut Tx, query: &CatalogQuery) -> Result<FacetCounts> {
    let filter = Filter::resolve(tx, query).await?;
    let found = match &query.search {
        Some(text) => Some(search::hits(tx, text).await?),
        None => None,
    };
    let mut sql = QueryBuilder::new(
        "-- store.games.facet_counts
        with verdicts as materialized (
            select g.id, g.price, g.multiplayer, lower(g.activation_service) as service, lower(g.region) as region,
                   lower(g.publisher) as publisher",
    );
    filter.push_verdicts(&mut sql);
    sql.push(" from games g where g.withdrawn_at is null");
    if let Some(found) = found {
        sql.push(" and g.id = any(").push_bind(found).push(")");
    }
    sql.push(" limit ").push_bind(MAX_COUNTED + 1).push(")");
    let is_free = query.search.is_some() || query.min_price.is_some() || query.max_price.is_some();
    let most = if is_free { MAX_VALUES_OF_FREE_TEXT } else { MAX_VALUES };
    let stock = if query.in_stock_only { "in_stock" } else { "true" };
    sql.push(" select 'seen' as facet, '' as value, count(*) as games from verdicts");
    for (value, condition) in [("listed", "true"), ("in_stock", "in_stock")] {
        sql.push(format!(
            " union all select 'stock', '{value}', count(*) from verdicts where {condition} and {}",
            all_but(None)
        ));
    }
    for facet in ["service", "region", "publisher"] {
        sql.push(format!(
            " union all (select '{facet}', {facet}, count(*) from verdicts
               where {stock} and {facet} <> '' and {} group by {facet} order by 3 desc, 2 limit {most})",
            all_but(Some(facet))
        ));
    }
    for (facet, links, names) in [
        ("genre", "game_genres", "genres"),
        ("platform", "game_platforms", "platforms"),
    ] {
        sql.push(format!(
            " union all (select '{facet}', x.slug, count(*)
                from verdicts v join {links} l on l.game_id = v.id join {names} x on x.id = l.{facet}_id
               where {stock} and {} group by x.slug order by 3 desc, 2 limit {most})",
            all_but(Some(facet))
        ));
    }
    sql.push(format!(
        " union all select 'multiplayer', '', count(*) from verdicts where {stock} and multiplayer and {}",
        all_but(Some("multiplayer"))
    ));
    sql.push(" union all select 'price', case");
    for preset in PricePreset::ALL {
        match preset.bounds().1 {
            Some(below) => sql.push(format!(" when price < {below} then '{}'", preset.name())),
            None => sql.push(format!(" else '{}' end", preset.name())),
        };
    }
    sql.push(format!(
        ", count(*) from verdicts where {stock} and {} group by 2",
        all_but(Some("price"))
    ));
    let rows = sql.build().persistent(false).fetch_all(tx.conn()).await?;
    let mut counts = FacetCounts::default();
    for row in &rows {
        let (facet, value): (String, String) = (row.try_get("facet")?, row.try_get("value")?);
        let games = u64::try_from(row.try_get::<i64, _>("games")?).unwrap_or(0);
        let put = |values: &mut BTreeMap<String, u64>| {
            values.insert(value.clone(), games);
        };
        match (facet.as_str(), value.as_str()) {
            ("seen", _) => counts.is_capped = i64::try_from(games).is_ok_and(|games| games > MAX_COUNTED),
            ("stock", "listed") => counts.listed = games,
            ("stock", _) => counts.in_stock = games,
            ("service", _) => put(&mut counts.activation_services),
            ("region", _) => put(&mut counts.regions),
            ("publisher", _) => put(&mut counts.publishers),
            ("genre", _) => put(&mut counts.genres),
            ("platform", _) => put(&mut counts.platforms),
            ("price", _) => put(&mut counts.prices),
            _ => counts.multiplayer = games,
        }
    }
    Ok(counts)
}

/// A condition: the game passes every filter except one.
fn all_but(facet: Option<&str>) -> String {
    FILTERS
        .iter()
        .filter(|filter| Some(**filter) != facet)
        .map(|filter| format!("{filter}_ok"))
        .collect::<Vec<_>>()
        .join(" and ")
}
