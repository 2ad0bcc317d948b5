//! The e-mail outbox.
//!
//! An e-mail is written in the transaction that causes it, so none is lost and none is sent for something that did not
//! happen. A worker claims e-mails on a short lease, renews it during delivery, and completes them with it; if the
//! worker dies, the lease expires and another worker sends the e-mail. Delivery is therefore at least once: a crash at
//! the wrong moment can send an e-mail twice, with the same id.
//!
//! The content is stored sealed ([`Store::seal_mail_with`]), because it may hold a key, a code or a link, and is erased
//! when the e-mail is sent, or when it was given up and has become useless: until then staff can retry it. A worker claims only kinds that it knows, and leaves what it cannot read to
//! others: while two versions run side by side, each e-mail waits for a worker that knows it.

pub mod announcements;
pub mod edits;
pub mod servers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_vault::Keys;
use sqlx::types::Json;
use uuid::Uuid;

use crate::row::{count_of, how_many_of};
use crate::{Result, Store, StoreError, Tx};

/// An e-mail claimed on a lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its id; the same at every attempt, for the Message-ID.
    pub id: Uuid,
    /// The lease's token.
    pub lease: Uuid,
    /// The user whose account it is about; `None` if the account no longer exists.
    pub user: Option<UserId>,
    /// The recipient's address.
    pub recipient: String,
    /// The content, or why this worker cannot read it.
    pub letter: Result<EmailTemplate, NotReadable>,
    /// It holds a code or a link that a user is waiting for.
    pub is_urgent: bool,
    /// It goes to many, after all others.
    pub is_announcement: bool,
    /// Number of attempts, including this one.
    pub attempts: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// Why this worker cannot read an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// It was written by a version that knows kinds of e-mail this one does not.
    #[error("waits for a worker of the version that wrote it")]
    Version,
    /// None of the secrets of this process decrypts it.
    #[error("waits for a worker whose LOCKSTEP_KEY_SECRET opens it")]
    Secret,
}

/// The context that the content of an e-mail is sealed for.
pub fn place(letter: Uuid) -> String {
    format!("mail_outbox.sealed/{letter}")
}

/// The secrets that e-mails are sealed with, shared by all clones of a store. Deliberately without `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Seal(pub(crate) Arc<OnceLock<Keys>>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Store {
    /// Seals e-mails with these secrets from now on, in all clones of this store. Later calls have no effect. Without
    /// secrets, an e-mail with a key, a code or a link is refused, and sealed e-mails are not claimed.
    pub fn seal_mail_with(&self, keys: Keys) {
        drop(self.seal.0.set(keys));
    }
}

/// An e-mail in the console's list, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedEmail {
    /// Its id.
    pub id: Uuid,
    /// The recipient's address.
    pub recipient: String,
    /// [`EmailTemplate::kind`].
    pub kind: String,
    /// Number of attempts.
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

/// An e-mail about an order.
#[derive(Debug, Clone)]
pub struct OrderEmail {
    /// What is kept of it as long as the row.
    pub queued: QueuedEmail,
    /// The content, or why this process cannot read it; `None` once it is erased.
    pub letter: Option<Result<EmailTemplate, NotReadable>>,
}

/// The e-mail `id`, if it is about `order`. Its content is erased with the sending, or when it was given up and has become
/// useless.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn about_order(store: &Store, order: OrderId, id: Uuid) -> Result<Option<OrderEmail>> {
    let row = sqlx::query!(
        "-- store.mail.about_order
        select id, recipient, kind, attempts, created_at, sent_at, gave_up_at, last_error, letter, sealed
          from mail_outbox where id = $1 and order_id = $2",
        id,
        order.0
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| {
        let letter = match (row.letter, row.sealed) {
            (Some(clear), _) => Some(serde_json::from_value(clear).map_err(|_| NotReadable::Version)),
            (None, Some(sealed)) => Some(store.unseal_letter(row.id, &sealed)),
            (None, None) => None,
        };
        Ok(OrderEmail {
            queued: QueuedEmail {
                id: row.id,
                recipient: row.recipient,
                kind: row.kind,
                attempts: count_of(row.attempts)?,
                created_at: row.created_at,
                sent_at: row.sent_at,
                gave_up_at: row.gave_up_at,
                last_error: row.last_error,
            },
            letter,
        })
    })
    .transpose()
}

