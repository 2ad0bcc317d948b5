//! Signed webhook deliveries that had no effect, stored as received.
//!
//! Their senders get a success response, because a repeated delivery would change nothing. The content is therefore
//! stored for people, with the reason why it had no effect.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{Result, Store};

/// Maximum length of a stored detail or kind, in characters.
const MAX_DETAIL: usize = 500;
const MAX_EVENT_ID: usize = 300;
const MAX_KIND: usize = 200;

/// The sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `POST /api/g2a/webhook`.
    G2a,
    /// The payment provider.
    Payments,
    /// A relay of payments.
    Relay,
}

impl Source {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G2a => "g2a",
            Self::Payments => "payments",
            Self::Relay => "relay",
        }
    }
}

/// Why the delivery had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The shop does not handle events of this kind.
    KindNotHandled,
    /// It concerns a payment that the shop did not request: another program uses the same account.
    NotOurs,
    /// A field has an impossible value, such as an order id of a thousand characters.
    FieldUnusable,
    /// It is JSON but does not have the documented form.
    NotReadable,
    /// A top-up ended without a payment because its total was zero.
    NoPaymentRequired,
    /// It reports money that could not be booked.
    Refused,
}

impl Reason {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KindNotHandled => "KIND_NOT_HANDLED",
            Self::NotOurs => "NOT_OURS",
            Self::FieldUnusable => "FIELD_UNUSABLE",
            Self::NotReadable => "NOT_READABLE",
            Self::NoPaymentRequired => "NO_PAYMENT_REQUIRED",
            Self::Refused => "REFUSED",
        }
    }
}

/// A delivery to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The sender; the signature was verified.
    pub source: Source,
    /// Why it had no effect.
    pub reason: Reason,
    /// Details in words: the field, the payment.
    pub detail: Option<String>,
    /// The sender's event id, if it has one.
    pub event_id: Option<String>,
    /// The event's type, if stated.
    pub kind: Option<String>,
}

/// A stored delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The shop's own id.
    pub id: Uuid,
    /// `g2a`, `payments` or `relay`.
    pub source: String,
    /// [`Reason`].
    pub reason: String,
    /// Details in words.
    pub detail: Option<String>,
    /// The sender's event id.
    pub event_id: Option<String>,
    /// The event's type.
    pub kind: Option<String>,
    /// How often it was delivered.
    pub times: i32,
    /// When it was first received.
    pub received_at: DateTime<Utc>,
    /// When it was last received.
    pub last_at: DateTime<Utc>,
    /// Length of the body in bytes.
    pub bytes: i32,
}

/// Stores a delivery; a repeated one is counted.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable): it has to be sent again then.
pub async fn keep(store: &Store, unused: &Unused, body: &[u8]) -> Result<()> {
    let text = |text: Option<&str>, most: usize| {
        let letters = text?.chars().filter(|letter| !letter.is_control());
        Some(letters.take(most).collect::<String>())
    };
    sqlx::query!(
        "-- store.deliveries.keep
        insert into unused_deliveries as u (source, reason, detail, event_id, kind, body, user_id)
        values ($1, $2, $3, $4, $5, $6, (
            select o.id from top_ups p join users o on o.id = p.user_id
             where p.id = any ($7) and o.deleted_at is null limit 1 for key share of o))
        on conflict on constraint unused_deliveries_once
        do update set times = least(u.times::bigint + 1, 2147483647)::integer, last_at = now(),
                      user_id = coalesce(u.user_id, excluded.user_id)",
        unused.source.as_str(),
        unused.reason.as_str(),
        text(unused.detail.as_deref(), MAX_DETAIL),
        text(unused.event_id.as_deref(), MAX_EVENT_ID),
        text(unused.kind.as_deref(), MAX_KIND),
        body,
        &ids_in(body)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Ids that are looked up for one delivery.
const MAX_IDS: usize = 64;

/// What has the form of an id in a body, the first of them: a delivery about a top-up names it somewhere.
fn ids_in(body: &[u8]) -> Vec<Uuid> {
    let ids = body.windows(36).filter(|text| text[8] == b'-' && text[23] == b'-');
    ids.filter_map(|text| Uuid::try_parse_ascii(text).ok())
        .take(MAX_IDS)
        .collect()
}

/// The latest deliveries, newest first; those of kinds that the shop does not handle only with `all`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn latest(store: &Store, all: bool, most: u32) -> Result<Vec<Kept>> {
    Ok(sqlx::query_as!(
        Kept,
        r#"-- store.deliveries.latest
        select id, source, reason, detail, event_id, kind, times, received_at, last_at, octet_length(body) as "bytes!"
          from unused_deliveries where $1 or reason <> 'KIND_NOT_HANDLED' order by received_at desc limit $2"#,
        all,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?)
}

/// The body of one delivery as received.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn body(store: &Store, id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(sqlx::query_scalar!(
        "-- store.deliveries.body\nselect body from unused_deliveries where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?)
}

/// Number of deliveries of the last seven days that had no effect, by reason, without kinds that the shop does not
/// handle.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn of_the_week(store: &Store) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"-- store.deliveries.of_the_week
        select reason, count(*) as "count!" from unused_deliveries
         where received_at > now() - interval '7 days' and reason <> 'KIND_NOT_HANDLED' group by reason order by reason"#
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.reason, row.count)).collect())
}

/// Deletes deliveries of kinds that the shop does not handle after three days and the others after 90; returns how
/// many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.deliveries.sweep
        delete from unused_deliveries where id in (
            select id from unused_deliveries
             where received_at < now() - interval '3 days'
               and (reason = 'KIND_NOT_HANDLED' or received_at < now() - interval '90 days')
             order by received_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_anywhere_up_to_the_maximum() {
        let id = Uuid::from_u128(7);
        for body in [
            format!("{id}"),
            format!("{{\"metadata\":{{\"top_up\":\"{id}\"}}}}"),
            format!("\u{fc}-{id}-"),
        ] {
            assert_eq!(ids_in(body.as_bytes()), [id], "{body}");
        }
        assert!(ids_in(b"cs_test_0198c0de-0000-7000-8000").is_empty());
        assert!(ids_in(b"").is_empty());
        assert_eq!(ids_in(format!("{id} ").repeat(1_000).as_bytes()).len(), MAX_IDS);
    }
}
