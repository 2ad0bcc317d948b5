//! Signed webhook deliveries that had no effect, stored as received.
//!
//! Their senders get a success response, because a repeated delivery would change nothing. The content is therefore
//! stored for people, with the reason why it had no effect.

use chrono::{DateTime, Utc};
use lockstep_domain::account::Email;
use lockstep_domain::json::mended;
use serde::Serialize;
use serde_json::Value;
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

/// Stores a delivery; a repeated one is counted. One that names a top-up of a deleted account, or the address of one that
/// is deleted at this moment, is stored without its bytes, like those that were erased with the account.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable): it has to be sent again then.
pub async fn keep(store: &Store, unused: &Unused, body: &[u8]) -> Result<()> {
    let text = |text: Option<&str>, most: usize| {
        let letters = text?.chars().filter(|letter| !letter.is_control());
        Some(letters.take(most).collect::<String>())
    };
    // The lock decides between a delivery and a deletion at the same moment: the row is read as the deletion left it, or
    // the deletion waits and finds the delivery.
    sqlx::query!(
        "-- store.deliveries.keep
        with named as materialized (
            select user_id as id from top_ups where id = any ($7) union select id from users where email = any ($8)),
        persons as materialized (
            select o.id, o.deleted_at is not null as is_deleted from users o
             where o.id in (select id from named) order by o.id for key share of o)
        insert into unused_deliveries as u (source, reason, detail, event_id, kind, body, digest, payers, user_id)
        select $1, $2, $3, $4, $5, case when late.is_late then '' else $6::bytea end, sha256($6),
               case when late.is_late then '{}' else $8 end,
               (select o.id from persons o join top_ups p on p.user_id = o.id
                 where p.id = any ($7) and not late.is_late limit 1)
          -- A person who is named but could not be locked was deleted with their row.
          from (select exists (select from persons where is_deleted)
                    or (select count(*) from persons) < (select count(*) from named) as is_late) late
        on conflict on constraint unused_deliveries_once
        do update set times = least(u.times::bigint + 1, 2147483647)::integer, last_at = now(),
                      user_id = coalesce(u.user_id, excluded.user_id)",
        unused.source.as_str(),
        unused.reason.as_str(),
        text(unused.detail.as_deref(), MAX_DETAIL),
        text(unused.event_id.as_deref(), MAX_EVENT_ID),
        text(unused.kind.as_deref(), MAX_KIND),
        body,
        &ids_in(body),
        &emails_in(body)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Ids that are looked up for one delivery.
const MAX_IDS: usize = 64;
/// E-mail addresses that are stored for one delivery.
const MAX_EMAILS: usize = 32;

/// What has the form of an id in a body, the first of them: a delivery about a top-up names it somewhere.
fn ids_in(body: &[u8]) -> Vec<Uuid> {
    let ids = body.windows(36).filter(|text| text[8] == b'-' && text[23] == b'-');
    ids.filter_map(|text| Uuid::try_parse_ascii(text).ok())
        .take(MAX_IDS)
        .collect()
}

/// The e-mail addresses in a body, normalised like those of accounts, the first of them, each in all its spellings.
fn emails_in(body: &[u8]) -> Vec<String> {
    let body = String::from_utf8_lossy(body);
    let mut found = Vec::new();
    match serde_json::from_str(&mended(&body)) {
        Ok(value) => emails_of(&value, &mut found),
        Err(_) => emails_of_text(&body, &mut found),
    }
    found
}

/// Its recursion ends where the parser's does.
fn emails_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => emails_of_text(text, found),
        Value::Array(values) => values.iter().for_each(|value| emails_of(value, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            emails_of_text(name, found);
            emails_of(value, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The whole text, or each of its words.
fn emails_of_text(text: &str, found: &mut Vec<String>) {
    if !text.contains('@') {
        return;
    }
    let words = text.split(|letter: char| letter.is_whitespace() || "\"<>()[]{},;:=&?/\\".contains(letter));
    for word in std::iter::once(text).chain(words.filter(|word| word.contains('@'))) {
        // A sentence may end with an address.
        let email =
            Email::of_existing_account(word).or_else(|_| Email::of_existing_account(word.trim_end_matches('.')));
        // An account has one of the spellings.
        for spelling in email.iter().flat_map(Email::spellings) {
            if found.len() < MAX_EMAILS && !found.contains(&spelling) {
                found.push(spelling);
            }
        }
    }
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

/// Deletes deliveries of kinds that the shop does not handle after three days and the others after 30; returns how
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
               and (reason = 'KIND_NOT_HANDLED' or received_at < now() - interval '30 days')
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
    fn addresses_are_found_anywhere_up_to_the_maximum() {
        for body in [
            r#"{"email":"Ada.Quill@Example.org"}"#,
            r#"{"data":[{"customer_details":{"email":"ada.quill\u0040example.org"}}]}"#,
            r#"{"note":"paid by Ada <ada.quill@example.org>."}"#,
            r#"{"note":"paid by ada.quill@example.org."}"#,
            r#"{"ada.quill@example.org":1}"#,
            // Neither of them is JSON.
            "payer=ada.quill@example.org&amount=5",
            r#"{"email":"ada.quill@example.org""#,
        ] {
            assert_eq!(emails_in(body.as_bytes()), ["ada.quill@example.org"], "{body}");
        }
        assert_eq!(
            emails_in(br#"{"a":"a.d.a+x@gmail.com","b":"ada@gmail.com"}"#),
            ["ada@gmail.com"]
        );
        let quoted = r#"{"email":"\"ada quill\"@example.org"}"#;
        assert_eq!(emails_in(quoted.as_bytes()), [r#""ada quill"@example.org"#]);
        assert_eq!(
            emails_in("{\"email\":\"zo\\u00eb@m\u{fc}nchen.de\"}".as_bytes()),
            ["zo\u{eb}@m\u{fc}nchen.de", "zoe\u{308}@mu\u{308}nchen.de"],
            "both spellings"
        );
        for body in ["", "@", r#"{"email":"ada"}"#, "\u{0}@\u{0}"] {
            assert!(emails_in(body.as_bytes()).is_empty(), "{body:?}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("ada{n}@example.org")).collect();
        assert_eq!(emails_in(many.join(" ").as_bytes()).len(), MAX_EMAILS);
    }

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
