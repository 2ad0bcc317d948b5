//! E-mails that staff send to many, and who wants none.
//!
//! All recipients of a job are queued in one transaction, or none. They become due one after another, so that a job does
//! not use up what the mail server accepts per minute, and jobs follow each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_vault::Keys;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Claimed;
use crate::audit::{self, By};
use crate::idempotency::{Call, Idempotency, Known};
use crate::row::{count_of, how_many_of, nickname_of};
use crate::{AsStoreError, Result, Store, StoreError, Tx};

/// Time between two e-mails of jobs: 300 a minute, in all processes together.
pub const PACE: Duration = Duration::from_millis(200);

/// What a token is hashed for.
const PURPOSE: &str = "mail.unsubscribe";
/// Length of the hash in a token, in bytes.
const MARK: usize = 16;

/// An e-mail to many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: Uuid,
    /// Valid addresses, each once.
    pub recipients: Vec<String>,
    /// Number of addresses that were refused before.
    pub refused: usize,
    /// Subject.
    pub title: String,
    /// Text.
    pub message: String,
    /// Where the button leads.
    pub link: Option<String>,
}

/// A job and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// Name of the template.
    pub template: String,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// Number of e-mails that were queued.
    pub queued: u32,
    /// Number of addresses that were refused.
    pub refused: u32,
    /// To be sent.
    pub waiting: u64,
    /// Sent.
    pub sent: u64,
    /// Given up.
    pub failed: u64,
}

fn hash_of(address: &str) -> Vec<u8> {
    Sha256::digest(address.trim().to_lowercase().as_bytes()).to_vec()
}

/// The hexadecimal digits of a hash in a token.
fn mark_of(hash: &[u8; 32]) -> String {
    hash.iter().take(MARK).fold(String::new(), |mut digits, byte| {
        let _infallible = write!(digits, "{byte:02x}");
        digits
    })
}

/// The token of an unsubscribe link.
fn token(keys: &Keys, subscription: Uuid) -> Secret {
    let hash = keys.hash(PURPOSE, &[subscription.as_bytes()]);
    Secret::new(format!("{}{}", subscription.simple(), mark_of(&hash)))
}

/// The subscription that a token names, if one of our secrets made it.
fn opened(keys: &Keys, text: &str) -> Option<Uuid> {
    let (id, mark) = text.split_at_checked(32).filter(|(_, mark)| mark.len() == 2 * MARK)?;
    let id = Uuid::try_parse(id).ok()?;
    let is_ours = keys.hashes(PURPOSE, &[id.as_bytes()]).any(|hash| {
        // Without a branch on where they differ.
        let differs = |differs, (one, other)| differs | (one ^ other);
        mark_of(&hash).bytes().zip(mark.bytes()).fold(0, differs) == 0
    });
    is_ours.then_some(id)
}

/// What was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The id of the job.
    pub job: Uuid,
    /// The recipients that are not written to because they unsubscribed, by their place in the list. Not their addresses: the
    /// record of a repeated call outlives accounts.
    pub unsubscribed: Vec<usize>,
}

/// Why nothing was queued.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The idempotency key was used for another request.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for QueueError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::KeyReused => None,
        }
    }
}

impl From<sqlx::Error> for QueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Queues a job on behalf of `admin`. With `key`, repeated calls queue it once, and have the same result.
///
/// # Errors
/// [`QueueError`]; then nothing is queued.
pub async fn queue(
    store: &Store,
    admin: UserId,
    job: &NewJob,
    key: Option<&Idempotency>,
) -> Result<Queued, QueueError> {
    let keys = store.seal.0.get().cloned().ok_or_else(no_secrets)?;
    let asked = Arc::new((job.clone(), keys, key.cloned()));
    store
        .tx("admin.announcements.queue", move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (job, keys, key) = &*asked;
                let Some(key) = key else {
                    return Ok(queue_in(tx, admin, job, keys).await?);
                };
                let call = Call {
                    owner: admin.0,
                    route: "admin.announcements",
                    key,
                    asked: json!([job.title, job.message, job.link, job.recipients, job.refused]).to_string(),
                };
                match call.look(tx).await? {
                    Known::Done(queued) => Ok(queued),
                    Known::Other => Err(QueueError::KeyReused),
                    Known::Nothing => {
                        let queued = queue_in(tx, admin, job, keys).await?;
                        call.done(tx, &queued).await?;
                        Ok(queued)
                    }
                }
            })
        })
        .await
}

