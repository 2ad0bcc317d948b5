//! The export of a user's data: everything stored about them, read in pages.
//!
//! An export holds no transaction while it runs. It lasts as long as the client takes to read it, and a snapshot of
//! that length would keep dead rows of every table and occupy a connection. Each page is therefore a separate read that
//! starts after the last row of the previous page and checks that the account still exists. Data that changes meanwhile
//! (the state of an order) is shown as of the read of its page.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use lockstep_domain::ids::UserId;
use uuid::Uuid;

use crate::{Result, Tx};

/// Approximate maximum size of a page in bytes; its last row, however large, may exceed it.
pub const PAGE_BYTES: i64 = 128 * 1024;
/// Maximum number of rows in a page.
const PAGE_ROWS: i64 = 200;

/// One list of an export.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// The name of the list in the file.
    pub name: &'static str,
    read: Read,
}

/// Reads the lines of a user after a position.
type Read = fn(&mut Tx, UserId, Option<Place>) -> BoxFuture<'_, sqlx::Result<Vec<Exported>>>;

/// A row of a list, if there is one, and how many there are in the page.
#[derive(Debug)]
struct Exported {
    line: Option<String>,
    at: Option<DateTime<Utc>>,
    id: Option<Uuid>,
    found: i64,
}

/// The position of a row in its list: the rows after it remain to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    at: DateTime<Utc>,
    id: Uuid,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Each is a JSON object.
    pub rows: Vec<String>,
    /// The position of the next page; `None` for the last page.
    pub next: Option<Place>,
}

