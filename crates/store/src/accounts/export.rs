//! What a person takes along: everything that is stored about them, read in pages.
//!
//! No transaction is held for the length of an export. It lasts as long as its reader takes, and an open snapshot of
//! that length would keep dead rows of every table and a connection from everybody else. So each page is a read of
//! its own that begins after the last row of the page before, and looks whether the account is still there. What changes
//! meanwhile (the state of an order) is shown as it is when its page is read.

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UserId;
use sqlx::Row as _;
use uuid::Uuid;

use crate::{Result, Tx};

/// About how many bytes of rows a page holds at most; one more row, however large, may go beyond it.
pub const PAGE_BYTES: i64 = 128 * 1024;
/// The most rows of a page.
const PAGE_ROWS: i64 = 200;

/// One kind of rows in an export.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// The name of its list in the file.
    pub name: &'static str,
    statement: &'static str,
}

/// A row's place in its list: everything after it is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    at: DateTime<Utc>,
    id: Uuid,
}

/// Some rows of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Each is a JSON object.
    pub rows: Vec<String>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Place>,
}

/// A page of `$rows`: `line` (what is shown), `at` and `id` (what it is sorted by), of user `$1`, after the place `$2`,
/// `$3`, at most `$4` rows. It ends with the row that goes beyond `$5` bytes, and has one row without a line when there
/// is nothing, none when the account is gone.
macro_rules! list {
    ($name:literal, $statement:literal, $rows:literal) => {
        List {
            name: $name,
            statement: concat!(
                "-- store.accounts.export.",
                $statement,
                "\nwith rows as (select r.line::text as line, r.at, r.id from (",
                $rows,
                " order by at, id limit $4) r),
                measured as (
                    select line, at, id, sum(octet_length(line)) over (order by at, id) - octet_length(line) as before
                      from rows)
                select m.line, m.at, m.id, (select count(*) from rows) as found
                  from users u left join measured m on m.before < $5
                 where u.id = $1 and u.deleted_at is null order by m.at, m.id"
            ),
        }
    };
}

/// The lists of the file, in its order.
pub const LISTS: [List; 11] = [
    list!(
        "orders",
        "orders",
        "select to_jsonb(o) || jsonb_build_object(
                    'items', (select coalesce(jsonb_agg(to_jsonb(i) || jsonb_build_object('title', g.title)), '[]')
                                from order_items i join games g on g.id = i.game_id where i.order_id = o.id),
                    'keys', (select coalesce(jsonb_agg(to_jsonb(k) - array['key_ciphertext', 'key_hash']), '[]')
                               from game_keys k where k.order_id = o.id)) as line,
                o.created_at as at, o.id
           from orders o
          where o.user_id = $1 and (o.created_at, o.id) > (coalesce($2, '-infinity'), $3)"
    ),
    // The reference of an adjustment is its admin's.
    list!(
        "transactions",
        "transactions",
        "select case when t.method = 'ADJUSTMENT' then to_jsonb(t) - 'transaction_hash' else to_jsonb(t) end as line,
                t.created_at as at, t.id
           from transactions t
          where t.user_id = $1 and (t.created_at, t.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "topUps",
        "top_ups",
        "select to_jsonb(p) - 'redirect_url' as line, p.created_at as at, p.id
           from top_ups p
          where p.user_id = $1 and (p.created_at, p.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "keyReveals",
        "key_reveals",
        "select to_jsonb(r) - 'minute' as line, r.at, r.id
           from key_reveals r
          where r.user_id = $1 and (r.at, r.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "cart",
        "cart",
        "select to_jsonb(c) || jsonb_build_object('title', g.title) as line, c.added_at as at, c.game_id as id
           from cart_items c join games g on g.id = c.game_id
          where c.user_id = $1 and (c.added_at, c.game_id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "wishlist",
        "wishlist",
        "select to_jsonb(w) || jsonb_build_object('title', g.title) as line, w.added_at as at, w.game_id as id
           from wishlist w join games g on g.id = w.game_id
          where w.user_id = $1 and (w.added_at, w.game_id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "stockAlerts",
        "stock_alerts",
        "select to_jsonb(a) || jsonb_build_object('title', g.title) as line, a.created_at as at, a.game_id as id
           from stock_alerts a join games g on g.id = a.game_id
          where a.user_id = $1 and (a.created_at, a.game_id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "pictures",
        "pictures",
        "select to_jsonb(a) || jsonb_build_object('image', encode(a.image, 'base64')) as line, a.created_at as at, a.id
           from avatars a
          where a.user_id = $1 and (a.created_at, a.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "sessions",
        "sessions",
        "select to_jsonb(s) - array['refresh_id', 'previous_refresh_id'] as line, s.created_at as at, s.id
           from user_sessions s
          where s.user_id = $1 and (s.created_at, s.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "loginHistory",
        "login_history",
        "select to_jsonb(h) as line, h.created_at as at, h.id
           from login_history h
          where h.user_id = $1 and (h.created_at, h.id) > (coalesce($2, '-infinity'), $3)"
    ),
    list!(
        "letters",
        "letters",
        "select to_jsonb(m) - array['letter', 'sealed', 'lease'] as line, m.created_at as at, m.id
           from mail_outbox m
          where m.user_id = $1 and (m.created_at, m.id) > (coalesce($2, '-infinity'), $3)"
    ),
];

/// The row of the account, a JSON object without what proves who its owner is; `None` when there is no such account.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn person(tx: &mut Tx, user: UserId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "-- store.accounts.export.person
        select (to_jsonb(u) - array['password_hash', 'kind', 'deleted_at'])::text
          from users u where u.id = $1 and u.deleted_at is null",
    )
    .bind(user.0)
    .fetch_optional(tx.conn())
    .await?)
}

/// The rows of `list` after `place`. The keys' ciphertext, codes and what letters said are left out; keys are shown with
/// their orders. `None` when the account is gone.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn page(tx: &mut Tx, user: UserId, list: &List, place: Option<Place>) -> Result<Option<Page>> {
    let found = sqlx::query(list.statement)
        .bind(user.0)
        .bind(place.map(|place| place.at))
        .bind(place.map_or(Uuid::nil(), |place| place.id))
        .bind(PAGE_ROWS)
        .bind(PAGE_BYTES)
        .fetch_all(tx.conn())
        .await?;
    let Some(first) = found.first() else { return Ok(None) };
    let available: i64 = first.try_get("found")?;
    let mut page = Page {
        rows: Vec::with_capacity(found.len()),
        next: None,
    };
    for row in &found {
        let Some(line) = row.try_get("line")? else { continue };
        page.rows.push(line);
        page.next = Some(Place {
            at: row.try_get("at")?,
            id: row.try_get("id")?,
        });
    }
    // Fewer than were asked for, and none of them left out for its size.
    let read = i64::try_from(page.rows.len()).unwrap_or(i64::MAX);
    if available < PAGE_ROWS && read == available {
        page.next = None;
    }
    Ok(Some(page))
}