fn no_secrets() -> StoreError {
    StoreError::from(sqlx::Error::Configuration(
        "there are no secrets to seal an e-mail with".into(),
    ))
}

async fn queue_in(tx: &mut Tx, admin: UserId, job: &NewJob, keys: &Keys) -> Result<Queued> {
    // Jobs take turns: each begins where the one before ends.
    sqlx::query!(
        "-- store.mail.announcements.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep announcements', 0))"
    )
    .execute(tx.conn())
    .await?;
    let mut hashes: Vec<Vec<u8>> = job.recipients.iter().map(|address| hash_of(address)).collect();
    hashes.sort_unstable();
    let subscriptions = sqlx::query!(
        "-- store.mail.announcements.subscribe
        insert into email_subscriptions (address_hash) select unnest($1::bytea[])
        on conflict (address_hash) do update set written_at = now() returning id, address_hash, unsubscribed_at",
        &hashes
    )
    .fetch_all(tx.conn())
    .await?;
    let subscriptions: BTreeMap<Vec<u8>, (Uuid, bool)> = subscriptions
        .into_iter()
        .map(|row| (row.address_hash, (row.id, row.unsubscribed_at.is_none())))
        .collect();
    let users = sqlx::query!(
        "-- store.mail.announcements.users
        select id, email, nickname from users where email = any ($1) and deleted_at is null for key share",
        &job.recipients
    )
    .fetch_all(tx.conn())
    .await?;
    let users: BTreeMap<String, (Uuid, Option<String>)> = users
        .into_iter()
        .map(|row| (row.email, (row.id, row.nickname)))
        .collect();
    let (mut ids, mut owners, mut recipients, mut sealed, mut subscribed) = (vec![], vec![], vec![], vec![], vec![]);
    let mut unsubscribed = Vec::new();
    for (place, address) in job.recipients.iter().enumerate() {
        let Some((subscription, true)) = subscriptions.get(&hash_of(address)).copied() else {
            unsubscribed.push(place);
            continue;
        };
        let user = users.get(address);
        let letter = EmailTemplate::Announcement {
            nickname: user.map_or_else(String::new, |(_, nickname)| nickname_of(nickname.clone())),
            title: job.title.clone(),
            message: job.message.clone(),
            link: job.link.clone(),
            unsubscribe: token(keys, subscription),
        };
        let id = Uuid::now_v7();
        let plain = serde_json::to_vec(&letter).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sealed.push(keys.seal(&super::place(id), &plain));
        ids.push(id);
        owners.push(user.map(|(id, _)| *id));
        recipients.push(address.clone());
        subscribed.push(subscription);
    }
    let (queued, refused) = (ids.len(), job.refused + unsubscribed.len());
    sqlx::query!(
        "-- store.mail.announcements.job
        insert into email_jobs (id, template, created_by, queued, refused) values ($1, 'announcement', $2, $3, $4)",
        job.id,
        admin.0,
        i32::try_from(queued).unwrap_or(i32::MAX),
        i32::try_from(refused).unwrap_or(i32::MAX)
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.mail.announcements.queue
        insert into mail_outbox (id, user_id, recipient, kind, sealed, subscription_id, job_id, not_before, not_after)
        select t.id, t.user_id, t.recipient, 'announcement', t.sealed, t.subscription_id, $6,
               s.start + (t.place - 1) * make_interval(secs => $7), s.start + interval '3 days'
          from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::uuid[])
               with ordinality t (id, user_id, recipient, sealed, subscription_id, place),
               (select greatest(now(), max(not_before) + make_interval(secs => $7)) as start from mail_outbox
                 where sent_at is null and gave_up_at is null and kind = 'announcement') s",
        &ids,
        &owners as _,
        &recipients,
        &sealed,
        &subscribed,
        job.id,
        PACE.as_secs_f64()
    )
    .execute(tx.conn())
    .await?;
    let details = json!({ "queued": queued, "refused": refused });
    audit::record(
        tx,
        &By::Staff(admin),
        "email.job_create",
        ("email_job", job.id),
        details,
    )
    .await?;
    Ok(Queued {
        job: job.id,
        unsubscribed,
    })
}

