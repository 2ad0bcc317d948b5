//! The mail queue: letters that people are owed.
//!
//! A letter is written in the transaction that causes it, so none is lost and none is sent for something that did not
//! happen. A worker takes letters on a short lease, prolongs it while it delivers, and closes them with it; when the worker
//! dies, the lease runs out and the next one sends the letter. So a letter is sent at least once, and a crash at the wrong moment can send it twice, with
//! the same id.
//!
//! What a letter says is stored sealed ([`Store::seal_mail_with`]), because it may hold a key, a code or a link, and is
//! blanked once it is sent or given up. A worker claims only kinds that it knows, and leaves what it cannot read to others:
//! while two versions run side by side, each letter waits for one that knows it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UserId;
use lockstep_domain::letter::Letter;
use lockstep_vault::Keys;
use sqlx::Row as _;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store, StoreError, Tx};

/// A letter taken on a lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which; the same at every attempt, for the Message-ID.
    pub id: Uuid,
    /// Proof of the lease.
    pub lease: Uuid,
    /// Where to.
    pub recipient: String,
    /// What.
    pub letter: Result<Letter, NotReadable>,
    /// It holds a code or a link that somebody waits for.
    pub is_urgent: bool,
    /// How often it has been tried, this time included.
    pub attempts: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// Why this worker cannot read a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// It was written by a version that knows letters this one does not.
    #[error("waits for a worker of the version that wrote it")]
    Version,
    /// None of the secrets here opens it.
    #[error("waits for a worker whose LOCKSTEP_KEY_SECRET opens it")]
    Secret,
}

/// What a letter is sealed for.
pub fn place(letter: Uuid) -> String {
    format!("mail_outbox.sealed/{letter}")
}

