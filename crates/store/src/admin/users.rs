//! Accounts.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{
    Activity, LoginAttempt, OrderBrief, Page, TransactionBrief, UserDetail, UserList, UserRow,
};
use lockstep_domain::ids::UserId;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{MOST_COUNTED, bounds, contains};
use crate::audit::{self, By};
use crate::row::{
    how_many_of, money_of, nickname_of, order_status_of, payment_status_of, role_of, transaction_type_of,
};
use crate::{Result, Store, Tx};

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
    let rows = sqlx::query_as!(
        Account,
        r#"-- store.admin.users.list
        select u.id, u.email, u.nickname, u.first_name, u.last_name, u.balance, u.role::text as "role!", u.created_at,
               coalesce(t.orders, 0) as "orders!"
          -- Of rows before the page nothing else is looked up.
          from (select p.* from users p
                 where p.deleted_at is null
                   and ($1::text is null or account_words(p.email, p.nickname, p.first_name, p.last_name) ilike $1)
                   and ($2::text is null or account_words(p.email, p.nickname, p.first_name, p.last_name) ilike $2 and p.email ilike $2)
                   and ($3::text is null or account_words(p.email, p.nickname, p.first_name, p.last_name) ilike $3
                                            and concat_ws(' ', p.nickname, p.first_name, p.last_name) ilike $3)
                 order by p.created_at desc, p.id desc limit $4 offset $5) u
          left join user_totals t on t.user_id = u.id
         order by u.created_at desc, u.id desc"#,
        query,
        email,
        name,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let count = if query.is_none() && email.is_none() && name.is_none() {
        sqlx::query_scalar!(
            r#"-- store.admin.users.count
            select coalesce(sum(users), 0)::bigint as "count!" from sales_sums where at = '-infinity'"#
        )
        .fetch_one(tx.uncached())
        .await?
    } else {
        sqlx::query_scalar!(
            r#"-- store.admin.users.count_found
            select count(*) as "count!" from (
                select from users u
                 where u.deleted_at is null
                   and ($1::text is null or account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $1)
                   and ($2::text is null or account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $2
                                            and u.email ilike $2)
                   and ($3::text is null or account_words(u.email, u.nickname, u.first_name, u.last_name) ilike $3
                                            and concat_ws(' ', u.nickname, u.first_name, u.last_name) ilike $3)
                 limit $4) found"#,
            query,
            email,
            name,
            MOST_COUNTED
        )
        .fetch_one(tx.uncached())
        .await?
    };
    Ok(UserList {
        users: rows.into_iter().map(user).collect::<Result<_>>()?,
        paging: page.of(how_many_of(count)),
    })
}

/// An account in a list.
struct Account {
    id: Uuid,
    email: String,
    nickname: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    balance: Decimal,
    role: String,
    created_at: DateTime<Utc>,
    orders: i64,
}

fn user(row: Account) -> Result<UserRow> {
    Ok(UserRow {
        id: row.id,
        email: row.email,
        nickname: nickname_of(row.nickname),
        first_name: row.first_name,
        last_name: row.last_name,
        balance: money_of(row.balance)?,
        role: role_of(&row.role)?,
        created_at: row.created_at,
        orders_count: how_many_of(row.orders),
    })
}

/// An account that was not deleted, with its newest orders and bookings.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: UserId) -> Result<Option<UserDetail>> {
    let row = sqlx::query_as!(
        Account,
        r#"-- store.admin.users.detail
        select u.id, u.email, u.nickname, u.first_name, u.last_name, u.balance, u.role::text as "role!", u.created_at,
               coalesce(t.orders, 0) as "orders!"
          from users u left join user_totals t on t.user_id = u.id where u.id = $1 and u.deleted_at is null"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(UserDetail {
        user: user(row)?,
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
    let known = sqlx::query_scalar!(
        r#"-- store.admin.users.exists
        select 1 as "known!" from users where id = $1"#,
        id.0
    )
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

/// Records in the audit log that a member of staff takes out what is stored about an account.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn record_export(store: &Store, by: UserId, id: UserId, format: &'static str) -> Result<()> {
    store
        .tx("admin.users.record_export", move |tx| {
            let details = serde_json::json!({ "format": format });
            Box::pin(async move { audit::record(tx, &By::Staff(by), "user.export", ("user", id.0), details).await })
        })
        .await
}

async fn logins(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<LoginAttempt>> {
    Ok(sqlx::query_as!(
        LoginAttempt,
        "-- store.admin.users.logins
        select id, host(address) as ip_address, user_agent, succeeded as success, created_at from login_history
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4",
        id.0,
        span.from,
        span.until,
        NEWEST
    )
    .fetch_all(tx.conn())
    .await?)
}

async fn orders(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<OrderBrief>> {
    let rows = sqlx::query!(
        r#"-- store.admin.users.orders
        select id, status::text as "status!", total, created_at from orders
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4"#,
        id.0,
        span.from,
        span.until,
        NEWEST
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(OrderBrief {
                id: row.id,
                status: order_status_of(&row.status)?,
                total: money_of(row.total)?,
                created_at: row.created_at,
            })
        })
        .collect()
}

async fn transactions(tx: &mut Tx, id: UserId, span: Span) -> Result<Vec<TransactionBrief>> {
    let rows = sqlx::query!(
        r#"-- store.admin.users.transactions
        select id, type::text as "kind!", amount, status::text as "status!", created_at from transactions
         where user_id = $1 and ($2::timestamptz is null or created_at >= $2) and ($3::timestamptz is null or created_at < $3)
         order by created_at desc, id desc limit $4"#,
        id.0,
        span.from,
        span.until,
        NEWEST
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TransactionBrief {
                id: row.id,
                kind: transaction_type_of(&row.kind)?,
                amount: money_of(row.amount)?,
                status: payment_status_of(&row.status)?,
                created_at: row.created_at,
            })
        })
        .collect()
}
