//! Filters of the catalogue as SQL, and the part of the matches that is requested.

use lockstep_domain::catalogue::{CatalogQuery, Sort};
use sqlx::types::Uuid;
use sqlx::{Postgres, QueryBuilder};

use crate::{Result, Tx};

/// The sizes of facets are compared up to this; of larger ones any can be the start.
const SIZED_UP_TO: i64 = 50_000;

/// The requested rows of a sorted list.
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

    pub(super) fn of(query: &CatalogQuery) -> Self {
        Self {
            limit: i64::from(query.page_size),
            offset: i64::from(query.page.saturating_sub(1)) * i64::from(query.page_size),
        }
    }
}

/// The order as SQL, for a relation with the column names of `games`.
pub(super) const fn order_by(sort: Option<Sort>) -> &'static str {
    match sort {
        None => "created_at desc, id desc",
        Some(Sort::Newest) => "release_date desc, id desc",
        Some(Sort::Popular) => "popularity desc, id desc",
        Some(Sort::PriceAsc) => "price, id",
        Some(Sort::PriceDesc) => "price desc, id desc",
    }
}

/// Filters with resolved genres and platforms.
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
                sqlx::query_scalar!(
                    "-- store.games.filter_genres
                    select id from genres where slug = any($1) or lower(name) = any($1)",
                    &lowered(&query.genres)
                )
                .fetch_all(tx.conn())
                .await?,
            );
        }
        if !query.platforms.is_empty() {
            platforms = Some(
                sqlx::query_scalar!(
                    "-- store.games.filter_platforms
                    select id from platforms where slug = any($1) or lower(name) = any($1)",
                    &lowered(&query.platforms)
                )
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

    /// Whether there are no filters except, possibly, the exclusion of games that cannot be bought.
    pub(super) fn is_open(&self) -> bool {
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

    /// Appends `where ...` for the games with alias `g`.
    pub(super) fn push_where(&self, sql: &mut QueryBuilder<Postgres>) {
        self.push_where_but(sql, None);
    }

    /// Like `push_where`, without the facet of `but`, which is already satisfied.
    pub(super) fn push_where_but(&self, sql: &mut QueryBuilder<Postgres>, but: Option<Links>) {
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
        for (column, values) in self.columns() {
            if !values.is_empty() {
                sql.push(" and lower(g.").push(column).push(") = any(");
                sql.push_bind(values.clone()).push(")");
            }
        }
        for links in Links::ALL.into_iter().filter(|links| Some(*links) != but) {
            if let Some(ids) = self.ids(links) {
                // Checked game by game (`offset 0` enforces it), never collected first.
                let (table, column) = links.names();
                sql.push(" and exists (select from ").push(table);
                sql.push(" l where l.game_id = g.id and l.")
                    .push(column)
                    .push(" = any(");
                sql.push_bind(ids.to_vec()).push(") offset 0)");
            }
        }
    }

    /// Appends, for each filter, a column over the games with alias `g` that is true if a game passes it; `true`
    /// without a selection.
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

    pub(super) fn ids(&self, links: Links) -> Option<&[Uuid]> {
        match links {
            Links::Genres => self.genres.as_deref(),
            Links::Platforms => self.platforms.as_deref(),
        }
    }

    /// The smallest set of links to start from, or `None` to start from the games themselves.
    pub(super) async fn rarest(&self, tx: &mut Tx) -> Result<Option<Links>> {
        if self.genres.is_none() && self.platforms.is_none() {
            return Ok(None);
        }
        let mut sql =
            QueryBuilder::new("-- store.games.facet_sizes\nselect kind from (select 0 as kind, null::bigint as size");
        for (kind, links) in (1..).zip(Links::ALL) {
            if let Some(ids) = self.ids(links) {
                let (table, column) = links.names();
                sql.push(format!(
                    " union all select {kind}, (select count(*) from (select from {table} where {column} = any("
                ));
                sql.push_bind(ids.to_vec());
                sql.push(format!(") limit {SIZED_UP_TO}) x)"));
            }
        }
        for (column, values) in self.columns() {
            if !values.is_empty() {
                sql.push(format!(
                    " union all select 0, (select count(*) from (select from games where withdrawn_at is null and lower({column}) = any("
                ));
                sql.push_bind(values.clone());
                sql.push(format!(") limit {SIZED_UP_TO}) x)"));
            }
        }
        sql.push(") sizes where size is not null order by size, kind limit 1");
        let kind: i32 = sql.build_query_scalar().persistent(false).fetch_one(tx.conn()).await?;
        Ok((1..)
            .zip(Links::ALL)
            .find(|(number, _)| *number == kind)
            .map(|(_, links)| links))
    }

    fn columns(&self) -> [(&'static str, &Vec<String>); 3] {
        [
            ("activation_service", &self.services),
            ("region", &self.regions),
            ("publisher", &self.publishers),
        ]
    }

    /// The total that the database maintains for an open filter.
    pub(super) async fn kept_total(&self, tx: &mut Tx) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"-- store.games.kept_total
            select sum(case when $1 then buyable else listed end)::bigint as "total!" from catalog_totals"#,
            self.query.in_stock_only
        )
        .fetch_one(tx.conn())
        .await?)
    }
}

/// What games are linked to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Genres,
    Platforms,
}

impl Links {
    const ALL: [Self; 2] = [Self::Genres, Self::Platforms];

    /// Names of table and column.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Genres => ("game_genres", "genre_id"),
            Self::Platforms => ("game_platforms", "platform_id"),
        }
    }
}

fn lowered(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.to_lowercase()).collect()
}

pub(super) fn push_window(sql: &mut QueryBuilder<Postgres>, window: Window) {
    sql.push(" limit ").push_bind(window.limit);
    sql.push(" offset ").push_bind(window.offset);
}
