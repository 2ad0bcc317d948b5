//! Lists of staff as files: every row of a list, read through a cursor in one snapshot.
//!
//! A file shows what its list shows, with the same filter and in the same order.

use lockstep_domain::account::DEFAULT_NICKNAME;
use lockstep_domain::ids::UserId;
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::PaymentStatus;
use uuid::Uuid;

use super::transactions::Method;
use super::{carts, catalogue, contains, transactions, users};
use crate::audit::{self, By};
use crate::vat::{self, ReceiptFilter};

use crate::{Result, Store, Tx};

/// A list, with its filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// Orders of one status, if given.
    Orders(Option<OrderStatus>),
    /// Accounts that were not deleted.
    Users(users::Filter),
    /// Bookings.
    Transactions(transactions::Filter),
    /// Listed games.
    Games,
    /// Listed games of a filter, in an order.
    Catalogue(catalogue::Filter, catalogue::Sort),
    /// Promo codes.
    PromoCodes,
    /// The codes of a batch.
    PromoBatch(Uuid),
    /// Carts of accounts.
    Carts(carts::Filter),
    /// Wishlists of accounts.
    Wishlists(carts::Filter),
    /// Receipts and credit notes, for accountants.
    Receipts(ReceiptFilter),
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text that somebody typed.
    Text,
    /// A number, a date, an id or a word of the shop's own.
    Plain,
}

/// The names of the columns, and what they hold.
type Columns = &'static [(&'static str, Kind)];

use Kind::{Plain, Text};

const ORDERS: Columns = &[
    ("id", Plain),
    ("userEmail", Text),
    ("userNickname", Text),
    ("total", Plain),
    ("status", Plain),
    ("itemsCount", Plain),
    ("items", Text),
    ("createdAt", Plain),
];
const USERS: Columns = &[
    ("id", Plain),
    ("email", Text),
    ("nickname", Text),
    ("firstName", Text),
    ("lastName", Text),
    ("balance", Plain),
    ("role", Plain),
    ("createdAt", Plain),
    ("ordersCount", Plain),
];
const TRANSACTIONS: Columns = &[
    ("id", Plain),
    ("userId", Plain),
    ("userEmail", Text),
    ("userNickname", Text),
    ("orderId", Plain),
    ("orderStatus", Plain),
    ("type", Plain),
    ("amount", Plain),
    ("currency", Plain),
    ("method", Text),
    ("status", Plain),
    ("description", Text),
    ("transactionHash", Text),
    ("createdAt", Plain),
];
const GAMES: Columns = &[
    ("id", Plain),
    ("title", Text),
    ("slug", Text),
    ("price", Plain),
    ("originalPrice", Plain),
    ("platform", Text),
    ("genre", Text),
    ("inStock", Plain),
    ("isPreorder", Plain),
    ("imageUrl", Text),
    ("salesCount", Plain),
    ("createdAt", Plain),
];
const CATALOGUE: Columns = &[
    ("id", Plain),
    ("title", Text),
    ("slug", Text),
    ("g2aProductId", Text),
    ("platform", Text),
    ("genre", Text),
    ("price", Plain),
    ("originalPrice", Plain),
    ("inStock", Plain),
    ("hidden", Plain),
    ("isPreorder", Plain),
    ("featured", Plain),
    ("lockedFields", Plain),
    ("createdAt", Plain),
];
const PROMO_CODES: Columns = &[
    ("id", Plain),
    // Of letters, digits, `-` and `_`: it can begin like a formula.
    ("code", Text),
    ("discount", Plain),
    ("maxUses", Plain),
    ("usedCount", Plain),
    ("validFrom", Plain),
    ("validUntil", Plain),
    ("active", Plain),
    ("createdAt", Plain),
];
const PROMO_BATCH: Columns = &[
    ("code", Text),
    ("usedCount", Plain),
    ("active", Plain),
    ("validFrom", Plain),
    ("validUntil", Plain),
];
const CARTS: Columns = &[
    ("userId", Plain),
    ("userEmail", Text),
    ("userNickname", Text),
    ("itemCount", Plain),
    ("total", Plain),
    ("lastUpdated", Plain),
];
const WISHLISTS: Columns = &[
    ("userId", Plain),
    ("userEmail", Text),
    ("userNickname", Text),
    ("itemCount", Plain),
    ("lastUpdated", Plain),
];

const RECEIPTS: Columns = &[
    ("number", Plain),
    ("kind", Plain),
    ("date", Plain),
    ("order", Plain),
    ("corrects", Plain),
    ("treatment", Plain),
    ("country", Plain),
    ("rate", Plain),
    ("net", Plain),
    ("vat", Plain),
    ("gross", Plain),
    ("currency", Plain),
    ("proof", Plain),
    ("billingCountry", Plain),
    ("ipCountry", Plain),
    ("cardCountry", Plain),
    ("ratesDate", Plain),
    ("ratesSource", Text),
    ("buyerVatId", Text),
    ("buyerName", Text),
];

