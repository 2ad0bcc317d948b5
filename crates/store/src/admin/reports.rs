//! Reports about sales, margins and refunds.
//!
//! Periods are read from `sales_sums`, which the database keeps equal to the books; genres, platforms, countries and reasons from the
//! books themselves, in time proportional to the sales of the period.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{
    MarginReport, MarginRow, RefundReport, RefundRow, RefundsCounted, ReportBy, ReportPeriod, SalesReport, SalesRow,
};
use rust_decimal::Decimal;

use crate::row::{how_many_of, money_of};
use crate::{Result, Store, StoreError, Tx};

/// The shop's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(Arc<str>);

impl Default for TimeZone {
    /// UTC.
    fn default() -> Self {
        Self("UTC".into())
    }
}

impl TimeZone {
    /// The time zone with this IANA name; `None` if PostgreSQL knows none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(store: &Store, name: &str) -> Result<Option<Self>> {
        let known = sqlx::query_scalar!(
            r#"-- store.admin.reports.time_zone
            select name as "name!" from pg_timezone_names where name = $1"#,
            name
        )
        .fetch_optional(store.alone())
        .await?;
        Ok(known.map(|name| Self(name.into())))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// The day of `now` in `zone`.
///
/// # Errors
/// [`StoreError`].
pub async fn day_of(store: &Store, now: DateTime<Utc>, zone: &TimeZone) -> Result<NaiveDate> {
    Ok(sqlx::query_scalar!(
        r#"-- store.admin.reports.day_of
        select ($1::timestamptz at time zone $2)::date as "day!""#,
        now,
        zone.name()
    )
    .fetch_one(store.alone())
    .await?)
}

/// What a report is asked for: days of `zone`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
    /// The time zone of the days.
    pub zone: TimeZone,
}

impl Asked {
    fn period(&self) -> ReportPeriod {
        ReportPeriod {
            from: self.from,
            to: self.to,
            time_zone: self.zone.name().to_owned(),
        }
    }
}

/// `a - b`; an error beyond what money can be.
pub(super) fn less(a: Money, b: Money) -> Result<Money> {
    a.checked_sub(b).ok_or_else(too_much)
}

/// `a + b`; an error beyond what money can be.
pub(super) fn more(a: Money, b: Money) -> Result<Money> {
    a.checked_add(b).ok_or_else(too_much)
}

fn too_much() -> StoreError {
    StoreError::Schema("a sum is more than money can be".into())
}

/// Time limit of a statement of a report: shorter than that of a request, so that its place is not taken by one that nobody
/// waits for any more. For which [`StoreError::is_too_slow`] is true.
const PATIENCE: &str = "8s";

/// Sets the time limit, unless the connection has a shorter one.
async fn limit(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.admin.reports.limit
        select set_config('statement_timeout', $1, true)
         where current_setting('statement_timeout')::interval not between interval '1 ms' and $1::text::interval",
        PATIENCE
    )
    .fetch_optional(tx.uncached())
    .await?;
    Ok(())
}