/// Queues an e-mail for `recipient`, which is useful for `good_for`. Deleted accounts get none.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    user: UserId,
    recipient: &str,
    letter: &EmailTemplate,
    good_for: Duration,
) -> Result<()> {
    let id = Uuid::now_v7();
    let (clear, sealed) = stored(tx, id, letter)?;
    sqlx::query!(
        "-- store.mail.enqueue
        insert into mail_outbox (id, user_id, recipient, kind, letter, sealed, not_after, order_id)
        select $1, id, $3, $4, $5, $6, now() + make_interval(secs => $7::bigint), $8
          from users where id = $2 and deleted_at is null for key share",
        id,
        user.0,
        recipient,
        letter.kind(),
        clear.map(Json) as _,
        sealed,
        i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX),
        letter.order().map(|order| order.0)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Queues an e-mail to an address that belongs to no account, such as that of an account that is being deleted in this
/// transaction. The address is erased once the e-mail is sent or given up.
pub(crate) async fn enqueue_to_address(
    tx: &mut Tx,
    recipient: &str,
    letter: &EmailTemplate,
    good_for: Duration,
) -> Result<()> {
    let id = Uuid::now_v7();
    let (clear, sealed) = stored(tx, id, letter)?;
    sqlx::query!(
        "-- store.mail.enqueue_to_address
        insert into mail_outbox (id, recipient, kind, letter, sealed, not_after)
        values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::bigint))",
        id,
        recipient,
        letter.kind(),
        clear.map(Json) as _,
        sealed,
        i64::try_from(good_for.as_secs()).unwrap_or(i64::MAX)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The stored form of an e-mail: sealed, or in clear text if there are no secrets and the content is not confidential.
fn stored<'l>(tx: &Tx, id: Uuid, letter: &'l EmailTemplate) -> Result<(Option<&'l EmailTemplate>, Option<Vec<u8>>)> {
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

/// Replaces the content of a claimed e-mail. False if the lease was lost.
pub(crate) async fn rewrite(tx: &mut Tx, claimed: &Claimed, letter: &EmailTemplate) -> Result<bool> {
    let (clear, sealed) = stored(tx, claimed.id, letter)?;
    let done = sqlx::query!(
        "-- store.mail.rewrite
        update mail_outbox set letter = $3, sealed = $4 where id = $1 and lease = $2",
        claimed.id,
        claimed.lease,
        clear.map(Json) as _,
        sealed
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many e-mails a worker can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In total.
    pub all: u32,
    /// How many of them may be non-urgent.
    pub ordinary: u32,
    /// How many of those may be announcements.
    pub announcements: u32,
}

/// Claims due e-mails. `$1` and `$2`: maximum number in total, and of non-urgent ones; `$3`: duration of the lease in
/// seconds; `$4`: the kinds that this version knows; `$5`: whether this process can open sealed e-mails; `$6`:
/// maximum number of announcements, which come last.
///
/// An e-mail is due when it is the first of its address. The first one is found by a sorted `limit 1`, which only
/// `mail_outbox_recipient_idx` answers without sorting: written as an anti-join, the query read the whole queue for
/// each e-mail whenever the planner estimated the queue as empty (1.2 s per claim with 4,000 e-mails behind 400 that
/// wait). For the same reason an announcement is told apart by its subscription there: named by its kind, the planner
/// took the index of all others.
#[doc(hidden)]
pub const CLAIM: &str = include_str!("mail/claim.sql");

/// Claims due e-mails for `lease` (see [`renew`]): first those with codes and links, then the others, each kind in the
/// order of writing. Two workers never hold the same e-mail during a lease, and none is claimed while an earlier one of
/// its kind to the same address is pending, so an address gets them in order. (A code does not wait for one that has
/// failed and will be retried later.)
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn claim(store: &Store, room: Room, lease: Duration) -> Result<Vec<Claimed>> {
    let rows = sqlx::query_file!(
        "src/mail/claim.sql",
        i64::from(room.all),
        i64::from(room.ordinary),
        lease.as_secs_f64(),
        EmailTemplate::KINDS as _,
        store.seal.0.get().is_some(),
        i64::from(room.announcements)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claimed {
                id: row.id,
                lease: row.lease,
                user: row.user_id.map(UserId),
                recipient: row.recipient,
                letter: match row.letter {
                    Some(clear) => serde_json::from_value(clear).map_err(|_| NotReadable::Version),
                    // A pending e-mail has one of the two forms (a constraint).
                    None => store.unseal_letter(row.id, &row.sealed.unwrap_or_default()),
                },
                is_urgent: row.urgent,
                is_announcement: row.announcement,
                attempts: count_of(row.attempts)?,
                created_at: row.created_at,
            })
        })
        .collect()
}