impl List {
    /// Its name, in the audit log and of the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Orders(_) => "orders",
            Self::Users(_) => "users",
            Self::Transactions(_) => "transactions",
            Self::Games => "games",
            Self::Catalogue(..) => "catalogue",
            Self::PromoCodes => "promo-codes",
            Self::PromoBatch(_) => "promo-batch",
            Self::Carts(_) => "carts",
            Self::Wishlists(_) => "wishlists",
            Self::Receipts(_) => "receipts",
        }
    }

    /// Its columns.
    pub const fn columns(&self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Orders(_) => ORDERS,
            Self::Users(_) => USERS,
            Self::Transactions(_) => TRANSACTIONS,
            Self::Games => GAMES,
            Self::Catalogue(..) => CATALOGUE,
            Self::PromoCodes => PROMO_CODES,
            Self::PromoBatch(_) => PROMO_BATCH,
            Self::Carts(_) => CARTS,
            Self::Wishlists(_) => WISHLISTS,
            Self::Receipts(_) => RECEIPTS,
        }
    }

    /// The names of the filters that are set, without their values, which can be about a person.
    pub fn filters(&self) -> Vec<&'static str> {
        let set: Vec<(&'static str, bool)> = match self {
            Self::Orders(status) => vec![("status", status.is_some())],
            Self::Users(filter) => vec![
                ("query", filter.query.is_some()),
                ("email", filter.email.is_some()),
                ("name", filter.name.is_some()),
            ],
            Self::Transactions(filter) => vec![
                ("method", filter.method.is_some()),
                ("status", filter.status.is_some()),
                ("startDate", filter.from.is_some()),
                ("endDate", filter.until.is_some()),
                ("transactionHash", filter.transaction_hash.is_some()),
            ],
            Self::Games | Self::PromoCodes => Vec::new(),
            Self::Catalogue(filter, _) => vec![
                ("search", filter.text.is_some()),
                ("genre", filter.genre.is_some()),
                ("platform", filter.platform.is_some()),
                ("tag", filter.tag.is_some()),
                ("hidden", filter.hidden.is_some()),
                ("inStock", filter.in_stock.is_some()),
                ("ownPrice", filter.own_price.is_some()),
                ("locked", filter.locked.is_some()),
                ("preorder", filter.preorder.is_some()),
                ("supplied", filter.supplied.is_some()),
            ],
            Self::PromoBatch(_) => vec![("batch", true)],
            Self::Carts(filter) | Self::Wishlists(filter) => {
                vec![("userId", filter.user.is_some()), ("email", filter.email.is_some())]
            }
            Self::Receipts(filter) => vec![
                ("kind", filter.kind.is_some()),
                ("from", filter.from.is_some()),
                ("to", filter.until.is_some()),
                ("number", filter.number.is_some()),
                ("review", filter.to_review),
            ],
        };
        set.into_iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Opens the cursor that [`next`] reads from, for this transaction.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn open(tx: &mut Tx, list: &List) -> Result<()> {
    match list {
        List::Orders(status) => open_orders(tx, *status).await,
        List::Users(filter) => open_users(tx, filter).await,
        List::Transactions(filter) => open_transactions(tx, filter).await,
        List::Games => open_games(tx).await,
        List::Catalogue(filter, sort) => catalogue::open_file(tx, filter, *sort).await,
        List::PromoCodes => open_promo_codes(tx).await,
        List::PromoBatch(batch) => open_promo_batch(tx, *batch).await,
        List::Carts(filter) => open_carts(tx, filter).await,
        List::Wishlists(filter) => open_wishlists(tx, filter).await,
        List::Receipts(filter) => vat::open_file(tx, filter).await,
    }
}

/// The next rows, at most 500, each with a value per column; none after the last one.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn next(tx: &mut Tx) -> Result<Vec<Vec<Option<String>>>> {
    // No macro: it would ask for the columns of a cursor that is not open then.
    Ok(
        sqlx::query_scalar("-- store.admin.files.next\nfetch 500 from rows_of_list")
            .persistent(false)
            .fetch_all(tx.conn())
            .await?,
    )
}

