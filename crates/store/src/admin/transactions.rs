//! Bookings.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{OrderStanding, OrderTransaction, Page, TransactionList, TransactionRow};
use lockstep_domain::ids::OrderId;
use lockstep_domain::purchase::PaymentStatus;

use super::{MOST_COUNTED, bounds, contains, user_brief};
use crate::row::{how_many_of, money_of, order_status_of, payment_status_of, transaction_type_of};
use crate::{Result, Tx};

/// Which bookings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Payment method.
    pub method: Option<Method>,
    /// Payment status.
    pub status: Option<PaymentStatus>,
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// Text contained in the external reference.
    pub transaction_hash: Option<String>,
}

/// How a method is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Exactly this.
    Is(String),
    /// Containing this.
    Contains(String),
}

/// The [`OrderTransaction`] in a row of either statement below.
macro_rules! transaction {
    ($row:ident) => {
        OrderTransaction {
            id: $row.id,
            kind: transaction_type_of(&$row.kind)?,
            amount: money_of($row.amount)?,
            currency: $row.currency,
            method: $row.method,
            status: payment_status_of(&$row.status)?,
            description: $row.description,
            transaction_hash: $row.transaction_hash,
            created_at: $row.created_at,
        }
    };
}

/// Bookings, newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<TransactionList> {
    let (limit, offset) = bounds(page);
    let (exact, part) = match &filter.method {
        None => (None, None),
        Some(Method::Is(method)) => (Some(method.as_str()), None),
        Some(Method::Contains(text)) => (None, Some(contains(text))),
    };
    let status = filter.status.map(PaymentStatus::as_str);
    let hash = filter.transaction_hash.as_deref().map(contains);
    let rows = sqlx::query!(
        r#"-- store.admin.transactions.list
        select t.id, t.user_id, u.email, u.nickname, u.first_name, u.last_name, t.order_id,
               o.status::text as "order_status?",
               t.type::text as "kind!", t.amount, t.currency, t.method, t.status::text as "status!", t.description,
               t.transaction_hash, t.created_at
          -- Rows before the page are passed in the index alone.
          from (select p.id from transactions p
                 where ($1::text is null or p.method = $1) and ($2::text is null or p.method ilike $2 or split_part(p.transaction_hash, ':', 1) ilike $2
                        -- Of this type are all methods of payment.
                        or p.type = 'TOP_UP' and 'terminal' ilike $2)
                   and ($3::text::payment_status is null or p.status = $3::text::payment_status)
                   and ($4::timestamptz is null or p.created_at >= $4) and ($5::timestamptz is null or p.created_at < $5)
                   and ($6::text is null or p.transaction_hash ilike $6)
                 order by p.created_at desc, p.id desc limit $7 offset $8) page
          join transactions t on t.id = page.id join users u on u.id = t.user_id left join orders o on o.id = t.order_id
         order by t.created_at desc, t.id desc"#,
        exact,
        part,
        status,
        filter.from,
        filter.until,
        hash,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let is_all = *filter == Filter::default();
    let total = sqlx::query_scalar!(
        r#"-- store.admin.transactions.count
        select count(*) as "count!" from (
            select from transactions t
             where ($1::text is null or t.method = $1) and ($2::text is null or t.method ilike $2 or split_part(t.transaction_hash, ':', 1) ilike $2
                    -- Of this type are all methods of payment.
                    or t.type = 'TOP_UP' and 'terminal' ilike $2)
               and ($3::text::payment_status is null or t.status = $3::text::payment_status)
               and ($4::timestamptz is null or t.created_at >= $4) and ($5::timestamptz is null or t.created_at < $5)
               and ($6::text is null or t.transaction_hash ilike $6)
             limit $7) found"#,
        exact,
        part,
        status,
        filter.from,
        filter.until,
        hash,
        (!is_all).then_some(MOST_COUNTED)
    )
    .fetch_one(tx.uncached())
    .await?;
    let transactions = rows
        .into_iter()
        .map(|row| {
            let order = match (row.order_id, row.order_status.as_deref()) {
                (Some(id), Some(status)) => Some(OrderStanding {
                    id,
                    status: order_status_of(status)?,
                }),
                _ => None,
            };
            Ok(TransactionRow {
                user_id: row.user_id,
                user: user_brief!(row),
                order_id: row.order_id,
                order,
                transaction: transaction!(row),
            })
        })
        .collect::<Result<_>>()?;
    Ok(TransactionList {
        transactions,
        paging: page.of(how_many_of(total)),
    })
}

/// The booking that paid for an order.
pub(super) async fn of_order(tx: &mut Tx, order: OrderId) -> Result<Option<OrderTransaction>> {
    let row = sqlx::query!(
        r#"-- store.admin.transactions.of_order
        select id, type::text as "kind!", amount, currency, method, status::text as "status!", description, transaction_hash,
               created_at
          from transactions where order_id = $1 and type = 'PURCHASE'"#,
        order.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| Ok(transaction!(row))).transpose()
}
