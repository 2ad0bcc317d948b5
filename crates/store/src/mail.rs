//! The mail queue: letters that people are owed.
//!
//! A letter is written in the transaction that causes it, so none is lost and none is sent for something that did not
//! happen. A worker takes letters on a short lease, prolongs it while it delivers, and closes them with it; when the worker
//! dies, the lease runs out and the next one sends the letter. So a letter is sent at least once, and a crash at the wrong moment can send it twice, with
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
    /// It holds a code or a link that somebody waits for.
    pub is_urgent: bool,
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

/// Owes `recipient` a letter, of use for `good_for`. Nobody writes to an account that is deleted.
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
        select $1, id, $3, $4, $5, now() + make_interval(secs => $6::bigint)
          from users where id = $2 and deleted_at is null for key share",
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

/// How many letters a worker has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub all: u32,
    /// For those among them that are not urgent.
    pub ordinary: u32,
}

/// Takes letters that are due, for as long as `lease` (see [`renew`]): first those with codes and links, then the others,
/// each kind in the order of writing. Two workers never get the same one while a lease lasts, and nothing is given out
/// while an earlier letter of its kind to the same address is owed, so one address gets them in order. (A code does not
/// wait for one that has failed and is tried again later.)
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn claim(store: &Store, room: Room, lease: Duration) -> Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "-- store.mail.claim
        with urgent as (
            select id from mail_outbox m
             where letter is not null and urgent and not_before <= now() and not_after > now() and attempts < 100
               and not exists (select 1 from mail_outbox e where e.letter is not null and e.urgent
                                  and e.recipient = m.recipient and e.seq < m.seq
                                  and (e.lease is not null or e.not_before <= now()))
             order by seq limit $1 for update skip locked),
        ordinary as (
            select id from mail_outbox m
             where letter is not null and not urgent and not_before <= now() and not_after > now() and attempts < 100
               and not exists (select 1 from mail_outbox e where e.letter is not null and not e.urgent
                                  and e.recipient = m.recipient and e.seq < m.seq)
             order by seq limit least($2, $1 - (select count(*) from urgent)) for update skip locked)
        update mail_outbox set lease = gen_random_uuid(), attempts = attempts + 1,
               not_before = now() + make_interval(secs => $3)
         where id in (select id from urgent union all select id from ordinary)
        returning id, lease, recipient, letter, urgent, attempts, created_at",
    )
    .bind(i64::from(room.all))
    .bind(i64::from(room.ordinary))
    .bind(lease.as_secs_f64())
    .fetch_all(store.alone())
    .await?;
    rows.iter()
        .map(|row| {
            let letter: Json<serde_json::Value> = row.try_get("letter")?;
            Ok(Claimed {
                id: row.try_get("id")?,
                lease: row.try_get("lease")?,
                recipient: row.try_get("recipient")?,
                letter: serde_json::from_value(letter.0).ok(),
                is_urgent: row.try_get("urgent")?,
                attempts: crate::row::count(row, "attempts")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

/// Prolongs the leases of letters in hand: each is an id with its lease. Those that somebody else has by now are left
/// alone.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn renew(store: &Store, in_hand: &[(Uuid, Uuid)], lease: Duration) -> Result<()> {
    let (ids, leases): (Vec<Uuid>, Vec<Uuid>) = in_hand.iter().copied().unzip();
    sqlx::query(
        "-- store.mail.renew
        update mail_outbox set not_before = now() + make_interval(secs => $3)
         where id = any ($1) and lease = any ($2) and letter is not null",
    )
    .bind(ids)
    .bind(leases)
    .bind(lease.as_secs_f64())
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Gives up letters that have become useless while they waited: what they say has run out. At most a hundred at a time;
/// gives each with its kind.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn drop_late(store: &Store) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query(
        "-- store.mail.drop_late
        update mail_outbox set letter = null, gave_up_at = now(), lease = null,
               last_error = concat_ws('; ', 'not sent in time', left(last_error, 400))
         where id in (select id from mail_outbox
                       where letter is not null and not_after <= now() and (lease is null or not_before <= now())
                       limit 100 for update skip locked)
        returning id, kind",
    )
    .fetch_all(store.alone())
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("id")?, row.try_get("kind")?)))
        .collect()
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
    .execute(store.alone())
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
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A letter that has waited for longer says that the queue stands still.
pub const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

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
    .fetch_one(store.alone())
    .await?;
    Ok((crate::row::how_many(&row, 0)?, crate::row::how_many(&row, 1)?))
}

/// When the letter that has waited longest was written; `None`: none is owed.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn oldest(store: &Store) -> Result<Option<DateTime<Utc>>> {
    Ok(
        sqlx::query_scalar("-- store.mail.oldest\nselect min(created_at) from mail_outbox where letter is not null")
            .fetch_one(store.alone())
            .await?,
    )
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
    .fetch_all(store.alone())
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

/// Forgets letters that were sent or given up more than 30 days ago; returns how many, at most
/// [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.mail.sweep
        delete from mail_outbox where id in (
            select id from mail_outbox where letter is null and created_at < now() - interval '30 days'
             order by created_at limit $1 for update skip locked)",
    )
    .bind(i64::from(crate::SWEEP))
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