async fn open_orders(tx: &mut Tx, status: Option<OrderStatus>) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.orders
        declare rows_of_list no scroll cursor for
        select array[o.id::text, u.email, coalesce(u.nickname, $2), o.total::text, o.status::text,
                     (select sum(i.quantity)::text from order_items i where i.order_id = o.id),
                     (select string_agg(i.quantity || ' × ' || g.title, '; ' order by i.id)
                        from order_items i join games g on g.id = i.game_id where i.order_id = o.id),
                     to_char(o.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from orders o join users u on u.id = o.user_id
         where $1::text::order_status is null or o.status = $1::text::order_status
         order by o.created_at desc, o.id desc"#,
        status.map(OrderStatus::as_str),
        DEFAULT_NICKNAME
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_users(tx: &mut Tx, filter: &users::Filter) -> Result<()> {
    let [query, email, name] = [&filter.query, &filter.email, &filter.name].map(|text| text.as_deref().map(contains));
    sqlx::query!(
        r#"-- store.admin.files.users
        declare rows_of_list no scroll cursor for
        select array[u.id::text, u.email, coalesce(u.nickname, $4), u.first_name, u.last_name, u.balance::text, u.role::text,
                     to_char(u.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                     coalesce((select t.orders from user_totals t where t.user_id = u.id), 0)::text]
          from users u
         where u.deleted_at is null
           and ($1::text is null or concat_ws(' ', u.email, u.nickname, u.first_name, u.last_name) ilike $1)
           and ($2::text is null or u.email ilike $2)
           and ($3::text is null or concat_ws(' ', u.nickname, u.first_name, u.last_name) ilike $3)
         order by u.created_at desc, u.id desc"#,
        query,
        email,
        name,
        DEFAULT_NICKNAME
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_transactions(tx: &mut Tx, filter: &transactions::Filter) -> Result<()> {
    let (exact, part) = match &filter.method {
        None => (None, None),
        Some(Method::Is(method)) => (Some(method.as_str()), None),
        Some(Method::Contains(text)) => (None, Some(contains(text))),
    };
    sqlx::query!(
        r#"-- store.admin.files.transactions
        declare rows_of_list no scroll cursor for
        select array[t.id::text, t.user_id::text, u.email, coalesce(u.nickname, $7), t.order_id::text,
                     (select o.status::text from orders o where o.id = t.order_id), t.type::text, t.amount::text, t.currency,
                     t.method, t.status::text, t.description, t.transaction_hash,
                     to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from transactions t join users u on u.id = t.user_id
         where ($1::text is null or t.method = $1) and ($2::text is null or t.method ilike $2)
           and ($3::text::payment_status is null or t.status = $3::text::payment_status)
           and ($4::timestamptz is null or t.created_at >= $4) and ($5::timestamptz is null or t.created_at < $5)
           and ($6::text is null or t.transaction_hash ilike $6)
         order by t.created_at desc, t.id desc"#,
        exact,
        part,
        filter.status.map(PaymentStatus::as_str),
        filter.from,
        filter.until,
        filter.transaction_hash.as_deref().map(contains),
        DEFAULT_NICKNAME
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_games(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.games
        declare rows_of_list no scroll cursor for
        select array[g.id::text, g.title, g.slug, g.price::text, g.original_price::text,
                     coalesce((select min(p.name) from game_platforms l join platforms p on p.id = l.platform_id
                                where l.game_id = g.id), ''),
                     coalesce((select min(n.name) from game_genres l join genres n on n.id = l.genre_id
                                where l.game_id = g.id), ''),
                     g.in_stock::text, g.is_preorder::text, g.image,
                     coalesce((select sum(s.copies) from game_sums s where s.game_id = g.id), 0)::text,
                     to_char(g.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from games g where g.withdrawn_at is null order by g.created_at desc, g.id desc"#
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_promo_codes(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.promo_codes
        declare rows_of_list no scroll cursor for
        select array[id::text, code, discount::text, max_uses::text, used_count::text,
                     to_char(valid_from at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                     to_char(valid_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), active::text,
                     to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from promo_codes where batch_id is null order by created_at desc, code"#
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_promo_batch(tx: &mut Tx, batch: Uuid) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.promo_batch
        declare rows_of_list no scroll cursor for
        select array[code, used_count::text, active::text,
                     to_char(valid_from at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                     to_char(valid_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from promo_codes where batch_id = $1 order by code"#,
        batch
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_carts(tx: &mut Tx, filter: &carts::Filter) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.carts
        declare rows_of_list no scroll cursor for
        select array[u.id::text, u.email, coalesce(u.nickname, $3), sum(c.quantity)::text,
                     sum(c.quantity * g.price)::numeric(12,2)::text,
                     to_char(max(c.added_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from cart_items c join users u on u.id = c.user_id join games g on g.id = c.game_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)
         group by u.id order by max(c.added_at) desc, u.id"#,
        filter.user.map(|user| user.0),
        filter.email.as_deref().map(contains),
        DEFAULT_NICKNAME
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

async fn open_wishlists(tx: &mut Tx, filter: &carts::Filter) -> Result<()> {
    sqlx::query!(
        r#"-- store.admin.files.wishlists
        declare rows_of_list no scroll cursor for
        select array[u.id::text, u.email, coalesce(u.nickname, $3), count(*)::text,
                     to_char(max(w.added_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')]
          from wishlist w join users u on u.id = w.user_id
         where u.deleted_at is null and ($1::uuid is null or u.id = $1) and ($2::text is null or u.email ilike $2)
         group by u.id order by max(w.added_at) desc, u.id"#,
        filter.user.map(|user| user.0),
        filter.email.as_deref().map(contains),
        DEFAULT_NICKNAME
    )
    .execute(tx.uncached())
    .await?;
    Ok(())
}

/// Records in the audit log that a member of staff takes a list out as a file.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn record(store: &Store, by: UserId, list: &List) -> Result<()> {
    let details = serde_json::json!({ "list": list.name(), "filters": list.filters() });
    store
        .tx("admin.files.record", move |tx| {
            let details = details.clone();
            Box::pin(async move {
                audit::record(tx, &By::Staff(by), "list.export", ("export", Uuid::now_v7()), details).await
            })
        })
        .await
}