/// A job and its progress; of e-mails that are older than 30 days nothing is left to count.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn job(store: &Store, id: Uuid) -> Result<Option<Job>> {
    let row = sqlx::query!(
        r#"-- store.mail.announcements.progress
        select j.id, j.template, j.created_at, j.queued, j.refused,
               count(m.id) filter (where m.sent_at is null and m.gave_up_at is null) as "waiting!",
               count(m.sent_at) as "sent!", count(m.gave_up_at) as "failed!"
          from email_jobs j left join mail_outbox m on m.job_id = j.id where j.id = $1 group by j.id"#,
        id
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| {
        Ok(Job {
            id: row.id,
            template: row.template,
            created_at: row.created_at,
            queued: count_of(row.queued)?,
            refused: count_of(row.refused)?,
            waiting: how_many_of(row.waiting),
            sent: how_many_of(row.sent),
            failed: how_many_of(row.failed),
        })
    })
    .transpose()
}

/// Whether the recipient with this token wants such e-mails; `None` if the token is not ours.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_subscribed(store: &Store, token: &str) -> Result<Option<bool>> {
    let keys = store.seal.0.get().ok_or_else(no_secrets)?;
    let Some(id) = opened(keys, token) else { return Ok(None) };
    Ok(sqlx::query_scalar!(
        r#"-- store.mail.announcements.is_subscribed
        select unsubscribed_at is null as "is_subscribed!" from email_subscriptions where id = $1"#,
        id
    )
    .fetch_optional(store.alone())
    .await?)
}

/// Unsubscribes the recipient with this token, and drops such e-mails that wait for them. False if the token is not
/// ours. Repeating it changes nothing.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn unsubscribe(store: &Store, token: &str) -> Result<bool> {
    let keys = store.seal.0.get().ok_or_else(no_secrets)?;
    let Some(id) = opened(keys, token) else {
        return Ok(false);
    };
    store
        .tx("mail.unsubscribe", move |tx| {
            Box::pin(async move {
                let known = sqlx::query!(
                    "-- store.mail.announcements.unsubscribe
                    update email_subscriptions set unsubscribed_at = coalesce(unsubscribed_at, now()) where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                sqlx::query!(
                    "-- store.mail.announcements.drop
                    delete from mail_outbox where subscription_id = $1 and sent_at is null and lease is null",
                    id
                )
                .execute(tx.conn())
                .await?;
                Ok::<_, StoreError>(known.rows_affected() == 1)
            })
        })
        .await
}

/// Drops a claimed announcement whose recipient has unsubscribed since. True if it did.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn withdraw(store: &Store, claimed: &Claimed) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.mail.announcements.withdraw
        delete from mail_outbox m using email_subscriptions s
         where m.id = $1 and m.lease = $2 and s.id = m.subscription_id and s.unsubscribed_at is not null",
        claimed.id,
        claimed.lease
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_opened_by_the_secret_that_made_them_and_no_other() {
        let (old, new) = ("11".repeat(32), "22".repeat(32));
        let id = Uuid::now_v7();
        let made = token(&Keys::parse(&old).unwrap(), id);
        let rotated = Keys::parse(&format!("{new},{old}")).unwrap();
        assert_eq!(opened(&rotated, made.expose()), Some(id));
        assert_eq!(opened(&Keys::parse(&new).unwrap(), made.expose()), None);
        let text = made.expose();
        for forged in [
            String::new(),
            text[..63].to_owned(),
            format!("{text}0"),
            format!("{}{}", Uuid::now_v7().simple(), &text[32..]),
            format!("{}{}", &text[..32], "0".repeat(32)),
            "é".repeat(32),
        ] {
            assert_eq!(opened(&rotated, &forged), None, "{forged}");
        }
    }
}
