//! Pages of the catalogue with any combination of filters.
//!
//! Without filters the total is maintained by the database (`catalog_totals`) and the rows are read from an index that
//! stops after one page. With filters a list ends after [`MAX_LISTED`] games: at most this number of matches is
//! gathered. If there are no more, they are sorted and the total is exact; otherwise the total is [`MAX_LISTED`] and
//! the sorted index is walked, because matches are frequent and the page fills quickly. The decision depends on the
//! matches found, not on an estimate, so a wrong estimate cannot make a page walk the whole catalogue.
//!
//! Gathering starts at the rarest selected facet and checks each of its games against the others, one by one, so that
//! it can stop early: a plan that first collects everything that is GLOBAL or for PC would read half a million games to
//! find the first.

use lockstep_domain::catalogue::{CatalogQuery, Game, Page, Sort};
use sqlx::types::Uuid;
use sqlx::{QueryBuilder, Row as _};

use super::filter::{Filter, Window, order_by, push_window};
use super::search::{self, Text};
use crate::games::{Detail, views};
use crate::{Result, Tx};

/// Maximum length of a filtered list, and maximum of its total.
pub const MAX_LISTED: i64 = 10_000;

/// One page of the catalogue. A page after the last is empty, but has the total.
///
/// Rows have a total order (id breaks ties), so pages neither repeat nor skip a game while the data does not change. A
/// filtered list ends after [`MAX_LISTED`] games and a search after [`MAX_HITS`](super::MAX_HITS); a total below that
/// is exact.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn page(tx: &mut Tx, query: &CatalogQuery) -> Result<Page<Game>> {
    let filter = Filter::resolve(tx, query).await?;
    let window = Window::of(query);
    let (total, ids) = match &query.search {
        Some(search) => match Text::of(tx, search).await? {
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
                let ids = walk(tx, &filter, query.sort, window, MAX_LISTED).await?;
                (MAX_LISTED, ids)
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

/// Gathers the matching games and sorts them; `None` if there are more than [`MAX_LISTED`].
async fn gather(
    tx: &mut Tx,
    filter: &Filter<'_>,
    sort: Option<Sort>,
    window: Window,
) -> Result<Option<(i64, Vec<Uuid>)>> {
    const COLUMNS: &str = "select g.id, g.created_at, g.release_date, g.popularity, g.price from games g";
    let rarest = filter.rarest(tx).await?;
    let mut sql = QueryBuilder::new("-- store.games.gather\nwith found as materialized (");
    if let Some((links, ids)) = rarest.and_then(|links| Some((links, filter.ids(links)?))) {
        let (table, column) = links.names();
        sql.push("select g.* from (select l.game_id from ").push(table);
        sql.push(" l where l.").push(column).push(" = any(");
        sql.push_bind(ids.to_vec()).push(")");
        if ids.len() > 1 {
            // A game with several of the values is returned once, at the first.
            sql.push(" and not exists (select from ").push(table);
            sql.push(" o where o.game_id = l.game_id and o.").push(column);
            sql.push(" < l.")
                .push(column)
                .push(" and o.")
                .push(column)
                .push(" = any(");
            sql.push_bind(ids.to_vec()).push(") offset 0)");
        }
        sql.push(") d cross join lateral (").push(COLUMNS);
        filter.push_where_but(&mut sql, Some(links));
        sql.push(" and g.id = d.game_id offset 0) g");
    } else {
        sql.push(COLUMNS);
        filter.push_where(&mut sql);
    }
    sql.push(" limit ").push_bind(MAX_LISTED + 1);
    sql.push(") select (select count(*) from found), array(select id from found order by ");
    sql.push(order_by(sort));
    push_window(&mut sql, window);
    sql.push(")");
    // A bitmap is built completely before its first row is read.
    allow_bitmaps(tx, false).await?;
    let row = sql.build().persistent(false).fetch_one(tx.conn()).await?;
    allow_bitmaps(tx, true).await?;
    let total: i64 = row.try_get(0)?;
    Ok((total <= MAX_LISTED).then_some((total, row.try_get(1)?)))
}

/// Allows or forbids a plan type for the rest of the transaction.
async fn allow_bitmaps(tx: &mut Tx, allowed: bool) -> Result<()> {
    sqlx::query_scalar!(
        "-- store.games.allow_bitmaps\nselect set_config('enable_bitmapscan', $1, true)",
        if allowed { "on" } else { "off" }
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// Reads one page from the index with the requested order, skipping games that do not match.
async fn walk(tx: &mut Tx, filter: &Filter<'_>, sort: Option<Sort>, window: Window, total: i64) -> Result<Vec<Uuid>> {
    let window = Window {
        limit: window.limit.min(total - window.offset),
        ..window
    };
    if window.limit <= 0 {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::new("-- store.games.walk\nselect g.id from games g");
    filter.push_where(&mut sql);
    sql.push(" order by ").push(order_by(sort));
    push_window(&mut sql, window);
    Ok(sql.build_query_scalar().persistent(false).fetch_all(tx.conn()).await?)
}