/// The secrets that letters are sealed with, shared by all clones of a store. Has no `Debug` of its own on purpose.
#[derive(Clone, Default)]
pub(crate) struct Seal(Arc<OnceLock<Keys>>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Store {
    /// Seals letters with these secrets from now on, in all clones of this store. Later calls change nothing. Without it a
    /// letter with a key, a code or a link is refused, and sealed letters are not claimed.
    pub fn seal_mail_with(&self, keys: Keys) {
        drop(self.seal.0.set(keys));
    }
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
    let id = Uuid::now_v7();
    let (clear, sealed) = stored(tx, id, letter)?;
    sqlx::query(
        "-- store.mail.enqueue
        insert into mail_outbox (id, user_id, recipient, kind, letter, sealed, not_after)
        select $1, id, $3, $4, $5, $6, now() + make_interval(secs => $7::bigint)
          from users where id = $2 and deleted_at is null for key share",
    )
    .bind(id)
    .bind(user.0)
    .bind(recipient)
    .bind(letter.kind())
    .bind(clear.map(Json))
    .bind(sealed)
    .bind(i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Owes the address of an account that is being deleted in this transaction a last letter. Its row belongs to nobody, and
/// forgets the address once the letter is sent or given up.
pub(crate) async fn enqueue_farewell(tx: &mut Tx, recipient: &str, letter: &Letter, good_for: Duration) -> Result<()> {
    let id = Uuid::now_v7();
    let (clear, sealed) = stored(tx, id, letter)?;
    sqlx::query(
        "-- store.mail.enqueue_farewell
        insert into mail_outbox (id, recipient, kind, letter, sealed, not_after)
        values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::bigint))",
    )
    .bind(id)
    .bind(recipient)
    .bind(letter.kind())
    .bind(clear.map(Json))
    .bind(sealed)
    .bind(i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A letter as it is stored: sealed, or in clear where there is nothing to seal with and nothing to hide.
fn stored<'l>(tx: &Tx, id: Uuid, letter: &'l Letter) -> Result<(Option<&'l Letter>, Option<Vec<u8>>)> {
    match tx.seal().0.get() {
        Some(keys) => {
            let plain =
                serde_json::to_vec(letter).map_err(|error| StoreError::from(sqlx::Error::Encode(error.into())))?;
            Ok((None, Some(keys.seal(&place(id), &plain))))
        }
        None if letter.holds_a_secret() => Err(StoreError::from(sqlx::Error::Configuration(
            "there are no secrets to seal an e-mail with".into(),
        ))),
        None => Ok((Some(letter), None)),
    }
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
/// [`StoreError::Unavailable`].
pub async fn claim(store: &Store, room: Room, lease: Duration) -> Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "-- store.mail.claim
        with urgent as (
            select id from mail_outbox m
             where sent_at is null and gave_up_at is null and urgent and not_before <= now() and not_after > now()
               and attempts < 100 and kind = any ($4) and (sealed is null or $5)
               and not exists (select 1 from mail_outbox e
                                where e.sent_at is null and e.gave_up_at is null and e.urgent
                                  and e.recipient = m.recipient and e.seq < m.seq and e.left_at is null
                                  and e.kind = any ($4) and (e.lease is not null or e.not_before <= now()))
             order by seq limit $1 for update skip locked),
        ordinary as (
            select id from mail_outbox m
             where sent_at is null and gave_up_at is null and not urgent and not_before <= now() and not_after > now()
               and attempts < 100 and kind = any ($4) and (sealed is null or $5)
               and not exists (select 1 from mail_outbox e
                                where e.sent_at is null and e.gave_up_at is null and not e.urgent
                                  and e.recipient = m.recipient and e.seq < m.seq and e.left_at is null
                                  and e.kind = any ($4))
             order by seq limit least($2, $1 - (select count(*) from urgent)) for update skip locked)
        update mail_outbox set lease = gen_random_uuid(), attempts = attempts + 1,
               not_before = now() + make_interval(secs => $3)
         where id in (select id from urgent union all select id from ordinary)
        returning id, lease, recipient, letter, sealed, urgent, attempts, created_at",
    )
    .bind(i64::from(room.all))
    .bind(i64::from(room.ordinary))
    .bind(lease.as_secs_f64())
    .bind(Letter::KINDS)
    .bind(store.seal.0.get().is_some())
    .fetch_all(store.alone())
    .await?;
    rows.iter()
        .map(|row| {
            let id = row.try_get("id")?;
            let clear: Option<Json<serde_json::Value>> = row.try_get("letter")?;
            Ok(Claimed {
                id,
                lease: row.try_get("lease")?,
                recipient: row.try_get("recipient")?,
                letter: match clear {
                    Some(Json(clear)) => serde_json::from_value(clear).map_err(|_| NotReadable::Version),
                    None => store.unseal_letter(id, row.try_get("sealed")?),
                },
                is_urgent: row.try_get("urgent")?,
                attempts: crate::row::count(row, "attempts")?,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect()
}

impl Store {
    fn unseal_letter(&self, id: Uuid, sealed: &[u8]) -> Result<Letter, NotReadable> {
        let keys = self.seal.0.get().ok_or(NotReadable::Secret)?;
        let plain = keys.open(&place(id), sealed).map_err(|_| NotReadable::Secret)?;
        serde_json::from_slice(&plain).map_err(|_| NotReadable::Version)
    }
}

/// Leaves a letter that this worker cannot read to others: that was no attempt. It is looked at again in a minute, and
/// holds up no later ones. True when it is the first time.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn leave(store: &Store, letter: &Claimed, why: NotReadable) -> Result<bool> {
    let first: Option<bool> = sqlx::query_scalar(
        "-- store.mail.leave
        update mail_outbox m set lease = null, attempts = greatest(m.attempts - 1, 0), last_error = $3,
               left_at = coalesce(m.left_at, now()), not_before = now() + interval '1 minute'
          from mail_outbox before
         where m.id = $1 and m.lease = $2 and before.id = m.id
        returning before.left_at is null",
    )
    .bind(letter.id)
    .bind(letter.lease)
    .bind(why.to_string())
    .fetch_optional(store.alone())
    .await?;
    Ok(first.unwrap_or_default())
}

/// Letters that wait for a worker that can read them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn left(store: &Store) -> Result<u64> {
    let row = sqlx::query(
        "-- store.mail.left
        select count(*) from mail_outbox
         where sent_at is null and gave_up_at is null and (left_at is not null or kind <> all ($1))",
    )
    .bind(Letter::KINDS)
    .fetch_one(store.alone())
    .await?;
    crate::row::how_many(&row, 0)
}

/// A page of sealed letters that wait, by id, for a rotation of secrets.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query(
        "-- store.mail.sealed_page
        select id, sealed from mail_outbox
         where sent_at is null and gave_up_at is null and sealed is not null and ($1::uuid is null or id > $1)
         order by id limit $2",
    )
    .bind(after)
    .bind(i64::from(most))
    .fetch_all(store.alone())
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("id")?, row.try_get("sealed")?)))
        .collect()
}

