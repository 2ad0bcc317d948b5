//! The dashboard: key figures of the shop.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{Dashboard, DashboardMargin, DayOfSales, RecentOrder, RecentTransaction, TopGame};

use super::reports::{self, TimeZone};
use crate::row::{how_many_of, money_of, order_status_of, payment_status_of, transaction_type_of};
use crate::{Result, Tx};

/// Reads all figures as of `now`, in days of `zone`. Sums come from `sales_sums`, which the database keeps equal to the
/// books: the time does not grow with the number of orders.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn read(tx: &mut Tx, now: DateTime<Utc>, zone: &TimeZone) -> Result<Dashboard> {
    let counts = sqlx::query!(
        r#"-- store.admin.dashboard.counts
        select (select coalesce(sum(listed), 0)::bigint from catalog_totals) as "games!",
               (select count(*) from orders where status in ('PENDING', 'PROCESSING')) as "orders_open!",
               (select count(*) from transactions
                 where created_at >= day_begins(($1::timestamptz at time zone $2)::date, $2)) as "transactions_today!",
               coalesce(sum(users), 0)::bigint as "users!", coalesce(sum(orders), 0)::bigint as "orders!",
               coalesce(sum(completed), 0)::bigint as "completed!",
               coalesce(sum(purchased - refunded), 0)::numeric(16,2) as "revenue!",
               coalesce(sum(earned - cost - own_cost), 0)::numeric(16,2) as "margin!",
               coalesce(sum(no_cost), 0)::bigint as "no_cost!"
          from sales_sums where at = '-infinity'"#,
        now,
        zone.name()
    )
    .fetch_one(tx.conn())
    .await?;
    let days = days(tx, now, zone).await?;
    let sum = |days: &[Day], figure: fn(&Day) -> Money| {
        days.iter()
            .try_fold(Money::ZERO, |sum, day| reports::more(sum, figure(day)))
    };
    let today = days.last().cloned().unwrap_or_default();
    let week = days.get(days.len().saturating_sub(7)..).unwrap_or_default();
    Ok(Dashboard {
        total_users: how_many_of(counts.users),
        new_users_today: today.users,
        total_games: how_many_of(counts.games),
        total_orders: how_many_of(counts.orders),
        pending_orders: how_many_of(counts.orders_open),
        completed_orders: how_many_of(counts.completed),
        transactions_today: how_many_of(counts.transactions_today),
        total_revenue: money_of(counts.revenue)?,
        revenue_today: today.sales.revenue,
        revenue_this_week: sum(week, |day| day.sales.revenue)?,
        revenue_this_month: sum(&days, |day| day.sales.revenue)?,
        margin: DashboardMargin {
            total: money_of(counts.margin)?,
            today: today.margin,
            this_week: sum(week, |day| day.margin)?,
            this_month: sum(&days, |day| day.margin)?,
            copies_without_cost: how_many_of(counts.no_cost),
            payment_fees_known: false,
        },
        time_zone: zone.name().to_owned(),
        top_selling_games: top_games(tx).await?,
        recent_orders: recent_orders(tx).await?,
        recent_transactions: recent_transactions(tx).await?,
        sales_by_day: week.iter().map(|day| day.sales).collect(),
    })
}

/// The figures of a day.
#[derive(Debug, Clone, Default)]
struct Day {
    sales: DayOfSales,
    users: u64,
    margin: Money,
}

async fn top_games(tx: &mut Tx) -> Result<Vec<TopGame>> {
    // PostgreSQL's 4 MB do not hold the sums of 100,000 games; it would write them to disk.
    sqlx::query_scalar!("-- store.admin.dashboard.memory\nselect set_config('work_mem', '32MB', true)")
        .fetch_one(tx.conn())
        .await?;
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.top_games
        select g.id, g.title, g.slug, s.sales as "sales!",
               (select sum(e.earned) from game_sums e where e.game_id = g.id)::numeric(16,2) as "revenue!"
          from (select game_id, sum(copies::integer) as sales from game_sums group by game_id
                 order by 2 desc, game_id limit 5) s
          join games g on g.id = s.game_id order by s.sales desc, g.id"#
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TopGame {
                id: row.id,
                title: row.title,
                slug: row.slug,
                sales_count: how_many_of(row.sales),
                revenue: money_of(row.revenue)?,
            })
        })
        .collect()
}

async fn recent_orders(tx: &mut Tx) -> Result<Vec<RecentOrder>> {
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.recent_orders
        select o.id, u.email, o.total, o.status::text as "status!", o.created_at
          from orders o join users u on u.id = o.user_id order by o.created_at desc, o.id desc limit 10"#
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(RecentOrder {
                id: row.id,
                user_email: row.email,
                total: money_of(row.total)?,
                status: order_status_of(&row.status)?,
                created_at: row.created_at,
            })
        })
        .collect()
}

async fn recent_transactions(tx: &mut Tx) -> Result<Vec<RecentTransaction>> {
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.recent_transactions
        select t.id, u.email, t.amount, t.type::text as "kind!", t.status::text as "status!", t.created_at
          from transactions t join users u on u.id = t.user_id order by t.created_at desc, t.id desc limit 10"#
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(RecentTransaction {
                id: row.id,
                user_email: row.email,
                amount: money_of(row.amount)?,
                kind: transaction_type_of(&row.kind)?,
                status: payment_status_of(&row.status)?,
                created_at: row.created_at,
            })
        })
        .collect()
}

/// The last 30 days, oldest first.
async fn days(tx: &mut Tx, now: DateTime<Utc>, zone: &TimeZone) -> Result<Vec<Day>> {
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.days
        select d.day as "day!", coalesce(sum(s.completed), 0)::bigint as "orders!",
               coalesce(sum(s.users), 0)::bigint as "users!",
               coalesce(sum(s.purchased - s.refunded), 0)::numeric(16,2) as "revenue!",
               coalesce(sum(s.earned - s.cost - s.own_cost), 0)::numeric(16,2) as "margin!"
          from (select ($1::timestamptz at time zone $2)::date - back as day from generate_series(0, 29) back) d
          left join sales_sums s on s.at >= day_begins(d.day, $2) and s.at < day_begins(d.day + 1, $2)
         group by d.day order by d.day"#,
        now,
        zone.name()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Day {
                sales: DayOfSales {
                    date: row.day,
                    count: how_many_of(row.orders),
                    revenue: money_of(row.revenue)?,
                },
                users: how_many_of(row.users),
                margin: money_of(row.margin)?,
            })
        })
        .collect()
}
