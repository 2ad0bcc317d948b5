//! Accounts.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{
    Activity, LoginAttempt, OrderBrief, Page, TransactionBrief, UserDetail, UserList, UserRow,
};
use lockstep_domain::ids::UserId;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{bounds, contains};
use crate::row::{how_many, money, nickname, order_status, payment_status, role, transaction_type};
use crate::{Result, Tx};

/// Number of rows of each kind in a user's details.
const NEWEST: i64 = 100;

/// Which accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Text contained in the address, the nickname or a name.
    pub query: Option<String>,
    /// Text contained in the address.
    pub email: Option<String>,
    /// Text contained in the nickname or a name.
    pub name: Option<String>,
}

/// A time range; either end can be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Accounts that were not deleted, newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<UserList> {
    let (limit, offset) = bounds(page);
    let [query, email, name] = [&filter.query, &filter.email, &filter.name].map(|text| text.as_deref().map(contains));
    let rows = sqlx::query(
        "-- store.admin.users.list
        select u.id, u.email, u.nickname, u.first_name, u.last_name, u.balance, u.role::text as role, u.created_at,
               coalesce(t.orders, 0) as orders
          from users u left join user_totals t on t.user_id = u.id
         where u.deleted_at is null
           and ($1::text is null or concat_ws(' ', u.email, u.nickname, u.first_name, u.last_name) ilike $1)
           and ($2::text is null or u.email ilike $2)
           and ($3::text is null or concat_ws(' ', u.nickname, u.first_name, u.last_name) ilike $3)
         order by u.created_at desc, u.id desc limit $4 offset $5",
    )
    .persistent(false)
    .bind(&query)
    .bind(&email)
    .bind(&name)
    .bind(limit)
    .bind(offset)
    .fetch_all(tx.conn())
    .await?;
    let count = sqlx::query(
        "-- store.admin.users.count
        select count(*) from users u
         where u.deleted_at is null
           and ($1::text is null or concat_ws(' ', u.email, u.nickname, u.first_name, u.last_name) ilike $1)
           and ($2::text is null or u.email ilike $2)
           and ($3::text is null or concat_ws(' ', u.nickname, u.first_name, u.last_name) ilike $3)",
    )
    .persistent(false)
    .bind(&query)
    .bind(&email)
    .bind(&name)
    .fetch_one(tx.conn())
    .await?;
    Ok(UserList {
        users: rows.iter().map(user).collect::<Result<_>>()?,
        paging: page.of(how_many(&count, 0)?),
    })
}

fn user(row: &PgRow) -> Result<UserRow> {
    Ok(UserRow {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        nickname: nickname(row)?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        balance: money(row, "balance")?,
        role: role(row, "role")?,
        created_at: row.try_get("created_at")?,
        orders_count: how_many(row, "orders")?,
    })
}

/// An account that was not deleted, with its newest orders and bookings.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: UserId) -> Result<Option<UserDetail>> {
    let row = sqlx::query(
        "-- store.admin.users.detail
        select u.id, u.email, u.nickname, u.first_name, u.last_name, u.balance, u.role::text as role, u.created_at,
               coalesce(t.orders, 0) as orders
          from users u left join user_totals t on t.user_id = u.id where u.id = $1 and u.deleted_at is null",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(UserDetail {
        user: user(&row)?,
        orders: orders(tx, id, Span::default()).await?,
        transactions: transactions(tx, id, Span::default()).await?,
    }))
}

/// Which kinds of [`Activity`] to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attempts to log in.
    Login,
    /// Orders.
    Order,
    /// Bookings.
    Transaction,
    /// All of them.
    All,
}

/// An account's activity, also of a deleted one; `None` if there is no such account.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn activity(tx: &mut Tx, id: UserId, kind: Kind, span: Span) -> Result<Option<Activity>> {
    let known = sqlx::query("-- store.admin.users.exists\nselect 1 from users where id = $1")
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await?;
    if known.is_none() {
        return Ok(None);
    }
    let wants = |one| kind == one || kind == Kind::All;
    let mut activity = Activity {
        user_id: id.0,
        login_history: Vec::new(),
        orders: Vec::new(),
        transactions: Vec::new(),
    };
    if wants(Kind::Login) {
        activity.login_history = logins(tx, id, span).await?;
    }
    if wants(Kind::Order) {
        activity.orders = orders(tx, id, span).await?;
    }
    if wants(Kind::Transaction) {
        activity.transactions = transactions(tx, id, span).await?;
    }
    Ok(Some(activity))
}

async fn logins(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<LoginAttempt>> {
    let rows = sqlx::query(
        "-- store.admin.users.logins
        select id, host(address) as address, user_agent, succeeded, created_at from login_history
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4",
    )
    .bind(id.0)
    .bind(span.from)
    .bind(span.until)
    .bind(NEWEST)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LoginAttempt {
                id: row.try_get("id")?,
                ip_address: row.try_get("address")?,
                user_agent: row.try_get("user_agent")?,
                success: row.try_get("succeeded")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

async fn orders(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<OrderBrief>> {
    let rows = sqlx::query(
        "-- store.admin.users.orders
        select id, status::text as status, total, created_at from orders
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4",
    )
    .bind(id.0)
    .bind(span.from)
    .bind(span.until)
    .bind(NEWEST)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OrderBrief {
                id: row.try_get("id")?,
                status: order_status(row, "status")?,
                total: money(row, "total")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

async fn transactions(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<TransactionBrief>> {
    let rows = sqlx::query(
        "-- store.admin.users.transactions
        select id, type::text as type, amount, status::text as status, created_at from transactions
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4",
    )
    .bind(id.0)
    .bind(span.from)
    .bind(span.until)
    .bind(NEWEST)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TransactionBrief {
                id: row.try_get("id")?,
                kind: transaction_type(row, "type")?,
                amount: money(row, "amount")?,
                status: payment_status(row, "status")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}