/// A page of `$rows`: `line` (the content), `at` and `id` (the sort key), of user `$1`, after the position `$2`, `$3`,
/// at most `$4` rows. It ends with the row that exceeds `$5` bytes. It is one row without a line if there is no
/// content, and no row if the account does not exist.
macro_rules! list {
    ($name:literal, $statement:literal, $rows:literal) => {
        List {
            name: $name,
            read: |tx, user, place| {
                let lines = sqlx::query_as!(
                    Exported,
                    "-- store.accounts.export."
                        + $statement
                        + "
                with rows as (select r.line::text as line, r.at, r.id from ("
                        + $rows
                        + r#" order by at, id limit $4) r),
                measured as (
                    select line, at, id, sum(octet_length(line)) over (order by at, id) - octet_length(line) as before
                      from rows)
                select m.line as "line?", m.at as "at?", m.id as "id?", (select count(*) from rows) as "found!"
                  from users u left join measured m on m.before < $5
                 where u.id = $1 and u.deleted_at is null order by m.at, m.id"#,
                    user.0,
                    place.map(|place| place.at),
                    place.map_or(Uuid::nil(), |place| place.id),
                    PAGE_ROWS,
                    PAGE_BYTES
                );
                Box::pin(lines.fetch_all(tx.conn()))
            },
        }
    };
}

/// The lists of the file, in its order.
pub const LISTS: [List; 15] = [
    list!(
        "orders",
        "orders",
        "select to_jsonb(o) - array['traceparent', 'asks_consent'] || jsonb_build_object(
                    'items', (select coalesce(jsonb_agg(to_jsonb(i) || jsonb_build_object('title', g.title)), '[]')
                                from order_items i join games g on g.id = i.game_id where i.order_id = o.id),
                    'keys', (select coalesce(jsonb_agg(to_jsonb(k) - array['key_ciphertext', 'key_hash', 'cost']), '[]')
                               from game_keys k where k.order_id = o.id),
                    'consent', (select to_jsonb(c) - 'order_id' from order_consents c where c.order_id = o.id)) as line,
                o.created_at as at, o.id
           from orders o
          where o.user_id = $1 and (o.created_at, o.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    // The reference of an adjustment is for admins only.
    list!(
        "transactions",
        "transactions",
        "select case when t.method = 'ADJUSTMENT' then to_jsonb(t) - 'transaction_hash' else to_jsonb(t) end as line,
                t.created_at as at, t.id
           from transactions t
          where t.user_id = $1 and (t.created_at, t.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "topUps",
        "top_ups",
        "select to_jsonb(p) - array['redirect_url', 'traceparent'] || jsonb_build_object(
                    'checkout', (select to_jsonb(c) - array['top_up_id', 'user_id', 'request_hash', 'due_at', 'attempts']
                                   from pending_checkouts c where c.top_up_id = p.id)) as line, p.created_at as at, p.id
           from top_ups p
          where p.user_id = $1 and (p.created_at, p.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "billing",
        "billing",
        "select to_jsonb(b) as line, b.updated_at as at, b.user_id as id
           from billing_profiles b
          where b.user_id = $1 and (b.updated_at, b.user_id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    // With how the order is taxed, and the evidence for it.
    list!(
        "receipts",
        "receipts",
        "select to_jsonb(r) - 'settings' || jsonb_build_object(
                    'tax', to_jsonb(t) - array['order_id', 'settings'],
                    'lines', (select jsonb_agg(to_jsonb(l) - 'receipt_id' order by l.position) from receipt_lines l
                               where l.receipt_id = r.id)) as line,
                r.issued_at as at, r.id
           from orders o join receipts r on r.order_id = o.id join order_taxes t on t.order_id = o.id
          where o.user_id = $1 and (r.issued_at, r.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    // What a payment provider reported without effect of a top-up of theirs, or of a payer with their proved e-mail
    // address; bytes outside ASCII as `\\ooo`.
    list!(
        "paymentEvents",
        "deliveries",
        "select to_jsonb(d) - array['body', 'digest', 'payers'] || jsonb_build_object('body', encode(d.body, 'escape')) as line,
                d.received_at as at, d.id
           from unused_deliveries d
          where (d.user_id = $1 or d.payers @> array[(select email from users where id = $1 and email_verified)])
            and (d.received_at, d.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "keyReveals",
        "key_reveals",
        "select to_jsonb(r) - 'minute' as line, r.at, r.id
           from key_reveals r
          where r.user_id = $1 and (r.at, r.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "cart",
        "cart",
        "select to_jsonb(c) || jsonb_build_object('title', g.title) as line, c.added_at as at, c.game_id as id
           from cart_items c join games g on g.id = c.game_id
          where c.user_id = $1 and (c.added_at, c.game_id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "wishlist",
        "wishlist",
        "select to_jsonb(w) || jsonb_build_object('title', g.title) as line, w.added_at as at, w.game_id as id
           from wishlist w join games g on g.id = w.game_id
          where w.user_id = $1 and (w.added_at, w.game_id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "stockAlerts",
        "stock_alerts",
        "select to_jsonb(a) || jsonb_build_object('title', g.title) as line, a.created_at as at, a.game_id as id
           from stock_alerts a join games g on g.id = a.game_id
          where a.user_id = $1 and (a.created_at, a.game_id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "pictures",
        "pictures",
        "select to_jsonb(a) || jsonb_build_object('image', encode(a.image, 'base64')) as line, a.created_at as at, a.id
           from avatars a
          where a.user_id = $1 and (a.created_at, a.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "sessions",
        "sessions",
        "select to_jsonb(s) - array['refresh_id', 'previous_refresh_id'] as line, s.created_at as at, s.id
           from user_sessions s
          where s.user_id = $1 and (s.created_at, s.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "apiTokens",
        "api_tokens",
        "select to_jsonb(k) - 'hash' as line, k.created_at as at, k.id
           from api_tokens k
          where k.user_id = $1 and (k.created_at, k.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "loginHistory",
        "login_history",
        "select to_jsonb(h) as line, h.created_at as at, h.id
           from login_history h
          where h.user_id = $1 and (h.created_at, h.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
    list!(
        "letters",
        "letters",
        "select to_jsonb(m) - array['letter', 'sealed', 'lease', 'traceparent'] as line, m.created_at as at, m.id
           from mail_outbox m
          where m.user_id = $1 and (m.created_at, m.id) > (coalesce($2::timestamptz, '-infinity'), $3)"
    ),
];

/// The account's row as a JSON object, without credentials; `None` if the account does not exist.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn person(tx: &mut Tx, user: UserId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        r#"-- store.accounts.export.person
        select (to_jsonb(u) - array['password_hash', 'kind', 'deleted_at'])::text as "person!"
          from users u where u.id = $1 and u.deleted_at is null"#,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// The rows of `list` after `place`, without the ciphertext of keys, codes and the content of e-mails; keys are listed
/// with their orders. `None` if the account does not exist.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn page(tx: &mut Tx, user: UserId, list: &List, place: Option<Place>) -> Result<Option<Page>> {
    let found = (list.read)(tx, user, place).await?;
    let Some(available) = found.first().map(|line| line.found) else {
        return Ok(None);
    };
    let mut page = Page {
        rows: Vec::with_capacity(found.len()),
        next: None,
    };
    for Exported { line, at, id, .. } in found {
        if let (Some(line), Some(at), Some(id)) = (line, at, id) {
            page.rows.push(line);
            page.next = Some(Place { at, id });
        }
    }
    // Fewer than requested, and none left out for its size.
    let read = i64::try_from(page.rows.len()).unwrap_or(i64::MAX);
    if available < PAGE_ROWS && read == available {
        page.next = None;
    }
    Ok(Some(page))
}
