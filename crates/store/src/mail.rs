//! The mail queue: letters that people are owed.
//!
//! A letter is written in the transaction that causes it, so none is lost and none is sent for something that did not
//! happen. A worker takes letters on a lease and closes them with it; when the worker dies, the lease runs out and the
//! next one sends the letter. So a letter is sent at least once, and a crash at the wrong moment can send it twice, with
//! the same id. Once it is sent or given up its text is blanked, because it may hold a code or a link.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UserId;
use lockstep_domain::letter::Letter;
use sqlx::Row as _;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// A letter taken on a lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which; the same at every attempt, for the Message-ID.
    pub id: Uuid,
    /// Proof of the lease.
    pub lease: Uuid,
    /// Where to.
    pub recipient: String,
    /// What. `None` when it was written by a program that knows letters this one does not.
    pub letter: Option<Letter>,
    /// How often it has been tried, this time included.
    pub attempts: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// A letter as the console lists it: never what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: Uuid,
    /// Where to.
    pub recipient: String,
    /// [`Letter::kind`].
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub gave_up_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// Owes `recipient` a letter, of use for `good_for`.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    user: UserId,
    recipient: &str,
    letter: &Letter,
    good_for: Duration,
) -> Result<()> {
    sqlx::query(
        "-- store.mail.enqueue
        insert into mail_outbox (id, user_id, recipient, kind, letter, not_after)
        values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::bigint))",
    )
    .bind(Uuid::now_v7())
    .bind(user.0)
    .bind(recipient)
    .bind(letter.kind())
    .bind(Json(letter))
    .bind(i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes up to `most` letters that are due, oldest first, for as long as `lease`. Letters that nobody else holds only;
/// two workers never get the same one while a lease lasts. Letters that have become useless are given up on the way.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn claim(store: &Store, most: u32, lease: Duration) -> Result<Vec<Claimed>> {
    let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    store
        .tx("mail.claim", move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "-- store.mail.claim.late
                    update mail_outbox set letter = null, gave_up_at = now(), lease = null,
                           last_error = concat_ws('; ', 'not sent in time', left(last_error, 400))
                     where id in (select id from mail_outbox where letter is not null and not_before <= now()
                                     and not_after <= now() limit 100 for update skip locked)",
                )
                .execute(tx.conn())
                .await?;
                let rows = sqlx::query(
                    "-- store.mail.claim
                    update mail_outbox set lease = gen_random_uuid(), attempts = attempts + 1,
                           not_before = now() + make_interval(secs => $2::bigint / 1000.0)
                     where id in (select id from mail_outbox
                                   where letter is not null and not_before <= now() and attempts < 100
                                   order by not_before, id limit $1 for update skip locked)
                    returning id, lease, recipient, letter, attempts, created_at",
                )
                .bind(i64::from(most))
                .bind(lease)
                .fetch_all(tx.conn())
                .await?;
                rows.iter()
                    .map(|row| {
                        let letter: Json<serde_json::Value> = row.try_get("letter")?;
                        Ok(Claimed {
                            id: row.try_get("id")?,
                            lease: row.try_get("lease")?,
                            recipient: row.try_get("recipient")?,
                            letter: serde_json::from_value(letter.0).ok(),
                            attempts: crate::row::count(row, "attempts")?,
                            created_at: row.try_get("created_at")?,
                        })
                    })
                    .collect::<Result<Vec<_>>>()
            })
        })
        .await
}

/// The letter is out: what it said is blanked. False when the lease was lost, and somebody else may be sending it too.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sent(store: &Store, letter: &Claimed) -> Result<bool> {
    let done = sqlx::query(
        "-- store.mail.sent
        update mail_outbox set letter = null, sent_at = now(), lease = null, last_error = null where id = $1 and lease = $2",
    )
    .bind(letter.id)
    .bind(letter.lease)
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The attempt failed. With `retry_in` it is tried again then; without, it is given up and its text blanked.
/// `reason` must not contain the letter. False when the lease was lost.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn failed(store: &Store, letter: &Claimed, reason: &str, retry_in: Option<Duration>) -> Result<bool> {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let done = sqlx::query(
        "-- store.mail.failed
        update mail_outbox set lease = null, last_error = $3,
               not_before = now() + make_interval(secs => coalesce($4::bigint, 0)),
               letter = case when $4::bigint is null then null else letter end,
               gave_up_at = case when $4::bigint is null then now() end
         where id = $1 and lease = $2",
    )
    .bind(letter.id)
    .bind(letter.lease)
    .bind(reason)
    .bind(retry_in.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)))
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many letters are owed, and how many were given up in the last seven days.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn counts(store: &Store) -> Result<(u64, u64)> {
    let row = sqlx::query(
        "-- store.mail.counts
        select (select count(*) from mail_outbox where letter is not null),
               (select count(*) from mail_outbox where gave_up_at > now() - interval '7 days')",
    )
    .fetch_one(store.pool())
    .await?;
    Ok((crate::row::how_many(&row, 0)?, crate::row::how_many(&row, 1)?))
}

/// The newest letters, at most `most`; `given_up` restricts them to those.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn list(store: &Store, given_up: bool, most: u32) -> Result<Vec<Listed>> {
    let rows = sqlx::query(
        "-- store.mail.list
        select id, recipient, kind, attempts, created_at, sent_at, gave_up_at, last_error from mail_outbox
         where not $1 or gave_up_at is not null order by created_at desc limit $2",
    )
    .bind(given_up)
    .bind(i64::from(most))
    .fetch_all(store.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: row.try_get("id")?,
                recipient: row.try_get("recipient")?,
                kind: row.try_get("kind")?,
                attempts: crate::row::count(row, "attempts")?,
                created_at: row.try_get("created_at")?,
                sent_at: row.try_get("sent_at")?,
                gave_up_at: row.try_get("gave_up_at")?,
                last_error: row.try_get("last_error")?,
            })
        })
        .collect()
}

/// Forgets letters that were sent or given up more than 30 days ago; returns how many. At most a thousand at a time.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.mail.sweep
        delete from mail_outbox where id in (
            select id from mail_outbox where letter is null and created_at < now() - interval '30 days'
             order by created_at limit 1000 for update skip locked)",
    )
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected())
}