impl Store {
    fn unseal_letter(&self, id: Uuid, sealed: &[u8]) -> Result<EmailTemplate, NotReadable> {
        let keys = self.seal.0.get().ok_or(NotReadable::Secret)?;
        let plain = keys.open(&place(id), sealed).map_err(|_| NotReadable::Secret)?;
        serde_json::from_slice(&plain).map_err(|_| NotReadable::Version)
    }
}

/// Leaves an e-mail that this worker cannot read to other workers, without counting an attempt. It becomes due again in
/// a minute, and delays no later ones. True the first time.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn leave(store: &Store, letter: &Claimed, why: NotReadable) -> Result<bool> {
    let first = sqlx::query_scalar!(
        r#"-- store.mail.leave
        update mail_outbox m set lease = null, attempts = greatest(m.attempts - 1, 0), last_error = $3,
               left_at = coalesce(m.left_at, now()), not_before = now() + interval '1 minute'
          from mail_outbox before
         where m.id = $1 and m.lease = $2 and before.id = m.id
        returning before.left_at is null as "first!""#,
        letter.id,
        letter.lease,
        why.to_string()
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(first.unwrap_or_default())
}

/// Puts a claimed e-mail back, due again in a few seconds, without counting an attempt: there is no mail server to try.
/// False if the lease was lost.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn wait(store: &Store, letter: &Claimed, why: &str) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.mail.wait
        update mail_outbox set lease = null, attempts = greatest(attempts - 1, 0), last_error = left($3, 500),
               not_before = now() + interval '5 seconds'
         where id = $1 and lease = $2",
        letter.id,
        letter.lease,
        why
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Number of e-mails that wait for a worker that can read them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn left(store: &Store) -> Result<u64> {
    let left = sqlx::query_scalar!(
        r#"-- store.mail.left
        select count(*) as "count!" from mail_outbox
         where sent_at is null and gave_up_at is null and (left_at is not null or kind <> all ($1))"#,
        EmailTemplate::KINDS as _
    )
    .fetch_one(store.alone())
    .await?;
    Ok(how_many_of(left))
}

/// A page of sealed e-mails, by id, for a rotation of secrets.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"-- store.mail.sealed_page
        select id, sealed as "sealed!" from mail_outbox
         where sealed is not null and ($1::uuid is null or id > $1) order by id limit $2"#,
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.sealed)).collect())
}

/// Replaces the sealed form of an e-mail if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reseal(store: &Store, letter: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.mail.reseal\nupdate mail_outbox set sealed = $3 where id = $1 and sealed = $2",
        letter,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Renews the leases of claimed e-mails, given as pairs of id and lease. Those that another worker has claimed since
/// are unchanged.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn renew(store: &Store, in_hand: &[(Uuid, Uuid)], lease: Duration) -> Result<()> {
    let (ids, leases): (Vec<Uuid>, Vec<Uuid>) = in_hand.iter().copied().unzip();
    sqlx::query!(
        "-- store.mail.renew
        update mail_outbox set not_before = now() + make_interval(secs => $3)
         where id = any ($1) and lease = any ($2) and sent_at is null and gave_up_at is null",
        &ids,
        &leases,
        lease.as_secs_f64()
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Gives up e-mails that expired in the queue, at most a hundred per call; returns the id and kind of each.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn drop_late(store: &Store) -> Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!(
        "-- store.mail.drop_late
        update mail_outbox set letter = null, sealed = null, gave_up_at = now(), lease = null,
               recipient = case when user_id is null and kind = 'account-deleted' then '' else recipient end,
               last_error = concat_ws('; ', 'not sent in time', left(last_error, 400))
         where id in (select id from mail_outbox
                       where sent_at is null and gave_up_at is null and not_after <= now() and (lease is null or not_before <= now())
                       limit 100 for update skip locked)
        returning id, kind"
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.kind)).collect())
}

