//! Pages of the catalogue under any combination of filters.
//!
//! Without filters the total is kept by the database (`catalog_totals`) and the rows are read off an index that ends
//! after one page. With filters that few games pass, those are gathered and sorted; with filters that many pass, they
//! are counted and the index is walked, because then the next page is never far. Which of the two is decided by what
//! is found, not by an estimate, so that a wrong estimate cannot make a page walk the whole catalogue.

use lockstep_domain::catalogue::{CatalogQuery, Game, Page, Sort};
use sqlx::types::Uuid;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::search::{self, Text};
use super::{Detail, views};
use crate::{Result, Tx};

/// Up to so many matching games are gathered and sorted in memory: about what a walk for one page would look at if a
/// two-hundredth of a million games matched.
const GATHER_LIMIT: i64 = 5_000;

/// One page of the catalogue. A page behind the last is empty and carries the total all the same.
///
/// Rows have a total order (id breaks ties), so that pages neither repeat nor lose a game while nothing changes. A
/// search finds at most [`MAX_HITS`](super::MAX_HITS) games.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn page(tx: &mut Tx, query: &CatalogQuery) -> Result<Page<Game>> {
    let filter = Filter::resolve(tx, query).await?;
    let window = Window::of(query);
    let (total, ids) = match &query.search {
        Some(search) => match Text::parse(search) {
            Some(text) => {
                let found = search::find(tx, &text, &filter, query.sort, window, search::Where::TitleAndText).await?;
                (found.total, found.ids)
            }
            None => (0, Vec::new()),
        },
        None if filter.is_open() => {
            let total = filter.kept_total(tx).await?;
            (total, walk(tx, &filter, query.sort, window, total).await?)
        }
        None => {
            if let Some(found) = gather(tx, &filter, query.sort, window).await? {
                found
            } else {
                let total = filter.count(tx).await?;
                (total, walk(tx, &filter, query.sort, window, total).await?)
            }
        }
    };
    let games = views(tx, &ids, Detail::List).await?;
    Ok(Page::new(
        games,
        u64::try_from(total).unwrap_or(0),
        query.page,
        query.page_size,
    ))
}

/// Which rows of a sorted list.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) limit: i64,
    pub(super) offset: i64,
}

impl Window {
    /// The first `limit` rows.
    pub(super) fn first(limit: u32) -> Self {
        Self {
            limit: i64::from(limit),
            offset: 0,
        }
    }

    fn of(query: &CatalogQuery) -> Self {
        Self {
            limit: i64::from(query.page_size),
            offset: i64::from(query.page.saturating_sub(1)) * i64::from(query.page_size),
        }
    }
}

/// The order as SQL, over a relation that has the columns of `games` under their names.
pub(super) const fn order_by(sort: Option<Sort>) -> &'static str {
    match sort {
        None => "created_at desc, id desc",
        Some(Sort::Newest) => "release_date desc, id desc",
        Some(Sort::Popular) => "popularity desc, id desc",
        Some(Sort::PriceAsc) => "price, id",
        Some(Sort::PriceDesc) => "price desc, id desc",
    }
}

/// Filters with genres and platforms looked up.
pub(super) struct Filter<'q> {
    query: &'q CatalogQuery,
    genres: Option<Vec<Uuid>>,
    platforms: Option<Vec<Uuid>>,
    services: Vec<String>,
    regions: Vec<String>,
    publishers: Vec<String>,
}

impl<'q> Filter<'q> {
    pub(super) async fn resolve(tx: &mut Tx, query: &'q CatalogQuery) -> Result<Self> {
        let mut genres = None;
        let mut platforms = None;
        if !query.genres.is_empty() {
            genres = Some(
                sqlx::query_scalar(
                    "-- store.games.filter_genres
                    select id from genres where slug = any($1) or lower(name) = any($1)",
                )
                .bind(lowered(&query.genres))
                .fetch_all(tx.conn())
                .await?,
            );
        }
        if !query.platforms.is_empty() {
            platforms = Some(
                sqlx::query_scalar(
                    "-- store.games.filter_platforms
                    select id from platforms where slug = any($1) or lower(name) = any($1)",
                )
                .bind(lowered(&query.platforms))
                .fetch_all(tx.conn())
                .await?,
            );
        }
        Ok(Self {
            query,
            genres,
            platforms,
            services: lowered(&query.activation_services),
            regions: lowered(&query.regions),
            publishers: lowered(&query.publishers),
        })
    }

    /// Whether nothing is asked but, possibly, to leave out what cannot be bought.
    fn is_open(&self) -> bool {
        let query = self.query;
        self.genres.is_none()
            && self.platforms.is_none()
            && self.services.is_empty()
            && self.regions.is_empty()
            && self.publishers.is_empty()
            && query.multiplayer.is_none()
            && query.price_preset.is_none()
            && query.min_price.is_none()
            && query.max_price.is_none()
    }