/// Sales of a period.
///
/// # Errors
/// [`StoreError`].
pub async fn sales(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<SalesReport> {
    limit(tx).await?;
    let rows = if by.is_period() {
        sales_by_time(tx, by, asked).await?
    } else if by == ReportBy::Country {
        sales_by_country(tx, asked).await?
    } else {
        sales_by_kind(tx, by, asked).await?
    };
    let mut totals = SalesRow {
        orders: by.is_period().then_some(0),
        copies: (!by.is_period()).then_some(0),
        ..SalesRow::default()
    };
    for row in &rows {
        totals.orders = totals.orders.zip(row.orders).map(|(a, b)| a.saturating_add(b));
        totals.copies = totals.copies.zip(row.copies).map(|(a, b)| a.saturating_add(b));
        totals.sold = more(totals.sold, row.sold)?;
        totals.refunded = more(totals.refunded, row.refunded)?;
        totals.revenue = more(totals.revenue, row.revenue)?;
    }
    Ok(SalesReport {
        period: asked.period(),
        by,
        refunds_counted: if by.is_period() {
            RefundsCounted::Booked
        } else {
            RefundsCounted::OfSales
        },
        rows,
        totals,
    })
}

async fn sales_by_time(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<Vec<SalesRow>> {
    let rows = sqlx::query!(
        r#"-- store.admin.reports.sales_by_time
        select date_trunc($4, d.day)::date as "key!", coalesce(sum(s.purchases), 0)::bigint as "orders!",
               coalesce(sum(s.purchased), 0)::numeric(16,2) as "sold!", coalesce(sum(s.refunded), 0)::numeric(16,2) as "refunded!"
          from generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') d (day)
          left join sales_sums s on s.at >= day_begins(d.day::date, $3) and s.at < day_begins(d.day::date + 1, $3)
         group by 1 order by 1"#,
        asked.from,
        asked.to,
        asked.zone.name(),
        by.name()
    )
    .fetch_all(tx.uncached())
    .await?;
    rows.into_iter()
        .map(|row| {
            let (sold, refunded) = (money_of(row.sold)?, money_of(row.refunded)?);
            Ok(SalesRow {
                key: row.key.to_string(),
                orders: Some(how_many_of(row.orders)),
                copies: None,
                sold,
                refunded,
                revenue: less(sold, refunded)?,
            })
        })
        .collect()
}

async fn sales_by_kind(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<Vec<SalesRow>> {
    let rows = sqlx::query!(
        r#"-- store.admin.reports.sales_by_kind
        with sold as (
            select u.game_id, count(*) as copies, sum(u.price_paid) as sold,
                   sum(case u.state when 'REFUNDED' then u.price_paid else u.goodwill end) as refunded
              from transactions t join order_units u on u.order_id = t.order_id
             where t.type = 'PURCHASE' and t.status = 'COMPLETED' and t.order_id is not null
               and t.created_at >= day_begins($1::date, $3) and t.created_at < day_begins($2::date + 1, $3)
             group by u.game_id)
        select coalesce(case $4 when 'genre' then (select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                                                    where l.game_id = s.game_id)
                                else (select min(n.name) from game_platforms l join platforms n on n.id = l.platform_id
                                       where l.game_id = s.game_id) end, '') as "key!",
               sum(s.copies)::bigint as "copies!", sum(s.sold)::numeric(16,2) as "sold!",
               sum(s.refunded)::numeric(16,2) as "refunded!"
          from sold s group by 1 order by sum(s.sold) desc, 1"#,
        asked.from,
        asked.to,
        asked.zone.name(),
        by.name()
    )
    .fetch_all(tx.uncached())
    .await?;
    rows.into_iter()
        .map(|row| of_copies(row.key, row.copies, row.sold, row.refunded))
        .collect()
}

/// Copies by the country of the card of the buyer's newest top-up before the order. A top-up without a card whose country
/// is known says nothing: the one before it counts.
async fn sales_by_country(tx: &mut Tx, asked: &Asked) -> Result<Vec<SalesRow>> {
    let rows = sqlx::query!(
        r#"-- store.admin.reports.sales_by_country
        with paid as materialized (
            select t.order_id, (select c.card_country
                                  from top_ups p join top_up_charges c on c.top_up_id = p.id
                                  join transactions b on b.id = p.transaction_id
                                 where p.user_id = t.user_id and c.card_country is not null and b.created_at <= t.created_at
                                 order by p.created_at desc, p.id desc limit 1) as country
              from transactions t
             where t.type = 'PURCHASE' and t.status = 'COMPLETED' and t.order_id is not null
               and t.created_at >= day_begins($1::date, $3) and t.created_at < day_begins($2::date + 1, $3))
        select coalesce(p.country, 'unknown') as "key!", count(*) as "copies!", sum(u.price_paid)::numeric(16,2) as "sold!",
               sum(case u.state when 'REFUNDED' then u.price_paid else u.goodwill end)::numeric(16,2) as "refunded!"
          from paid p join order_units u on u.order_id = p.order_id
         group by 1 order by sum(u.price_paid) desc, 1"#,
        asked.from,
        asked.to,
        asked.zone.name()
    )
    .fetch_all(tx.uncached())
    .await?;
    rows.into_iter()
        .map(|row| of_copies(row.key, row.copies, row.sold, row.refunded))
        .collect()
}

/// A row of a report that counts copies.
fn of_copies(key: String, copies: i64, sold: Decimal, refunded: Decimal) -> Result<SalesRow> {
    let (sold, refunded) = (money_of(sold)?, money_of(refunded)?);
    Ok(SalesRow {
        key,
        orders: None,
        copies: Some(how_many_of(copies)),
        sold,
        refunded,
        revenue: less(sold, refunded)?,
    })
}

/// Margins of the orders of a period, by anything that [has margins](ReportBy::has_margins).
///
/// # Errors
/// [`StoreError`].
pub async fn margin(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<MarginReport> {
    limit(tx).await?;
    let found = if by.is_period() {
        margin_by_time(tx, by, asked).await?
    } else {
        margin_by_kind(tx, by, asked).await?
    };
    let mut totals = MarginRow::default();
    let mut rows = Vec::with_capacity(found.len());
    for sums in found {
        let (sold, supplier_cost) = (money_of(sums.sold)?, money_of(sums.cost)?);
        let own_stock_cost = money_of(sums.own_cost)?;
        let row = MarginRow {
            key: sums.key,
            copies: how_many_of(sums.copies),
            copies_without_cost: how_many_of(sums.no_cost),
            sold,
            supplier_cost,
            own_stock_cost,
            payment_fees: None,
            margin: less(less(sold, supplier_cost)?, own_stock_cost)?,
        };
        totals.copies = totals.copies.saturating_add(row.copies);
        totals.copies_without_cost = totals.copies_without_cost.saturating_add(row.copies_without_cost);
        totals.sold = more(totals.sold, row.sold)?;
        totals.supplier_cost = more(totals.supplier_cost, row.supplier_cost)?;
        totals.own_stock_cost = more(totals.own_stock_cost, row.own_stock_cost)?;
        totals.margin = more(totals.margin, row.margin)?;
        rows.push(row);
    }
    Ok(MarginReport {
        period: asked.period(),
        by,
        payment_fees_known: false,
        rows,
        totals,
    })
}

/// Delivered copies and what they cost.
struct Sums {
    key: String,
    copies: i64,
    no_cost: i64,
    sold: Decimal,
    cost: Decimal,
    own_cost: Decimal,
}

async fn margin_by_time(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<Vec<Sums>> {
    Ok(sqlx::query_as!(
        Sums,
        r#"-- store.admin.reports.margin_by_time
        select date_trunc($4, d.day)::date::text as "key!", coalesce(sum(s.delivered), 0)::bigint as "copies!",
               coalesce(sum(s.no_cost), 0)::bigint as "no_cost!", coalesce(sum(s.earned), 0)::numeric(16,2) as "sold!",
               coalesce(sum(s.cost), 0)::numeric(16,2) as "cost!", coalesce(sum(s.own_cost), 0)::numeric(16,2) as "own_cost!"
          from generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') d (day)
          left join sales_sums s on s.at >= day_begins(d.day::date, $3) and s.at < day_begins(d.day::date + 1, $3)
         group by date_trunc($4, d.day)::date order by date_trunc($4, d.day)::date"#,
        asked.from,
        asked.to,
        asked.zone.name(),
        by.name()
    )
    .fetch_all(tx.uncached())
    .await?)
}

async fn margin_by_kind(tx: &mut Tx, by: ReportBy, asked: &Asked) -> Result<Vec<Sums>> {
    Ok(sqlx::query_as!(
        Sums,
        r#"-- store.admin.reports.margin_by_kind
        with units as (
            select u.id, u.order_id, u.game_id, u.state = 'DONE' as is_done, u.price_paid - u.goodwill as earned
              from orders o join order_units u on u.order_id = o.id
             where o.created_at >= day_begins($1::date, $3) and o.created_at < day_begins($2::date + 1, $3)),
        made as (
            select game_id, count(*) as copies, sum(earned) as earned, 0 as cost, 0 as own_cost, 0 as no_cost
              from units where is_done group by game_id
            union all
            select u.game_id, 0, 0, sum(g.price), 0, 0 from units u join g2a_orders g on g.order_unit_id = u.id
             where g.paid_at is not null group by u.game_id
            union all
            select o.game_id, 0, 0, 0, coalesce(sum(o.cost), 0), count(*) filter (where o.cost is null)
              from (select u.game_id, k.cost from units u join game_keys k on k.order_unit_id = u.id where k.g2a_order_id is null
                    union all
                    select k.game_id, k.cost
                      from (select distinct order_id from units) u join game_keys k on k.faulty_order_id = u.order_id
                     where k.g2a_order_id is null) o
             group by o.game_id)
        select coalesce(case $4 when 'genre' then (select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                                                    where l.game_id = m.game_id)
                                else (select min(n.name) from game_platforms l join platforms n on n.id = l.platform_id
                                       where l.game_id = m.game_id) end, '') as "key!",
               sum(m.copies)::bigint as "copies!", sum(m.no_cost)::bigint as "no_cost!",
               sum(m.earned)::numeric(16,2) as "sold!", sum(m.cost)::numeric(16,2) as "cost!",
               sum(m.own_cost)::numeric(16,2) as "own_cost!"
          from made m group by 1 order by sum(m.earned) - sum(m.cost) - sum(m.own_cost) desc, 1"#,
        asked.from,
        asked.to,
        asked.zone.name(),
        by.name()
    )
    .fetch_all(tx.uncached())
    .await?)
}

/// Refunds of orders that were booked in a period, by reason.
///
/// # Errors
/// [`StoreError`].
pub async fn refunds(tx: &mut Tx, asked: &Asked) -> Result<RefundReport> {
    limit(tx).await?;
    let found = sqlx::query!(
        r#"-- store.admin.reports.refunds
        select coalesce(reason, 'GOODWILL') as "reason!", count(*) as "count!", sum(amount)::numeric(16,2) as "refunded!"
          from transactions
         where type = 'REFUND' and status = 'COMPLETED' and order_id is not null
           and created_at >= day_begins($1::date, $3) and created_at < day_begins($2::date + 1, $3)
         group by 1 order by sum(amount) desc, 1"#,
        asked.from,
        asked.to,
        asked.zone.name()
    )
    .fetch_all(tx.uncached())
    .await?;
    let mut totals = RefundRow::default();
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let row = RefundRow {
            reason: row.reason,
            count: how_many_of(row.count),
            refunded: money_of(row.refunded)?,
        };
        totals.count = totals.count.saturating_add(row.count);
        totals.refunded = more(totals.refunded, row.refunded)?;
        rows.push(row);
    }
    Ok(RefundReport {
        period: asked.period(),
        rows,
        totals,
    })
}
