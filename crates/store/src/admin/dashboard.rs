//! The dashboard: key figures of the shop.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{Dashboard, DayOfSales, RecentOrder, RecentTransaction, TopGame};

use crate::row::{how_many_of, money_of, order_status_of, payment_status_of, transaction_type_of};
use crate::{Result, Tx};

/// Reads all figures as of `now`, from the bookings.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn read(tx: &mut Tx, now: DateTime<Utc>) -> Result<Dashboard> {
    let counts = sqlx::query!(
        r#"-- store.admin.dashboard.counts
        with day as (select date_trunc('day', $1::timestamptz, 'UTC') as today)
        select (select count(*) from users where deleted_at is null) as "users!",
               (select count(*) from users, day where deleted_at is null and created_at >= today) as "users_today!",
               (select coalesce(sum(listed), 0)::bigint from catalog_totals) as "games!",
               (select count(*) from orders) as "orders!",
               (select count(*) from orders where status in ('PENDING', 'PROCESSING')) as "orders_open!",
               (select count(*) from orders where status = 'COMPLETED') as "orders_completed!",
               (select count(*) from transactions, day where created_at >= today) as "transactions_today!""#,
        now
    )
    .fetch_one(tx.conn())
    .await?;
    // Purchases are booked negative and refunds positive: their negated sum is the revenue.
    let revenue = sqlx::query!(
        r#"-- store.admin.dashboard.revenue
        with day as (select date_trunc('day', $1::timestamptz, 'UTC') as today)
        select coalesce(-sum(amount), 0)::numeric(12,2) as "total!",
               coalesce(-sum(amount) filter (where created_at >= today), 0)::numeric(12,2) as "today!",
               coalesce(-sum(amount) filter (where created_at >= today - interval '6 days'), 0)::numeric(12,2) as "week!",
               coalesce(-sum(amount) filter (where created_at >= today - interval '29 days'), 0)::numeric(12,2) as "month!"
          from transactions, day where order_id is not null and status = 'COMPLETED'"#,
        now
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Dashboard {
        total_users: how_many_of(counts.users),
        new_users_today: how_many_of(counts.users_today),
        total_games: how_many_of(counts.games),
        total_orders: how_many_of(counts.orders),
        pending_orders: how_many_of(counts.orders_open),
        completed_orders: how_many_of(counts.orders_completed),
        transactions_today: how_many_of(counts.transactions_today),
        total_revenue: money_of(revenue.total)?,
        revenue_today: money_of(revenue.today)?,
        revenue_this_week: money_of(revenue.week)?,
        revenue_this_month: money_of(revenue.month)?,
        top_selling_games: top_games(tx).await?,
        recent_orders: recent_orders(tx).await?,
        recent_transactions: recent_transactions(tx).await?,
        sales_by_day: days(tx, now).await?,
    })
}

async fn top_games(tx: &mut Tx) -> Result<Vec<TopGame>> {
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.top_games
        select g.id, g.title, g.slug, s.sales as "sales!", s.revenue as "revenue!"
          from (select game_id, count(*) as sales, sum(price_paid - goodwill)::numeric(12,2) as revenue
                  from order_units where state = 'DONE' group by game_id order by 2 desc, game_id limit 5) s
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

async fn days(tx: &mut Tx, now: DateTime<Utc>) -> Result<Vec<DayOfSales>> {
    let rows = sqlx::query!(
        r#"-- store.admin.dashboard.days
        with days as (
            select ((date_trunc('day', $1::timestamptz, 'UTC') at time zone 'UTC')::date - back) as day
              from generate_series(6, 0, -1) back)
        select d.day as "day!",
               (select count(*) from orders o where o.status = 'COMPLETED'
                   and o.completed_at >= d.day::timestamp at time zone 'UTC'
                   and o.completed_at < (d.day + 1)::timestamp at time zone 'UTC') as "orders!",
               (select coalesce(-sum(t.amount), 0)::numeric(12,2) from transactions t
                 where t.order_id is not null and t.status = 'COMPLETED'
                   and t.created_at >= d.day::timestamp at time zone 'UTC'
                   and t.created_at < (d.day + 1)::timestamp at time zone 'UTC') as "revenue!"
          from days d order by d.day"#,
        now
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DayOfSales {
                date: row.day,
                count: how_many_of(row.orders),
                revenue: money_of(row.revenue)?,
            })
        })
        .collect()
}