    /// Appends `where ...` for the games called `g`.
    pub(super) fn push_where(&self, sql: &mut QueryBuilder<Postgres>) {
        let query = self.query;
        sql.push(" where g.withdrawn_at is null");
        if query.in_stock_only {
            sql.push(" and g.in_stock and not g.is_preorder");
        }
        if let Some(preset) = query.price_preset {
            let (from, below) = preset.bounds();
            sql.push(" and g.price >= ")
                .push_bind(rust_decimal::Decimal::from(from));
            if let Some(below) = below {
                sql.push(" and g.price < ")
                    .push_bind(rust_decimal::Decimal::from(below));
            }
        }
        if let Some(min) = query.min_price {
            sql.push(" and g.price >= ").push_bind(min.decimal());
        }
        if let Some(max) = query.max_price {
            sql.push(" and g.price <= ").push_bind(max.decimal());
        }
        if let Some(multiplayer) = query.multiplayer {
            sql.push(if multiplayer {
                " and g.multiplayer"
            } else {
                " and not g.multiplayer"
            });
        }
        for (column, values) in [
            ("activation_service", &self.services),
            ("region", &self.regions),
            ("publisher", &self.publishers),
        ] {
            if !values.is_empty() {
                sql.push(" and lower(g.").push(column).push(") = any(");
                sql.push_bind(values.clone()).push(")");
            }
        }
        for (links, column, ids) in [
            ("game_genres", "genre_id", &self.genres),
            ("game_platforms", "platform_id", &self.platforms),
        ] {
            if let Some(ids) = ids {
                sql.push(" and g.id in (select game_id from ").push(links);
                sql.push(" where ").push(column).push(" = any(");
                sql.push_bind(ids.clone()).push("))");
            }
        }
    }

    /// Appends, for each filter, a column over the games called `g` that tells whether a game passes it; `true` where
    /// nothing is asked.
    pub(super) fn push_verdicts(&self, sql: &mut QueryBuilder<Postgres>) {
        let query = self.query;
        sql.push(", g.in_stock and not g.is_preorder as in_stock, true");
        if let Some(preset) = query.price_preset {
            let (from, below) = preset.bounds();
            sql.push(" and g.price >= ")
                .push_bind(rust_decimal::Decimal::from(from));
            if let Some(below) = below {
                sql.push(" and g.price < ")
                    .push_bind(rust_decimal::Decimal::from(below));
            }
        }
        if let Some(min) = query.min_price {
            sql.push(" and g.price >= ").push_bind(min.decimal());
        }
        if let Some(max) = query.max_price {
            sql.push(" and g.price <= ").push_bind(max.decimal());
        }
        sql.push(" as price_ok, ");
        sql.push(match query.multiplayer {
            None => "true",
            Some(true) => "g.multiplayer",
            Some(false) => "not g.multiplayer",
        });
        sql.push(" as multiplayer_ok");
        for (column, name, values) in [
            ("activation_service", "service", &self.services),
            ("region", "region", &self.regions),
            ("publisher", "publisher", &self.publishers),
        ] {
            sql.push(", ");
            if values.is_empty() {
                sql.push("true");
            } else {
                sql.push("coalesce(lower(g.").push(column).push(") = any(");
                sql.push_bind(values.clone()).push("), false)");
            }
            sql.push(" as ").push(name).push("_ok");
        }
        for (links, column, name, ids) in [
            ("game_genres", "genre_id", "genre", &self.genres),
            ("game_platforms", "platform_id", "platform", &self.platforms),
        ] {
            sql.push(", ");
            if let Some(ids) = ids {
                sql.push("g.id in (select game_id from ").push(links);
                sql.push(" where ").push(column).push(" = any(");
                sql.push_bind(ids.clone()).push("))");
            } else {
                sql.push("true");
            }
            sql.push(" as ").push(name).push("_ok");
        }
    }

    /// The total that the database keeps up to date, of an open filter.
    async fn kept_total(&self, tx: &mut Tx) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "-- store.games.kept_total
            select sum(case when $1 then buyable else listed end)::bigint from catalog_totals",
        )
        .bind(self.query.in_stock_only)
        .fetch_one(tx.conn())
        .await?)
    }

    async fn count(&self, tx: &mut Tx) -> Result<i64> {
        let mut sql = QueryBuilder::new("-- store.games.count\nselect count(*) from games g");
        self.push_where(&mut sql);
        // Planned for these very values: a plan for average values would be wrong for most.
        Ok(sql.build_query_scalar().persistent(false).fetch_one(tx.conn()).await?)
    }
}

fn lowered(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.to_lowercase()).collect()
}

/// Collects the matching games and sorts them; `None` when there are more than [`GATHER_LIMIT`].
async fn gather(
    tx: &mut Tx,
    filter: &Filter<'_>,
    sort: Option<Sort>,
    window: Window,
) -> Result<Option<(i64, Vec<Uuid>)>> {
    let mut sql = QueryBuilder::new(
        "-- store.games.gather
        with found as materialized (
            select g.id, g.created_at, g.release_date, g.popularity, g.price from games g",
    );
    filter.push_where(&mut sql);
    sql.push(" limit ").push_bind(GATHER_LIMIT + 1);
    sql.push(") select (select count(*) from found), array(select id from found order by ");
    sql.push(order_by(sort));
    push_window(&mut sql, window);
    sql.push(")");
    let row = sql.build().persistent(false).fetch_one(tx.conn()).await?;
    let total: i64 = row.try_get(0)?;
    Ok((total <= GATHER_LIMIT).then_some((total, row.try_get(1)?)))
}

/// Reads one page off the index that has the wanted order, skipping what does not match.
async fn walk(tx: &mut Tx, filter: &Filter<'_>, sort: Option<Sort>, window: Window, total: i64) -> Result<Vec<Uuid>> {
    if window.offset >= total {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::new("-- store.games.walk\nselect g.id from games g");
    filter.push_where(&mut sql);
    sql.push(" order by ").push(order_by(sort));
    push_window(&mut sql, window);
    Ok(sql.build_query_scalar().persistent(false).fetch_all(tx.conn()).await?)
}

pub(super) fn push_window(sql: &mut QueryBuilder<Postgres>, window: Window) {
    sql.push(" limit ").push_bind(window.limit);
    sql.push(" offset ").push_bind(window.offset);
}