/// Replaces a letter's sealed form, if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reseal(store: &Store, letter: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query("-- store.mail.reseal\nupdate mail_outbox set sealed = $3 where id = $1 and sealed = $2")
        .bind(letter)
        .bind(before)
        .bind(after)
        .execute(store.alone())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Prolongs the leases of letters in hand: each is an id with its lease. Those that somebody else has by now are left
/// alone.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn renew(store: &Store, in_hand: &[(Uuid, Uuid)], lease: Duration) -> Result<()> {
    let (ids, leases): (Vec<Uuid>, Vec<Uuid>) = in_hand.iter().copied().unzip();
    sqlx::query(
        "-- store.mail.renew
        update mail_outbox set not_before = now() + make_interval(secs => $3)
         where id = any ($1) and lease = any ($2) and sent_at is null and gave_up_at is null",
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
/// [`StoreError::Unavailable`].
pub async fn drop_late(store: &Store) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query(
        "-- store.mail.drop_late
        update mail_outbox set letter = null, sealed = null, gave_up_at = now(), lease = null,
               recipient = case when user_id is null and kind = 'account-deleted' then '' else recipient end,
               last_error = concat_ws('; ', 'not sent in time', left(last_error, 400))
         where id in (select id from mail_outbox
                       where sent_at is null and gave_up_at is null and not_after <= now() and (lease is null or not_before <= now())
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
/// [`StoreError::Unavailable`].
pub async fn sent(store: &Store, letter: &Claimed) -> Result<bool> {
    let done = sqlx::query(
        "-- store.mail.sent
        update mail_outbox set letter = null, sealed = null, sent_at = now(), lease = null, last_error = null,
               recipient = case when user_id is null and kind = 'account-deleted' then '' else recipient end
         where id = $1 and lease = $2",
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
/// [`StoreError::Unavailable`].
pub async fn failed(store: &Store, letter: &Claimed, reason: &str, retry_in: Option<Duration>) -> Result<bool> {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let done = sqlx::query(
        "-- store.mail.failed
        update mail_outbox set lease = null, last_error = $3,
               not_before = now() + make_interval(secs => coalesce($4::bigint, 0)),
               letter = case when $4::bigint is null then null else letter end,
               sealed = case when $4::bigint is null then null else sealed end,
               recipient = case when $4::bigint is null and user_id is null and kind = 'account-deleted' then ''
                                else recipient end,
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
/// [`StoreError::Unavailable`].
pub async fn counts(store: &Store) -> Result<(u64, u64)> {
    let row = sqlx::query(
        "-- store.mail.counts
        select (select count(*) from mail_outbox where sent_at is null and gave_up_at is null),
               (select count(*) from mail_outbox where gave_up_at > now() - interval '7 days')",
    )
    .fetch_one(store.alone())
    .await?;
    Ok((crate::row::how_many(&row, 0)?, crate::row::how_many(&row, 1)?))
}

/// When the letter that has waited longest was written; `None`: none is owed.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn oldest(store: &Store) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar(
        "-- store.mail.oldest\nselect min(created_at) from mail_outbox where sent_at is null and gave_up_at is null",
    )
    .fetch_one(store.alone())
    .await?)
}

/// The newest letters, at most `most`; `given_up` restricts them to those.
///
/// # Errors
/// [`StoreError::Unavailable`].
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
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.mail.sweep
        delete from mail_outbox where id in (
            select id from mail_outbox
             where (sent_at is not null or gave_up_at is not null) and created_at < now() - interval '30 days'
             order by created_at limit $1 for update skip locked)",
    )
    .bind(i64::from(crate::SWEEP))
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
