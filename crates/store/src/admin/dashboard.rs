//! The dashboard: key figures of the shop.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{Dashboard, DayOfSales, RecentOrder, RecentTransaction, TopGame};
use sqlx::Row as _;

use crate::row::{how_many, money, order_status, payment_status, transaction_type};
use crate::{Result, Tx};

/// Reads all figures as of `now`, from the bookings.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn read(tx: &mut Tx, now: DateTime<Utc>) -> Result<Dashboard> {
    let counts = sqlx::query(
        "-- store.admin.dashboard.counts
        with day as (select date_trunc('day', $1::timestamptz, 'UTC') as today)
        select (select count(*) from users where deleted_at is null) as users,
               (select count(*) from users, day where deleted_at is null and created_at >= today) as users_today,
               (select coalesce(sum(listed), 0)::bigint from catalog_totals) as games,
               (select count(*) from orders) as orders,
               (select count(*) from orders where status in ('PENDING', 'PROCESSING')) as orders_open,
               (select count(*) from orders where status = 'COMPLETED') as orders_completed,
               (select count(*) from transactions, day where created_at >= today) as transactions_today",
    )
    .bind(now)
    .fetch_one(tx.conn())
    .await?;
    // Purchases are booked negative and refunds positive: their negated sum is the revenue.
    let revenue = sqlx::query(
        "-- store.admin.dashboard.revenue
        with day as (select date_trunc('day', $1::timestamptz, 'UTC') as today)
        select coalesce(-sum(amount), 0)::numeric(12,2) as total,
               coalesce(-sum(amount) filter (where created_at >= today), 0)::numeric(12,2) as today,
               coalesce(-sum(amount) filter (where created_at >= today - interval '6 days'), 0)::numeric(12,2) as week,
               coalesce(-sum(amount) filter (where created_at >= today - interval '29 days'), 0)::numeric(12,2) as month
          from transactions, day where order_id is not null and status = 'COMPLETED'",
    )
    .bind(now)
    .fetch_one(tx.conn())
    .await?;
    Ok(Dashboard {
        total_users: how_many(&counts, "users")?,
        new_users_today: how_many(&counts, "users_today")?,
        total_games: how_many(&counts, "games")?,
        total_orders: how_many(&counts, "orders")?,
        pending_orders: how_many(&counts, "orders_open")?,
        completed_orders: how_many(&counts, "orders_completed")?,
        transactions_today: how_many(&counts, "transactions_today")?,
        total_revenue: money(&revenue, "total")?,
        revenue_today: money(&revenue, "today")?,
        revenue_this_week: money(&revenue, "week")?,
        revenue_this_month: money(&revenue, "month")?,
        top_selling_games: top_games(tx).await?,
        recent_orders: recent_orders(tx).await?,
        recent_transactions: recent_transactions(tx).await?,
        sales_by_day: days(tx, now).await?,
    })
}

async fn top_games(tx: &mut Tx) -> Result<Vec<TopGame>> {
    let rows = sqlx::query(
        "-- store.admin.dashboard.top_games
        select g.id, g.title, g.slug, s.sales, s.revenue
          from (select game_id, count(*) as sales, sum(price_paid - goodwill)::numeric(12,2) as revenue
                  from order_units where state = 'DONE' group by game_id order by 2 desc, game_id limit 5) s
          join games g on g.id = s.game_id order by s.sales desc, g.id",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TopGame {
                id: row.try_get("id")?,
                title: row.try_get("title")?,
                slug: row.try_get("slug")?,
                sales_count: how_many(row, "sales")?,
                revenue: money(row, "revenue")?,
            })
        })
        .collect()
}

async fn recent_orders(tx: &mut Tx) -> Result<Vec<RecentOrder>> {
    let rows = sqlx::query(
        "-- store.admin.dashboard.recent_orders
        select o.id, u.email, o.total, o.status::text as status, o.created_at
          from orders o join users u on u.id = o.user_id order by o.created_at desc, o.id desc limit 10",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RecentOrder {
                id: row.try_get("id")?,
                user_email: row.try_get("email")?,
                total: money(row, "total")?,
                status: order_status(row, "status")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

async fn recent_transactions(tx: &mut Tx) -> Result<Vec<RecentTransaction>> {
    let rows = sqlx::query(
        "-- store.admin.dashboard.recent_transactions
        select t.id, u.email, t.amount, t.type::text as type, t.status::text as status, t.created_at
          from transactions t join users u on u.id = t.user_id order by t.created_at desc, t.id desc limit 10",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RecentTransaction {
                id: row.try_get("id")?,
                user_email: row.try_get("email")?,
                amount: money(row, "amount")?,
                kind: transaction_type(row, "type")?,
                status: payment_status(row, "status")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

async fn days(tx: &mut Tx, now: DateTime<Utc>) -> Result<Vec<DayOfSales>> {
    let rows = sqlx::query(
        "-- store.admin.dashboard.days
        with days as (
            select ((date_trunc('day', $1::timestamptz, 'UTC') at time zone 'UTC')::date - back) as day
              from generate_series(6, 0, -1) back)
        select d.day,
               (select count(*) from orders o where o.status = 'COMPLETED'
                   and o.completed_at >= d.day::timestamp at time zone 'UTC'
                   and o.completed_at < (d.day + 1)::timestamp at time zone 'UTC') as orders,
               (select coalesce(-sum(t.amount), 0)::numeric(12,2) from transactions t
                 where t.order_id is not null and t.status = 'COMPLETED'
                   and t.created_at >= d.day::timestamp at time zone 'UTC'
                   and t.created_at < (d.day + 1)::timestamp at time zone 'UTC') as revenue
          from days d order by d.day",
    )
    .bind(now)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DayOfSales {
                date: row.try_get("day")?,
                count: how_many(row, "orders")?,
                revenue: money(row, "revenue")?,
            })
        })
        .collect()
}