/// Marks the e-mail as sent and erases its content. False if the lease was lost, in which case another worker may be
/// sending it too.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sent(store: &Store, letter: &Claimed) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.mail.sent
        update mail_outbox set letter = null, sealed = null, sent_at = now(), lease = null, last_error = null,
               recipient = case when user_id is null and kind = 'account-deleted' then '' else recipient end
         where id = $1 and lease = $2",
        letter.id,
        letter.lease
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records a failed attempt. With `retry_in` the e-mail is retried after that time; without, it is given up and its
/// content kept only if it is sealed and still of use. `reason` must not contain the e-mail. False if the lease was lost.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn failed(store: &Store, letter: &Claimed, reason: &str, retry_in: Option<Duration>) -> Result<bool> {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let done = sqlx::query!(
        "-- store.mail.failed
        update mail_outbox set lease = null, last_error = $3,
               not_before = now() + make_interval(secs => coalesce($4::bigint, 0)),
               letter = case when $4::bigint is null then null else letter end,
               sealed = case when $4::bigint is null
                              and (not_after <= now() or (user_id is null and kind = 'account-deleted')) then null
                             else sealed end,
               recipient = case when $4::bigint is null and user_id is null and kind = 'account-deleted' then ''
                                else recipient end,
               gave_up_at = case when $4::bigint is null then now() end
         where id = $1 and lease = $2",
        letter.id,
        letter.lease,
        reason,
        retry_in.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX))
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An e-mail that has waited longer than this shows that the queue is stuck.
pub const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

/// Number of e-mails in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pending, without announcements.
    pub pending: u64,
    /// Pending announcements.
    pub announcements: u64,
    /// Given up in the last seven days.
    pub given_up: u64,
}

/// Counts the e-mails in the queue.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn counts(store: &Store) -> Result<Counts> {
    let counts = sqlx::query!(
        r#"-- store.mail.counts
        select (select count(*) from mail_outbox
                 where sent_at is null and gave_up_at is null and kind <> 'announcement') as "pending!",
               (select count(*) from mail_outbox
                 where sent_at is null and gave_up_at is null and kind = 'announcement') as "announcements!",
               (select count(*) from mail_outbox where gave_up_at > now() - interval '7 days') as "given_up!""#
    )
    .fetch_one(store.alone())
    .await?;
    Ok(Counts {
        pending: how_many_of(counts.pending),
        announcements: how_many_of(counts.announcements),
        given_up: how_many_of(counts.given_up),
    })
}

/// When the oldest pending e-mail was written; `None` if none is pending. Announcements do not count: they are meant to
/// wait for each other.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn oldest(store: &Store) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "-- store.mail.oldest
        select min(created_at) from mail_outbox where sent_at is null and gave_up_at is null and kind <> 'announcement'"
    )
    .fetch_one(store.alone())
    .await?)
}

/// The newest e-mails, at most `most`; `given_up` restricts them to those that were given up.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn list(store: &Store, given_up: bool, most: u32) -> Result<Vec<QueuedEmail>> {
    let rows = sqlx::query!(
        "-- store.mail.list
        select id, recipient, kind, attempts, created_at, sent_at, gave_up_at, last_error from mail_outbox
         where not $1 or gave_up_at is not null order by created_at desc limit $2",
        given_up,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(QueuedEmail {
                id: row.id,
                recipient: row.recipient,
                kind: row.kind,
                attempts: count_of(row.attempts)?,
                created_at: row.created_at,
                sent_at: row.sent_at,
                gave_up_at: row.gave_up_at,
                last_error: row.last_error,
            })
        })
        .collect()
}

/// Deletes e-mails that were sent or given up more than 30 days ago, and erases the content of those that were given up
/// and have become useless; returns how many, at most [`SWEEP`](crate::SWEEP) of each.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let erased = sqlx::query!(
        "-- store.mail.erase_late
        update mail_outbox set sealed = null where id in (
            select id from mail_outbox where gave_up_at is not null and sealed is not null and not_after <= now()
             order by not_after limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    let done = sqlx::query!(
        "-- store.mail.sweep
        delete from mail_outbox where id in (
            select id from mail_outbox
             where (sent_at is not null or gave_up_at is not null) and created_at < now() - interval '30 days'
             order by created_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() + erased.rows_affected())
}
